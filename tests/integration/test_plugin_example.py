"""The example of a plugin, as a script and as an installed distribution."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "04_plugin"


def test_the_example_of_a_plugin_shows_what_it_changes() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "try_it.py")], capture_output=True, text=True, check=True, timeout=60
    )
    before, _, after = done.stdout.partition("With it:")
    assert "category  unknown (rule none)" in before
    assert "category  network_unreachable (rule network_unreachable.licence_seats)" in after
    assert "decision  retry" in after
    assert "the licence team is told: task 1 will retry" in after


def test_the_example_of_a_plugin_is_found_once_it_is_installed(tmp_path: Path) -> None:
    # What an installer would put there, without the network that building a wheel needs.
    (tmp_path / "licence_plugin.py").write_text((EXAMPLE / "licence_plugin.py").read_text())
    info = tmp_path / "octopus_licence_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: octopus-licence-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[octopus_plugins]\nlicence = licence_plugin\n")
    script = "from octopus_plugins.plugins import load_plugins; print([rule.name for rule in load_plugins().rules()])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert "network_unreachable.licence_seats" in done.stdout
    assert 'licence = "licence_plugin"' in (EXAMPLE / "pyproject.toml").read_text()
