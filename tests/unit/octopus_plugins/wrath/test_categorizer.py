"""The engine: which rule is tried when, and what becomes of its finding."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from octopus_plugins.events import (
    ExceptionInfo,
    Failure,
    Limits,
    NodeState,
    Usage,
    encode,
)
from octopus_plugins.wrath import DEFAULT_RULES, Category, History, Match, Rule, Trust, categorize

numbers = st.none() | st.integers(-(2**63), 2**63)


texts = st.text(max_size=30) | st.sampled_from(
    [
        "Traceback (most recent call last):\n" + "[Errno 9" * 900,
        "unable to allocate " + "9" * 3000 + " GiB",
        "CUDA error",
    ]
)


type_names = st.sampled_from(
    sorted(
        {name for rule in DEFAULT_RULES for name in rule.types}
        | {"globus_compute_sdk.errors.error_types.TaskExecutionFailed"}
    )
)


infos = st.builds(
    ExceptionInfo,
    type=type_names | texts,
    message=texts,
    mro=st.lists(type_names, max_size=4).map(tuple),
    attributes=st.dictionaries(
        st.sampled_from(["errno", "exitcode", "name", "filename", "hostname"]),
        numbers | texts | st.floats(),
        max_size=3,
    ),
    location=st.none() | texts,
)


failures = st.builds(
    Failure,
    run_id=st.just("r"),
    task_id=st.just("1"),
    time=st.floats(0, 1e10),
    exception=infos,
    causes=st.lists(infos, max_size=3).map(tuple),
    host=st.none() | texts,
    pid=numbers,
    exit_code=numbers,
    signal=numbers,
    stderr_tail=st.none() | texts,
    traceback=st.none() | texts,
    usage=st.none() | st.builds(Usage, time=st.just(0.0), rss=numbers, vms=numbers),
    limits=st.none()
    | st.builds(Limits, cgroup_memory=numbers, address_space=numbers, walltime=st.none() | st.floats()),
    node=st.none() | st.builds(NodeState, time=st.just(0.0), memory_total=numbers, memory_available=numbers),
)


@settings(max_examples=300, deadline=None)
@given(failures)
def test_any_failure_gets_a_category_and_no_built_in_rule_raises(failure):
    raised = []
    found = categorize(failure, History(), on_error=lambda rule, error: raised.append((rule.name, error)))
    assert not raised
    assert found.category in Category._value2member_map_
    assert encode(replace(failure, categorization=found))


class LibraryError(Exception):
    pass


class ServerError(LibraryError):
    pass


LIBRARY_ERROR = f"{LibraryError.__module__}.LibraryError"


def test_a_rule_of_ones_own_placed_first_wins_over_its_equals(fail):
    rule = Rule(
        "mine", Category.network_unreachable, Trust.exact_type, lambda f, h: Match("the server slept"), (LIBRARY_ERROR,)
    )
    assert categorize(fail(ServerError("x"))).category == "unknown"
    found = categorize(fail(ServerError("x")), None, (rule, *DEFAULT_RULES))
    assert (found.category, found.layer, found.rule) == ("network_unreachable", "environment", "mine")


def test_a_rule_with_types_sees_the_cause_that_has_one(fail):
    seen = []
    rule = Rule("mine", Category.bad_input, Trust.exact_type, lambda f, h: seen.append(f) or None, (LIBRARY_ERROR,))

    def outer():
        try:
            raise ServerError("below")
        except ServerError as error:
            raise RuntimeError("above") from error

    categorize(fail(outer), None, [rule])
    assert [failure.exception.message for failure in seen] == ["below"]


def test_a_rule_that_raises_is_reported_and_skipped(fail):
    def broken(failure, history):
        raise ValueError("plugin bug")

    rule = Rule("broken", Category.bad_input, Trust.exact_type, broken)
    told = []
    found = categorize(fail(MemoryError()), None, (rule, *DEFAULT_RULES), on_error=lambda *what: told.append(what))
    assert found.category == "memory_exhausted"
    assert [(bad.name, str(error)) for bad, error in told] == [("broken", "plugin bug")]


@pytest.mark.parametrize("finding", [Match("no such", category="no_such_category"), "not a Match", Match(reason=None)])
def test_a_finding_that_is_none_is_reported_and_skipped(fail, finding):
    rule = Rule("mistaken", Category.bad_input, Trust.exact_type, lambda failure, history: finding)
    told = []
    found = categorize(fail(MemoryError()), None, (rule, *DEFAULT_RULES), on_error=lambda *what: told.append(what))
    assert found.category == "memory_exhausted"
    assert [bad.name for bad, _ in told] == ["mistaken"]


def test_more_trust_goes_before_the_order_of_the_list(fail):
    weak = Rule("weak", Category.bad_input, Trust.text, lambda f, h: Match("weak"))
    strong = Rule("strong", Category.gpu_error, Trust.structured, lambda f, h: Match("strong"))
    assert categorize(fail(MemoryError()), None, [weak, strong]).rule == "strong"


def test_what_no_rule_knows_is_unknown(fail):
    found = categorize(fail(KeyboardInterrupt()))
    assert (found.layer, found.category, found.resolvable, found.confidence) == ("unknown", "unknown", "unknown", 0.0)


def test_a_finding_may_refine_its_rule(fail):
    match = Match("x", {"a": 1, "b": None}, 0.5, category=Category.node_down, scope="pool", resolvable="no")
    found = categorize(fail(MemoryError()), None, [Rule("r", Category.bad_input, Trust.text, lambda f, h: match)])
    assert (found.category, found.scope, found.resolvable, found.evidence) == ("node_down", "pool", "no", {"a": 1})


def test_rule_names_are_unique_and_start_with_their_category():
    assert len({rule.name for rule in DEFAULT_RULES}) == len(DEFAULT_RULES)
    assert all(rule.name.startswith(f"{rule.category}.") and rule.doc for rule in DEFAULT_RULES)


def test_every_category_but_unknown_has_a_rule():
    assert {rule.category for rule in DEFAULT_RULES} == set(Category) - {Category.unknown}
