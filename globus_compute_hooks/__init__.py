"""Globus Compute and Octopus. Holds no public names yet: Parsl comes first (see CHANGELOG.md)."""
