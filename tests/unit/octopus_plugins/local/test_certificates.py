from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from octopus_plugins.local.certificates import ADMIN, BROKER, make_certificates


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made") / "certificates"
    make_certificates(made)
    return made


def handshake(directory: Path, server_name: str, *, client: str | None, server: str = BROKER) -> str | None:
    """Connect with TLS as a client does; returns the client's name as the server saw it."""
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(directory / f"{server}.pem")
    listening.load_verify_locations(directory / "ca.pem")
    listening.verify_mode = ssl.CERT_OPTIONAL
    trusting = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    if client:
        trusting.load_cert_chain(directory / f"{client}.pem")
    seen: list[str | None] = []
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            with listening.wrap_socket(there, server_side=True) as connection:
                certificate = connection.getpeercert()
                subject = dict(pair[0] for pair in certificate["subject"]) if certificate else {}  # type: ignore[union-attr,misc,index]
                seen.append(subject.get("commonName"))
        except OSError:
            seen.append(None)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with trusting.wrap_socket(here, server_hostname=server_name) as connection:
            connection.recv(1)  # until the server has read the client's certificate, and closes
    finally:
        here.close()
        thread.join(10)
    return seen[0]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_node_is_trusted_on_this_machine_by_whoever_has_the_authoritys_certificate(
    directory: Path, name: str
) -> None:
    assert handshake(directory, name, client=None) is None
    assert handshake(directory, name, client=ADMIN) == ADMIN
    assert handshake(directory, name, client=BROKER) == BROKER


def test_a_node_is_not_trusted_under_another_name(directory: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(directory, "kafka.example.org", client=None)


def test_the_administrators_certificate_makes_no_server(directory: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(directory, "octopus-admin", client=None, server=ADMIN)


def test_keys_are_for_their_owner_only_and_the_authoritys_is_nowhere(directory: Path) -> None:
    assert {file.name for file in directory.iterdir()} == {"ca.pem", f"{ADMIN}.pem", f"{BROKER}.pem"}
    assert {file.stat().st_mode & 0o777 for file in directory.iterdir()} == {0o600}
    assert "PRIVATE KEY" not in (directory / "ca.pem").read_text()
