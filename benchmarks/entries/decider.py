"""A decider service that is alive, killed, stopped or cut off: what that costs the tasks of a run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.entries.decider_service import serving
from benchmarks.figures import Distribution, Figure, Goal, Options, Result, Spread
from benchmarks.proxy import ProxiedBroker
from octopus_plugins.config import OctopusConfig
from octopus_plugins.streams import decisions, failures, tasks

Hurt = Callable[[ProxiedBroker, "subprocess.Popen[bytes] | None"], None]

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = Path(__file__).with_name("decider_workflow.py")
DEADLINE = 0.5
"""Seconds that a failed task waits for the service at most."""

SLACK = 0.1
"""Seconds that a launch itself may take on a busy machine, beside the deadline."""

BINS = (10, 20, 40, 60, 80, 100, 150, 200, 300, 400, 500, 550, 600, 1000, 2000)
"""Upper bounds of the histogram's bins, ms; the deadline and its slack are among them."""

_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class Delays:
    """What the tasks of one run waited, in seconds.

    Attributes:
        failed: From each failure to the launch of its retry, less the delay that was decided.
        others: From the submission to the end of each task that did not fail.
        by_service: Decisions that were the service's, of all that were applied.
    """

    failed: list[float]
    others: list[float]
    by_service: int


def measure(options: Options) -> Result:
    """How long failed tasks, and all others, wait while the decider service dies in mid-run."""
    seconds = 6.0 if options.quick else 12.0
    runs: dict[str, list[Delays]] = {name: [] for name in _VARIANTS}
    with tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        for number in range(options.rounds(3)):
            for name in _VARIANTS:
                home = Path(directory) / f"{number}-{uuid.uuid4().hex[:6]}"
                home.mkdir()
                runs[name].append(_run(name, seconds, home))
    return _result(runs, seconds)


def _result(runs: dict[str, list[Delays]], seconds: float) -> Result:
    """What the runs of each variant come to; the first variant is what the others are held against."""
    figures: list[Figure] = []
    first = [one for run in next(iter(runs.values())) for one in run.others]
    usual, usual_p99 = _quantile(first, 0.5), _quantile(first, 0.99)
    for name, found in runs.items():
        bound = DEADLINE + SLACK
        figures += [
            Figure(f"{name}: failed tasks, p50", _spread(found, "failed", 0.5), "ms"),
            Figure(
                f"{name}: failed tasks, longest",
                _spread(found, "failed", 1.0),
                "ms",
                Goal(bound * 1000, at_least=False, source="DESIGN §7"),
            ),
            Figure(f"{name}: other tasks, p50", _spread(found, "others", 0.5), "ms"),
            Figure(f"{name}: other tasks, p99", _spread(found, "others", 0.99), "ms"),
            Figure(
                f"{name}: other tasks, p50 / that of the first",
                Spread.of(_quantile(run.others, 0.5) / usual for run in found),
                "×",
                Goal(1.25, at_least=False, source="DESIGN §7"),
            ),
            # Not a ratio: a task that waited with those that failed would take longer by the deadline.
            Figure(
                f"{name}: other tasks, p99 over that of the first",
                Spread.of((_quantile(run.others, 0.99) - usual_p99) * 1000 for run in found),
                "ms",
                Goal(SLACK * 1000, at_least=False, source="DESIGN §7"),
            ),
        ]
    applied = ", ".join(f"{name} {sum(run.by_service for run in found)}" for name, found in runs.items())
    failed = sum(len(run.failed) for run in next(iter(runs.values())))
    notes = (
        f"a Parsl run of {seconds:g} s with 10 tasks a second, every fourth fails once; deadline {DEADLINE:g} s; the"
        " service is hurt at half-time",
        "failed: from the failure to the launch of its retry, less the decided delay; the bound is the deadline and"
        f" {SLACK * 1000:g} ms for the launch; others: from submission to end",
        f"other tasks, p99: a task that waited with the failed ones would take {DEADLINE * 1000:g} ms longer; the goal"
        f" is {SLACK * 1000:g} ms more than in the first variant, of all its runs together",
        f"decisions of the service that were applied, of {failed} each: {applied}",
    )
    distributions = tuple(
        Distribution.of(
            f"{title}, by how long they took, ms",
            BINS,
            {name: [one * 1000 for run in found for one in getattr(run, which)] for name, found in runs.items()},
        )
        for title, which in (("Failed tasks", "failed"), ("Other tasks", "others"))
    )
    raw = {
        name: [{"failed": run.failed, "others": run.others, "by_service": run.by_service} for run in found]
        for name, found in runs.items()
    }
    return Result("decider", "a decider service that dies in mid-run", tuple(figures), notes, raw, distributions)


def _leave_alone(broker: ProxiedBroker, service: subprocess.Popen[bytes] | None) -> None:
    pass


def _cut(broker: ProxiedBroker, service: subprocess.Popen[bytes] | None) -> None:
    broker.proxy.cut()


def _hurt(number: signal.Signals) -> Hurt:
    def hurt(broker: ProxiedBroker, service: subprocess.Popen[bytes] | None) -> None:
        assert service is not None
        service.send_signal(number)

    return hurt


_VARIANTS: dict[str, Hurt] = {
    "workflow decides": _leave_alone,
    "service alive": _leave_alone,
    "service killed": _hurt(signal.SIGKILL),
    "service stopped": _hurt(signal.SIGSTOP),
    "broker cut": _cut,
}


def _run(name: str, seconds: float, home: Path) -> Delays:
    """Run the workflow once, and read from the topics what its tasks waited."""
    decider = "workflow" if name == "workflow decides" else "service"
    with ProxiedBroker(home) as broker:
        settings = {
            "bootstrap_servers": broker.address,
            "namespace": "bench-decider",
            "spool_dir": str(home / "spool"),
        }
        environment = {
            **os.environ,
            **{f"OCTOPUS_{key.upper()}": value for key, value in settings.items()},
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with (
            serving(environment, home / "service.log") if decider == "service" else contextlib.nullcontext() as service
        ):
            arguments = [decider, str(DEADLINE), str(seconds), str(home)]
            run_id = _work(arguments, environment, lambda: _VARIANTS[name](broker, service), broker.proxy.restore)
        return _delays(OctopusConfig.load(profile="local", **settings), run_id)


def _work(
    arguments: list[str], environment: dict[str, str], at_half: Callable[[], None], at_end: Callable[[], None]
) -> str:
    """Run the workflow; its run's id."""
    log = Path(arguments[-1]) / "workflow.log"
    command = [sys.executable, str(WORKFLOW), *arguments]
    run_id = ""
    with log.open("wb") as errors:
        workflow = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            assert workflow.stdout is not None and workflow.stdin is not None
            for line in workflow.stdout:
                words = line.split()
                if words[:1] == ["run"]:
                    run_id = words[1]
                elif words == ["half"]:
                    at_half()
                elif words == ["done"]:
                    at_end()
                    workflow.stdin.write("\n")
                    workflow.stdin.close()
            if workflow.wait(_TIMEOUT) or not run_id:
                raise RuntimeError(f"the workflow failed:\n{log.read_text(errors='replace')[-2000:]}")
        finally:
            workflow.kill()
            workflow.wait()
    return run_id


def _delays(config: OctopusConfig, run_id: str) -> Delays:
    # The run tells what it applied: its own decision, or the service's with this serial.
    first = [one for one in decisions(run_id=run_id, config=config) if one.try_id == 0]
    applied = {one.task_id: one for one in first if one.decider == "workflow" or one.serial == "applied"}
    failed_at = {one.task_id: one.time for one in failures(run_id=run_id, config=config) if one.try_id == 0}
    again, begun, ended = {}, {}, {}
    for state in tasks(run_id=run_id, config=config):
        if state.state == "launched" and state.try_id == 1:
            again[state.task_id] = state.time
        elif state.state == "pending":
            begun.setdefault(state.task_id, state.time)
        elif state.state == "exec_done":
            ended[state.task_id] = state.time
    missing = failed_at.keys() - again.keys()
    if missing or not failed_at:
        raise RuntimeError(f"{len(missing)} of {len(failed_at)} failed tasks were not retried, or not told of")
    failed = [again[task] - at - applied[task].delay for task, at in failed_at.items()]
    # The first tasks wait for the workers to start.
    others = [end - begun[task] for task, end in ended.items() if task not in failed_at and int(task) >= 8]
    return Delays(failed, others, sum(one.decider == "service" for one in applied.values()))


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _spread(found: list[Delays], which: str, share: float) -> Spread:
    return Spread.of(_quantile(getattr(run, which), share) * 1000 for run in found)
