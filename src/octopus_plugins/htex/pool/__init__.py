"""What runs in and beside a worker pool."""
