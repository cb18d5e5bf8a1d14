from __future__ import annotations

import pytest

from parsl_monitor.errors import RunHaltedError
from parsl_monitor.run.cancellation import Halts


def test_nothing_is_stopped_at_first() -> None:
    halts = Halts()
    halts.refuse()
    assert halts.reason() is None
    assert halts.reason("7") is None


def test_a_stopped_run_lets_nothing_in_and_gives_the_first_reason() -> None:
    halts = Halts()
    assert halts.stop_run("enough")
    assert not halts.stop_run("more than enough")
    assert halts.reason() == halts.reason("7") == "enough"
    with pytest.raises(RunHaltedError, match=r"^enough$"):
        halts.refuse()


def test_a_stopped_task_stops_no_other() -> None:
    halts = Halts()
    assert halts.stop_task("7", "wrong input")
    assert not halts.stop_task("7", "again")
    assert halts.reason("7") == "wrong input"
    assert halts.reason("8") is None
    assert halts.reason() is None
    halts.refuse()
