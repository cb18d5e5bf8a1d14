"""A reported failure, and how it is raised anew."""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import tempfile
import textwrap
import warnings
from pathlib import Path
from typing import Any

import msgspec
from globus_compute_sdk.errors import TaskExecutionFailed
from parsl.app.bash import remote_side_bash_executor

from octopus_plugins.events import Failure
from octopus_plugins.events.exceptions import failed_dependencies, failure_details

DATA = Path(__file__).with_name("data")

OWN_FILE = "/home/user/workflow.py"
INSTALLED = "/opt/env/lib/python3.11/site-packages"


class Report(msgspec.Struct, frozen=True):
    """A failure that somebody reported.

    Attributes:
        id: Unique in its set.
        source: Address of the report; empty where it was made up.
        input: How it is raised: ``kind`` is ``code``, ``exception``, ``bash`` or ``globus``; the rest goes with it.
        category: What it is, by what the reporters and maintainers concluded.
        accept: Other categories that are right as well.
        layer: Layers that are right.
        why: The conclusion, in a sentence.
    """

    id: str
    source: str
    input: dict[str, Any]
    category: str
    accept: tuple[str, ...]
    layer: tuple[str, ...]
    why: str


def read(name: str) -> list[Report]:
    """The reports of a set."""
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [msgspec.json.decode(line, type=Report) for line in lines]


def failure(report: Report) -> Failure:
    """The reported failure, raised once more: bash apps really run, library classes that are not here stood in for."""
    place = {"run_id": "r", "task_id": "1", "time": 1.0, "app": "app", "executor": "small", "host": "small-0"}
    if report.input["kind"] == "bash":
        return Failure(**place, **_bash(report.input["exit"], report.input["stderr"]))
    try:
        _raise(report.input)
    except BaseException as error:  # noqa: BLE001
        return Failure(**place, **failure_details(error), dependencies=failed_dependencies(error))
    raise AssertionError(f"{report.id} raised nothing")


def _raise(how: dict[str, Any]) -> None:
    if how["kind"] == "globus":
        raise TaskExecutionFailed(how["remote"])
    if how["kind"] == "code":
        _run(textwrap.dedent(how["code"]), OWN_FILE, {"__name__": "workflow"})
        return
    error = _class(how["type"], how["bases"])(how["message"])
    for name, value in how.get("attributes", {}).items():
        with contextlib.suppress(AttributeError):
            setattr(error, name, value)
    module = how.get("where", "workflow")
    file = OWN_FILE if module == "workflow" else f"{INSTALLED}/{module.replace('.', '/')}.py"
    scope = {"__name__": module, "error": error}
    _run("def run():\n    raise error\n", file, scope)
    scope["run"]()  # type: ignore[operator]


def _run(source: str, file: str, scope: dict[str, Any]) -> None:
    exec(compile(source, file, "exec"), scope)


def _class(name: str, bases: list[str]) -> type[BaseException]:
    """The class of that name, where it is installed; else one with its name and bases of the names given."""
    module, _, last = name.rpartition(".")
    known = getattr(builtins, name, None) if not module else None
    if known is None and module.startswith("concurrent.futures"):
        known = getattr(importlib.import_module(module), last)
    if isinstance(known, type):
        return known
    base = _class(bases[0], bases[1:]) if bases else Exception
    return type(last, (base,), {"__module__": module, "__qualname__": last})


def _bash(code: int, said: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Parsl leaves the file open
        text, kept = Path(name, "said"), Path(name, "err")
        text.write_text(said, encoding="utf-8")

        def app(**_: Any) -> str:
            return f"cat {text} >&2; exit {code}"

        try:
            remote_side_bash_executor(app, stderr=str(kept))
        except BaseException as error:  # noqa: BLE001
            details = failure_details(error)
        else:
            raise AssertionError("the bash app did not fail")
        gc.collect()
        return details | {"stderr_tail": kept.read_text(encoding="utf-8")[-4096:]}
