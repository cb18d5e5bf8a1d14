"""The runner: order, what is left out and why, time, and steps that misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.doctor.case import Case
from octopus_plugins.doctor.examination import Step, diagnose
from octopus_plugins.doctor.findings import Finding, not_needed, not_tried, ok, trouble

CONFIG = OctopusConfig(profile="kafka", bootstrap_servers="127.0.0.1:1")
_released = threading.Event()


@pytest.fixture(autouse=True)
def release() -> Iterator[None]:
    _released.clear()
    yield
    _released.set()


def settings(case: Case) -> Finding:
    case.config = case.load()
    return ok("settings", "they are read")


def well(_: Case) -> Finding:
    return ok("well", "all is well")


def unneeded(_: Case) -> Finding:
    return not_needed("unneeded", "not needed: it is a test")


def broken(_: Case) -> Finding:
    return trouble("topics.missing", "there are none", step="broken")


def declines(_: Case) -> Finding:
    return not_tried("declines", "broken")


def hangs(_: Case) -> Finding:
    _released.wait(60)
    return ok("hangs", "it went on after all")


def raises(_: Case) -> Finding:
    raise RuntimeError("canary-secret")


def step(name: str, *needs: str, spoilt_by: tuple[str, ...] = (), slow: str = "slow", local: bool = False) -> Step:
    return Step(name, f"{__name__}:{name.split()[0]}", needs, spoilt_by, slow, local)


def findings(*steps: Step, timeout: float = 60.0) -> dict[str, Finding]:
    told = list(diagnose(CONFIG, timeout=timeout, steps=[step("settings"), *steps]))
    return {one.name: each for one, each in zip([step("settings"), *steps], told, strict=True)}


def test_what_builds_on_a_failed_step_is_not_tried_and_names_the_first_that_failed() -> None:
    told = findings(step("broken"), step("well a", "broken"), step("well b", "well a"), step("well c"))
    assert [each.state for each in told.values()] == ["ok", "failed", "not_tried", "not_tried", "ok"]
    assert told["well b"].seen == "not tried, because broken failed"


def test_a_step_that_is_not_needed_spoils_nothing() -> None:
    told = findings(step("unneeded"), step("well", "unneeded"))
    assert told["well"].state == "ok"


def test_a_step_that_declines_passes_the_blame_on_and_spoils_only_what_needs_it() -> None:
    told = findings(step("declines"), step("well a", "declines"), step("well b", spoilt_by=("declines",)))
    assert told["well a"].seen == "not tried, because broken failed"
    assert told["well b"].state == "ok"


def test_a_step_that_hangs_is_left_behind_and_gets_the_diagnosis_of_its_kind() -> None:
    began = time.monotonic()
    told = findings(step("hangs", slow="auth.silent"), step("well", "hangs"), step("well b"), timeout=12.0)
    assert (told["hangs"].state, told["hangs"].code) == ("failed", "auth.silent")
    assert told["hangs"].step == "hangs"
    assert told["well"].state == "not_tried"
    assert told["well b"].state == "ok"
    assert time.monotonic() - began < 30


def test_when_the_time_is_over_only_what_asks_nobody_is_still_looked_at() -> None:
    hanging = [step(f"hangs {number}") for number in range(6)]
    told = findings(*hanging, step("well"), step("well b", local=True), timeout=6.0)
    assert told["hangs 0"].state == "failed"
    assert told["hangs 5"].state == "not_tried"
    assert "--timeout" in told["well"].seen
    assert told["well b"].state == "ok"


def test_a_step_that_raises_is_a_finding_that_shows_nothing_of_what_it_raised() -> None:
    told = findings(step("raises"), step("well"))
    assert (told["raises"].state, told["raises"].code) == ("failed", "unforeseen")
    assert "canary" not in str(told["raises"])
    assert told["well"].state == "ok"


def test_each_finding_says_how_long_it_took() -> None:
    assert all(0 <= each.seconds < 60 for each in findings(step("well")).values())
