"""Our interchange for a Parsl whose own reports to the monitoring hub in clear text, though the executor is encrypted.

Before 2026.8.10 Parsl's interchange makes its ``ZMQRadioSender`` without the directory of the certificates. Our
receiver speaks CurveZMQ wherever the executor does, and would receive nothing. Parsl's part in these versions is no
substitute: a router process that listens in clear text, unpickles what anybody on the machine sends, and cannot start
in a script without a ``__main__`` guard. So the sender is replaced by one that encrypts, in the interchange's process.
Run by its path in place of ``interchange.py``.
"""

from __future__ import annotations

import inspect
import sys
from functools import partial
from pathlib import Path
from typing import Any

import zmq

if __name__ == "__main__":
    # Run by its path, so that it starts wherever the submit side could import it.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from parsl import curvezmq
from parsl.addresses import tcp_url
from parsl.executors.high_throughput import interchange as host
from parsl.monitoring.radios.zmq import ZMQRadioSender

from octopus_plugins.htex.interchange import interchange as ours


def parsl_encrypts_reports() -> bool:
    """Whether the sender of this Parsl's interchange takes certificates; the seam itself, not the version."""
    return "cert_dir" in inspect.signature(ZMQRadioSender).parameters


def program(*, encrypted: bool) -> str:
    """The file of the interchange of ours that fits the installed Parsl.

    Args:
        encrypted: Whether the executor is.
    """
    return ours.__file__ if parsl_encrypts_reports() or not encrypted else __file__


class EncryptedSender(ZMQRadioSender):
    """Parsl's sender with the certificates that it lacks; it sends as Parsl's does.

    Args:
        cert_dir: Directory of the certificates; None does not encrypt.
        hub_address: Where the receiver listens, without the port.
        hub_zmq_port: Its port.
        *_: What another version of Parsl passes.
    """

    def __init__(self, cert_dir: str | None, hub_address: str, hub_zmq_port: int, *_: Any) -> None:
        self._hub_channel = curvezmq.ClientContext(cert_dir).socket(zmq.DEALER)
        self._hub_channel.set_hwm(0)
        self._hub_channel.connect(tcp_url(hub_address, hub_zmq_port))


class EncryptingInterchange(ours.OctopusInterchange):
    """Our interchange, with Parsl's sender replaced before its loop makes one."""

    def start(self) -> None:
        """Run until the executor ends it."""
        host.ZMQRadioSender = partial(EncryptedSender, self.cert_dir)
        super().start()


if __name__ == "__main__":
    ours.OctopusInterchange = EncryptingInterchange  # type: ignore[misc]
    ours.main()
