"""Plugins are called one by one; a broken one is reported once, and hurts nobody."""

from __future__ import annotations

import logging
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from octopus_plugins import Category, Decision, ExceptionInfo, Failure, Match, Rule, Task, Trust, categorize
from octopus_plugins.errors import PluginError
from octopus_plugins.plugins import WITHHOLD, Plugins, hookimpl, load_plugins

FAILURE = Failure(
    run_id="r", time=1.0, task_id="1", exception=ExceptionInfo(type="RuntimeError", message="no licence seat")
)
DECISION = Decision(run_id="r", time=1.0, task_id="1", action="retry")
RULE = Rule(
    name="app_exit.licence_seats",
    category=Category.app_exit,
    trust=Trust.text,
    match=lambda failure, history: Match("found no free licence seat"),
    words=("no licence seat",),
)


@pytest.fixture
def plugins(caplog: pytest.LogCaptureFixture) -> Plugins:
    caplog.set_level(logging.WARNING, "octopus_plugins")
    return Plugins()


def plugin(**hooks: Callable[..., Any]) -> object:
    """A plugin with these hooks."""
    return type("AnyPlugin", (), {name: staticmethod(hookimpl(function)) for name, function in hooks.items()})()


def fail(*_: object) -> Any:
    raise ZeroDivisionError("by a plugin")


# octopus_rules


def test_octopus_rules_adds_rules_that_categorise(plugins: Plugins) -> None:
    def octopus_rules() -> list[Rule]:
        return [RULE]

    plugins.register(plugin(octopus_rules=octopus_rules), "site")
    assert plugins.rules() == (RULE,)
    assert categorize(FAILURE, rules=plugins.rules()).rule == "app_exit.licence_seats"


def test_octopus_rules_may_be_a_generator_that_breaks(plugins: Plugins, caplog: pytest.LogCaptureFixture) -> None:
    def octopus_rules() -> Iterator[Rule]:
        yield RULE
        fail()

    plugins.register(plugin(octopus_rules=octopus_rules), "site")
    assert plugins.rules() == ()
    assert "plugin 'site': octopus_rules did not give rules: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("wrong", [7, ["licence"], [Rule("x", "a text", Trust.text, lambda f, h: None)]])  # type: ignore[arg-type]
def test_octopus_rules_that_are_none_are_reported(
    plugins: Plugins, caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    def octopus_rules() -> Any:
        return wrong

    def good() -> list[Rule]:
        return [RULE]

    plugins.register(plugin(octopus_rules=octopus_rules), "site")
    plugins.register(plugin(octopus_rules=good), "other")
    assert plugins.rules() == (RULE,)
    assert len(caplog.records) == 1
    assert "return a list of Rule" in caplog.text


# octopus_transform


def test_octopus_transform_can_enrich_redact_and_leave_alone(plugins: Plugins) -> None:
    def enrich(event: Any) -> Any:
        return msgspec.structs.replace(event, labels={**event.labels, "site": "alcf"})

    def redact(event: Any) -> Any:
        if isinstance(event, Failure):
            return msgspec.structs.replace(event, exception=ExceptionInfo(type=event.exception.type))
        return None

    plugins.register(plugin(octopus_transform=enrich), "enrich")
    plugins.register(plugin(octopus_transform=redact), "redact")
    changed = plugins.transform(FAILURE)
    assert isinstance(changed, Failure)
    assert (changed.labels, changed.exception.message) == ({"site": "alcf"}, "")
    task = Task(run_id="r", time=1.0, task_id="1", state="running")
    assert plugins.transform(task) == msgspec.structs.replace(task, labels={"site": "alcf"})


def test_octopus_transform_can_withhold_an_event(plugins: Plugins) -> None:
    seen = []

    def withhold(event: Any) -> Any:
        return WITHHOLD

    def watch(event: Any) -> None:
        seen.append(event)

    plugins.register(plugin(octopus_transform=watch), "watch")
    plugins.register(plugin(octopus_transform=withhold), "withhold")
    assert plugins.transform(FAILURE) is None
    assert seen == []


def test_without_octopus_transform_there_is_nothing_to_call(plugins: Plugins) -> None:
    plugins.register(plugin(octopus_rules=lambda: []), "rules")
    assert not plugins.has_transforms
    assert plugins.transform(FAILURE) is FAILURE
    plugins.register(plugin(octopus_transform=lambda event: None), "transform")
    assert plugins.has_transforms
    plugins.unregister("transform")
    assert not plugins.has_transforms


@pytest.mark.parametrize("wrong", ["text", DECISION, True])
def test_a_mistaken_result_of_octopus_transform_is_reported_and_ignored(
    plugins: Plugins, caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    plugins.register(plugin(octopus_transform=lambda event: wrong), "site")
    assert plugins.transform(FAILURE) is FAILURE
    assert "return a Failure, WITHHOLD or None" in caplog.text


# octopus_decision


def test_octopus_decision_changes_a_decision_one_after_the_other(plugins: Plugins) -> None:
    def slower(failure: Any, decision: Any) -> Any:
        return msgspec.structs.replace(decision, delay=decision.delay + 1)

    def doubled(decision: Any) -> Any:  # a hook may take fewer arguments
        return msgspec.structs.replace(decision, delay=decision.delay * 2)

    plugins.register(plugin(octopus_decision=doubled), "doubled")
    plugins.register(plugin(octopus_decision=slower), "slower")
    plugins.register(plugin(octopus_decision=lambda failure, decision: None), "indifferent")
    assert plugins.change(FAILURE, DECISION) == msgspec.structs.replace(DECISION, delay=2.0)


@pytest.mark.parametrize(
    "wrong",
    [
        "terminate",
        FAILURE,
        msgspec.structs.replace(DECISION, action="explode"),
        msgspec.structs.replace(DECISION, charge=-1.0),
        msgspec.structs.replace(DECISION, charge=math.nan),
        msgspec.structs.replace(DECISION, delay=math.inf),
    ],
)
def test_a_mistaken_result_of_octopus_decision_is_reported_and_ignored(
    plugins: Plugins, caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    plugins.register(plugin(octopus_decision=lambda failure, decision: wrong), "site")
    assert plugins.change(FAILURE, DECISION) is DECISION
    assert "return a Decision whose action is 'retry' or 'terminate'" in caplog.text


# octopus_decided


def test_octopus_decided_tells_all_plugins_even_after_one_raised(plugins: Plugins) -> None:
    told = []
    plugins.register(plugin(octopus_decided=lambda failure, decision: told.append((failure, decision))), "first")
    plugins.register(plugin(octopus_decided=fail_at_decision), "broken")
    plugins.register(plugin(octopus_decided=lambda decision: told.append(decision)), "last")
    plugins.decided(FAILURE, DECISION)
    assert told == [DECISION, (FAILURE, DECISION)]


def fail_at_decision(failure: object, decision: object) -> None:
    fail()


# octopus_commands


def test_octopus_commands_adds_commands(plugins: Plugins) -> None:
    def octopus_commands(group: click.Group) -> None:
        @group.command()
        def nodes() -> None:
            """List our nodes."""

    group = click.Group("octopus")
    plugins.register(plugin(octopus_commands=octopus_commands), "site")
    plugins.commands(group)
    assert list(group.commands) == ["nodes"]


# What a broken plugin does


def test_a_plugin_that_raises_is_reported_once_and_still_called(
    plugins: Plugins, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def octopus_transform(event: Any) -> Any:
        calls.append(event)
        fail()

    plugins.register(plugin(octopus_transform=octopus_transform), "site")
    for _ in range(3):
        assert plugins.transform(FAILURE) is FAILURE
    assert len(calls) == 3
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("octopus_plugins", "WARNING")
    assert record.getMessage() == (
        "plugin 'site': octopus_transform raised ZeroDivisionError: by a plugin; it is passed over; "
        "repair or uninstall it"
    )


def test_an_interrupt_in_a_plugin_is_not_swallowed(plugins: Plugins) -> None:
    def octopus_transform(event: Any) -> Any:
        raise KeyboardInterrupt

    plugins.register(plugin(octopus_transform=octopus_transform), "site")
    with pytest.raises(KeyboardInterrupt):
        plugins.transform(FAILURE)


def test_an_unknown_hook_is_reported_and_the_others_are_used(
    plugins: Plugins, caplog: pytest.LogCaptureFixture
) -> None:
    plugins.register(plugin(octopus_rule=lambda: [], octopus_rules=lambda: [RULE]), "site")
    assert "plugin 'site' offers an unknown hook 'octopus_rule'; did you mean 'octopus_rules'?" in caplog.text
    assert plugins.rules() == (RULE,)


def test_a_hook_wrapper_is_reported_and_not_called(plugins: Plugins, caplog: pytest.LogCaptureFixture) -> None:
    class Wrapping:
        @hookimpl(wrapper=True)
        def octopus_transform(self, event: Any) -> Any:
            yield

    plugins.register(Wrapping(), "site")
    assert plugins.transform(FAILURE) is FAILURE
    assert "octopus_transform is a hook wrapper and is not called" in caplog.text


def test_an_argument_that_does_not_exist_is_refused_and_leaves_nothing_behind(plugins: Plugins) -> None:
    told = []

    def octopus_decision(failure: Any, decision: Any, colour: Any) -> None: ...

    with pytest.raises(PluginError, match=r"'site' does not fit its hook.*colour"):
        plugins.register(
            plugin(octopus_decided=lambda decision: told.append(decision), octopus_decision=octopus_decision), "site"
        )
    assert plugins.names() == ()
    assert plugins.change(FAILURE, DECISION) is DECISION
    plugins.decided(FAILURE, DECISION)
    assert told == []


def test_a_name_is_taken_once(plugins: Plugins) -> None:
    plugins.register(plugin(), "site")
    with pytest.raises(PluginError, match=r"'site'.*its name is taken"):
        plugins.register(plugin(), "site")
    plugins.unregister("site")
    with pytest.raises(PluginError, match="no plugin 'site' is registered; there are: none"):
        plugins.unregister("site")


# Entry points


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> None:
    """Put modules on the path, with a distribution that offers each as a plugin."""
    info = directory / "someplugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someplugins\nVersion: 1.0\n")
    lines = [f"{name} = {name}_module" for name in modules]
    (info / "entry_points.txt").write_text("\n".join(["[octopus_plugins]", *lines, ""]))
    for name, source in modules.items():
        (directory / f"{name}_module.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(directory)


def test_installed_plugins_are_found_and_a_broken_one_is_skipped(
    plugins: Plugins, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = """
        from octopus_plugins import hookimpl
        @hookimpl
        def octopus_decision(decision):
            import msgspec
            return msgspec.structs.replace(decision, reason="a plugin says so")
        """
    install(tmp_path, monkeypatch, absent="import a_module_that_is_not_there", quits="raise SystemExit(3)", good=good)
    plugins.load_entry_points()
    assert "good" in plugins.names()
    assert not {"absent", "quits"} & set(plugins.names())
    assert plugins.change(FAILURE, DECISION).reason == "a plugin says so"
    messages = [record.getMessage() for record in caplog.records]
    assert any(
        "plugin 'absent' (absent_module) cannot be loaded and is skipped: ModuleNotFoundError" in m for m in messages
    )
    assert any("plugin 'quits' (quits_module) cannot be loaded and is skipped: SystemExit: 3" in m for m in messages)


def test_the_plugins_of_a_process_are_loaded_once() -> None:
    assert load_plugins() is load_plugins()


def test_names_are_sorted(plugins: Plugins) -> None:
    names: Iterable[str] = ("b", "a")
    for name in names:
        plugins.register(plugin(), name)
    assert plugins.names() == ("a", "b")
