"""What a task fails with when Octopus ends it."""

from __future__ import annotations


class RunHaltedError(Exception):
    """The run, or this task, was stopped: by a person, or by the run's circuit breaker.

    Args:
        reason: Who stopped it, and why, for people.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StragglerError(Exception):
    """A try ran far longer than its app ever did, on a node that fell silent: it counts as lost.

    Args:
        hostname: The node.
        ran: Seconds since the try began.
        usual: Seconds that the app's tries take at most.
        silent: Seconds since the node was last heard.
    """

    def __init__(self, hostname: str, ran: float, usual: float, silent: float) -> None:
        super().__init__(hostname, ran, usual, silent)
        self.hostname, self.ran, self.usual, self.silent = hostname, ran, usual, silent

    def __str__(self) -> str:
        return (
            f"the try has run for {self.ran:.0f} s on {self.hostname}, where its app takes at most {self.usual:.0f} s,"
            f" and the node was last heard {self.silent:.0f} s ago"
        )
