"""The categories, and what belongs to each."""
