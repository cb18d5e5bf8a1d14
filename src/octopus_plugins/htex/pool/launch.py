"""Starts Parsl's worker pool with a node agent in it, where the environment of the node allows, else Parsl's own.

The launch command runs on the compute node, in an environment that we do not know: octopus-plugins may be absent
there, or another version, or another interpreter may come first. So the command asks first (``--probe``), and falls
back to Parsl's ``process_worker_pool.py`` with the same arguments. It passes through the launchers of Parsl, which
paste it into shell scripts and unquoted here-documents: it holds no ``$``, backtick, backslash or single quote.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Python's -m puts the working directory first: what lies there must not stand in for modules, here and in workers.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]

import contextlib
import importlib.util
import inspect
import multiprocessing
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

PARSL_POOL = "process_worker_pool.py"

_PACKAGE = "octopus_plugins"
_HERE = Path(__file__).resolve().parents[2]
_MODULE = "octopus_plugins.htex.pool.launch"
_HOST = "parsl.executors.high_throughput.process_worker_pool"

# How Parsl's own script makes its Manager: from which option, and how it is read.
_OPTIONS: dict[str, Any] = {
    "addresses": lambda args: args.addresses,
    "address_probe_timeout": lambda args: int(args.address_probe_timeout),
    "port": lambda args: args.port,
    "cores_per_worker": lambda args: float(args.cores_per_worker),
    "mem_per_worker": lambda args: None if args.mem_per_worker == "None" else float(args.mem_per_worker),
    "max_workers_per_node": lambda args: (
        args.max_workers_per_node if args.max_workers_per_node == float("inf") else int(args.max_workers_per_node)
    ),
    "prefetch_capacity": lambda args: int(args.prefetch_capacity),
    "uid": lambda args: args.uid,
    "block_id": lambda args: args.block_id,
    "heartbeat_threshold": lambda args: int(args.hb_threshold),
    "heartbeat_period": lambda args: int(args.hb_period),
    "poll_period": lambda args: int(args.poll),
    "cpu_affinity": lambda args: args.cpu_affinity,
    "enable_mpi_mode": lambda args: args.enable_mpi_mode,
    "mpi_launcher": lambda args: args.mpi_launcher,
    "available_accelerators": lambda args: args.available_accelerators,
    "cert_dir": lambda args: None if args.cert_dir == "None" else args.cert_dir,
    "drain_period": lambda args: None if args.drain_period == "None" else int(args.drain_period),
    "log_config": None,
}


def launch_command(default: str, settings: Sequence[Any], pool: str = PARSL_POOL) -> str | None:
    """The command that starts a pool with an agent, for HighThroughputExecutor's ``launch_cmd``.

    Args:
        default: The host's own, with its ``{…}`` for str.format.
        settings: See Settings.
        pool: The program, with its first arguments, by which the host's own command starts Parsl's pool.

    Returns:
        The command; None where the host's is not of the form that we know.
    """
    arguments = default.removeprefix(f"{pool} ")
    if arguments == default or any(letter in default for letter in "$`\\'\""):
        return None
    told = ",".join(quote(str(value), safe="") for value in (*settings, pool))
    ours = f"python3 -m {_MODULE}"
    return (
        f'sh -c "{ours} --probe={pool.partition(" ")[0]} >/dev/null 2>&1 && exec {ours} --octopus={told} {arguments};'
        f' exec {pool} {arguments}"'
    )


def passes_through(provider: Any) -> bool:
    """Whether a provider and its launcher hand a quoted command on as it is: Parsl's and our own do.

    One that puts a command of the user's in front may hand it to a further shell (``ssh host …``), which would take
    the quotes away.
    """
    launcher = getattr(provider, "launcher", None)
    known = ("parsl.providers.", "parsl.launchers.", "parsl_monitor.")
    return all(type(part).__module__.startswith(known) for part in (provider, launcher)) and (
        type(launcher).__name__ != "WrappedLauncher"
    )


def main(argv: Sequence[str]) -> None:
    """Answer the probe, or run the pool.

    Args:
        argv: ``--probe=PROGRAM``; or ``--octopus=SETTINGS`` and the arguments of Parsl's script.
    """
    option, _, told = argv[0].partition("=")
    if option == "--probe":
        sys.exit(0 if _at_home(told) else 1)
    rest = list(argv[1:])
    run_id, executor, sample_period, heartbeat_period, pool = map(unquote, told.split(","))
    try:
        from octopus_plugins.htex.pool.manager import run

        host = sys.modules[_HOST]
        if missing := _unknown(host):
            raise ImportError(f"this Parsl's worker pool is another: {missing}")
    except ImportError as error:
        sys.stderr.write(f"octopus-plugins: Parsl's own worker pool is started instead: {error}\n")
        program = pool.split(" ")
        os.execvp(program[0], [*program, *rest])
    _pass_for(pool.split(" "), host, rest)
    run(rest, (run_id, executor, float(sample_period), float(heartbeat_period)), _OPTIONS)


def _pass_for(program: Sequence[str], host: Any, arguments: Sequence[str]) -> None:
    """Give this process the main module, module path and arguments that it has where the host starts Parsl's pool.

    Workers are spawned: they run the main module's file anew, find Parsl's function for a worker in it, and get the
    rest as it is here.

    Args:
        program: How the host starts Parsl's pool: a script, or one that runs the module ``python -m`` would.
        host: Parsl's module of the pool.
        arguments: Of the pool.
    """
    script = Path(shutil.which(program[0]) or program[0])
    interpreter = _interpreter(script)
    if len(interpreter) == 1:
        multiprocessing.set_executable(interpreter[0])
    main: Any = sys.modules["__main__"]
    if program[1:]:
        first, main.__spec__, main.__file__ = str(Path.cwd()), host.__spec__, host.__file__
    else:
        first, main.__spec__, main.__file__ = str(script.resolve().parent), None, str(script)
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, first)
    sys.argv = [main.__file__, *arguments]
    if "_" in os.environ:  # where bash says what it has started: here it was a shell
        os.environ["_"] = str(script)
    # A function is pickled by its name: they find the one of their own main module.
    main.worker, host.worker.__module__ = host.worker, main.__name__


def _at_home(program: str) -> bool:
    """Whether this interpreter is the one that the host's program would run in, and has what we need of ours."""
    # Asked of the finders: importlib.util.find_spec would name the module that runs, wherever that was found.
    here = next(filter(None, (finder.find_spec(_PACKAGE, None) for finder in sys.meta_path)), None)
    if here is None or not here.origin or not Path(here.origin).parent.samefile(_HERE):
        return False  # found in the working directory only
    if importlib.util.find_spec("parsl") is None:
        return False
    script = shutil.which(program)
    if script is None:
        return False
    interpreter = _interpreter(Path(script))
    if any(word.startswith("-") for word in interpreter[1:]):
        return False  # options of Python's that workers inherit
    return Path(script).parent == Path(sys.executable).parent or interpreter == [sys.executable]


def _interpreter(script: Path) -> list[str]:
    """What runs a script, in words; empty where it does not say so."""
    with contextlib.suppress(OSError, UnicodeDecodeError), script.open(encoding="utf-8") as file:
        line = file.readline()
        return line[2:].split() if line.startswith("#!") else []
    return []


def _unknown(host: Any) -> str:
    """What this Parsl's pool has that we do not know, or lacks that we need; empty if nothing."""
    present = set(inspect.signature(host.Manager.__init__).parameters) - {"self"}
    if present != set(_OPTIONS):
        return f"Manager takes {sorted(present ^ set(_OPTIONS))}"
    needed = {host.Manager: ("worker_watchdog", "_start_worker", "start"), host: ("worker",)}
    return ", ".join(name for where, names in needed.items() for name in names if not hasattr(where, name))


if __name__ == "__main__":
    main(sys.argv[1:])
