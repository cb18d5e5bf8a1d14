from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsl.app.errors import BashExitFailure, RemoteExceptionWrapper
from parsl.dataflow.errors import DependencyError
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from octopus_plugins.events import Failure, decode, encode
from octopus_plugins.events.exceptions import exception_info, failed_dependencies, failure_details
from octopus_plugins.events.failure import MAX_CAUSES, MAX_MESSAGE, MAX_TRACEBACK
from octopus_plugins.exception_description import MAX_ATTRIBUTES


def caught(action):
    try:
        action()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def as_event(error):
    """What the exception says, through the wire format and back."""
    failure = Failure(run_id="r", task_id="1", time=0.0, **failure_details(error))
    assert decode(encode(failure)) == failure
    return failure


def test_builtins_go_without_module_and_others_with_it():
    assert exception_info(MemoryError()).type == "MemoryError"
    assert exception_info(WorkerLost(0, "h")).type == "parsl.executors.high_throughput.errors.WorkerLost"


def test_the_mro_leaves_object_out():
    assert exception_info(ModuleNotFoundError()).mro == (
        "ModuleNotFoundError",
        "ImportError",
        "Exception",
        "BaseException",
    )


def test_attributes_of_builtins_and_of_instances_are_kept_when_plain():
    error = caught(Path("/no/such/file").read_text)
    assert exception_info(error).attributes == {
        "errno": 2,
        "strerror": "No such file or directory",
        "filename": "/no/such/file",
    }
    assert exception_info(WorkerLost(3, "small-0")).attributes == {"worker_id": 3, "hostname": "small-0"}
    assert exception_info(ManagerLost(b"6f1c", "small-0")).attributes["manager_id"] == "6f1c"
    assert exception_info(caught(lambda: __import__("octopus_no_such"))).attributes["name"] == "octopus_no_such"


def test_user_data_is_not_represented():
    class Secret:
        def __repr__(self):
            raise AssertionError("represented")

    secret = Secret()

    def read():
        return secret.absent

    failure = as_event(caught(read))
    assert failure.exception.attributes == {"name": "absent"}


def test_the_location_is_the_innermost_frame_that_is_not_the_frameworks():
    def users_code():
        raise KeyError("x")

    error = caught(users_code)
    assert exception_info(error).location == f"{__file__}:{users_code.__code__.co_firstlineno + 1} in users_code"
    from parsl.serialize import deserialize

    inside = exception_info(caught(lambda: deserialize(b"no header")))
    assert inside.location is not None
    assert "parsl" not in inside.location
    assert exception_info(WorkerLost(0, "h")).location is None


def test_a_traceback_that_came_from_a_worker_keeps_its_location():
    def users_code():
        raise KeyError("x")

    error = caught(users_code)
    import pickle

    arrived = pickle.loads(pickle.dumps(RemoteExceptionWrapper(type(error), error, error.__traceback__)))
    info = exception_info(caught(arrived.reraise))
    assert info.location is not None
    assert info.location.endswith("in users_code")


def test_causes_come_nearest_first_and_context_counts_unless_suppressed():
    def outer(*, suppress):
        try:
            try:
                raise KeyError("root")
            except KeyError as error:
                raise ValueError("middle") from error
        except ValueError:
            if suppress:
                raise RuntimeError("top") from None
            raise RuntimeError("top")  # noqa: B904

    details = failure_details(caught(lambda: outer(suppress=False)))
    assert [cause.type for cause in details["causes"]] == ["ValueError", "KeyError"]
    assert failure_details(caught(lambda: outer(suppress=True)))["causes"] == ()


def test_failed_dependencies_are_the_way_to_the_root_cause():
    inner = DependencyError([(ZeroDivisionError("x"), "task 1")], 2)
    outer = DependencyError([(inner, "task 2"), (KeyError("y"), "DataFuture from task 12")], 3)
    assert [info.type.rpartition(".")[2] for info in failure_details(outer)["causes"]] == [
        "DependencyError",
        "ZeroDivisionError",
    ]
    assert failed_dependencies(outer) == ("2", "12")
    assert failed_dependencies(ValueError()) == ()


@pytest.mark.parametrize(
    ("error", "code", "signal"),
    [
        (BashExitFailure("app", 3), 3, None),
        (BashExitFailure("app", 137), 137, None),
        (BashExitFailure("app", -9), None, 9),
        (subprocess.CalledProcessError(2, "x"), 2, None),
        (SystemExit(4), 4, None),
        (SystemExit("text"), None, None),
        (ValueError(), None, None),
    ],
)
def test_exit_code_and_signal_are_told_apart(error, code, signal):
    details = failure_details(error)
    assert (details["exit_code"], details["signal"]) == (code, signal)


# -- hostile exceptions -----------------------------------------------------------------------------------------------


class SaysNothing(Exception):
    def __str__(self):
        raise SystemExit("from __str__")


class NoAttributes(Exception):
    @property
    def __dict__(self):
        raise RuntimeError("no")

    @property
    def dependent_exceptions_tids(self):
        raise RuntimeError("no")


class Flood(Exception):
    def __init__(self):
        super().__init__("é" * 10_000_000)
        for number in range(1000):
            setattr(self, f"a{number}", "x" * 100_000)


class Odd(Exception):
    def __init__(self):
        super().__init__("\udcff lone")
        self.big = 10**400
        self.huge_negative = -(2**70)
        self.nested = {"a": [1]}
        self.text = type("Str", (str,), {"__str__": lambda self: 1 / 0})("kept")
        self.file = "\udcfe"
        self.raw = b"\x00\xff"
        self.__dict__[7] = "a key that is no text"


def cyclic():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def deep():
    error = ValueError("0")
    for number in range(1, 500):
        outer = ValueError(str(number))
        outer.__cause__ = error
        error = outer
    return error


def recursive():
    return recursive()


class LiesAboutDependencies(Exception):
    dependent_exceptions_tids = 5


HOSTILE = [SaysNothing, NoAttributes, Flood, Odd, cyclic, deep, lambda: caught(recursive), LiesAboutDependencies]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_exception_becomes_a_bounded_event(make):
    def throw():
        raise make()

    error = caught(throw)
    failure = as_event(error)
    assert len(failure.exception.message) <= MAX_MESSAGE
    assert len(failure.traceback or "") <= MAX_TRACEBACK
    assert len(failure.causes) <= MAX_CAUSES
    assert len(failure.exception.attributes) <= MAX_ATTRIBUTES
    assert len(encode(failure)) < 200_000
    assert failed_dependencies(error) == ()


def test_a_message_that_cannot_be_read_says_so():
    assert exception_info(SaysNothing()).message == "<message that cannot be read>"


def test_what_is_plain_in_an_odd_exception_is_kept():
    info = exception_info(Odd())
    assert info.message == "? lone"
    assert info.attributes == {"text": "kept", "file": "?"}


def test_an_interrupt_is_not_swallowed():
    class Interrupted(Exception):
        def __str__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exception_info(Interrupted())


@given(st.text(), st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.binary()))
def test_any_message_and_attributes_survive_the_wire(message, attributes):
    error = ValueError(message)
    error.__dict__.update(attributes)
    failure = Failure(run_id="r", task_id="1", time=0.0, **failure_details(error))
    assert msgspec.json.decode(encode(failure))["data"]["exception"].get("message", "") == failure.exception.message


def test_the_module_loads_no_framework():
    code = "import sys, octopus_plugins.events.exceptions; sys.exit('parsl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_exception_is_asked_once_what_it_says() -> None:
    class CountingError(Exception):
        asked = 0

        def __str__(self) -> str:
            CountingError.asked += 1
            return "one"

    try:
        try:
            raise CountingError
        except CountingError as cause:
            raise ValueError("two") from cause
    except ValueError as error:
        details = failure_details(error)
    assert CountingError.asked == 1
    assert details["causes"][0].message == "one"
    lines = details["traceback"].splitlines()
    assert lines[-1] == "ValueError: two"
    assert any(line.endswith("CountingError: one") for line in lines)


def test_a_traceback_has_what_python_says_beyond_a_message() -> None:
    noted = ValueError("two")
    noted.__notes__ = ["a note"]  # type: ignore[attr-defined]
    try:
        compile("a = = 1", "script.py", "exec")
    except SyntaxError as error:
        assert 'File "script.py", line 1' in failure_details(error)["traceback"]
    if sys.version_info >= (3, 11):
        assert failure_details(noted)["traceback"].splitlines()[-1] == "a note"
