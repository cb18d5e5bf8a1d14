"""What is injected: one case is one failing task, with the label that its cause gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octopus_plugins.wrath import Category

if TYPE_CHECKING:
    from benchmarks.corpus.lab import Lab

Start = Callable[["Lab"], Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One injected failure.

    Attributes:
        name: Unique over the corpus.
        category: The label: what was injected, never what the categoriser said.
        structured: Whether the cause shows in more than words: in an exception's type or errno, an exit status or
            signal, a sample against a limit, a kernel counter, a heartbeat, a block's state, a version record.
        made: How the failure is made, for people.
        start: Starts the task, or several of the same label, and returns the futures.
    """

    name: str
    category: Category
    structured: bool
    made: str
    start: Start


@dataclass(frozen=True, slots=True)
class Place:
    """An executor and its nodes.

    Attributes:
        label: Label of the executor.
        nodes: What each node has, by block; see ``benchmarks/corpus/node.py`` for the keys. ``"*"`` is any other.
        blocks: Nodes; each is a block of its own.
        workers: Workers of each node.
        walltime: Seconds that a block lives, given as ``HH:MM:SS``.
        threshold: Seconds without a heartbeat after which a manager counts as lost.
        agent: Whether its worker pools have a node agent, which sees how workers end.
        options: Further options of the executor.
        provider: Further options of its provider.
    """

    label: str = "plain"
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    blocks: int = 1
    workers: int = 1
    walltime: str | None = None
    threshold: int = 15
    agent: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    provider: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """Cases that are run one after the other in one Parsl run.

    Attributes:
        name: Unique; names the file.
        places: The executors.
        cases: What is injected.
        config: Further options of Parsl's Config.
        together: Whether all cases start at once.
        wait: Whether the cases start when all nodes have come.
        prepare: Called with the run's directory before anything starts.
    """

    name: str
    cases: Sequence[Case]
    places: Sequence[Place] = (Place(),)
    config: Mapping[str, Any] = field(default_factory=dict)
    together: bool = False
    wait: bool = True
    prepare: Callable[[Path], None] | None = None


class Cases(list[Case]):
    """Collects the cases of a scene."""

    def python(self, category: Category, *arguments: Any, structured: bool = True, **keywords: Any) -> Any:
        """Decorate a function that fails: it is run as a python app; its docstring says how it is made."""

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            name = function.__name__
            self.append(
                Case(
                    name,
                    category,
                    structured,
                    (function.__doc__ or "").strip(),
                    lambda lab: lab.python(function, *arguments, **keywords),
                )
            )
            return function

        return add

    def bash(
        self,
        name: str,
        category: Category,
        command: str,
        *,
        structured: bool = False,
        stderr: bool = True,
        made: str = "",
        **keywords: Any,
    ) -> None:
        """Add a bash app; ``{scratch}`` in the command is a directory of the run."""
        note = f"{made}: " if made else ""
        said = "" if stderr else ", standard error not kept"
        self.append(
            Case(
                name,
                category,
                structured,
                f"{note}bash app `{command}`{said}",
                lambda lab: lab.bash(name, command, stderr=stderr, **keywords),
            )
        )

    def workflow(self, category: Category, *, structured: bool = True) -> Callable[[Start], Start]:
        """Decorate a function that gets the Lab and starts what fails."""

        def add(function: Start) -> Start:
            self.append(Case(function.__name__, category, structured, (function.__doc__ or "").strip(), function))
            return function

        return add
