"""One run of Parsl's own test suite, from its wheel, in a process of its own; leaves no process behind."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import parsl.tests
import pytest

from benchmarks.session import run_in_session

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TESTS = Path(parsl.tests.__file__).parent

CONFIGS = {
    "local": "local",
    "local_threads": str(TESTS / "configs" / "local_threads.py"),
    "htex_local": str(TESTS / "configs" / "htex_local.py"),
    "htex_local_alternate": str(TESTS / "configs" / "htex_local_alternate.py"),
}
"""What Parsl's own Makefile passes to ``--config``, by name; those of them that need no other software."""

NEEDS_MORE = "not cleannet and not workqueue and not taskvine and not globus_compute and not radical"
"""As Parsl's Makefile has it: what is left out needs the Internet, or other software beside Parsl."""

IGNORED = ("integration", "manual_tests", "scaling_tests/test_scale")
"""What Parsl's conftest leaves out, by a hook that pytest 9 refuses."""

LIMIT_OF_A_TEST = 180
"""Seconds after which a test counts as hung; the longest takes half a minute."""

LIMIT = 3600.0
"""Seconds that a run of the suite may take."""


@dataclass(frozen=True, slots=True)
class Case:
    """A test of Parsl's, as it ended.

    Attributes:
        test: Its id, which names its file, from the directory of all tests.
        outcome: ``passed``, ``failed`` (also in its set-up or tear-down), ``skipped``.
        seconds: How long it took, set-up and tear-down included.
        text: The end of what pytest shows of a failure, or of why it was skipped.
    """

    test: str
    outcome: str
    seconds: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to run.

    Attributes:
        config: A name of `CONFIGS`.
        expression: As pytest's ``-k``; only what it selects.
        tests: Ids of tests, or of modules; empty: all.
    """

    config: str
    expression: str = ""
    tests: Sequence[str] = ()

    def arguments(self) -> list[str]:
        """The words for pytest that select it."""
        wanted = f"({NEEDS_MORE}) and ({self.expression})" if self.expression else NEEDS_MORE
        files = sorted({test.partition("::")[0] for test in self.tests}) or ["."]
        return ["--config", CONFIGS[self.config], "-k", wanted, *(str(TESTS / file) for file in files)]


@dataclass(frozen=True, slots=True)
class Session:
    """Runs the suite in a directory.

    Attributes:
        directory: What the runs write is left there, each in a directory of its own.
        settings: Variables for Octopus: how to reach a broker; empty: there is none, and records go to the spool.
        patience: See the plugin; None leaves Parsl's own.
    """

    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    patience: float | None = None

    def run(self, name: str, mode: str, selection: Selection) -> list[Case]:
        """Run it once.

        Args:
            name: Of the run's directory.
            mode: ``stock`` or ``enable``; see the plugin.
            selection: What to run.

        Returns:
            The tests that ended, in their order, and the one in which the suite itself ended, if it did not pass on.

        Raises:
            RuntimeError: Not one test ran, or pytest itself broke; the message has the end of what it said.
        """
        home = self.directory / name
        home.mkdir(parents=True)
        outcomes, log = home / "outcomes.jsonl", home / "pytest.log"
        variables = self._environment(home, mode, outcomes, selection.tests)
        command = [sys.executable, "-m", "pytest", "-v", "-c", os.devnull, "--rootdir", str(TESTS)]
        command += ["-p", "parsl_suite_plugin", "-p", "no:cacheprovider", "-p", "no:xdist"]
        # Native tracebacks: pytest's own parse source, for which CPython 3.11 raises SystemError now and then.
        command += ["--tb", "native", "--timeout", str(LIMIT_OF_A_TEST), "--timeout-method", "signal"]
        command += [f"--ignore={TESTS / ignored}" for ignored in IGNORED]
        command += selection.arguments()
        status = run_in_session(command, cwd=home, environment=variables, log=log, seconds=LIMIT)
        lines = outcomes.read_text(encoding="utf-8").splitlines() if outcomes.exists() else []
        if not lines or status == pytest.ExitCode.INTERNAL_ERROR:
            said = log.read_text(encoding="utf-8", errors="replace")[-4000:]
            problem = "pytest broke" if lines else "no test of Parsl's ran"
            raise RuntimeError(f"In {name}, {problem} (status {status}); see {log}:\n{said}")
        return cases(lines)

    def _environment(self, home: Path, mode: str, outcomes: Path, tests: Sequence[str]) -> dict[str, str]:
        own = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE", "DATA")}
        variables = {
            # Not what pytest-xdist tells this process.
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OCTOPUS_"))},
            "PARSL_SUITE": mode,
            "PARSL_SUITE_OUTCOMES": str(outcomes),
            "HOME": str(home),
            **own,
            "OCTOPUS_SPOOL_DIR": str(home / "spool"),
            **self.settings,
            # What the workers import, and where they find Parsl's worker pool. Globus Compute's SDK would be imported
            # by every process of Parsl's, for nothing.
            "PYTHONPATH": os.pathsep.join(
                [str(HERE / "site"), str(ROOT / "tests" / "integration" / "without_compute"), *_importable()]
            ),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        }
        if self.patience is not None:
            variables["PARSL_SUITE_PATIENCE"] = str(self.patience)
        if tests:
            only = home / "only.txt"
            only.write_text("\n".join(tests), encoding="utf-8")
            variables["PARSL_SUITE_ONLY"] = str(only)
        return variables


def cases(lines: Iterable[str]) -> list[Case]:
    """The tests that the plugin has written of, each from its phases.

    Args:
        lines: As the plugin writes them.
    """
    found: dict[str, Case] = {}
    open_since: set[str] = set()
    for phase in map(json.loads, lines):
        test, outcome = phase["test"], phase["outcome"]
        known = found.get(test, Case(test, "passed", 0.0))
        if outcome == "skipped" and phase["expected"]:
            outcome = "passed"  # it fails, as it is marked to
        worst = outcome if known.outcome == "passed" else known.outcome
        text = known.text or phase["text"]
        found[test] = Case(test, worst, known.seconds + phase["seconds"], text)
        open_since.add(test)
        if phase["phase"] == "teardown":
            open_since.discard(test)
    for test in open_since:
        found[test] = Case(test, "failed", found[test].seconds, "the suite ended here, or hung")
    return list(found.values())


def _importable() -> list[str]:
    """What this process imports our packages from, where they are not installed like any other."""
    ours = ("octopus_plugins", "parsl_monitor")
    return [
        str(Path(path).resolve()) for path in sys.path if path and any((Path(path) / name).is_dir() for name in ours)
    ]
