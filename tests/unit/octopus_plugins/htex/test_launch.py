"""How the pool is started, where it may be, and where Parsl's own is started in its place."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from parsl.executors.high_throughput import process_worker_pool as host
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.launchers import SimpleLauncher, SrunLauncher, WrappedLauncher
from parsl.providers import LocalProvider, SlurmProvider

from globus_compute_hooks.endpoint.htex import POOL
from octopus_plugins.htex.pool import launch
from parsl_monitor.demo.nodes import NodeLauncher

SETTINGS = ("run", "a label, {odd} & 'quoted'", 1.0, 10.0)

PROBE = ("-m", "octopus_plugins.htex.pool.launch", f"--probe={launch.PARSL_POOL}")


def test_the_command_is_parsl_s_with_ours_before_it() -> None:
    command = launch.launch_command(DEFAULT_LAUNCH_CMD, SETTINGS)
    assert command is not None
    shell, option, script = shlex.split(command)
    assert (shell, option) == ("sh", "-c")
    ours, theirs = script.split("; exec ")
    arguments = DEFAULT_LAUNCH_CMD.partition(" ")[2]
    assert theirs == f"{launch.PARSL_POOL} {arguments}"
    assert ours.endswith(arguments)


def test_it_holds_nothing_that_a_here_document_or_a_format_string_would_change() -> None:
    command = launch.launch_command(DEFAULT_LAUNCH_CMD, SETTINGS)
    assert command is not None
    assert not set("$`\\'").intersection(command)
    assert command.count("{") == 2 * DEFAULT_LAUNCH_CMD.count("{")


@pytest.mark.parametrize(
    "default", ["my_pool.py {debug}", 'process_worker_pool.py "{debug}"', "process_worker_pool.sh -a"]
)
def test_a_command_of_another_form_is_left_alone(default: str) -> None:
    assert launch.launch_command(default, SETTINGS) is None


@pytest.mark.parametrize(
    ("launcher", "passes"),
    [
        (SimpleLauncher(), True),
        (SrunLauncher(), True),
        (NodeLauncher("label", {}), True),
        (WrappedLauncher("ssh node"), False),
        (lambda command, *more: f"ssh node {command}", False),
    ],
)
def test_only_launchers_that_are_known_get_it(launcher: Any, passes: bool) -> None:
    assert launch.passes_through(SimpleNamespace(launcher=launcher)) is False
    provider = LocalProvider()
    provider.launcher = launcher
    assert launch.passes_through(provider) is passes


def test_it_goes_to_schedulers_of_parsl_s() -> None:
    assert launch.passes_through(SlurmProvider(launcher=SrunLauncher()))


def test_this_parsl_s_pool_is_known() -> None:
    assert launch._unknown(host) == ""


def test_a_pool_with_other_options_is_not() -> None:
    class Manager:
        def __init__(self, *, port: int, colour: str) -> None: ...

    assert "colour" in launch._unknown(SimpleNamespace(Manager=Manager))


def test_every_option_is_read_as_parsl_s_script_reads_it() -> None:
    args = host.get_arg_parser().parse_args(
        [
            "-a",
            "here",
            "--cert_dir",
            "None",
            "-P",
            "1",
            "-m",
            "None",
            "--drain_period",
            "None",
            "--cpu-affinity",
            "none",
        ]
    )
    read = {name: reader(args) for name, reader in launch._OPTIONS.items() if reader is not None}
    assert read["cert_dir"] is read["mem_per_worker"] is read["drain_period"] is None
    assert (read["heartbeat_period"], read["heartbeat_threshold"], read["poll_period"]) == (30, 120, 10)
    assert read["max_workers_per_node"] == float("inf")
    assert read["available_accelerators"] == []


def probe(**changes: str) -> int:
    bin_dir = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_dir}:/usr/bin:/bin", **changes}
    asked = subprocess.run(["python3", *PROBE], env=environment, check=False, capture_output=True)
    return asked.returncode


def test_at_home_the_probe_says_yes() -> None:
    assert probe() == 0


def test_where_parsl_s_pool_belongs_to_another_interpreter_it_says_no(tmp_path: Path) -> None:
    other = tmp_path / launch.PARSL_POOL
    other.write_text("#!/usr/bin/another-python\n", encoding="utf-8")
    other.chmod(0o755)
    assert probe(PATH=f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin") == 1


def test_where_parsl_s_pool_elsewhere_names_this_interpreter_it_says_yes(tmp_path: Path) -> None:
    python = Path(sys.executable).parent / "python3"
    other = tmp_path / launch.PARSL_POOL
    other.write_text(f"#!{python}\n", encoding="utf-8")
    other.chmod(0o755)
    assert probe(PATH=f"{tmp_path}:{python.parent}:/usr/bin:/bin") == 0


@pytest.mark.parametrize("where", ["first on the path", "in the working directory"])
def test_where_our_package_is_another_or_missing_it_says_no(tmp_path: Path, where: str) -> None:
    (tmp_path / "octopus_plugins").mkdir()
    (tmp_path / "octopus_plugins" / "__init__.py").write_text("raise ModuleNotFoundError('none')\n", encoding="utf-8")
    if where == "first on the path":
        assert probe(PYTHONPATH=str(tmp_path)) == 1
    else:
        asked = subprocess.run([sys.executable, *PROBE], cwd=tmp_path, check=False, capture_output=True)
        assert asked.returncode == 1


# Loaded first by every Python: says what a pool hands to its workers, as soon as it has read its arguments.
SAYS_WHAT_WORKERS_GET = """
import argparse, json, os, sys

def say(parser, *arguments, **options):
    from multiprocessing import spawn, util
    found = spawn.get_preparation_data("worker")
    del found["authkey"]
    found |= {"executable": os.fsdecode(spawn.get_executable()), "flags": util._args_from_interpreter_flags()}
    found["variable"] = os.environ.get("_")
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)

argparse.ArgumentParser.parse_args = say
"""


@pytest.mark.parametrize("safe", [False, True], ids=["", "safe-path"])
@pytest.mark.parametrize("program", [launch.PARSL_POOL, POOL], ids=["parsl", "globus-compute"])
def test_workers_get_from_our_pool_what_they_get_from_the_host_s(tmp_path: Path, program: str, safe: bool) -> None:
    (site := tmp_path / "site").mkdir()
    (site / "sitecustomize.py").write_text(SAYS_WHAT_WORKERS_GET, encoding="utf-8")
    bin_dir = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_dir}:/usr/bin:/bin", "PYTHONPATH": str(site)}
    environment |= {"HOME": str(tmp_path), **({"PYTHONSAFEPATH": "1"} if safe else {})}

    def asked(command: str) -> Any:
        shell = ["bash", "-c", f"{command}; true"]  # not the last command, which bash would become
        found = subprocess.run(shell, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=120)
        return json.loads(found.stdout)

    command = launch.launch_command(f"{program} -a here --hb_period=5", SETTINGS, program)
    assert command is not None
    assert "octopus" in command
    assert asked(command) == asked(f"{program} -a here --hb_period=5")


def test_where_parsl_s_script_starts_python_with_options_the_probe_says_no(tmp_path: Path) -> None:
    python = Path(sys.executable).parent / "python3"
    other = tmp_path / launch.PARSL_POOL
    other.write_text(f"#!{python} -s\n", encoding="utf-8")
    other.chmod(0o755)
    assert probe(PATH=f"{tmp_path}:{python.parent}:/usr/bin:/bin") == 1
