from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from octopus_plugins.events import Block, Decision, ExceptionInfo, Failure, Heartbeat, Pool, Run, Task, decode, encode
from octopus_plugins.wrath import History, categorize, decide, policy_from

NOW = 1_700_000_000.0

EAGER = {
    "breaker": {"minimum_tasks": 3},
    "deny": {"level": 0.9, "tasks": 1},
    "termination": {"cost": 1, "pause": 1, "recovery": 0.5},
}
"""A policy by which little evidence is enough, so that short streams come to every kind of decision."""

CHILD = """
import sys
from tests.unit.octopus_plugins.wrath.test_determinism import answer
for line in sys.stdin:
    print(answer(line), flush=True)
"""


def decisions(stream):
    """What is decided about each failure of a stream, encoded."""
    history, policy = History(), policy_from(EAGER, ladder=["small", "large"])
    told = []
    for event in stream:
        if isinstance(event, Failure):
            failure = replace(event, categorization=categorize(event, history))
            decision = decide(failure, history, policy)
            told.append(msgspec.json.encode(decision).decode())
            history.observe(failure)
            history.observe(decision)
        else:
            history.observe(event)
    return told


def answer(line):
    """The decisions on a stream that is one line of JSON, as one line of JSON."""
    return json.dumps(decisions([decode(text.encode()) for text in json.loads(line)]))


names = st.sampled_from([f"small-{number}" for number in range(5)])
times = st.integers(0, 30).map(lambda seconds: NOW + seconds)
common = {"run_id": st.just("r"), "time": times}
tried = {
    **common,
    "task_id": st.sampled_from("abcdef"),
    "try_id": st.integers(0, 4),
    "app": st.sampled_from(["f", "g"]),
    "executor": st.sampled_from(["small", "large"]),
    "host": names,
}
exceptions = st.sampled_from(
    [
        ExceptionInfo(type="ModuleNotFoundError", mro=("ModuleNotFoundError", "ImportError"), attributes={"name": "m"}),
        ExceptionInfo(type="OSError", mro=("OSError",), attributes={"errno": 28}, message="No space left on device"),
        ExceptionInfo(type="ValueError", mro=("ValueError",), message="bad 12", location="f.py:1 in f"),
        ExceptionInfo(type="MemoryError", mro=("MemoryError",), message="Unable to allocate 8.00 GiB"),
        ExceptionInfo(type="parsl.executors.high_throughput.errors.WorkerLost", attributes={"hostname": "small-1"}),
        ExceptionInfo(type="ConnectionRefusedError", mro=("ConnectionRefusedError", "ConnectionError", "OSError")),
    ]
)
pools = tuple(Pool(label=label, steerable=True, observed=True) for label in ("small", "large"))
events = st.one_of(
    st.builds(Failure, **tried, exception=exceptions, started=times, ended=times),
    st.builds(Task, **tried, state=st.sampled_from(["pending", "launched", "running", "running_ended", "exec_done"])),
    st.builds(Task, **tried, state=st.sampled_from(["exec_done", "failed"])),
    st.builds(Heartbeat, **common, host=names, executor=st.just("small"), period=st.just(10.0)),
    st.builds(Heartbeat, **common, host=names, component=st.just("manager"), state=st.sampled_from(["up", "lost"])),
    st.builds(Run, **common, state=st.just("configured"), retries=st.integers(0, 5), pools=st.just(pools)),
    st.builds(Block, **common, executor=st.just("small"), block=st.just("0"), state=st.just("RUNNING")),
    st.builds(
        Decision,
        **common,
        task_id=st.just("*"),
        action=st.sampled_from(["deny", "allow"]),
        decider=st.just("person"),
        deny_hosts=st.dictionaries(names, times, max_size=2),
        deny_app=st.sampled_from(["", "f"]),
    ),
)


@pytest.fixture(scope="module")
def child(request):
    """Answers in a process of its own, with another seed of hashes."""
    root = request.config.rootpath
    environment = {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(root), "PATH": ""}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env=environment,
    ) as process:
        yield process
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=st.lists(events, min_size=5, max_size=60))
def test_the_same_stream_gives_the_same_decisions_byte_for_byte_in_any_process(child, stream):
    lines = [encode(event).decode() for event in stream]
    here = decisions([decode(line.encode()) for line in lines])
    child.stdin.write(json.dumps(lines) + "\n")
    child.stdin.flush()
    assert json.loads(child.stdout.readline()) == here
    assert decisions(stream) == here


@settings(max_examples=60, deadline=None)
@given(stream=st.lists(events, max_size=40))
def test_every_stream_is_taken_in_and_every_decision_stands_on_its_own(stream):
    history, policy = History(), policy_from(EAGER, ladder=["small", "large"])
    for event in stream:
        if isinstance(event, Failure):
            failure = replace(event, categorization=categorize(event, history))
            decision = decide(failure, history, policy)
            assert decide(failure, history, policy) == decision
            assert (decision.placement is not None) == (decision.action == "retry")
            assert decision.reason
            if decision.placement is not None:
                assert not set(decision.placement.prefer_hosts) & set(decision.placement.avoid_hosts)
                preferred = decision.placement.prefer_hosts
                assert not any(history.is_denied(host, failure.time, "r", failure.app) for host in preferred)
            history.observe(failure)
            history.observe(decision)
        else:
            history.observe(event)
    assert history.errors == 0
