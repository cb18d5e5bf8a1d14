"""The user's key for the brokers: fetched once, kept in one file, the same in every process and on every machine.

`octopus login` is the only thing that asks the service for it, and with ``--rotate`` the only one that makes a new one,
since that ends all use of the old one. Everything else reads the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from octopus_plugins.config import NOT_LOGGED_IN, OctopusConfig, key_file
from octopus_plugins.errors import CredentialsError, ServiceError
from octopus_plugins.fabric.octopus.login import GlobusLogin, Identity, nobody
from octopus_plugins.fabric.octopus.secret_files import locked, read_secret, write_secret
from octopus_plugins.fabric.octopus.service import Service

Stamp = tuple[int, int, int] | None
"""What tells one state of the key file from another; None where there is no file."""

_LOCK_SECONDS = 2.0  # more than the service may take, for whoever waits for it


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and whose it is. Not shown, and not pickled: it stays in this process and in its file.

    Attributes:
        subject: Globus subject of the user.
        username: The user's name.
        namespace: The user's namespace.
        environment: Which web service gave it.
        endpoint: Bootstrap servers as the service tells them; may be empty.
        created: When it was made, as the service says it.
        expires: When it ends, Unix seconds; None for those of the service, which do not.
        access_key: AWS access key id.
        secret_key: AWS secret access key.
    """

    subject: str
    username: str
    namespace: str
    environment: str
    endpoint: str
    created: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    expires: float | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it would travel to other machines; load it there from its file")


def key_path(config: OctopusConfig) -> Path:
    """The file of the key for the web service of this configuration."""
    return key_file(config.credentials_dir, config.environment)


def key_stamp(config: OctopusConfig) -> Stamp:
    """The state of the key file; another one means that somebody logged in, or out."""
    try:
        found = key_path(config).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def load_key(config: OctopusConfig) -> Key:
    """Read the key.

    Raises:
        CredentialsError: There is none, others could read it, or it is damaged or of another service; says what to do.
    """
    path = key_path(config)
    try:
        data = read_secret(path)
    except FileNotFoundError:
        raise nobody(f" (there is no {path})") from None
    key = _decode(data)
    if key is None:
        # Nothing of the text goes into the message: part of it may be the key.
        raise CredentialsError(f"{path} is damaged", remedy="`octopus login` writes it anew")
    if key.environment != config.environment:
        raise CredentialsError(
            f"the key in {path} is for the service {key.environment!r}, not {config.environment!r}",
            remedy="log in to that one with `octopus login`",
            code="key_of_other_service",
        )
    return key


def own_key(config: OctopusConfig) -> Key:
    """The key, if it is of the namespace that is meant.

    Raises:
        CredentialsError: There is none, it may not be used, or it is of somebody else; says what to do.
    """
    key = load_key(config)
    if config.namespace not in {key.namespace, NOT_LOGGED_IN}:
        raise CredentialsError(
            f"{key.username} is logged in, with the namespace {key.namespace}, but {config.namespace} is asked for",
            remedy="unset OCTOPUS_NAMESPACE (on the Octopus service the login says it), or log in as the one meant",
            code="key_of_other_namespace",
        )
    return key


def fetch_key(config: OctopusConfig, service: Service, identity: Identity, *, rotate: bool = False) -> tuple[Key, bool]:
    """Get the user's key from the service, and keep it.

    Any number of processes may do so at once: one asks, the others take what it got.

    Args:
        config: Where it is kept.
        service: The service, as this user.
        identity: Who logs in.
        rotate: Have a new key made. The old one ends, for every process and machine that uses it.

    Returns:
        The key, and whether it is another one than was kept before.

    Raises:
        CredentialsError: Somebody else's key is kept here, or the file cannot be written; says what to do.
        ServiceError: The service refused, or did not answer.
    """
    before = key_stamp(config)
    with locked(key_path(config).with_name("lock"), config.service_timeout * (_LOCK_SECONDS + 1)):
        kept = _kept(config)
        if kept is not None and kept.subject != identity.subject:
            raise CredentialsError(
                f"the key in {key_path(config)} is of {kept.username}, and this login of {identity.username}",
                remedy="`octopus logout` first, or set OCTOPUS_CREDENTIALS_DIR to another directory for it",
            )
        if kept is not None and not rotate and key_stamp(config) != before:
            return kept, True  # another login had the lock before us
        if rotate:
            service.delete_key()
        try:
            reply = service.create_key()
        except ServiceError as error:
            if rotate:
                raise ServiceError(f"the old key is gone and there is no new one yet: {error}. Repeat it") from error
            raise
        key = _made(config, service, identity, reply)
        if rotate and kept is not None and key.access_key == kept.access_key:
            raise ServiceError(f"{service.url} gave the old key again", remedy="try `octopus login --rotate` once more")
        if key == kept:
            return kept, False  # the file stays as it is: whoever watches it has nothing to do
        write_secret(key_path(config), _encode(key))
        return key, True


def remove_key(config: OctopusConfig) -> bool:
    """Remove the file of the key; on the service the key goes on, for the user's other machines.

    Returns:
        Whether there was one.
    """
    try:
        key_path(config).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CredentialsError(f"{key_path(config)} cannot be removed: {error}", remedy="remove it by hand") from error
    return True


def _kept(config: OctopusConfig) -> Key | None:
    """The key in the file; None where there is none, or none that can be used."""
    try:
        return load_key(config)
    except CredentialsError:
        # Modes that are too wide are mended by writing it anew; those of the directory are not, and the write says so.
        return None


def _made(config: OctopusConfig, service: Service, identity: Identity, reply: dict[str, Any]) -> Key:
    endpoint = str(reply.get("endpoint") or "")
    try:
        # The same check as for a setting: where the records go is not taken on trust.
        OctopusConfig(profile="kafka", bootstrap_servers=endpoint or None)
    except ValueError:
        raise ServiceError(
            f"{service.url} tells an endpoint that is no list of host:port: {endpoint[:200]!r}"
        ) from None
    return Key(
        subject=identity.subject,
        username=identity.username,
        namespace=identity.namespace,
        environment=config.environment,
        endpoint=endpoint,
        created=str(reply.get("create_date") or ""),
        access_key=reply["access_key"],
        secret_key=reply["secret_key"],
    )


def _encode(key: Key) -> bytes:
    values = {name: getattr(key, name) for name in Key.__slots__}
    return json.dumps({"version": 1, **values}, indent=1).encode()


def _decode(data: bytes) -> Key | None:
    try:
        values = json.loads(data)
        if not isinstance(values, dict) or values.pop("version", None) != 1:
            return None
        key = Key(**values)
    except (ValueError, TypeError):
        return None
    texts = (getattr(key, name) for name in Key.__slots__ if name != "expires")
    if not all(isinstance(text, str) for text in texts) or not (key.access_key and key.secret_key):
        return None
    return key if key.expires is None or isinstance(key.expires, int | float) else None


def log_in(config: OctopusConfig, *, browser: bool = True, rotate: bool = False) -> tuple[Key, bool]:
    """Log in and get the key; what `octopus login` does.

    Args:
        config: Which service, and where the login is kept.
        browser: Whether a browser may be opened.
        rotate: Have a new key made; see ``fetch_key``.

    Returns:
        The key, and whether it is another one than was kept before.

    Raises:
        CredentialsError: The login failed, or somebody else is logged in.
        ServiceError: Globus Auth or the service refused, or did not answer.
        MissingDependencyError: The extra ``octopus`` is not installed.
    """
    login = GlobusLogin(config, browser=browser)
    identity = login.log_in()
    return fetch_key(config, Service(config, login, identity), identity, rotate=rotate)


def open_service(config: OctopusConfig) -> Service:
    """The web service as whoever is logged in, without asking Globus Auth who that is.

    Raises:
        CredentialsError: Nobody is logged in, or somebody else than is meant.
        ServiceError: Globus Auth does not answer.
        MissingDependencyError: The extra ``octopus`` is not installed.
    """
    key = own_key(config)
    try:
        return Service(config, GlobusLogin(config), Identity(key.subject, key.username))
    except CredentialsError as error:
        raise CredentialsError(
            f"the key of {key.username} is here, but no login for the web service: {error}",
            remedy="a service account needs DIASPORA_SDK_CLIENT_ID and DIASPORA_SDK_CLIENT_SECRET for it",
        ) from error
