"""Apache Kafka: clients, topics, readers, and what brokers refuse."""
