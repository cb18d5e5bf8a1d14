"""A TCP proxy that can lose its line, and an embedded broker that is reached through it.

A Kafka client connects to the address that the broker advertises: here, the proxy's.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from octopus_plugins.local import tansu


class Proxy:
    """Forwards connections from ``address`` to ``target``; all its methods may be called at any time."""

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        self._target = target
        self._listener = socket.create_server((host, 0))
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = True
        self._flowing = threading.Event()
        self._flowing.set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._spawn(self._accept)

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        with self._lock:
            self._open = False
            for pair in self._pairs:
                for each in pair:
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)

        self._flowing.set()

    def silence(self) -> None:
        """Let nothing through any more, as where a cable is pulled: nobody is told, and connections stay open."""
        self._flowing.clear()

    def restore(self) -> None:
        """Accept connections again; what was held back in silence goes through, late."""
        with self._lock:
            self._open = True
        self._flowing.set()

    def close(self) -> None:
        """Stop for good."""
        self._closing = True
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._flowing.wait()
            host, _, port = self._target.rpartition(":")
            with self._lock:
                if not self._open:
                    client.close()
                    continue
                try:
                    server = socket.create_connection((host, int(port)))
                except OSError:
                    client.close()
                    continue
                self._pairs.append((client, server))
            self._spawn(self._forward, client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    self._flowing.wait()
                    if not data:
                        return
                    key.data.sendall(data)


class ProxiedBroker:
    """An embedded broker that is reached through a proxy only."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ProxiedBroker:
        port = tansu.free_port()
        self.proxy = Proxy(f"127.0.0.1:{port}")
        self._process, self._direct = tansu.start(self._home / "tansu.log", port, advertised=self.proxy.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.proxy.close()
        if self._process is not None:
            tansu.stop(self._process)

    @property
    def address(self) -> str:
        """Where clients connect to: the proxy."""
        return self.proxy.address
