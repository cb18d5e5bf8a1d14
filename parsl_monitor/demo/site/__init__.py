"""What the demo's nodes have on their PYTHONPATH."""
