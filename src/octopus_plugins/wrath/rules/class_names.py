"""Rules that go by what a class is called, whatever the library that it comes from."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.rule import Match, Rule, Trust, names, place, quote
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

# Category, what its classes are called, what happened, and examples for the docs.
_KINDS: tuple[tuple[Category, str, str, str], ...] = (
    (
        Category.memory_exhausted,
        r"OutOfMemory|OOMError|MemoryExhausted|MemoryLimit|NotEnoughMemory",
        "it ran out of memory",
        "`…OutOfMemory…`, `…OOMError`, `…MemoryLimit…`",
    ),
    (
        Category.numerical_error,
        r"Convergence|NonConverge|NotConverge|Numerical|SingularMatrix|Diverge|NaN(?![a-z])|NonFinite|PosDef|SCFError",
        "the arithmetic failed",
        "`…Convergence…`, `…NaN…`, `…SingularMatrix…`",
    ),
    (
        Category.service_unavailable,
        r"TooManyRequests|RateLimit|Throttl|ServiceUnavailable|ServerUnavailable|Overloaded|MaxConnections"
        r"|PoolLimit|QuotaExceeded|PoolTimeout|PoolEmpty|ServerBusy|InternalServerError|BadGateway|GatewayTimeout|TooManyConnections"
        r"|Licen[sc]eUnavailable",
        "a service cannot serve now",
        "`…TooManyRequests…`, `…RateLimit…`, `…ServiceUnavailable…`, `…MaxConnections…`",
    ),
    (
        Category.credentials_rejected,
        r"Authentication|AuthError|AuthFail|Unauthori[sz]ed|AccessDenied|Credential|TokenExpired|ExpiredToken"
        r"|InvalidToken|LoginRequired|NotAuthenticated|ConsentRequired|Forbidden|Kerberos|GSSError|Licen[sc]eExpired",
        "a service refuses the credentials",
        "`…Authentication…`, `…Unauthorized…`, `…Credential…`, `…AccessDenied…`",
    ),
    (
        Category.resource_busy,
        r"Lock(?:Timeout|Error|Failed|Exception|Held|Conflict|NotAcquired)|AlreadyLocked|Locked(?:Error|Exception)"
        r"|ResourceBusy|DeviceBusy|Deadlock",
        "a lock that it needs is held by another process",
        "`…LockTimeout`, `…LockError`, `AlreadyLocked`",
    ),
    (
        Category.container_failed,
        r"Container(?:Error|Exception|Failed)|Singularity\w*Error|Apptainer\w*Error|Docker\w*(?:Error|Exception)"
        r"|ImageNotFound|Podman\w*Error",
        "a container could not be started",
        "`…ContainerError`, `…Docker…Error`, `ImageNotFound`",
    ),
    (
        Category.setup_failed,
        r"Conda\w*(?:Error|Exception)|ModuleLoad\w*Error|Spack\w*Error|EnvironmentSetup\w*",
        "the software that it needs could not be set up",
        "`…Conda…Exception`, `Spack…Error`",
    ),
    (
        Category.gpu_error,
        r"CUDA\w*Error|Cuda\w*Error|\bHIP\w*Error|NVML\w*Error|CUDADriver\w*",
        "the GPU failed",
        "`CUDA…Error`, `NVML…Error`",
    ),
    (
        Category.peer_lost,
        r"ActorDied|ActorUnavailable|NodeDied|PeerLost|RankFailed|ProcFailed|CommClosed",
        "a process that it works with is gone",
        "`…ActorDied…`, `…NodeDied…`, `CommClosed…`",
    ),
    (
        Category.worker_lost,
        r"KilledWorker|WorkerLost|WorkerCrashed|WorkerDied|TerminatedWorker|ProcessExited|ProcessDied|RayletDied"
        r"|BrokenProcessPool|ChildFailed|ProcessFailure",
        "a process of the task's own pool died",
        "`KilledWorker`, `WorkerCrashed…`, `TerminatedWorker…`",
    ),
    (
        Category.network_unreachable,
        r"Connection(?:Error|Refused|Reset|Timeout|Aborted|Closed|Lost|Failed)|ConnectTimeout|ReadTimeout"
        r"|ConnectError|NetworkError|NetworkException|DNS\w*Error|NameResolution|SSLError|ProxyError|HostUnreachable|Unreachable",
        "a network peer cannot be reached",
        "`…ConnectionError`, `…ReadTimeout`, `…NetworkError`, `…SSLError`",
    ),
    (
        Category.bad_input,
        r"Parse(?:r)?Error|ParsingError|Decode(?:r)?Error|Corrupt|Malformed|InvalidFormat|FileFormat\w*Error"
        r"|SchemaError|ValidationError|InvalidInput|BadInput|InputError|UnidentifiedImage|TruncatedFile|EmptyData",
        "an input could not be read",
        "`…ParseError`, `…DecodeError`, `…ValidationError`, `…Corrupt…`",
    ),
)


_KNOWN = ("parsl.", "parsl_monitor.", "globus_compute_", "concurrent.futures.", "octopus_plugins.")


def _matcher(category: Category, reason: str) -> Callable[[Failure, History | None], Match | None]:
    def match(failure: Failure, history: History | None) -> Match | None:
        for info in (failure.exception, *failure.causes):
            name = _called(names(info)).get(category)
            if name is not None:
                evidence = {"exception": info.type, "class": name}
                return Match(f"{reason}{place(failure)}: {quote(info)}", evidence, 0.6)
        return None

    return match


@functools.lru_cache(maxsize=1_000)
def _called(classes: tuple[str, ...]) -> dict[Category, str]:
    """The classes among a type and its bases that are called after a category."""
    # Python's own, and those of the frameworks, have rules of their own.
    others = [name for name in classes if "." in name and not name.startswith(_KNOWN)]
    found: dict[Category, str] = {}
    for category, pattern, _, _ in _KINDS:
        for name in others:
            if re.search(pattern, name.rpartition(".")[2]):
                found[category] = name
                break
    return found


RULES = tuple(
    Rule(f"{category}.class_name", category, Trust.text, _matcher(category, reason), doc=f"classes called {doc}")
    for category, _, reason, doc in _KINDS
)
