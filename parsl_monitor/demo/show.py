"""What the demo shows. Everything comes from the topics, as any other user of them would see it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from octopus_plugins import decisions, failures, tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Decision, Failure, Task
from parsl_monitor.demo.nodes import nodes_have_names
from parsl_monitor.demo.workflow import Outcome

WIDTH = 100
_FINAL = {"exec_done": "done", "failed": "failed", "dep_fail": "failed", "memo_done": "done"}


class Show:
    """The demo's screen: live lines while it runs, then a table, the result, and what to try next."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = WIDTH
        self._run_id: str | None = None
        self._failures: dict[tuple[str, int], Failure] = {}

    def begin(self, address: str, days: int) -> None:
        """Say what is about to happen."""
        self.console.print(f"[bold]octopus demo[/] — broker on {address}, {days:,} days of weather")
        self.console.print("Executor [bold]small[/]: nodes small-0, small-1. Executor [bold]large[/]: node large-0.")
        if not nodes_have_names():
            self.console.print("This machine gives a process no host name of its own: all nodes share one.")
        self.console.print("Starting Parsl and its workers …")

    def follow_run(self, run_id: str) -> None:
        """Show this run; others that use the same topics are passed over."""
        self._run_id = run_id

    @contextlib.contextmanager
    def watching(self, config: OctopusConfig) -> Iterator[None]:
        """Show what happens, live from the topics, until the run is over and read to its end."""
        news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        streams = [ask(config=config, follow=True) for ask in (tasks, failures, decisions)]
        readers = [
            threading.Thread(target=_pass_on, args=(stream, news), daemon=True, name="octopus-demo-reader")
            for stream in streams
        ]
        painter = threading.Thread(target=self._paint, args=(news,), daemon=True, name="octopus-demo-painter")
        for thread in (*readers, painter):
            thread.start()
        try:
            yield
        finally:
            for stream in streams:
                stream.close()
            for reader in readers:
                reader.join(timeout=5)
            news.put(None)
            painter.join(timeout=5)

    def table(self, config: OctopusConfig, run_id: str) -> None:
        """The table of failure, category, decision and outcome."""
        last = {event.task_id: event for event in tasks(run_id=run_id, config=config)}
        broke = {(event.task_id, event.try_id): event for event in failures(run_id=run_id, config=config)}
        rows: Counter[tuple[str, ...]] = Counter()
        for decision in decisions(run_id=run_id, config=config):
            end = last.get(decision.task_id)
            rows[
                decision.app or "?",
                _exception(broke.get((decision.task_id, decision.try_id))),
                decision.host or "–",
                decision.category,
                _decided(decision),
                _FINAL.get(end.state, end.state) if end is not None else "?",
            ] += 1
        table = Table(
            box=SIMPLE_HEAD,
            title="What failed, why, and what was done",
            title_justify="left",
            collapse_padding=True,
            pad_edge=False,
        )
        table.title_style = "bold"
        for heading in ("app", "failure", "node", "category", "decision", "outcome"):
            table.add_column(heading, overflow="fold")
        for (app, failure, node, category, decided, outcome), times in rows.items():
            style = "green" if outcome == "done" else "red"
            table.add_row(
                app if times == 1 else f"{app} ×{times}", failure, node, category, decided, Text(outcome, style=style)
            )
        self.console.print()
        self.console.print(table)

    def covers(self, config: OctopusConfig, run_id: str, wanted: int) -> bool:
        """Whether the run showed enough categories and both kinds of decision; says so if not."""
        categories = failures(run_id=run_id, config=config).count_by("category")
        actions = decisions(run_id=run_id, config=config).count_by("action")
        if len(categories) >= wanted and {"retry", "terminate"} <= actions.keys():
            return True
        self.console.print(
            f"[red]The demo is incomplete:[/] categories {sorted(categories)}, decisions {sorted(actions)};"
            f" at least {wanted} categories, retry and terminate were expected"
        )
        return False

    def result(self, outcome: Outcome) -> None:
        """What the regression gave, and whether it is right."""
        verdict = "[green]right[/]" if outcome.right else "[red]WRONG[/]"
        self.console.print(
            f"Regression over {outcome.tasks} tasks: {verdict}.\n"
            f"  Held-out days are predicted within {outcome.error:.2f} °C; by the season's mean within "
            f"{outcome.baseline:.2f} °C.\n"
            f"  The tiled factorisation differs from a dense one by {outcome.difference:.0e} °C."
        )
        self.console.print("  Failed, as they must:")
        for app, error in outcome.raised.items():
            self.console.print(f"    {app} ({error})")

    def next_steps(self, config: OctopusConfig, run_id: str, keep: bool) -> None:
        """The commands to try next."""
        if not keep:
            self.console.print("\nTo ask questions afterwards: [bold]octopus demo --keep[/]")
            return
        worst = next((d for d in decisions(run_id=run_id, action="retry", config=config)), None)
        self.console.print("\nThe broker stays up. Try:")
        for command, what in (
            ("octopus failures", "what failed, and why"),
            ("octopus decisions", "what was done about it"),
            (f"octopus explain last {worst.task_id if worst else 0}", "the whole story of one task"),
            ("octopus tail --since 10m", "every event as it comes; end with Ctrl-C"),
            (
                "python -c \"from octopus_plugins import failures; print(failures(since='1h').to_pandas())\"",
                "the same in Python",
            ),
            ("octopus broker down", "stop the broker"),
        ):
            self.console.print(f"  [bold]{command}[/]", soft_wrap=True)
            self.console.print(f"      {what}")

    def end(self, seconds: float) -> None:
        """Say how long it took."""
        self.console.print(f"\nTook {seconds:.0f} s.")

    def _paint(self, news: queue.SimpleQueue[Any]) -> None:
        progress = Progress(
            TextColumn("tasks"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("[red]{task.fields[failed]} tries failed[/], [green]{task.fields[retried]} retried[/]"),
            console=self.console,
        )  # fmt: skip
        bar = progress.add_task("tasks", total=0, failed=0, retried=0)
        seen: set[str] = set()
        done: set[str] = set()
        failed = retried = 0
        shown = contextlib.nullcontext() if not self.console.is_terminal else Live(progress, console=self.console)
        with shown:
            while (event := news.get()) is not None:
                if self._run_id is not None and event.run_id != self._run_id:
                    continue
                if isinstance(event, Task):
                    seen.add(event.task_id)
                    if event.state in _FINAL:
                        done.add(event.task_id)
                elif isinstance(event, Failure):
                    failed += 1
                elif isinstance(event, Decision):
                    retried += event.action == "retry"
                    self.console.print(_line(event))
                    for host in event.deny_hosts:
                        what = f"no new tasks of {event.deny_app}" if event.deny_app else "no new tasks"
                        self.console.print(f"⊘ {host} gets {what} for a while")
                progress.update(bar, total=len(seen), completed=len(done), failed=failed, retried=retried)


def _pass_on(stream: Any, news: queue.SimpleQueue[Any]) -> None:
    for event in stream:
        news.put(event)


def _line(decision: Decision) -> Text:
    colour = "yellow" if decision.action == "retry" else "red"
    return Text.assemble(
        ("✗ ", colour),
        f"task {decision.task_id} {decision.app} try {decision.try_id} on {decision.host or 'no node'}: ",
        (decision.category, "bold"),
        " → ",
        (_decided(decision), colour),
    )


def _decided(decision: Decision) -> str:
    if decision.action != "retry" or decision.placement is None:
        return decision.action
    placement = decision.placement
    if placement.rung == "other_executor":
        return f"retry on {placement.executor}"
    return "retry on other node" if placement.rung == "other_node" else "retry on same node"


def _exception(failure: Failure | None) -> str:
    if failure is None:
        return "?"
    name = failure.exception.type.rpartition(".")[2].lstrip("_")
    return f"{name}, signal {failure.signal}" if failure.signal else name
