"""Phrases: a text is passed over only where no expression could match."""

from __future__ import annotations

import time

import pytest

from octopus_plugins.wrath.rules.phrases import MAX_GRAMS, Phrases, Said, pieces


@pytest.mark.parametrize(
    ("phrase", "wanted"),
    [
        (r"\bdatabase is locked\b", ("database is locked",)),
        (r"\b(?:unable|failed) to lock\b", (" to lock",)),
        (r"(?:gpu|cuda) error", (" error",)),
        (r"\b(?:gone|lost)\b", ("gone", "lost")),
        (r"licen[sc]e", ("licen",)),
        (r"\w+?", ()),
        (r"(?:abc)?x", ()),
        (r"(?:abc|d)", ()),
        (r"ABC\b \d{3}", ("abc ",)),
    ],
)
def test_the_piece_is_one_that_no_match_can_do_without(phrase: str, wanted: tuple[str, ...]) -> None:
    assert pieces(phrase) == wanted


def find(phrases: Phrases, text: str) -> str | None:
    return phrases.find(Said(text))


def test_the_whole_line_is_found_whatever_its_case() -> None:
    phrases = Phrases(r"\bno such host\b", r"\bReset by peer\b")
    assert find(phrases, "one\n  dial: No Such Host x\nthree") == "  dial: No Such Host x"
    assert find(phrases, "reset BY PEER") == "reset BY PEER"
    assert find(phrases, "nothing of it") is None


def test_a_line_that_says_what_it_must_not_is_passed_over_and_a_later_one_found() -> None:
    phrases = Phrases(r"\bunavailable\b", unless=Phrases("fork"))
    assert find(phrases, "fork: unavailable\nservice unavailable") == "service unavailable"
    assert find(phrases, "fork: unavailable") is None


def test_a_phrase_does_not_reach_into_the_next_line() -> None:
    assert find(Phrases(r"\bfailed\b[^\n]{0,80}\block\b"), "failed\nlock") is None


def test_a_long_text_is_searched_as_a_short_one_is() -> None:
    phrases = Phrases(r"\bno such host\b")
    assert find(phrases, f"no such host {'x' * MAX_GRAMS}") is not None
    assert find(phrases, f"{'x' * MAX_GRAMS} no such file") is None


def test_a_begin_of_line_is_that_of_any_line() -> None:
    assert find(Phrases(r"^error: "), "x\nerror: y") == "error: y"


def test_a_long_hostile_text_takes_milliseconds() -> None:
    from octopus_plugins.events import ExceptionInfo, Failure
    from octopus_plugins.wrath import categorize

    said = "\n".join("the server module failed the error with token and image 500 " * 20 for _ in range(400))
    failure = Failure(run_id="r", time=1.0, task_id="1", exception=ExceptionInfo(type="X", message=said[:4096]))
    started = time.process_time()
    for _ in range(5):
        categorize(failure)
    assert (time.process_time() - started) / 5 < 0.1
