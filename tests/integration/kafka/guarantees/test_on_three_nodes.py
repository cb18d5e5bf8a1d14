"""A stream of events, none lost, none twice by id, in order: though nodes of a cluster are killed and restarted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric import topic_name
from octopus_plugins.local import ApacheKafka

from .runs import ALL, EVENTS, WHOLE, Run, assert_all_there, counted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

InSync = Callable[[str], None]

RATE = 4000 if WHOLE else 2500


def topic_of(settings: dict[str, Any]) -> str:
    return topic_name(OctopusConfig(**settings), Topic.task_metrics)


def leader_of(cluster: ApacheKafka, settings: dict[str, Any]) -> int:
    return cluster.leader(topic_of(settings))


def test_the_leader_is_killed(
    cluster: ApacheKafka, cluster_settings: dict[str, Any], tmp_path: Path, wait_until_in_sync: InSync
) -> None:
    with Run(cluster_settings, tmp_path / "log", f"--last={EVENTS}", f"--rate={RATE}") as run:
        run.wait(lambda told: told["delivered"] > EVENTS // 4)
        leader = leader_of(cluster, cluster_settings)
        cluster.stop(leader, kill=True)
        told = run.finish()
    assert leader_of(cluster, cluster_settings) != leader
    cluster.start(leader)
    assert counted(told) == ALL
    wait_until_in_sync(topic_of(cluster_settings))
    assert_all_there(OctopusConfig(**cluster_settings), "leader killed", told)


def test_two_of_three_nodes_are_restarted_in_turn(
    cluster: ApacheKafka, cluster_settings: dict[str, Any], tmp_path: Path, wait_until_in_sync: InSync
) -> None:
    with Run(cluster_settings, tmp_path / "log", f"--last={EVENTS}", f"--rate={RATE}") as run:
        run.wait(lambda told: told["delivered"] > EVENTS // 10)
        restarted = []
        for _ in range(2):
            restarted.append(leader_of(cluster, cluster_settings))
            cluster.stop(restarted[-1])
            cluster.start(restarted[-1])
        told = run.finish()
    assert restarted[0] != restarted[1]
    assert counted(told) == ALL
    wait_until_in_sync(topic_of(cluster_settings))
    assert_all_there(OctopusConfig(**cluster_settings), "two of three nodes restarted in turn", told)
