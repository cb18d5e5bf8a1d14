"""Failures that people reported in public, each raised anew, with what they concluded."""
