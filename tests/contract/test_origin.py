"""Where the packages under test come from: the wheel in `make test`, the checkout in `make quick` and `make check`."""

from __future__ import annotations

import importlib
import os
import sysconfig
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["octopus_plugins", "parsl_monitor", "globus_compute_hooks"])
def test_what_is_tested_is_what_users_install(package: str) -> None:
    file = importlib.import_module(package).__file__
    assert file is not None
    installed = Path(sysconfig.get_path("purelib")) in Path(file).resolve().parents
    assert installed is (os.environ.get("OCTOPUS_TEST_WHEEL") == "1")
