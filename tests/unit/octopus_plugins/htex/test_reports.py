from __future__ import annotations

from octopus_plugins.htex.reports import MAX_NAMED, WITHHELD, IdleNodes


def report(host: str, seconds: float | None, label: str = "small") -> dict[str, object]:
    return {"executor_label": label, "hostname": host, **({WITHHELD: seconds} if seconds else {})}


def test_of_each_node_s_reports_the_last_one_counts() -> None:
    cost = IdleNodes()
    for message in (report("a", 3.0), report("a", 1234.6), report("b", None), report("c", 2.0), report("a", 1.0, "x")):
        cost.hear(message)
    assert cost.summary() == "Denying nodes a, c kept 1,238 slot-seconds idle while tasks waited."


def test_what_cost_nothing_to_speak_of_is_not_told() -> None:
    cost = IdleNodes()
    assert cost.summary() is None
    cost.hear(report("a", 0.4))
    assert cost.summary() is None
    cost.hear(report("a", 7.2))
    assert cost.summary() == "Denying node a kept 7 slot-seconds idle while tasks waited."


def test_of_many_nodes_some_are_named() -> None:
    cost = IdleNodes()
    for number in range(MAX_NAMED + 5):
        cost.hear(report(f"node-{number:02d}", 1.0))
    summary = cost.summary()
    assert summary is not None and summary.count("node-") == MAX_NAMED
    assert "node-09 and 5 more kept 15 slot-seconds" in summary
