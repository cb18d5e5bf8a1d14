"""Rules for `service_unavailable`: services that answer and do not serve now, for which time helps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.environment.credentials import REFUSAL, REFUSED_CODES, REFUSED_STATUS, refused
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import Match, Rule, Scalar, Trust, quote
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

BUSY_STATUS = frozenset({408, 420, 423, 425, 429, 430, *range(500, 600)} - {501, 505, 511})
"""Statuses of HTTP that say: not now."""

_BUSY_CODES = Phrases(
    r"slow_?down",
    r"throttl",
    r"too_?many_?(?:requests|connections)",
    r"request_?limit",
    r"rate_?exceed",
    r"rate_?limit",
    r"limit_?exceeded",
    r"service_?unavailable",
    r"internal_?(?:server_?)?error",
    r"(?:server_?)?busy",
    r"bandwidth_?limit",
    r"provisionedthroughput",
    r"request_?timeout",
    r"resource_?exhausted",
    r"unavailable",
    r"deadline_?exceeded",
    r"operation_?aborted",
    r"transactioninprogress",
    r"over_?loaded",
    r"try_?again",
)
# SQLSTATE: class 53 is too many connections, 57P0x shutting down or starting up, 28 who asks.
_BUSY_STATES = re.compile(r"^(?:53[034]|57P0[1-5]|08|HYT|58000)")
_LOCKED_STATES = re.compile(r"^(?:40|55P03|55006)")
_BUSY_NUMBERS = frozenset({1040, 1041, 1203, 1226, 3024, 12516, 12519, 12520})
_LOCKED_NUMBERS = frozenset({1205, 1213, 3572})
_REFUSED_NUMBERS = frozenset({1017, 1044, 1045, 1698})

_STATUS = r"(?:408|420|425|429|50[0-46-9]|52\d|599)"
_SAID_OF_STATUS = (
    r"\b(?:HTTP(?:S|/\d(?:\.\d)?)?|status[ _-]?code|response(?:[ _-]?code)?|http[ _-]?status|returned error"
    r"|server error|client error)(?:\s(?:was|is|error|status|code|response))*\W{0,6}"
)
_NOT_OF_SERVICE = Phrases(
    r"resource temporarily unavailable",
    r"disk quota",
    r"out of memory",
    r"no space left",
    r"too many open files",
    r"too many levels",
    r"cuda",
    r"licen[sc]e[^\n]{0,40}(?:expired|invalid|not found|missing)",
)
_SERVICE = Phrases(
    # by the number of the status
    rf"{_SAID_OF_STATUS}{_STATUS}\b(?!\s?(?:bytes|kB|MB|ms|s\b))",
    rf"\b{_STATUS}\W{{1,3}}(?:client error|server error|too many requests|service (?:temporarily )?unavailable)",
    rf"\b{_STATUS}\W{{1,3}}(?:bad gateway|gateway time-?out|internal (?:server )?error|request time-?out|unavailable)",
    r"\btoo many \d{3} error responses",
    # rates
    r"\btoo ?many ?(?:requests|clients|connections|sessions|users|concurrent|failed requests)",
    r"\brate[ -]?limit(?:ed|ing)\b",
    r"\brate[ -]?limit[^\n]{0,20}\b(?:exceeded|reached|hit|error)\b",
    r"\b(?:exceeded|hit|reached|over)\b[^\n]{0,30}\brate[ -]?limit",
    r"\brate exceeded\b",
    r"\bpull limit",
    r"\b(?:usage|request|user-rate|api|daily)[ -]limit (?:was |is |has been )?(?:reached|exceeded)",
    r"\bquota exceeded for\b",
    r"\b(?:api|request|query|read|write)s? quota\b",
    r"\bquota (?:metric|limit)\b",
    r"\bthrottl(?:ed|ing|e)",
    r"\bslow ?down\b",
    r"\breduce your request rate\b",
    # down or busy
    r"\b(?:is|are|currently|temporarily) over(?:loaded| capacity)\b",
    r"\b(?:service|server|site|host|system|endpoint|cluster|api|registry|repository|database|broker|backend)"
    r"(?:'s)?(?: \S{1,40})? (?:is |are |was )?(?:currently |temporarily |now )?(?:un-?available|overload|too busy"
    r"|busy)\b",
    r"\bservice (?:temporarily )?unavailable\b",
    r"\b(?:temporarily|currently) unavailable\b",
    r"\bbad gateway\b",
    r"\bgateway time-?out\b",
    r"\b(?:internal )?server error\b",
    r"\b(?:re)?try (?:again )?later\b",
    r"\b(?:under|down for|scheduled) maintenance\b",
    # connections of databases and pools
    r"\bconnection slots\b",
    r"\bconnection limit exceeded\b",
    r"\bmax(?:imum)? number of (?:clients|connections|sessions|users|licen[sc]es)\b",
    r"\bmax_(?:user_)?connections\b",
    r"\b(?:exceeded|reached)[^\n]{0,20} max(?:imum)? (?:number of )?connections\b",
    r"\bmax(?:imum)? connections (?:exceeded|reached)\b",
    r"\bqueuepool limit\b",
    r"\bconnection pool (?:is )?(?:exhausted|full)",
    r"\bpool limit\b",
    r"\bdatabase system is (?:starting up|shutting down|in recovery mode)",
    r"\bis loading the dataset in memory\b",
    r"\bno primary (?:available|found)",
    r"\bnot master\b",
    # seats of licences
    r"\blicen[sc]ed number of users (?:already )?reached\b",
    r"\ball licen[sc]es? (?:are |is )?(?:currently )?(?:in use|taken|reserved)",
    r"\bno (?:more )?(?:free |available )?licen[sc]es?(?: tokens| seats| keys)? (?:are "
    r"|is )?(?:currently )?(?:available|left|free)",
    r"\b(?:insufficient|not enough|waiting for(?: a)?) licen[sc]es?\b",
    r"\blicen[sc]e (?:server|manager|daemon|file server|service|check-?out|request)\b[^\n]{0,120}"
    r"(?:fail|down|unavailable|not respond|cannot|could not|can't|timed? ?out|denied|busy|refused|error|unreachable"
    r"|not running)",
    r"(?:fail(?:ed|ure)?|cannot|can't|could not|couldn't|unable)\b[^\n]{0,60}\b(?:licen[sc]e|token) (?:server"
    r"|manager|daemon|seat)",
    r"(?:could not|cannot|can't|couldn't|unable to|failed to) (?:check ?-?out|obtain|acquire|get"
    r"|contact)\b[^\n]{0,60}\blicen[sc]e",
    r"\blicen[sc]e (?:could not|cannot|can't) be (?:checked ?out|obtained|acquired)",
    r"\bflex(?:net|lm) (?:licensing )?error\b",
    unless=_NOT_OF_SERVICE,
)

_LOCAL = ("docker.", "aiodocker.", "podman.", "spython.")
"""Clients whose server is a daemon of the node, and no service that may be busy."""

_TUNNEL = ("tunnel connection failed", "proxyerror")


def _status(failure: Failure, history: History | None) -> Match | None:
    """The answer of a web service, as the client's exception keeps it."""
    known = failure.exception.attributes
    status, code = known.get("http_status"), known.get("error_code") or known.get("grpc_code")
    evidence: dict[str, Scalar] = {
        "http_status": status,
        "error_code": code,
        "retry_after": known.get("retry_after"),
    }
    named = code if isinstance(code, str) else ""
    if failure.exception.type.startswith(_LOCAL) and not _SERVICE.has(failure.exception.message):
        return None  # a daemon of the node that speaks HTTP
    if REFUSED_CODES.has(named):
        return refused(failure, evidence)
    if _BUSY_CODES.has(named) or status in BUSY_STATUS:
        return _busy(failure, evidence)
    if status in REFUSED_STATUS and not any(word in failure.exception.message.lower() for word in _TUNNEL):
        return refused(failure, evidence)
    return None


def _busy(failure: Failure, evidence: Mapping[str, Scalar]) -> Match:
    after = evidence.get("retry_after")
    when = f", and asks for {after:g} s" if isinstance(after, float) else ""
    return Match(f"a service cannot serve now{when}: {quote(failure.exception)}", dict(evidence), 0.9)


def _database(failure: Failure, history: History | None) -> Match | None:
    """The SQLSTATE or the server's number, as drivers of databases keep them."""
    known = failure.exception.attributes
    state, number = str(known.get("sqlstate") or known.get("pgcode") or ""), known.get("number")
    evidence: dict[str, Scalar] = {"sqlstate": state or None, "number": number}
    if state.startswith("28") or number in _REFUSED_NUMBERS:
        return refused(failure, evidence)
    if _LOCKED_STATES.match(state) or number in _LOCKED_NUMBERS:
        reason = f"another transaction is in the way: {quote(failure.exception)}"
        return Match(reason, evidence, 0.85, category=Category.resource_busy)
    if _BUSY_STATES.match(state) or number in _BUSY_NUMBERS:
        return _busy(failure, evidence)
    return None


def answers(message: str) -> bool:
    """Whether a message tells of an answer: the peer was reached, and would not or could not serve."""
    if any(word in message.lower() for word in _TUNNEL):
        return False
    return _SERVICE.has(message) or REFUSAL.has(message)


_SERVICE_TYPES = (
    "redis.exceptions.BusyLoadingError",
    "redis.exceptions.MaxConnectionsError",
    "psycopg2.errors.TooManyConnections",
    "psycopg2.errors.CannotConnectNow",
    "psycopg.errors.TooManyConnections",
    "psycopg.errors.CannotConnectNow",
    "sqlalchemy.exc.TimeoutError",
    "pymongo.errors.NotPrimaryError",
    "google.api_core.exceptions.TooManyRequests",
    "google.api_core.exceptions.ServiceUnavailable",
    "openai.RateLimitError",
    "openai.InternalServerError",
    "anthropic.RateLimitError",
    "requests.exceptions.RetryError",
)


def _by_type(failure: Failure, history: History | None) -> Match:
    return _busy(failure, {"retry_after": failure.exception.attributes.get("retry_after")})


RULES = (
    Rule(
        "service_unavailable.type",
        Category.service_unavailable,
        Trust.exact_type,
        _by_type,
        types=_SERVICE_TYPES,
        doc="what clients raise for a service that is busy or limits the rate (redis, psycopg, SQLAlchemy, openai, …)",
    ),
    Rule(
        "service_unavailable.status",
        Category.service_unavailable,
        Trust.exact_type,
        _status,
        types=("Exception",),
        doc="an answer with HTTP status 408, 425, 429, 5xx, or such a code of AWS or gRPC; "
        "401, 403, expired tokens: `credentials_rejected`",
    ),
    Rule(
        "service_unavailable.database",
        Category.service_unavailable,
        Trust.exact_type,
        _database,
        types=("Exception",),
        doc="a database's SQLSTATE or number for too many connections, start or stop; of a lock: `resource_busy`",
    ),
    stated(
        "service_unavailable.text",
        Category.service_unavailable,
        "a service cannot serve now",
        _SERVICE,
        confidence=0.75,
        doc="`429 Too Many Requests`, `Slow Down`, `too many clients already`, pull limits, licence seats, …",
    ),
)
