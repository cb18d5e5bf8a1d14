"""The embedded broker behind a gate that lets nobody in without a token that the user's key has signed.

The embedded broker knows no SASL. The gate speaks that part of Kafka's protocol, checks the token as MSK does, and
passes on everything that comes after. It is the backend of the stand-in web service where no Apache Kafka is at hand.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins.local import tansu

from .tokens import check_token

_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_AUTHENTICATION_FAILED = 58


class GatedBroker:
    """An embedded broker that can be reached with tokens only.

    Attributes:
        address: ``host:port`` of the gate.
        admitted: How often a client was let in.
        refused: How often one was not.
        tokens: Every token that was shown.
    """

    def __init__(self, directory: Path) -> None:
        self.admitted = 0
        self.refused = 0
        self.tokens: list[str] = []
        self._directory = directory
        self._keys: dict[str, tuple[str, str]] = {}
        self._open: dict[socket.socket, str] = {}
        self._lock = threading.Lock()
        self._guarded = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> GatedBroker:
        port = tansu.free_port()
        self._upstream = f"127.0.0.1:{port}"
        threading.Thread(target=self._accept, daemon=True).start()
        # Whoever starts it looks whether it answers; the broker sends that one here, too.
        self._process, _ = tansu.start(self._directory / "tansu.log", port, advertised=self.address)
        self._guarded = True
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._cut(lambda _: True)
        tansu.stop(self._process)

    def set_key(self, namespace: str, access_key: str, secret_key: str) -> None:
        """Let this key in."""
        with self._lock:
            self._keys[namespace] = (access_key, secret_key)

    def drop_key(self, namespace: str) -> None:
        """Let the key of this namespace in no more, and end the connections that it has."""
        with self._lock:
            access_key, _ = self._keys.pop(namespace, ("", ""))
        self._cut(lambda key: key == access_key)

    def create_topic(self, name: str) -> None:
        """Create a topic, unless it is there."""
        admin = self._admin()  # kept, or it would be gone before the answer
        for future in admin.create_topics([NewTopic(name, num_partitions=1)]).values():
            try:
                future.result(10)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise OSError(error.args[0].str()) from error

    def delete_topic(self, name: str) -> None:
        """Delete a topic, if it is there."""
        admin = self._admin()
        for future in admin.delete_topics([name]).values():
            with contextlib.suppress(KafkaException):
                future.result(10)

    def topics(self) -> set[str]:
        """The Kafka names of all topics."""
        return set(self._admin().list_topics(timeout=10).topics)

    def _admin(self) -> AdminClient:
        # Not through the gate: but the broker tells everybody the gate's address, so that this one is let in by name.
        with self._lock:
            self._keys.setdefault("admin", ("ADMIN", "of the gate"))
        return AdminClient({"bootstrap.servers": self._upstream, "client.id": "gate-admin"})

    def _cut(self, which: object) -> None:
        with self._lock:
            gone = [each for each, key in self._open.items() if which(key)]  # type: ignore[operator]
        for each in gone:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError, struct.error), client:
            host, _, port = self._upstream.rpartition(":")
            with socket.create_connection((host, int(port))) as upstream:
                key = self._admit(client, upstream)
                if key is None:
                    return
                with self._lock:
                    self._open[client] = key
                try:
                    back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
                    back.start()
                    _pump(client, upstream)
                    back.join()
                finally:
                    with self._lock:
                        self._open.pop(client, None)

    def _admit(self, client: socket.socket, upstream: socket.socket) -> str | None:
        """Answer until somebody has shown a good token; returns the access key, or None for a stranger."""
        while True:
            frame = _read_frame(client)
            api, _, correlation = struct.unpack(">hhi", frame[:8])
            (size,) = struct.unpack(">h", frame[8:10])
            name, body = frame[10 : 10 + max(size, 0)], frame[10 + max(size, 0) :]
            head = struct.pack(">i", correlation)
            if api == _API_VERSIONS:
                _write_frame(upstream, frame)
                _write_frame(client, _read_frame(upstream))
            elif api == _SASL_HANDSHAKE:
                _write_frame(client, head + struct.pack(">hi", 0, 1) + struct.pack(">h", 11) + b"OAUTHBEARER")
            elif api == _SASL_AUTHENTICATE:
                return self._authenticate(client, head, body[4:])
            elif name == b"gate-admin" or not self._guarded:
                _write_frame(upstream, frame)
                return "ADMIN"
            else:
                return None  # a client that shows nothing

    def _authenticate(self, client: socket.socket, head: bytes, said: bytes) -> str | None:
        token = said.split(b"auth=Bearer ", 1)[-1].split(b"\x01", 1)[0].decode()
        self.tokens.append(token)
        with self._lock:
            keys = {access: secret for access, secret in self._keys.values() if access != "ADMIN"}
        try:
            key = check_token(token, keys)
        except (PermissionError, ValueError, KeyError) as error:
            self.refused += 1
            text = f"Access denied: {error}".encode()
            reply = struct.pack(">hh", _AUTHENTICATION_FAILED, len(text)) + text + struct.pack(">iq", 0, 0)
            _write_frame(client, head + reply)
            return None
        self.admitted += 1
        _write_frame(client, head + struct.pack(">hhiq", 0, -1, 0, 0))
        return key


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _read_frame(source: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _read(source, 4))
    return _read(source, size)


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _write_frame(target: socket.socket, data: bytes) -> None:
    target.sendall(struct.pack(">i", len(data)) + data)
