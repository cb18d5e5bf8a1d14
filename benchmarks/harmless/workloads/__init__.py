"""The workloads, by subject. Each module has its own in ``WORKLOADS``."""
