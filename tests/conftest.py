"""Rules for every test, whichever directory is asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, as by `nohup make test &`: else all that tests start ignored Ctrl-C, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def _failed_if_skipped(report: Report) -> Report:
    """A test that is skipped in CI is a test that nobody ran: there it fails, and says what is missing."""
    if _in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"CI=true, where nothing may be skipped; provide what is missing. {reason}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a skipped test fails."""
    return _failed_if_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: Any) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, a skipped module fails."""
    return _failed_if_skipped((yield))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first: it would otherwise run alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


class Shared(LoadFileScheduling):  # type: ignore[misc]
    """The tests of a file run in one worker, and share what its fixtures make; those with Kafka share its brokers.

    With a worker each, they would have ten Java processes at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if "integration/kafka/" not in file:
            return file
        return "kafka clusters" if file.endswith(CLUSTERS) else "kafka nodes"


CLUSTERS = ("test_three_nodes.py", "test_on_three_nodes.py", "test_local.py", "test_group_growth.py", "test_growth.py")
"""Files that start brokers of their own; the others share two, one open and one secure."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Shared:
    """Share out the tests; pytest-xdist asks for this."""
    return Shared(config, log)
