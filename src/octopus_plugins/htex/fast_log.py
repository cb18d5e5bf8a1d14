"""Parsl's own logs, written with less ado.

Parsl writes some twenty lines for each task to its ``parsl.log``, and a worker three to its own: in the submitting
process that takes more than everything that is told of the task. Here the same lines are written with one format and
one system call each. They are the same to the byte, and each is in the kernel's hands when the call returns, as before.

Imported on compute nodes; the standard library, and of ours only a module that needs no more.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import time
from collections.abc import Callable

from octopus_plugins.htex.log_traceback import exception_text

_LOGGERS = ("parsl", "concurrent.futures")
"""Those to which Parsl adds the handlers of its files."""

# What is known here: ``parsl.log_utils.DEFAULT_FORMAT``, and the form of the date that goes with it.
_FORMAT = (
    "%(created)f %(asctime)s %(processName)s-%(process)d "
    "%(threadName)s-%(thread)d %(name)s:%(lineno)d %(funcName)s %(levelname)s: "
    "%(message)s"
)
_DATE = "%Y-%m-%d %H:%M:%S"

_PLAIN_FORMATTER = {"_fmt", "_style", "datefmt"}
_REPLACED = {"acquire", "emit", "flush", "format", "handle", "handleError", "release"}
_ENCODINGS = {"utf-8", "ascii", "iso8859-1"}  # those that write no mark at the begin


def quicken(directory: str | os.PathLike[str] | None = None) -> Callable[[], None]:
    """Have Parsl's logs written with less ado. To be called when their handlers are there; never raises.

    Whatever is not what Parsl makes by default, a handler, a format, a stream, is left alone, also where it is put in
    its place later.

    Args:
        directory: Only the files in it; None: those of the whole process.

    Returns:
        Call it to have them written as before.
    """
    chosen: list[logging.FileHandler] = []
    try:
        # By identity: the loggers share one handler.
        handlers = {id(each): each for name in _LOGGERS for each in logging.getLogger(name).handlers}
        for handler in handlers.values():
            if type(handler) is logging.FileHandler and _is_default(handler, directory):
                # What `Handler.handle` calls: no moment in which a line is lost, or written twice.
                handler.emit = _quick_emit(handler)  # type: ignore[method-assign, assignment]
                chosen.append(handler)
    except Exception:  # noqa: BLE001, S110 - the logs are written as ever, and nothing else depends on it
        pass

    def restore() -> None:
        for handler in chosen:
            vars(handler).pop("emit", None)

    return restore


def _is_default(handler: logging.FileHandler, directory: str | os.PathLike[str] | None) -> bool:
    """Whether a handler is as Parsl makes it, of a file in the directory."""
    if directory is not None and os.path.dirname(handler.baseFilename) != os.path.abspath(directory):  # noqa: PTH100, PTH120
        return False
    formatter, stream = handler.formatter, handler.stream
    return (
        not _REPLACED & vars(handler).keys()
        and type(formatter) is logging.Formatter
        and vars(formatter).keys() <= _PLAIN_FORMATTER
        and (formatter._fmt, formatter.datefmt) == (_FORMAT, _DATE)
        and type(formatter._style) is logging.PercentStyle
        and vars(formatter._style).keys() <= {"_fmt", "_defaults"}
        and formatter.converter is time.localtime
        and handler.terminator == "\n"
        and type(stream) is io.TextIOWrapper
        and type(stream.buffer) is io.BufferedWriter
        and codecs.lookup(stream.encoding).name in _ENCODINGS
    )


def _quick_emit(handler: logging.FileHandler) -> Callable[[logging.LogRecord], None]:
    """What writes a record of a handler in the place of its own ``emit``; `Handler.handle` holds the handler's lock."""
    formatter, stream = handler.formatter, handler.stream
    assert isinstance(stream, io.TextIOWrapper)
    encoding, errors = stream.encoding, stream.errors or "strict"
    write, flush = stream.buffer.write, stream.buffer.flush
    usual = logging.FileHandler.emit
    second, text = -1, ""  # the date and time of the last line: of most lines it is that of the next one

    def emit(record: logging.LogRecord) -> None:
        nonlocal second, text
        if (
            handler.formatter is not formatter
            or handler.stream is not stream
            or record.stack_info
            or (record.exc_info and not record.exc_text and not _tell(record))
        ):
            usual(handler, record)
            return
        try:
            created = record.created
            if int(created) != second:
                text = time.strftime(_DATE, time.localtime(created))
                second = int(created)
            record.message, record.asctime = record.getMessage(), text  # as the formatter leaves them
            end = "\n"
            if record.exc_text:
                end = f"{'' if record.message.endswith(end) else end}{record.exc_text}{end}"
            line = (
                f"{created:f} {text} {record.processName!s}-{record.process:d} {record.threadName!s}-{record.thread:d}"
                f" {record.name!s}:{record.lineno:d} {record.funcName!s} {record.levelname!s}: {record.message}{end}"
            )
            # Not by the descriptor itself: what a full disk does not take stays here, and in order.
            write(line.encode(encoding, errors))
            flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            handler.handleError(record)

    return emit


def _tell(record: logging.LogRecord) -> bool:
    """Write down an exception in its record, as the formatter does; False where that is left to it."""
    kind, error, trace = record.exc_info or (None, None, None)
    if kind is None or error is None or trace is None:
        return False
    try:
        record.exc_text = exception_text(kind, error, trace)
    except Exception:  # noqa: BLE001 - the formatter finds it too, and says it in its own way
        return False
    return record.exc_text is not None
