"""MPIFunction through OctopusExecutor, at an endpoint with the host's own engine for MPI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from globus_compute_sdk import MPIFunction
from globus_compute_sdk.serialize import ComputeSerializer

from benchmarks.compute.endpoint import PATIENCE
from globus_compute_hooks import OctopusExecutor
from octopus_plugins import decisions, failures, tasks
from octopus_plugins.config import OctopusConfig

from .told import of

ENGINE = """
type: GlobusMPIEngine
address: 127.0.0.1
max_workers_per_block: 1
mpi_launcher: mpiexec
heartbeat_period: 1
provider:
  type: LocalProvider
  init_blocks: 1
  min_blocks: 1
  max_blocks: 1
  launcher:
    type: SimpleLauncher
  worker_init: "export PATH={site}:$PATH PBS_NODEFILE={site}/nodes"
"""

MPIEXEC = """#!/bin/bash
# What of mpiexec needs no MPI: -n RANKS -ppn RANKS_PER_NODE -hosts HOSTS, then the program, as often as it has ranks.
ranks=$2
shift 6
for ((rank = 0; rank < ranks; rank++)); do PMI_RANK=$rank "$@"; done
"""


@pytest.fixture(scope="module")
def executor(
    start_endpoint: Callable[..., Any],
    recovering: Callable[..., OctopusExecutor],
    octopus: OctopusConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> OctopusExecutor:
    site: Path = tmp_path_factory.mktemp("mpi")
    (site / "nodes").write_text("localhost\n")  # as in a job of PBS: without a scheduler Parsl's pool does not begin
    (site / "mpiexec").write_text(MPIEXEC)
    (site / "mpiexec").chmod(0o755)
    endpoint = start_endpoint(ENGINE.format(site=site))
    executor = recovering(endpoint.id, octopus=octopus)
    executor.serializer = ComputeSerializer()
    return executor


def test_it_runs_once_for_each_rank(executor: OctopusExecutor, octopus: OctopusConfig) -> None:
    executor.resource_specification = {"num_nodes": 1, "ranks_per_node": 2}
    future = executor.submit(MPIFunction("printenv PMI_RANK", name="ranks"))
    answer = future.result(timeout=PATIENCE)
    assert (answer.stdout.split(), answer.returncode) == (["0", "1"], 0)
    told = of(executor, future, tasks, octopus)
    assert [(task.state, task.app) for task in told] == [
        (state, "ranks") for state in ("pending", "launched", "exec_done")
    ]


def test_what_its_resources_may_not_be_is_told_by_the_endpoint_and_not_tried_again(
    executor: OctopusExecutor, octopus: OctopusConfig
) -> None:
    executor.resource_specification = {"num_nodes": 1, "ranks_per_node": 2, "cheese": 3}
    future = executor.submit(MPIFunction("true"))
    assert "cheese" in str(future.exception(timeout=PATIENCE))
    (failure,) = of(executor, future, failures, octopus)
    assert failure.categorization is not None
    assert (failure.categorization.category, failure.resources["cheese"]) == ("bad_input", 3)
    (decision,) = of(executor, future, decisions, octopus)
    assert decision.action == "terminate"
