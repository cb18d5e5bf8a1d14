"""Rules for `network_unreachable`: peers that cannot be reached, by name, by cable or by fabric."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.environment.services import answers
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    command,
    errno_of,
    exit_status,
    place,
    quote,
)
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

NETWORK_ERRNO = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.ENETRESET,
        errno.ETIMEDOUT,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EADDRNOTAVAIL,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        getattr(errno, "ENONET", errno.ENETDOWN),
        getattr(errno, "ECOMM", errno.ENETDOWN),
    }
)
"""Numbers that speak of a peer, where no file is named with them."""

_NO_PEER = Phrases(
    r"due to time limit",
    r"walltime",
    r"no such file",
    r"jupyter kernel",
    r"database is locked",
    r"\block\b",
    r"out of memory",
    r"licen[sc]e",
    r"task timed out",
    r"time limit",
)
_NO_HOST = Phrases(
    r"\b(?:could not|couldn't|cannot|can't|unable to|failed to) resolve (?:host|hostname|proxy|address|the host)",
    r"\bname or service not known\b",
    r"\btemporary failure in name resolution\b",
    r"\bno route to host\b",
    r"\bnetwork is unreachable\b",
)
_SAID = Phrases(
    r"\bconnection (?:was )?(?:refused|reset|timed out|aborted|closed|broken|error|failed|failure|lost|dropped"
    r"|terminated|unexpectedly closed)\b",
    r"\bconnect(?:ion)?(?: attempt)? (?:to|with)\b[^\n]{0,120}\b(?:fail|timed ?out|timeout|refused|reset|lost"
    r"|closed|could not|dropped)",
    r"\b(?:could not|couldn't|cannot|can't|unable to|failed to|failure to|fail to) (?:\w+ ){0,2}(?:connect|resolve"
    r"|reach|contact|establish)\b",
    r"\bnetwork (?:is )?(?:unreachable|down|error|failure|timeout)\b",
    r"\bno route to host\b",
    r"\bname or service not known\b",
    r"\b(?:temporary failure in )?name resolution\b",
    r"\bnodename nor servname\b",
    r"\bno address associated\b",
    r"\bgetaddrinfo\b[^\n]{0,80}\b(?:fail|error|ENOTFOUND|EAI_AGAIN)",
    r"\bno such host\b",
    r"\bunknown ?host\b",
    r"\bmax retries exceeded\b",
    r"\boperation expired\b",
    r"\b(?:host|peer|server|destination|endpoint) (?:is |was )?unreachable\b",
    r"\b(?:read|connect|connection|socket|request|handshake|operation|i/o|io|remote|transfer|download|upload|query"
    r"|server|response|rpc|ssl|tls|http|https|xrootd|ftp|gridftp)[ _-]?(?:operation )?time(?:d)?[ -]?out\b",
    r"\btimed out (?:while |when )?(?:waiting|connecting|trying|reading|receiving|downloading|fetching"
    r"|contacting)[^\n]{0,60}\b(?:server|host|response|connection|peer|socket|reply|data|url|remote|http)",
    r"\bremote end closed connection\b",
    r"\bserver (?:closed|disconnected|dropped|has gone away|did not (?:respond|answer|reply))",
    r"\bsocket (?:error|closed|hang up|timeout|hung up|is not connected)\b",
    r"\bhung up unexpectedly\b",
    r"\btunnel connection failed\b",
    r"\bcannot connect to proxy\b",
    r"\bproxy ?error\b",
    r"\b(?:ssl|tls)\b[^\n]{0,60}\b(?:error|failed|failure|eof|handshake|wrong version)\b",
    r"\bhandshake (?:failed|failure|timeout|timed out)\b",
    r"\bcertificate verify failed\b",
    r"\bunable to get local issuer certificate\b",
    r"\bself[- ]signed certificate\b",
    r"\bearly eof\b",
    r"\brpc failed\b",
    r"\bdial tcp\b",
    r"\bincomplete ?read\b",
    r"\bChunkedEncodingError\b",
    r"\btransfer closed\b",
    r"\bcurl\b[^\n]{0,10}\(\d{1,2}\)",
    r"\bcurlerror",
    r"\bwget: (?:unable|can't|failed)",
    r"\bfailed to (?:download|fetch|retrieve|clone|pull)\b[^\n]{0,160}\b(?:connection|network|timeout|timed out"
    r"|resolve|host)",
    r"\bxrootd\b[^\n]{0,80}\b(?:error|expired|socket|redirect)",
    r"\bredirect limit\b",
    r"\bno servers? (?:are )?(?:available|found|reachable)\b",
    r"\bserverselectiontimeout",
    unless=_NO_PEER,
)

# The high-speed networks of clusters: libfabric, UCX, PSM, verbs, Slingshot, and MPI and NCCL where one of them fails.
_FABRIC = Phrases(
    r"\b(?:libfabric|fi_[a-z]{3,20}|ofi_\w{2,40}|MPIDI?_OFI\w*|OFI (?:endpoint|domain|provider|get\w*|call|poll"
    r"|tag\w*|addr\w*))\b[^\n]{0,160}\b(?:fail|error|invalid"
    r"|timeout|unreachable|no such|not found|cannot|unable|denied|refused)",
    r"\b(?:ucx|ucp|uct|ucs)\b[^\n]{0,160}\b(?:error|fail|unreachable|timeout|fatal|rejected|reset|refused)\b",
    r"\bendpoint timeout\b",
    r"\bremote (?:access|operation) error\b",
    r"\bdestination is unreachable\b",
    r"\b(?:ibv_\w{3,40}|ib_\w{3,20}|infiniband|verbs|openib|hca|mlx\d\w*|rdma\w*|rdma_\w+)\b[^\n]{0,160}\b(?:fail"
    r"|error|not active|no active|timeout|unreachable|cannot|unable|no device|retry exceeded)",
    r"\btransport retry (?:count|counter) exceeded\b",
    r"\bretry exceeded error\b",
    r"\bIBV_WC_\w+",
    r"\bno active (?:ib|infiniband) ports?\b",
    r"\b(?:psm\d\w{0,2}|hfi\d\w{0,3})\b[^\n]{0,160}\b(?:fail|error|no (?:such )?(?:hfi|unit|device)|timeout"
    r"|unable|cannot|could not|can't|endpoint|context|permission|unreachable)",
    r"\b(?:cxi\w*|gni\w*|GNI_\w+|slingshot|aries)\b[^\n]{0,160}\b(?:fail|error|timeout|unable|cannot|no such|denied)",
    r"\bnccl\b[^\n]{0,160}\b(?:call to (?:connect|bind|ibv_\w+|poll|recv|send)|socket|net\b|no socket interface"
    r"|ncclsystemerror|system error|bootstrap|connect(?:ion)?)\b",
)


def _network(failure: Failure, history: History | None) -> Match | None:
    known = failure.exception.attributes
    if (
        "http_status" in known
        or "urllib.error.HTTPError" in failure.exception.mro
        or answers(failure.exception.message)
    ):
        return None  # the peer answered
    if known.get("filename") and errno_of(failure) is not None:
        return None  # what Python maps to a ConnectionError was a file system's error
    return Match(f"a network peer cannot be reached{place(failure)}: {quote(failure.exception)}", confidence=0.85)


def _mute_client(failure: Failure, history: History | None) -> Match | None:
    """A client that was told to say nothing: its exit code alone tells."""
    program = command(failure).split(maxsplit=1)[:1]
    codes = _EXIT_CODES.get(program[0].rpartition("/")[2], ()) if program else ()
    code = exit_status(failure)[0]
    if code not in codes:
        return None
    evidence: dict[str, Scalar] = {"program": program[0], "exit_code": code}
    return Match(f"a network peer cannot be reached{place(failure)}: {program[0]} ended with {code}", evidence, 0.75)


_EXIT_CODES = {"curl": (5, 6, 7, 28, 35, 52, 55, 56), "wget": (4, 5)}
"""What curl(1) and wget(1) end with where the network fails."""


def _errno(failure: Failure, history: History | None) -> Match | None:
    number = errno_of(failure)
    if number is None or number not in NETWORK_ERRNO or failure.exception.attributes.get("filename"):
        return None
    reason = f"a network peer cannot be reached{place(failure)}: {quote(failure.exception)}"
    return Match(reason, {"errno": errno.errorcode[number]}, 0.85)


RULES = (
    Rule(
        "network_unreachable.type",
        Category.network_unreachable,
        Trust.exact_type,
        _network,
        types=(
            "ConnectionError",
            "socket.gaierror",
            "ssl.SSLError",
            "http.client.RemoteDisconnected",
            "http.client.IncompleteRead",
            "urllib.error.URLError",
            "urllib.error.ContentTooShortError",
            "requests.exceptions.ConnectionError",
            "requests.exceptions.Timeout",
            "requests.exceptions.ChunkedEncodingError",
            "urllib3.exceptions.NewConnectionError",
            "urllib3.exceptions.ConnectTimeoutError",
            "urllib3.exceptions.ReadTimeoutError",
            "urllib3.exceptions.MaxRetryError",
            "urllib3.exceptions.ProtocolError",
            "urllib3.exceptions.NameResolutionError",
            "aiohttp.client_exceptions.ClientConnectionError",
            "aiohttp.client_exceptions.ClientPayloadError",
            "httpx.TransportError",
            "httpcore.ConnectError",
            "httpcore.NetworkError",
            "httpcore.TimeoutException",
            "pika.exceptions.AMQPConnectionError",
            "redis.exceptions.ConnectionError",
            "redis.exceptions.TimeoutError",
            "botocore.exceptions.HTTPClientError",
            "botocore.exceptions.ConnectionError",
            "globus_sdk.exc.convert.NetworkError",
            "pymongo.errors.AutoReconnect",
            "paramiko.ssh_exception.NoValidConnectionsError",
            "paramiko.ssh_exception.SSHException",
            "kafka.errors.NoBrokersAvailable",
            "ftplib.Error",
            "fsspec.exceptions.FSTimeoutError",
        ),
        doc="`ConnectionError`, `socket.gaierror`, `ssl.SSLError`, and those of urllib, requests, aiohttp, httpx, …",
    ),
    Rule(
        "network_unreachable.errno",
        Category.network_unreachable,
        Trust.exact_type,
        _errno,
        types=("OSError",),
        doc="`OSError` with `ENETUNREACH`, `EHOSTUNREACH`, `ETIMEDOUT`, … that names no file",
    ),
    Rule(
        "network_unreachable.exit_code",
        Category.network_unreachable,
        Trust.exit_status,
        _mute_client,
        types=EXIT_TYPES,
        doc="exit codes of curl and wget for hosts that cannot be resolved, reached or read from",
    ),
    stated(
        "network_unreachable.name",
        Category.network_unreachable,
        "a host cannot be found or reached",
        _NO_HOST,
        confidence=0.75,
        doc="`could not resolve host`, `name or service not known`, `no route to host`",
    ),
    stated(
        "network_unreachable.fabric",
        Category.network_unreachable,
        "the node's fabric failed",
        _FABRIC,
        confidence=0.7,
        doc="libfabric (OFI), UCX, PSM, verbs, Slingshot, and NCCL where it says that one of them fails",
    ),
    stated(
        "network_unreachable.text",
        Category.network_unreachable,
        "a network peer cannot be reached",
        _SAID,
        confidence=0.65,
        trust=Trust.text,
        doc="`connection refused`, `no route to host`, `max retries exceeded`, `operation expired`, …",
    ),
)
