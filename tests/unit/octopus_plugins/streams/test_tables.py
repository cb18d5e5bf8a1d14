"""Tables have the same columns whether or not there are rows."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from octopus_plugins.errors import ConfigError, MissingDependencyError
from octopus_plugins.events import (
    EVENT_CLASSES,
    Categorization,
    Decision,
    Event,
    ExceptionInfo,
    Failure,
    Placement,
    Rung,
    Task,
    Usage,
)
from octopus_plugins.streams import tables

FAILURE = Failure(
    run_id="r",
    time=1_767_225_600.25,
    task_id="1",
    app="f",
    host="n1",
    worker_id=3,
    exception=ExceptionInfo(type="MemoryError", message="no", mro=("MemoryError", "Exception")),
    causes=(ExceptionInfo(type="OSError", attributes={"errno": 12}),),
    usage=Usage(time=1_767_225_600.0, rss=7),
    versions={"python": "3.11"},
    categorization=Categorization(
        layer="runtime", category="memory_exhausted", confidence=0.9, evidence={"rss": 7, "near": True}
    ),
)
BARE = Failure(run_id="r", time=1.0, task_id="2", exception=ExceptionInfo(type="ValueError"))


def test_the_columns_of_a_failure_are_flat_and_named_by_their_path() -> None:
    names = [column.name for column in tables.columns(Failure)]
    assert names[:5] == ["run_id", "time", "framework", "labels", "truncated"]
    assert {"task_id", "host", "exception.type", "usage.rss", "categorization.category", "node.disk_free"} <= set(names)
    assert "categorization" not in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_an_empty_frame_has_the_columns_and_types_of_a_full_one(cls: type[Event]) -> None:
    empty = tables.to_pandas(cls, [])
    assert list(empty.columns) == [column.name for column in tables.columns(cls)]
    assert str(empty["time"].dtype) == "datetime64[us, UTC]"
    assert tables.to_arrow(cls, []).schema.names == list(empty.columns)


def test_a_frame_holds_typed_values() -> None:
    frame = tables.to_pandas(Failure, [[FAILURE], [BARE]])
    assert dict(frame.dtypes) == dict(tables.to_pandas(Failure, []).dtypes)
    row = frame.iloc[0]
    assert row["time"].isoformat() == "2026-01-01T00:00:00.250000+00:00"
    assert row["usage.rss"] == 7
    assert row["categorization.category"] == "memory_exhausted"
    assert row["exception.mro"] == ["MemoryError", "Exception"]
    assert row["causes"][0]["attributes"] == {"errno": 12}
    assert row["versions"] == {"python": "3.11"}
    assert frame["usage.rss"].isna().tolist() == [False, True]
    assert frame["usage.time"].isna().tolist() == [False, True]
    assert frame[frame["host"] == "n1"]["task_id"].tolist() == ["1"]
    assert frame["worker_id"].sum() == 3


def test_an_arrow_table_has_the_same_values() -> None:
    import msgspec

    table = tables.to_arrow(Failure, [[FAILURE, BARE]])
    assert table.schema == tables.to_arrow(Failure, []).schema
    rows: list[dict[str, Any]] = table.to_pylist()
    assert rows[0]["time"].isoformat() == "2026-01-01T00:00:00.250000+00:00"
    assert rows[0]["exception.mro"] == ["MemoryError", "Exception"]
    assert msgspec.json.decode(rows[0]["categorization.evidence"]) == {"rss": 7, "near": True}
    assert msgspec.json.decode(rows[0]["causes"])[0]["type"] == "OSError"
    assert rows[1]["categorization.category"] is None
    assert rows[1]["worker_id"] is None


def test_a_missing_package_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (tables.to_pandas, tables.to_arrow):
        with pytest.raises(MissingDependencyError, match=r"pip install 'octopus-plugins\[pandas\]'"):
            call(Failure, [])


def test_a_dict_has_every_field_even_those_that_json_leaves_out() -> None:
    decision = Decision(
        run_id="r",
        time=1.0,
        task_id="1",
        action="retry",
        placement=Placement(rung="other_node", avoid_hosts=("n1",)),
        considered=(Rung(name="same_node", reason="no"),),
    )
    plain = tables.plain(decision)
    assert set(plain) == set(Decision.__struct_fields__)
    assert plain["placement"] == {
        "rung": "other_node",
        "executor": None,
        "avoid_hosts": ["n1"],
        "avoid_blocks": [],
        "avoid_for": 0.0,
        "prefer_hosts": [],
        "first": True,
    }
    assert plain["considered"] == [{"name": "same_node", "taken": False, "reason": "no", "executor": None}]


@pytest.mark.parametrize(
    ("event_class", "name", "expected"),
    [
        (Failure, "category", "categorization.category"),
        (Failure, "categorization.category", "categorization.category"),
        (Failure, "exception", "exception.type"),
        (Decision, "category", "category"),
        (Decision, "rung", "placement.rung"),
        (Task, "state", "state"),
    ],
)
def test_a_field_to_count_by_is_found_by_its_short_or_full_name(
    event_class: type[Event], name: str, expected: str
) -> None:
    assert tables.column_named(event_class, name).name == expected


@pytest.mark.parametrize("name", ["categry", "labels", "exception.mro", "category.x"])
def test_what_cannot_be_counted_by_is_an_error_that_names_what_can(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no field '{name}' to count by; it has: category, layer.*host"):
        tables.column_named(Failure, name)
