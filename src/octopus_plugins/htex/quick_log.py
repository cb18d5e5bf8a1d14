"""Parsl's own logs, written with less ado.

Parsl writes some twenty lines for each task to its ``parsl.log``, and a worker three to its own: in the submitting
process that takes more than everything that is told of the task. Here the same lines are written with one format and
one system call each. They are the same to the byte, and each is in the kernel's hands when the call returns, as before.

Imported on compute nodes; the standard library only.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

_LOGGERS = ("parsl", "concurrent.futures")
"""Those to which Parsl adds the handler of its file."""

_SAMPLE = logging.LogRecord("a.logger", logging.WARNING, "/a/module.py", 7, "%s, %d", ("a text", 3), None, "function")


def quicken(directory: str | os.PathLike[str] | None = None) -> Callable[[], None]:
    """Have Parsl's logs written with less ado. To be called when their handlers are there.

    A handler or a format that is not the one that Parsl makes by default is left alone.

    Args:
        directory: Only the files in it; None: those of the whole process.

    Returns:
        Call it to have them written as before.
    """
    # By identity: the loggers share one handler.
    handlers = {id(each): each for name in _LOGGERS for each in logging.getLogger(name).handlers}
    chosen = [found for each in handlers.values() if (found := _default(each, directory)) is not None]
    for handler in chosen:
        # What `Handler.handle` calls: no moment in which a line is lost, or written twice.
        handler.emit = partial(_emit, handler, _Second())  # type: ignore[method-assign]

    def restore() -> None:
        for handler in chosen:
            vars(handler).pop("emit", None)

    return restore


class _Second:
    """The date and time of the last line: of most lines it is that of the next one."""

    def __init__(self) -> None:
        self._number = -1
        self._text = ""

    def text(self, created: float) -> str:
        number = int(created)
        if number != self._number:
            self._number, self._text = number, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(number))
        return self._text


def _line(record: logging.LogRecord, second: _Second) -> str:
    """The line that ``parsl.log_utils.DEFAULT_FORMAT`` makes of a record."""
    return (
        f"{record.created:f} {second.text(record.created)} {record.processName}-{record.process:d} "
        f"{record.threadName}-{record.thread:d} {record.name}:{record.lineno:d} {record.funcName} "
        f"{record.levelname}: {record.getMessage()}\n"
    )


def _default(handler: logging.Handler, directory: str | os.PathLike[str] | None) -> logging.FileHandler | None:
    """The handler, where it is one that Parsl makes of a file, with a format that is known here."""
    if type(handler) is not logging.FileHandler:
        return None
    if directory is not None and Path(handler.baseFilename).parent != Path(directory).absolute():
        return None
    formatter = handler.formatter
    if type(formatter) is not logging.Formatter:
        return None
    same = formatter.format(_SAMPLE) + handler.terminator == _line(_SAMPLE, _Second())
    return handler if same else None


def _emit(handler: logging.FileHandler, second: _Second, record: logging.LogRecord) -> None:
    """Write one record; `logging.Handler.handle` holds the handler's lock."""
    stream = handler.stream
    if stream is None or record.exc_info or record.exc_text or record.stack_info:
        logging.FileHandler.emit(handler, record)
        return
    try:
        data = _line(record, second).encode(stream.encoding, stream.errors or "strict")
        file = stream.fileno()  # everything before went through this descriptor, too: nothing waits in the stream
        while data:
            data = data[os.write(file, data) :]
    except Exception:  # noqa: BLE001 - as every handler of the standard library does
        handler.handleError(record)
