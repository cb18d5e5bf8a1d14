"""How the nodes of an executor stand at one moment: what places tasks by it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Standing:
    """How the nodes of an executor stand.

    Attributes:
        denied: Nodes that get no new tasks, with the Unix time until when.
        probation: Nodes whose denial is over and that had no success since: one task at a time. Sorted.
        scores: How well tasks fare on each node of which something is known: 0–1, 1 is best.
        denied_for: Nodes that get no new tasks of one app, with the Unix time until when, by app.
        barred: Those of the denied nodes that a person keeps out: they are not even probed. Sorted.
        paused: Whether only a few tasks at a time go out, to any node.
    """

    denied: dict[str, float] = field(default_factory=dict)
    probation: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    denied_for: dict[str, dict[str, float]] = field(default_factory=dict)
    barred: tuple[str, ...] = ()
    paused: bool = False
