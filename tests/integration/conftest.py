from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.fabric import Emitter
from octopus_plugins.local.embedded import EmbeddedBroker

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1]))  # the benchmarks are no part of the wheel, and have what the tests need, too

from benchmarks.proxy import ProxiedBroker  # noqa: E402

QUICK = {
    "parsl_monitor/test_run.py",  # Parsl
    "test_delivery.py",  # emitter, broker, reader
    "test_engine.py",  # Globus Compute
}
"""The shortest ways through the real things, for `make quick`; all other files here are slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever runs the real things and is no short way through them is slow."""
    for item in items:
        if HERE in item.path.parents and item.path.relative_to(HERE).as_posix() not in QUICK:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own configuration and state."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """One embedded broker for all tests that do not hurt it."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., OctopusConfig]:
    """Make a configuration with a namespace and a spool of its own."""

    def make(address: str, **settings: Any) -> OctopusConfig:
        namespace = f"test-{uuid.uuid4().hex[:12]}"
        defaults: dict[str, Any] = {"profile": "local", "namespace": namespace, "spool_dir": tmp_path / "spool"}
        return OctopusConfig.load(bootstrap_servers=address, **{**defaults, **settings})

    return make


@pytest.fixture
def config(broker: EmbeddedBroker, make_config: Callable[..., OctopusConfig]) -> OctopusConfig:
    """The embedded broker with a fresh namespace."""
    return make_config(broker.address)


@pytest.fixture
def proxied_broker(tmp_path: Path) -> Iterator[ProxiedBroker]:
    """An embedded broker behind a proxy that can be cut and restored."""
    with ProxiedBroker(tmp_path) as broker:
        yield broker


@pytest.fixture
def emitter(config: OctopusConfig) -> Iterator[Emitter]:
    """An emitter to the embedded broker."""
    emitter = Emitter(config)
    yield emitter
    emitter.close(5)


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Wait until a condition holds, or fail."""

    def wait(condition: Callable[[], object], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s"
            time.sleep(0.02)

    return wait
