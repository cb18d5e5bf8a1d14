from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest
from parsl import curvezmq
from parsl.addresses import tcp_url

from octopus_plugins.frameworks.receiver import Receiver
from octopus_plugins.htex import encrypted_reports
from octopus_plugins.htex.encrypted_reports import EncryptedSender, parsl_encrypts_reports, program
from octopus_plugins.htex.interchange import interchange as ours


class WithoutCertificates:
    """As in Parsl 2026.5.18 to 2026.7.27."""

    def __init__(self, hub_address: str, hub_zmq_port: int) -> None: ...


class WithCertificates:
    """As in Parsl since 2026.8.10."""

    def __init__(self, hub_address: str, hub_zmq_port: int, cert_dir: str | None) -> None: ...


@pytest.mark.parametrize(
    ("sender", "encrypted", "own"),
    [
        (WithCertificates, True, True),
        (WithCertificates, False, True),
        (WithoutCertificates, True, False),
        (WithoutCertificates, False, True),
    ],
)
def test_the_sender_is_replaced_where_parsl_s_takes_no_certificates_and_the_executor_is_encrypted(
    monkeypatch: pytest.MonkeyPatch, sender: Any, encrypted: bool, own: bool
) -> None:
    monkeypatch.setattr(encrypted_reports, "ZMQRadioSender", sender)
    assert parsl_encrypts_reports() is (sender is WithCertificates)
    assert program(encrypted=encrypted) == (ours.__file__ if own else encrypted_reports.__file__)


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("more", [(), ("what another version passes",)])
def test_what_it_sends_arrives_at_the_receiver(tmp_path: Path, encrypted: bool, more: tuple[str, ...]) -> None:
    certificates = curvezmq.create_certificates(str(tmp_path)) if encrypted else None
    arrived: queue.Queue[Any] = queue.Queue()
    receiver = Receiver(curvezmq.ServerContext(certificates), tcp_url("127.0.0.1"), (50000, 60000), arrived.put)
    sender = EncryptedSender(certificates, "127.0.0.1", receiver.port, *more)
    try:
        sender.send(("tag", {"a": 1}))
        assert arrived.get(timeout=30) == ("tag", {"a": 1})
    finally:
        sender._hub_channel.context.destroy(linger=0)
        receiver.close()
