"""WHAT PARSL'S HighThroughputExecutor IS TO US: node agent, steering of tasks, reports. Both frameworks run one.

The one part of the core that builds on Parsl; nothing else of the core imports it, only the framework packages do.
"""
