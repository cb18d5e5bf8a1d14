"""A stand-in for Globus Auth: the endpoints that logging in, renewing, asking who one is, and logging out need."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from .wire import Reply, Request, WireServer

SERVICE = "2b9d2f5c-fa32-45b5-875b-b24cd343b917"
NATIVE_CLIENT = "c5d4fab4-7f0d-422e-b0c8-5c74329b52fe"
AUTH = "auth.globus.org"
_SCOPES = {f"https://auth.globus.org/scopes/{SERVICE}/action_all": SERVICE}
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Person:
    """Who may log in.

    Attributes:
        username: The user's name.
        subject: The Globus subject.
        client_secret: For a service account, whose client id is its subject.
    """

    username: str
    subject: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_secret: str | None = None

    @property
    def namespace(self) -> str:
        return f"ns-{self.subject.replace('-', '')[-12:]}"


@dataclass
class Token:
    """An access token, and what it is good for."""

    person: Person
    resource_server: str
    scope: str
    active: bool = True


class StandinGlobus:
    """Globus Auth. Whoever opens the login page is ``user``, and consents."""

    def __init__(self, user: Person, port: int = 0) -> None:
        self.user = user
        self.clients: dict[str, Person] = {}
        self.tokens: dict[str, Token] = {}
        self.refresh_tokens: dict[str, tuple[Person, str]] = {}
        self.more_servers_for_clients = False
        self._codes: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._wire = WireServer(self._answer, port)
        self.url = self._wire.url
        self.requests, self.faults = self._wire.requests, self._wire.faults

    def __enter__(self) -> StandinGlobus:
        self._wire.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.stop()

    def person_of(self, token: str) -> Token | None:
        """Whose token it is, and for what; None for one that was never given."""
        return self.tokens.get(token)

    def deactivate_tokens(self) -> None:
        """Let every access token given so far end before its time."""
        with self._lock:
            for token in self.tokens.values():
                token.active = False

    def secrets(self) -> list[str]:
        """Every token that was given."""
        return [*self.tokens, *self.refresh_tokens]

    def _answer(self, request: Request) -> Reply:
        routes = {
            ("GET", "/v2/oauth2/authorize"): self._authorize,
            ("POST", "/v2/oauth2/token"): self._token,
            ("POST", "/v2/oauth2/token/revoke"): self._revoke,
            ("GET", "/v2/oauth2/userinfo"): self._userinfo,
            ("GET", "/.well-known/openid-configuration"): self._configuration,
            ("GET", "/jwk.json"): self._jwk,
        }
        route = routes.get((request.method, request.path))
        return route(request) if route else _error(404, "NOT_FOUND", "no such page")

    def _authorize(self, request: Request) -> Reply:
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[code] = request.query
        target = request.query["redirect_uri"]
        if target.startswith(self.url):
            return Reply(f"Authorization code: {code}")
        return Reply("", 302, {"Location": f"{target}?code={code}&state={request.query.get('state', '')}"})

    def _token(self, request: Request) -> Reply:
        grant = request.form.get("grant_type")
        if grant == "authorization_code":
            asked = self._codes.pop(request.form.get("code", ""), None)
            if asked is None:
                return _error(400, "invalid_grant", "the code is not known")
            digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
            if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
                return _error(400, "invalid_grant", "the code verifier is wrong")
            return self._grant(self.user, asked["scope"], asked.get("access_type") == "offline", asked["client_id"])
        if grant == "refresh_token":
            kept = self.refresh_tokens.get(request.form.get("refresh_token", ""))
            return self._grant(*kept, False, NATIVE_CLIENT) if kept else _error(400, "invalid_grant", "token revoked")
        if grant == "client_credentials":
            person = self._client(request)
            if person is None:
                return _error(401, "invalid_client", "the secret is wrong")
            scopes = request.form["scope"]
            if self.more_servers_for_clients and "openid" not in scopes.split():
                scopes += " openid"
            return self._grant(person, scopes, False, person.subject)
        return _error(400, "unsupported_grant_type", str(grant))

    def _grant(self, person: Person, scope: str, refreshable: bool, client_id: str) -> Reply:
        wanted: dict[str, list[str]] = {}
        for each in scope.split():
            wanted.setdefault(_SCOPES.get(each, AUTH), []).append(each)
        given = [self._issue(person, server, " ".join(names), refreshable) for server, names in wanted.items()]
        first, others = given[0], given[1:]
        first["other_tokens"] = others
        if "openid" in scope.split():
            claims = {"sub": person.subject, "preferred_username": person.username, "aud": client_id, "iss": self.url}
            claims |= {"iat": int(time.time()), "exp": int(time.time()) + 3600}  # type: ignore[dict-item]
            first["id_token"] = jwt.encode(claims, _KEY, algorithm="RS512")
        return Reply(first)

    def _issue(self, person: Person, server: str, scope: str, refreshable: bool) -> dict[str, Any]:
        access = f"canary-access-{secrets.token_hex(16)}"
        given = {
            "access_token": access,
            "resource_server": server,
            "scope": scope,
            "expires_in": 172800,
            "token_type": "Bearer",
        }
        with self._lock:
            self.tokens[access] = Token(person, server, scope)
            if refreshable:
                given["refresh_token"] = f"canary-refresh-{secrets.token_hex(16)}"
                self.refresh_tokens[str(given["refresh_token"])] = (person, scope)
        return given

    def _client(self, request: Request) -> Person | None:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        client_id, _, secret = base64.b64decode(rest).decode().partition(":")
        person = self.clients.get(client_id)
        return person if person is not None and person.client_secret == secret else None

    def _revoke(self, request: Request) -> Reply:
        token = request.form.get("token", "")
        with self._lock:
            self.refresh_tokens.pop(token, None)
            if token in self.tokens:
                self.tokens[token].active = False
        return Reply({"active": False})

    def _userinfo(self, request: Request) -> Reply:
        token = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if token is None or not token.active or token.resource_server != AUTH:
            return _error(401, "UNAUTHORIZED", "the token is not valid")
        return Reply({"sub": token.person.subject, "preferred_username": token.person.username})

    def _configuration(self, _: Request) -> Reply:
        return Reply({"jwks_uri": f"{self.url}/jwk.json", "id_token_signing_alg_values_supported": ["RS512"]})

    def _jwk(self, _: Request) -> Reply:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
        return Reply({"keys": [{**key, "alg": "RS512", "use": "sig", "kid": "standin"}]})


def _error(status: int, code: str, detail: str) -> Reply:
    return Reply({"error": code, "error_description": detail, "errors": [{"code": code, "detail": detail}]}, status)
