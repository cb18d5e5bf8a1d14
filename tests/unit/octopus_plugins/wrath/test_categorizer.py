"""Each cause is a real one: raised, killed or exhausted here, except where the text names what this machine lacks."""

from __future__ import annotations

import ctypes
import errno
import json
import math
import mmap
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from parsl.app.bash import remote_side_bash_executor
from parsl.app.python import timeout
from parsl.data_provider.files import File
from parsl.dataflow.errors import DependencyError, JoinError
from parsl.executors import ThreadPoolExecutor
from parsl.executors.errors import BadStateException, InvalidResourceSpecification
from parsl.executors.high_throughput.errors import ManagerLost, VersionMismatch, WorkerLost
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.serialize import deserialize, serialize
from parsl.serialize.errors import DeserializationError, SerializationError

from octopus_plugins.events import (
    Block,
    ExceptionInfo,
    Failure,
    Heartbeat,
    Limits,
    NodeState,
    Pool,
    Run,
    Usage,
    WorkerState,
    encode,
)
from octopus_plugins.wrath import DEFAULT_RULES, Category, History, Match, Rule, Trust, categorize

GB = 10**9


def bash(command, **keywords):
    """What Parsl's worker does for a bash app, for real."""

    def app(**_):
        return command

    return lambda: remote_side_bash_executor(app, **keywords)


def wrong_call():
    (lambda a, b: a)(1)


def import_absent():
    import octopus_no_such_module  # noqa: F401


def import_absent_below():
    try:
        import_absent()
    except ImportError as error:
        raise RuntimeError("the kernel cannot be set up") from error


def open_too_many():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)


def fill_disk():
    with Path("/dev/full").open("wb", buffering=0) as stream:
        stream.write(b"x")


def read_unmapped():
    descriptor = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        os.pread(descriptor, 1, 0)
    finally:
        os.close(descriptor)


def connect_to_closed_port():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    socket.create_connection(("127.0.0.1", port), timeout=5)


def resolve_nothing():
    socket.getaddrinfo("octopus.invalid", 80)


def execute_data():
    subprocess.run([__file__], check=True)


def break_process_pool():
    with ProcessPoolExecutor(1, mp_context=__import__("multiprocessing").get_context("spawn")) as pool:
        pool.submit(os._exit, 1).result()


def cancelled():
    future = Future()
    future.cancel()
    future.result()


def floating_point():
    with np.errstate(over="raise"):
        np.float64(1e300) * np.float64(1e300)


def busy():
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        pass


CASES = [
    (wrong_call, "code_error", "no"),
    (lambda: undefined_name, "code_error", "no"),  # noqa: F821
    (lambda: compile("def f(:", "app.py", "exec"), "code_error", "no"),
    (lambda: int("twelve"), "code_error", "unknown"),
    (lambda: {}["key"], "code_error", "unknown"),
    (lambda: None.shape, "code_error", "unknown"),
    (lambda: 1 / 0, "numerical_error", "unknown"),
    (lambda: math.exp(1000), "numerical_error", "unknown"),
    (lambda: np.linalg.inv(np.zeros((2, 2))), "numerical_error", "unknown"),
    (floating_point, "numerical_error", "unknown"),
    (Path("/no/such/input").read_text, "bad_input", "unknown"),
    (lambda: json.loads("{"), "bad_input", "unknown"),
    (lambda: b"\xff".decode(), "bad_input", "unknown"),
    (bash("exit 3"), "app_exit", "unknown"),
    (lambda: subprocess.run(["false"], check=True), "app_exit", "unknown"),
    (lambda: sys.exit(4), "app_exit", "unknown"),
    (bash("kill -KILL $$"), "app_exit", "unknown"),
    (bash("bash -c 'kill -KILL $$'; exit $?"), "app_exit", "unknown"),
    (bash("kill -SEGV $$"), "native_crash", "unknown"),
    (bash("bash -c 'kill -ABRT $$'; exit $?"), "native_crash", "unknown"),
    (bash("true", outputs=[File("/no/such/output")]), "missing_output", "unknown"),
    (lambda: serialize(n for n in range(3)), "serialization", "no"),
    (lambda: pickle.dumps(lambda: 0), "serialization", "no"),
    (lambda: pickle.loads(b"not a pickle"), "bad_input", "unknown"),
    (timeout(busy, 0.05), "walltime_exceeded", "unknown"),
    (bash("kill -XCPU $$"), "walltime_exceeded", "unknown"),
    (bash("timeout 0.05 sleep 1"), "walltime_exceeded", "unknown"),
    (lambda: bytearray(1 << 62), "memory_exhausted", "yes"),
    (lambda: np.ones((10**8, 10**7)), "memory_exhausted", "yes"),
    (lambda: mmap.mmap(-1, 1 << 60), "memory_exhausted", "yes"),
    (open_too_many, "file_descriptors_exhausted", "yes"),
    (fill_disk, "disk_full", "yes"),
    (read_unmapped, "filesystem_error", "yes"),
    (import_absent, "module_missing", "yes"),
    (import_absent_below, "module_missing", "yes"),
    (lambda: ctypes.CDLL("libnosuchthing.so.3"), "library_missing", "yes"),
    (bash("octopus-no-such-program"), "executable_missing", "yes"),
    (lambda: subprocess.run(["octopus-no-such-program"], check=True), "executable_missing", "yes"),
    (bash(__file__), "permission_denied", "unknown"),
    (execute_data, "permission_denied", "unknown"),
    (connect_to_closed_port, "network_unreachable", "yes"),
    (resolve_nothing, "network_unreachable", "yes"),
    (break_process_pool, "worker_lost", "yes"),
    (cancelled, "lost_task", "yes"),
]


@pytest.mark.parametrize(
    ("cause", "category", "resolvable"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_real_failure_gets_its_category(fail, cause, category, resolvable):
    found = categorize(fail(cause))
    assert (found.category, found.resolvable) == (category, resolvable), found
    assert found.layer == Category(category).layer.value
    assert 0 < found.confidence <= 1
    assert found.rule
    assert found.reason
    assert not found.reason.endswith(".")


def bad_state(error):
    return BadStateException(ThreadPoolExecutor(label="small"), error)


FRAMEWORK_CASES = [
    (lambda: WorkerLost(3, "small-0"), "worker_lost"),
    (lambda: ManagerLost(b"6f1c", "small-0"), "manager_lost"),
    (lambda: VersionMismatch("3.11.7", "3.10.2"), "version_mismatch"),
    (lambda: bad_state(RuntimeError("all blocks are gone")), "executor_bad_state"),
    (lambda: TooManyJobFailuresError("3 of 3 blocks failed"), "block_failed"),
    (lambda: SerializationError("app"), "serialization"),
    (lambda: DeserializationError("buffer of no known kind"), "serialization"),
    (lambda: InvalidResourceSpecification({"cores"}), "bad_input"),
    (lambda: DependencyError([(MemoryError(), "task 3")], 4), "dependency_failed"),
    (lambda: JoinError([(KeyError("x"), "task 7")], 8), "join_failed"),
]


@pytest.mark.parametrize(("make", "category"), FRAMEWORK_CASES, ids=[category for _, category in FRAMEWORK_CASES])
def test_what_parsl_reports_gets_its_category(fail, make, category):
    assert categorize(fail(make())).category == category


def test_a_failed_dependency_names_the_task_and_its_root_cause(fail):
    inner = DependencyError([(ZeroDivisionError("division by zero"), "task 1")], 2)
    found = categorize(fail(DependencyError([(inner, "task 2")], 3)))
    assert found.reason == "task 2 failed (ZeroDivisionError: division by zero)"
    assert found.resolvable == "no"


def test_a_module_that_the_submit_side_lacks_is_found_in_parsls_wrapper(fail, tmp_path, monkeypatch):
    (tmp_path / "octopus_remote_only.py").write_text("class RemoteError(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import octopus_remote_only

    sent = serialize(octopus_remote_only.RemoteError("x"))
    monkeypatch.delitem(sys.modules, "octopus_remote_only")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    try:
        deserialize(sent)
    except ModuleNotFoundError as error:  # as HighThroughputExecutor words it
        wrapped = DeserializationError(f"Received exception, but handling also threw an exception: {error}")
    found = categorize(fail(wrapped))
    assert (found.category, found.scope) == ("module_missing", "run")
    assert found.evidence["module"] == "octopus_remote_only"


def test_a_fork_that_is_refused_is_the_process_limit(fail):
    script = """
        import os, resource, subprocess, sys
        import msgspec
        from octopus_plugins.events.exceptions import failure_details
        if os.getuid() == 0:
            os.setuid(65534)  # root has no limit
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            subprocess.Popen(["true"])
        except OSError as error:
            sys.stdout.buffer.write(msgspec.json.encode(failure_details(error)))
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=True, env={**os.environ}
    )
    details = msgspec.json.decode(child.stdout)
    info = msgspec.convert(details["exception"], ExceptionInfo)
    assert info.attributes["errno"] == errno.EAGAIN
    failure = Failure(run_id="r", task_id="1", time=0.0, exception=info, traceback=details["traceback"])
    assert categorize(failure).category == "process_limit"


def test_eagain_on_a_pipe_is_no_process_limit(fail):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        found = categorize(fail(lambda: os.read(reading, 1)))
    finally:
        os.close(reading)
        os.close(writing)
    assert found.category == "code_error"


# -- memory -----------------------------------------------------------------------------------------------------------


def test_a_refused_allocation_is_told_with_what_was_asked_and_allowed(fail):
    failure = fail(lambda: np.ones((10**12, 125)), limits=Limits(address_space=GB))
    assert categorize(failure).reason == "ran out of memory on small-0 (asked for 999.5 TB under a limit of 1.0 GB)"


def test_a_worker_killed_at_its_cgroup_limit_ran_out_of_memory(fail):
    failure = fail(
        WorkerLost(0, "small-0"), usage=Usage(time=0.0, rss=960_000_000), limits=Limits(cgroup_memory=GB), signal=9
    )
    found = categorize(failure)
    assert (found.category, found.rule) == ("memory_exhausted", "memory_exhausted.killed")
    assert found.evidence["limit"] == GB


def test_a_worker_killed_far_from_any_limit_is_only_lost(fail):
    failure = fail(
        WorkerLost(0, "small-0"), usage=Usage(time=0.0, rss=1_000_000), limits=Limits(cgroup_memory=GB), signal=9
    )
    found = categorize(failure)
    assert (found.category, found.evidence["signal"]) == ("worker_lost", "SIGKILL")


def beat(time, kills, **fields):
    return Heartbeat(run_id="r", time=time, host="small-0", node=NodeState(time=time, oom_kills=kills), **fields)


def test_an_oom_kill_counted_during_the_try_explains_a_lost_worker(fail):
    history = History()
    history.observe(beat(10.0, 2))
    history.observe(beat(20.0, 3))
    lost = fail(WorkerLost(0, "small-0"), time=25.0, started=15.0)
    assert categorize(lost, history).category == "memory_exhausted"
    assert categorize(fail(WorkerLost(0, "small-0"), time=45.0, started=30.0), history).category == "worker_lost"


def test_a_count_that_rose_since_the_last_heartbeat_explains_a_lost_worker(fail):
    history = History()
    history.observe(beat(10.0, 2))
    lost = fail(WorkerLost(0, "small-0"), time=25.0, started=15.0, node=NodeState(time=24.0, oom_kills=3))
    assert categorize(lost, history).evidence["oom_kills"] == 1


def test_old_oom_kills_do_not_explain_a_lost_worker(fail):
    lost = fail(WorkerLost(0, "small-0"), node=NodeState(time=24.0, oom_kills=3))
    assert categorize(lost, History()).category == "worker_lost"


def test_a_worker_ended_by_sigterm_did_not_run_out_of_memory(fail):
    lost = fail(WorkerLost(0, "small-0"), usage=Usage(time=0.0, rss=GB), limits=Limits(cgroup_memory=GB), signal=15)
    assert categorize(lost).category == "worker_lost"


def test_memory_that_neighbours_used_up_is_told_apart(fail):
    node = NodeState(time=0.0, memory_total=64 * GB, memory_available=GB)
    greedy = fail(MemoryError(), node=node, usage=Usage(time=0.0, rss=50 * GB))
    modest = fail(MemoryError(), node=node, usage=Usage(time=0.0, rss=2 * GB))
    assert "neighbours" not in categorize(greedy).evidence
    assert categorize(modest).evidence["neighbours"] is True


def test_a_gpu_without_memory_is_the_gpus_matter(fail):
    # PyTorch's words; there is no GPU here to raise them.
    found = categorize(fail(RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 8 GiB total)")))
    assert found.category == "gpu_error"


# -- symptoms and their causes ----------------------------------------------------------------------------------------


def test_a_heartbeat_knows_the_signal_that_ended_a_worker(fail):
    history = History()
    worker = WorkerState(pid=77, alive=False, signal=int(signal.SIGSEGV))
    history.observe(Heartbeat(run_id="r", time=1.0, host="small-0", workers=(worker,)))
    assert categorize(fail(WorkerLost(0, "small-0"), pid=77), history).category == "native_crash"
    assert categorize(fail(WorkerLost(0, "small-0"), pid=78), history).category == "worker_lost"


@pytest.mark.parametrize(
    ("state", "category"),
    [
        ("TIMEOUT", "walltime_exceeded"),
        ("FAILED", "block_failed"),
        ("JobState.CANCELLED", "preempted"),
        ("RUNNING", "manager_lost"),
    ],
)
def test_a_lost_manager_is_explained_by_its_block(fail, state, category):
    history = History()
    history.observe(Block(run_id="r", time=1.0, executor="small", block="0", state=state))
    found = categorize(fail(ManagerLost(b"m", "small-0"), block="0"), history)
    assert found.category == category


def test_a_worker_lost_at_the_end_of_its_blocks_walltime_ran_out_of_time(fail):
    history = History()
    history.observe(Run(run_id="r", time=0.0, state="started", pools=(Pool(label="small", walltime=600.0),)))
    history.observe(Block(run_id="r", time=100.0, executor="small", block="0", state="RUNNING"))
    late = fail(WorkerLost(0, "small-0"), block="0", time=695.0)
    early = fail(WorkerLost(0, "small-0"), block="0", time=300.0)
    assert categorize(late, history).category == "walltime_exceeded"
    assert categorize(early, history).category == "worker_lost"


def test_a_lost_manager_of_a_node_whose_heartbeats_ended_is_a_node_down(fail):
    history = History()
    history.observe(Heartbeat(run_id="r", time=1.0, host="small-0", component="manager", state="lost"))
    assert categorize(fail(ManagerLost(b"m", "small-0")), history).category == "manager_lost"
    history.observe(Heartbeat(run_id="r", time=1.0, host="small-0", component="node", state="lost"))
    assert categorize(fail(ManagerLost(b"m", "small-0")), history).category == "node_down"


def test_sigterm_with_the_schedulers_words_is_a_preemption(fail):
    stderr = "slurmstepd: error: *** JOB 12 ON small-0 CANCELLED AT 2026-01-01 DUE TO PREEMPTION ***\n"
    assert categorize(fail(bash("kill -TERM $$"), stderr_tail=stderr)).category == "preempted"
    assert categorize(fail(bash("kill -TERM $$"))).category == "app_exit"


def test_a_traceback_on_standard_error_explains_a_programs_exit(fail, tmp_path):
    stderr = tmp_path / "stderr"
    command = f"{sys.executable} -c 'import octopus_no_such_module' 2>{stderr}"
    found = categorize(fail(bash(command), stderr_tail=stderr.read_text() if stderr.exists() else None))
    assert found.category == "app_exit"  # nothing was read yet
    found = categorize(fail(bash(command), stderr_tail=stderr.read_text()))
    assert (found.category, found.evidence["read_from_text"]) == ("module_missing", "ModuleNotFoundError")
    assert found.confidence < 0.9


def test_a_bug_on_standard_error_stays_the_programs_exit(fail):
    stderr = subprocess.run([sys.executable, "-c", "int('x')"], capture_output=True, text=True, check=False).stderr
    found = categorize(fail(bash("exit 1"), stderr_tail=stderr))
    assert found.category == "app_exit"
    assert "ValueError: invalid literal" in found.reason


def test_a_missing_library_of_a_program_is_not_a_missing_program(fail):
    # The words of glibc's loader; a program that lacks a library cannot be made without a compiler.
    stderr = "prog: error while loading shared libraries: libfoo.so.2: cannot open shared object file: No such file\n"
    found = categorize(fail(bash("exit 127"), stderr_tail=stderr))
    assert (found.category, found.evidence["subject"]) == ("library_missing", "libfoo.so.2")


def test_the_text_of_globus_compute_is_read_as_the_exception_that_it_quotes():
    class TaskExecutionFailed(Exception):
        """As globus_compute_sdk.errors.error_types has it: the text indented by one."""

        def __str__(self):
            return "\n" + textwrap.indent(self.args[0], " ")

    TaskExecutionFailed.__module__ = "globus_compute_sdk.errors.error_types"
    TaskExecutionFailed.__qualname__ = "TaskExecutionFailed"
    from octopus_plugins.events.exceptions import failure_details

    def failed(code):
        text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
        try:
            raise TaskExecutionFailed(text)
        except TaskExecutionFailed as error:
            return Failure(run_id="r", task_id="1", time=0.0, **failure_details(error))

    assert categorize(failed("x = bytearray(1 << 62)")).category == "memory_exhausted"
    assert categorize(failed("import octopus_no_such_module")).evidence["module"] == "octopus_no_such_module"
    assert categorize(failed("int('x')")).category == "code_error"
    assert categorize(failed("raise OSError(28, 'No space left on device')")).category == "disk_full"


def test_words_on_a_python_apps_standard_error_are_not_held_against_its_exception(fail):
    found = categorize(fail(lambda: int("x"), stderr_tail="connection refused, will retry\nno space left on device\n"))
    assert found.category == "code_error"


def test_different_pythons_explain_what_cannot_be_read(fail):
    history = History()
    history.observe(Run(run_id="r", time=0.0, state="started", versions={"python": "3.11.7"}))
    error = DeserializationError("buffer of no known kind")
    assert categorize(fail(error, versions={"python": "3.9.1"}), history).category == "version_mismatch"
    assert categorize(fail(error, versions={"python": "3.11.2"}), history).category == "serialization"


def test_a_node_that_fails_what_succeeds_elsewhere_is_unhealthy(fail, world):
    there = world()
    for number in range(4):
        there.succeed(f"good-{number}", "small-1")
    for number in range(2):
        there.observe(fail(lambda: int("x"), task_id=f"bad-{number}"))
    assert categorize(fail(lambda: int("x"), task_id="third"), there.history).category == "node_unhealthy"
    assert categorize(fail(lambda: int("x"), task_id="third", host="small-1"), there.history).category == "code_error"


# -- any failure at all ------------------------------------------------------------------------------------------------

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


# -- the engine -------------------------------------------------------------------------------------------------------


class LibraryError(Exception):
    pass


class ServerError(LibraryError):
    pass


LIBRARY_ERROR = f"{LibraryError.__module__}.LibraryError"


def test_a_rule_of_ones_own_placed_first_wins_over_its_equals(fail):
    rule = Rule(
        "mine", Category.network_unreachable, Trust.exact_type, lambda f, h: Match("the server slept"), (LIBRARY_ERROR,)
    )
    assert categorize(fail(ServerError("x"))).category == "code_error"
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


def test_this_file_is_no_program():
    # execute_data and the case of exit status 126 rest on it
    assert not Path(__file__).stat().st_mode & 0o111


def test_cancelled_means_the_futures_own_error(caught):
    assert isinstance(caught(cancelled), CancelledError)
