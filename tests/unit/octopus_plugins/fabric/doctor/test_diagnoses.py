"""The table of everything that can be found wrong: complete, of one form, and used."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from octopus_plugins import doctor
from octopus_plugins.config import OctopusConfig
from octopus_plugins.doctor import DIAGNOSES, STEPS, Diagnosis
from octopus_plugins.doctor.case import Case

SOURCE = "\n".join(
    file.read_text(encoding="utf-8")
    for file in Path(str(doctor.__file__)).parent.glob("*.py")
    if file.name != "diagnoses.py"
)
STEP_NAMES = {step.name for step in STEPS}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("diagnosis", DIAGNOSES.values(), ids=DIAGNOSES)
def test_each_belongs_to_a_step_and_is_one_that_something_finds(diagnosis: Diagnosis) -> None:
    assert diagnosis.step in STEP_NAMES | {""}
    assert f'"{diagnosis.code}"' in SOURCE
    assert diagnosis.found and diagnosis.why and diagnosis.remedy
    assert not diagnosis.remedy.endswith(".")


def test_everything_that_is_found_is_in_the_table() -> None:
    named = {each for each in re.findall(r'"([a-z]+\.[a-z_]+)"', SOURCE) if each.partition(".")[0] in STEP_NAMES}
    assert named <= set(DIAGNOSES)
    assert len(named) > 50


def test_no_two_are_found_in_the_same_words() -> None:
    assert len({each.found for each in DIAGNOSES.values()}) == len(DIAGNOSES)
    assert len({each.why for each in DIAGNOSES.values()}) == len(DIAGNOSES)


def test_the_texts_need_nothing_that_a_case_does_not_know() -> None:
    case = Case(OctopusConfig, 1.0)
    case.config = OctopusConfig(profile="kafka", bootstrap_servers="127.0.0.1:1")
    known = set(case.texts(without="", with_tls=""))
    own = {"settings.not_toml": {"file"}, "settings.exposed": {"file"}}
    own |= {"login.exposed": {"command"}, "login.damaged": {"file"}}
    own |= {"key.exposed": {"command"}, "counts.dropped": {"directory"}}
    for each in DIAGNOSES.values():
        assert fields(each.why + each.remedy) <= known | own.get(each.code, set()), each.code
