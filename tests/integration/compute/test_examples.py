"""The example of Globus Compute, as its README says: only the web service is another one."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compute.endpoint import Endpoint
from octopus_plugins import decisions, failures
from octopus_plugins.config import OctopusConfig

HOST = platform.node()
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "05_globus_compute"

CATEGORIES = {
    "bug": "code_error",
    "module": "module_missing",
    "memory": "memory_exhausted",
    "large": "serialization",
    "killed": "worker_lost",
}


class ExampleEndpoint(Endpoint):
    """An endpoint made by the commands of the example's README."""

    def _configure(self, template: str, told: Mapping[str, str]) -> None:
        root = ["--contact-email", "tester@example.org"] if os.geteuid() == 0 else []
        template_file = ["--template-config", str(EXAMPLE / "user_config_template.yaml.j2")]
        self.said = [self.call("globus-compute-endpoint", "configure", self.name, *template_file, *root)]
        with (self.directory / "user_environment.yaml").open("a") as file:
            file.writelines(f'{key}: "{value}"\n' for key, value in told.items())
        self.said.append(self.call("octopus", "endpoint", "enable", self.name))
        self.said.append(self.call("octopus", "endpoint", "status", self.name))


@pytest.fixture(scope="module")
def endpoint(web: Any, octopus: OctopusConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleEndpoint]:
    """The example's endpoint, started."""
    home = tmp_path_factory.mktemp("example")
    told = {"OCTOPUS_BOOTSTRAP_SERVERS": octopus.servers, "OCTOPUS_NAMESPACE": octopus.namespace}
    with ExampleEndpoint(home, web, "", environment=told, name="octopus-demo") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def submitted(endpoint: ExampleEndpoint) -> dict[str, tuple[str, str]]:
    """What the script that submits says of each sample: the task, and how it ended."""
    lines = endpoint.run(EXAMPLE / "fail_five_ways.py", endpoint.id).splitlines()
    heads = [line.removesuffix(")").split(" (task ") for line in lines[::2]]
    return {sample: (task, said.strip()) for (sample, task), said in zip(heads, lines[1::2], strict=True)}


def test_the_endpoint_is_set_up_by_the_commands_of_the_readme(endpoint: ExampleEndpoint) -> None:
    configured, enabled, standing = endpoint.said
    assert "Created profile for endpoint named <octopus-demo>" in configured
    assert enabled.startswith("Endpoint 'octopus-demo' is enabled")
    assert standing.strip() == "octopus-demo: enabled, OctopusEngine"


def test_whoever_submits_reads_what_broke_where_and_what_was_decided(submitted: dict[str, tuple[str, str]]) -> None:
    assert submitted["good"][1] == "good sample analysed"
    said = {sample: submitted[sample][1] for sample in CATEGORIES}
    expected = {sample: f"Octopus: {category} on {HOST}, terminate: " for sample, category in CATEGORIES.items()}
    assert {sample: line[: len(expected[sample])] for sample, line in said.items()} == expected


def test_python_explains_each_failure(endpoint: ExampleEndpoint, submitted: dict[str, tuple[str, str]]) -> None:
    shown = endpoint.run(EXAMPLE / "explain.py")
    for sample, category in CATEGORIES.items():
        assert f"task {submitted[sample][0]}, try 0, on {HOST}" in shown
        assert f"failed   {category}: " in shown
    assert "decided  retry: " in shown
    assert "1 × exec_done" in shown
    assert "5 × failed" in shown


def test_the_command_line_explains_each_failure(
    endpoint: ExampleEndpoint, submitted: dict[str, tuple[str, str]]
) -> None:
    for question in ("failures", "decisions"):
        told = [
            json.loads(line) for line in endpoint.call("octopus", question, "--run-id", "last", "--json").splitlines()
        ]
        assert {one["task_id"] for one in told} == {submitted[sample][0] for sample in CATEGORIES}
    for sample, category in CATEGORIES.items():
        story = endpoint.call("octopus", "explain", "last", submitted[sample][0])
        assert story.startswith(f"Task {submitted[sample][0]} (analyse) failed "), story
        assert f"failed: {category} (" in story
        assert "decided: terminate" in story
        assert endpoint.call("octopus", "explain", "last", submitted[sample][0][:8]) == story


def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_again(
    submitted: dict[str, tuple[str, str]], octopus: OctopusConfig
) -> None:
    task = submitted["killed"][0]
    actions = [decision.action for decision in decisions(task_id=task, config=octopus)]
    assert len(actions) > 1 and actions == ["retry"] * (len(actions) - 1) + ["terminate"]
    assert [failure.try_id for failure in failures(task_id=task, config=octopus)] == list(range(len(actions)))
