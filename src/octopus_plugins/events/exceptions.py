"""Exceptions as data.

Reads what an exception says about itself and never raises, whatever the exception does: a ``__str__`` that
raises, huge messages, cyclic causes, attributes of any kind. Imports no framework: Parsl's propagated
exceptions are known by their attribute ``dependent_exceptions_tids``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from octopus_plugins.events.base import LARGEST, LEAST
from octopus_plugins.events.failure import MAX_CAUSES, MAX_MESSAGE, MAX_TRACEBACK, ExceptionInfo
from octopus_plugins.tracebacks import traceback_text

MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE = 512
MAX_NAME = 256
MAX_MRO = 32
MAX_FRAMES = 64
"""Frames of each traceback in the text, innermost ones."""
MAX_DEPENDENCIES = 64

Scalar: TypeAlias = "str | int | float | bool | None"
_T = TypeVar("_T")

# Frames of these top-level packages are the framework's, not the user's.
_FRAMEWORKS = frozenset(
    {"parsl", "octopus_plugins", "parsl_monitor", "globus_compute_hooks", "globus_compute_sdk"}
    | {"globus_compute_endpoint", "concurrent"}
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

_TASK_ID = re.compile(r"task (?:id )?(\d+)", re.IGNORECASE)


def exception_info(error: BaseException) -> ExceptionInfo:
    """Describe an exception.

    Args:
        error: Any exception; it may be hostile.

    Returns:
        Type, message, MRO, plain attributes and location, each bounded. Nothing of the user's data is
        represented beyond ``str(error)`` and attributes that hold plain values.
    """
    mro = tuple(_type_name(cls) for cls in type(error).__mro__[:MAX_MRO] if cls is not object)
    return ExceptionInfo(
        type=_type_name(type(error)),
        message=_guarded("<message that cannot be read>", _message, error),
        mro=mro,
        attributes=_guarded({}, _attributes, error),
        location=_guarded(None, _location, error),
    )


def failure_details(error: BaseException) -> dict[str, Any]:
    """What an exception tells about a failed try, as keyword arguments of `Failure`.

    Args:
        error: Any exception; it may be hostile.

    Returns:
        ``exception``, ``causes`` (nearest first, at most MAX_CAUSES), ``traceback`` (at most the last MAX_TRACEBACK
        characters, with source lines where Python finds them), ``exit_code`` and ``signal``.
    """
    links = _chain(error)
    infos = [exception_info(link) for link in links]
    said = {id(link): info.message for link, info in zip(links, infos, strict=True) if not _says_more(link)}
    exit_code, signal = _exit_status(infos)
    return {
        "exception": infos[0],
        "causes": tuple(infos[1:]),
        "traceback": _guarded(None, _traceback, error, said),
        "exit_code": exit_code,
        "signal": signal,
    }


def failed_dependencies(error: BaseException) -> tuple[str, ...]:
    """Ids of the failed tasks that a propagated exception (``DependencyError``, ``JoinError``) names."""
    return _guarded((), _failed_dependencies, error)


def _guarded(default: _T, read: Callable[..., _T], *arguments: Any) -> _T:
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


def _message(error: BaseException) -> str:
    return _clean(str(error), MAX_MESSAGE)


def _type_name(cls: type) -> str:
    return _guarded("<type that cannot be read>", _read_type_name, cls)


def _read_type_name(cls: type) -> str:
    module, name = cls.__module__, cls.__qualname__
    return _clean(name if module == "builtins" else f"{module}.{name}", MAX_NAME)


_NOT_PLAIN: tuple[bool, Scalar] = (False, None)


def _plain(value: Any) -> tuple[bool, Scalar]:
    """Whether the value is plain, and the value as exactly str, int, float, bool or None."""
    if value is None or type(value) is bool:
        return True, value
    if isinstance(value, str):
        return True, _clean(value, MAX_ATTRIBUTE)
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
    own: dict[str, Any] = _guarded({}, lambda: dict(vars(error)))
    values |= own
    found: dict[str, Scalar] = {}
    for name, value in values.items():
        if type(name) is not str or name.startswith("_") or len(name) > MAX_NAME:
            continue
        plain, scalar = _guarded(_NOT_PLAIN, _plain, value)
        if plain:
            found[_clean(name, MAX_NAME)] = scalar
        if len(found) == MAX_ATTRIBUTES:
            break
    return found


def _location(error: BaseException) -> str | None:
    link = error.__traceback__
    location: str | None = None
    while link is not None:
        frame = link.tb_frame
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _FRAMEWORKS:
            code = frame.f_code
            location = f"{code.co_filename}:{link.tb_lineno} in {code.co_name}"
        link = link.tb_next
    return None if location is None else _clean(location, MAX_ATTRIBUTE)


def _says_more(error: BaseException) -> bool:
    """Whether Python says more of an exception than its message: a program's line, notes, the members of a group."""
    return _guarded(
        True,
        lambda: isinstance(error, SyntaxError) or any(hasattr(error, name) for name in ("__notes__", "exceptions")),
    )


def _traceback(error: BaseException, said: Mapping[int, str]) -> str:
    text = traceback_text(
        type(error), error, error.__traceback__, frames=MAX_FRAMES, say=lambda link: said.get(id(link))
    )
    return _clean(text[-MAX_TRACEBACK:], MAX_TRACEBACK)


def _dependents(error: BaseException) -> Any:
    return getattr(error, "dependent_exceptions_tids", None) or ()


def _failed_dependencies(error: BaseException) -> tuple[str, ...]:
    found: list[str] = []
    for _, described in _dependents(error)[:MAX_DEPENDENCIES]:
        match = _TASK_ID.search(str(described)[:MAX_NAME])
        if match and match.group(1) not in found:
            found.append(match.group(1))
    return tuple(found)


def _next_cause(error: BaseException) -> BaseException | None:
    # A propagated exception's __cause__ skips to the root; its dependents show the way there.
    for dependent, _ in _dependents(error):
        if isinstance(dependent, BaseException):
            return dependent
        break
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def _chain(error: BaseException) -> list[BaseException]:
    links = [error]
    seen = {id(error)}
    while len(links) <= MAX_CAUSES:
        last = links[-1]
        cause = _guarded(None, _next_cause, last)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            break
        seen.add(id(cause))
        links.append(cause)
    return links


def _exit_status(infos: list[ExceptionInfo]) -> tuple[int | None, int | None]:
    for info in infos:
        for name in ("exitcode", "returncode", "code"):
            value = info.attributes.get(name)
            if name == "code" and info.type != "SystemExit":
                continue
            if type(value) is int:
                return (None, -value) if value < 0 else (value, None)
    return None, None
