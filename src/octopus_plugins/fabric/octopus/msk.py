"""Tokens for Amazon MSK, signed with the user's key."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError, OctopusError
from octopus_plugins.fabric.octopus.keys import Key, Stamp, key_stamp, own_key
from octopus_plugins.fabric.octopus.login import octopus_extra

if TYPE_CHECKING:
    from botocore.credentials import CredentialProvider

log = logging.getLogger("octopus_plugins")

_signing = threading.local()


class TokenSource:
    """Makes a token whenever librdkafka asks for one, from the key as its file holds it at that time.

    confluent-kafka calls it on a thread of librdkafka's own, at the start and when four fifths of a token's life are
    over. It has to raise when it cannot: librdkafka then asks again in ten seconds. None would end the process.
    """

    def __init__(self, config: OctopusConfig) -> None:
        """Prepare; reads nothing yet.

        Args:
            config: Whose key, and the region of the brokers.

        Raises:
            MissingDependencyError: ``aws-msk-iam-sasl-signer-python`` is not installed.
        """
        with octopus_extra():
            import aws_msk_iam_sasl_signer  # noqa: F401

        self._config = config
        self._key: Key | None = None
        self._stamp: Stamp = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make a token and forget it: load what that needs, and find out whether it can be done.

        Raises:
            CredentialsError: There is no key, or none that may be used; says what to do.
        """
        with self._lock:
            sign(self._read(), self._config.region)

    def __call__(self, _: str) -> tuple[str, float]:
        """A token and when it ends, Unix seconds.

        Raises:
            CredentialsError: There is no key, or none that may be used; says what to do.
        """
        try:
            with self._lock:
                token = sign(self._read(), self._config.region)
            _told.pop(_place(self._config), None)
            return token
        except OctopusError as error:
            _tell_once(self._config, str(error))
            raise
        except Exception as error:  # noqa: BLE001  the border to librdkafka; its text is shown to people
            reason = (
                f"no token for the Octopus brokers could be made ({type(error).__name__}); `octopus login` may help"
            )
            _tell_once(self._config, reason)
            raise CredentialsError(reason) from None

    def __repr__(self) -> str:
        return f"<TokenSource of {self._config.namespace}>"

    def __reduce__(self) -> Any:
        return type(self), (self._config,)  # without the key

    def _read(self) -> Key:
        stamp = key_stamp(self._config)
        if self._key is None or stamp != self._stamp:
            self._key, self._stamp = own_key(self._config), stamp
        return self._key


def sign(key: Key, region: str) -> tuple[str, float]:
    """Sign a token.

    Args:
        key: With what.
        region: The AWS region of the brokers.

    Returns:
        The token, and when it ends, Unix seconds: never after the key itself.
    """
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

    _silence_botocore()
    _signing.now = True
    try:
        token, milliseconds = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(region, _provider(key))
    finally:
        _signing.now = False
    expires = milliseconds / 1000
    return token, expires if key.expires is None else min(expires, key.expires)


def _provider(key: Key) -> CredentialProvider:
    """The key as the signer wants it. It looks nowhere else: not into the environment, and not into ``~/.aws``."""
    from botocore.credentials import CredentialProvider, Credentials

    class OctopusKey(CredentialProvider):  # type: ignore[misc]
        def load(self) -> Credentials:
            return Credentials(key.access_key, key.secret_key)

    return OctopusKey()


_told: dict[str, str] = {}


def _tell_once(config: OctopusConfig, reason: str) -> None:
    """Log what is wrong when it is new: librdkafka asks again every ten seconds."""
    if _told.get(_place(config)) != reason:
        _told[_place(config)] = reason
        log.warning("%s", reason)


def _place(config: OctopusConfig) -> str:
    return str(config.credentials_dir / config.environment)


class _NotWhileSigning(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_signing, "now", False)


_filter = _NotWhileSigning()


def _silence_botocore() -> None:
    """Keep our signatures out of botocore's debug log, of which a token can be put together again."""
    for name in ("botocore.auth", "botocore.credentials"):
        logger = logging.getLogger(name)
        if _filter not in logger.filters:
            logger.addFilter(_filter)
