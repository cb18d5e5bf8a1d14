"""Compare: what ``make parsl-suite`` does. ``python -m benchmarks.parsl_suite.run --help``."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.parsl_suite.comparison import Comparison, Pair, paired, passed
from benchmarks.parsl_suite.page import markdown, table
from benchmarks.parsl_suite.suite import CONFIGS, ROOT, Case, Selection, Session
from octopus_plugins.local import EmbeddedBroker

JSON_DIRECTORY = ROOT / "build" / "parsl-suite"
DOCUMENT = ROOT / "docs" / "parsl-suite.md"

VARIANTS = {"none": ("enable",), "embedded": ("enable, broker",), "both": ("enable", "enable, broker")}
"""What runs under ``enable``, by what ``--broker`` says."""


def main(arguments: list[str] | None = None) -> int:
    """Run, compare, print, and write the files.

    Args:
        arguments: The command line; default: that of the process.

    Returns:
        0 when nothing that passes in stock is worse or slower with Octopus; 1 otherwise.
    """
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is ended then, too
    described = machine.describe()
    asked = shlex.join(word for word in (sys.argv[1:] if arguments is None else arguments) if word != "--write-docs")
    if options.again is not None:
        comparisons, described, asked = _read(options.again)
    else:
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="octopus-parsl-suite-"))
            directory = (options.keep or Path(scratch)).resolve()
            variants = VARIANTS[options.broker]
            broker = stack.enter_context(EmbeddedBroker()) if options.broker != "none" else None
            runner = Runner(directory, broker.address if broker is not None else None, options.patience)
            comparisons = [
                found for name in options.config for found in runner.compare(Selection(name, options.only), variants)
            ]
        print(f"Written: {_write(comparisons, described, asked)}")
    print(table(comparisons))
    for each in comparisons:
        for pair in each.differing:
            _show(each, pair)
    if options.write_docs:
        command = f'make parsl-suite OPTIONS="{asked}"' if asked else "make parsl-suite"
        DOCUMENT.write_text(markdown(comparisons, described, command), encoding="utf-8")
        print(f"Written: {DOCUMENT}")
    return int(any(each.differing for each in comparisons))


ROUNDS = 2
"""How often what differs runs again."""


class Runner:
    """Runs stock and ours one after the other, and what differs once or twice more.

    Args:
        directory: For what the runs write.
        broker: Address of a broker; None where there is none.
        patience: See the plugin; None leaves Parsl's own.
    """

    def __init__(self, directory: Path, broker: str | None, patience: float | None = None) -> None:
        self._directory = directory
        self._broker = broker
        self._patience = patience

    def compare(self, selection: Selection, variants: Sequence[str]) -> list[Comparison]:
        """Compare one configuration.

        Args:
            selection: What to run.
            variants: Of ours; each is compared with the same run of stock.
        """
        stock = self._run("stock", selection)
        found = [Comparison(selection.config, each, stock, self._run(each, selection)) for each in variants]
        return [replace(each, again=self._again(each, selection)) for each in found]

    def _again(self, comparison: Comparison, selection: Selection) -> list[Pair]:
        found: list[Pair] = []
        differing = comparison.suspects
        for round in range(1, ROUNDS + 1):
            if differing:
                narrowed = replace(selection, tests=[pair.test for pair in differing])
                why = f"{comparison.variant}, {round}"
                both = (self._run(variant, narrowed, why) for variant in ("stock", comparison.variant))
                made = paired(*both)
                found += made
                differing = [pair for pair in made if pair.differs]
        return found

    def _run(self, variant: str, selection: Selection, again: str = "") -> list[Case]:
        name = f"{selection.config}-{variant}{f' (again for {again})' if again else ''}"
        settings = {}
        if variant.endswith("broker") and self._broker is not None:
            settings = {"OCTOPUS_PROFILE": "local", "OCTOPUS_BOOTSTRAP_SERVERS": self._broker}
        mode = "stock" if variant == "stock" else "enable"
        session = Session(self._directory, settings, self._patience)
        begun = time.monotonic()
        # Parsl does not quote the paths that it gives to a shell.
        cases = session.run(re.sub(r"\W+", "-", name).strip("-"), mode, selection)
        seconds = time.monotonic() - begun
        print(f"{name}: {passed(cases)} of {len(cases)} passed, {seconds:.0f} s", file=sys.stderr, flush=True)
        return cases


def _show(comparison: Comparison, pair: Pair) -> None:
    ours = pair.ours
    came = f"{ours.outcome} after {ours.seconds:.1f} s" if ours is not None else "did not run"
    print(f"\n{comparison.config}, {comparison.variant}: {pair.test}: {came}, stock {pair.stock.seconds:.1f} s")
    if pair.worse and ours is not None:
        print("    " + ours.text[-1500:].replace("\n", "\n    "))


def _write(comparisons: Sequence[Comparison], described: Mapping[str, str], asked: str) -> Path:
    JSON_DIRECTORY.mkdir(parents=True, exist_ok=True)
    file = JSON_DIRECTORY / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    content = {"machine": dict(described), "asked": asked, "comparisons": [asdict(each) for each in comparisons]}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return file


def _read(files: Sequence[Path]) -> tuple[list[Comparison], dict[str, str], str]:
    """What earlier invocations wrote, together: the comparisons, the first one's machine and options.

    What a later one has of the same configuration and variant is one more round of some of its tests.
    """
    contents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    found: dict[tuple[str, str], Comparison] = {}
    for each in (_comparison(each) for content in contents for each in content["comparisons"]):
        known = found.get((each.config, each.variant))
        found[each.config, each.variant] = (
            each if known is None else replace(known, again=[*known.again, *each.pairs, *each.again])
        )
    return list(found.values()), contents[0]["machine"], contents[0]["asked"]


def _comparison(data: dict[str, Any]) -> Comparison:
    return Comparison(
        data["config"],
        data["variant"],
        [Case(**each) for each in data["stock"]],
        [Case(**each) for each in data["ours"]],
        [Pair(Case(**each["stock"]), Case(**each["ours"]) if each["ours"] else None) for each in data["again"]],
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Parsl's own test suite in stock and with Octopus, and compare.")
    parser.add_argument(
        "--config", action="append", choices=list(CONFIGS), help="a configuration; may be repeated (default: all)"
    )
    parser.add_argument("--only", default="", metavar="EXPR", help="only the tests that pytest's -k selects by this")
    parser.add_argument(
        "--broker", choices=list(VARIANTS), default="none", help="where records go: to the spool, to a broker, or both"
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="that Parsl's processes may take to start, on a busy machine (default: what Parsl gives)",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave what the runs write there, Parsl's logs too")
    parser.add_argument(
        "--again",
        type=Path,
        nargs="+",
        metavar="JSON",
        help="run nothing: show what earlier invocations wrote; later ones add rounds of what differed",
    )
    parser.add_argument("--write-docs", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    options.config = options.config or list(CONFIGS)
    return options


if __name__ == "__main__":
    sys.exit(main())
