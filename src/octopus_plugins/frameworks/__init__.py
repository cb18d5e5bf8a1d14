"""How a run is told: what both frameworks' packages need to turn what they hear into events and decisions."""
