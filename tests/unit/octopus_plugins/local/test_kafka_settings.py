from __future__ import annotations

from pathlib import Path

import pytest

from octopus_plugins.local.kafka_settings import Ports, server_properties


def settings(node: int, nodes: int, *, secure: bool = False, **changes: str) -> dict[str, str]:
    ports = {one: Ports(9000 + one, 9100 + one, 9200 + one) for one in range(1, nodes + 1)}
    text = server_properties(node, ports, Path("/data"), Path("/certificates") if secure else None, changes)
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize(("nodes", "copies", "in_sync"), [(1, "1", "1"), (2, "2", "1"), (3, "3", "2"), (5, "3", "2")])
def test_copies_are_as_many_as_the_nodes_allow(nodes: int, copies: str, in_sync: str) -> None:
    found = settings(1, nodes)
    names = ("default", "offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    assert {found[f"{name}.replication.factor"] for name in names} == {copies}
    assert {found["min.insync.replicas"], found["transaction.state.log.min.isr"]} == {in_sync}


def test_every_node_knows_all_controllers_and_listens_on_its_own_ports() -> None:
    found = settings(2, 3)
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9101,2@127.0.0.1:9102,3@127.0.0.1:9103"
    assert found["listeners"] == "CLIENTS://127.0.0.1:9002,CONTROLLER://127.0.0.1:9102"


def test_nothing_listens_beyond_this_machine_or_without_protection_in_a_secure_cluster() -> None:
    found = settings(1, 1, secure=True)
    assert all("://127.0.0.1:" in listener for listener in found["listeners"].split(","))
    assert "PLAINTEXT" not in found["listener.security.protocol.map"]
    assert found["allow.everyone.if.no.acl.found"] == "false"
    for listener in ("internal", "controller"):
        assert found[f"listener.name.{listener}.ssl.client.auth"] == "required"


def test_a_change_replaces_a_setting_and_cannot_smuggle_in_another() -> None:
    found = settings(1, 1, **{"num.partitions": "7", "extra": "one\nsuper.users=User:mallory"})
    assert found["num.partitions"] == "7"
    assert "super.users" not in found
