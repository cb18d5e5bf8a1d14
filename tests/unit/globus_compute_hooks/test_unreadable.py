"""Functions that a worker cannot read: nothing of the task's code has run, and no input of its was bad."""

from __future__ import annotations

import codecs
import uuid
from pathlib import Path

import dill
import msgspec
import pytest
from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Task
from globus_compute_endpoint.engines import helper
from globus_compute_sdk.serialize import ComputeSerializer

from octopus_plugins.events import Failure
from octopus_plugins.events.exceptions import failure_details
from octopus_plugins.wrath import Category, categorize


def source(name: str, body: str) -> str:
    """As DillCodeSource sends a function."""
    return "04\n" + codecs.encode(dill.dumps((name, body)), "base64").decode()


def pickled(content: bytes) -> str:
    """As DillCode sends a function."""
    return "01\n" + codecs.encode(content, "base64").decode()


def failure_of(function: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Failure:
    """What the host's own ``execute_task`` makes of a function, as a failure event tells it."""
    raised: list[BaseException] = []

    class Serializer(ComputeSerializer):
        def unpack_and_deserialize(self, packed_buffer: str) -> list[object]:
            try:
                found: list[object] = super().unpack_and_deserialize(packed_buffer)
            except Exception as error:
                raised.append(error)
                raise
            return found

    monkeypatch.setattr(helper, "ComputeSerializer", Serializer)
    serializer = ComputeSerializer()
    buffers = serializer.pack_buffers([function, serializer.serialize(()), serializer.serialize({})])
    body = messagepack.pack(Task(task_id=uuid.uuid4(), task_buffer=buffers))
    helper.execute_task(body, uuid.uuid4(), uuid.uuid4(), run_dir=directory)
    (error,) = raised
    about = {"id": "f", "run_id": "r", "time": 0.0, "framework": "globus_compute", "task_id": "t", "try_id": 0}
    return msgspec.convert({**msgspec.to_builtins(failure_details(error)), **about, "type": "failure"}, Failure)


@pytest.mark.parametrize(
    ("function", "category"),
    [
        ("01\nnot in base64!", Category.serialization),
        ("99\nno such strategy", Category.serialization),
        (pickled(dill.dumps(len)[:10]), Category.serialization),
        (pickled(b"cjson\nnot_there\n."), Category.serialization),
        (source("other", "def function():\n    return 1\n"), Category.serialization),
        (pickled(b"cnot_a_module\nfunction\n."), Category.module_missing),
        (source("function", "import not_a_module\ndef function():\n    return 1\n"), Category.module_missing),
        (source("function", "@undefined\ndef function():\n    return 1\n"), Category.code_error),
        (source("function", "def function(:\n    return 1\n"), Category.code_error),
        (pickled(b"\x80\x63."), Category.version_mismatch),
    ],
)
def test_a_function_that_cannot_be_read_is_no_bug_of_the_task_and_no_bad_input(
    function: str, category: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = categorize(failure_of(function, tmp_path, monkeypatch))
    assert found.category == category, found
    assert "the task's code raised" not in found.reason
