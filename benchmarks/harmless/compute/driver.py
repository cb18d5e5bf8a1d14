"""One run of one case by one system, in a process of its own. Writes what came of it as JSON.

``python -m benchmarks.harmless.compute.driver --case no-op --system stock --amqp URL --directory run --out run.json``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import globus_compute_sdk.sdk.client

from benchmarks.compute.endpoint import Endpoint
from benchmarks.compute.service import ComputeService
from benchmarks.harmless.compute import system as systems
from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.catalogue import CASES
from benchmarks.harmless.compute.disturbing import Disturber, Lines
from benchmarks.harmless.compute.trial import Trial
from benchmarks.harmless.configuring import OURS, SYSTEMS
from benchmarks.proxy import ProxiedBroker, Proxy
from octopus_plugins.config import OctopusConfig

HEARTBEAT = 5
"""Seconds between heartbeats of the user endpoint; the host allows no less."""


def run(options: argparse.Namespace) -> None:
    """Run once, and write what became of it."""
    case = CASES[options.case]
    directory: Path = options.directory
    for name in ("journal", "endpoint", "other", "scratch", "shared", "broker"):
        (directory / name).mkdir(parents=True)
    if case.disk is not None:
        mount(directory / "endpoint", case.disk)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(lines_to(options.amqp, directory, case, options.system))
        address = lines.broker.address if lines.broker is not None else "127.0.0.1:9"
        octopus = OctopusConfig.load(
            profile="local", bootstrap_servers=address, namespace="harmless", spool_dir=directory / "spool"
        )
        web = stack.enter_context(
            ComputeService(
                options.amqp,
                endpoints=through(lines.endpoint, options.amqp),
                clients=through(lines.client, options.amqp),
            )
        )
        globus_compute_sdk.sdk.client.get_web_service_url = lambda *_: web.url  # type: ignore[attr-defined]
        engine = systems.engine(case, options.system, directory, octopus)
        homes = [directory / "endpoint", *[directory / "other"] * case.ladder]
        endpoints = [
            Endpoint(
                home, web, engine, name=home.name, heartbeat=HEARTBEAT, idle=case.idle, hooked=options.system == OURS
            )
            for home in homes
        ]
        for endpoint in endpoints:
            endpoint.start()
            stack.callback(endpoint.kill)
        endpoint = endpoints[0]
        try:
            executor = systems.executor(case, options.system, octopus, *(one.id for one in endpoints))
            result = outcome(Trial(case, directory, web, endpoint, executor), lines)
        finally:
            (directory / "endpoint.log.txt").write_text(endpoint.log, encoding="utf-8")
    fresh = options.out.with_suffix(".new")
    fresh.write_text(json.dumps(result), encoding="utf-8")
    fresh.replace(options.out)


def outcome(trial: Trial, lines: Lines) -> dict[str, Any]:
    """Submit, disturb, and wait for the answers."""
    if trial.case.warm:
        trial.warm_up()
    trial.submit()
    disturber = Disturber(trial, lines)
    for step in trial.case.steps:
        disturber.take(step)
    trial.until(lambda: not trial.open(), trial.case.limit)
    return trial.outcome()


@contextlib.contextmanager
def lines_to(amqp: str, directory: Path, case: Case, system: str) -> Iterator[Lines]:
    """The lines to RabbitMQ, and to a broker where ours needs one."""
    with contextlib.ExitStack() as stack:
        place = urllib.parse.urlparse(amqp)
        endpoint, client = (Proxy(f"{place.hostname}:{place.port}") for _ in range(2))
        for proxy in (endpoint, client):
            stack.callback(proxy.close)
        broker = None
        if system == OURS:
            broker = stack.enter_context(ProxiedBroker(directory / "broker")).proxy
            if not case.broker:
                broker.cut()
        yield Lines(endpoint, client, broker)


def through(proxy: Proxy, amqp: str) -> str:
    """The URL of RabbitMQ by way of a proxy."""
    place = urllib.parse.urlparse(amqp)
    user = place.netloc.rpartition("@")[0]
    return place._replace(netloc=f"{user}@{proxy.address}").geturl()


def mount(directory: Path, size: int) -> None:
    """Mount a disk of so many MiB; in the mount namespace of this process, so that it ends with it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "harmless", str(directory)], check=True)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True, choices=list(CASES))
    parser.add_argument("--system", required=True, choices=list(SYSTEMS))
    parser.add_argument("--amqp", required=True, help="URL of RabbitMQ")
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--directory", required=True, type=Path, help="new directory for everything else")
    status = 1
    try:
        run(parser.parse_args())
        status = 0
    except Exception:
        # The border of the process: said here, as nothing more is once it exits like this.
        logging.getLogger(__name__).exception("the run broke")
    finally:
        sys.stdout.flush()
        # Threads of the SDK wait for answers that never come, and must not keep the process.
        os._exit(status)


if __name__ == "__main__":
    main()
