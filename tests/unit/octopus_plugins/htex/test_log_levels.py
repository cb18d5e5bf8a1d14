from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from octopus_plugins.htex.log_levels import skip_unheard


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    made = logging.Logger(f"octopus-{request.node.name}")  # in no tree: pytest adds handlers of its own to those there
    made.setLevel(logging.DEBUG)
    logging.root.manager.loggerDict[made.name] = made
    yield made
    del logging.root.manager.loggerDict[made.name]


def handler(level: int) -> logging.Handler:
    made = logging.StreamHandler()
    made.setLevel(level)
    return made


@pytest.mark.parametrize(
    ("levels", "heard"),
    [([logging.INFO], logging.INFO), ([logging.WARNING, logging.DEBUG], logging.DEBUG), ([0], logging.DEBUG)],
)
def test_what_some_handler_takes_is_made_and_nothing_else(
    logger: logging.Logger, levels: list[int], heard: int
) -> None:
    for level in levels:
        logger.addHandler(handler(level))
    skip_unheard(logger.name)
    assert logger.level == heard


def test_a_logger_s_own_level_is_never_lowered(logger: logging.Logger) -> None:
    logger.setLevel(logging.ERROR)
    logger.addHandler(handler(logging.INFO))
    skip_unheard(logger.name)
    assert logger.level == logging.ERROR


def test_without_a_handler_it_is_left_as_it_is(logger: logging.Logger) -> None:
    skip_unheard(logger.name)
    assert logger.level == logging.DEBUG


def test_the_handlers_above_it_count_where_it_passes_on(logger: logging.Logger) -> None:
    logger.parent = logging.Logger("above")
    logger.addHandler(handler(logging.WARNING))
    logger.parent.addHandler(handler(logging.INFO))
    skip_unheard(logger.name)
    assert logger.level == logging.INFO


def test_the_handlers_of_loggers_below_it_count(logger: logging.Logger) -> None:
    logger.addHandler(handler(logging.INFO))
    below = logging.Logger(f"{logger.name}.below")
    below.addHandler(handler(logging.DEBUG))
    logging.root.manager.loggerDict[below.name] = below
    try:
        skip_unheard(logger.name)
    finally:
        del logging.root.manager.loggerDict[below.name]
    assert logger.level == logging.DEBUG


def test_in_a_process_of_parsl_s_what_is_below_its_log_s_level_is_not_made(tmp_path: Path) -> None:
    script = (
        "import logging, sys; from parsl.log_utils import set_file_logger\n"
        "from octopus_plugins.htex.log_levels import skip_unheard\n"
        "set_file_logger(sys.argv[1], level=logging.INFO); skip_unheard()\n"
        "print(logging.getLogger('parsl.executors.high_throughput.interchange').isEnabledFor(logging.DEBUG))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "interchange.log")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"
