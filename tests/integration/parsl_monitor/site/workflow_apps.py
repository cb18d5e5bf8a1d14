"""The apps of the test workflows. On the workers' path, because Parsl sends functions of modules by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from parsl import bash_app, join_app, python_app


@python_app
def double(number: int, *, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return 2 * number


@python_app(cache=True)
def remembered(number: int) -> int:
    return number + 1


@python_app
def total(*numbers: int) -> int:
    return sum(numbers)


@python_app
def burn(seconds: float) -> int:
    """Keep the processor and 64 MiB busy."""
    block = b"x" * (64 << 20)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))
    return len(block)


@python_app
def look_up(name: str) -> Any:
    """Fail for want of a key, with a cause that tells more."""
    try:
        return {"alpha": 1}[name]
    except KeyError as error:
        raise ValueError(f"no parameter {name!r}") from error


@python_app
def needs(file: str) -> bool:
    """Fail for want of a file that all tasks need."""
    time.sleep(0.05)
    if not Path(file).exists():
        raise RuntimeError("the shared input is not there")
    return True


@python_app
def allocate(number: int) -> int:
    return len(bytearray(number))


@python_app
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@python_app
def sleep_long(walltime: float = 0.5) -> None:
    # In steps: Parsl's timer cannot end a blocking system call.
    for _ in range(2000):
        time.sleep(0.005)


@bash_app
def complain(code: int, stderr: str | None = None) -> str:
    return f"echo reading input; echo 'solver: licence expired' >&2; exit {code}"


@join_app
def fan_out(numbers: list[int]) -> list[Any]:
    return [double(number) for number in numbers]


@python_app
def double_once_there_is(file: str, number: int) -> int:
    """Wait for a file first."""
    while not Path(file).exists():
        time.sleep(0.05)
    return 2 * number


@join_app
def fan_out_once_there_is(file: str, number: int) -> Any:
    return double_once_there_is(file, number)


@join_app
def fan_out_and_fail() -> Any:
    return [double(1), look_up("omega")]


@python_app
def host_name(seconds: float = 0.0) -> str:
    import platform

    time.sleep(seconds)
    return platform.node()


@python_app
def say_where(seconds: float) -> tuple[str, float, float]:
    """Work, and say on which node, and from when to when."""
    import platform

    begin = time.time()
    time.sleep(seconds)
    return platform.node(), begin, time.time()


@python_app
def say_where_too(seconds: float) -> tuple[str, float, float]:
    """Another app that does the same."""
    import platform

    begin = time.time()
    time.sleep(seconds)
    return platform.node(), begin, time.time()


@python_app
def fail_always(parsl_resource_specification: dict[str, Any]) -> None:
    raise RuntimeError(f"no luck at {time.time()}")


@python_app
def fail_once_on(host: str, seconds: float = 0.0) -> str:
    """Fail at once on one node, and end well on any other, after a while."""
    import platform

    if platform.node() == host:
        raise RuntimeError(f"something is odd about {host}")
    time.sleep(seconds)
    return platform.node()


@python_app
def fail_until(marker: str, tries: int) -> int:
    """Fail with a refused connection until the marker file has seen so many tries."""
    with Path(marker).open("a", encoding="utf-8") as file:
        file.write(f"{time.time()}\n")
    seen = len(Path(marker).read_text(encoding="utf-8").splitlines())
    if seen < tries:
        raise ConnectionRefusedError(111, "Connection refused")
    return seen


@python_app
def use_module(name: str, seconds: float = 0.0) -> str:
    """Import a module that not every node has, use it for a while, and say where."""
    import importlib
    import platform

    importlib.import_module(name)
    time.sleep(seconds)
    return platform.node()


@python_app
def mark(directory: str, number: int, seconds: float) -> int:
    """Say with a file that the task has begun; what ended it tells nothing."""
    (Path(directory) / f"{number}-{time.time_ns()}").touch()
    time.sleep(seconds)
    return number


@python_app
def work_on(directory: str, seconds: float, until: str = "") -> str:
    """Say with a file where the task has begun, and at its end where it ran. In steps, each of which can be stopped.

    Where a file is named, the work ends no sooner than that is there.
    """
    import platform

    (Path(directory) / f"{platform.node()}@{time.time_ns()}").touch()
    for _ in range(int(seconds / 0.05)):
        time.sleep(0.05)
    while until and not Path(until).exists():
        time.sleep(0.05)
    return platform.node()


@python_app
def work_unless_on(host: str, seconds: float, fault: str) -> str:
    """Work, but on one node fail in a quarter of the time."""
    import platform

    if platform.node() == host:
        time.sleep(seconds / 4)
        if fault == "file_descriptors":
            raise OSError(24, "Too many open files")
        raise RuntimeError(f"something is odd about {host}")
    time.sleep(seconds)
    return platform.node()


@python_app
def shout(bytes_of_message: int) -> None:
    raise ValueError("x" * bytes_of_message)


@python_app
def unreadable() -> Any:
    """A result that only its worker can read."""

    class Late:
        def __reduce__(self) -> Any:
            return (__import__, ("octopus_module_of_nobody",))

    return Late()


@python_app
def leave() -> None:
    raise SystemExit(3)


@python_app
def exits_when_asked() -> None:
    class Exits(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    raise Exits


@python_app
def unprintable() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    raise Mute


@python_app
def ask_a_busy_service() -> bytes:
    """A real answer of HTTP 429, whose exception dill cannot write."""
    import http.server
    import threading
    import urllib.request

    class Busy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(429)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Busy) as server:
        server.timeout = 30.0
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/x?token=secret") as answer:
                return bytes(answer.read())
        finally:
            thread.join()


@python_app
def fail_while_handling() -> None:
    """A file system's error that a plain ``raise`` hides in the context."""
    try:
        raise OSError(5, "Input/output error", "/data/cell-7")
    except OSError:
        raise RuntimeError("the cell could not be read")  # noqa: B904 - that is what is tested
