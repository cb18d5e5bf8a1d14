"""Parsl's own logs are the same to the byte, whoever writes it."""

import io
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parsl.log_utils import DEFAULT_FORMAT
from parsl.logconfigs.file import FileLogging

from octopus_plugins.htex.fast_log import quicken

logger = logging.getLogger("parsl.of_this_test")


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """A run's directory whose log Parsl has opened."""
    unregister = FileLogging().initialize_logging(log_dir=tmp_path, log_name="parsl")
    handler = _handler(tmp_path)
    yield tmp_path
    unregister()
    handler.close()


def _handler(run_dir: Path) -> logging.FileHandler:
    for handler in logging.getLogger("parsl").handlers:
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == run_dir:
            return handler
    raise AssertionError("Parsl has no handler for its log")


def _lines(run_dir: Path) -> list[str]:
    return (run_dir / "parsl.log").read_text(encoding="utf-8").splitlines()


def _write_all(error: Exception) -> None:
    logger.debug("plain")
    logger.info("with %s and %d", "a text", 3)
    logger.warning("two\nlines and ünïcode")
    logger.error("failed", exc_info=error)
    logger.info("from here", stack_info=True)
    logger.info({"no": "text"})
    logging.getLogger("concurrent.futures").info("of the standard library")


def _same(text: str) -> str:
    """Without what differs between two calls: the time, and the line of the call."""
    text = re.sub(r"^[0-9]+\.[0-9]{6} [0-9-]{10} [0-9:]{8} ", "TIME ", text, flags=re.MULTILINE)
    return re.sub(r", line [0-9]+, in test", ", line N, in test", text)


def test_lines_are_those_that_parsl_writes(run_dir: Path) -> None:
    error = ValueError("no")
    _write_all(error)
    before = (run_dir / "parsl.log").read_text(encoding="utf-8")
    restore = quicken(run_dir)
    assert "emit" in vars(_handler(run_dir)), "the test would compare Parsl's lines with themselves"
    _write_all(error)
    restore()
    both = (run_dir / "parsl.log").read_text(encoding="utf-8")
    assert both.startswith(before)
    assert _same(both[len(before) :]) == _same(before)


def test_time_of_a_line_is_that_of_its_record(run_dir: Path) -> None:
    quicken(run_dir)
    handler = _handler(run_dir)
    plain = logging.Formatter(DEFAULT_FORMAT, datefmt="%Y-%m-%d %H:%M:%S")
    expected = []
    for created in (0.0, 0.25, 1_700_000_000.999999, 1_700_000_001.0, 1_700_000_000.5):
        record = logging.LogRecord("parsl.x", logging.INFO, "/x.py", 1, "at %s", (created,), None, "f")
        record.created = created
        expected.append(plain.format(record))
        handler.handle(record)
    assert _lines(run_dir) == expected


def test_a_line_is_in_the_file_when_the_call_returns(run_dir: Path) -> None:
    quicken(run_dir)
    logger.debug("now")
    assert _lines(run_dir)[-1].endswith(" DEBUG: now")


def test_lines_of_many_threads_stay_whole(run_dir: Path) -> None:
    quicken(run_dir)

    def write(name: str) -> None:
        for number in range(200):
            logger.debug("%s %d", name * 200, number)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = sorted(line.partition(" DEBUG: ")[2] for line in _lines(run_dir))
    assert said == sorted(f"{name * 200} {number}" for name in "abcd" for number in range(200))


def test_what_cannot_be_formatted_is_reported_as_ever(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quicken(run_dir)
    # Not by the logger: pytest's own handler would raise.
    _handler(run_dir).handle(logging.LogRecord("parsl.x", logging.INFO, "/x.py", 1, "%d", ("no number",), None, "f"))
    assert "TypeError" in capsys.readouterr().err
    logger.info("goes on")
    assert _lines(run_dir)[-1].endswith(" INFO: goes on")


def test_afterwards_the_handler_is_as_before(run_dir: Path) -> None:
    handler = _handler(run_dir)
    before = dict(vars(handler))
    quicken(run_dir)()
    assert vars(handler) == before


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("secret", "***")


_DATE = "%Y-%m-%d %H:%M:%S"


@pytest.mark.parametrize(
    "formatter",
    [
        _Redacting(DEFAULT_FORMAT, datefmt=_DATE),
        logging.Formatter("%(message)s"),
        logging.Formatter(DEFAULT_FORMAT),
        logging.Formatter(DEFAULT_FORMAT.replace("%(levelname)s", "%(levelname)-7s"), datefmt=_DATE),
        logging.Formatter(f"%(job)s {DEFAULT_FORMAT}", datefmt=_DATE),
        None,
    ],
)
def test_a_format_of_the_user_s_own_is_left_alone(run_dir: Path, formatter: Any) -> None:
    _handler(run_dir).setFormatter(formatter)
    quicken(run_dir)
    assert "emit" not in vars(_handler(run_dir))


@pytest.mark.parametrize("name", ["emit", "format", "handleError", "flush"])
def test_a_handler_that_the_user_has_changed_is_left_alone(run_dir: Path, name: str) -> None:
    handler = _handler(run_dir)
    own = getattr(handler, name)
    setattr(handler, name, own)
    quicken(run_dir)()
    assert vars(handler)[name] == own


def test_a_formatter_that_the_user_has_changed_is_left_alone(run_dir: Path) -> None:
    formatter = _handler(run_dir).formatter
    assert formatter is not None
    formatter.format = lambda record: "redacted"  # type: ignore[method-assign]
    quicken(run_dir)
    logger.info("secret")
    assert _lines(run_dir) == ["redacted"]


def test_a_formatter_that_is_set_later_counts(run_dir: Path) -> None:
    quicken(run_dir)
    _handler(run_dir).setFormatter(_Redacting(DEFAULT_FORMAT, datefmt=_DATE))
    logger.info("secret")
    assert _lines(run_dir)[-1].endswith(" INFO: ***")


def test_a_stream_that_is_set_later_counts(run_dir: Path) -> None:
    quicken(run_dir)
    other = io.StringIO()
    before = _handler(run_dir).setStream(other)
    assert before is not None
    before.close()
    logger.info("elsewhere")
    assert other.getvalue().endswith(" INFO: elsewhere\n")


def test_what_handlers_after_it_read_of_a_record_is_there(run_dir: Path) -> None:
    quicken(run_dir)
    record = logging.LogRecord("parsl.x", logging.INFO, "/x.py", 1, "%s", ("said",), None, "f")
    _handler(run_dir).handle(record)
    assert record.message == "said"
    assert record.asctime == _lines(run_dir)[-1][18:37].strip()


_ON_A_FULL_DISK = """
import logging, resource, signal, sys
from pathlib import Path
from parsl.logconfigs.file import FileLogging
from octopus_plugins.htex.fast_log import quicken

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
FileLogging().initialize_logging(log_dir=Path(sys.argv[1]), log_name="parsl")
logger = logging.getLogger("parsl.x")
if sys.argv[2] == "quick":
    quicken(sys.argv[1])
    assert any("emit" in vars(each) for each in logging.getLogger("parsl").handlers)
logger.info("one")
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
size = (Path(sys.argv[1]) / "parsl.log").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, limits[1]))
logger.info("two")
try:
    raise ValueError("three")
except ValueError:
    logger.exception("three")
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
logger.info("four")
"""


def test_lines_that_a_full_disk_did_not_take_come_later_and_in_order(tmp_path: Path) -> None:
    said = {}
    for way in ("usual", "quick"):
        command = [sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path / way), way]
        subprocess.run(command, check=True, capture_output=True)
        said[way] = [line.rpartition(" ")[2] for line in _lines(tmp_path / way)]
    assert said["quick"] == said["usual"]
    assert [word for word in said["quick"] if word in {"one", "two", "three", "four"}][:2] == ["one", "two"]


def test_nothing_that_stands_there_makes_it_raise(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_handler(run_dir), "baseFilename", None)
    quicken(run_dir)()


def test_the_log_of_another_run_is_left_alone(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    quicken(tmp_path_factory.mktemp("another"))
    assert "emit" not in vars(_handler(run_dir))
