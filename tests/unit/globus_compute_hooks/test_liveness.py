from __future__ import annotations

import pytest

from globus_compute_hooks.sdk.liveness import START_UP, EndpointSigns, Suspicion
from octopus_plugins.events import Heartbeat


def beat(time: float, run_id: str = "one", period: float = 1.0) -> Heartbeat:
    return Heartbeat(run_id=run_id, time=time, host="login-0", component="endpoint", executor="E", period=period)


@pytest.fixture
def signs() -> EndpointSigns:
    """An endpoint that was heard until second 10, and an executor that hears itself."""
    signs = EndpointSigns()
    for second in range(11):
        signs.hear_self(float(second))
        signs.hear(beat(float(second)), float(second))
    return signs


def reason(signs: EndpointSigns, endpoint: str, given: float, now: float) -> str | None:
    found = signs.suspicion(endpoint, given, now)
    return found.reason if found is not None else None


def test_an_endpoint_that_was_heard_just_now_is_in_no_doubt(signs: EndpointSigns) -> None:
    assert signs.suspicion("E", 5.0, 12.9) is None
    assert signs.doubtful(12.9) == set()


def test_an_endpoint_that_misses_three_heartbeats_may_have_lost_what_it_was_given(signs: EndpointSigns) -> None:
    for second in (11, 12, 13):
        signs.hear_self(float(second))
    assert signs.doubtful(13.1) == {"E"}
    found = signs.suspicion("E", 5.0, 13.1)
    assert found == Suspicion("it has given no sign of life for 3.1 s, and gave one every 1 s before", True, False)


def test_nothing_is_concluded_of_an_endpoint_that_was_never_heard(signs: EndpointSigns) -> None:
    assert signs.suspicion("another", 5.0, 10.5) is None


def test_silence_says_nothing_while_the_executor_does_not_hear_itself(signs: EndpointSigns) -> None:
    assert signs.suspicion("E", 5.0, 100.0) is None
    signs.hear_self(100.0)  # the broker is back: the endpoint has its three heartbeats from now on
    assert signs.suspicion("E", 5.0, 100.1) is None
    for second in (101, 102, 103):
        signs.hear_self(float(second))
    assert signs.suspicion("E", 5.0, 103.1) is not None


def test_an_endpoint_that_was_silent_when_it_was_given_a_task_may_be_beginning(signs: EndpointSigns) -> None:
    for second in range(11, 200):
        signs.hear_self(float(second))
    given_of_late = signs.suspicion("E", 190.0, 199.0)
    assert given_of_late is not None
    assert (given_of_late.had_it, given_of_late.beginning) == (False, True)
    given_long_ago = signs.suspicion("E", 190.0 - START_UP, 199.0)
    assert given_long_ago is not None
    assert (given_long_ago.had_it, given_long_ago.beginning) == (False, False)


def test_a_session_that_began_later_says_itself_what_the_one_before_has_lost(signs: EndpointSigns) -> None:
    for second in (11, 12, 13, 14, 15):
        signs.hear_self(float(second))
        signs.hear(beat(float(second), run_id="two"), float(second))
    for now in (15.5, 30.0):
        signs.hear_self(now)
        assert signs.suspicion("E", 5.0, now) is None


def test_a_late_heartbeat_of_the_earlier_session_is_none_of_a_new_one(signs: EndpointSigns) -> None:
    signs.hear(beat(11.0, run_id="two"), 11.0)
    signs.hear(beat(10.5, run_id="one"), 11.1)
    signs.hear_self(11.2)
    for second in (12, 13, 14):
        signs.hear_self(float(second))
        signs.hear(beat(float(second), run_id="two"), float(second))
    assert reason(signs, "E", 11.2, 14.5) is None


@pytest.mark.parametrize("period", [0.0, None])
def test_a_heartbeat_that_announces_no_next_one_is_passed_over(period: float | None) -> None:
    signs = EndpointSigns()
    signs.hear_self(0.0)
    signs.hear(Heartbeat(run_id="one", time=0.0, host="h", component="endpoint", executor="E", period=period), 0.0)
    assert signs.suspicion("E", 0.0, 2.9) is None
