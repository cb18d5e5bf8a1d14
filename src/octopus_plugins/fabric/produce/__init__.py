"""From events to a broker: queues, lanes, and one thread that sends."""
