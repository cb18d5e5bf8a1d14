"""What a process on another node needs to produce for its user for a while: addresses, a namespace, a token.

The key stays here. A token of Amazon MSK ends after a quarter of an hour; whoever handed it out hands out the next.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as KafkaProducer

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError, SchemaError
from octopus_plugins.events import ResourceSamples, encode
from octopus_plugins.fabric.kafka.client_options import kafka_options
from octopus_plugins.fabric.kafka.topics import QuietLogger, namespace

_REST_SECONDS = 30.0
_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.5
_MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to produce into the topics of one namespace.

    Attributes:
        namespace: Whose topics.
        options: How to reach the brokers, as librdkafka settings; nothing secret.
        max_event_bytes: Largest record.
        expires: When the token ends, Unix seconds; None where the brokers ask for none.
        token: The token; None where the brokers ask for none.
    """

    namespace: str
    options: dict[str, Any]
    max_event_bytes: int
    expires: float | None = None
    token: str | None = field(default=None, repr=False)

    def is_good(self, now: float) -> bool:
        """Whether it may still be used.

        Args:
            now: Unix seconds.
        """
        return self.expires is None or now < self.expires - _MARGIN_SECONDS


def grant(config: OctopusConfig) -> Grant:
    """Make a grant of what the configuration may do.

    Raises:
        CredentialsError: The brokers are reached with a password or a client key, which must not be handed on; or
            nobody is logged in.
        ConfigError: No address is known.
        MissingDependencyError: The profile is ``octopus``, and the extra of that name is not installed.
    """
    options = kafka_options(config)
    mint = options.pop("oauth_cb", None)
    kept = sorted(options.keys() & {"sasl.password", "ssl.key.location"})
    if kept:
        raise CredentialsError(
            f"profile {config.profile!r} reaches its brokers with {' and '.join(kept)}, which never ends and is not"
            " handed to nodes; they can produce only to brokers that take tokens (profile 'octopus') or ask for nothing"
        )
    authority = options.get("ssl.ca.location")
    if authority not in (None, "probe"):
        # The file is on this machine; certificates are no secret.
        del options["ssl.ca.location"]
        options["ssl.ca.pem"] = Path(authority).read_text(encoding="utf-8")
    token, expires = mint("") if mint is not None else (None, None)
    return Grant(namespace(config), options, config.max_event_bytes, expires, token)


class Deputy:
    """Produces resource samples with grants that somebody else renews; what is not delivered is given back.

    Attributes:
        delivered: Samples that arrived.
        returned: Samples that were given back.
        weighed: Bytes that arrived, each record as often as the period of its sampler was stretched.
        error: Why the last were not delivered; None where they were.
    """

    def __init__(self) -> None:
        self._grant: Grant | None = None
        self._producer: Any = None
        self._lock = threading.Lock()
        self._resting_until = 0.0
        self._closed = False
        self._pid = os.getpid()
        self.delivered = 0
        self.returned = 0
        self.weighed = 0.0
        self.error: str | None = None

    def renew(self, fresh: Grant) -> None:
        """Take a grant in the place of the one before."""
        with self._lock:
            before, self._grant = self._grant, fresh
            if before is None or (before.options, before.namespace) != (fresh.options, fresh.namespace):
                self._producer = None  # its thread sees that, delivers what it has, and ends

    def send(self, event: ResourceSamples, back: Callable[[], None]) -> bool:
        """Send samples.

        Args:
            event: What to send.
            back: Is called on a thread of ours where they could not be delivered, to send them another way.

        Returns:
            Whether it was taken. What was taken is delivered, or given back.
        """
        now = time.time()
        with self._lock:
            if self._grant is None or not self._grant.is_good(now) or time.monotonic() < self._resting_until:
                return False
            if os.getpid() != self._pid:
                return False  # librdkafka's threads stayed behind
            if self._producer is None:
                try:
                    self._producer = self._made(self._grant)
                except KafkaException as error:
                    # It may have taken its time: not again for the next one.
                    self.error = error.args[0].str()
                    self._resting_until = time.monotonic() + _REST_SECONDS
                    return False
                threading.Thread(target=self._poll, args=(self._producer,), name="octopus-deputy", daemon=True).start()
            producer, allowed = self._producer, self._grant
        try:
            value = encode(event, max_bytes=allowed.max_event_bytes)
            key = event.key.encode()
            count, weight = event.states, (len(key) + len(value)) * event.stretch
            producer.produce(
                f"{allowed.namespace}.{event.TOPIC}",
                value,
                key,
                on_delivery=lambda error, _: self._settled(error, count, weight, back),
            )
        except (BufferError, KafkaException, SchemaError):
            return False
        return True

    def close(self, seconds: float) -> None:
        """Deliver what was taken, for so long at most. Nothing is given back any more: nobody is there to take it."""
        self._closed = True
        with self._lock:
            producer, self._producer, self._grant = self._producer, None, None
        if producer is not None:
            producer.flush(seconds)

    def _made(self, allowed: Grant) -> KafkaProducer:
        options: dict[str, Any] = {
            **allowed.options,
            "linger.ms": 100,
            "compression.type": "zstd",
            "queue.buffering.max.kbytes": 4096,
            "message.timeout.ms": int(_TIMEOUT_SECONDS * 1000),
            "error_cb": self._hear,
            "log_level": 3,
        }
        if allowed.token is not None:
            options["oauth_cb"] = self._token
        return KafkaProducer(options, logger=QuietLogger())

    def _token(self, _: str) -> tuple[str, float]:
        """What librdkafka asks for when four fifths of a token's life are over; it asks again when we raise."""
        allowed = self._grant
        if allowed is None or allowed.token is None or allowed.expires is None or not allowed.is_good(time.time()):
            raise CredentialsError("the token was not renewed")
        return allowed.token, allowed.expires

    def _poll(self, producer: KafkaProducer) -> None:
        while self._producer is producer:
            producer.poll(_POLL_SECONDS)
        producer.flush(_TIMEOUT_SECONDS)

    def _settled(self, error: KafkaError | None, count: int, weight: float, back: Callable[[], None]) -> None:
        if error is None:
            self.delivered += count
            self.weighed += weight
            self.error = None
            return
        self.returned += count
        self._hear(error)
        # A node without a route to the brokers would make each of its events late by the time-out.
        self._resting_until = time.monotonic() + _REST_SECONDS
        if not self._closed:
            back()

    def _hear(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self.error is None:  # the one before says why
            self.error = error.str()
