"""The way to the Octopus service: the login, the key, the web service, the clock. No other profile needs any of it."""

from __future__ import annotations

import time
from typing import Any

from octopus_plugins.doctor.case import Case
from octopus_plugins.doctor.findings import Finding, not_needed, not_tried, ok, trouble
from octopus_plugins.errors import CredentialsError, MissingDependencyError, OctopusError, ServiceError
from octopus_plugins.fabric.octopus.keys import key_path, own_key
from octopus_plugins.fabric.octopus.login import GlobusLogin
from octopus_plugins.fabric.octopus.service import Service, greet

_NOT_OCTOPUS = "not needed: only the Octopus service asks for it"

SKEW_SECONDS = 300.0
"""Signatures that are older, or further in the future, AWS refuses (Signature Version 4)."""

_DRIFT_SECONDS = 60.0

# What the errors of each question come to, by their codes.
_LOGIN = {
    "login_client_refused": "login.client_refused",
    "secret_exposed": "login.exposed",
    "login_damaged": "login.damaged",
}
_KEY = {
    "secret_exposed": "key.exposed",
    "key_of_other_service": "key.other_service",
    "key_of_other_namespace": "key.other_namespace",
}
_GREETING = {
    "service_unknown_host": "service.unknown_host",
    "certificate_untrusted": "service.untrusted",
    "service_slow": "service.slow",
}


def login(case: Case) -> Finding:
    """Ask Globus Auth who is logged in, which renews the token where it has to be."""
    if case.config.profile != "octopus":
        return not_needed("login", _NOT_OCTOPUS)
    try:
        case.identity = GlobusLogin(case.config).identity()
    except MissingDependencyError as error:
        case.package_missing = True
        return trouble("login.package", error.what)
    except ServiceError as error:
        return trouble("login.globus_away", error.what)
    except CredentialsError as error:
        if error.code != "login_missing":
            file = str(key_path(case.config).with_name("tokens.json"))
            texts = {"command": _mend(error), "file": file}
            return trouble(_LOGIN.get(error.code, "login.ended"), error.what, texts)
        if key_path(case.config).exists():
            return trouble("login.only_key", "no login for the web service is kept here, but a key is")
        case.login_missing = True
        return trouble("login.missing", f"no login is kept in {key_path(case.config).parent}")
    return ok("login", f"{case.identity.username}, asked of Globus Auth", username=case.identity.username)


def key(case: Case) -> Finding:
    """Read the key. Whether it is still in force only the brokers say: to ask the service for it might make one."""
    config = case.config
    if config.profile != "octopus":
        return not_needed("key", _NOT_OCTOPUS)
    path = key_path(config)
    if case.package_missing or (case.login_missing and not path.exists()):
        return not_tried("key", "login")
    if not path.exists():
        return trouble("key.missing", f"there is no {path}")
    try:
        found = own_key(config)
    except CredentialsError as error:
        return trouble(_KEY.get(error.code, "key.damaged"), error.what, {"command": _mend(error)})
    if case.identity is not None and case.identity.subject != found.subject:
        return trouble("key.other_user", f"the login is of {case.identity.username}, the key of {found.username}")
    if found.expires is not None and found.expires <= time.time():
        return trouble("key.expired", f"the key ended {time.time() - found.expires:.0f} s ago")
    if not (config.bootstrap_servers or found.endpoint):
        return trouble("key.no_address", f"{path} names no bootstrap servers")
    case.key = found
    return ok(
        "key",
        f"{path}, of {found.username}, made {found.created or 'at a time not told'}",
        file=str(path),
        namespace=found.namespace,
        created=found.created,
    )


def _mend(error: OctopusError) -> str:
    """What to do about a file that others can read."""
    return f"`{error.command}`" if error.command else "set OCTOPUS_CREDENTIALS_DIR to a directory of your own"


def service(case: Case) -> Finding:
    """Reach the web service, hear its time, and ask it for the topics as whoever is logged in."""
    config = case.config
    if config.profile != "octopus":
        return not_needed("service", _NOT_OCTOPUS)
    if case.package_missing:
        return not_tried("service", "login")
    try:
        greeting = greet(config)
    except ServiceError as error:
        return trouble(_GREETING.get(error.code, "service.away"), error.what, case.texts())
    case.skew = greeting.skew
    details: dict[str, Any] = {"url": greeting.url, "milliseconds": round(1000 * greeting.seconds, 1)}
    reached = f"{greeting.url} answers in {1000 * greeting.seconds:.0f} ms"
    if greeting.status >= 500:
        return trouble("service.failing", f"{greeting.url} answers HTTP {greeting.status}")
    if greeting.status == 404:
        return trouble("service.wrong_url", f"{greeting.url} answers HTTP 404")
    if case.identity is None:
        return ok("service", f"{reached}; not asked anything, as nobody is logged in", **details)
    try:
        topics = Service(config, GlobusLogin(config), case.identity).list_topics()
    except ServiceError as error:
        return trouble("service.refused" if error.code == "login_refused" else "service.failing", error.what)
    return ok("service", f"{reached} and lists {len(topics)} topics", topics=topics, **details)


def clock(case: Case) -> Finding:
    """Compare the clock with the web service's: what is signed here must not look old or of the future there."""
    if case.config.profile != "octopus":
        return not_needed("clock", "not needed: nothing is signed with the time for these brokers")
    if case.skew is None:
        return not_tried("clock", "login" if case.package_missing else "service")
    off = f"{abs(case.skew):.0f} s {'ahead of' if case.skew > 0 else 'behind'} the web service's"
    if abs(case.skew) > SKEW_SECONDS:
        return trouble("clock.skewed", f"it is {off}", skew_seconds=round(case.skew, 1))
    if abs(case.skew) > _DRIFT_SECONDS:
        return trouble("clock.drifting", f"it is {off}", skew_seconds=round(case.skew, 1))
    seen = "within two seconds of the web service's" if abs(case.skew) <= 2 else off
    return ok("clock", seen, skew_seconds=round(case.skew, 1))
