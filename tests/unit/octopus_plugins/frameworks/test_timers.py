from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator

import pytest

from octopus_plugins.frameworks.timers import Delays


@pytest.fixture
def delays() -> Iterator[Delays]:
    delays = Delays("test-delays")
    yield delays
    delays.close()
    if delays._thread is not None:
        delays._thread.join(30)  # a machine may stall for longer than the close waits
        assert not delays._thread.is_alive()


def test_calls_come_in_the_order_of_their_times(delays: Delays) -> None:
    done = threading.Event()
    seen: list[str] = []
    begin = time.monotonic()
    # By one clock: a machine may stall between two of these lines.
    for at, call in (
        (0.9, done.set),
        (0.8, lambda: seen.append("second")),
        (0.7, lambda: seen.append("first")),
    ):
        delays.call(begin + at - time.monotonic(), call)
    assert done.wait(30)
    assert seen == ["first", "second"]


def test_a_call_does_not_come_early(delays: Delays) -> None:
    done = threading.Event()
    begin = time.monotonic()
    delays.call(0.2, done.set)
    assert done.wait(30)
    assert time.monotonic() - begin >= 0.2


def test_a_shorter_delay_overtakes_one_that_is_waited_for(delays: Delays) -> None:
    done = threading.Event()
    delays.call(60, lambda: None)
    delays.call(0.05, done.set)
    assert done.wait(30)
    assert len(delays) == 1


def test_however_many_wait_one_thread_does(delays: Delays) -> None:
    before = threading.active_count()
    for _ in range(500):
        delays.call(60, lambda: None)
    assert threading.active_count() == before + 1


def test_a_call_that_raises_is_logged_and_stops_no_other(delays: Delays, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    delays.call(0.0, lambda: 1 / 0)  # type: ignore[arg-type]
    delays.call(0.05, done.set)
    with caplog.at_level(logging.ERROR, "octopus_plugins"):
        assert done.wait(30)
    assert "ZeroDivisionError" in caplog.text


def test_after_close_nothing_is_called() -> None:
    delays = Delays("test-delays")
    called = threading.Event()
    delays.call(2.0, called.set)
    delays.close()
    assert not called.wait(2.2)
    assert len(delays) == 0


@pytest.mark.parametrize("endless", [math.inf, math.nan])
def test_a_delay_must_have_an_end(endless: float) -> None:
    delays = Delays("test")
    with pytest.raises(ValueError, match="delay"):
        delays.call(endless, list)
    delays.close()


def test_a_very_long_delay_does_not_keep_the_others() -> None:
    delays, done = Delays("test"), threading.Event()
    delays.call(1e12, list)
    delays.call(0.01, done.set)
    assert done.wait(30)
    delays.close()
