"""The engine's name resolves, and stands for the host's own engine where ours cannot be loaded."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest
from globus_compute_endpoint import engines

from globus_compute_hooks.endpoint import autoload


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    autoload.install()
    yield
    autoload.uninstall()


def test_the_name_resolves_and_others_do_not() -> None:
    from globus_compute_hooks import OctopusEngine

    assert engines.OctopusEngine is OctopusEngine
    assert not hasattr(engines, "SquidEngine")


def test_undone_nothing_is_left() -> None:
    assert engines.OctopusEngine
    autoload.install()
    autoload.uninstall()
    assert not hasattr(engines, "OctopusEngine")
    assert "__getattr__" not in vars(engines)


def test_where_ours_cannot_be_loaded_the_host_s_own_serves_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "globus_compute_hooks.endpoint.engine", None)
    with caplog.at_level(logging.ERROR, logger="globus_compute_endpoint"):
        kind = engines.OctopusEngine
    assert issubclass(kind, engines.GlobusComputeEngine)
    (record,) = caplog.records
    assert "OctopusEngine cannot be loaded" in record.getMessage()
    assert "runs a GlobusComputeEngine" in record.getMessage()
    engine = kind(label="x", octopus={"profile": "kafka"}, address="127.0.0.1")
    assert engine.label == "x"
