"""Exceptions as data of events; what they tell is read by `octopus_plugins.exception_description`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from octopus_plugins.events.failure import ExceptionInfo
from octopus_plugins.exception_description import describe, describe_one, failed_dependencies

__all__ = ["details_from", "exception_info", "failed_dependencies", "failure_details"]


def exception_info(error: BaseException) -> ExceptionInfo:
    """Describe an exception.

    Args:
        error: Any exception; it may be hostile.

    Returns:
        Type, message, MRO, plain attributes, notes, frames and location, each bounded. Nothing of the user's data is
        represented beyond ``str(error)`` and attributes that hold plain values.
    """
    return msgspec.convert(describe_one(error), ExceptionInfo)


def failure_details(error: BaseException) -> dict[str, Any]:
    """What an exception tells about a failed try, as keyword arguments of `Failure`.

    Args:
        error: Any exception; it may be hostile.

    Returns:
        ``exception``, ``causes``, ``traceback``, ``exit_code`` and ``signal``; see
        `octopus_plugins.exception_description.describe`.
    """
    return details_from(describe(error))


def details_from(described: Mapping[str, Any]) -> dict[str, Any]:
    """The same from what was described elsewhere, such as on the worker.

    Raises:
        msgspec.ValidationError: It is no description.
    """
    return {
        **described,
        "exception": msgspec.convert(described["exception"], ExceptionInfo),
        "causes": tuple(msgspec.convert(described.get("causes", ()), list[ExceptionInfo])),
    }
