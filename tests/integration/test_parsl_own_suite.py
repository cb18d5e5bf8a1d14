from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import parsl.tests
import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.local.embedded import EmbeddedBroker
from octopus_plugins.streams import runs

HERE = Path(__file__).parent
PLUGIN = HERE.parents[1] / "benchmarks" / "parsl_suite" / "site"
SUITE = Path(parsl.tests.__file__).parent / "test_monitoring"

LEFT_OUT = {
    "test_exit_helper": "builds no hub: Parsl's way to end a process (and it needs an idle machine)",
    "test_radio_filesystem": "builds no hub: one of Parsl's radios, by itself",
    "test_radio_multiprocessing": "builds no hub: one of Parsl's radios, by itself",
    "test_radio_udp": "builds no hub: one of Parsl's radios, by itself",
    "test_radio_zmq": "builds no hub: one of Parsl's radios, by itself",
    "test_viz_colouring": "builds no hub: parsl-visualize, which needs parsl[visualization]",
}
"""Modules that cannot say anything of our hub. Whatever else Parsl ships is run."""

MARKED_OUT = ("workqueue", "taskvine", "radical", "globus_compute")
"""Marks of tests that need other software beside Parsl; there are two: Work Queue's and TaskVine's row counts."""

WORKERS = 2
"""So many of Parsl's tests run at a time; half of the time each waits for a process or a period of Parsl's."""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(2600)
def test_parsls_own_monitoring_tests_pass_with_our_hub(
    tmp_path: Path, broker: EmbeddedBroker, make_config: Callable[..., OctopusConfig]
) -> None:
    config = make_config(broker.address)
    finished = run_suite(tmp_path, config)
    report = tmp_path / "junit.xml"
    assert report.exists(), finished.stdout[-20_000:]
    cases = list(ElementTree.parse(report).iter("testcase"))
    not_passed = {
        f"{case.get('classname')}::{case.get('name')}": child.get("message")
        for case in cases
        for child in case
        if child.tag in {"failure", "error", "skipped"}
    }
    assert not_passed == {}, finished.stdout[-8000:]
    assert finished.returncode == 0, finished.stdout[-4000:]

    per_module = Counter((case.get("classname") or "").rpartition(".")[2] for case in cases)
    assert set(per_module) == {path.stem for path in SUITE.glob("test_*.py")} - set(LEFT_OUT)
    assert per_module["test_basic"] == 4
    assert per_module["test_stdouterr"] == 20

    # Each of the tests is one run, and ours was its hub: the run is in the topic.
    assert runs(config=config).count_by("state") == {"started": len(cases), "ended": len(cases)}
    complaints = [log.read_text() for log in tmp_path.glob("gw*/octopus.log")]
    assert complaints == [""] * WORKERS


def run_suite(directory: Path, config: OctopusConfig) -> subprocess.CompletedProcess[str]:
    environment = {
        # Not what pytest-xdist tells this process: the suite has workers of its own.
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")},
        "PARSL_SUITE": "hub",
        "PARSL_SUITE_PATIENCE": "120",
        "PARSL_SUITE_LIMIT": "2400",  # it takes about 300 on an idle machine
        "OCTOPUS_PROFILE": "local",
        "OCTOPUS_BOOTSTRAP_SERVERS": config.servers,
        "OCTOPUS_NAMESPACE": config.namespace,
        "OCTOPUS_SPOOL_DIR": str(config.spool_dir),
        # What this process imports, so that its children find it wherever they start.
        "PYTHONPATH": os.pathsep.join(
            [str(PLUGIN), str(HERE / "without_compute"), *(str(Path(p).resolve()) for p in sys.path if p)]
        ),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(SUITE)]
    command += ["-p", "parsl_suite_plugin", "-p", "no:cacheprovider", "--config", "local"]
    command += ["-n", str(WORKERS), "--maxschedchunk", "1"]
    # A test of theirs that hangs says where, by the stacks of all threads.
    command += ["--timeout", "300", "--timeout-method", "thread"]
    command += ["-m", " and ".join(f"not {mark}" for mark in MARKED_OUT)]
    command += [f"--ignore={SUITE / name}.py" for name in LEFT_OUT]
    command += ["--junit-xml", str(directory / "junit.xml"), str(SUITE)]
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2500,
        check=False,
    )
