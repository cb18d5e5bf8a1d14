"""What the submit side tells a pool: taken where a manager unpickles what came from the interchange."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from octopus_plugins.htex import broadcasts
from octopus_plugins.htex.broadcasts import GRANT, NOTICE, PACE, NoticeMessage, Notices, take, task_like


@pytest.fixture(autouse=True)
def received(monkeypatch: pytest.MonkeyPatch) -> Notices:
    fresh = Notices()
    monkeypatch.setattr(broadcasts, "received", fresh)
    return fresh


def test_to_unpickle_a_notice_hands_it_over_and_leaves_no_tasks(received: Notices) -> None:
    heard: list[Any] = []
    received.listen(PACE, heard.append)
    assert pickle.loads(pickle.dumps(NoticeMessage(PACE, pickle.dumps(2.5)))) == []
    assert heard == [2.5]


def test_who_listens_late_hears_the_last_one_and_of_its_own_kind_only(received: Notices) -> None:
    for stretch in (2.0, 3.0):
        take(PACE, pickle.dumps(stretch))
    take(GRANT, pickle.dumps("a grant"))
    heard: list[Any] = []
    received.listen(PACE, heard.append)
    assert heard == [3.0]


def test_what_cannot_be_read_does_no_harm_and_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    assert take(GRANT, b"canary") == []
    assert "A notice of the submit side (grant) cannot be used (UnpicklingError)" in caplog.text
    assert "canary" not in caplog.text


def test_a_listener_that_raises_does_no_harm(received: Notices) -> None:
    received.listen(PACE, lambda stretch: 1 / 0)
    assert take(PACE, pickle.dumps(1.0)) == []


def test_a_message_shows_nothing_of_what_it_says() -> None:
    assert repr(NoticeMessage(GRANT, b"canary")) == "<NoticeMessage grant>"


def test_to_parsl_it_looks_like_a_task_without_content() -> None:
    assert task_like(PACE, b"2") == {"task_id": 0, "context": {NOTICE: (PACE, b"2")}, "buffer": b""}
