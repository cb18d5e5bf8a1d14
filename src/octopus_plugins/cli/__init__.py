"""The ``octopus`` command."""

from octopus_plugins.cli.group import cli, main

__all__ = ["cli", "main"]
