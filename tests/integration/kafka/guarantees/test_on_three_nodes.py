"""100,000 events, none lost, none twice by id, in order: though nodes of a cluster are killed and restarted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric import topic_name
from octopus_plugins.local import ApacheKafka

from .runs import ALL, EVENTS, Run, assert_all_there, counted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RATE = 4000


@pytest.fixture(scope="module")
def cluster(kafka_tools: None) -> Iterator[ApacheKafka]:
    """Three secure nodes: three copies of each record, of which two must be written."""
    with ApacheKafka(nodes=3, secure=True) as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: ApacheKafka, namespace: str, tmp_path: Path) -> dict[str, Any]:
    """A user of the cluster with topics of its own."""
    settings = cluster.add_user(namespace)
    cluster.create_topics(namespace)
    return {**settings, "spool_dir": tmp_path / "spool"}


def leader_of(cluster: ApacheKafka, settings: dict[str, Any]) -> int:
    return cluster.leader(topic_name(OctopusConfig(**settings), Topic.task_metrics))


def test_the_leader_is_killed(cluster: ApacheKafka, settings: dict[str, Any], tmp_path: Path) -> None:
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", f"--rate={RATE}") as run:
        run.wait(lambda told: told["delivered"] > EVENTS // 4)
        leader = leader_of(cluster, settings)
        cluster.stop(leader, kill=True)
        told = run.finish()
    assert leader_of(cluster, settings) != leader
    cluster.start(leader)
    assert counted(told) == ALL
    assert_all_there(OctopusConfig(**settings), "leader killed", told)


def test_two_of_three_nodes_are_restarted_in_turn(
    cluster: ApacheKafka, settings: dict[str, Any], tmp_path: Path
) -> None:
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", f"--rate={RATE}") as run:
        run.wait(lambda told: told["delivered"] > EVENTS // 10)
        restarted = []
        for _ in range(2):
            restarted.append(leader_of(cluster, settings))
            cluster.stop(restarted[-1])
            cluster.start(restarted[-1])
        told = run.finish()
    assert restarted[0] != restarted[1]
    assert counted(told) == ALL
    assert_all_there(OctopusConfig(**settings), "two of three nodes restarted in turn", told)
