"""The interchange's own decisions, on a real one whose sockets stay unused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parsl.executors.high_throughput.manager_selector import ManagerSelector

from parsl_monitor.interchange import AVOID, OctopusInterchange
from parsl_monitor.selector import OctopusManagerSelector, deny


class InOrder(ManagerSelector):
    def sort_managers(self, ready_managers: Any, manager_list: set[bytes]) -> list[bytes]:
        return sorted(manager_list, reverse=True)  # the interchange takes from the end


class Radio:
    """Keeps what is sent to the hub."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []

    def send(self, message: tuple[Any, dict[str, Any]]) -> None:
        self.reports.append(message[1])


@pytest.fixture
def denylist(tmp_path: Path) -> Path:
    return tmp_path / "denylist.json"


@pytest.fixture
def interchange(tmp_path: Path, denylist: Path) -> Iterator[OctopusInterchange]:
    made = OctopusInterchange(
        label="small",
        period=60.0,
        interchange_address="127.0.0.1",
        client_address="127.0.0.1",
        client_ports=(9, 9, 9),  # nobody listens there
        worker_port=None,
        worker_port_range=(54000, 55000),
        hub_address=None,
        hub_zmq_port=None,
        heartbeat_threshold=30,
        logdir=str(tmp_path),
        logging_level=40,
        poll_period=10,
        cert_dir=None,
        manager_selector=OctopusManagerSelector(denylist, InOrder()),
        run_id="run",
        log_config=None,
        _check_python_mismatch=True,
    )
    yield made
    made.zmq_context.destroy(0)


@pytest.fixture
def manager(interchange: OctopusInterchange) -> Callable[..., bytes]:
    """Register a manager."""

    def register(name: str, **changes: Any) -> bytes:
        interchange._ready_managers[name.encode()] = {
            "uid": name,
            "hostname": f"node-{name}",
            "active": True,
            "draining": False,
            "block_id": "0",
            "last_heartbeat": time.time(),
            "tasks": [],
            "max_capacity": 8,
            "packages": {"parsl": "1", "numpy": "2", "octopus_plugins": "3", "octopus-plugins": "3"},
            **changes,
        }
        return name.encode()

    return register


@pytest.fixture
def submit(interchange: OctopusInterchange) -> Callable[..., None]:
    """Queue a task as the interchange's own thread does: priority, number, task."""
    numbers = iter(range(1000))

    def queue(task_id: int, *, avoid: tuple[str, ...] = (), patience: float = 60.0, priority: float = 10.0) -> None:
        context = {AVOID: (avoid, time.time() + patience)} if avoid else {}
        interchange.pending_task_queue.add((-priority, -next(numbers), {"task_id": task_id, "context": context}))

    return queue


@pytest.fixture
def serve(interchange: OctopusInterchange) -> Callable[..., list[int]]:
    """The tasks that a manager is given."""

    def get(manager: bytes, count: int = 10) -> list[int]:
        served = interchange.manager_selector.sort_managers(interchange._ready_managers, {manager})
        assert served.pop() == manager
        return [task["task_id"] for task in interchange.get_tasks(count)]

    return get


def test_without_wishes_tasks_go_out_in_their_order(submit: Any, serve: Any, manager: Any) -> None:
    a = manager("a")
    for number in range(4):
        submit(number)
    assert serve(a, 3) == [0, 1, 2]
    assert serve(a) == [3]


def test_a_choosy_task_is_kept_for_another_node(submit: Any, serve: Any, manager: Any) -> None:
    a, b = manager("a"), manager("b")
    submit(1, avoid=("node-a",))
    submit(2)
    assert serve(a) == [2]
    assert serve(b) == [1]


def test_a_choosy_task_keeps_its_place_in_the_queue(submit: Any, serve: Any, manager: Any) -> None:
    a, b = manager("a"), manager("b")
    submit(1, avoid=("node-a",))
    submit(2, avoid=("node-a",))
    submit(3)
    submit(4)
    assert serve(a, 1) == [3]
    assert serve(b) == [1, 2, 4]


def test_priorities_hold_with_wishes(submit: Any, serve: Any, manager: Any) -> None:
    a, b = manager("a"), manager("b")
    submit(1, priority=10)
    submit(2, avoid=("node-a",), priority=0)
    submit(3, priority=0)
    assert serve(a, 1) == [3]
    assert serve(b) == [2, 1]


def test_the_node_it_shuns_gets_it_when_no_other_can(submit: Any, serve: Any, manager: Any, denylist: Path) -> None:
    a = manager("a")
    manager("held", active=False)
    manager("draining", draining=True)
    manager("denied")
    deny(denylist, {"node-denied": time.time() + 60})
    submit(1, avoid=("node-a",))
    assert serve(a) == [1]


def test_a_choosy_task_that_has_waited_long_enough_takes_any_node(submit: Any, serve: Any, manager: Any) -> None:
    a = manager("a")
    manager("b")
    submit(1, avoid=("node-a",), patience=-1.0)
    assert serve(a) == [1]


def test_it_shuns_several_nodes(submit: Any, serve: Any, manager: Any) -> None:
    a, b, c = manager("a"), manager("b"), manager("c")
    submit(1, avoid=("node-a", "node-b"))
    assert serve(a) == [] and serve(b) == []
    assert serve(c) == [1]


def test_the_quick_way_is_taken_again_once_no_task_is_choosy(
    interchange: OctopusInterchange, submit: Any, serve: Any, manager: Any
) -> None:
    a, b = manager("a"), manager("b")
    submit(1, avoid=("node-a",))
    serve(a)
    serve(a)
    assert interchange.pending_task_queue.choosy == 1
    serve(b)
    assert interchange.pending_task_queue.choosy == 0


def test_what_does_not_change_is_reported_once_in_a_period(interchange: OctopusInterchange, manager: Any) -> None:
    radio = Radio()
    record = interchange._ready_managers[manager("a")]
    for task in range(100):
        record["tasks"].append(task)
        interchange._send_monitoring_info(radio, record)
    assert len(radio.reports) == 1
    interchange.period = 0.0
    interchange._reported.clear()
    for _ in range(2):
        interchange._send_monitoring_info(radio, record)
    assert len(radio.reports) == 3


@pytest.mark.parametrize("change", [{"active": False}, {"draining": True}])
def test_a_change_is_reported_at_once(interchange: OctopusInterchange, manager: Any, change: dict[str, bool]) -> None:
    radio = Radio()
    record: Any = interchange._ready_managers[manager("a")]
    interchange._send_monitoring_info(radio, record)
    record.update(change)
    interchange._send_monitoring_info(radio, record)
    assert len(radio.reports) == 2


def test_a_report_names_the_executor_and_leaves_out_foreign_packages(
    interchange: OctopusInterchange, manager: Any
) -> None:
    radio = Radio()
    interchange._send_monitoring_info(radio, interchange._ready_managers[manager("a")])
    (report,) = radio.reports
    assert report["executor_label"] == "small"
    assert set(report["packages"]) == {"parsl", "octopus-plugins"}
    assert report["overdue"] is False
    assert "numpy" in interchange._ready_managers[b"a"]["packages"]


def test_tasks_that_were_passed_over_are_counted_once(
    interchange: OctopusInterchange, manager: Callable[..., bytes], submit: Callable[..., None]
) -> None:
    manager("a")
    manager("b")
    for task in range(3):
        submit(task, avoid=("node-a",))
    for _ in range(5):
        interchange.serving = b"a"
        assert interchange.get_tasks(8) == []
    assert interchange.pending_task_queue.choosy == 3
    interchange.serving = b"b"
    assert len(interchange.get_tasks(8)) == 3
    assert interchange.pending_task_queue.choosy == 0
