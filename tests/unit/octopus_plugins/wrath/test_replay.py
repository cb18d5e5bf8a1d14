"""A recorded run judged once more."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from octopus_plugins.events import (
    ANY,
    Categorization,
    Decision,
    Event,
    ExceptionInfo,
    Failure,
    Heartbeat,
    Pool,
    Run,
    Task,
    decode,
    encode,
)
from octopus_plugins.wrath import Category, CategoryPolicy, History, Policy, decide
from octopus_plugins.wrath.policy.data import policy_from_data, policy_to_data
from octopus_plugins.wrath.replay.replay import EFFECTS, canonical, in_order, missing, recorded_policy, replay
from octopus_plugins.wrath.replay.summary import summarise

START = 1_700_000_000.0
KINDS = (
    ("MemoryError", Category.memory_exhausted, "task"),
    ("ModuleNotFoundError", Category.module_missing, "node"),
    ("KeyError", Category.code_error, "task"),
    ("parsl.executors.high_throughput.errors.WorkerLost", Category.worker_lost, "worker"),
    ("OSError", Category.disk_full, "node"),
)


class Recorder:
    """A run as the workflow's own process lives it: what it tells, its history has seen, in that order."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.history = History()
        self.events: list[Event] = []
        self.now = START
        self.tell(Run(run_id="r", time=self.now, state="started"))
        pools = tuple(Pool(label=label, kind="HTEX", steerable=True) for label in ("small", "large"))
        policy_data = policy_to_data(policy)
        self.tell(Run(run_id="r", time=self.now, state="configured", retries=3, pools=pools, policy=policy_data))

    def tell(self, *events: Event) -> None:
        for event in events:
            event = msgspec.structs.replace(event, order=len(self.events) + 1)
            self.history.observe(event)
            self.events.append(event)

    def fail(self, task_id: str, try_id: int, host: str, kind: int, executor: str = "small") -> Decision:
        self.now += 0.25
        name, category, scope = KINDS[kind]
        failure = Failure(
            run_id="r", time=self.now, task_id=task_id, try_id=try_id, app=f"app-{kind}", executor=executor, host=host,
            exception=ExceptionInfo(type=name, message=f"about {kind}", mro=(name, "Exception")),
            categorization=Categorization(
                layer=category.layer.value, category=category.value, scope=scope, resolvable="yes", confidence=0.9,
                rule="test", reason=f"{category} on {host}", evidence={"subject": "thing"},
            ),
        )  # fmt: skip
        decision = decide(failure, self.history, self.policy)
        self.tell(failure, decision)
        return self.events[-1]  # type: ignore[return-value]

    def state(self, task_id: str, try_id: int, state: str, **place: Any) -> None:
        self.now += 0.05
        # The worker's clock goes wrong by a minute.
        time = self.now - 60 if state.startswith("running") else self.now
        self.tell(Task(run_id="r", time=time, task_id=task_id, try_id=try_id, state=state, app="app", **place))

    def beat(self, host: str) -> None:
        self.tell(Heartbeat(run_id="r", time=self.now + 30, host=host, executor="small", period=5.0))


def recorded(policy: Policy | None = None, *, seed: int = 1, tasks: int = 40) -> list[Event]:
    """A run in which much goes wrong, on five nodes."""
    chance = random.Random(seed)
    run = Recorder(policy or Policy(ladder=("small", "large")))
    for task in range(tasks):
        executor = "small"
        for attempt in range(8):
            host = f"{executor}-{chance.randrange(5)}"
            run.beat(host)
            run.state(str(task), attempt, "launched", executor=executor)
            run.state(str(task), attempt, "running", executor=executor, host=host)
            if chance.random() < 0.4:
                run.state(str(task), attempt, "exec_done", executor=executor, host=host)
                break
            decision = run.fail(str(task), attempt, host, chance.randrange(len(KINDS)), executor)
            if decision.action == "terminate":
                run.state(str(task), attempt, "failed", executor=executor)
                break
            if decision.placement is not None and decision.placement.executor:
                executor = decision.placement.executor
    return run.events


def written(decisions: Any) -> bytes:
    return b"\n".join(canonical(one.decision) for one in decisions)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_policy_gives_the_decisions_of_the_record(seed: int) -> None:
    events = recorded(seed=seed)
    policy = policy_from_data(recorded_policy(events) or {})
    found = list(replay(events, policy))
    assert len(found) > 20
    assert [one.differs for one in found] == [()] * len(found)
    assert written(found) == b"\n".join(canonical(one.recorded) for one in found if one.recorded is not None)


def test_the_order_of_arrival_and_second_copies_change_nothing() -> None:
    events = recorded()
    expected = written(replay(events, Policy(ladder=("small", "large"))))
    mixed = [*events, *events[::3]]
    random.Random(7).shuffle(mixed)
    arrived = [event for event in (decode(encode(event)) for event in mixed) if event is not None]
    assert written(replay(arrived, Policy(ladder=("small", "large")))) == expected


def test_another_process_with_another_hash_seed_decides_the_same_byte_for_byte(tmp_path: Path) -> None:
    events = recorded(seed=3)
    policy = Policy(ladder=("small", "large"))
    (tmp_path / "run.jsonl").write_bytes(b"\n".join(map(encode, events)))
    script = """
import sys
from octopus_plugins.events import decode
from octopus_plugins.wrath import Policy
from octopus_plugins.wrath.replay.replay import canonical, replay
events = [decode(line) for line in open(sys.argv[1], "rb")]
found = replay(events, Policy(ladder=("small", "large")))
sys.stdout.buffer.write(b"\\n".join(canonical(one.decision) for one in found))
"""
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "run.jsonl")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert done.stdout == written(replay(events, policy))


def test_a_policy_that_was_read_from_a_file_gives_the_same_bytes_as_the_built_in_one() -> None:
    events = recorded(tasks=5)
    text = msgspec.json.encode(policy_to_data(Policy(ladder=("small", "large"))))
    read = policy_from_data(msgspec.json.decode(text))
    assert written(replay(events, read)) == written(replay(events, Policy(ladder=("small", "large"))))


def test_another_policy_is_judged_on_the_history_that_really_was() -> None:
    events = recorded()
    stern = Policy(categories={Category.memory_exhausted: CategoryPolicy(action="terminate")})
    found = list(replay(events, stern))
    memory = [one for one in found if one.failure.categorization.category == "memory_exhausted"]
    assert memory
    assert {one.decision.action for one in memory} == {"terminate"}
    # Later tries are judged too, although this policy would not have made them.
    assert any(one.failure.try_id for one in memory)
    assert any("action" in one.changes for one in memory)


def test_fields_that_only_explain_are_no_change_of_what_happens() -> None:
    events = recorded()
    found = list(replay(events, Policy(name="other", ladder=("small", "large"))))
    assert {one.differs for one in found} == {("policy",)}
    assert {one.changes for one in found} == {()}


def test_no_decision_hangs_on_the_words_of_the_events_before_it() -> None:
    policy = Policy(ladder=("small", "large"))
    events = recorded(policy)
    plain = list(replay(events, policy))
    altered = list(replay([in_other_words(event) for event in events], policy))
    assert len(plain) > 20
    names = sorted(EFFECTS | {"stop", "rule"})
    for one, other in zip(plain, altered, strict=True):
        assert [getattr(one.decision, name) for name in names] == [getattr(other.decision, name) for name in names]


def in_other_words(event: Event) -> Event:
    """The event with every sentence of ours in it backwards."""
    if isinstance(event, Failure) and event.categorization is not None:
        found = msgspec.structs.replace(event.categorization, reason=event.categorization.reason[::-1])
        return msgspec.structs.replace(event, categorization=found)
    if not isinstance(event, Decision):
        return event
    rungs = tuple(msgspec.structs.replace(rung, reason=rung.reason[::-1]) for rung in event.considered)
    changed = {name: getattr(event, name)[::-1] for name in ("reason", "why_not", "systemic")}
    return msgspec.structs.replace(event, considered=rungs, **changed)


def test_what_an_older_version_did_not_say_of_a_termination_is_no_difference() -> None:
    run = Recorder(Policy())
    run.tell(Run(run_id="r", time=run.now, state="configured", retries=0))
    own = run.fail("1", 0, "small-0", 2)
    assert (own.action, own.stop, own.why_not) == ("terminate", "no_retries", "the run allows no retries")
    older = msgspec.structs.replace(own, stop="", why_not="")
    (one,) = replay([older if event == own else event for event in run.events], Policy())
    assert (one.recorded, one.decision.stop, one.differs) == (older, own.stop, ())


def test_a_failure_that_nobody_decided_is_judged_and_differs_from_nothing() -> None:
    events = [event for event in recorded() if not isinstance(event, Decision)]
    found = list(replay(events, Policy()))
    assert found
    assert {(one.recorded, one.differs) for one in found} == {(None, ())}


def test_failures_are_categorised_again_only_when_asked_for() -> None:
    (event,) = [event for event in recorded(tasks=8) if isinstance(event, Failure)][:1]
    wrong = msgspec.structs.replace(event, categorization=Categorization(layer="runtime", category="disk_full"))
    (kept,) = replay([wrong], Policy())
    assert kept.decision.category == "disk_full"
    (anew,) = replay([wrong], Policy(), categorize_again=True)
    assert anew.decision.category != "disk_full"
    (first,) = replay([msgspec.structs.replace(event, categorization=None)], Policy())
    assert first.decision.category == anew.decision.category


def test_gaps_in_the_order_are_counted() -> None:
    events = recorded()
    assert missing(events) == 0
    kept = [event for event in events if not isinstance(event, Heartbeat)]
    assert missing(kept) == len(events) - len(kept)
    assert missing([msgspec.structs.replace(event, order=0) for event in events]) == 0


def test_what_others_decided_of_the_run_comes_where_its_time_falls() -> None:
    run = Recorder(Policy())
    run.beat("small-1")
    run.fail("1", 0, "small-0", 0)
    by_hand = Decision(
        run_id=ANY, time=run.now + 0.1, task_id=ANY, action="deny", decider="person", serial="x",
        deny_hosts={"small-1": run.now + 900},
    )  # fmt: skip
    run.fail("2", 0, "small-0", 0)
    ordered = in_order([by_hand, *run.events])
    place = ordered.index(by_hand)
    assert [event.id for event in ordered[place - 1 : place + 2 : 2]] == [
        "r/1/0/decision/workflow",
        "r/2/0/failure",
    ]


def test_what_a_run_tells_again_has_the_place_where_it_was_first_told() -> None:
    events = recorded(tasks=5)
    (configured,) = [event for event in events if isinstance(event, Run) and event.state == "configured"]
    again = msgspec.structs.replace(configured, order=0, time=configured.time + 900.0)
    assert in_order([*events, again]) == in_order([again, *events]) == in_order(events)


def test_a_run_that_told_no_order_goes_by_time_and_failures_before_their_decisions() -> None:
    events = [msgspec.structs.replace(event, order=0) for event in recorded(tasks=5)]
    random.Random(3).shuffle(events)
    ordered = in_order(events)
    assert [event.time for event in ordered] == sorted(event.time for event in ordered)
    decided = [event.id for event in ordered if isinstance(event, (Failure, Decision))]
    for number, name in enumerate(decided):
        if name.endswith("/failure"):
            assert decided[number + 1] == name.replace("/failure", "/decision/workflow")


def test_a_decision_of_the_service_counts_only_where_the_workflow_made_none() -> None:
    run = Recorder(Policy())
    own = run.fail("1", 0, "small-0", 2)
    late = msgspec.structs.replace(own, order=0, decider="service", action="terminate", charge=9.0, time=run.now + 5)
    (one,) = replay([*run.events, late], Policy())
    assert one.recorded == own
    honoured = [event for event in run.events if event != own]
    (one,) = replay([*honoured, late], Policy())
    assert one.recorded == late
    assert one.differs[0] == "action"
    assert not {"decider", "serial", "time"} & set(one.differs)


def test_the_latest_policy_that_the_run_told_is_its_policy() -> None:
    events = recorded(Policy(name="mine", ladder=("a", "b")))
    assert policy_from_data(recorded_policy(events) or {}) == Policy(name="mine", ladder=("a", "b"))
    assert recorded_policy(events[:1]) is None


def test_the_summary_counts_what_a_policy_would_have_saved_and_lost() -> None:
    run = Recorder(Policy())
    for attempt in range(2):
        run.fail("lost", attempt, f"small-{attempt}", 3)
    run.state("lost", 1, "failed")
    run.fail("rescued", 0, "small-0", 3)
    run.state("rescued", 1, "exec_done")
    stern = Policy(categories={Category.worker_lost: CategoryPolicy(action="terminate")})
    found = list(replay(run.events, stern))
    retried = [one for one in found if one.recorded is not None and one.recorded.action == "retry"]
    summary = summarise(found, run.events, exact=False)
    assert (summary.failures, summary.undecided) == (3, 0)
    assert summary.retries_saved == len(retried) >= 2
    assert (summary.tries_saved, summary.tries_wasted, summary.rescued_lost) == (2, 1, 1)
    assert summary.retries_added == 0
    back = summarise(replay(run.events, Policy()), run.events, exact=True)
    assert (back.same, back.different, back.retries_saved) == (3, 0, 0)
