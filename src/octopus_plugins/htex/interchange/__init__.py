"""What runs in Parsl's interchange: reports, and which node gets which task."""
