"""The command ``octopus demo``."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from octopus_plugins.errors import OctopusError

if TYPE_CHECKING:
    from parsl_monitor.demo.show import Show

WANTED_CATEGORIES = 4


@click.command(
    epilog="""\b
Examples:
  octopus demo
  octopus demo --keep && octopus failures --run-id last"""
)
@click.option("--keep", is_flag=True, help="Leave the broker up for questions afterwards.")
def demo(keep: bool) -> None:
    """Watch a real Parsl workflow fail, recover, and explain itself.

    Starts a Kafka-compatible broker on this machine and a Parsl run with two executors on three nodes: a
    Gaussian-process regression of four years of Seattle's weather. A node lacks a module, another has too
    little memory, a worker is killed, one app has a bug, one does not end. Takes about half a minute.
    """
    from parsl_monitor.demo.show import Show

    started = time.monotonic()
    show = Show()
    scratch = Path(tempfile.mkdtemp(prefix="octopus-demo-"))
    with _broker(keep) as address:
        right = _play(show, address, scratch, keep)
    show.end(time.monotonic() - started)
    if not right:
        # The logs are still needed.
        raise OctopusError(f"the demo did not end as it should; Parsl's logs are in {scratch / 'runinfo'}")
    shutil.rmtree(scratch, ignore_errors=True)


def _play(show: Show, address: str, scratch: Path, keep: bool) -> bool:
    import parsl

    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.fabric import ensure_topics
    from parsl_monitor.demo import workflow

    octopus = OctopusConfig.load(profile="local", bootstrap_servers=address, spool_dir=scratch / "spool")
    ensure_topics(octopus)
    weather = workflow.load_weather()
    show.begin(address, len(weather.days))
    config = workflow.configuration(octopus, str(scratch / "runinfo"))
    with show.watching(octopus), parsl.load(config) as dfk:
        run_id = dfk.run_id
        show.follow_run(run_id)
        workflow.wait_for_nodes(dfk)
        outcome = workflow.run(dfk, weather, scratch)
    show.table(octopus, run_id)
    show.result(outcome)
    enough = show.covers(octopus, run_id, WANTED_CATEGORIES)
    show.next_steps(octopus, run_id, keep)
    return outcome.right and enough


@contextlib.contextmanager
def _broker(keep: bool) -> Iterator[str]:
    from octopus_plugins.local import embedded

    if keep:
        yield embedded.up().address
    else:
        with embedded.EmbeddedBroker() as broker:
            yield broker.address
