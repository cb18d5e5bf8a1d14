"""Rules for the environment layer: what a node has, and what it can reach."""
