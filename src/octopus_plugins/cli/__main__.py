"""``python -m octopus_plugins.cli`` is ``octopus``."""

from octopus_plugins.cli import main

main()
