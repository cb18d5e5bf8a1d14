"""The two systems: an endpoint and an executor, as a user of each configures them."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import Any

from globus_compute_sdk import Client, Executor
from globus_compute_sdk.serialize import ComputeSerializer, DillCodeSource
from globus_sdk import AccessTokenAuthorizer

from benchmarks.compute import service
from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.configuring import OURS
from benchmarks.resilience.nodes import entry
from octopus_plugins.config import OctopusConfig

ENGINE = """
type: {type}
address: 127.0.0.1
max_workers_per_node: {workers}
cores_per_worker: 0.01
max_retries_on_system_failure: {retries}
# As short for both: the host takes a minute and two by default.
heartbeat_period: 1
heartbeat_threshold: 15
job_status_kwargs: {{strategy_period: 0.5}}
provider:
  type: LocalProvider
  init_blocks: {blocks}
  min_blocks: {blocks}
  max_blocks: {blocks}
  worker_init: |
{worker_init}
"""

OCTOPUS = """
octopus:
  profile: local
  bootstrap_servers: "{address}"
  namespace: {namespace}
"""


def engine(case: Case, system: str, directory: Path, octopus: OctopusConfig) -> str:
    """The engine's block of the endpoint's template, as YAML; ours differs by its type and its own block."""
    lines = [case.worker_init or "true"]
    if case.named_nodes:
        lines.append(entry("node", None, {}, directory))
    text = ENGINE.format(
        type="OctopusEngine" if system == OURS else "GlobusComputeEngine",
        workers=case.workers,
        retries=case.retries,
        blocks=case.blocks,
        worker_init=indent("\n".join(lines), "    "),
    )
    if system == OURS:
        text += OCTOPUS.format(address=octopus.bootstrap_servers, namespace=octopus.namespace)
    return text


def executor(case: Case, system: str, octopus: OctopusConfig, endpoint: str, second: str | None = None) -> Executor:
    """The executor that submits to an endpoint; with a second one, ours may climb to it."""
    client = Client(authorizer=AccessTokenAuthorizer(service.token(service.USER)), do_version_check=False)
    options: dict[str, Any] = {"endpoint_id": endpoint, "client": client, "api_burst_limit": 100}
    if system == OURS:
        from globus_compute_hooks import OctopusExecutor

        if second is not None:
            options["ladder"] = [endpoint, second]
        made: Executor = OctopusExecutor(**options, octopus=octopus, retries=case.executor_retries)
    else:
        made = Executor(**options)
    # By their source: workers cannot import the benchmarks.
    made.serializer = ComputeSerializer(strategy_code=DillCodeSource())  # type: ignore[no-untyped-call]
    return made
