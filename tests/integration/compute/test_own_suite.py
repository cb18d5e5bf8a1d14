"""The tests of engines that Globus Compute ships in its endpoint's wheel, with OctopusEngine in its engine's place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.compute import rabbitmq
from octopus_plugins import runs, tasks
from octopus_plugins.config import OctopusConfig

OF_ENGINES = ("test_engines", "test_gcengine_retries", "test_gcengine_shell_functions", "test_gcengine_strategy")
"""All that the wheel has of GlobusComputeEngine; its other tests are of the endpoint around it."""


def shipped() -> dict[str, Path]:
    """The test modules of the endpoint's wheel, by name."""
    found = [Path(str(file.locate())) for file in files("globus-compute-endpoint") or () if file.parts[0] == "tests"]
    return {path.stem: path for path in found}


@pytest.fixture
def server(amqp: str) -> Iterator[rabbitmq.RabbitMQ]:
    """A RabbitMQ of their own: they have exchanges of the names that the endpoint uses, and of other kinds."""
    with rabbitmq.RabbitMQ() as server:
        yield server


@pytest.mark.timeout(600)
def test_globus_computes_own_tests_of_its_engine_pass_with_ours(
    tmp_path: Path, server: rabbitmq.RabbitMQ, octopus: OctopusConfig
) -> None:
    modules = shipped()
    environment = {
        **os.environ,
        "RABBITMQ_INTEGRATION_TEST_URI": server.url,
        "OCTOPUS_PROFILE": "local",
        "OCTOPUS_BOOTSTRAP_SERVERS": octopus.servers,
        "OCTOPUS_NAMESPACE": octopus.namespace,
        "OCTOPUS_SPOOL_DIR": str(octopus.spool_dir),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(modules["utils"].parent)]
    command += ["-p", "compute_suite_plugin", "-p", "no:cacheprovider", "--timeout", "120"]
    command += ["--junit-xml", "junit.xml", *(str(modules[name]) for name in OF_ENGINES)]
    finished = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=580,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-12_000:]
    cases = list(ElementTree.parse(tmp_path / "junit.xml").iter("testcase"))
    assert not [case.get("name") for case in cases if len(case)], finished.stdout[-4_000:]
    assert {str(case.get("classname")).rpartition(".")[2] for case in cases} == set(OF_ENGINES)
    of_ours = [case for case in cases if "[OctopusEngine]" in str(case.get("name"))]
    assert len(of_ours) == 3
    # One of their tests starts an engine whose executor is a mock.
    complaints = [line for line in (tmp_path / "octopus.log").read_text().splitlines() if line.startswith("Octopus: ")]
    assert complaints == ["Octopus: the endpoint runs without Octopus (said once)"]

    # Ours was at work: each engine that was started is a run in the topic, and so are their tasks.
    states = runs(config=octopus).count_by("state")
    assert states["started"] == states["configured"] == states["ended"] > 10
    assert tasks(config=octopus).count_by("state")["exec_done"] > 5
