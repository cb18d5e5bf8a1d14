"""A person at a terminal who logs in."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Mapping

COMMAND = [sys.executable, "-m", "octopus_plugins.cli"]


def log_in_by_link(*options: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """``octopus login --no-browser`` as a person does it: opens the link elsewhere, and pastes the code.

    Args:
        *options: Further ones of the command.
        environment: Of the command; default: this process's.
    """
    process = subprocess.Popen(
        [*COMMAND, "login", "--no-browser", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None and process.stdout is not None
    told = ""
    while "v2/oauth2/authorize" not in told:
        line = process.stdout.readline()
        told += line
        if not line:
            break
    link = re.search(r"http://\S+", told)
    code = ""
    if link is not None:
        with urllib.request.urlopen(link[0], timeout=20) as page:
            code = page.read().decode().rpartition(" ")[2]
    out, err = process.communicate(f"{code}\n", timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, told + out, err)
