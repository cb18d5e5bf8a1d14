"""What another policy would have decided."""
