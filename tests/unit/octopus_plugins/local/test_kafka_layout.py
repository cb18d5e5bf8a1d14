from __future__ import annotations

import socket
from pathlib import Path

import pytest

from octopus_plugins.errors import BrokerStartError
from octopus_plugins.local.kafka_layout import plan
from octopus_plugins.local.processes import free_port


def test_a_cluster_goes_on_as_it_was(tmp_path: Path) -> None:
    first = plan(tmp_path, 3, True, None)
    first.save(tmp_path)
    assert plan(tmp_path, 3, True, None) == first


def test_a_taken_port_moves_the_cluster_but_not_its_identity(tmp_path: Path) -> None:
    first = plan(tmp_path, 1, False, None)
    first.save(tmp_path)
    with socket.create_server(("127.0.0.1", first.ports[1].clients)):
        second = plan(tmp_path, 1, False, None)
    assert second.cluster_id == first.cluster_id
    assert second.ports[1].clients != first.ports[1].clients


def test_a_port_that_is_asked_for_is_the_first_of_a_row(tmp_path: Path) -> None:
    plan(tmp_path, 3, False, None).save(tmp_path)
    port = free_port()
    assert [ports.clients for ports in plan(tmp_path, 3, False, port).ports.values()] == [port, port + 1, port + 2]


def test_no_id_is_taken_for_an_option(tmp_path: Path) -> None:
    ids = {plan(tmp_path, 1, False, None).cluster_id for _ in range(500)}
    assert len(ids) == 500
    assert not [one for one in ids if one.startswith("-")]


@pytest.mark.parametrize(("nodes", "secure"), [(3, True), (1, False)])
def test_the_data_of_another_cluster_is_left_alone(tmp_path: Path, nodes: int, secure: bool) -> None:
    plan(tmp_path, 1, True, None).save(tmp_path)
    with pytest.raises(BrokerStartError, match=r"made with --nodes 1 --secure.*--purge"):
        plan(tmp_path, nodes, secure, None)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(BrokerStartError, match=r"cluster\.json.*--purge"):
        plan(tmp_path, 1, True, None)
