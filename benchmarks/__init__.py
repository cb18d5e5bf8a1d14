"""Benchmarks: ratios of paired runs on one machine. ``python benchmarks/run.py --help``."""
