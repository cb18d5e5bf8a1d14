"""Endpoints that OctopusEngine and OctopusExecutor must not harm: stock Globus Compute against ours, case by case."""
