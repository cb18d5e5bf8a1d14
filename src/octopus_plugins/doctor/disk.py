"""What is on this machine: the spool, and what became of the events of the last runs."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from datetime import datetime
from typing import Any

from octopus_plugins.doctor.case import Case
from octopus_plugins.doctor.findings import Finding, not_needed, ok, trouble
from octopus_plugins.errors import SpoolError
from octopus_plugins.fabric.kafka.topics import namespace
from octopus_plugins.fabric.produce.counts_file import ProcessCounts, last_counts
from octopus_plugins.fabric.produce.spool_replay import begin_session, orphans

_WRITTEN_BYTES = 256 * 1024
_COUNTED_BYTES = 64 * 1024 * 1024  # more than that is not read to be counted
_SHOWN = 3
_RECENT_SECONDS = 7 * 86400.0


def spool(case: Case) -> Finding:
    """Write to the spool as a run would, and see what lies there."""
    config = case.config
    directory = config.spool_dir
    try:
        _try_to_write(case)
        waiting = orphans(config)
    except SpoolError as error:
        return trouble("spool.not_writable", error.what)
    except OSError as error:
        code = {
            errno.ENOSPC: "spool.full",
            errno.EDQUOT: "spool.full",
            errno.ENOLCK: "spool.no_locks",
            errno.ENOTSUP: "spool.no_locks",
        }.get(error.errno or 0, "spool.not_writable")
        return trouble(code, f"{directory}: {error.strerror or type(error).__name__}")
    free = shutil.disk_usage(directory).free
    waiting_bytes = sum(each.bytes for each in waiting)
    details: dict[str, Any] = {
        "directory": str(directory),
        "free_bytes": free,
        "ended": len(waiting),
        "waiting_bytes": waiting_bytes,
    }
    room = f"{directory}, {_size(free)} free"
    if waiting_bytes:
        records = sum(each.count() for each in waiting) if waiting_bytes <= _COUNTED_BYTES else None
        number = f"{records:,} records" if records is not None else _size(waiting_bytes)
        whom = "an ended process" if len(waiting) == 1 else f"{len(waiting)} ended processes"
        return trouble("spool.waiting", f"{number} of {whom} wait in {directory}", waiting_records=records, **details)
    if free < config.spool_max_bytes:
        return trouble("spool.low", f"{room}; the spool may take {_size(config.spool_max_bytes)}", **details)
    return ok("spool", f"{room}; nothing waits", **details)


def counts(case: Case) -> Finding:
    """Show what became of the events of the last runs."""
    found = last_counts(case.config, namespace(case.config))
    if not found:
        return not_needed("counts", "no run with these settings has told its counts on this machine yet")
    details: dict[str, Any] = {"processes": [_plain(each) for each in found[:_SHOWN]]}
    lines = [_line(each) for each in found[:_SHOWN]]
    lost = [
        each
        for each in found[:_SHOWN]
        if each.counts.dropped + each.counts.rejected and time.time() - each.told < _RECENT_SECONDS
    ]
    if lost:
        directory = str(case.config.spool_dir)
        return trouble("counts.dropped", lines[0], {"directory": directory}, notes=lines[1:], **details)
    return ok("counts", lines[0], notes=lines[1:], **details)


def _try_to_write(case: Case) -> None:
    config = case.config
    begin_session(config).close()  # locks and all; nothing was written to it, so that it is deleted
    with tempfile.TemporaryFile(dir=config.spool_dir) as file:
        file.write(os.urandom(_WRITTEN_BYTES))
        file.flush()


def _line(process: ProcessCounts) -> str:
    state = "ended" if process.ended else "running, as of" if _lives(process.pid) else "killed, as of"
    run = "all runs" if process.run_id == "*" else f"run {process.run_id}"
    return f"{run} ({state} {_when(process.told)}): {process.counts}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def _when(moment: float) -> str:
    told = datetime.fromtimestamp(moment)
    return told.strftime("%H:%M" if told.date() == datetime.now().date() else "%Y-%m-%d %H:%M")


def _plain(process: ProcessCounts) -> dict[str, object]:
    numbers = {name: getattr(process.counts, name) for name in process.counts.__slots__ if name != "topics"}
    about = {name: getattr(process, name) for name in process.__slots__ if name != "counts"}
    return {**about, **numbers}


def _size(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1000:,.1f} kB"
