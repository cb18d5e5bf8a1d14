"""What is guaranteed of delivery, shown on Apache Kafka: eight disturbances in minutes, and a long run."""
