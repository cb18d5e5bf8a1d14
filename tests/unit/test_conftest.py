"""In CI nothing is skipped without failing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each starts a pytest

RULES = Path(__file__).parents[1] / "conftest.py"

TESTS = """
import pytest

def test_that_passes():
    pass

def test_that_lacks_something():
    pytest.skip("needs UTS namespaces")

@pytest.mark.skipif(True, reason="needs root")
def test_for_another_platform():
    pass

@pytest.fixture
def disk():
    pytest.skip("needs a small disk")

def test_that_wants_a_disk(disk):
    pass

@pytest.mark.xfail(reason="known")
def test_that_is_known_to_fail():
    raise AssertionError
"""


def outcome(tmp_path: Path, text: str, ci: str | None) -> tuple[int, str]:
    """Run a module of tests under our rules; its exit status and what it says."""
    (tmp_path / "conftest.py").write_text(RULES.read_text())
    (tmp_path / "test_some.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env=environment | ({} if ci is None else {"CI": ci}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("ci", [None, "false"])
def test_elsewhere_a_test_may_be_skipped_and_says_what_is_missing(tmp_path: Path, ci: str | None) -> None:
    status, said = outcome(tmp_path, TESTS, ci)
    assert status == 0, said
    assert "1 passed, 3 skipped, 1 xfailed" in said
    assert "needs UTS namespaces" in said


def test_in_ci_a_skipped_test_fails_and_an_expected_failure_does_not(tmp_path: Path) -> None:
    status, said = outcome(tmp_path, TESTS, "true")
    assert status == 1, said
    # A skip by a mark or a fixture fails the setup of its test, which pytest counts as an error.
    assert "1 failed, 1 passed, 1 xfailed, 2 errors" in said
    for missing in ("needs UTS namespaces", "needs root", "needs a small disk"):
        assert missing in said


def test_in_ci_a_module_that_is_skipped_whole_fails(tmp_path: Path) -> None:
    status, said = outcome(tmp_path, "import pytest\npytest.importorskip('a_module_that_nobody_has')\n", "true")
    assert status not in (0, 5), said
    assert "a_module_that_nobody_has" in said
