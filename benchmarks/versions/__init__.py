"""The same small workflow with several versions of Parsl, each in its own environment: ``make parsl-versions``."""
