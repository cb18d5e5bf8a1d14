"""Where the interchange's reports arrive: a thread of the submit process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import zmq

logger = logging.getLogger("octopus_plugins")

POLL_PERIOD_MS = 200


class Receiver:
    """Receives what the interchange and, through it, the workers report, over Parsl's encrypted channel.

    In the place of Parsl's router, which is a process of its own that hands each message on through a pipe,
    and which a script without an ``if __name__ == "__main__"`` cannot start.

    Args:
        context: Parsl's ZeroMQ context of a server, which encrypts by its certificates; is destroyed at the end.
        address: URL without a port to listen on, of loopback: ``tcp://127.0.0.1``.
        port_range: Ports to choose from.
        deliver: Called with each message, from the receiver's thread.
    """

    def __init__(
        self,
        context: Any,
        address: str,
        port_range: tuple[int, int],
        deliver: Callable[[tuple[Any, Any]], None],
    ) -> None:
        self._deliver = deliver
        self._context = context
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.set_hwm(0)
        self.port: int = self._socket.bind_to_random_port(address, *port_range)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="octopus-receiver", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take in what has arrived, and stop."""
        self._ending.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        try:
            while True:
                if not self._socket.poll(POLL_PERIOD_MS):
                    if self._ending.is_set():
                        return
                    continue
                try:
                    tag, content = self._socket.recv_pyobj()
                except Exception:
                    logger.warning("A report of the interchange cannot be read and is skipped", exc_info=True)
                else:
                    self._deliver((tag, content))
        finally:
            self._socket.close()
            self._context.destroy()
