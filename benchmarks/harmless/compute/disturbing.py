"""Does to an endpoint what a case says, when it says so."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.compute.endpoint import end
from benchmarks.harmless.compute.case import Deed, Moment, Step, Target
from benchmarks.harmless.compute.trial import Trial
from benchmarks.proxy import Proxy

ACKNOWLEDGING = 1.0
"""Twice the host's period of acknowledging what it has taken, seconds."""

MOMENT_LIMIT = 90.0
"""Seconds until a moment must have come."""

INTERCHANGE = "parsl: HTEX interchange"
"""The title that Parsl's interchange gives its process, and Octopus' too."""


class TargetError(RuntimeError):
    """A step has nobody to be done to: the process is not there, or is not the only one."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines that can be cut.

    Attributes:
        endpoint: The endpoint's to RabbitMQ.
        client: The SDK's to RabbitMQ.
        broker: Everybody's to the broker of ours; None where stock runs.
    """

    endpoint: Proxy
    client: Proxy
    broker: Proxy | None


class Disturber:
    """Takes the steps of a case, one after the other.

    Args:
        trial: The run.
        lines: What can be cut.
    """

    def __init__(self, trial: Trial, lines: Lines) -> None:
        self._trial, self._lines = trial, lines
        self._since = time.time()

    def take(self, step: Step) -> None:
        """Wait for the moment of a step, and take it. A moment that does not come is trouble of the trial."""
        if not self._wait_for(step.at):
            self._trial.trouble.append(f"the moment {step.at.value!r} did not come")
            return
        self._trial.rest(step.after)
        try:
            self._do(step)
        except (TargetError, psutil.NoSuchProcess) as error:
            self._trial.trouble.append(f"{step.deed.value} at the moment {step.at.value!r}: {error}")
        self._since = time.time()

    def _wait_for(self, moment: Moment) -> bool:
        trial = self._trial
        match moment:
            case Moment.TAKEN:
                return self._until(lambda: trial.queued() == 0)
            case Moment.ACKNOWLEDGED:
                taken = self._wait_for(Moment.TAKEN)
                trial.rest(ACKNOWLEDGING)
                return taken
            case Moment.BEGUN:
                return self._until(self._have_begun)
            case Moment.RUNNING:
                begun = self._wait_for(Moment.BEGUN)
                trial.rest(trial.case.seconds / 2)
                return begun
            case Moment.ANSWERED:
                return self._until(lambda: len(trial.open()) < len(trial.tasks))
            case Moment.SERVING:
                served = trial.call()
                return self._until(served.done)
        return True

    def _until(self, condition: Callable[[], bool]) -> bool:
        return self._trial.until(condition, MOMENT_LIMIT)

    def _have_begun(self) -> bool:
        trial = self._trial
        begun = [begin for begin in trial.journal.begins() if begin.time >= self._since]
        return bool(begun) and len(begun) >= min(trial.case.blocks * trial.case.workers, len(trial.open()))

    def _do(self, step: Step) -> None:
        trial = self._trial
        match step.deed:
            case Deed.KILL if step.target is Target.USER_ENDPOINT:
                self._process(step.target)
                trial.take_down()
                trial.endpoint.kill_user_endpoint()
                trial.call()
            case Deed.KILL if step.target is Target.ENDPOINT:
                trial.take_down()
                end(trial.endpoint.processes)
            case Deed.KILL if step.target is not None:
                self._process(step.target).kill()
            case Deed.FREEZE if step.target is not None:
                self._freeze(self._process(step.target), step.seconds)
            case Deed.RESTART:
                trial.take_down()
                trial.endpoint.stop()
                trial.endpoint.start()
                trial.call()
            case Deed.CUT_ENDPOINT:
                self._cut(self._lines.endpoint, step.seconds)
            case Deed.CUT_CLIENT:
                self._cut(self._lines.client, step.seconds)
            case Deed.CUT_BROKER:
                self._cut(self._lines.broker, step.seconds)
            case Deed.FILL_DISK:
                with self._disk_filled():
                    trial.rest(step.seconds)
            case Deed.SUBMIT:
                trial.submit()

    def _process(self, target: Target) -> psutil.Process:
        """The process of a target.

        Raises:
            TargetError: There is none, or several.
        """
        trial = self._trial
        endpoint = trial.endpoint
        if target is Target.USER_ENDPOINT:
            found = endpoint.user_endpoints()
        elif target is Target.INTERCHANGE:
            found = [process for process in endpoint.processes() if INTERCHANGE in " ".join(process.cmdline())]
        else:
            begun = [begin.pid for begin in trial.journal.begins()] or list(trial.greeted)
            worker = psutil.Process(begun[-1])
            found = [worker] if target is Target.WORKER else [parent for parent in [worker.parent()] if parent]
        # A command may stand behind a shell, or the launcher of one.
        alone = [process for process in found if process.pid not in {other.ppid() for other in found}]
        if len(alone) != 1:
            raise TargetError(f"there are {len(alone)} processes that are the {target.value}: {alone}")
        return alone[0]

    def _freeze(self, process: psutil.Process, seconds: float) -> None:
        process.suspend()
        try:
            self._trial.rest(seconds)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _cut(self, line: Proxy | None, seconds: float) -> None:
        if line is not None:
            line.cut()
        self._trial.rest(seconds)
        if line is not None:
            line.restore()

    @contextmanager
    def _disk_filled(self) -> Iterator[None]:
        """The endpoint's disk has no byte left."""
        filler = self._trial.endpoint.home / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        try:
            yield
        finally:
            filler.unlink()
