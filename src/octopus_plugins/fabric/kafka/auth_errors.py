"""Why brokers do not let a client in. librdkafka tells it by the way, in its ``error_cb``; its questions just time out.

What it says there: ``_AUTHENTICATION`` for names, passwords, tokens and mechanisms; ``_SSL`` where the broker's
certificate is not trusted; ``_TRANSPORT`` for the rest of TLS and for a broker that is not there. To a client in clear
text, a broker with TLS only closes the connection, and nothing is said: that one we ask ourselves. It says
``_AUTHENTICATION`` also of a connection that was cut while it was authenticated, or that was shown its next token too
soon: that is no refusal, and passes.

librdkafka goes on trying, some twenty times a second, with the token or password that it has. So whoever has a client
looks here after each poll, and throws the client away.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import time

from confluent_kafka import KafkaError

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import BrokerUnreachableError, CredentialsError, FabricError
from octopus_plugins.fabric.kafka.client_options import kafka_options

log = logging.getLogger("octopus_plugins")

_PROBE_SECONDS = 5.0
_SETTLING_SECONDS = 60.0
"""A key that AWS made just now may be refused for some seconds."""

_REFUSALS = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}
_CERTIFICATE = re.compile(r"alert .*(certificate|unknown ca)")
_CLOSED = re.compile("Broken pipe|Connection reset|Disconnected")
_MECHANISMS = "supported mechanisms:"
_NO_TLS = "connecting to a PLAINTEXT"
_OF_THE_KEY = re.compile(r"^.*?(SASL authentication error|OAUTHBEARER token): ")
_CUT_MEANWHILE = " failed: Local: "
_SHOWN_TOO_SOON = " failed: Broker: Request not valid in current SASL state"
_NOISE = re.compile(r"^\w+://\S+: | \(after \d+ms in state \w+\)|error:[0-9A-F]+:")


class Refusals:
    """What a client heard from brokers that refuse it. To be given to it as ``error_cb``."""

    def __init__(self, config: OctopusConfig) -> None:
        """Nothing was heard yet; to be made before the client is.

        Args:
            config: The configuration that the client has.
        """
        self._config = config
        self._stamp = _stamp(config)
        self.refused = False
        """Whether the credentials themselves were refused: only other ones can change that."""
        self._told: CredentialsError | None = None
        self._hint: str | None = None
        self._probed = False

    def __call__(self, error: KafkaError) -> None:
        """Take in what librdkafka tells."""
        log.debug("librdkafka: %s", error.str())
        told = _refusal(self._config, error)
        if told is not None:
            self._told = told
            self.refused = self.refused or error.code() in _REFUSALS
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # the one before says why
            self._hint = error.str()
        elif self._hint is None and not self._probed:
            self._probed = True
            self._told = self._told or _refused_for_clear_text(self._config)

    @property
    def told(self) -> CredentialsError | None:
        """The refusal that was heard; None where there was none."""
        return self._told

    @property
    def hint(self) -> str | None:
        """What else was heard, such as a connection that failed."""
        return self._hint

    def forget(self) -> None:
        """All is well again."""
        self._told = self._hint = None
        self._probed = self.refused = False

    def may_be_over(self) -> bool:
        """Whether the credentials have been replaced since the client was made."""
        return _stamp(self._config) != self._stamp

    def is_settling(self) -> bool:
        """Whether the key is so new that the brokers may not know it yet."""
        return self._stamp is not None and 0 <= time.time() - self._stamp[0] / 1e9 < _SETTLING_SECONDS

    def error(self, reason: str) -> FabricError:
        """The error for a question that nobody answered.

        Args:
            reason: What the question's own error says.

        Returns:
            A `CredentialsError` where brokers are there and refuse us, else a `BrokerUnreachableError`.
        """
        if self._told is None and (self._hint is None or _CLOSED.search(self._hint)):
            self._told = _refused_for_want_of_a_user(self._config)
        return self._told or unreachable(self._config, self._hint or reason)


def unreachable(config: OctopusConfig, reason: str) -> BrokerUnreachableError:
    """The error for brokers that do not answer."""
    remedy = (
        "`octopus broker up` starts one"
        if config.profile == "local"
        else "check bootstrap_servers and the network (`octopus doctor` finds where the way ends)"
    )
    return BrokerUnreachableError(f"no Kafka broker answers at {config.address} ({reason})", remedy=remedy)


def forbidden(config: OctopusConfig, name: str) -> CredentialsError:
    """The error for a topic, by its Kafka name, that the brokers do not let this user read."""
    user = f" by user {config.sasl_username}" if config.sasl_username else ""
    return CredentialsError(
        f"topic {name} may not be read{user} at {config.address}",
        remedy="set namespace to your own, or ask whoever runs the broker to grant it",
    )


def _refusal(config: OctopusConfig, error: KafkaError) -> CredentialsError | None:
    said = _NOISE.sub("", error.str())
    where = f"profile {config.profile!r}"
    if error.code() in _REFUSALS:
        # A listener that takes no user says the second one, too: that of the Octopus service does.
        if _CUT_MEANWHILE in said or (config.profile == "octopus" and _SHOWN_TOO_SOON in said):
            return None
        if config.profile == "octopus":
            reason = _OF_THE_KEY.sub("", said)
            return CredentialsError(
                f"the brokers at {config.address} refuse the key of {config.namespace} ({reason})",
                remedy=(
                    "it was replaced or has ended: run `octopus login`, here or wherever this home"
                    " directory is, and what runs goes on by itself"
                ),
                code="key_refused",
            )
        user = f" of user {config.sasl_username}" if config.sasl_username else ""
        remedy = f"check sasl_username, sasl_password and sasl_mechanism of {where}"
        code = "credentials_refused"
        if _MECHANISMS in said:
            code = "sasl_not_offered" if said.rstrip(" .").endswith(_MECHANISMS) else "mechanism_refused"
        return CredentialsError(f"{config.address} refused the credentials{user}: {said}", remedy=remedy, code=code)
    if _NO_TLS in said:
        return CredentialsError(
            f"{config.address} does not speak TLS ({said})",
            remedy=f"if that is as it should be, set security_protocol of {where} to PLAINTEXT or SASL_PLAINTEXT",
        )
    if _CERTIFICATE.search(said):
        return CredentialsError(
            f"{config.address} refused the client's certificate: {said}",
            remedy=f"check ssl_certificate_location and ssl_key_location of {where}",
            code="client_certificate_refused",
        )
    if error.code() == KafkaError._SSL:
        return CredentialsError(
            f"{config.address} cannot be trusted: {said}",
            remedy=f"set ssl_ca_location of {where} to the certificate of the authority that its operator names",
            code="certificate_untrusted",
        )
    return None


def _stamp(config: OctopusConfig) -> tuple[int, int, int] | None:
    if config.profile != "octopus":
        return None
    from octopus_plugins.fabric.octopus.keys import key_stamp

    return key_stamp(config)


def _refused_for_clear_text(config: OctopusConfig) -> CredentialsError | None:
    protocol = kafka_options(config)["security.protocol"]
    if protocol.endswith("SSL") or not _speaks_tls(config):
        return None
    return CredentialsError(
        f"{config.address} speaks TLS only, and {protocol} is refused",
        remedy=f"set security_protocol of profile {config.profile!r} to SSL or SASL_SSL, and ssl_ca_location",
    )


def _refused_for_want_of_a_user(config: OctopusConfig) -> CredentialsError | None:
    if config.profile == "octopus" or config.ssl_certificate_location:
        return None
    if kafka_options(config)["security.protocol"] != "SSL" or not _speaks_tls(config):
        return None
    return CredentialsError(
        f"{config.address} closes connections that have TLS but no user",
        remedy=(
            f"set security_protocol of profile {config.profile!r} to SASL_SSL, and sasl_mechanism,"
            " sasl_username and sasl_password"
        ),
        code="user_missing",
    )


def _speaks_tls(config: OctopusConfig) -> bool:
    """Whether a broker that takes connections answers to TLS. Nothing is sent, so that it need not be trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for server in config.servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            place = (host.strip("[]"), int(port))
            with socket.create_connection(place, _PROBE_SECONDS) as plain, context.wrap_socket(plain):
                return True
        except OSError:
            continue
    return False
