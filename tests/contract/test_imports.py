"""Every module can be imported by itself, and ``import octopus_plugins`` loads next to nothing."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import globus_compute_hooks
import octopus_plugins
import parsl_monitor

PACKAGES = (octopus_plugins, parsl_monitor, globus_compute_hooks)
MODULES = sorted(
    name
    for package in PACKAGES
    for name in [
        package.__name__,
        *(module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")),
    ]
    if not name.endswith("__main__")  # importing those runs them
)

HEAVY = {
    "boto3", "botocore", "click", "confluent_kafka", "diaspora_event_sdk", "globus_compute_sdk", "globus_sdk",
    "msgspec", "numpy", "pandas", "parsl", "pluggy", "psutil", "pyarrow", "pydantic", "requests", "rich", "zmq",
}  # fmt: skip

# Third-party packages are loaded once, and each module of ours in a child of its own: as good as a fresh process
# for each, and many times quicker.
EACH_ALONE = """
import contextlib, importlib, json, os, sys, traceback
for name in json.loads(sys.argv[2]):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
ours = ("octopus_plugins", "parsl_monitor", "globus_compute_hooks")
assert not [name for name in sys.modules if name.split(".")[0] in ours]
for name in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            print(f"{name} cannot be imported by itself:", flush=True)
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    os.waitpid(child, 0)
print("all tried")
"""


@pytest.mark.slow
def test_every_module_can_be_imported_by_itself() -> None:
    preloaded = ["click", "confluent_kafka", "confluent_kafka.admin", "msgspec", "parsl", "pluggy", "pydantic", "rich"]
    assert len(MODULES) > 40
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EACH_ALONE, json.dumps(MODULES), json.dumps(preloaded)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "all tried\n", done.stdout


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import octopus_plugins", set()),
        ("from octopus_plugins import OctopusError", set()),
        ("import octopus_plugins.errors", set()),
        ("from octopus_plugins import Failure", {"msgspec"}),
        ("from octopus_plugins import categorize, decide", {"msgspec"}),
        ("from octopus_plugins import hookimpl", {"pluggy"}),
        ("from octopus_plugins import failures", {"msgspec", "pydantic"}),
        ("import octopus_plugins.cli", {"click"}),
        ("import parsl_monitor", set()),
        ("import globus_compute_hooks", set()),
    ],
)
def test_an_import_loads_only_what_it_needs(statement: str, allowed: set[str]) -> None:
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    # A plain interpreter loads packages of its own at its start (coverage, editable installs).
    bare = _modules("import json, sys\nprint(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))")
    assert (_modules(script) - bare) & HEAVY <= allowed


def _modules(script: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_packages_say_that_they_are_typed() -> None:
    for package in PACKAGES:
        assert package.__file__ is not None
        assert (Path(package.__file__).parent / "py.typed").exists(), package.__name__
