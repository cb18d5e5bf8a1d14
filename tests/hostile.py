"""Hostile records: real events, mutated as JSON, and what was never an event.

``OCTOPUS_FUZZ_EXAMPLES=5000`` (``make fuzz``) tries more of them, each time others; without it they are always the
same.
"""

from __future__ import annotations

import os
import random
import types
import typing
from collections.abc import Callable, Container, Iterator
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from octopus_plugins.errors import SchemaError
from octopus_plugins.events import (
    EVENT_CLASSES,
    Block,
    Categorization,
    Decision,
    Event,
    ExceptionInfo,
    Failure,
    Heartbeat,
    Limits,
    NodeState,
    Placement,
    Pool,
    ResourceSample,
    Run,
    Rung,
    Task,
    Usage,
    WorkerState,
    decode,
    encode,
)
from octopus_plugins.events.base import MAX_NAME
from octopus_plugins.events.codec import MAX_DEPTH, MAX_INPUT_BYTES

WANTED = int(os.environ.get("OCTOPUS_FUZZ_EXAMPLES", "0"))


def fuzzed(examples: int) -> settings:
    """So many examples of a property, the same ones at each run, unless more are asked for."""
    return settings(
        max_examples=WANTED or examples,
        derandomize=not WANTED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# -- real events ----------------------------------------------------------------------------------------------------

finite_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | st.text("aé😀", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé", max_size=5), inner, max_size=3),
    max_leaves=5,
)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, within its bounds."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        kind, bounds = arguments
        return st.floats(bounds.ge, bounds.le) if kind is float else values_of(kind)
    if origin in {typing.Union, types.UnionType}:
        return st.one_of(*[values_of(argument) for argument in arguments])
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=3)
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return events_of(annotation)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        type(None): st.none(),
        Any: finite_json,
    }
    return plain[annotation]


def events_of(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Instances of an event class, or of one that an event contains."""
    return st.builds(struct, **{field.name: values_of(field.type) for field in msgspec.structs.fields(struct)})


any_event = st.one_of(*[events_of(cls) for cls in EVENT_CLASSES])

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)

# -- what is put into them ------------------------------------------------------------------------------------------

STEERING = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\u2066\r\x00\x7f\u2028"
"""What would clear a terminal, rename its window, colour it, turn text around, and end lines."""

FRAGMENTS: tuple[bytes, ...] = (
    *(b"null", b"true", b"false", b"0", b"-1", b"1.5", b"-0.0", b"2", b"[]", b"{}", b'""', b'"*"', b'"x"'),
    *(b"NaN", b"Infinity", b"-Infinity", b"1e300", b"-1e300", b"1e308", b"1e999", b"5e-324"),
    *(b"9" * 19, b"-" + b"9" * 19, b"9" * 30, b"9" * 400, b"9" * 5_000, b"9223372036854775807", b"0x10", b"01"),
    *(b"31556889864403199", b"-62135596801", b"253402300800", b"253370764800", b"4000000000"),  # far times
    *(b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"\x00"', b'"\xff"', b'"\n"', b'"\\x"', b'"open'),
    *(b'"../../../etc/passwd"', b'"a/b/c"', b'"r/1"', b'"{0.__class__}"', b'"[bold red]x[/]"', b'"%s%n"'),
    *(
        b'{"a":1,"a":2}',
        b'{"":""}',
        b'[{"type":1}]',
        b'{"type":"x","mro":["x","x"]}',
        b"[null]",
        b"[1,2]",
        b'["x","y"]',
    ),
    *(b'{"n1":1e300}', b'{"n1":-1}', b'{"n1":4000000000}', b'{"a":' + b"9" * 400 + b"}", b'{"heartbeat":1e300}'),
    msgspec.json.encode(STEERING),
    msgspec.json.encode({STEERING: STEERING}),
    msgspec.json.encode([STEERING]),
    msgspec.json.encode("x" * (MAX_NAME + 1)),
    msgspec.json.encode("/a" * 50_000),
    msgspec.json.encode("\u0301" * 50_000),
    msgspec.json.encode("Killed process 1 (x) " * 5_000),
    msgspec.json.encode("No module named " * 20_000),
    b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    b'{"a":' * 400 + b"1" + b"}" * 400,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"[" * 100_000,
)

HUGE = b'"' + b"x" * 10_000_000 + b'"'

TYPES = ("octopus.failure/v99", "octopus.failure/v0", "octopus.failure", "", "https://x/y", STEERING)


def mutated(event: Event, rng: random.Random, fragments: tuple[bytes, ...] = FRAGMENTS) -> bytes:
    """A record like that of an event, but for one to three changes of its JSON, or of its bytes."""
    record: dict[str, Any] = msgspec.json.decode(encode(event))
    changes = _CHANGES if rng.random() < 0.8 else _ATTRIBUTES
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(changes)(record, rng, fragments)
    value = msgspec.json.encode(record)
    if rng.random() < 0.15:
        value = rng.choice(_BYTES)(value, rng)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and its key or number there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def _replace(record: dict[str, Any], rng: random.Random, fragments: tuple[bytes, ...]) -> None:
    places = list(_places(record.get("data")))
    if places:
        holder, key = rng.choice(places)
        alike = [one for one in fragments if one[:1] in _BEGINNINGS.get(type(holder[key]), b"")]
        holder[key] = msgspec.Raw(rng.choice(alike if alike and rng.random() < 0.7 else fragments))


def _give(record: dict[str, Any], rng: random.Random, fragments: tuple[bytes, ...]) -> None:
    """Give a value to a field of any event, whether this one has it or not."""
    if isinstance(record.get("data"), dict):
        record["data"][rng.choice(_FIELDS)] = msgspec.Raw(rng.choice(fragments))


def _delete(record: dict[str, Any], rng: random.Random, _: tuple[bytes, ...]) -> None:
    holder, key = rng.choice(list(_places(record)) or [({0: 0}, 0)])
    if isinstance(holder, dict):
        holder.pop(key)


def _replace_data(record: dict[str, Any], rng: random.Random, fragments: tuple[bytes, ...]) -> None:
    record["data"] = msgspec.Raw(rng.choice(fragments))


def _attribute(record: dict[str, Any], rng: random.Random, fragments: tuple[bytes, ...]) -> None:
    name = rng.choice(("specversion", "id", "source", "time", "datacontenttype", "data", "extension"))
    record[name] = msgspec.Raw(rng.choice(fragments))


def _type(record: dict[str, Any], rng: random.Random, _: tuple[bytes, ...]) -> None:
    record["type"] = rng.choice((*TYPES, *(cls.TYPE for cls in EVENT_CLASSES)))


_BEGINNINGS = {str: b'"', int: b"-0123456789", float: b"-0123456789", list: b"[", dict: b"{", bool: b"tf"}
_FIELDS = sorted({name for cls in EVENT_CLASSES for name in cls.__struct_fields__})
_Change = Callable[[dict[str, Any], random.Random, tuple[bytes, ...]], None]
_CHANGES: tuple[_Change, ...] = (_replace, _replace, _give, _give, _delete)
_ATTRIBUTES: tuple[_Change, ...] = (_attribute, _attribute, _type, _replace_data)
_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda value, rng: value[: rng.randrange(len(value))],
    lambda value, rng: value + value,
    lambda value, rng: b"[" + value + b"]",
    lambda value, rng: b"\xef\xbb\xbf" + value,
    lambda value, rng: value.decode("utf-8", "replace").encode("utf-16"),
    lambda value, rng: value.replace(b'"data":', b'"data":{},"data":', 1),  # the last of two counts
    lambda value, rng: bytes(byte ^ (rng.random() < 0.01) * rng.randrange(256) for byte in value[:20_000]),
)

NEVER_EVENTS: tuple[bytes, ...] = (
    *(b"", b"null", b"0", b"[]", b"{}", b'""', b"\x00", b"\xff\xfe", b"\x80\x04\x95.", b"PK\x03\x04", b"<xml/>"),
    *(b"[" * 200_000, b'{"data":' * 50_000, b'{"specversion":' * 20_000, b" " * 100_000),
    b'{"specversion":"0.3","id":"1","source":"/x","type":"octopus.task/v1"}',
    b'{"specversion":"' + b"\\u001b" * 50_000 + b'","id":"1","source":"/x","type":"octopus.task/v1"}',
    b'{"specversion":"1.0","id":1,"source":"/x","type":"octopus.task/v1"}',
)

TOO_LARGE = b" " * (MAX_INPUT_BYTES + 1)


def decoded(value: bytes) -> Event | None:
    """The event, where there is one; anything else than a SchemaError passes through."""
    try:
        return decode(value)
    except SchemaError:
        return None


def readable(value: bytes, skip: Container[str] = ()) -> str:
    """Whether a record is an ``event``, of a ``later`` version or a type to skip, or ``rejected``."""
    try:
        return "later" if decode(value, skip) is None else "event"
    except SchemaError:
        return "rejected"


# -- a small run, with a value in every field ------------------------------------------------------------------------


def small_run(run_id: str, now: float) -> list[Event]:
    """What a run tells in a few seconds: every kind of event, every field of it in use."""
    place: dict[str, Any] = {
        **{"run_id": run_id, "app": "simulate", "executor": "small", "block": "0", "manager": "m1", "worker_id": 0},
        "labels": {"note": "x"},
    }
    usage = Usage(
        time=now, rss=3 << 30, peak_rss=4 << 30, vms=5 << 30, cpu_user=1.5, cpu_system=0.5, open_files=9, threads=2,
        children=1,
    )  # fmt: skip
    node = NodeState(
        time=now, cpus=8, load=1.0, memory_total=8 << 30, memory_available=1 << 20, disk_total=1 << 40,
        disk_free=1 << 30, tmp_free=1 << 20, oom_kills=2,
    )  # fmt: skip
    limits = Limits(
        address_space=1 << 40, data=1 << 40, open_files=1024, processes=100, file_size=1 << 40, cgroup_memory=4 << 30,
        walltime=600.0,
    )  # fmt: skip
    pools = (
        Pool(
            label="small", kind="HTEX", observed=True, steerable=True, workers_per_node=4, memory_per_worker=2 << 30,
            walltime=3600.0, maximum_nodes=4,
        ),
        Pool(label="large", kind="HTEX", observed=True, steerable=True, memory_per_worker=64 << 30, maximum_nodes=2),
    )  # fmt: skip
    events: list[Event] = [
        Run(run_id=run_id, time=now, state="started", name="w", version="1", host="login", user="u"),
        Run(
            run_id=run_id, time=now, state="configured", retries=5, pools=pools, order=2,
            policy={"name": "climber", "ladder": ["small", "large"]},
        ),
        Block(run_id=run_id, time=now, executor="small", block="0", job_id="77", state="RUNNING"),
    ]  # fmt: skip
    for number, host in enumerate(("n1", "n2", "n3")):
        workers = (WorkerState(pid=10 + number, rss=1 << 20), WorkerState(pid=1, alive=False, exit_code=1, signal=9))
        about: dict[str, Any] = {"executor": "small", "block": "0", "manager": "m1", "pid": 5, "node": node}
        for component in ("node", "manager"):
            events.append(
                Heartbeat(
                    run_id=run_id, time=now + number, host=host, component=component, period=10.0, workers=workers,
                    worker_count=2, **about,
                )
            )  # fmt: skip
        own = {**place, "task_id": str(number), "host": host, "pid": 10 + number, "time": now + number}
        for state in ("pending", "launched", "running", "running_ended"):
            events.append(
                Task(**own, state=state, depends=("9",), joins=("8",), fail_count=1, fail_cost=1.0, usage=usage)
            )
        for at, info in enumerate(_EXCEPTIONS):
            again = {**own, "try_id": at, "time": now + number + at / 10}
            found = Categorization(
                layer="runtime", category="memory_exhausted", scope="task", resolvable="yes", confidence=0.9,
                rule="oom", reason="ran out of memory",
                evidence={"rss": 3 << 30, "heartbeat": now, "near": True, "module": "x", "share": 0.5},
            )  # fmt: skip
            events.append(
                Failure(
                    **again, exception=info, causes=(ExceptionInfo(type="OSError", attributes={"errno": 12}),),
                    traceback="Traceback …\nValueError", exit_code=1, signal=9, stderr_tail="Killed", usage=usage,
                    limits=limits, node=node, resources={"memory": 4096, "cores": 1}, submitted=now - 1, launched=now,
                    started=now, ended=now + 1, dependencies=("9",), versions={"python": "3.11"},
                    categorization=found if at % 2 else None,
                )
            )  # fmt: skip
            events.append(
                Decision(
                    **again, action="retry", layer="runtime", category="memory_exhausted", reason="ran out of memory",
                    rule="ladder", delay=0.5, resources={"memory": 8192}, deny_hosts={host: now + 600}, order=3,
                    placement=Placement(
                        rung="other_executor", executor="large", avoid_hosts=("n1",), prefer_hosts=("n3",)
                    ),
                    considered=(Rung(name="same_node", reason="no"), Rung(name="other_executor", taken=True)),
                    decider=("workflow", "service", "person")[at % 3], serial="1", policy="climber", policy_digest="d",
                )
            )  # fmt: skip
        events.append(ResourceSample(**own, sequence=3, usage=usage))
        events.append(Task(**own, state="exec_done"))
    events.append(Run(run_id=run_id, time=now + 9, state="ended", tasks_done=1, tasks_failed=2))
    return events


_EXCEPTIONS = (
    ExceptionInfo(
        type="MemoryError", mro=("MemoryError", "Exception"), message="Unable to allocate 8 GiB", location="a.py:1 in f"
    ),
    ExceptionInfo(
        type="ModuleNotFoundError", mro=("ModuleNotFoundError", "ImportError", "Exception"),
        message="No module named 'x'", attributes={"name": "x"},
    ),
    ExceptionInfo(
        type="parsl.executors.high_throughput.errors.WorkerLost", message="Task failure due to loss of worker 0 on n1",
        mro=("parsl.executors.high_throughput.errors.WorkerLost", "Exception"),
    ),
    ExceptionInfo(type="OSError", mro=("OSError", "Exception"), message="No space left", attributes={"errno": 28}),
    ExceptionInfo(type="a.AppTimeout", message="Process killed: out of memory; CUDA error; timed out 1e999"),
)  # fmt: skip

REAL = small_run("r", 1_767_225_600.0)

mutations = st.one_of(
    st.builds(lambda event, seed: mutated(event, random.Random(seed)), st.sampled_from(REAL), st.integers(0, 2**32)),
    st.sampled_from(NEVER_EVENTS),
)
"""Hostile records."""

mutated_events = st.builds(
    lambda event, seed: decoded(mutated(event, random.Random(seed))), st.sampled_from(REAL), st.integers(0, 2**32)
).filter(lambda event: event is not None)
"""Events that were mutated and are events all the same: what readers get to see of hostile records."""
