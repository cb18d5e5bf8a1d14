"""What a task sees of the process that it runs in. Imported by workers, stock Parsl's as well as ours."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from parsl import python_app


@python_app
def look(place: str, others: int) -> dict[str, Any]:
    """Describe this worker, as soon as as many others do the same: so each is another worker."""
    meeting = Path(place)
    (meeting / str(os.getpid())).touch()
    deadline = time.monotonic() + 120
    while len(list(meeting.iterdir())) <= others:
        if time.monotonic() > deadline:
            raise TimeoutError("the other workers did not come")
        time.sleep(0.01)
    return described()


@python_app
def children_see(value: str) -> dict[str, Any]:
    """Set a variable, and ask a child of a pool of this task's own for it."""
    os.environ["OMP_NUM_THREADS"] = value
    with multiprocessing.Pool(1) as pool:
        seen = pool.apply(os.getenv, ("OMP_NUM_THREADS",))
    gc.collect()
    return {"own": value, "child": seen, "left": sorted(map(kind, _children()))}


@python_app
def family() -> tuple[int, int]:
    """The process that started this worker, and the worker."""
    return os.getppid(), os.getpid()


def described() -> dict[str, Any]:
    """Everything that a process can be asked, but for numbers of processes and names that differ in each run."""
    main = sys.modules["__main__"]
    parent = os.getppid()
    return {
        "start method": multiprocessing.get_start_method(allow_none=True),
        "process": multiprocessing.current_process().name,
        "main": (main.__name__, Path(getattr(main, "__file__", None) or "").name, main.__spec__ is None),
        "main names": sorted(vars(main)),
        "argv": _without_options(sys.argv),
        "executable": (sys.executable, sys.orig_argv[:2], str(Path("/proc/self/exe").readlink())),
        "command": kind(os.getpid()),
        "name": Path("/proc/self/comm").read_text(encoding="utf-8"),
        "environment": dict(os.environ),
        "path": sys.path,
        "flags": repr(sys.flags),
        "directory": str(Path.cwd()),
        "umask": _umask(),
        "limits": {
            name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"
        },
        "handlers": {each.name: repr(signal.getsignal(each)) for each in signal.Signals},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "signals": re.findall(r"^(?:Sig|Shd)(?:Blk|Ign|Cgt|Pnd):\s*\w+$", _status(), re.MULTILINE),
        "descriptors": _descriptors(),
        "parent is pool": os.getpgid(parent) == os.getpgrp() and "--cert_dir" in _words(parent),
        "parent names": "process_worker_pool.py" in " ".join(_words(parent)),
        "group": (os.getpgrp() == os.getpgid(parent), os.getsid(0) == os.getsid(parent)),
        "nice": os.nice(0),
        "oom": Path("/proc/self/oom_score_adj").read_text(encoding="utf-8"),
        "affinity": sorted(os.sched_getaffinity(0)),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "tasks": len(list(Path("/proc/self/task").iterdir())),
        "children": sorted(map(kind, _children())),
        "memory": sorted(set(re.findall(r"memfd:\S+", Path("/proc/self/maps").read_text(encoding="utf-8")))),
        "logs": {name: _logger(name) for name in ("root", "parsl", "concurrent.futures", "multiprocessing")},
        "excepthooks": (sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__),
        "trace": (sys.gettrace(), sys.getprofile()),
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "modules": sorted(name for name in sys.modules if not name.startswith("_")),
        "hash": hash("octopus"),
        "draw": random.random(),
        "pid": os.getpid(),
    }


def _descriptors() -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for link in list(Path("/proc/self/fd").iterdir()):
        try:
            kind = str(link.readlink())
        except OSError:  # the one by which the directory was listed
            continue
        kinds[re.sub(r"\[\d+\]|pym-\S+", "N", kind)] += 1
    return dict(sorted(kinds.items()))


def _logger(name: str) -> dict[str, Any]:
    logger = logging.getLogger(None if name == "root" else name)
    return {
        "level": logging.getLevelName(logger.level),
        "effective": logging.getLevelName(logger.getEffectiveLevel()),
        "handlers": [(type(each).__name__, each.level, len(each.filters)) for each in logger.handlers],
        "propagate": logger.propagate,
        "disabled": logger.disabled or logging.root.manager.disable,
    }


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def _status() -> str:
    return Path("/proc/self/status").read_text(encoding="utf-8")


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")


def kind(pid: int) -> str:
    """What a process was started as, without numbers that differ each time."""
    return re.sub(r"\d+", "N", " ".join(_words(pid)))


def _children() -> list[int]:
    return [
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text(encoding="ascii").split()
    ]


def _without_options(argv: list[str]) -> list[str]:
    """The program, and the names of its options: what they say differs in each run."""
    return [argv[0], *(word.partition("=")[0] for word in argv[1:] if word.startswith("-"))]
