"""What an exception tells, as plain data: seen where it happened, before anything of it is pickled.

Never raises, whatever the exception does: a ``__str__`` that raises, huge messages, cyclic causes, attributes of any
kind. Everything is bounded, no property computes, and what is secret in an address stays out. Imports no framework:
Parsl's propagated exceptions are known by their attribute ``dependent_exceptions_tids``.

Imported on compute nodes too: nothing but the standard library.
"""

from __future__ import annotations

import builtins
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from types import (
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    TracebackType,
    WrapperDescriptorType,
)
from typing import Any, TypeAlias

from octopus_plugins.redaction import SECRET_NAME, without_secrets
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
MAX_PLAIN = 1_000
"""Values of a list or tuple that are looked at, whether they are plain."""
LEAST, LARGEST = -(2**63), 2**63 - 1
"""The least and the largest whole number: what tables have room for."""

OWN, LIBRARY, STANDARD, FRAMEWORK = "own", "library", "standard", "framework"
"""Whose code a frame runs: the task's, an installed package's, Python's own, or the framework's that runs the task."""

Scalar: TypeAlias = "str | int | float | bool | None"
Data: TypeAlias = dict[str, Any]

# Frames of these top-level packages are the framework's, not the user's.
_FRAMEWORKS = frozenset(
    {"parsl", "octopus_plugins", "parsl_monitor", "globus_compute_hooks", "globus_compute_sdk"}
    | {"globus_compute_endpoint", "concurrent"}
)
INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
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
    text = str(error) if call or _speaks_safely(error) else plain_text(error)
    return _clean(without_secrets(str.__str__(text)[: 2 * MAX_MESSAGE]), MAX_MESSAGE)


def _is_incomplete(error: BaseException) -> bool:
    if type(type(error).__str__) is not WrapperDescriptorType:
        return not _speaks_safely(error)
    return any(type(value) not in PLAIN for value in BaseException.__dict__["args"].__get__(error))


def _speaks_safely(error: BaseException) -> bool:
    """Whether what it says of itself is made by an installed package's code, and of plain values."""
    said = type(error).__str__
    if not isinstance(said, FunctionType) or _origin(said.__code__.co_filename, said.__module__ or "") == OWN:
        return False
    asked, own = said.__code__.co_names, own_attributes(error)
    values = [own[name] for name in asked if name in own]
    if "args" in asked or "super" in asked:
        values += BaseException.__dict__["args"].__get__(error)
    return all(map(_is_plain, values))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in (list, tuple) and len(value) <= MAX_PLAIN:
        return all(type(one) in PLAIN for one in value)
    return kind in PLAIN


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
    kind = type(value)  # not isinstance, which asks the value for its class
    if issubclass(kind, str):
        return True, _clean(without_secrets(str.__str__(value)[: 2 * MAX_ATTRIBUTE]), MAX_ATTRIBUTE)
    if issubclass(kind, int):
        number = int.__int__(value)
        return LEAST <= number <= LARGEST, number
    if issubclass(kind, float):
        return True, float.__float__(value)
    if kind is bytes and len(value) <= MAX_ATTRIBUTE and value.isascii():  # Parsl's ``manager_id``
        text = bytes.decode(value, "ascii")
        return text.isprintable(), without_secrets(text)
    return _NOT_PLAIN


def _attributes(error: BaseException) -> dict[str, Scalar]:
    values: dict[str, Any] = {}
    for cls, attributes in _BUILTIN_ATTRIBUTES:
        if issubclass(type(error), cls):
            values |= {name: _guarded(None, _slot, cls, name, error) for name in attributes}
    values = {name: value for name, value in values.items() if value is not None}
    own: dict[str, Any] = _guarded({}, own_attributes, error)
    told = _guarded({}, _told, error, own)
    found: dict[str, Scalar] = {}
    for name, value in {**values, **told, **own}.items():
        if type(name) is not str or name.startswith("_") or len(name) > MAX_NAME or SECRET_NAME.search(name):
            continue
        plain, scalar = _guarded(_NOT_PLAIN, _plain, value)
        if plain:
            found[_clean(name, MAX_NAME)] = scalar
        if len(found) == MAX_ATTRIBUTES:
            break
    return found


def _slot(cls: type, name: str, error: BaseException) -> Any:
    """What Python itself keeps for an exception of a built-in class, whatever a class below says of the name."""
    for one in (cls, *cls.__subclasses__()):
        if issubclass(type(error), one) and name in vars(one):
            return vars(one)[name].__get__(error)
    return None


def own_attributes(thing: Any) -> dict[str, Any]:
    """What an object keeps in its ``__dict__``; nothing where it has none, or where that would be computed.

    Unlike ``getattr`` it runs nothing of the object's class.
    """
    for cls in type(thing).__mro__:
        kept = vars(cls).get("__dict__")
        if kept is not None:
            return dict(dict.items(kept.__get__(thing))) if type(kept) is GetSetDescriptorType else {}
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
    answer = {} if response is None or type(response) is dict else own_attributes(response)
    headers = _first(answer.get("headers"), own.get("headers"), own.get("hdrs"))
    kept = {**found, **own}
    of_web = _OF_WEB.search(" ".join(f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__))
    statuses = [answer.get(name) for name in _STATUSES] + [kept.get(name) for name in (_STATUSES if of_web else _FIRM)]
    if type(response) is dict:  # botocore's
        meta, details = response.get("ResponseMetadata"), response.get("Error")
        if type(meta) is dict:
            statuses.insert(0, meta.get("HTTPStatusCode"))
            headers = _first(meta.get("HTTPHeaders"), headers)
        if type(details) is dict:
            found["error_code"] = details.get("Code")
    numbers: list[int] = [one for one in statuses if one is not None and type(one) in (int, HTTPStatus)]
    status = next((int(number) for number in numbers if 400 <= number <= 599), None)
    if status is not None and not issubclass(type(error), SystemExit):
        found["http_status"] = status
    if (after := _guarded(None, _retry_after, headers)) is not None:
        found["retry_after"] = after
    if type(error).__module__.partition(".")[0] == "grpc" and _is_installed(type(error)):
        found["grpc_code"] = _guarded(None, lambda: str(error.code().name))  # type: ignore[attr-defined]
    given = BaseException.__dict__["args"].__get__(error)
    if type(error).__module__.partition(".")[0] in _NUMBERED and given and type(given[0]) is int:
        found["number"] = given[0]
    return found


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _retry_after(headers: Any) -> float | None:
    """Seconds, from a ``Retry-After`` among headers as libraries keep them; none for a date."""
    kind = type(headers)
    if kind is not dict and not (f"{kind.__module__}.{kind.__qualname__}" in _HEADERS and _is_installed(kind)):
        return None
    value = _first(headers.get("Retry-After"), headers.get("retry-after"))
    seconds = float(value) if type(value) in (str, int, float) else -1.0
    return seconds if 0.0 <= seconds <= 86_400.0 else None


def _is_installed(cls: type) -> bool:
    """Whether a class is the one that its module has under its name, and no other that calls itself so."""
    module = sys.modules.get(cls.__module__)
    return module is not None and vars(module).get(cls.__qualname__) is cls


_HEADERS = frozenset(
    {
        "requests.structures.CaseInsensitiveDict",
        "http.client.HTTPMessage",
        "email.message.Message",
        "httpx._models.Headers",
        "multidict._multidict.CIMultiDictProxy",
        "multidict._multidict.CIMultiDict",
        "urllib3._collections.HTTPHeaderDict",
        "botocore.compat.HTTPHeaders",
        "botocore.awsrequest.HeadersDict",
    }
)


def _notes(error: BaseException) -> list[str]:
    notes: Any = own_attributes(error).get("__notes__")
    if type(notes) not in (list, tuple):
        return []
    texts = [note for note in notes[:MAX_NOTES] if issubclass(type(note), str)]
    return [_clean(without_secrets(str.__str__(text)[: 4 * MAX_ATTRIBUTE]), MAX_ATTRIBUTE) for text in texts]


def _trace(error: BaseException) -> TracebackType | None:
    found: TracebackType | None = _guarded(None, BaseException.__dict__["__traceback__"].__get__, error)
    return found


def _frames(trace: TracebackType | None) -> list[tuple[CodeType, int, str]]:
    """Of each frame that is not the framework's its code, line and module, outermost first."""
    found: list[tuple[CodeType, int, str]] = []
    while trace is not None:
        frame = trace.tb_frame
        name = dict.get(frame.f_globals, "__name__")
        module = name if type(name) is str else ""
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
        "line": line or 0,  # None for code that a program made up
        "origin": _origin(code.co_filename, module),
    }


def _origin(file: str, module: str) -> str:
    if module.partition(".")[0] in _FRAMEWORKS:
        return FRAMEWORK
    if INSTALLED.search(file):
        return LIBRARY
    return STANDARD if file.startswith(_STANDARD) else OWN


def _says_more(error: BaseException) -> bool:
    """Whether Python says more of an exception than its message: a program's line, notes, the members of a group."""
    more = ("__notes__", "exceptions")
    return bool(_guarded(True, lambda: isinstance(error, SyntaxError) or any(hasattr(error, name) for name in more)))


def _traceback(error: BaseException, trace: TracebackType | None, said: Mapping[int, str]) -> str:
    text = traceback_text(type(error), error, trace, frames=MAX_TRACEBACK_FRAMES, say=lambda link: said.get(id(link)))
    return _clean(without_secrets(text[-MAX_TRACEBACK:]), MAX_TRACEBACK)


def _dependents(error: BaseException) -> list[Any]:
    kept: Any = own_attributes(error).get("dependent_exceptions_tids")
    return list(kept) if type(kept) in (list, tuple) else []


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
        if issubclass(type(dependent), BaseException):
            yield dependent
            return
        break
    cause, context = _CAUSE.__get__(error), _CONTEXT.__get__(error)
    if cause is not None:
        yield cause
    elif not _SUPPRESS.__get__(error) and context is not None:
        yield context
    if _GROUP is not None and issubclass(type(error), _GROUP):
        yield from _GROUP.__dict__["exceptions"].__get__(error)[:MAX_CAUSES]


_CAUSE: Any = BaseException.__dict__["__cause__"]
_CONTEXT: Any = BaseException.__dict__["__context__"]
_SUPPRESS: Any = BaseException.__dict__["__suppress_context__"]
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", None)  # from Python 3.11 on


def _chain(error: BaseException) -> list[BaseException]:
    links = [error]
    seen = {id(error)}
    for link in links:  # which grows meanwhile
        below: list[BaseException] = _guarded([], lambda one: list(_below(one)), link)
        for cause in below:
            if issubclass(type(cause), BaseException) and id(cause) not in seen and len(links) <= MAX_CAUSES:
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
