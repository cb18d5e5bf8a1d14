"""What makes a task fail: raised, killed or exhausted here, for real."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
import warnings
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
from parsl.app.bash import remote_side_bash_executor
from parsl.app.errors import AppException

from octopus_plugins.events import Placement
from octopus_plugins.wrath import Category, categorize


def assert_categorized(failure, category, resolvable):
    """A failure is found to be of this category, with all that every finding has."""
    found = categorize(failure)
    assert (found.category, found.resolvable) == (category, resolvable), found
    assert found.layer == Category(category).layer.value
    assert 0 < found.confidence <= 1
    assert found.rule
    assert found.reason
    assert not found.reason.endswith(".")


def placed(decision):
    """Where a retry goes, and where not; without how long it waits for that and whose turn it takes."""
    place = decision.placement
    return Placement(
        rung=place.rung,
        executor=place.executor,
        avoid_hosts=place.avoid_hosts,
        avoid_blocks=place.avoid_blocks,
        prefer_hosts=place.prefer_hosts,
    )


def bash(command, **keywords):
    """What Parsl's worker does for a bash app, for real."""

    def app(**_):
        return command

    return lambda: remote_side_bash_executor(app, **keywords)


def wrong_call():
    (lambda a, b: a)(1)


def import_absent():
    import octopus_no_such_module  # noqa: F401


def import_absent_below():
    try:
        import_absent()
    except ImportError as error:
        raise RuntimeError("the kernel cannot be set up") from error


def open_too_many():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)


def fill_disk():
    with Path("/dev/full").open("wb", buffering=0) as stream:
        stream.write(b"x")


def read_unmapped():
    descriptor = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        os.pread(descriptor, 1, 0)
    finally:
        os.close(descriptor)


def connect_to_closed_port():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    socket.create_connection(("127.0.0.1", port), timeout=5)


def resolve_nothing():
    socket.getaddrinfo("octopus.invalid", 80)


def execute_data():
    subprocess.run([__file__], check=True)


def break_process_pool():
    with ProcessPoolExecutor(1, mp_context=__import__("multiprocessing").get_context("spawn")) as pool:
        pool.submit(os._exit, 1).result()


def cancelled():
    future = Future()
    future.cancel()
    future.result()


def floating_point():
    with np.errstate(over="raise"):
        np.float64(1e300) * np.float64(1e300)


def busy():
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        pass


def program(command, directory):
    """A bash app that keeps its standard error: the exception, and the fields of the failure that go with it."""
    path = directory / "stderr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Parsl leaves the file to the garbage collector
        try:
            remote_side_bash_executor(lambda **_: command, stderr=str(path))
        except AppException as error:
            return {"cause": error.with_traceback(None), "stderr_tail": path.read_text()}
    raise AssertionError(f"{command!r} ended well")


def wrap(cause):
    """The cause below an exception that says nothing, as libraries do."""

    def outer():
        try:
            cause()
        except Exception as error:
            raise RuntimeError("cannot set up the kernel") from error

    return outer
