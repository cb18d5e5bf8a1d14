"""Rules for the runtime layer: what a task uses and what runs it."""
