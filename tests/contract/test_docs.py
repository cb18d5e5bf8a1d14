"""The written documentation says what there is."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from octopus_plugins.cli.group import cli
from octopus_plugins.config import OctopusConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("setting", sorted(OctopusConfig.model_fields))
def test_every_setting_is_documented_with_its_environment_variable(setting: str) -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert f"`{setting}`" in page
    assert f"`OCTOPUS_{setting.upper()}`" in page


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    import re

    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_every_command_has_help_with_an_example() -> None:
    context = click.Context(cli)

    def commands(group: click.Group, words: str) -> list[tuple[str, click.Command]]:
        found = []
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                found += commands(command, f"{words} {name}")
            else:
                found.append((f"{words} {name}", command))
        return found

    for words, command in commands(cli, "octopus"):
        assert command.help, words
        shown = (command.epilog or "") + command.help
        assert words in shown, f"{words} --help has no example"
