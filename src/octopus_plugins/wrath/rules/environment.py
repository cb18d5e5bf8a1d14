"""Rules for the environment layer: what a node has, and what it can reach."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.history.health import MISSED
from octopus_plugins.wrath.rules.rule import (
    Match,
    Rule,
    Scalar,
    Trust,
    place,
    quote,
    said,
)
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

FLAKY_TASKS = 3
"""Different tasks that must fail in a row on a node that fails what succeeds elsewhere."""

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
    "couldn't connect to server",
    "failed to connect to",
    "unable to resolve host",
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


def _no_directory(failure: Failure, history: History | None) -> Match | None:
    # Every call that takes a path names it, but not getcwd: the working directory is gone.
    known = failure.exception.attributes
    if known.get("errno") != errno.ENOENT or known.get("filename") is not None:
        return None
    return Match(f"the working directory is gone{place(failure)}", {"errno": "ENOENT"}, 0.6)


def _gpu(failure: Failure, history: History | None) -> Match:
    return Match(f"the GPU failed{place(failure)}: {quote(failure.exception)}", confidence=0.9)


def _node_state(failure: Failure, history: History | None) -> Match | None:
    host = history.host(failure.host) if history else None
    if host is None or not host.heartbeat:
        return None
    silent = failure.time - max(host.heard, host.heartbeat)
    # Missed heartbeats of the manager have been counted already: those of the node only have to bear them out.
    ended = host.period is not None and silent > MISSED * host.period
    if host.state != "lost" and not ended:
        return None
    evidence: dict[str, Scalar] = {"heartbeat": host.heartbeat, "state": host.state, "silent": round(silent, 3)}
    return Match(f"node {failure.host} is gone: its heartbeats ended {silent:.0f} s ago", evidence, 0.75)


def _straggler(failure: Failure, history: History | None) -> Match:
    known = failure.exception.attributes
    evidence = {name: known.get(name) for name in ("ran", "usual", "silent")}
    return Match(f"node {failure.host or known.get('hostname')} is gone: {failure.exception.message}", evidence, 0.85)


def _fails_here_only(failure: Failure, history: History | None) -> Match | None:
    """A node that fails one task after another of an app that succeeds elsewhere."""
    if history is None:
        return None
    here = history.app_on(failure.run_id, failure.app, failure.host)
    app = history.app(failure.run_id, failure.app)
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


RULES = (
    Rule(
        "node_down.straggler",
        Category.node_down,
        Trust.exact_type,
        _straggler,
        types=("parsl_monitor.errors.StragglerError",),
        doc="a try far beyond its app's run times on a node whose heartbeats stopped",
    ),
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
            "pika.exceptions.AMQPConnectionError",
            "redis.exceptions.ConnectionError",
            "botocore.exceptions.HTTPClientError",
            "globus_sdk.exc.convert.NetworkError",
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
        "filesystem_error.directory",
        Category.filesystem_error,
        Trust.exact_type,
        _no_directory,
        types=("FileNotFoundError",),
        doc="`ENOENT` of a call that names no file: the working directory was removed",
    ),
    Rule(
        "node_down.heartbeat",
        Category.node_down,
        Trust.structured,
        _node_state,
        types=("parsl.executors.high_throughput.errors.ManagerLost",),
        doc="`ManagerLost`, and the node's own heartbeats ended too",
    ),
    Rule(
        "gpu_error.text",
        Category.gpu_error,
        Trust.text,
        said("the GPU failed", _GPU_WORDS),
        words=_GPU_WORDS,
        doc="`CUDA error`, `no CUDA-capable device`, `HIP error`, …",
    ),
    Rule(
        "network_unreachable.text",
        Category.network_unreachable,
        Trust.text,
        said("a network peer cannot be reached", _NETWORK_WORDS),
        words=_NETWORK_WORDS,
        doc="`connection refused`, `no route to host`, …",
    ),
    Rule(
        "filesystem_error.text",
        Category.filesystem_error,
        Trust.text,
        said("the file system failed", _STORAGE_WORDS),
        words=_STORAGE_WORDS,
        doc="`stale file handle`, `input/output error`, …",
    ),
    Rule(
        "node_unhealthy.history",
        Category.node_unhealthy,
        Trust.symptom,
        _fails_here_only,
        doc="an app fails in a row on one node and succeeds on the others",
    ),
)
