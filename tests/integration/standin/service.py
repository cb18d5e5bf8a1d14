"""A stand-in for the Octopus web service (release 0.4.6), written from what was observed of it."""

from __future__ import annotations

import re
import secrets
import threading
import time
import uuid
from typing import Any

from .backend import Backend, MemoryBackend
from .globus import SERVICE, StandinGlobus, Token
from .wire import Reply, Request, WireServer

# As the service does it: `$` lets a line break at the end through.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{1,30}[A-Za-z0-9]$")


class StandinService:
    """The web service, over a stand-in of Globus Auth and a backend.

    Attributes:
        endpoint: The bootstrap servers that it tells.
        users: Key and topics of each user, by subject.
    """

    def __init__(
        self, globus: StandinGlobus, backend: Backend | None = None, *, endpoint: str = "", port: int = 0
    ) -> None:
        self.endpoint = endpoint
        self.users: dict[str, dict[str, Any]] = {}
        self.backend = backend if backend is not None else MemoryBackend()
        self._globus = globus
        self._lock = threading.Lock()
        self._wire = WireServer(self._answer, port)
        self.url = self._wire.url
        self.requests, self.faults = self._wire.requests, self._wire.faults

    def set_clock(self, ahead: float) -> None:
        """Have the service's clock go that many seconds ahead."""
        self._wire.ahead = ahead

    def __enter__(self) -> StandinService:
        self._wire.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.stop()

    def calls(self, method: str, path: str) -> list[Request]:
        """The requests with this method whose path begins so."""
        return [each for each in self.requests if each.method == method and each.path.startswith(path)]

    def namespaces_named(self) -> set[str]:
        """Every namespace that anybody named in a request."""
        found = (re.match(r"/api/v3/([^/]+)/", each.path, re.DOTALL) for each in self.requests)
        return {each[1] for each in found if each}

    def revoke_key(self, subject: str) -> None:
        """Take a key away, as somebody who rotates it on another machine does."""
        with self._lock:
            self._drop_key(self.users[subject])

    def secrets(self) -> list[str]:
        """Every secret key that was given."""
        return [secret for user in self.users.values() for secret in user["secrets"]]

    def _answer(self, request: Request) -> Reply:
        if request.path.endswith("/"):
            return Reply("", 307, {"Location": request.path.rstrip("/")})
        parts = request.path.split("/")[1:]
        if parts[:2] != ["api", "v3"] or len(parts) not in {3, 4, 5}:
            return Reply({"detail": "Not Found"}, 404)
        token = self._token(request)
        if isinstance(token, Reply):
            return token
        with self._lock:
            return self._route(request.method, parts[2:], token)

    def _token(self, request: Request) -> Token | Reply:
        """The token of a request, or what the service says of it."""
        subject = request.headers.get("subject")
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not subject or not bearer:
            return Reply({"detail": [{"loc": ["header"], "msg": "Field required"}]}, 422)
        try:
            uuid.UUID(subject)
        except ValueError:
            return _trouble("Invalid user ID; expected UUID.")
        token = self._globus.person_of(bearer)
        if token is None or not token.active:
            return _trouble("Token is inactive.")
        if token.resource_server != SERVICE:
            return _trouble(f"Not in the audience set. It is {{'{SERVICE}'}}")
        if "action_all" not in token.scope:
            return _trouble("Token lacks the scope for action.")
        if token.person.subject != subject:
            return _trouble("Token does not belong to the user.")
        return token

    def _route(self, method: str, parts: list[str], token: Token) -> Reply:
        subject = token.person.subject
        if parts == ["key"]:
            routes = {"POST": self._create_key, "DELETE": self._delete_key}
            return routes[method](token) if method in routes else Reply({"detail": "Method Not Allowed"}, 405)
        if parts == ["user"] and method == "POST":
            self._user(token)
            return _success(subject=subject, namespace=token.person.namespace)
        if parts == ["namespace"] and method == "GET":
            user = self.users.get(subject)
            return _success(namespaces={token.person.namespace: sorted(user["topics"])} if user else {})
        if len(parts) == 2 and method in {"POST", "DELETE"}:
            return self._change_topic(method, parts[0], parts[1], token)
        if len(parts) == 3 and parts[2] == "recreate" and method == "PUT":
            gone = self._change_topic("DELETE", parts[0], parts[1], token)
            return self._change_topic("POST", parts[0], parts[1], token) if gone.body["status"] == "success" else gone  # type: ignore[index]
        return Reply({"detail": "Method Not Allowed"}, 405)

    def _user(self, token: Token) -> dict[str, Any]:
        return self.users.setdefault(
            token.person.subject,
            {"namespace": token.person.namespace, "key": None, "secrets": [], "topics": set()},
        )

    def _create_key(self, token: Token) -> Reply:
        user = self._user(token)
        fresh = user["key"] is None
        if fresh:
            secret = f"canary-secret-{secrets.token_hex(16)}"
            created = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
            user["key"] = {"access_key": f"AKIA{secrets.token_hex(8).upper()}", "secret_key": secret}
            user["key"]["create_date"] = created
            user["secrets"].append(secret)
            self.backend.set_key(user["namespace"], user["key"]["access_key"], secret)
        return _success(**user["key"], endpoint=self.endpoint, fresh=fresh)

    def _delete_key(self, token: Token) -> Reply:
        self._drop_key(self._user(token))
        return _success()

    def _drop_key(self, user: dict[str, Any]) -> None:
        user["key"] = None
        self.backend.drop_key(user["namespace"])

    def _change_topic(self, method: str, namespace: str, topic: str, token: Token) -> Reply:
        if not _NAME.match(topic):
            return _failure("Topic name must be 3 to 32 characters long and …")
        if method == "DELETE":
            # The real one does so too: the foreign topic is gone although the answer is a failure.
            self.backend.delete_topic(f"{namespace}.{topic}")
        user = self.users.get(token.person.subject)
        if user is None or namespace != token.person.namespace:
            return _failure(f"Namespace {namespace} not found for {token.person.subject}")
        if method == "DELETE":
            user["topics"].discard(topic)
        else:
            try:
                self.backend.create_topic(f"{namespace}.{topic}")
            except OSError as error:
                user["topics"].discard(topic)  # also from the listing
                return _failure(f"Kafka is not there: {error}")
            user["topics"].add(topic)
        return _success(topics=sorted(user["topics"]))


def _success(**more: Any) -> Reply:
    return Reply({"status": "success", "message": "OK", **more})


def _failure(message: str) -> Reply:
    return Reply({"status": "failure", "message": message})


def _trouble(reason: str) -> Reply:
    return Reply({"status": "error", "reason": reason})
