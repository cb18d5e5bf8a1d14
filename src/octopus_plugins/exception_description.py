"""What an exception tells, as plain data: seen where it happened, before anything of it is pickled.

Never raises, whatever the exception does: a ``__str__`` that raises, huge messages, cyclic causes, attributes of any
kind. Everything is bounded, no property computes, and what is secret in an address stays out. Imports no framework:
Parsl's propagated exceptions are known by their attribute ``dependent_exceptions_tids``.

Imported on compute nodes too: nothing but the standard library.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from types import CodeType, FunctionType, MemberDescriptorType, TracebackType, WrapperDescriptorType
from typing import Any, TypeAlias

from octopus_plugins.tracebacks import PLAIN, plain_text, traceback_text

MAX_MESSAGE = 4_096
MAX_TRACEBACK = 16_384
MAX_CAUSES = 8
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE = 512
MAX_NAME = 256
MAX_MRO = 32
MAX_NOTES = 8
MAX_TRACEBACK_FRAMES = 64
"""Frames of each traceback in the text, innermost ones."""
MAX_FRAMES = 8
"""Frames of each exception that are named with whose code they are, innermost ones."""
MAX_DEPENDENCIES = 64
LARGEST, LEAST = 2**63 - 1, -(2**63)

OWN, LIBRARY, STANDARD, FRAMEWORK = "own", "library", "standard", "framework"
"""Whose code a frame runs: the task's, an installed package's, Python's own, or the framework's that runs the task."""

Scalar: TypeAlias = "str | int | float | bool | None"
Data: TypeAlias = dict[str, Any]

# Frames of these top-level packages are the framework's, not the user's.
_FRAMEWORKS = frozenset(
    {"parsl", "octopus_plugins", "parsl_monitor", "globus_compute_hooks", "globus_compute_sdk"}
    | {"globus_compute_endpoint", "concurrent"}
)
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
_STANDARD = tuple(
    {f"{path}/" for name in ("stdlib", "platstdlib") if (path := sysconfig.get_paths().get(name))}
    | {"<frozen ", f"{sys.base_prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/"}
)

# Built-in exceptions keep these outside of ``__dict__``. Left out on purpose: ``obj``, ``object``, ``value``, ``text``.
_BUILTIN_ATTRIBUTES: tuple[tuple[type[BaseException], tuple[str, ...]], ...] = (
    (OSError, ("errno", "strerror", "filename", "filename2")),
    (ImportError, ("name", "path")),
    (NameError, ("name",)),
    (AttributeError, ("name",)),
    (SyntaxError, ("filename", "lineno")),
    (UnicodeError, ("encoding", "start", "end", "reason")),
    (SystemExit, ("code",)),
)

# What a class or C code keeps for an exception outside of its ``__dict__``: psycopg's, azure's, google's and others.
_TELLING = ("code", "status", "status_code", "http_status", "sqlstate", "pgcode", "errno", "returncode", "exitcode")
_STATUSES = ("http_status", "status_code", "status", "code")
_NUMBERED = frozenset({"pymysql", "MySQLdb", "mysql", "aiomysql", "asyncmy", "mariadb", "oracledb", "cx_Oracle"})
"""Drivers whose exceptions have the server's number of the error as their first argument."""
_FIRM = _STATUSES[:2]
"""What only a status of HTTP is called; the others are, where the class is one of a client of the web."""
_OF_WEB = re.compile(r"http|api|response|request|client|server|cloud|google|azure|kube|docker", re.IGNORECASE)

_TASK_ID = re.compile(r"task (?:id )?(\d+)", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,20}://)[^\s/@'\"<>]{1,512}@")
_QUERY = re.compile(
    r"(?P<address>(?:[A-Za-z][A-Za-z0-9+.-]{1,20}://|\burl: /)[^\s?'\"<>]{0,2048})\?[^\s'\"<>)]{1,4096}"
)


def describe(error: BaseException, *, trace: TracebackType | None = None, call: bool = True) -> Data:
    """What an exception tells about a failed try.

    Args:
        error: Any exception; it may be hostile.
        trace: Its traceback, where it does not carry it itself.
        call: Whether a ``__str__`` of the task's own code may be called for what it says.

    Returns:
        ``exception`` and ``causes`` (its chain of causes and, of a group, its members; nearest first, at most
        MAX_CAUSES), each with ``type``, ``message``, ``mro``, ``attributes``, ``notes``, ``location`` and ``frames``;
        ``traceback`` (at most the last MAX_TRACEBACK characters, with source lines where Python finds them);
        ``exit_code`` and ``signal``.
    """
    links = _chain(error)
    told = [describe_one(link, trace=trace if link is error else None, call=call) for link in links]
    said = {id(link): one["message"] for link, one in zip(links, told, strict=True) if not (call and _says_more(link))}
    exit_code, signal = _exit_status(told)
    return {
        "exception": told[0],
        "causes": told[1:],
        "traceback": _guarded(None, _traceback, error, trace or _trace(error), said),
        "exit_code": exit_code,
        "signal": signal,
    }


def describe_one(error: BaseException, *, trace: TracebackType | None = None, call: bool = True) -> Data:
    """One exception without its causes; see `describe`.

    ``incomplete`` says of the message that only calling the task's own code would tell the whole.
    """
    found: Data = {
        "type": _type_name(type(error)),
        "message": _guarded("<message that cannot be read>", _message, error, call),
        "mro": [_type_name(cls) for cls in type(error).__mro__[:MAX_MRO] if cls is not object],
    }
    frames: list[tuple[CodeType, int, str]] = _guarded([], _frames, trace or _trace(error))
    more: Data = {
        "incomplete": not call and _guarded(True, _is_incomplete, error),
        "attributes": _guarded({}, _attributes, error),
        "notes": _guarded([], _notes, error),
        "location": _guarded(None, _location, frames),
        "frames": [_frame(code, line, module) for code, line, module in frames[-MAX_FRAMES:]],
    }
    return {**found, **{name: value for name, value in more.items() if value}}


def failed_dependencies(error: BaseException) -> tuple[str, ...]:
    """Ids of the failed tasks that a propagated exception (``DependencyError``, ``JoinError``) names."""
    found: tuple[str, ...] = _guarded((), _failed_dependencies, error)
    return found


def without_secrets(text: str) -> str:
    """A text whose addresses have neither user and password nor what stands behind a ``?``."""
    if "://" not in text and "url: /" not in text:
        return text
    return _QUERY.sub(r"\g<address>", _CREDENTIALS.sub(r"\g<scheme>", text))


def _guarded(default: Any, read: Callable[..., Any], *arguments: Any) -> Any:
    # The border: what runs inside may be a stranger's __str__ or property, and may raise anything.
    try:
        return read(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return default


def _clean(text: str, limit: int) -> str:
    # Exactly a str, bounded, and without lone surrogates (undecodable file names), which JSON cannot carry.
    text = str.__str__(text)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode(errors="replace").decode()
    return text


def _message(error: BaseException, call: bool) -> str:
    text = str(error) if call or _speaks_safely(type(error)) else plain_text(error)
    return _clean(without_secrets(str.__str__(text)[: 4 * MAX_MESSAGE]), MAX_MESSAGE)


def _is_incomplete(error: BaseException) -> bool:
    if type(type(error).__str__) is not WrapperDescriptorType:
        return not _speaks_safely(type(error))
    return any(type(value) not in PLAIN for value in BaseException.__dict__["args"].__get__(error))


def _speaks_safely(kind: type[BaseException]) -> bool:
    """Whether what a class says of itself is made by an installed package's code and not by the task's."""
    said = kind.__str__
    return isinstance(said, FunctionType) and _origin(said.__code__.co_filename, said.__module__ or "") != OWN


def _type_name(cls: type) -> str:
    return str(_guarded("<type that cannot be read>", _read_type_name, cls))


def _read_type_name(cls: type) -> str:
    module, name = cls.__module__, cls.__qualname__
    return _clean(name if module == "builtins" else f"{module}.{name}", MAX_NAME)


_NOT_PLAIN: tuple[bool, Scalar] = (False, None)


def _plain(value: Any) -> tuple[bool, Scalar]:
    """Whether the value is plain, and the value as exactly str, int, float, bool or None."""
    if value is None or type(value) is bool:
        return True, value
    if isinstance(value, str):
        return True, _clean(without_secrets(str.__str__(value)[: 4 * MAX_ATTRIBUTE]), MAX_ATTRIBUTE)
    if isinstance(value, int):
        number = int.__int__(value)
        return LEAST <= number <= LARGEST, number
    if isinstance(value, float):
        return True, float.__float__(value)
    if isinstance(value, bytes) and len(value) <= MAX_ATTRIBUTE and value.isascii():  # Parsl's ``manager_id``
        text = bytes.decode(value, "ascii")
        return text.isprintable(), text
    return _NOT_PLAIN


def _attributes(error: BaseException) -> dict[str, Scalar]:
    values: dict[str, Any] = {}
    for cls, attributes in _BUILTIN_ATTRIBUTES:
        if isinstance(error, cls):
            values |= {name: _guarded(None, getattr, error, name) for name in attributes}
    values = {name: value for name, value in values.items() if value is not None}
    own: dict[str, Any] = _guarded({}, _own, error)
    told = _guarded({}, _told, error, own)
    found: dict[str, Scalar] = {}
    for name, value in {**values, **told, **own}.items():
        if type(name) is not str or name.startswith("_") or len(name) > MAX_NAME:
            continue
        plain, scalar = _guarded(_NOT_PLAIN, _plain, value)
        if plain:
            found[_clean(name, MAX_NAME)] = scalar
        if len(found) == MAX_ATTRIBUTES:
            break
    return found


def _own(thing: Any) -> dict[str, Any]:
    """What an object keeps in its ``__dict__``; nothing where it has none."""
    try:
        return dict(object.__getattribute__(thing, "__dict__"))
    except (AttributeError, TypeError):
        return {}


def _kept(thing: Any, name: str) -> Any:
    """What a class, or C code, keeps under a name; None for what would have to be computed."""
    for cls in type(thing).__mro__:
        value = vars(cls).get(name)
        if isinstance(value, MemberDescriptorType):
            return value.__get__(thing)
        if value is not None:
            return value if _plain(value)[0] else None
    return None


def _told(error: BaseException, own: Mapping[str, Any]) -> dict[str, Any]:
    """What libraries tell of a failure beyond plain attributes, in words of ours.

    ``http_status``, ``retry_after`` (seconds), ``error_code`` (what a web service names it), ``grpc_code``, and
    ``number`` (what drivers of databases give first).
    """
    if not own and type(error).__module__ == "builtins":
        return {}
    found = {name: value for name in _TELLING if name not in own and (value := _kept(error, name)) is not None}
    response = own.get("response")
    answer = _own(response) if response is not None and not isinstance(response, dict) else {}
    headers = answer.get("headers") or own.get("headers") or own.get("hdrs")
    kept = {**found, **own}
    firm = (
        _STATUSES
        if _OF_WEB.search(" ".join(f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__))
        else _FIRM
    )
    statuses: list[Any] = [*(answer.get(name) for name in _STATUSES), *(kept.get(name) for name in firm)]
    if isinstance(response, dict):  # botocore's
        meta = response.get("ResponseMetadata")
        meta = meta if isinstance(meta, dict) else {}
        statuses.insert(0, meta.get("HTTPStatusCode"))
        headers = meta.get("HTTPHeaders") or headers
        details = response.get("Error")
        if isinstance(details, dict):
            found["error_code"] = details.get("Code")
    status = next((int(one) for one in statuses if one is not None and _is_status(one)), None)
    if status is not None and not isinstance(error, SystemExit):
        found["http_status"] = status
    if (after := _guarded(None, _retry_after, headers)) is not None:
        found["retry_after"] = after
    if type(error).__module__.partition(".")[0] == "grpc":
        found["grpc_code"] = _guarded(None, lambda: str(error.code().name))  # type: ignore[attr-defined]
    given = BaseException.__dict__["args"].__get__(error)
    if type(error).__module__.partition(".")[0] in _NUMBERED and given and type(given[0]) is int:
        found["number"] = given[0]
    return found


def _is_status(value: Any) -> bool:
    return isinstance(value, (int, HTTPStatus)) and type(value) is not bool and 400 <= value <= 599


def _retry_after(headers: Any) -> float | None:
    """Seconds, from a ``Retry-After`` among headers as libraries keep them; none for a date."""
    if type(headers).__module__.partition(".")[0] not in _HEADERS:
        return None
    value = headers.get("Retry-After") or headers.get("retry-after")
    seconds = float(value) if value is not None else -1.0
    return seconds if 0.0 <= seconds <= 86_400.0 else None


_HEADERS = frozenset({"builtins", "requests", "httpx", "email", "http", "aiohttp", "multidict", "urllib3", "botocore"})


def _notes(error: BaseException) -> list[str]:
    notes: Any = _own(error).get("__notes__")
    if type(notes) not in (list, tuple):
        return []
    texts = [note for note in notes[:MAX_NOTES] if isinstance(note, str)]
    return [_clean(without_secrets(str.__str__(text)[: 4 * MAX_ATTRIBUTE]), MAX_ATTRIBUTE) for text in texts]


def _trace(error: BaseException) -> TracebackType | None:
    found: TracebackType | None = _guarded(None, BaseException.__dict__["__traceback__"].__get__, error)
    return found


def _frames(trace: TracebackType | None) -> list[tuple[CodeType, int, str]]:
    """Of each frame that is not the framework's its code, line and module, outermost first."""
    found: list[tuple[CodeType, int, str]] = []
    while trace is not None:
        frame = trace.tb_frame
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _FRAMEWORKS:
            found.append((frame.f_code, trace.tb_lineno, module))
            if len(found) > _KEPT:
                del found[: _KEPT - MAX_FRAMES]
        trace = trace.tb_next
    return found


_KEPT = 4 * MAX_FRAMES


def _location(frames: list[tuple[CodeType, int, str]]) -> str | None:
    if not frames:
        return None
    code, line, _ = frames[-1]
    return _clean(f"{code.co_filename}:{line} in {code.co_name}", MAX_ATTRIBUTE)


def _frame(code: CodeType, line: int, module: str) -> Data:
    return {
        "module": _clean(module, MAX_NAME),
        "function": _clean(code.co_name, MAX_NAME),
        "line": line,
        "origin": _origin(code.co_filename, module),
    }


def _origin(file: str, module: str) -> str:
    if module.partition(".")[0] in _FRAMEWORKS:
        return FRAMEWORK
    if _INSTALLED.search(file):
        return LIBRARY
    return STANDARD if file.startswith(_STANDARD) else OWN


def _says_more(error: BaseException) -> bool:
    """Whether Python says more of an exception than its message: a program's line, notes, the members of a group."""
    more = ("__notes__", "exceptions")
    return bool(_guarded(True, lambda: isinstance(error, SyntaxError) or any(hasattr(error, name) for name in more)))


def _traceback(error: BaseException, trace: TracebackType | None, said: Mapping[int, str]) -> str:
    text = traceback_text(type(error), error, trace, frames=MAX_TRACEBACK_FRAMES, say=lambda link: said.get(id(link)))
    return _clean(without_secrets(text[-MAX_TRACEBACK:]), MAX_TRACEBACK)


def _dependents(error: BaseException) -> Any:
    return getattr(error, "dependent_exceptions_tids", None) or ()


def _failed_dependencies(error: BaseException) -> tuple[str, ...]:
    found: list[str] = []
    for _, described in _dependents(error)[:MAX_DEPENDENCIES]:
        match = _TASK_ID.search(str(described)[:MAX_NAME])
        if match and match.group(1) not in found:
            found.append(match.group(1))
    return tuple(found)


def _below(error: BaseException) -> Iterator[BaseException]:
    """What an exception came of: its cause, else its context, and the members of a group."""
    # A propagated exception's __cause__ skips to the root; its dependents show the way there.
    for dependent, _ in _dependents(error):
        if isinstance(dependent, BaseException):
            yield dependent
            return
        break
    if error.__cause__ is not None:
        yield error.__cause__
    elif not error.__suppress_context__ and error.__context__ is not None:
        yield error.__context__
    if _GROUP is not None and isinstance(error, _GROUP):
        yield from error.exceptions[:MAX_CAUSES]


_GROUP: Any = getattr(__import__("builtins"), "BaseExceptionGroup", None)  # from Python 3.11 on


def _chain(error: BaseException) -> list[BaseException]:
    links = [error]
    seen = {id(error)}
    for link in links:  # which grows meanwhile
        below: list[BaseException] = _guarded([], lambda one: list(_below(one)), link)
        for cause in below:
            if isinstance(cause, BaseException) and id(cause) not in seen and len(links) <= MAX_CAUSES:
                seen.add(id(cause))
                links.append(cause)
    return links


def _exit_status(told: list[Data]) -> tuple[int | None, int | None]:
    for one in told:
        for name in ("exitcode", "returncode", "code"):
            value = one.get("attributes", {}).get(name)
            if name == "code" and one["type"] != "SystemExit":
                continue
            if type(value) is int:
                return (None, -value) if value < 0 else (value, None)
    return None, None
