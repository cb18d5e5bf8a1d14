"""``octopus tail``: watch events as they come."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import asked, json_option, limit_option, with_config

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.events import Event
    from octopus_plugins.fabric.kafka.reader import Reader

_CLOSE_SECONDS = 2.0

TOPICS = ("task-metrics", "heartbeats", "failures", "decisions")


@click.command(epilog="Example: octopus tail failures decisions --since 10m")
@click.argument("topics", nargs=-1, type=click.Choice(TOPICS))
@click.option("--run-id", "--run", "run_id", metavar="ID", help="Of this run only; 'last' is the newest now.")
@click.option(
    "--since", default="1m", show_default=True, metavar="TIME", help="Begin so far back; 'now' for not at all."
)
@click.option("--samples", is_flag=True, help="With task-metrics, show resource samples too.")
@limit_option
@json_option
@with_config
def tail(
    *,
    config: OctopusConfig,
    topics: tuple[str, ...],
    run_id: str | None,
    since: str,
    samples: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Watch events as they come, until Ctrl-C.

    TOPICS are task-metrics, heartbeats, failures, decisions; without any, all but heartbeats.
    """
    from octopus_plugins.events import ResourceSample
    from octopus_plugins.streams.latest_run import find_run
    from octopus_plugins.streams.query import moment

    start = asked(moment, value=since, name="since", now=time.time())
    run_id = asked(find_run, config=config, run_id=run_id) if run_id is not None else None
    chosen = topics or tuple(topic for topic in TOPICS if topic != "heartbeats")
    out = screen.console()
    left = limit
    with _Merged(config, chosen, start, run_id) as events:
        screen.say(f"Watching {', '.join(chosen)} of {config.namespace} at {config.servers}; Ctrl-C ends.")
        try:
            for event in events:
                if isinstance(event, ResourceSample) and not samples:
                    continue
                if as_json:
                    click.echo(screen.json_line(event))
                else:
                    out.print(screen.line(event), soft_wrap=True)
                left = None if left is None else left - 1
                if left == 0:
                    return
        except KeyboardInterrupt:
            return


class _Merged:
    """The events of several topics as they come; an error of one of them ends it."""

    def __init__(self, config: OctopusConfig, topics: tuple[str, ...], since: float | None, run_id: str | None) -> None:
        from octopus_plugins.events import Topic
        from octopus_plugins.fabric.kafka.reader import Reader

        prefix = f"{run_id}/".encode() if run_id else b""
        self._readers = [
            Reader(
                config,
                Topic(topic),
                since=since,
                until=None,
                follow=True,
                keep=(lambda key: key.startswith(prefix)) if prefix else None,
            )
            for topic in topics
        ]
        self._arrived: queue.Queue[list[Event] | BaseException] = queue.Queue(maxsize=100)
        self._threads = [
            threading.Thread(target=self._read, args=(reader,), name="octopus-tail", daemon=True)
            for reader in self._readers
        ]

    def __enter__(self) -> _Merged:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.close()
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:  # which say at their end how many records they skipped
            while thread.is_alive() and time.monotonic() < deadline:
                with contextlib.suppress(queue.Empty):
                    self._arrived.get_nowait()  # one that waits to hand over more could not end
                thread.join(0.05)

    def __iter__(self) -> _Merged:
        self._waiting: list[Event] = []
        return self

    def __next__(self) -> Event:
        while not self._waiting:
            # With a timeout, because a wait without one cannot be interrupted on every platform.
            try:
                arrived = self._arrived.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(arrived, BaseException):
                raise arrived
            self._waiting = arrived[::-1]
        return self._waiting.pop()

    def _read(self, reader: Reader) -> None:
        try:
            for batch in reader.read_batches():
                self._arrived.put(batch)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that iterates
            self._arrived.put(error)
