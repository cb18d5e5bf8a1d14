"""The public names are locked: a change here is a change for users, and belongs into CHANGELOG.md."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import octopus_plugins

PUBLIC = {
    "octopus_plugins": """
        WITHHOLD Block BrokerStartError BrokerUnreachableError Categorization Category ConfigError CredentialsError
        Decision Event ExceptionInfo FabricError Failure Heartbeat History Layer Limits Match MissingDependencyError
        NodeState OctopusConfig OctopusError Placement PluginError Policy PolicyError Pool ResourceSample Rule Run Rung
        SchemaError ServiceError SpoolError Stream Task Topic TopicMissingError Trust UnsupportedHostError Usage
        WorkerState __version__ categorize decide decisions failures heartbeats hookimpl load_policy resources runs
        tasks
        """,
    "parsl_monitor": """
        OctopusHighThroughputExecutor OctopusManagerSelector OctopusMonitoringHub OctopusRadio WrathRetryHandler disable
        enable
        """,
    "globus_compute_hooks": "OctopusEngine OctopusExecutor disable enable",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_these(package: str) -> None:
    names = sorted(PUBLIC[package].split())
    module = importlib.import_module(package)
    assert sorted(getattr(module, "__all__", [])) == names
    assert set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", PUBLIC)
def test_no_module_takes_the_place_of_a_public_name_when_it_is_imported(package: str) -> None:
    modules = {found.name for found in pkgutil.iter_modules(importlib.import_module(package).__path__)}
    assert modules.isdisjoint(PUBLIC[package].split())


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'octopus_plugins' has no attribute 'failure'"):
        octopus_plugins.failure  # noqa: B018 - the access is the test


def test_the_lazy_names_are_those_that_type_checkers_see() -> None:
    assert {*octopus_plugins._HOME, "__version__"} == set(octopus_plugins.__all__)


def test_the_same_name_is_the_same_object_however_it_is_imported() -> None:
    from octopus_plugins.errors import OctopusError
    from octopus_plugins.events import Failure

    assert octopus_plugins.Failure is Failure
    assert octopus_plugins.OctopusError is OctopusError


def test_a_star_import_brings_the_public_names() -> None:
    script = "from octopus_plugins import *; print(failures.__module__, Failure.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["octopus_plugins.streams.ask", "Failure"]
