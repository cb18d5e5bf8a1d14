"""Runs that ``enable(config)`` must not harm: stock Parsl against it, workload by workload. Started by ``run``."""
