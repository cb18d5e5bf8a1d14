"""Fault injection: our retries against three peers, in the same scenarios with the same seeds. Started by ``run``."""
