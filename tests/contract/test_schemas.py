"""The generated pages are those that the code makes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from octopus_plugins.events import EVENT_CLASSES, json_schemas

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("octopus_docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("event_type", [cls.TYPE for cls in EVENT_CLASSES])
def test_the_schemas_kept_are_those_of_the_classes(event_type: str, generate: ModuleType) -> None:
    kept = json.loads(generate.schema_file(event_type).read_text(encoding="utf-8"))
    assert _shape(kept) == _shape(json.loads(json.dumps(json_schemas()[event_type])))


def test_no_schema_is_kept_of_a_type_that_is_gone(generate: ModuleType) -> None:
    kept = set((DOCS / "schema").glob("*.json"))
    assert kept == {generate.schema_file(cls.TYPE) for cls in EVENT_CLASSES}


def test_no_generated_page_is_stale(generate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_page_is_named_and_makes_the_check_fail(
    generate: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = DOCS / "categories.md"
    before = page.read_text(encoding="utf-8")
    monkeypatch.setattr(generate, "pages", lambda: {page: "another text"})
    assert generate.main(["--check"]) == 1
    assert "docs/categories.md is stale" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == before


def test_every_field_of_every_event_has_a_meaning(generate: ModuleType) -> None:
    page = (DOCS / "events.md").read_text(encoding="utf-8")
    assert "| `run_id` | `str`, required | The run" in page
    assert "|  |\n" not in page, "a field without a text in its class's docstring"


def _shape(schema: Any) -> Any:
    """The schema without its descriptions, whose indentation depends on the version of Python."""
    if isinstance(schema, dict):
        return {key: _shape(value) for key, value in schema.items() if key != "description" or isinstance(value, dict)}
    return [_shape(item) for item in schema] if isinstance(schema, list) else schema
