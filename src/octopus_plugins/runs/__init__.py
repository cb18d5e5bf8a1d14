"""HOW A RUN IS TOLD: what both frameworks' packages need to turn what they hear into events and decisions."""
