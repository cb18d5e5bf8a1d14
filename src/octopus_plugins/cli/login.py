"""``octopus login``, ``logout`` and ``whoami``: the user's login to the Octopus service."""

from __future__ import annotations

import json

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import load_config
from octopus_plugins.text import printable

ROTATING = """\
This makes a new key and ends the old one at once, on every machine. Whatever still uses the old key loses its
connection: runs keep their records on disk until `octopus login` is run where they are (or at once, where they share
this home directory)."""


@click.command(epilog="Example: octopus login --no-browser")
@click.option("--no-browser", is_flag=True, help="Show a link and ask for a code, for machines without a browser.")
@click.option("--rotate", is_flag=True, help="Make a new key; the old one ends everywhere.")
@click.option("--yes", is_flag=True, help="With --rotate: do not ask.")
def login(no_browser: bool, rotate: bool, yes: bool) -> None:
    """Log in to the Octopus service with Globus, get your key, and create your topics.

    The key is the same on all your machines. A service account logs in by DIASPORA_SDK_CLIENT_ID and
    DIASPORA_SDK_CLIENT_SECRET, without a browser.
    """
    from octopus_plugins.fabric.octopus.keys import key_path, log_in

    if rotate:
        click.echo(ROTATING, err=True)
        if not yes:
            click.confirm("Make a new key?", abort=True, err=True)
    config = load_config("octopus")
    key, changed = log_in(config, browser=not no_browser, rotate=rotate)
    click.echo(printable(f"Logged in as {key.username}, namespace {key.namespace}."))
    if rotate:
        click.echo(f"The new key is in {key_path(config)}; the old one has ended.")
    elif changed:
        click.echo(f"The key is in {key_path(config)}, for you alone. A new one works after some seconds.")
    else:
        click.echo(f"The key in {key_path(config)} is the current one.")
    _make_topics()
    if load_config(None).profile != "octopus":
        click.echo('Use it by OCTOPUS_PROFILE=octopus, or `profile = "octopus"` in the configuration file.')


def _make_topics() -> None:
    """Create the topics, now that somebody is there who may: runs need the key only, then."""
    from octopus_plugins.errors import ServiceError
    from octopus_plugins.fabric.kafka.topics import create_on_service, missing_on_service

    try:
        created = create_on_service(load_config("octopus"), missing_on_service)
    except ServiceError as error:
        screen.say(f"octopus: the topics could not be created yet: {error}; `octopus topics ensure` does it later")
        return
    if created:
        click.echo(f"Created the topics {', '.join(sorted(topic.value for topic in created))}.")


@click.command(epilog="Example: octopus logout")
def logout() -> None:
    """Revoke the login on this machine, and remove it and the key from here.

    The key itself goes on, for your other machines; `octopus login --rotate` ends it.
    """
    from octopus_plugins.fabric.octopus.keys import remove_key
    from octopus_plugins.fabric.octopus.login import GlobusLogin

    config = load_config("octopus")
    removed = remove_key(config)  # first: it is what this machine can be misused with, also when Globus is away
    had_tokens = GlobusLogin(config).log_out()
    if not removed and not had_tokens:
        click.echo("Nobody was logged in.")
        return
    click.echo("Logged out: the login is revoked, and the key removed from this machine.")


@click.command(epilog="Example: octopus whoami --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
def whoami(as_json: bool) -> None:
    """Say who is logged in to the Octopus service (exit status 1 if nobody is)."""
    from octopus_plugins.errors import CredentialsError
    from octopus_plugins.fabric.octopus.keys import key_path, load_key
    from octopus_plugins.fabric.octopus.login import GlobusLogin

    config = load_config("octopus")
    identity = GlobusLogin(config).identity()
    key = load_key(config)
    if key.subject != identity.subject:
        raise CredentialsError(
            f"the login is of {identity.username}, the key in {key_path(config)} of {key.username}",
            remedy="`octopus logout`, then `octopus login`",
        )
    told = {
        "username": identity.username,
        "subject": identity.subject,
        "namespace": key.namespace,
        "environment": key.environment,
        "bootstrap_servers": config.bootstrap_servers or key.endpoint,
        "key_created": key.created,
        "key_file": str(key_path(config)),
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(printable(f"{told['username']} ({told['subject']})"))
    for name in ("namespace", "environment", "bootstrap_servers", "key_created", "key_file"):
        click.echo(printable(f"{name.replace('_', ' ')}: {told[name] or 'not told by the service'}"))
