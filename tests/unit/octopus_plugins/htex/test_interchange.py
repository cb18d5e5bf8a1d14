"""The interchange's own decisions, on a real one whose sockets stay unused."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from parsl.executors.high_throughput.manager_selector import ManagerSelector

from octopus_plugins.htex.interchange import interchange as subject
from octopus_plugins.htex.interchange.interchange import OctopusInterchange
from octopus_plugins.htex.interchange.rationing import TRIAL_PERIOD
from octopus_plugins.htex.interchange.selector import HostStanding, OctopusManagerSelector, publish
from octopus_plugins.htex.interchange.starting import START_SECONDS, STARTS
from octopus_plugins.htex.interchange.starving import PROBE_FIRST
from octopus_plugins.htex.observation import READY, STARTING, TAG
from octopus_plugins.htex.placement_hints import (
    APP,
    AVOID,
    AVOID_BLOCKS,
    AVOID_IDLE_SECONDS,
    AVOID_SECONDS,
    PATIENCE,
    PREFER,
    PREFER_FULL_SECONDS,
    PREFER_SECONDS,
)
from octopus_plugins.htex.reports import ONLY_PLACEMENTS, WITHHELD


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
def standing(tmp_path: Path) -> Path:
    return tmp_path / "standing.json"


@pytest.fixture
def interchange(tmp_path: Path, standing: Path) -> Iterator[OctopusInterchange]:
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
        manager_selector=OctopusManagerSelector(standing, InOrder()),
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
    numbers = iter(range(1_000_000))

    def queue(
        task_id: int,
        *,
        avoid: tuple[str, ...] = (),
        avoid_blocks: tuple[str, ...] = (),
        patience: float = AVOID_SECONDS,
        app: str | None = None,
        prefer: tuple[str, ...] = (),
        waited: float = 0.0,
        priority: float = 10.0,
    ) -> None:
        context: dict[str, Any] = {AVOID: (avoid, time.time() + patience)} if avoid else {}
        if avoid or avoid_blocks:
            context[PATIENCE] = time.time() + AVOID_IDLE_SECONDS
        if app:
            context[APP] = app
        if avoid_blocks:
            context[AVOID_BLOCKS] = (avoid_blocks, time.time() + patience)
        if prefer:
            context[PREFER] = (prefer, time.time() - waited + PREFER_SECONDS)
        interchange.pending_task_queue.add((-priority, -next(numbers), {"task_id": task_id, "context": context}))

    return queue


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Both of the process's clocks, by hand."""
    now = [1000.0]
    monkeypatch.setattr(subject.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(subject.time, "time", lambda: now[0])
    yield now


@pytest.fixture
def serve(interchange: OctopusInterchange) -> Callable[..., list[int]]:
    """The tasks that a manager is given."""

    def get(manager: bytes, count: int = 10) -> list[int]:
        served = interchange.manager_selector.sort_managers(interchange._ready_managers, {manager})
        assert served.pop() == manager
        tasks = [task["task_id"] for task in interchange.get_tasks(count)]
        interchange._ready_managers[manager]["tasks"].extend(tasks)
        return tasks

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


def test_the_node_it_shuns_gets_it_when_no_other_can(submit: Any, serve: Any, manager: Any, standing: Path) -> None:
    a = manager("a")
    manager("held", active=False)
    manager("draining", draining=True)
    manager("denied")
    publish(standing, HostStanding(denied={"node-denied": time.time() + 60}))
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
    assert not interchange.pending_task_queue.is_plain
    serve(b)
    assert interchange.pending_task_queue.is_plain


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


def test_where_each_task_is_can_be_had_at_once_and_is_no_heartbeat(
    interchange: OctopusInterchange, manager: Any
) -> None:
    interchange.placements = True
    radio = Radio()
    record = interchange._ready_managers[manager("a")]
    for task in range(3):
        record["tasks"].append(task)
        for _ in range(2):  # as in each turn of a loop in which it gets none
            interchange._send_monitoring_info(radio, record)
    assert radio.reports[-1]["tasks"] == [0, 1, 2]
    assert [report[ONLY_PLACEMENTS] for report in radio.reports] == [False, True, True]


@pytest.mark.parametrize("change", [{"active": False}, {"draining": True}])
def test_a_change_is_reported_at_once(interchange: OctopusInterchange, manager: Any, change: dict[str, bool]) -> None:
    radio = Radio()
    record: Any = interchange._ready_managers[manager("a")]
    interchange._send_monitoring_info(radio, record)
    record.update(change)
    interchange._send_monitoring_info(radio, record)
    assert len(radio.reports) == 2


def test_a_report_names_our_package_however_its_distribution_is_spelled(
    interchange: OctopusInterchange, manager: Any
) -> None:
    radio = Radio()
    record = interchange._ready_managers[manager("a", packages={"Octopus_Plugins": "3", "numpy": "2"})]
    interchange._send_monitoring_info(radio, record)
    assert radio.reports[0]["packages"] == {"octopus-plugins": "3"}


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
    assert len(interchange.pending_task_queue) == 3
    interchange.serving = b"b"
    assert len(interchange.get_tasks(8)) == 3
    assert len(interchange.pending_task_queue) == 0


def test_a_task_waits_for_the_node_that_it_prefers(submit: Any, serve: Any, manager: Any) -> None:
    a, b = manager("a"), manager("b")
    submit(1, prefer=("node-a",))
    submit(2)
    assert serve(b) == [2]
    assert serve(a) == [1]


def test_it_takes_any_node_when_it_has_waited_for_its_own(submit: Any, serve: Any, manager: Any) -> None:
    manager("a")
    submit(1, prefer=("node-a",), waited=PREFER_SECONDS)
    assert serve(manager("b")) == [1]


def test_it_waits_less_for_a_node_that_is_full(submit: Any, serve: Any, manager: Any, clock: list[float]) -> None:
    manager("a", max_capacity=1, tasks=[99])
    b = manager("b")
    submit(1, prefer=("node-a",))
    clock[0] += PREFER_FULL_SECONDS / 2
    submit(2, prefer=("node-a",))
    clock[0] += PREFER_FULL_SECONDS * 0.6
    assert serve(b) == [1]
    clock[0] += PREFER_FULL_SECONDS * 0.6
    assert serve(b) == [2]


def test_a_task_is_kept_for_another_block_of_the_same_node(submit: Any, serve: Any, manager: Any) -> None:
    shunned, other = manager("a", hostname="node", block_id="0"), manager("b", hostname="node", block_id="1")
    submit(1, avoid_blocks=("0",))
    submit(2)
    assert serve(shunned) == [2]
    assert serve(other) == [1]


def test_the_block_it_shuns_gets_it_when_no_other_can_or_it_has_waited(submit: Any, serve: Any, manager: Any) -> None:
    shunned = manager("a", block_id="0")
    submit(1, avoid_blocks=("0",))
    assert serve(shunned) == [1]
    manager("b", block_id="1")
    submit(2, avoid_blocks=("0",), patience=-1.0)
    assert serve(shunned) == [2]


@pytest.mark.parametrize("gone", [{"active": False}, {"draining": True}, {"hostname": "node-c"}])
def test_it_does_not_wait_for_a_node_that_cannot_come(submit: Any, serve: Any, manager: Any, gone: Any) -> None:
    manager("a", **gone)
    submit(1, prefer=("node-a",))
    assert serve(manager("b")) == [1]


def test_of_several_preferred_nodes_the_best_with_room_gets_it(submit: Any, serve: Any, manager: Any) -> None:
    manager("a", max_capacity=1, tasks=[99])
    b, c = manager("b"), manager("c")
    submit(1, prefer=("node-a", "node-b", "node-c"))
    assert serve(c) == []
    assert serve(b) == [1]


def test_a_node_that_it_must_avoid_is_no_preferred_one(submit: Any, serve: Any, manager: Any) -> None:
    a, b = manager("a"), manager("b")
    submit(1, avoid=("node-a",), prefer=("node-a",), waited=PREFER_SECONDS)
    assert serve(a) == []
    assert serve(b) == [1]


def test_a_node_on_probation_gets_one_task_at_a_time(
    interchange: OctopusInterchange, submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a, b = manager("a"), manager("b")
    twin = manager("a2", hostname="node-a")
    publish(standing, HostStanding(probation=("node-a",)))
    for number in range(5):
        submit(number)
    assert serve(a) == [0]
    assert serve(a) == []
    assert serve(twin) == []
    assert serve(b, 2) == [1, 2]
    clock[0] += 60.0
    assert serve(twin) == []
    interchange._ready_managers[a]["tasks"].clear()
    assert serve(twin) == [3]
    interchange._ready_managers[twin]["tasks"].clear()
    assert serve(a) == []  # that was quick: first the submit side is heard
    clock[0] += TRIAL_PERIOD
    assert serve(a) == [4]


def test_a_node_on_probation_is_filled_where_no_other_has_room(
    submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a = manager("a")
    manager("b", tasks=[99], max_capacity=1)
    manager("denied")
    publish(standing, HostStanding(probation=("node-a",), denied={"node-denied": clock[0] + 600}))
    for number in range(12):
        submit(number)
    given = [len(serve(a, 8)), len(serve(a, 7))]
    clock[0] += PROBE_FIRST
    given.append(len(serve(a, 7)))
    assert given == [1, 0, 7]


def test_where_all_nodes_fare_badly_none_is_held_back(submit: Any, serve: Any, manager: Any, standing: Path) -> None:
    a = manager("a")
    manager("b")
    publish(standing, HostStanding(steps={"node-a": 0, "node-b": 5}))
    for number in range(3):
        submit(number)
    assert serve(a) == [0, 1, 2]


def test_what_a_node_is_denied_for_one_app_stays_in_its_place_and_other_apps_pass_it(
    interchange: OctopusInterchange, submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a, b = manager("a"), manager("b")
    for number in range(6):
        submit(number, app="fold" if number < 4 else "dock")
    submit(6)
    publish(standing, HostStanding(denied_for={"fold": {"node-a": clock[0] + 600}}))
    assert serve(a, 2) == [4, 5]
    assert serve(b, 3) == [0, 1, 2]
    submit(7, app="dock")
    assert serve(a) == [6, 7]
    assert interchange.rationing.applies_to("node-a")
    assert serve(b) == [3]
    assert not interchange.rationing.applies_to("node-a")  # nothing waits that it is denied


def test_a_long_queue_of_a_denied_app_hides_nothing_behind_it(
    interchange: OctopusInterchange, submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a, _ = manager("a"), manager("b", tasks=[99], max_capacity=1)
    for number in range(5000):
        submit(number, app="fold")
    submit(5000, app="dock")
    publish(standing, HostStanding(denied_for={"fold": {"node-a": clock[0] + 600}}))
    assert serve(a) == [5000]
    looked_at: list[Any] = []
    heads = interchange.pending_task_queue.heads
    interchange.pending_task_queue.heads = lambda: looked_at.extend(heads()) or heads()  # type: ignore[method-assign]
    assert serve(a) == []
    assert len(looked_at) == 1


def probes(serve: Any, manager: bytes, clock: list[float], seconds: float) -> list[float]:
    """When a manager is given a task that ends at once, in seconds from now."""
    begin, given = clock[0], []
    while clock[0] < begin + seconds:
        given += [round(clock[0] - begin, 2) for _ in serve(manager, 8)]
        clock[0] += 0.01
    return given


def free(interchange: OctopusInterchange, serve: Any) -> Callable[..., list[int]]:
    """Serve a manager whose tasks end at once."""

    def get(manager: bytes, count: int) -> list[int]:
        given: list[int] = serve(manager, count)
        interchange._ready_managers[manager]["tasks"].clear()
        return given

    return get


@pytest.mark.parametrize("app", [None, "fold"])
def test_a_denied_node_gets_probes_while_no_other_has_room(
    interchange: OctopusInterchange,
    submit: Any,
    serve: Any,
    manager: Any,
    standing: Path,
    clock: list[float],
    app: str | None,
) -> None:
    a, b = manager("a"), manager("b", max_capacity=1)
    forever = {"node-a": clock[0] + 600}
    publish(standing, HostStanding(denied_for={app: forever}) if app else HostStanding(denied=forever))
    for number in range(200):
        submit(number, app=app)
    assert probes(free(interchange, serve), a, clock, 5.0) == []  # the other one has room
    assert serve(b, 1) == [0]
    given = probes(free(interchange, serve), a, clock, 7.2)
    assert given == pytest.approx([1.0, 3.0, 7.0], abs=0.1)
    interchange._ready_managers[b]["tasks"].clear()
    assert probes(free(interchange, serve), a, clock, 4.0) == []
    interchange._ready_managers[b]["tasks"].append(99)
    assert probes(free(interchange, serve), a, clock, 1.2) == pytest.approx([1.0], abs=0.03)


def test_a_node_that_is_denied_by_mistake_and_has_long_tasks_is_filled(
    interchange: OctopusInterchange, submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a = manager("a", max_capacity=8)
    manager("b", tasks=[99], max_capacity=1)
    publish(standing, HostStanding(denied={"node-a": clock[0] + 600}))
    for number in range(50):
        submit(number)
    begin = clock[0]
    while len(interchange._ready_managers[a]["tasks"]) < 8:
        serve(a, 8 - len(interchange._ready_managers[a]["tasks"]))
        clock[0] += 0.01
    assert clock[0] - begin < 3.5


@pytest.mark.parametrize("change", [{"active": False}, {"draining": True}])
def test_where_every_node_that_is_up_is_denied_it_is_as_if_none_were(
    submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float], change: dict[str, bool]
) -> None:
    a, b = manager("a"), manager("b")
    manager("c", **change)
    until = clock[0] + 600
    publish(standing, HostStanding(denied={"node-a": until}, denied_for={"fold": {"node-b": until}}))
    for number in range(4):
        submit(number, app="fold")
    submit(4, app="dock")
    assert serve(a, 1) == [0]
    assert serve(b, 2) == [1, 2]
    assert serve(a, 5) == [3]
    assert serve(b) == [4]


def test_a_task_whose_only_other_node_is_denied_to_it_takes_the_one_that_it_avoids(
    submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    manager("denied")
    a = manager("a")
    publish(standing, HostStanding(denied_for={"fold": {"node-denied": clock[0] + 600}}))
    submit(1, avoid=("node-a",), app="fold")
    assert serve(a) == [1]


def test_a_node_on_probation_is_filled_with_what_the_others_are_denied(
    submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a = manager("a")
    manager("b")  # has room, but not for this app
    publish(standing, HostStanding(probation=("node-a",), denied_for={"fold": {"node-b": clock[0] + 600}}))
    for number in range(3):
        submit(number, app="fold")
    assert serve(a) == [0, 1, 2]


def test_a_task_does_not_wait_beside_an_idle_node_that_it_avoids(
    submit: Any, serve: Any, manager: Any, clock: list[float]
) -> None:
    a, _ = manager("a"), manager("b", tasks=[99], max_capacity=1)
    submit(1, avoid=("node-a",))
    submit(2)
    assert serve(a) == [2]
    clock[0] += AVOID_IDLE_SECONDS - 0.1
    assert serve(a) == []
    clock[0] += 0.2
    submit(3)
    assert serve(a, 1) == [3]  # a slot that another task can use is not idle
    assert serve(a) == [1]


def test_a_node_that_a_person_keeps_out_is_not_even_probed(
    submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a, _ = manager("a"), manager("b", tasks=[99], max_capacity=1)
    publish(standing, HostStanding(denied={"node-a": clock[0] + 600}, barred=("node-a",)))
    submit(1)
    for _ in range(200):
        clock[0] += 0.1
        assert serve(a) == []


def test_a_paused_run_gets_a_few_tasks_at_a_time_on_any_node(
    submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a, b = manager("a"), manager("b")
    publish(standing, HostStanding(paused=True))
    for number in range(9):
        submit(number)
    assert serve(a) == [0]
    assert serve(b) == []  # one a second
    clock[0] += 1.1
    assert serve(b) == [1]
    clock[0] += 1.1
    publish(standing, HostStanding())
    clock[0] += 0.1
    assert serve(a) == [2, 3, 4, 5, 6, 7, 8]


def test_it_waits_on_where_another_node_has_room(submit: Any, serve: Any, manager: Any, clock: list[float]) -> None:
    a, b = manager("a"), manager("b")
    submit(1, avoid=("node-a",))
    clock[0] += AVOID_IDLE_SECONDS + 1.0
    assert serve(a) == []
    assert serve(b) == [1]


def test_any_number_of_tasks_that_avoid_a_node_hides_nothing_behind_them(
    submit: Any, serve: Any, manager: Any, clock: list[float]
) -> None:
    a, _ = manager("a"), manager("b", tasks=[99], max_capacity=1)
    for number in range(1000):
        submit(number, avoid=("node-a",))
    submit(1000)
    assert serve(a) == [1000]


def test_a_probe_is_not_a_task_that_has_just_failed_there(
    submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a, _ = manager("a"), manager("b", tasks=[99], max_capacity=1)
    publish(standing, HostStanding(denied={"node-a": clock[0] + 600}))
    submit(1, avoid=("node-a",), priority=0)
    submit(2)
    serve(a)
    clock[0] += PROBE_FIRST
    assert serve(a) == [2]


def test_what_a_denied_node_is_kept_idle_for_is_reported(
    interchange: OctopusInterchange, submit: Any, serve: Any, manager: Any, standing: Path, clock: list[float]
) -> None:
    a = manager("a", max_capacity=4)
    b = manager("b", tasks=[99], max_capacity=1)
    publish(standing, HostStanding(denied={"node-a": clock[0] + 600}))
    for number in range(2):
        submit(number)
    radio = Radio()
    for _ in range(95):
        serve(a, 4)
        for each in (a, b):
            interchange._send_monitoring_info(radio, interchange._ready_managers[each])
        clock[0] += 0.01
    assert interchange.rationing.withheld("node-a") == pytest.approx(2 * 0.94)
    reported = {report["hostname"]: report.get(WITHHELD) for report in radio.reports}
    assert reported["node-a"] == pytest.approx(1.0, abs=0.05)
    assert reported["node-b"] is None
    assert len(radio.reports) == 3


def test_probation_holds_back_nothing_where_no_other_node_is_well(
    submit: Any, serve: Any, manager: Any, standing: Path
) -> None:
    a = manager("a")
    manager("b", active=False)
    manager("c")
    publish(standing, HostStanding(probation=("node-a",), denied={"node-c": time.time() + 60}))
    for number in range(3):
        submit(number)
    assert serve(a) == [0, 1, 2]


@pytest.fixture
def tell(interchange: OctopusInterchange) -> Iterator[Callable[..., None]]:
    """Let a manager's pool say something of a worker, as it comes in from a manager: the hub gets it or not."""

    sockets: dict[str, Any] = {}

    def say(radio: Radio, manager: str, kind: str, worker: int) -> None:
        if manager not in sockets:
            sockets[manager] = connected(interchange, manager)
        message = {"kind": kind, "executor": "small", "place": {"manager": manager, "worker_id": worker}}
        sockets[manager].send(pickle.dumps({"type": "monitoring", "payload": (TAG, message)}))
        assert interchange.manager_sock.poll(10_000)
        interchange.socks = {interchange.manager_sock: zmq.POLLIN}
        interchange.process_manager_socket_message(set(), radio, None)

    yield say
    for socket in sockets.values():
        socket.close(0)


@pytest.mark.parametrize("avoid", [(), ("node-c",)], ids=["plain", "choosy"])
def test_a_slot_whose_worker_starts_gets_no_task_until_it_is_there(
    interchange: OctopusInterchange, submit: Any, serve: Any, manager: Any, tell: Any, avoid: tuple[str, ...]
) -> None:
    a = manager("a", max_capacity=2)
    b = manager("b", max_capacity=2)
    manager("c", max_capacity=2)
    radio = Radio()
    tell(radio, "a", STARTING, 1)
    tell(radio, "a", STARTING, 1)  # said twice, it is one worker
    for number in range(4):
        submit(number, avoid=avoid)
    assert serve(a, 2) == [0]
    assert serve(a, 1) == []
    assert serve(b, 2) == [1, 2]
    tell(radio, "a", READY, 1)
    assert serve(a, 1) == [3]
    assert radio.reports == []
    interchange._send_monitoring_info(radio, interchange._ready_managers[a])
    assert STARTS not in radio.reports[0]


def test_a_worker_that_does_not_come_holds_its_slot_for_seconds_only(
    submit: Any, serve: Any, manager: Any, tell: Any, clock: list[float]
) -> None:
    a = manager("a", max_capacity=1)
    tell(Radio(), "a", STARTING, 0)
    submit(1)
    clock[0] += START_SECONDS - 0.01
    assert serve(a, 1) == []
    clock[0] += 0.01
    assert serve(a, 1) == [1]


def test_a_task_does_not_wait_for_a_node_whose_worker_starts(
    submit: Any, serve: Any, manager: Any, tell: Any, clock: list[float]
) -> None:
    """Its patience is over, and what it avoids has room: the other node only seems to have some."""
    a = manager("a", max_capacity=1)
    manager("b", max_capacity=1)
    submit(1, avoid=("node-a",))
    clock[0] += AVOID_IDLE_SECONDS
    assert serve(a, 1) == []
    tell(Radio(), "b", STARTING, 0)
    assert serve(a, 1) == [1]


def test_what_else_a_pool_says_goes_to_the_hub(manager: Any, tell: Any) -> None:
    manager("a")
    radio = Radio()
    tell(radio, "a", "heartbeat", 0)
    tell(radio, "unknown", STARTING, 0)
    assert [report["kind"] for report in radio.reports] == ["heartbeat"]


def test_a_manager_whose_connection_is_closed_is_lost_after_a_grace(
    interchange: OctopusInterchange, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real connection: one that closes as a killed process's does, beside one that stays."""
    clock = [1000.0]
    monkeypatch.setattr(subject.time, "monotonic", lambda: clock[0])
    here, gone = (connected(interchange, name) for name in ("here", "gone"))
    manager("here")
    manager("gone", tasks=[7])
    lost: list[bytes] = []
    monkeypatch.setattr(interchange.results_outgoing, "send", lost.append)
    interchange.expire_bad_managers(set(), None)
    assert len(interchange._ready_managers) == 2
    gone.close(0)
    deadline = time.perf_counter() + 10
    while interchange._reaches(b"gone"):
        assert time.perf_counter() < deadline
        time.sleep(0.01)
    for _ in range(3):
        clock[0] += subject.PROBE_PERIOD
        assert (b"gone" in interchange._ready_managers) is (clock[0] - 1002.0 <= subject.PROBE_GRACE)
        interchange.expire_bad_managers(set(), None)
    assert set(interchange._ready_managers) == {b"here"}
    assert [pickle.loads(report)["task_id"] for report in lost] == [7]
    here.close(0)


def test_a_connection_that_comes_back_within_the_grace_is_not_lost(
    interchange: OctopusInterchange, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(subject.time, "monotonic", lambda: clock[0])
    reaches = iter([False, True, False, False, True])
    monkeypatch.setattr(interchange, "_reaches", lambda manager_id: next(reaches))
    manager("a")
    for _ in range(5):
        clock[0] += subject.PROBE_PERIOD
        interchange.expire_bad_managers(set(), None)
    assert b"a" in interchange._ready_managers


def connected(interchange: OctopusInterchange, name: str) -> Any:
    """A manager's socket, known to the interchange."""
    socket = interchange.zmq_context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, name.encode())
    socket.connect(f"tcp://127.0.0.1:{interchange.worker_port}")
    socket.send(b"hello")
    assert interchange.manager_sock.poll(10_000)
    interchange.manager_sock.recv_multipart()
    return socket
