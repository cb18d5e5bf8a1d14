"""The Octopus web service: who has which key and which topics.

It stands on ``WebClient`` of ``diaspora_event_sdk``, not on its ``Client``. That one makes a login of its own, with its
own files and its own prompts, asks Globus Auth who somebody is each time it is made, and hands replies on unjudged; and
a reply of 200 proves nothing here. Only ``"status": "success"`` does. Trouble with the login comes as 200 too
(``error`` and ``reason``), so that globus-sdk never renews a token by itself, and so does every refusal (``failure``
and ``message``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError, ServiceError
from octopus_plugins.fabric.octopus.login import GlobusLogin, Identity, octopus_extra

_PAUSE_SECONDS = (0.2, 0.5, 1.0, 2.0)
_GREETING_BYTES = 64 * 1024
_INACTIVE = "Token is inactive"
_PASSING = (429, 502, 503, 504)  # and 500, which the service gives for whatever it did not foresee
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{1,30})[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the web service answers to whoever shows nothing.

    Attributes:
        url: Where it is.
        status: The HTTP status.
        seconds: How long that took.
        skew: Seconds by which this machine's clock is ahead of the service's; None where it does not tell the time.
    """

    url: str
    status: int
    seconds: float
    skew: float | None


def greet(config: OctopusConfig) -> Greeting:
    """Reach the web service without a login, within ``config.service_timeout``.

    Raises:
        ServiceError: It cannot be reached; says why.
        MissingDependencyError: ``diaspora-event-sdk`` is not installed.
    """
    with octopus_extra():
        import requests
        from diaspora_event_sdk.sdk._environments import get_web_service_url

    url = (config.service_url or get_web_service_url()).rstrip("/")
    sent = time.time()
    try:
        with requests.get(
            f"{url}/api/v3/namespace", timeout=config.service_timeout, allow_redirects=False, stream=True
        ) as reply:
            seconds = reply.elapsed.total_seconds()
            next(reply.iter_content(_GREETING_BYTES), b"")  # or the service hears of a connection that was cut
    except requests.exceptions.SSLError as error:
        raise ServiceError(
            f"the certificate of {url} is not trusted",
            remedy="check service_url and the proxy",
            code="certificate_untrusted",
        ) from error
    except requests.exceptions.Timeout as error:
        raise ServiceError(
            f"{url} gives no answer within {config.service_timeout:g} s", remedy="try again later", code="service_slow"
        ) from error
    except requests.exceptions.RequestException as error:
        unknown = "NameResolutionError" in str(error) or "getaddrinfo" in str(error)
        what = "has an unknown host" if unknown else f"takes no connection ({type(error).__name__})"
        code = "service_unknown_host" if unknown else None
        raise ServiceError(f"{url} {what}", remedy="check service_url and the network", code=code) from error
    return Greeting(url, reply.status_code, seconds, _skew(reply.headers.get("Date"), sent + seconds / 2))


def _skew(date: str | None, now: float) -> float | None:
    """How far a time is ahead of a Date header, which has whole seconds."""
    try:
        told = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
    return now - told - 0.5


class Service:
    """The web service, as one user. Every call ends within about ``config.service_timeout``."""

    def __init__(self, config: OctopusConfig, login: GlobusLogin, identity: Identity) -> None:
        """Prepare; asks nothing yet.

        Args:
            config: Where the service is, and how long it may take.
            login: Whose tokens are sent.
            identity: Who that is. Nothing outside of this one's namespace is ever named to the service: it would
                delete a topic of somebody else and call it a failure.

        Raises:
            MissingDependencyError: ``diaspora-event-sdk`` is not installed.
            CredentialsError: Nobody is logged in.
            ServiceError: Globus Auth does not answer.
        """
        with octopus_extra():
            from diaspora_event_sdk.sdk.web_client import WebClient
            from globus_sdk.transport import RequestsTransport, RetryConfig

        self._timeout = config.service_timeout
        self._subject = identity.subject
        self._namespace = identity.namespace
        self._login = login
        self._authorizer = login.authorizer()
        # Retries are ours: globus-sdk's would take 15 s or more, whatever time there is.
        self._client = WebClient(
            base_url=config.service_url,
            authorizer=self._authorizer,
            transport=RequestsTransport(),
            retry_config=RetryConfig(max_retries=0),
        )

    @property
    def url(self) -> str:
        """Where the service is."""
        return str(self._client.base_url).rstrip("/")

    def create_key(self) -> dict[str, Any]:
        """The user's key, which is made with user and namespace when there is none yet: asked again, it is the same.

        Returns:
            ``access_key``, ``secret_key``, ``create_date``, ``endpoint`` and ``fresh``.

        Raises:
            ServiceError: The service refused, or did not answer.
        """
        reply = self._ask("give the key", lambda: self._client.create_key(self._subject))
        for name in ("access_key", "secret_key"):
            if not isinstance(reply.get(name), str) or not reply[name]:
                raise ServiceError(f"{self.url} gave a key without {name}; this may be a service that we do not know")
        return reply

    def delete_key(self) -> None:
        """Take the user's key away, from every process that uses it.

        Raises:
            ServiceError: The service refused, or did not answer.
        """
        self._ask("take the key back", lambda: self._client.delete_key(self._subject))

    def list_topics(self) -> list[str]:
        """The names of the user's topics, without the namespace.

        Raises:
            ServiceError: The service refused, or did not answer.
        """
        reply = self._ask("list the topics", lambda: self._client.list_namespaces(self._subject))
        namespaces = reply.get("namespaces")
        topics = namespaces.get(self._namespace, []) if isinstance(namespaces, dict) else None
        if not isinstance(topics, list):
            raise ServiceError(f"{self.url} gave no list of topics; this may be a service that we do not know")
        return sorted(str(each) for each in topics)

    def create_topic(self, name: str) -> None:
        """Create a topic; one that exists already is fine.

        Raises:
            ConfigError: The service has no such names.
            ServiceError: The service refused, or did not answer.
        """
        self._change("create", name, self._client.create_topic)

    def delete_topic(self, name: str) -> None:
        """Delete a topic with all that is in it.

        Raises:
            ConfigError: The service has no such names.
            ServiceError: The service refused, or did not answer.
        """
        self._change("delete", name, self._client.delete_topic)

    def recreate_topic(self, name: str) -> None:
        """Empty a topic, by deleting it and creating it anew.

        Raises:
            ConfigError: The service has no such names.
            ServiceError: The service refused, or did not answer.
        """
        self._change("recreate", name, self._client.recreate_topic)

    def _change(self, verb: str, name: str, call: Callable[[str, str, str], Any]) -> None:
        check_name(name)
        self._ask(f"{verb} the topic {self._namespace}.{name}", lambda: call(self._subject, self._namespace, name))

    def _ask(self, what: str, call: Callable[[], Any]) -> dict[str, Any]:
        """Ask, again after what may pass, and judge the reply by its status.

        Args:
            what: What is asked for, for people: "give the key".
            call: Asks once.
        """
        deadline = time.monotonic() + self._timeout
        renewed = False
        trouble = "no answer"
        for attempt in range(100):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            reply, status, trouble = self._once(call, left)
            inactive = status == 401 or _INACTIVE in trouble
            if inactive and not renewed:
                # globus-sdk would do so on a 401 only.
                renewed = self._authorizer.handle_missing_authorization()
                continue
            if reply is not None and not trouble:
                return reply
            if status is not None and not (status in _PASSING or status == 500):
                raise _refused(f"{self.url} did not {what}: {trouble}", trouble)
            pause = _PAUSE_SECONDS[min(attempt, len(_PAUSE_SECONDS) - 1)]
            if time.monotonic() + pause >= deadline:
                break
            time.sleep(pause)
        raise ServiceError(
            f"{self.url} did not {what} within {self._timeout:g} s: {trouble}",
            remedy="try again later, or set OCTOPUS_SERVICE_TIMEOUT to more seconds",
        )

    def _once(self, call: Callable[[], Any], seconds: float) -> tuple[dict[str, Any] | None, int | None, str]:
        """One request: what came back, its HTTP status (None without a reply), and what is wrong ("" for nothing)."""
        import globus_sdk

        try:
            with self._client.transport.tune(http_timeout=max(seconds, 0.1)):
                response = call()
        except globus_sdk.AuthAPIError:  # on the way to the service: its token could not be renewed
            with self._login.errors_explained():
                raise
        except globus_sdk.GlobusAPIError as error:
            said = error.message if error.message and error.message != error.http_reason else error.text[:200]
            return None, error.http_status, f"HTTP {error.http_status} {said or error.http_reason}".strip()
        except globus_sdk.NetworkError as error:
            return None, None, f"no answer ({type(error.underlying_exception).__name__})"
        try:
            reply = response.data
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            return None, response.http_status, "its reply is no JSON object"
        if reply.get("status") == "success":
            return reply, response.http_status, ""
        said = reply.get("reason") or reply.get("message") or f"status {reply.get('status')!r}"
        return reply, response.http_status, str(said)[:500]


def check_name(name: str) -> None:
    """Refuse names that the service has not, or lets through by mistake.

    Raises:
        ConfigError: It is none.
    """
    # fullmatch: with match and $ a name with a line break at its end is let through, as the service does.
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name of a topic on the Octopus service: 3–32 letters, digits, '-' or '_', with a letter or"
            " digit first and last"
        )


def _refused(what: str, trouble: str) -> ServiceError:
    """The error for what the service itself says."""
    if "Token" in trouble or "audience" in trouble or "user ID" in trouble or "401" in trouble or "403" in trouble:
        remedy = "log in again with `octopus login`; if that does not help, `octopus logout` before it"
        return ServiceError(what, remedy=remedy, code="login_refused")
    if trouble.startswith("Namespace") and "not found" in trouble:
        return ServiceError(what, remedy="`octopus login` makes your namespace", code="login_refused")
    if trouble.startswith("HTTP 404"):
        return ServiceError(what, remedy="check service_url (OCTOPUS_SERVICE_URL)")
    return ServiceError(what, remedy="if this is not clear, ask whoever runs the service")
