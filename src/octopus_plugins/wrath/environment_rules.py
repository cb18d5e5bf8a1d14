"""Rules for the environment layer: what a node has, and what it can reach."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules import (
    EXIT_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    exit_status,
    first_line,
    line_with,
    place,
    quote,
)
from octopus_plugins.wrath.taxonomy import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history import History

FLAKY_TASKS = 3
"""Different tasks that must fail in a row on a node that fails what succeeds elsewhere."""

_NO_MODULE = re.compile(r"No module named '?([\w.]+)")
_LIBRARY_WORDS = (
    "cannot open shared object",
    "error while loading shared libraries",
    "undefined symbol",
    "image not found",
    "library not loaded",
    "dll load failed",
    "glibc_",
    "glibcxx_",
    "wrong elf class",
    "invalid elf header",
)
_LIBRARY = re.compile(r"([\w.+-]+\.(?:so|dylib|dll)[\w.]*)")
_MISSING_PROGRAM_WORDS = ("command not found", "no such file or directory", "not found")
_PROGRAM = re.compile(r"(?:^|: )([\w./+-]+): (?:command not found|No such file or directory|not found)", re.MULTILINE)
_DENIED_WORDS = ("permission denied", "operation not permitted")
_GPU_WORDS = (
    "cuda error",
    "cuda out of memory",
    "cuda driver",
    "cuda runtime",
    "no cuda",
    "no cuda-capable device",
    "cuda initialization",
    "cudnn",
    "cublas",
    "nvidia-smi has failed",
    "nvml",
    "hip error",
    "hiperror",
    "rocm",
    "gpu has fallen off the bus",
    "uncorrectable ecc",
)
_NETWORK_WORDS = (
    "connection refused",
    "connection reset by peer",
    "connection timed out",
    "network is unreachable",
    "no route to host",
    "could not resolve host",
    "name or service not known",
    "temporary failure in name resolution",
)
_STORAGE_WORDS = (
    "input/output error",
    "stale file handle",
    "stale nfs file handle",
    "read-only file system",
    "transport endpoint is not connected",
    "remote i/o error",
)
_NETWORK_ERRNO = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT}
_STORAGE_ERRNO = {
    errno.EIO,
    errno.ESTALE,
    errno.EROFS,
    errno.ENODEV,
    errno.ENXIO,
    getattr(errno, "EREMOTEIO", errno.EIO),
}


def _module(failure: Failure, history: History | None) -> Match | None:
    name = failure.exception.attributes.get("name")
    if not name:
        found = _NO_MODULE.search(failure.exception.message)
        name = found.group(1) if found else None
    message = failure.exception.message.lower()
    if any(word in message for word in _LIBRARY_WORDS):
        return None
    what = f"module {name!r}" if name else "a module"
    confidence = 0.95 if "ModuleNotFoundError" in failure.exception.mro else 0.8
    return Match(f"{what} cannot be imported{place(failure)}", {"subject": name, "module": name}, confidence)


def _module_to_read(failure: Failure, history: History | None) -> Match | None:
    """Parsl wraps what goes wrong when the submit side reads an exception: its own modules lack the class."""
    found = _NO_MODULE.search(failure.exception.message)
    if not found:
        return None
    name = found.group(1)
    reason = f"what the task sent needs module {name!r}, which the reading side lacks"
    return Match(reason, {"subject": name, "module": name}, 0.85, scope="run", resolvable="unknown")


def _library(failure: Failure, history: History | None) -> Match | None:
    message = failure.exception.message
    if not any(word in message.lower() for word in _LIBRARY_WORDS):
        return None
    found = _LIBRARY.search(message)
    name = found.group(1) if found else None
    what = f"library {name!r}" if name else "a shared library"
    return Match(f"{what} cannot be loaded{place(failure)}: {first_line(message)}", {"subject": name}, 0.9)


def _library_of_program(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 127:
        return None
    line = line_with(failure, _LIBRARY_WORDS)
    if not line:
        return None
    found = _LIBRARY.search(line)
    evidence = {"subject": found.group(1) if found else None, "exit_code": 127, "text": line}
    return Match(f"a shared library of a program cannot be loaded{place(failure)}: {line}", evidence, 0.9)


def _program_started(failure: Failure, history: History | None) -> Match | None:
    location = failure.exception.location or ""
    if "_execute_child" not in location and "subprocess.py" not in location:
        return None
    name = failure.exception.attributes.get("filename")
    return Match(f"program {name!r} is not there{place(failure)}", {"subject": name}, 0.85)


def _exit_127(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 127:
        return None
    line = line_with(failure, _MISSING_PROGRAM_WORDS)
    found = _PROGRAM.search(line)
    name = found.group(1) if found else None
    what = f"program {name!r}" if name else "a program"
    evidence = {"subject": name, "exit_code": 127, "text": line or None}
    return Match(f"{what} was not found{place(failure)} (exit code 127)", evidence, 0.9)


def _exit_126(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 126:
        return None
    evidence = {"exit_code": 126, "text": line_with(failure, _DENIED_WORDS) or None}
    return Match(f"a program may not be executed{place(failure)} (exit code 126)", evidence, 0.9)


def _denied(failure: Failure, history: History | None) -> Match:
    name = failure.exception.attributes.get("filename")
    return Match(f"access was refused{place(failure)}: {quote(failure.exception)}", {"subject": name}, 0.9)


def _network(failure: Failure, history: History | None) -> Match | None:
    if "urllib.error.HTTPError" in failure.exception.mro:
        return None  # the peer answered
    return Match(f"a network peer cannot be reached{place(failure)}: {quote(failure.exception)}", confidence=0.85)


def _os_error(failure: Failure, history: History | None) -> Match | None:
    number = failure.exception.attributes.get("errno")
    if type(number) is not int:
        return None
    name = failure.exception.attributes.get("filename")
    evidence = {"errno": errno.errorcode.get(number), "subject": name}
    if number in _STORAGE_ERRNO or (name and number in (errno.ETIMEDOUT, errno.ENOTCONN)):
        return Match(f"the file system failed{place(failure)}: {quote(failure.exception)}", evidence, 0.9)
    if number in _NETWORK_ERRNO:
        reason = f"a network peer cannot be reached{place(failure)}: {quote(failure.exception)}"
        return Match(reason, evidence, 0.85, category=Category.network_unreachable)
    return None


def _gpu(failure: Failure, history: History | None) -> Match:
    return Match(f"the GPU failed{place(failure)}: {quote(failure.exception)}", confidence=0.9)


def _node_state(failure: Failure, history: History | None) -> Match | None:
    host = history.host(failure.host) if history else None
    if host is None or host.state != "lost":
        return None
    evidence: dict[str, Scalar] = {"heartbeat": host.heartbeat, "state": host.state}
    return Match(f"node {failure.host} is gone: its heartbeats ended", evidence, 0.85)


def _fails_here_only(failure: Failure, history: History | None) -> Match | None:
    """A node that fails one task after another of an app that succeeds elsewhere."""
    if history is None:
        return None
    here, app = history.app_on(failure.app, failure.host), history.app(failure.app)
    if here is None or app is None or here.streak < FLAKY_TASKS - 1 or here.successes * 4 > here.streak:
        return None
    elsewhere_good = app.successes - here.successes
    elsewhere_bad = app.failures - here.failures
    if elsewhere_good < FLAKY_TASKS or elsewhere_bad * 4 > elsewhere_good:
        return None
    evidence = {
        "failed_here": here.streak + 1,
        "succeeded_elsewhere": elsewhere_good,
        "failed_elsewhere": elsewhere_bad,
    }
    reason = (
        f"{failure.app} failed {here.streak + 1} times in a row{place(failure)} and ended well {elsewhere_good} times "
        f"elsewhere: {quote(failure.exception)}"
    )
    return Match(reason, evidence, 0.7)


def _text(reason: str, words: tuple[str, ...]):  # type: ignore[no-untyped-def]
    def match(failure: Failure, history: History | None) -> Match:
        line = line_with(failure, words)
        return Match(f"{reason}{place(failure)}: {line}", {"text": line}, 0.65)

    return match


RULES = (
    Rule(
        "gpu_error.type",
        Category.gpu_error,
        Trust.exact_type,
        _gpu,
        types=(
            "torch.cuda.OutOfMemoryError",
            "torch.OutOfMemoryError",
            "torch.AcceleratorError",
            "cupy.cuda.memory.OutOfMemoryError",
            "cupy_backends.cuda.api.runtime.CUDARuntimeError",
            "cupy_backends.cuda.api.driver.CUDADriverError",
            "numba.cuda.cudadrv.driver.CudaAPIError",
            "numba.cuda.cudadrv.error.CudaSupportError",
            "pynvml.NVMLError",
        ),
        doc="the GPU exceptions of PyTorch, CuPy, Numba and NVML",
    ),
    Rule(
        "library_missing.type",
        Category.library_missing,
        Trust.exact_type,
        _library,
        types=("ImportError", "OSError"),
        doc="`ImportError` or `OSError` of the loader: `cannot open shared object file`, `undefined symbol`, …",
    ),
    Rule(
        "module_missing.type",
        Category.module_missing,
        Trust.exact_type,
        _module,
        types=("ImportError",),
        doc="`ModuleNotFoundError`, `ImportError`",
    ),
    Rule(
        "module_missing.deserialization",
        Category.module_missing,
        Trust.exact_type,
        _module_to_read,
        types=("parsl.serialize.errors.DeserializationError",),
        doc="`DeserializationError` that names a module",
    ),
    Rule(
        "executable_missing.subprocess",
        Category.executable_missing,
        Trust.exact_type,
        _program_started,
        types=("FileNotFoundError",),
        doc="`FileNotFoundError` from `subprocess`",
    ),
    Rule(
        "permission_denied.type",
        Category.permission_denied,
        Trust.exact_type,
        _denied,
        types=("PermissionError",),
        doc="`PermissionError` (`EACCES`, `EPERM`)",
    ),
    Rule(
        "network_unreachable.type",
        Category.network_unreachable,
        Trust.exact_type,
        _network,
        types=(
            "ConnectionError",
            "socket.gaierror",
            "urllib.error.URLError",
            "requests.exceptions.ConnectionError",
            "requests.exceptions.Timeout",
            "urllib3.exceptions.NewConnectionError",
            "urllib3.exceptions.ConnectTimeoutError",
            "aiohttp.client_exceptions.ClientConnectionError",
            "httpx.TransportError",
            "httpcore.ConnectError",
        ),
        doc="`ConnectionError`, `socket.gaierror`, and those of urllib, requests, aiohttp, httpx",
    ),
    Rule(
        "filesystem_error.errno",
        Category.filesystem_error,
        Trust.exact_type,
        _os_error,
        types=("OSError",),
        doc="`OSError` with `EIO`, `ESTALE`, `EROFS`, …; with `ENETUNREACH`, `EHOSTUNREACH`: `network_unreachable`",
    ),
    Rule(
        "library_missing.exit_code",
        Category.library_missing,
        Trust.exit_status,
        _library_of_program,
        types=EXIT_TYPES,
        doc="exit code 127, and the loader's message",
    ),
    Rule(
        "executable_missing.exit_code",
        Category.executable_missing,
        Trust.exit_status,
        _exit_127,
        types=EXIT_TYPES,
        doc="exit code 127",
    ),
    Rule(
        "permission_denied.exit_code",
        Category.permission_denied,
        Trust.exit_status,
        _exit_126,
        types=EXIT_TYPES,
        doc="exit code 126",
    ),
    Rule(
        "node_down.heartbeat",
        Category.node_down,
        Trust.structured,
        _node_state,
        types=("parsl.executors.high_throughput.errors.ManagerLost",),
        doc="`ManagerLost`, and the node's heartbeats ended",
    ),
    Rule(
        "gpu_error.text",
        Category.gpu_error,
        Trust.text,
        _text("the GPU failed", _GPU_WORDS),
        words=_GPU_WORDS,
        doc="`CUDA error`, `no CUDA-capable device`, `HIP error`, …",
    ),
    Rule(
        "library_missing.text",
        Category.library_missing,
        Trust.text,
        _text("a shared library cannot be loaded", _LIBRARY_WORDS[:2]),
        words=_LIBRARY_WORDS[:2],
        doc="`error while loading shared libraries`",
    ),
    Rule(
        "network_unreachable.text",
        Category.network_unreachable,
        Trust.text,
        _text("a network peer cannot be reached", _NETWORK_WORDS),
        words=_NETWORK_WORDS,
        doc="`connection refused`, `no route to host`, …",
    ),
    Rule(
        "filesystem_error.text",
        Category.filesystem_error,
        Trust.text,
        _text("the file system failed", _STORAGE_WORDS),
        words=_STORAGE_WORDS,
        doc="`stale file handle`, `input/output error`, …",
    ),
    Rule(
        "permission_denied.text",
        Category.permission_denied,
        Trust.text,
        _text("access was refused", _DENIED_WORDS),
        types=EXIT_TYPES,
        words=_DENIED_WORDS,
        doc="`permission denied` on a program's standard error",
    ),
    Rule(
        "node_unhealthy.history",
        Category.node_unhealthy,
        Trust.symptom,
        _fails_here_only,
        doc="an app fails in a row on one node and succeeds on the others",
    ),
)
