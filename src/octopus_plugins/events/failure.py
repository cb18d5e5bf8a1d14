"""A failed try, with all that a person would look for first."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from octopus_plugins.events.base import Moment, Name, Topic, TryEvent, Whole
from octopus_plugins.events.resource import Limits, NodeState, Usage
from octopus_plugins.exception_description import MAX_CAUSES, MAX_MESSAGE, MAX_TRACEBACK

__all__ = [
    "MAX_CAUSES",
    "MAX_MESSAGE",
    "MAX_STDERR",
    "MAX_TRACEBACK",
    "Categorization",
    "ExceptionInfo",
    "Failure",
    "Frame",
]

MAX_STDERR = 8_192


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call on the way to where an exception was raised.

    Attributes:
        module: Name of the module.
        function: Name of the function.
        line: Line of its file.
        origin: Whose code it is: ``own`` (the task's), ``library`` (an installed package's), ``standard`` (Python's own
            library's).
    """

    module: str
    function: str
    line: int = 0
    origin: str = "own"


class ExceptionInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An exception as data.

    Attributes:
        type: Full name, ``module.QualName``; builtins without their module.
        message: ``str(exception)``, at most MAX_MESSAGE characters.
        mro: Full names of the class and its bases, most derived first, without ``object``.
        attributes: Public attributes with plain values, such as ``errno`` or ``exitcode``, and what libraries tell
            beyond them: ``http_status``, ``retry_after``, ``error_code``, ``grpc_code``, ``number``.
        location: ``file:line in function`` of the innermost frame that is not the framework's.
        notes: What was added to it (``add_note``).
        frames: The innermost frames that are not the framework's, outermost first.
    """

    type: str
    message: str = ""
    mro: tuple[str, ...] = ()
    attributes: dict[str, str | int | float | bool | None] = {}
    location: str | None = None
    notes: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()


class Categorization(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What broke, and on what evidence we say so.

    Attributes:
        layer: ``application``, ``framework``, ``runtime``, ``environment``, or ``unknown``.
        category: What broke, such as ``memory_exhausted``; ``unknown`` when nothing matched.
        scope: Who is affected: ``task``, ``worker``, ``node``, ``pool``, ``run``.
        resolvable: Whether a retry can help: ``yes``, ``no``, ``unknown``.
        confidence: 0–1.
        rule: Name of the rule that matched.
        reason: One sentence for people.
        evidence: The observed facts that it rests on, by name.
    """

    layer: Name
    category: Name
    scope: Name = "task"
    resolvable: Name = "unknown"
    confidence: float = 0.0
    rule: Name = ""
    reason: str = ""
    evidence: dict[str, str | int | float | bool | None] = {}


class Failure(TryEvent, frozen=True, kw_only=True, omit_defaults=True):
    """One try of one task failed.

    Attributes:
        exception: What was raised, or what the framework reports in its place.
        causes: Its chain of causes (``__cause__``, else ``__context__``; of a group its members), nearest first, at
            most MAX_CAUSES.
        traceback: At most the last MAX_TRACEBACK characters.
        exit_code: Exit code, where there was one.
        signal: Number of the signal that ended it, where known.
        stderr_tail: At most the last MAX_STDERR characters of the task's standard error.
        usage: Last resource sample of the try.
        limits: Limits that were in force on the worker.
        node: What the node had left.
        resources: The task's resource specification, where it has one.
        submitted: When the task was first submitted, Unix seconds.
        launched: When this try went to the executor, Unix seconds.
        started: When its worker began, Unix seconds, worker's clock.
        ended: When its worker ended, Unix seconds, worker's clock.
        dependencies: Ids of the failed tasks that this one depended on.
        versions: Versions of Python, the framework and octopus-plugins where it ran.
        categorization: What broke, and on what evidence.
    """

    TYPE: ClassVar[str] = "octopus.failure/v1"
    TOPIC: ClassVar[Topic] = Topic.failures

    exception: ExceptionInfo
    causes: tuple[ExceptionInfo, ...] = ()
    traceback: str | None = None
    exit_code: Whole | None = None
    signal: Whole | None = None
    stderr_tail: str | None = None
    usage: Usage | None = None
    limits: Limits | None = None
    node: NodeState | None = None
    resources: dict[str, str | int | float | bool | None] = {}
    submitted: Moment | None = None
    launched: Moment | None = None
    started: Moment | None = None
    ended: Moment | None = None
    dependencies: tuple[Name, ...] = ()
    versions: dict[str, str] = {}
    categorization: Categorization | None = None

    @property
    def id(self) -> str:
        return f"{self.run_id}/{self.task_id}/{self.try_id}/failure"
