"""The comparison as a page: ``docs/parsl-suite.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.parsl_suite.comparison import RATIO, SECONDS, Comparison, Pair, passed
from benchmarks.parsl_suite.suite import LIMIT_OF_A_TEST, NEEDS_MORE

INTRODUCTION = """\
# Parsl's own test suite under `enable`

Parsl ships its tests in its wheel (`parsl/tests`). `make parsl-suite` runs all of them as Parsl's Makefile does, once
in stock Parsl and once with every `Config` passed through `parsl_monitor.enable` as it reaches the `DataFlowKernel`,
and compares test by test. A test is *worse* if it passes in stock and not under `enable`, and *slower* if it takes more
than {ratio:g} times as long and more than {seconds:g} s longer, set-up and tear-down included. Whatever differs runs
once or twice more in both; what does not differ each time is listed as unsteady.

A `MonitoringHub` that a test or a configuration makes is an `OctopusMonitoringHub` with Parsl's database at its default
place: `enable` refuses a configuration that has Parsl's own. "Broker" means that records go to an embedded broker on
the same machine; without one they go to the spool. Tests that need other software or the Internet are left out of both
(`-k "{left_out}"`). A test that takes more than {limit} s counts as failed. Only what passes in stock counts.
"""


def markdown(comparisons: Sequence[Comparison], described: Mapping[str, str], command: str) -> str:
    """The whole page.

    Args:
        comparisons: One for each configuration and variant.
        described: The machine.
        command: What writes the page again.
    """
    text = INTRODUCTION.format(ratio=RATIO, seconds=SECONDS, left_out=NEEDS_MORE, limit=LIMIT_OF_A_TEST)
    machine = "; ".join(f"{name} {value}" for name, value in described.items())
    parts = [text.strip(), table(comparisons), f"Written by `{command}`. Machine: {machine}."]
    parts += [_section("Tests that differ", (c.differing for c in comparisons), comparisons)]
    parts += [_section("Unsteady tests", (c.unsteady for c in comparisons), comparisons)]
    parts += [_not_in_stock(comparisons)]
    return "\n\n".join(parts) + "\n"


def table(comparisons: Iterable[Comparison]) -> str:
    """A row for each configuration and variant."""
    lines = [
        "| `--config` | under | ran | passed in stock | of them passed | worse | slower | stock, s | ours, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in comparisons:
        well = [pair for pair in each.pairs if pair.stock.outcome == "passed"]
        again = {pair.test for pair in each.unsteady if pair.worse}
        kept = sum(not pair.worse or pair.test in again for pair in well)
        worse = sum(pair.worse for pair in each.differing)
        slower = sum(pair.slower for pair in each.differing)
        seconds = [sum(case.seconds for case in cases) for cases in (each.stock, each.ours)]
        lines.append(
            f"| {each.config} | {each.variant} | {len(each.stock)} | {passed(each.stock)} | {kept} | {worse} | {slower}"
            f" | {seconds[0]:.0f} | {seconds[1]:.0f} |"
        )
    return "\n".join(lines)


def _section(title: str, found: Iterable[Sequence[Pair]], comparisons: Iterable[Comparison]) -> str:
    lines = [f"## {title}", ""]
    rows = [
        f"| {each.config} | {each.variant} | `{pair.test}` | {_shown(pair)} | {pair.reason or 'not known'} |"
        for each, pairs in zip(comparisons, found, strict=True)
        for pair in pairs
    ]
    if not rows:
        return "\n".join([*lines, "None."])
    header = ["| `--config` | under | test | stock → ours | reason |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *header, *rows])


def _shown(pair: Pair) -> str:
    ours = f"{pair.ours.outcome} {pair.ours.seconds:.1f} s" if pair.ours is not None else "did not run"
    return f"{pair.stock.outcome} {pair.stock.seconds:.1f} s → {ours}"


def _not_in_stock(comparisons: Sequence[Comparison]) -> str:
    """What says nothing, as it does not pass in stock."""
    stock = {each.config: each.stock for each in comparisons}
    failed = Counter(
        (config, case.test.partition("::")[0], _last_line(case.text))
        for config, cases in stock.items()
        for case in cases
        if case.outcome == "failed"
    )
    rows = [f"| {config} | `{file}` | {count} | {why} |" for (config, file, why), count in failed.items()]
    header = ["| `--config` | file | tests | the end of what pytest says |", "|---|---|---|---|"] if rows else []
    skipped = {name: sum(case.outcome == "skipped" for case in cases) for name, cases in stock.items()}
    counts = ", ".join(f"{count} of {name}" for name, count in skipped.items())
    title = "## Tests that do not pass in stock here"
    return "\n".join([title, "", *header, *rows, "", f"Skipped by Parsl's own conditions: {counts}."])


def _last_line(text: str) -> str:
    line = text.strip().rpartition("\n")[2].rpartition("site-packages/")[2]
    return f"`{line[:120]}`" if line else ""
