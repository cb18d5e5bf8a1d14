"""Every hook is documented, with an example, and tested."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pluggy
import pytest

from octopus_plugins import hookspecs
from octopus_plugins.plugins import Plugins

ROOT = Path(__file__).parents[2]
HOOKS = {
    name: function
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
    if hasattr(function, f"{hookspecs.PROJECT_NAME}_spec")
}


def test_the_hooks_are_these() -> None:
    assert sorted(HOOKS) == [
        "octopus_commands",
        "octopus_decided",
        "octopus_decision",
        "octopus_rules",
        "octopus_transform",
    ]
    assert isinstance(Plugins()._manager, pluggy.PluginManager)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_docstring_with_an_example(hook: str) -> None:
    docstring = inspect.getdoc(HOOKS[hook]) or ""
    assert "Example:" in docstring
    assert f"def {hook}(" in docstring
    for argument in inspect.signature(HOOKS[hook]).parameters:
        assert f"{argument}: " in docstring


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_chapter_with_its_arguments(hook: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[hook]).parameters)
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert f"\n## `{hook}({arguments})`\n" in page


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_tested(hook: str) -> None:
    tests = (ROOT / "tests" / "unit" / "octopus_plugins" / "test_plugins.py").read_text(encoding="utf-8")
    assert re.search(rf"^def test_\w*{hook}\w*\(", tests, re.MULTILINE)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_can_be_called(hook: str) -> None:
    source = inspect.getsource(Plugins)
    assert f'"{hook}"' in source or f".{hook}." in source
