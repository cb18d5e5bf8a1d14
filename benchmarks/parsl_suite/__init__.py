"""Parsl's own test suite, in stock and with Octopus: what ``make parsl-suite`` runs."""
