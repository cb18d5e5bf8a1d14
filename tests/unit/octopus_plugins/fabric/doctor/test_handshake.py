"""The first words with a broker, where it is none: what TLS and sockets say, and what that means."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from octopus_plugins.doctor.case import Server
from octopus_plugins.doctor.handshake import Handshake, Refused

Answer = Callable[[socket.socket], None]
Serve = Callable[[Answer], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve on loopback, with what is done to each connection."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: Answer) -> Server:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    with connection:
                        connection.settimeout(5)
                        answer(connection)
                except OSError:
                    continue

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        return Server(*listener.getsockname())

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def certificate(directory: Path, begins: int, ends: int) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key. Its limits are in days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    file = directory / "broker.pem"
    file.write_bytes(pem)
    return file


def tls(file: Path) -> Answer:
    """Speaks TLS, and answers like Kafka to whatever it is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            like_kafka(stream)

    return answer


def like_kafka(connection: socket.socket) -> None:
    question = connection.recv(1024)
    connection.sendall(b"\0\0\0\6" + question[8:12] + b"\0\0")


def greet(server: Server, protocol: str = "PLAINTEXT", **options: str) -> str:
    settings = {"security.protocol": protocol, **{name.replace("_", "."): value for name, value in options.items()}}
    return Handshake(settings, 3.0).greet(server)


def code(server: Server, protocol: str = "PLAINTEXT", **options: str) -> str:
    with pytest.raises(Refused) as refused:
        greet(server, protocol, **options)
    return refused.value.code


def test_a_broker_answers_in_clear_text_and_in_tls(serve: Serve, tmp_path: Path) -> None:
    assert greet(serve(like_kafka)) == "clear text"
    file = certificate(tmp_path, -1, 1)
    assert greet(serve(tls(file)), "SSL", ssl_ca_location=str(file)).startswith("TLS 1.")


@pytest.mark.parametrize(("begins", "ends"), [(-9, -2), (2, 9)])
def test_a_certificate_out_of_its_time_is_told(serve: Serve, tmp_path: Path, begins: int, ends: int) -> None:
    file = certificate(tmp_path, begins, ends)
    assert code(serve(tls(file)), "SASL_SSL", ssl_ca_location=str(file)) == "tls.dates"


def test_a_version_of_tls_that_is_too_old_is_told(serve: Serve, tmp_path: Path) -> None:
    def old(connection: socket.socket) -> None:
        # The alert that a broker with TLS 1.1 answers to a client that wants 1.2: fatal, protocol_version.
        connection.recv(10_000)
        connection.sendall(bytes([0x15, 3, 1, 0, 2, 2, 70]))

    file = certificate(tmp_path, -1, 1)
    assert code(serve(old), "SSL", ssl_ca_location=str(file)) == "tls.version"


def test_an_unknown_authority_is_told(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other", -1, 1)
    assert code(serve(tls(certificate(tmp_path, -1, 1))), "SSL", ssl_ca_location=str(other)) == "tls.untrusted"


def test_whoever_closes_the_connection_is_told_from_whoever_is_silent(serve: Serve) -> None:
    assert code(serve(lambda _: None)) == "tls.closed"
    assert code(serve(lambda connection: connection.recv(10_000) and connection.recv(1) and None)) == "tls.silent"


def test_the_wrong_language_is_told_either_way(serve: Serve, tmp_path: Path) -> None:
    file = certificate(tmp_path, -1, 1)
    assert code(serve(tls(file)), "SASL_PLAINTEXT") == "tls.tls_port"
    assert code(serve(like_kafka), "SASL_SSL") == "tls.clear_text_port"


def test_files_that_are_no_certificates_are_told(serve: Serve, tmp_path: Path) -> None:
    server, file = serve(like_kafka), tmp_path / "empty.pem"
    file.write_text("")
    assert code(server, "SSL", ssl_ca_location=str(file)) == "tls.ca_file"
    own = {"ssl_certificate_location": str(file), "ssl_key_location": str(file)}
    assert code(server, "SSL", **own) == "tls.client_file"
