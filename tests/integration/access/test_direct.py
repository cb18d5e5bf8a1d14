"""Nodes that produce by themselves: with short-lived tokens, renewed while the run goes on, and never with the key."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import parsl
import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from parsl import python_app
from parsl.config import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from octopus_plugins import resources
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import ResourceSample
from octopus_plugins.fabric import ensure_topics
from octopus_plugins.fabric.octopus.keys import load_key, log_in
from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub

from ..standin.globus import Person
from ..standin.service import StandinService

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TOKEN_SECONDS = 20  # renewed after half of that, and shown until five are left: a machine may stall in between
NAP_SECONDS = 2.0 * TOKEN_SECONDS


@pytest.fixture
def config(fabric: StandinService, robot: Person) -> OctopusConfig:
    """Logged in, with the topics."""
    log_in(OctopusConfig.load())
    ensure_topics(OctopusConfig.load())
    return OctopusConfig.load()


@pytest.fixture(autouse=True)
def own_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsl's worker pool is found where this Python is."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.fixture
def short_tokens() -> Iterator[None]:
    """Tokens that end soon after they are made."""
    with mock.patch.object(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", TOKEN_SECONDS):
        yield


@contextlib.contextmanager
def everything_logged(file: Path) -> Iterator[None]:
    """Whatever is logged in this process, down to the least."""
    handler, root = logging.FileHandler(file, encoding="utf-8"), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def nap(config: OctopusConfig, run_dir: Path, seconds: float, **options: Any) -> list[ResourceSample]:
    """Run one task on a node that may produce by itself, and look at the samples of it."""
    executor = OctopusHighThroughputExecutor(
        label="small",
        max_workers_per_node=1,
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        sample_period=0.2,
        node_heartbeat_period=0.5,
        direct=True,
        worker_debug=True,
        provider=LocalProvider(init_blocks=1, max_blocks=1, launcher=SimpleLauncher()),
        **options,
    )

    # A function that workers find wherever they are: this module they do not.
    sleep = python_app(subprocess.check_output)

    hub = OctopusMonitoringHub(octopus=config)
    run_dir.mkdir()
    with (
        everything_logged(run_dir / "all.log"),
        parsl.load(
            Config(
                executors=[executor], monitoring=hub, strategy="none", run_dir=str(run_dir), initialize_logging=False
            )
        ) as dfk,
    ):
        environment = sleep(["sh", "-c", f"sleep {seconds}; env"]).result(timeout=200)
        run_id = dfk.run_id
    (run_dir / "environment").write_bytes(environment)
    return sorted(resources(run_id=run_id, config=config), key=lambda sample: sample.sequence)


def hold(run_dir: Path, text: str) -> list[str]:
    """The files of a run in which a text stands."""
    return [str(file) for file in run_dir.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


@pytest.mark.usefixtures("short_tokens")
def test_a_nodes_tokens_are_renewed_while_its_task_runs_and_stand_in_no_file(
    config: OctopusConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    minted: list[str] = []
    sign = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider

    def signed(*arguments: Any) -> Any:
        token, end = sign(*arguments)
        minted.append(token)
        return token, end

    with mock.patch.object(MSKAuthTokenProvider, "generate_auth_token_from_credentials_provider", signed):
        samples = nap(config, tmp_path / "runs", NAP_SECONDS, encrypted=True)
    assert [sample.sequence for sample in samples] == list(range(len(samples)))
    by_node = [sample for sample in samples if sample.order == 0]
    first = by_node[0].time
    assert len(by_node) > len(samples) * 0.8
    # The token that the node was given first had ended long before the last of them.
    assert by_node[-1].time - first > 1.5 * TOKEN_SECONDS
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    key = load_key(config)
    assert key is not None and minted
    assert len(hold(tmp_path / "runs", "small")) > 1  # so there is something to look through
    for secret in (key.secret_key, key.access_key, *(token[-40:] for token in minted)):
        assert hold(tmp_path / "runs", secret) == []


def test_no_token_travels_where_the_channel_is_not_encrypted(
    config: OctopusConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = nap(config, tmp_path / "runs", 2.0, encrypted=False)
    assert len(samples) > 3 and all(sample.order > 0 for sample in samples)
    (told,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "'small' is not encrypted" in told and "encrypted=True" in told
