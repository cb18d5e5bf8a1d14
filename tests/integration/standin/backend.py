"""What the stand-in does on the Kafka side."""

from __future__ import annotations

import threading
from typing import Protocol


class Backend(Protocol):
    """The brokers, as the web service changes them."""

    def set_key(self, namespace: str, access_key: str, secret_key: str) -> None:
        """Let this key in, for the topics of this namespace only."""

    def drop_key(self, namespace: str) -> None:
        """Let nobody in with the key of this namespace any more."""

    def create_topic(self, name: str) -> None:
        """Create a topic by its Kafka name; one that exists is fine."""

    def delete_topic(self, name: str) -> None:
        """Delete a topic by its Kafka name; one that does not exist is fine."""


class MemoryBackend:
    """No brokers: remembers what it was told."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, str]] = {}
        self.topics: set[str] = set()
        self._lock = threading.Lock()

    def set_key(self, namespace: str, access_key: str, secret_key: str) -> None:
        with self._lock:
            self.keys[namespace] = (access_key, secret_key)

    def drop_key(self, namespace: str) -> None:
        with self._lock:
            self.keys.pop(namespace, None)

    def create_topic(self, name: str) -> None:
        with self._lock:
            self.topics.add(name)

    def delete_topic(self, name: str) -> None:
        with self._lock:
            self.topics.discard(name)
