"""The first words with a broker, without a Kafka client: those only say that nobody answered.

The question is Kafka's ``ApiVersions``, which every broker answers before it knows who asks. With TLS 1.3 it also
brings up what a broker says of a client's certificate: that comes after the handshake.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from octopus_plugins.doctor.case import Server

_API_VERSIONS = 18
_CORRELATION = 0x0C70
_CLIENT = b"octopus-doctor"
_ALERT_OR_HANDSHAKE = (0x15, 0x16)
_HOST_NAME, _IP_ADDRESS = 62, 64  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
_NOT_YET_VALID, _EXPIRED = 9, 10
_MAX_SECONDS = 5.0  # for each further question, once one has got no answer

# Where librdkafka looks when it is told to probe.
_BUNDLES = (
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.trust.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class Refused(Exception):
    """The broker and we do not come together; the message says what was seen."""

    def __init__(self, code: str, seen: str) -> None:
        super().__init__(seen)
        self.code = code


class _Silent(Exception):
    """Nothing came in time."""


class _Closed(Exception):
    """The connection was closed."""


class Handshake:
    """Greets brokers as a client with these settings would."""

    def __init__(self, options: dict[str, str], seconds: float) -> None:
        """Load the certificates.

        Args:
            options: Those of librdkafka.
            seconds: How long one broker may take.

        Raises:
            Refused: They cannot be loaded.
        """
        self._protocol = options["security.protocol"]
        self._seconds = seconds
        self._context = _context(options) if self._protocol.endswith("SSL") else None

    def greet(self, server: Server) -> str:
        """Greet a broker; returns what was agreed on.

        Raises:
            Refused: It does not answer as it should.
        """
        began = time.monotonic()
        try:
            return self._ask(server, self._context, self._seconds / 2)
        except (_Silent, _Closed) as nothing:
            silent = isinstance(nothing, _Silent)
        # Perhaps it would have answered to the other language. Nothing is told it, so that it need not be trusted.
        other = None if self._context is not None else _blind_context()
        left = min(self._seconds - (time.monotonic() - began), _MAX_SECONDS)
        try:
            self._ask(server, other, max(left, 0.1), handshake_only=True)
        except (_Silent, _Closed, Refused):
            pass
        else:
            raise self._wrong_language(server)
        if silent:
            raise Refused("tls.silent", f"{server} took the connection, and said nothing")
        raise Refused("tls.closed", f"{server} closed the connection")

    def _wrong_language(self, server: Server) -> Refused:
        if self._context is not None:
            return Refused("tls.clear_text_port", f"{server} speaks clear text, and {self._protocol} is set")
        return Refused("tls.tls_port", f"{server} speaks TLS, and {self._protocol} is set")

    def _ask(
        self, server: Server, context: ssl.SSLContext | None, seconds: float, *, handshake_only: bool = False
    ) -> str:
        with contextlib.ExitStack() as stack:
            try:
                stream = stack.enter_context(socket.create_connection((server.host, server.port), seconds))
                if context is not None:
                    with self._explained(server):
                        stream = stack.enter_context(context.wrap_socket(stream, server_hostname=server.host))
                    if handshake_only:
                        return ""
                with self._explained(server):
                    stream.sendall(_question())
                    answer = _read(stream, 8)
            except TimeoutError:
                raise _Silent from None
            except OSError:
                raise _Closed from None
            self._check(server, answer)
            if not isinstance(stream, ssl.SSLSocket):
                return "clear text"
            return f"{str(stream.version()).replace('TLSv', 'TLS ')} with {server.host}"

    def _check(self, server: Server, answer: bytes) -> None:
        if struct.unpack(">i", answer[4:8])[0] == _CORRELATION:
            return
        if self._context is None and answer[0] in _ALERT_OR_HANDSHAKE:
            raise self._wrong_language(server)
        raise Refused("tls.not_kafka", f"{server} answers, but not as Kafka does")

    @contextlib.contextmanager
    def _explained(self, server: Server) -> Iterator[None]:
        """Say what an error of TLS means."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            code = {
                _HOST_NAME: "tls.host_name",
                _IP_ADDRESS: "tls.host_name",
                _NOT_YET_VALID: "tls.dates",
                _EXPIRED: "tls.dates",
            }.get(error.verify_code, "tls.untrusted")
            raise Refused(code, f"{server}: {error.verify_message.rstrip('.')}") from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise _Closed from None
        except ssl.SSLError as error:
            reason = error.reason or ""
            if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
                raise Refused("tls.version", f"{server} and this machine have no version of TLS in common") from None
            if "ALERT" in reason:
                text = f"{server} says: {reason.rpartition('ALERT_')[2].replace('_', ' ').lower()}"
                raise Refused("tls.client_certificate", text) from None
            if self._context is not None:  # what came is no TLS
                raise self._wrong_language(server) from None
            raise Refused("tls.not_kafka", f"{server} answers, but not as Kafka does") from None


def _question() -> bytes:
    head = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, len(_CLIENT)) + _CLIENT
    return struct.pack(">i", len(head)) + head


def _read(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise _Closed
        data += more
    return data


def _context(options: dict[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    location = options.get("ssl.ca.location", "probe")
    if location == "probe":
        context.load_default_certs()
        for bundle in (each for each in _BUNDLES if Path(each).exists()):
            context.load_verify_locations(bundle)
    else:
        try:
            context.load_verify_locations(**{"capath" if Path(location).is_dir() else "cafile": location})
        except OSError as error:  # of which ssl.SSLError is one
            raise Refused("tls.ca_file", f"{location}: {_why(error)}") from None
    own = options.get("ssl.certificate.location")
    if own is not None:
        try:
            # A passphrase is never asked for on the terminal.
            context.load_cert_chain(own, options["ssl.key.location"], password=lambda: "")
        except OSError as error:
            raise Refused("tls.client_file", f"{own} and {options['ssl.key.location']}: {_why(error)}") from None
    return context


def _blind_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no certificate").replace("_", " ").lower()
    return error.strerror or type(error).__name__
