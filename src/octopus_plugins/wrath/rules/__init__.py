"""What broke: one file of rules a subject."""
