"""What to ask: the questions, and the streams that answer them."""

from octopus_plugins.streams.ask import decisions, failures, heartbeats, resources, runs, tasks
from octopus_plugins.streams.stream import Stream

__all__ = ["Stream", "decisions", "failures", "heartbeats", "resources", "runs", "tasks"]
