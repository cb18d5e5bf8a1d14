"""Names of signals, and what their numbers mean for a task."""

from __future__ import annotations

NAMES = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    14: "SIGALRM",
    15: "SIGTERM",
    24: "SIGXCPU",
    25: "SIGXFSZ",
}
"""Linux's numbers, signal(7). Fixed here and not taken from `signal`: the failure may come from another machine."""

ILL, KILL, TERM, XCPU, XFSZ = 4, 9, 15, 24, 25

CRASHES = frozenset({4, 6, 7, 8, 11})
"""What the processor or the C library raises against wrong code."""


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; ``signal 42`` for one without a name."""
    return NAMES.get(number, f"signal {number}")
