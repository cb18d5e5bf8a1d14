from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from parsl.executors.high_throughput.errors import WorkerLost

from octopus_plugins.events import (
    Block,
    Decision,
    ExceptionInfo,
    Failure,
    Heartbeat,
    NodeState,
    Pool,
    ResourceSample,
    Run,
    Task,
    Usage,
    WorkerState,
)
from octopus_plugins.events.task import Earlier
from octopus_plugins.wrath import History, Policy, categorize, signature
from octopus_plugins.wrath.history.lru import Recent
from octopus_plugins.wrath.history.run_state import MAX_SHOWN

NOW = 1_700_000_000.0


def import_absent():
    import octopus_no_such_module  # noqa: F401


def observed(history, failure):
    failure = replace(failure, categorization=categorize(failure, history))
    history.observe(failure)
    return failure


def decision(failure, **fields):
    return Decision(
        **({"run_id": failure.run_id, "task_id": failure.task_id, "time": failure.time, "action": "retry"} | fields)
    )


def test_a_tasks_failures_are_counted_by_category_signature_and_host(fail):
    history = History()
    first = observed(history, fail(import_absent))
    observed(history, fail(import_absent, try_id=1, host="small-1"))
    task = history.task("r", "1")
    assert task.attempts == {"module_missing": 2}
    assert task.signature_hosts(signature(first)) == {"small-0": 1, "small-1": 1}
    assert task.hosts("module_missing") == {"small-0", "small-1"}
    assert task.count("module_missing") == 2
    assert set(history.faulty_hosts(first, first.categorization)) == {"small-0", "small-1"}


def test_a_second_copy_is_one_event(fail):
    history = History()
    for _ in range(3):
        failure = observed(history, fail(import_absent))
        history.observe(decision(failure))
    assert history.task("r", "1").attempts == {"module_missing": 1}
    assert history.task("r", "1").charge == 1.0
    assert history.run("r").failures == 1
    assert history.host("small-0").tally.failures == 1


def test_a_decision_of_another_decider_charges_the_same_try_once(fail):
    history = History()
    failure = observed(history, fail(import_absent))
    history.observe(decision(failure, charge=0.5))
    history.observe(decision(failure, charge=1.0, decider="service"))
    assert history.task("r", "1").charge == 0.5


def proposed(failure, **fields):
    return decision(failure, **{"decider": "service", **fields})


def test_a_task_that_a_service_wants_to_end_is_remembered_until_its_run_says_that_it_ended(fail):
    history = History()
    failure = observed(history, fail(import_absent))
    history.observe(proposed(failure, action="terminate"))
    assert history.task("r", "1").attempts == {"module_missing": 1}
    history.observe(proposed(failure, action="terminate", serial="applied", order=7))
    assert history.task("r", "1") is None
    assert history.run("r").given_up == 1


def test_a_task_that_its_run_retries_against_a_service_is_charged_what_the_run_charged_and_not_given_up(fail):
    history = History()
    failure = observed(history, fail(import_absent))
    history.observe(proposed(failure, action="terminate"))
    assert history.run("r").given_up == 1
    history.observe(proposed(failure, charge=0.25, serial="applied", order=7))
    task, run = history.task("r", "1"), history.run("r")
    assert (task.charge, task.attempts, run.given_up) == (0.25, {"module_missing": 1}, 0)
    assert set(dict(run.causes.items()).values()) == {0}


def test_what_the_run_charged_takes_the_place_of_what_a_service_would_have(fail):
    history = History()
    failure = observed(history, fail(import_absent))
    for told in (
        proposed(failure),
        proposed(failure, charge=3.0, serial="applied", order=7),
        proposed(failure, charge=3.0, serial="applied", order=7),
    ):
        history.observe(told)
    assert history.task("r", "1").charge == 3.0


def test_what_a_service_decides_after_the_run_did_changes_nothing(fail):
    history = History()
    failure = observed(history, fail(import_absent))
    history.observe(decision(failure, charge=0.5, order=7))
    history.observe(proposed(failure, action="terminate", halts_run=True))
    history.observe(proposed(failure, charge=1.0))
    assert history.task("r", "1").charge == 0.5
    assert (history.run("r").given_up, history.halted("r")) == (0, None)


def test_a_run_is_stopped_by_what_a_service_decides_only_when_it_obeys(fail):
    history = History()
    failure = observed(history, fail(import_absent))
    history.observe(proposed(failure, action="terminate", halts_run=True, reason="enough"))
    assert history.halted("r") is None
    history.observe(proposed(failure, action="terminate", halts_run=True, reason="enough", serial="applied", order=7))
    assert history.halted("r") == "enough"


@pytest.mark.parametrize("state", ["exec_done", "memo_done", "failed", "dep_fail"])
def test_a_tasks_state_is_dropped_when_it_ends(fail, state):
    history = History()
    observed(history, fail(import_absent))
    history.observe(Task(run_id="r", task_id="1", time=2.0, state="fail_retryable"))
    assert history.task("r", "1") is not None
    history.observe(Task(run_id="r", task_id="1", time=2.0, state=state))
    assert history.task("r", "1") is None


def test_a_success_counts_for_the_place_where_the_task_ran():
    history = History()
    place = {"run_id": "r", "task_id": "1", "app": "app", "executor": "small"}
    history.observe(Task(**place, time=1.0, state="launched"))
    history.observe(Task(**place, time=2.0, state="running", host="small-0"))
    history.observe(Task(**place, time=3.0, state="running_ended", host="small-0"))
    assert history.app("r", "app") is None
    history.observe(Task(**place, time=4.0, state="exec_done"))
    assert history.app_on("r", "app", "small-0").successes == 1
    assert history.app("r", "app").successes == history.executor("r", "small").successes == 1
    assert history.host("small-0").tally.last_success == 4.0
    assert history.succeeded_elsewhere("r", "app", "small-1")
    assert not history.succeeded_elsewhere("r", "app", "small-0")


def test_a_memoised_task_is_no_success_of_any_node():
    history = History()
    history.observe(Task(run_id="r", task_id="1", time=1.0, state="memo_done", app="app", host="small-0"))
    assert history.app("r", "app") is None


def test_a_success_ends_a_streak(fail, world):
    there = world()
    for number in range(2):
        observed(there.history, fail(import_absent, task_id=str(number)))
    assert there.history.app_on("r", "app", "small-0").streak == 2
    there.succeed("9", "small-0")
    assert there.history.app_on("r", "app", "small-0").streak == 0


def test_hosts_of_an_executor_belong_to_their_run():
    history = History()
    for run, host in (("a", "h1"), ("a", "h2"), ("b", "h3")):
        history.observe(Heartbeat(run_id=run, time=5.0, host=host, executor="small"))
    assert dict(history.hosts("a", "small")) == {"h1": 5.0, "h2": 5.0}
    assert history.hosts("a", "large") == {}
    history.observe(Run(run_id="a", time=9.0, state="ended"))
    assert history.hosts("a", "small") == {}
    assert list(history.hosts("b", "small")) == ["h3"]


def test_statistics_of_hosts_go_across_runs(fail, world):
    there = world()
    there.succeed("1", "small-0")
    there.observe(Run(run_id="r", time=9.0, state="ended"))
    assert there.history.host("small-0").tally.successes == 1


def test_the_past_of_one_run_is_no_fault_in_another(fail):
    history = History()
    failure = observed(history, fail(import_absent, run_id="a"))
    assert history.faulty_hosts(replace(failure, run_id="b"), failure.categorization) == {}


def test_heartbeats_tell_nodes_and_dead_workers():
    history = History()
    workers = (WorkerState(pid=1), WorkerState(pid=2, alive=False, signal=9))
    node = NodeState(time=10.0, memory_total=5, oom_kills=1)
    history.observe(Heartbeat(run_id="r", time=10.0, host="h", period=10.0, workers=workers, node=node))
    assert history.dead_worker("h", 2).signal == 9
    assert history.dead_worker("h", 1) is None
    host = history.host("h")
    assert (host.node, host.oom_kills, host.oom_time) == (node, 1, 0.0)
    assert host.is_up(40.0)
    assert not host.is_up(41.0)
    history.observe(Heartbeat(run_id="r", time=72.0, host="h", state="draining"))
    assert not host.is_up(72.0)


def beat(time, **fields):
    return Heartbeat(**({"run_id": "r", "host": "h", "time": time, "period": 10.0} | fields))


@pytest.mark.parametrize(
    "told",
    [
        Task(run_id="r", task_id="1", time=1_000.0, state="launched"),
        Failure(run_id="r", task_id="1", time=1_000.0, exception=ExceptionInfo(type="KeyError")),
        Decision(run_id="r", task_id="1", time=1_000.0, action="retry"),
        Block(run_id="r", time=1_000.0, executor="small", block="0", state="RUNNING"),
        Run(run_id="r", time=1_000.0, state="started"),
        beat(1_000.0, host="other", component="manager"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_node_whose_clock_is_slow_is_up_while_it_is_heard(told):
    history = History()
    history.observe(told)
    history.observe(beat(910.0))
    host = history.host("h")
    assert host.is_up(1_030.0)
    assert not host.is_up(1_031.0)  # and down once it falls silent
    assert host.heartbeat == 910.0
    history.observe(Task(run_id="r", task_id="2", time=1_100.0, state="launched"))
    assert not host.is_up(1_100.0)
    history.observe(beat(1_010.0))
    assert host.is_up(1_100.0)


def test_the_clocks_of_nodes_and_workers_tell_no_time_of_others():
    history = History()
    history.observe(Task(run_id="r", task_id="1", time=5_000.0, state="running"))
    history.observe(Task(run_id="r", task_id="1", time=5_000.0, state="running_ended"))
    history.observe(beat(5_000.0, host="fast"))
    history.observe(Run(run_id="another", time=5_000.0, state="started"))
    history.observe(beat(1_000.0))
    assert not history.host("h").is_up(1_031.0)


def test_a_second_copy_of_a_heartbeat_is_no_sign_of_life():
    history = History()
    history.observe(beat(1_000.0))
    history.observe(Task(run_id="r", task_id="1", time=1_100.0, state="launched"))
    history.observe(beat(1_000.0))
    assert not history.host("h").is_up(1_100.0)


def test_a_slow_node_counts_again_when_it_is_heard_after_a_lost_worker_pool():
    history = History()
    history.observe(beat(900.0))
    history.observe(beat(1_000.0, component="manager", state="lost"))
    assert not history.host("h").is_up(1_000.0)
    history.observe(beat(910.0))
    assert history.host("h").is_up(1_000.0)


def test_a_lost_worker_pool_is_no_lost_node(fail):
    history = History()
    pool = Heartbeat(run_id="r", time=10.0, host="h", component="manager", executor="small")
    history.observe(pool)
    assert history.host("h").is_up(1_000.0)  # pools speak when they have work, not by the clock
    history.observe(replace(pool, time=20.0, state="lost"))
    assert (history.host("h").state, history.host("h").is_up(20.0)) == ("up", False)
    history.observe(replace(pool, time=30.0))
    assert history.host("h").is_up(30.0)


def test_a_run_that_speaks_again_keeps_what_it_said_before():
    history = History()
    pools = (Pool(label="small"),)
    history.observe(Run(run_id="r", time=1.0, state="started", retries=3, versions={"python": "3.11"}, pools=pools))
    history.observe(Run(run_id="r", time=2.0, state="configured", pools=(Pool(label="large"),)))
    run = history.run("r")
    assert (run.retries, run.versions, list(run.pools)) == (3, {"python": "3.11"}, ["large"])


def test_an_older_heartbeat_takes_nothing_back():
    history = History()
    history.observe(Heartbeat(run_id="r", time=20.0, host="h", state="up", node=NodeState(time=20.0, oom_kills=2)))
    history.observe(Heartbeat(run_id="r", time=10.0, host="h", state="lost", node=NodeState(time=10.0, oom_kills=1)))
    host = history.host("h")
    assert (host.state, host.oom_kills, host.oom_time) == ("up", 2, 0.0)


def test_a_block_keeps_when_it_began():
    history = History()
    for time, state in ((1.0, "PENDING"), (5.0, "JobState.RUNNING"), (9.0, "RUNNING"), (20.0, "TIMEOUT")):
        history.observe(Block(run_id="r", time=time, executor="small", block="0", state=state))
    block = history.block("r", "small", "0")
    assert (block.state, block.started) == ("TIMEOUT", 5.0)


def test_denied_hosts_expire_and_the_longest_denial_holds(fail):
    history = History()
    failure = fail(import_absent, time=100.0)
    history.observe(decision(failure, deny_hosts={"a": 200.0, "b": 150.0}))
    history.observe(decision(failure, try_id=1, deny_hosts={"a": 160.0}))
    assert history.denied_hosts(120.0, "r") == {"a": 200.0, "b": 150.0}
    assert history.denied_hosts(150.0, "r") == {"a": 200.0}
    assert history.is_denied("a", 199.0, "r")
    assert not history.is_denied("a", 200.0, "r")


def test_memory_stays_bounded_however_many_tasks_never_end(fail):
    history = History(maximum_tasks=100)
    failure = observed(history, fail(WorkerLost(0, "small-0")))
    for number in range(1_000):
        history.observe(replace(failure, task_id=str(number)))
        history.observe(Task(run_id="r", task_id=f"t{number}", time=1.0, state="running", host="h"))
    assert len(history._tasks) == len(history._places) == 100
    assert history.task("r", "999") is not None
    assert history.task("r", "0") is None


def test_one_task_with_ever_new_errors_is_remembered_in_bounds():
    history = History()
    for number in range(1_000):
        name = "E" + "abcdefghij"[number % 10] * (number // 10 + 1)
        history.observe(Failure(run_id="r", task_id="1", try_id=number, time=1.0, exception=ExceptionInfo(type=name)))
    assert len(history.task("r", "1").shown) == MAX_SHOWN
    assert sum(history.task("r", "1").attempts.values()) == 1_000


def test_samples_are_of_no_interest():
    history = History()
    history.observe(ResourceSample(run_id="r", task_id="1", time=1.0, usage=Usage(time=1.0)))
    assert history.run("r") is None
    assert history.errors == 0


def test_an_event_that_lies_about_its_types_is_counted_and_skipped():
    history = History()
    history.observe(Heartbeat(run_id="r", time="soon", host="h"))  # type: ignore[arg-type]
    history.observe(Task(run_id="r", task_id="1", time=1.0, state="running", host=["h"], executor="x"))  # type: ignore[arg-type]
    assert history.errors == 2


names = st.sampled_from(["a", "b", "c"])
times = st.floats(0, 1e3)
common = {"run_id": names, "time": times}
tried = {**common, "task_id": names, "try_id": st.integers(0, 3), "executor": names, "host": st.none() | names}
types, actions = st.sampled_from(["MemoryError", "ImportError"]), st.sampled_from(["retry", "terminate"])
events = st.one_of(
    st.builds(Task, **tried, state=st.sampled_from(["running", "exec_done", "failed", "launched"])),
    st.builds(Failure, **tried, exception=st.builds(ExceptionInfo, type=types)),
    st.builds(Decision, **tried, action=actions, deny_hosts=st.dictionaries(names, times)),
    st.builds(Heartbeat, **common, host=names, executor=st.none() | names, state=st.sampled_from(["up", "lost"])),
    st.builds(Run, **common, state=st.sampled_from(["started", "ended"])),
    st.builds(Block, **common, executor=names, block=names, state=st.sampled_from(["RUNNING", "FAILED"])),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(events, max_size=30))
def test_any_order_of_events_is_taken_in(stream):
    history = History()
    for event in stream:
        history.observe(event)
    assert history.errors == 0


# -- how far a run has got --------------------------------------------------------------------------------------------


def at(task_id, *states, time=NOW, **fields):
    place = {"run_id": "r", "task_id": str(task_id), "app": "app", "executor": "small", "time": time}
    return [Task(**(place | fields), state=state) for state in states]


def counts(history):
    run = history.run("r")
    return run.submitted, run.open_tasks, run.done


def test_tasks_are_counted_from_their_submission_to_their_end(fail, world, step):
    there = world()
    there.observe(*at(1, "pending", "launched", "running"), *at(2, "pending", "launched"), *at(3, "pending"))
    (app,) = there.history.run("r").open_tasks
    assert counts(there.history) == (3, {app: 3}, 0)
    there.observe(*at(1, "exec_done"), *at(2, "failed"))
    assert counts(there.history) == (3, {app: 1}, 1)
    there.observe(*at(3, "dep_fail"), *at(3, "dep_fail"))
    assert counts(there.history) == (3, {}, 1)


def test_states_that_are_told_together_count_like_those_told_alone():
    history = History()
    last = Task(run_id="r", task_id="1", time=NOW, state="launched", earlier=(Earlier(state="pending", time=NOW),))
    history.observe(last)
    assert history.run("r").submitted == 1


# -- what a retry may wait --------------------------------------------------------------------------------------------


def spare(history, time):
    history.run("r").now = time
    return history.run("r").spare


def test_retries_may_wait_for_a_fiftieth_of_the_run_so_far(world):
    history = world().history
    assert spare(history, NOW) == 0.0
    assert spare(history, NOW + 500) == 10.0


def test_all_retries_of_a_run_together_wait_no_longer(fail, world, step):
    there = world(began=NOW - 1_000)
    waits = [
        step(there.history, fail(ConnectionError("refused"), task_id=str(task), try_id=number), Policy()).delay
        for task in range(6)
        for number in range(5)
    ]
    assert 0 < sum(waits) <= 20.0


def test_of_a_run_that_nobody_saw_begin_nothing_can_be_said():
    history = History()
    for event in at(1, "pending", "launched"):
        history.observe(event)
    assert spare(history, NOW + 100) == 0.0


def test_what_the_retries_of_a_failure_came_to_is_counted_across_tasks(fail, world, step):
    there = world()
    for task in "123":
        for number in range(2):
            step(there.history, fail(import_absent, task_id=task, try_id=number, host=f"small-{number}"), Policy())
    defect = there.history.defect(fail(import_absent))
    assert (defect.repeated, defect.confirmed, defect.recovered) == (3, 3, 0)
    there.succeed("1", "small-2")
    there.observe(*at(2, "failed"))
    assert defect.recovered == 1


def test_a_task_that_never_failed_recovered_from_nothing(fail, world, step):
    there = world()
    step(there.history, fail(import_absent), Policy())
    there.succeed("2", "small-2")
    assert there.history.defect(fail(import_absent)).recovered == 0


def test_a_memoised_task_recovered_from_nothing(fail, world, step):
    there = world()
    step(there.history, fail(import_absent), Policy())
    there.observe(*at(1, "memo_done"))
    assert there.history.defect(fail(import_absent)).recovered == 0


def test_recent_forgets_what_was_not_used_for_longest():
    recent = Recent(2, list)
    recent.ensure("a").append(1)
    recent.ensure("b")
    assert recent.get("b") == []  # to look is not to use, or deciding would change what is forgotten
    recent.ensure("a")
    recent.ensure("c")
    assert ("a" in recent, "b" in recent, "c" in recent, len(recent)) == (True, False, True, 2)
    assert recent.pop("a") == [1]
    assert recent.get("a") is None
