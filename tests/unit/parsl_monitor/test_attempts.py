from __future__ import annotations

import threading

from parsl_monitor.run.attempts import Attempt, Attempts


def test_the_submission_a_thread_made_last_is_the_one_it_claims() -> None:
    attempts = Attempts()
    attempt = attempts.open("small")
    assert attempts.claim("7", 2, "small") is attempt
    assert (attempt.task_id, attempt.try_id, attempt.executor) == ("7", 2, "small")
    assert attempts.of_task("7") is attempt


def test_a_submission_is_claimed_once() -> None:
    attempts = Attempts()
    attempts.open("small")
    attempts.claim("7", 0, "small")
    assert attempts.claim("8", 0, "small") is None
    assert attempts.of_task("8") is None


def test_a_thread_does_not_claim_what_another_submitted() -> None:
    attempts = Attempts()
    mine = attempts.open("small")
    theirs: list[Attempt | None] = []

    def other() -> None:
        theirs.append(attempts.claim("8", 0, "small"))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert theirs == [None]
    assert attempts.claim("7", 0, "small") is mine


def test_an_attempt_is_known_by_its_executor_s_number_until_its_try_is_over() -> None:
    attempts = Attempts()
    attempt = attempts.open("small")
    attempts.sent(attempt, 11)
    attempts.claim("7", 0, "small")
    assert attempts.of_number("small", 11) is attempt
    assert attempts.of_number("large", 11) is None
    attempts.close("7")
    assert attempts.of_number("small", 11) is None
    assert len(attempts) == 0


def test_closing_a_task_that_was_never_submitted_is_nothing() -> None:
    attempts = Attempts()
    attempts.close("7")
    assert len(attempts) == 0


def test_what_one_executor_could_not_submit_is_not_another_s() -> None:
    attempts = Attempts()
    attempts.open("small")
    assert attempts.claim("7", 0, "threads") is None
    assert attempts.claim("8", 0, "small") is None


def test_outstanding_are_the_attempts_of_tasks_whose_try_is_not_over() -> None:
    attempts = Attempts()
    first = attempts.open("small")
    attempts.claim("7", 0, "small", "app")
    second = attempts.open("small")
    attempts.claim("8", 0, "small")
    assert attempts.outstanding() == [first, second]
    assert first.app == "app"
    attempts.close("7")
    assert attempts.outstanding() == [second]
