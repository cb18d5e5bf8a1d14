from __future__ import annotations

import json
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from parsl.executors.high_throughput.manager_selector import ManagerSelector

from octopus_plugins.htex.interchange import selector
from octopus_plugins.htex.interchange.selector import HostStanding, OctopusManagerSelector, publish
from octopus_plugins.htex.placement_hints import MAX_APP
from octopus_plugins.wrath.history.node_standing import Standing


def deny(path: Path, hosts: dict[str, float]) -> None:
    publish(path, HostStanding(denied=hosts))


class InOrder(ManagerSelector):
    def sort_managers(self, ready_managers: Any, manager_list: set[bytes]) -> list[bytes]:
        return sorted(manager_list)


def managers(**hosts: str) -> dict[bytes, dict[str, Any]]:
    return {
        name.encode(): {"hostname": host, "active": True, "draining": False, "tasks": [], "max_capacity": 2}
        for name, host in hosts.items()
    }


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(selector, "CHECK_PERIOD", 0.0)
    return tmp_path / "standing.json"


def test_with_no_list_every_manager_gets_tasks(path: Path) -> None:
    ready = managers(a="node-a", b="node-b")
    assert OctopusManagerSelector(path, InOrder()).sort_managers(ready, set(ready)) == [b"a", b"b"]


def test_managers_of_denied_nodes_are_left_out(path: Path) -> None:
    ready = managers(a="node-a", b="node-b", c="node-a")
    deny(path, {"node-a": time.time() + 60})
    assert OctopusManagerSelector(path, InOrder()).sort_managers(ready, set(ready)) == [b"b"]


def test_a_denial_ends_at_its_time(path: Path) -> None:
    ready = managers(a="node-a", b="node-b")
    deny(path, {"node-a": time.time() - 1})
    assert OctopusManagerSelector(path, InOrder()).sort_managers(ready, set(ready)) == [b"a", b"b"]


def test_a_new_list_replaces_the_old_one(path: Path) -> None:
    chosen = OctopusManagerSelector(path)
    deny(path, {"node-a": time.time() + 60})
    assert chosen.shunned().denied == {"node-a"}
    deny(path, {"node-b": time.time() + 60})
    assert chosen.shunned().denied == {"node-b"}


@pytest.mark.parametrize(
    "text", ["", '{"denied": {"node-b": 99', "[]", '{"denied": {"node-b": "soon"}}', '{"probation": 1}', "\x00\x01"]
)
def test_a_torn_or_foreign_file_leaves_what_was_known(path: Path, text: str) -> None:
    chosen = OctopusManagerSelector(path)
    deny(path, {"node-a": time.time() + 60})
    assert chosen.shunned().denied == {"node-a"}
    path.write_text(text, encoding="utf-8")
    assert chosen.shunned().denied == {"node-a"}
    deny(path, {})
    assert chosen.shunned().denied == set()


def test_where_every_node_is_denied_they_get_tasks_all_the_same(path: Path) -> None:
    ready = managers(a="node-a", b="node-b")
    deny(path, dict.fromkeys(("node-a", "node-b"), time.time() + 60))
    assert OctopusManagerSelector(path, InOrder()).sort_managers(ready, set(ready)) == [b"a", b"b"]


def test_a_denied_node_waits_while_another_is_only_busy(path: Path) -> None:
    ready = managers(a="node-a", b="node-b")
    deny(path, {"node-a": time.time() + 60})
    assert OctopusManagerSelector(path, InOrder()).sort_managers(ready, {b"a"}) == []


@pytest.mark.parametrize("change", [{"active": False}, {"draining": True}])
def test_a_denied_node_gets_tasks_where_the_others_never_will(path: Path, change: dict[str, bool]) -> None:
    ready = managers(a="node-a", b="node-b")
    ready[b"b"].update(change)
    deny(path, {"node-a": time.time() + 60})
    assert OctopusManagerSelector(path, InOrder()).sort_managers(ready, {b"a"}) == [b"a"]


def test_it_travels_to_the_interchange(path: Path) -> None:
    deny(path, {"node-a": time.time() + 60})
    there = pickle.loads(pickle.dumps(OctopusManagerSelector(path, InOrder())))
    ready = managers(a="node-a", b="node-b")
    assert there.sort_managers(ready, set(ready)) == [b"b"]


def test_denying_leaves_one_whole_file_and_nothing_else(path: Path) -> None:
    for number in range(20):
        deny(path, {f"node-{number}": 1.0})
    assert json.loads(path.read_text(encoding="utf-8"))["denied"] == {"node-19": 1.0}
    assert list(path.parent.iterdir()) == [path]


def test_a_denylist_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        deny(tmp_path / "file" / "standing.json", {"node-a": 1.0})


def test_denials_of_several_threads_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for written in [pool.submit(deny, tmp_path / "denied.json", {"node-a": 1.0}) for _ in range(400)]:
            written.result()
    assert [path.name for path in tmp_path.iterdir()] == ["denied.json"]


def test_better_nodes_are_served_first_which_parsl_does_from_the_end(path: Path) -> None:
    ready = managers(a="node-a", b="node-b", c="node-c", d="node-d")
    publish(path, HostStanding.of(Standing(scores={"node-b": 0.1, "node-c": 0.6, "node-d": 0.99})))
    ordered = OctopusManagerSelector(path, InOrder()).sort_managers(ready, set(ready))
    assert ordered == [b"b", b"c", b"a", b"d"]


def test_among_nodes_that_fare_alike_the_inner_selector_decides(path: Path) -> None:
    class Backwards(InOrder):
        def sort_managers(self, ready_managers: Any, manager_list: set[bytes]) -> list[bytes]:
            return sorted(manager_list, reverse=True)

    ready = managers(a="node-a", b="node-b", c="node-c")
    publish(path, HostStanding.of(Standing(scores={"node-a": 0.97, "node-b": 0.95, "node-c": 0.5})))
    assert OctopusManagerSelector(path, Backwards()).sort_managers(ready, set(ready)) == [b"c", b"b", b"a"]


def test_a_score_that_hardly_changes_is_no_news() -> None:
    before = HostStanding.of(Standing(scores={"node-a": 0.51}, probation=("b", "c")))
    assert before == HostStanding.of(Standing(scores={"node-a": 0.53, "node-d": 1.0}, probation=("c", "b")))
    assert before != HostStanding.of(Standing(scores={"node-a": 0.2}, probation=("b", "c")))


def test_probation_begins_where_a_denial_ends_without_waiting_for_news(path: Path) -> None:
    chosen = OctopusManagerSelector(path)
    now = time.time()
    publish(path, HostStanding(denied={"node-a": now - 1, "node-b": now + 60}, probation=("node-c",)))
    assert chosen.shunned().denied == {"node-b"}
    assert chosen.shunned().probation == {"node-a", "node-c"}
    publish(path, HostStanding())
    assert chosen.shunned().probation == set()


def test_a_denial_for_one_app_begins_and_ends_at_its_time_and_is_no_denial_for_others(path: Path) -> None:
    chosen = OctopusManagerSelector(path)
    now = time.time()
    denied_for = {"fold": {"node-a": now + 60, "node-b": now - 1}, "dock": {"node-a": now - 1}, "none": {}}
    publish(path, HostStanding.of(Standing(denied={"node-c": now + 60}, denied_for=denied_for)))
    shunned = chosen.shunned()
    assert shunned.denied_for == {"fold": {"node-a"}}
    assert shunned.denied_to("fold") == {"node-a", "node-c"}
    assert shunned.denied_to("dock") == shunned.denied_to(None) == {"node-c"}
    assert [shunned.names(f"node-{name}") for name in "abc"] == [True, False, True]
    assert shunned.probation == set()


def test_the_same_standing_is_weighed_once_until_a_denial_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(selector.time, "time", lambda: clock[0])
    chosen = OctopusManagerSelector(path)
    publish(path, HostStanding(denied={"node-a": 1005.0}, denied_for={"fold": {"node-b": 1010.0}}))
    first = chosen.shunned()
    assert chosen.shunned() is first
    clock[0] = 1005.0
    assert chosen.shunned().probation == {"node-a"}
    clock[0] = 1010.0
    assert chosen.shunned().denied_for == {}


def test_a_file_of_a_version_that_knows_no_denials_by_app_is_understood(path: Path) -> None:
    path.write_text('{"denied": {"node-a": 9e12}, "probation": ["node-b"], "steps": {"node-b": 1}}', encoding="utf-8")
    assert OctopusManagerSelector(path).shunned().denied == {"node-a"}


def test_names_of_apps_and_their_number_are_bounded() -> None:
    apps = {f"{number:04d}-{'x' * 500}": {"node-a": float(number)} for number in range(1000)}
    denied_for = HostStanding.of(Standing(denied_for=apps)).denied_for
    assert len(denied_for) == selector.MAX_DENIED_APPS
    assert {len(app) for app in denied_for} == {MAX_APP}
    assert min(hosts["node-a"] for hosts in denied_for.values()) == 1000 - selector.MAX_DENIED_APPS


def test_scores_order_nodes_and_withhold_nothing(path: Path) -> None:
    ready = managers(a="node-a", b="node-b", c="node-c")
    publish(path, HostStanding.of(Standing(scores={"node-a": 0.0, "node-b": 0.5})))
    chosen = OctopusManagerSelector(path, InOrder())
    assert chosen.sort_managers(ready, set(ready)) == [b"a", b"b", b"c"]
    assert not any(chosen.shunned().names(f"node-{name}") for name in "abc")


def test_for_our_interchange_denied_nodes_come_last_and_those_on_probation_before_them(path: Path) -> None:
    ready = managers(a="node-a", b="node-b", c="node-c", d="node-d")
    publish(path, HostStanding(denied={"node-d": time.time() + 60}, probation=("node-c",), steps={"node-b": 0}))
    assert OctopusManagerSelector(path, InOrder()).order(ready, set(ready)) == [b"d", b"c", b"b", b"a"]


def test_another_interchange_fills_a_denied_node_now_and_then_while_the_others_are_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(selector.time, "monotonic", lambda: clock[0])
    ready = managers(a="node-a", b="node-b")
    deny(path, {"node-a": time.time() + 600})
    chosen = OctopusManagerSelector(path, InOrder())
    served = []
    for _ in range(200):
        served.append(bool(chosen.sort_managers(ready, {b"a"})))
        clock[0] += 0.1
    assert not any(served)  # the other one has room
    ready[b"b"]["tasks"] = [1, 2]
    served = []
    for _ in range(200):
        served.append(bool(chosen.sort_managers(ready, {b"a"})))
        clock[0] += 0.1
    assert served.count(True) == 2
