"""``octopus wrath serve``: the decider service."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import asked, json_option, with_config
from octopus_plugins.text import one_line

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.events import Decision, Failure


@click.command(epilog="Example: octopus wrath serve --policy policy.toml")
@click.option(
    "--policy",
    type=click.Path(),
    help="A TOML file, or published, that decides all runs. Default: each run's own policy.",
)
@click.option("--group", metavar="NAME", help="Share the failures with the other services of this consumer group.")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="Look back so far at the start.")
@click.option("--once", is_flag=True, help="Decide what waits now, and end.")
@json_option
@with_config
def serve(config: OctopusConfig, policy: str | None, group: str | None, since: str, once: bool, as_json: bool) -> None:
    """Decide failures for workflows that ask for it, until Ctrl-C or SIGTERM.

    A workflow asks with WrathRetryHandler(decider="service"). The service keeps its history across runs, and
    takes it from the topics when it starts.
    """
    from octopus_plugins.services.decider_service import Decider
    from octopus_plugins.streams.query import moment
    from octopus_plugins.wrath import policy_from

    output = click.get_text_stream("stdout")
    now = time.time()
    begin = asked(moment, value=since, name="since", now=now)
    assert begin is not None

    def show(decided: Sequence[tuple[Failure, Decision]]) -> None:
        # There may be thousands in a second: `click.echo` looks at the terminal each time.
        if sys.stdout is None:  # closed by whoever started this
            return
        lines = [screen.json_line(decision) if as_json else _line(failure, decision) for failure, decision in decided]
        output.write("\n".join([*lines, ""]))
        output.flush()

    def say_ready() -> None:
        screen.say(
            f"Deciding for {config.namespace} at {config.servers}: {decider.observed:,} events back to"
            f" {screen.local_time(begin)} were taken in, in {screen.span(time.time() - now)}."
            + ("" if once else " Ctrl-C ends.")
        )

    decider = Decider(
        config,
        policy=policy_from(policy) if policy is not None else None,
        group=group,
        since=max(now - begin, 0.0),
        on_ready=say_ready,
        on_decisions=show,
    )
    # What a service remembers is many small objects and no cycle of them: to look through them is in vain.
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    before = [(number, signal.signal(number, lambda *_: decider.close())) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        decider.run(once=once)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        for number, handler in before:
            signal.signal(number, handler)
    left = (
        f", {decider.passed_over:,} of runs that told no configuration were left to them" if decider.passed_over else ""
    )
    bad = f"; {decider.skipped:,} records were no events" if decider.skipped else ""
    screen.say(f"{decider.decided:,} failures were decided{left}{bad}.")


@lru_cache(maxsize=16)
def _clock(second: int, this_minute: int) -> str:
    """A time for people, made once for all failures of a second. Which day is today depends on the minute."""
    return screen.local_time(second)


def _line(failure: Failure, decision: Decision) -> str:
    again = f" try {failure.try_id}" if failure.try_id else ""
    app = f" {failure.app}" if failure.app else ""
    when = _clock(int(failure.time), int(time.time()) // 60)
    return one_line(
        f"{when}  run {failure.run_id[:8]} task {failure.task_id}{again}{app}"
        f" {screen.place(failure)}  {screen.action(decision)}: {decision.reason}"
    )
