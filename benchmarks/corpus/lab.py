"""Runs a scene for real and keeps what the hub told of it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
from parsl.app.app import bash_app, python_app
from parsl.config import Config

from benchmarks.corpus import places
from benchmarks.corpus.cases import Case, Scene
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Event
from octopus_plugins.hookspecs import WITHHOLD, hookimpl
from octopus_plugins.plugins import Plugins
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler

LONGEST = 150.0
"""Seconds that a case may take."""

COMING = 180.0
"""Seconds in which every node must have come."""


class _Recorder:
    """A plugin that keeps every event and lets none leave: no broker is needed."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    def octopus_transform(self, event: Event) -> Any:
        self.events.append(event)
        return WITHHOLD


class Lab:
    """What a case finds around it.

    Attributes:
        scratch: Directory of the run.
        dfk: Parsl's DataFlowKernel.
        executor: Label of the executor that gets the case's task.
    """

    def __init__(self, scratch: Path, default: str) -> None:
        self.scratch = scratch
        self.executor = default
        self.dfk: Any = None

    def python(self, function: Callable[..., Any], *arguments: Any, executor: str | None = None, **options: Any) -> Any:
        """Start a function as a python app."""
        arguments = tuple(self._filled(argument) for argument in arguments)
        return python_app(function, executors=[executor or self.executor])(*arguments, **options)

    def bash(self, name: str, command: str, *, stderr: bool = True, executor: str | None = None, **options: Any) -> Any:
        """Start a command as a bash app of that name."""
        text = self._filled(command)

        def run(**_: Any) -> str:
            return text

        run.__name__ = name
        if stderr:
            options.setdefault("stderr", os.fspath(self.scratch / f"{name}.stderr"))
        return bash_app(run, executors=[executor or self.executor])(**options)

    def wait_for_nodes(self) -> None:
        """Wait until every node has come."""
        end = time.monotonic() + COMING
        for one in self.dfk.executors.values():
            wanted = getattr(getattr(one, "provider", None), "init_blocks", 0)
            while hasattr(one, "connected_managers") and len(one.connected_managers()) < wanted:
                if time.monotonic() > end:
                    raise TimeoutError(f"a node of {one.label!r} has not come; see {one.logdir}")
                time.sleep(0.05)

    def _filled(self, value: Any) -> Any:
        return value.replace("{scratch}", os.fspath(self.scratch)) if isinstance(value, str) else value


def run(scene: Scene) -> tuple[list[Event], dict[str, Case], list[str]]:
    """Run a scene.

    Args:
        scene: What to run.

    Returns:
        All events in the order in which they were told, the case of each task, and what went wrong in the making.
    """
    recorder, plugins = _Recorder(), Plugins()
    plugins.register(recorder, "recorder")
    problems: list[str] = []
    labels: dict[str, Case] = {}
    with tempfile.TemporaryDirectory(prefix="octopus-corpus-") as directory:
        scratch = Path(directory)
        if scene.prepare is not None:
            scene.prepare(scratch)
        lab = Lab(scratch, scene.places[0].label)
        octopus = OctopusConfig.load(
            profile="local", bootstrap_servers="127.0.0.1:9", spool_dir=scratch / "spool", namespace="corpus"
        )
        options: dict[str, Any] = {
            "monitoring": OctopusMonitoringHub(octopus=octopus, plugins=plugins),
            "retry_handler": WrathRetryHandler(mode="passive"),
            "strategy": "none",
            **{key: value(octopus, plugins) if callable(value) else value for key, value in scene.config.items()},
        }
        config = Config(
            executors=[places.executor(place, scratch) for place in scene.places] + options.pop("executors", []),
            run_dir=os.fspath(scratch / "run"),
            retries=0,
            **options,
        )
        with parsl.load(config) as lab.dfk:
            if scene.wait:
                lab.wait_for_nodes()
            waiting = []
            for case in scene.cases:
                try:
                    started = case.start(lab)
                except Exception as error:  # noqa: BLE001 - one case that cannot be made must not cost the others
                    problems.append(f"{case.name} could not be started: {error!r}")
                    continue
                for future in started if isinstance(started, list) else [started]:
                    labels[str(future.tid)] = case
                    waiting.append((case, future))
                    if not scene.together:
                        _wait(case, future, problems)
            for case, future in waiting:
                _wait(case, future, problems)
    return recorder.events, labels, problems


def _wait(case: Case, future: Any, problems: list[str]) -> None:
    try:
        if future.exception(timeout=LONGEST) is None:
            problems.append(f"{case.name} did not fail: {future.result()!r:.200}")
    except TimeoutError:
        problems.append(f"{case.name} did not end within {LONGEST:g} s")
