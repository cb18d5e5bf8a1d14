"""Two deciders of one group on Apache Kafka, while the topic that they share grows, and when one is killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from octopus_plugins import OctopusConfig, decisions
from octopus_plugins.events import Pool, Run, Topic
from octopus_plugins.fabric import Emitter, topic_name

from .hostile_topics import failure

Wait = Callable[..., None]

# The command, which looks for new partitions every second in place of every 30.
_COMMAND = """
from octopus_plugins.fabric.kafka import consumer_group, follower
follower.LOOK_SECONDS = consumer_group.LOOK_SECONDS = 1.0
from octopus_plugins.cli import main
main()
"""


class Member:
    """A decider of the group as a process."""

    def __init__(self, config: OctopusConfig, said: Path) -> None:
        environment = {
            **os.environ,
            "OCTOPUS_PROFILE": "kafka",
            "OCTOPUS_BOOTSTRAP_SERVERS": config.servers,
            "OCTOPUS_NAMESPACE": config.namespace,
            "OCTOPUS_SPOOL_DIR": str(config.spool_dir),
        }
        self._said = said
        command = [sys.executable, "-c", _COMMAND, "--debug", "wrath", "serve", "--group", "deciders"]
        with said.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)

    @property
    def ready(self) -> bool:
        assert self._process.poll() is None, self._said.read_text()
        return "Deciding for" in self._said.read_text()

    @property
    def decided(self) -> list[int]:
        """The tasks that it decided, each as often as it did."""
        return [int(number) for number in re.findall(r" task (\d+) ", self._said.read_text())]

    @property
    def share(self) -> set[str]:
        """The partitions that the group gave it last."""
        given = re.findall(r"gives this member partitions \[(.*)\]", self._said.read_text())
        return set(given[-1].split(", ")) - {""} if given else set()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def members(open_config: OctopusConfig, tmp_path: Path) -> Iterator[Callable[[], Member]]:
    started: list[Member] = []

    def start() -> Member:
        started.append(Member(open_config, tmp_path / f"said-{len(started)}"))
        return started[-1]

    yield start
    for member in started:
        member.kill()


def configured() -> Run:
    pools = (Pool(label="small", observed=True, steerable=True, maximum_nodes=4),)
    return Run(run_id="r", time=time.time(), state="configured", retries=5, pools=pools)


def test_a_group_shares_what_its_topic_gets_and_takes_over_from_a_killed_member(
    open_config: OctopusConfig, members: Callable[[], Member], wait_for: Wait
) -> None:
    config = open_config
    name = topic_name(config, Topic.failures)
    admin = AdminClient({"bootstrap.servers": config.servers})
    admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(30)
    told = 0

    def shares() -> list[set[str]]:
        return sorted((member.share for member in (first, second)), key=len)

    def tell(number: int, *more: Any) -> None:
        """More failures, by a client of its own, which knows of all partitions."""
        nonlocal told
        emitter = Emitter(config)
        emitter.emit(*more, *(failure("r", told + one, memory=True) for one in range(number)))
        assert emitter.flush(90)
        emitter.close(5)
        told += number

    def decided() -> set[int]:
        return {int(one.task_id) for one in decisions(run_id="r", config=config) if one.decider == "service"}

    def all_decided() -> bool:
        return decided() == set(range(told))

    tell(1, configured())
    first, second = members(), members()
    wait_for(lambda: first.ready and second.ready, 60)
    wait_for(lambda: shares() == [set(), {"0"}], 60)
    tell(20)
    wait_for(all_decided, 60)

    admin.create_partitions([NewPartitions(name, 3)])[name].result(30)
    deadline = time.monotonic() + 90
    while set.union(*shares()) != {"0", "1", "2"} or not shares()[0] or set.intersection(*shares()):
        # They go on while the group shares out anew.
        assert time.monotonic() < deadline
        tell(5)
    wait_for(all_decided, 60)

    begin = told
    tell(60)
    wait_for(all_decided, 60)
    by_each = [[task for task in member.decided if task >= begin] for member in (first, second)]
    assert all(by_each), "both have something to do"
    assert sorted(by_each[0] + by_each[1]) == list(range(begin, told)), "nothing was decided twice"

    (first if len(by_each[0]) > len(by_each[1]) else second).kill()
    tell(30)
    wait_for(all_decided, 60)
    ids = [one.id for one in decisions(run_id="r", config=config)]
    assert len(ids) == len(set(ids)) == told
