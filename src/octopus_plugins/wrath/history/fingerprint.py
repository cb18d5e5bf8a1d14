"""When two failures are the same failure."""

from __future__ import annotations

import re
from functools import lru_cache

from octopus_plugins.events import Failure

_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.+@~-]+)+[\\/]?")
_HEX = re.compile(r"0x[0-9a-fA-F]+|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LENGTH = 200


def signature(failure: Failure) -> str:
    """What makes two failures the same: exception type, location, and message with the accidental parts taken out.

    Accidental are what differs between two tries of one bug: the host's name, paths (work directories), addresses
    and other hexadecimal numbers, and numbers (sizes, pids, ids). Only the first 200 characters of message and type
    count, and the last 200 of the location.
    """
    info = failure.exception
    return _signature(info.type[:_LENGTH], (info.location or "")[-_LENGTH:], info.message[:_LENGTH], failure.host or "")


@lru_cache(maxsize=1024)  # asked for by the decision and by the history; and many tasks fail alike
def _signature(name: str, location: str, message: str, host: str) -> str:
    if host:
        message = message.replace(host, "<host>")
    message = _PATH.sub("<path>", message)
    message = _HEX.sub("<hex>", message)
    message = _NUMBER.sub("<n>", message)
    return f"{name}|{location}|{message}"
