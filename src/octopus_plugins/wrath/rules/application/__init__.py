"""Rules for the application layer: what lies with the task."""
