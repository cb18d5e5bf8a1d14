"""What programs may rely on of our errors: codes that do not change, and nothing that hangs on the words."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import globus_compute_hooks
import octopus_plugins
import parsl_monitor
from octopus_plugins import errors
from octopus_plugins.errors import CODES, CredentialsError, OctopusError

CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, OctopusError)]


def codes_given() -> Iterator[str]:
    """Every code that an error is given where it is made."""
    for package in (octopus_plugins, parsl_monitor, globus_compute_hooks):
        for file in Path(str(package.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error"):
                    for keyword in node.keywords:
                        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                            yield keyword.value.value


def test_every_code_is_documented() -> None:
    given = set(codes_given())
    assert len(given) > 10
    assert given | {each.code for each in CLASSES} <= set(CODES)
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    for code, meaning in CODES.items():
        assert f"| `{code}` | {meaning} |" in page


@pytest.mark.parametrize("cls", CLASSES)
def test_what_an_error_says_survives_pickling(cls: type[OctopusError]) -> None:
    error = cls("the file is open", remedy="close it", code="secret_exposed", command="chmod 600 file")
    back = pickle.loads(pickle.dumps(error))
    for each in (error, back):
        assert str(each) == "the file is open; close it"
        assert (each.what, each.remedy) == ("the file is open", "close it")
        assert (each.code, each.command) == ("secret_exposed", "chmod 600 file")


def test_an_error_has_the_code_of_its_class_unless_it_has_its_own() -> None:
    assert (CredentialsError("no").code, str(CredentialsError("no"))) == ("credentials_invalid", "no")
    assert CredentialsError("no", code="key_refused").code == "key_refused"
