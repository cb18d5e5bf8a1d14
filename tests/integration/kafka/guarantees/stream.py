"""A workflow as far as the fabric sees it: a process that emits numbered events steadily, and says how far it is.

Run by the tests in this directory, with the configuration in its environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import time
from collections.abc import Iterator
from unittest import mock

from octopus_plugins import OctopusConfig
from octopus_plugins.events import Task
from octopus_plugins.fabric import Emitter

TASKS = 1000
BATCH = 50


def event(number: int, run: str = "r") -> Task:
    """The event of this number: of one of the run's tasks in turn, whose tries count up."""
    return Task(run_id=run, task_id=str(number % TASKS), try_id=number // TASKS, time=1.0 + number, state="running")


class Teller:
    """Says how far the process is, one JSON object a line."""

    def __init__(self, emitter: Emitter, minted: list[float]) -> None:
        self._emitter = emitter
        self._minted = minted
        self.slowest = 0.0

    def say(self, number: int, *, final: bool = False) -> None:
        counts = self._emitter.counts
        told = {name: getattr(counts, name) for name in ("emitted", "delivered", "spooled", "replayed", "dropped")}
        told |= {"rejected": counts.rejected, "number": number, "tokens": len(self._minted), "final": final}
        print(json.dumps({**told, "slowest": round(self.slowest, 3)}), flush=True)


def emit(emitter: Emitter, teller: Teller, run: str, first: int, last: int, rate: float) -> None:
    begin = time.monotonic()
    for number in range(first, last, BATCH):
        time.sleep(max(begin + (number - first) / rate - time.monotonic(), 0.0))
        events = [event(each, run) for each in range(number, min(number + BATCH, last))]
        before = time.monotonic()
        emitter.emit(*events)
        teller.slowest = max(teller.slowest, time.monotonic() - before)
        teller.say(min(number + BATCH, last))


def arrived(emitter: Emitter, replayed: int) -> bool:
    """Wait a moment; whether everything has arrived by then."""
    if not emitter.flush(0.5):
        return False
    if emitter.counts.replayed < replayed:
        time.sleep(0.1)
        return False
    return True


@contextlib.contextmanager
def short_tokens(seconds: int | None) -> Iterator[list[float]]:
    """Tokens that end so soon, and when they were made; without a number, as they are."""
    minted: list[float] = []
    if seconds is None:
        yield minted
        return
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

    sign = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider

    def signed(*arguments: object) -> object:
        minted.append(time.time())
        return sign(*arguments)

    with (
        mock.patch.object(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", seconds),
        mock.patch.object(MSKAuthTokenProvider, "generate_auth_token_from_credentials_provider", signed),
    ):
        yield minted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="r", help="name of the run")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="events per second")
    parser.add_argument("--token-seconds", type=int)
    parser.add_argument("--patience", type=float, default=180.0, help="seconds to wait for the last to arrive")
    parser.add_argument("--replayed", type=int, default=0, help="wait also until so many of dead processes arrived")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with short_tokens(options.token_seconds) as minted:
        emitter = Emitter(OctopusConfig.load())
        teller = Teller(emitter, minted)
        emit(emitter, teller, options.run, options.first, options.last, options.rate)
        deadline = time.monotonic() + options.patience
        while not arrived(emitter, options.replayed) and time.monotonic() < deadline:
            teller.say(options.last)
        teller.say(options.last, final=True)
        emitter.close(5)


if __name__ == "__main__":
    main()
