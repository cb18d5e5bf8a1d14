"""Who we are and how we reach the brokers, as librdkafka settings. The only place that unwraps a secret."""

from __future__ import annotations

from typing import Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError


def kafka_options(config: OctopusConfig) -> dict[str, Any]:
    """The settings of a librdkafka client that say where the brokers are and how to speak to them.

    Args:
        config: The configuration.

    Returns:
        ``bootstrap.servers``, ``security.protocol``, and what that protocol needs.

    Raises:
        ConfigError: No address is known.
        CredentialsError: Credentials are missing or contradictory, the connection would be in clear text
            over a network, or nobody is logged in to the Octopus service.
        MissingDependencyError: The profile is ``octopus``, and the extra of that name is not installed.
    """
    if config.profile == "octopus":
        return _msk(config)
    config = config.with_local_user()
    protocol = config.security_protocol or _guess_protocol(config)
    options: dict[str, Any] = {"bootstrap.servers": config.servers, "security.protocol": protocol}
    encrypted = protocol in {"SSL", "SASL_SSL"}
    if not encrypted and not config.allow_plaintext and not config.on_loopback():
        raise CredentialsError(
            f"{protocol} would send everything in clear text to {config.servers}, which is not on this machine",
            remedy="set security_protocol to SSL or SASL_SSL, or allow_plaintext = true if the network is trusted",
            code="clear_text_refused",
        )
    if encrypted:
        options |= _tls(config)
    if protocol.startswith("SASL"):
        options |= _sasl(config)
    return options


def _msk(config: OctopusConfig) -> dict[str, Any]:
    """Amazon MSK with IAM: tokens over OAUTHBEARER, made from the key that `octopus login` keeps."""
    from octopus_plugins.fabric.octopus.msk import TokenSource

    tokens = TokenSource(config)
    # What is wrong with the key is said now, and what signing needs is loaded now: librdkafka waits for its first token
    # for ten seconds and no longer.
    tokens.prepare()
    protocol = config.security_protocol or "SASL_SSL"
    # A token is as good as the key for a quarter of an hour: in clear text for tests on this machine only.
    if protocol != "SASL_SSL" and not (protocol == "SASL_PLAINTEXT" and config.on_loopback()):
        raise CredentialsError(
            f"profile 'octopus' is reached by SASL_SSL only, not by {protocol}", remedy="unset security_protocol"
        )
    options: dict[str, Any] = {
        "bootstrap.servers": config.servers,
        "security.protocol": protocol,
        "sasl.mechanisms": "OAUTHBEARER",
        "oauth_cb": tokens,
    }
    return options | _tls(config) if protocol == "SASL_SSL" else options


def _guess_protocol(config: OctopusConfig) -> str:
    encrypted = bool(config.ssl_ca_location or config.ssl_certificate_location)
    if config.sasl_mechanism or config.sasl_username:
        return "SASL_SSL" if encrypted or not config.on_loopback() else "SASL_PLAINTEXT"
    return "SSL" if encrypted else "PLAINTEXT"


def _tls(config: OctopusConfig) -> dict[str, Any]:
    # "probe" looks where the distributions keep their certificates; the wheel's OpenSSL knows none of those places.
    options: dict[str, Any] = {"ssl.ca.location": config.ssl_ca_location or "probe"}
    if bool(config.ssl_certificate_location) != bool(config.ssl_key_location):
        raise CredentialsError(
            "mTLS needs both ssl_certificate_location and ssl_key_location; only one of them is set in profile"
            f" {config.profile!r}"
        )
    if config.ssl_certificate_location:
        options["ssl.certificate.location"] = config.ssl_certificate_location
        options["ssl.key.location"] = config.ssl_key_location
    return options


def _sasl(config: OctopusConfig) -> dict[str, Any]:
    wanted = ("sasl_mechanism", "sasl_username", "sasl_password")
    missing = [name for name in wanted if getattr(config, name) is None]
    if missing:
        variables = ", ".join(f"OCTOPUS_{name.upper()}" for name in missing)
        raise CredentialsError(
            f"SASL needs {' and '.join(missing)} in profile {config.profile!r}",
            remedy=f"set {variables} or the keys in the file",
        )
    assert config.sasl_password is not None
    return {
        "sasl.mechanisms": config.sasl_mechanism,
        "sasl.username": config.sasl_username,
        "sasl.password": config.sasl_password.get_secret_value(),
    }
