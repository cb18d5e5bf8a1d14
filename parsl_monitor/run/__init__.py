"""What belongs to one run: its tries, its decisions, what it tells, and who looks after it."""
