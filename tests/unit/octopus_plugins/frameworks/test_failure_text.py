from __future__ import annotations

from typing import Any

from octopus_plugins.events import Categorization, Decision, ExceptionInfo, Failure
from octopus_plugins.frameworks import failure_text


def failure() -> Failure:
    return Failure(
        run_id="run",
        time=1.0,
        task_id="task",
        executor="endpoint",
        host="n1",
        exit_code=3,
        exception=ExceptionInfo(type="KeyError", message="'k'"),
        categorization=Categorization(
            layer="application", category="code_error", scope="task", confidence=0.9, reason="a bug"
        ),
    )


def decision(reason: str = "a bug; not retried") -> Decision:
    about = {"category": "code_error", "layer": "application"}
    return Decision(run_id="run", time=1.0, task_id="task", action="terminate", reason=reason, rule="r", **about)


def test_the_first_line_is_for_people_and_the_last_for_programs() -> None:
    told = failure_text.told("Traceback\n  KeyError: 'k'\n", failure(), decision())
    lines = told.splitlines()
    assert lines[0] == "Octopus: code_error on n1, terminate: a bug; not retried"
    assert lines[1:3] == ["Traceback", "  KeyError: 'k'"]
    machine = failure_text.read(told)
    assert machine is not None
    assert {key: machine[key] for key in ("category", "host", "exit_code", "exception", "action")} == {
        "category": "code_error",
        "host": "n1",
        "exit_code": 3,
        "exception": "KeyError",
        "action": "terminate",
    }
    assert "signal" not in machine


def test_a_reason_of_several_lines_stays_on_one() -> None:
    told = failure_text.told("text", failure(), decision("one\ntwo\n" * 1_000))
    assert told.splitlines()[0].startswith("Octopus: code_error on n1, terminate: one two one two")
    assert len(told) < 4_000


def test_it_is_read_however_the_sdk_indents_it() -> None:
    told = "\n " + failure_text.told("text", failure(), decision()).replace("\n", "\n ") + "\n"
    machine = failure_text.read(told)
    assert machine is not None
    assert machine["task_id"] == "task"


def test_text_without_the_line_or_with_a_broken_one_has_nothing_to_read() -> None:
    assert failure_text.read("Traceback\nKeyError") is None
    assert failure_text.read("octopus-failure: {broken") is None
    assert failure_text.read("octopus-failure: [1, 2]") is None


def test_whoever_submitted_takes_place_and_category_from_it() -> None:
    machine = failure_text.read(failure_text.told("text", failure(), decision("a decision's own words")))
    assert machine is not None
    assert failure_text.place(machine) == {"host": "n1", "exit_code": 3}
    found = failure_text.categorization(machine)
    assert found is not None
    assert (found.layer, found.category, found.confidence) == ("application", "code_error", 0.9)
    assert (found.rule, found.reason, found.evidence) == ("endpoint", "a bug", {"endpoint_rule": "r"})


def test_an_older_endpoint_tells_the_reason_of_its_decision_only() -> None:
    machine = {"layer": "application", "category": "code_error", "rule": "r", "reason": "a bug; not retried: why"}
    found = failure_text.categorization(machine)
    assert found is not None
    assert found.reason == "a bug; not retried: why"


def test_what_has_not_the_type_that_it_should_have_is_not_taken() -> None:
    assert failure_text.place({"host": 7, "pid": "seven", "signal": 9}) == {"signal": 9}
    assert failure_text.categorization({"category": "code_error", "layer": ["application"]}) is None
    assert failure_text.categorization({"host": "n1"}) is None


def test_an_exception_is_noted_once() -> None:
    error: Any = KeyError("k")
    error.__notes__ = ["the user's own"]
    failure_text.note(error, "Octopus: code_error, terminate: a bug")
    failure_text.note(error, "Octopus: code_error, terminate: a bug")
    assert error.__notes__ == ["the user's own", "Octopus: code_error, terminate: a bug"]


def test_a_class_that_takes_no_note_is_left_alone() -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: Any) -> None:
            raise SystemExit(name)

        def __getattr__(self, name: str) -> Any:
            raise SystemExit(name)

    failure_text.note(Frozen("x"), "Octopus: code_error")
