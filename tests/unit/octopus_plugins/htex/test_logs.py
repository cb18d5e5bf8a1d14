from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from octopus_plugins.htex.logs import skip_unheard


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    made = logging.Logger(f"octopus-{request.node.name}")  # in no tree: pytest adds handlers of its own to those there
    made.setLevel(logging.DEBUG)
    logging.root.manager.loggerDict[made.name] = made
    yield made
    del logging.root.manager.loggerDict[made.name]


def handler(level: int) -> logging.Handler:
    made = logging.NullHandler()
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
