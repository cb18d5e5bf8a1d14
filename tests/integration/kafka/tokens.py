"""Tokens as clients of Amazon MSK show them, the keys that they are made with, and a broker that accepts them."""

from __future__ import annotations

import base64
import secrets
import subprocess
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from botocore.credentials import CredentialProvider, Credentials

from octopus_plugins.local import ApacheKafka, kafka_jars

REGION = "us-east-1"

_LISTENER = "listener.name.clients"
_HANDLER = "org.octopus.kafka.MskTokenHandler"

_SOURCES = Path(__file__).parent / "java"

TOKEN_SETTINGS = {
    f"{_LISTENER}.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
    f"{_LISTENER}.oauthbearer.sasl.jaas.config": (
        'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required keys="{keys}";'
    ),
    f"{_LISTENER}.oauthbearer.sasl.server.callback.handler.class": _HANDLER,
    f"{_LISTENER}.oauthbearer.sasl.login.callback.handler.class": _HANDLER,
    # A connection shows its token again this often, and so lives little longer than its token, or the key of that.
    f"{_LISTENER}.oauthbearer.connections.max.reauth.ms": "10000",
}
"""What makes a secure node accept tokens; ``{keys}`` is the file of `Keys`."""


class _Provider(CredentialProvider):
    METHOD = "test"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials


class Keys:
    """The keys that a node knows; they can be made and revoked while it runs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._known: dict[str, tuple[str, str]] = {}
        self._write()

    def make(self, principal: str) -> tuple[str, str]:
        """Make an access key and its secret."""
        access, secret = "AKIA" + secrets.token_hex(8).upper(), secrets.token_hex(20)
        self.add(access, secret, principal)
        return access, secret

    def add(self, access: str, secret: str, principal: str) -> None:
        """Know a key that somebody else made."""
        self._known[access] = secret, principal
        self._write()

    def revoke(self, access: str) -> None:
        """Forget a key."""
        del self._known[access]
        self._write()

    def revoke_all(self, principal: str) -> None:
        """Forget every key of somebody."""
        self._known = {access: rest for access, rest in self._known.items() if rest[1] != principal}
        self._write()

    def _write(self) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text("".join(f"{access} {' '.join(rest)}\n" for access, rest in self._known.items()))
        draft.replace(self.file)


def compile_validator(out: Path) -> Path:
    """Compile the broker's validator of tokens into a directory, and return that."""
    sources = [str(file) for file in _SOURCES.rglob("*.java")]
    subprocess.run(
        ["javac", "--release", "17", "-Xlint:all", "-Werror", "-cp", kafka_jars.class_path(), "-d", str(out), *sources],
        check=True,
    )
    return out


def token_kafka(keys: Keys, classes: Path) -> ApacheKafka:
    """One node, not started yet, with TLS, access control, and users that log in by SCRAM or by tokens.

    Args:
        keys: What tokens may be signed with.
        classes: Directory of the compiled validator.
    """
    settings = {name: value.format(keys=keys.file) for name, value in TOKEN_SETTINGS.items()}
    return ApacheKafka(secure=True, settings=settings, extra_classes=[classes])


def make_token(key: tuple[str, str], seconds: int = 900) -> tuple[str, float]:
    """A token and the time of its end, Unix seconds."""
    with mock.patch.object(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", seconds):
        token, millis = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(
            REGION, _Provider(Credentials(*key))
        )
    return token, millis / 1000


def change(token: str, *, host: str | None = None, **changes: str) -> str:
    """A token with another host or other parameters in its URL."""
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    url = urlsplit(text)
    query = dict(parse_qsl(url.query)) | {name.replace("_", "-"): value for name, value in changes.items()}
    changed = urlunsplit(url._replace(netloc=host or url.netloc, query=urlencode(query)))
    return base64.urlsafe_b64encode(changed.encode()).decode().rstrip("=")
