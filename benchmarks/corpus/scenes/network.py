"""Peers that cannot be reached."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
NETWORK = Category.network_unreachable


def _closed_port() -> int:
    import socket

    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return int(reserved.getsockname()[1])


@CASES.python(NETWORK)
def connection_refused() -> Any:
    """Connects to a port where nobody listens."""
    import socket

    return socket.create_connection(("127.0.0.1", _closed_port()), timeout=5)


@CASES.python(NETWORK)
def unknown_name() -> Any:
    """Resolves a name that does not exist."""
    import socket

    return socket.getaddrinfo("octopus.invalid", 80)


@CASES.python(NETWORK)
def urllib_refused() -> Any:
    """Fetches from a closed port with urllib."""
    import urllib.request

    return urllib.request.urlopen(f"http://127.0.0.1:{_closed_port()}/", timeout=5)


@CASES.python(NETWORK)
def requests_refused() -> Any:
    """Fetches from a closed port with requests."""
    import requests

    return requests.get(f"http://127.0.0.1:{_closed_port()}/", timeout=5)


@CASES.python(NETWORK)
def requests_unknown_name() -> Any:
    """Fetches from a host that does not exist, with requests."""
    import requests

    return requests.get("http://octopus.invalid/", timeout=5)


@CASES.python(NETWORK)
def peer_hangs_up() -> Any:
    """The peer resets the connection while it is read."""
    import socket
    import struct

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        client.send(b"x")
        return client.recv(10)


@CASES.python(NETWORK)
def broken_pipe() -> Any:
    """Writes to a connection that the peer has closed."""
    import socket

    here, there = socket.socketpair()
    there.close()
    here.sendall(b"x")


@CASES.python(NETWORK)
def peer_is_silent() -> Any:
    """Reads from a peer that never answers, with requests."""
    import socket

    import requests

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        return requests.get(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=0.3)


@CASES.python(NETWORK)
def socket_times_out() -> Any:
    """Waits for a peer that never answers, on a plain socket."""
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=0.2) as client:
            return client.recv(1)


@CASES.python(NETWORK)
def peer_ends_in_the_middle() -> Any:
    """The peer closes before its answer is complete, read with http.client."""
    import http.client
    import socket
    import threading

    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()

    def answer() -> None:
        peer, _ = server.accept()
        peer.recv(1000)
        peer.close()

    threading.Thread(target=answer, daemon=True).start()
    connection = http.client.HTTPConnection(*server.getsockname(), timeout=5)
    connection.request("GET", "/")
    return connection.getresponse()


@CASES.python(NETWORK)
def database_refused() -> Any:
    """A connection that is refused, below the exception of a library."""
    import socket

    try:
        return socket.create_connection(("127.0.0.1", _closed_port()), timeout=5)
    except OSError as error:
        raise RuntimeError("the parameter database is away") from error


@CASES.python(NETWORK)
def staging_refused() -> Any:
    """Downloads with urllib's retrieve from a closed port."""
    import urllib.request

    return urllib.request.urlretrieve(f"http://127.0.0.1:{_closed_port()}/x.dat", "/tmp/octopus-x.dat")


@CASES.python(NETWORK)
def broker_pool_refused() -> Any:
    """Connects to a message broker with pika, where nobody listens."""
    import pika

    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", _closed_port()))


def _leave_network() -> None:
    import ctypes
    import os

    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@CASES.python(NETWORK)
def no_network() -> Any:
    """Connects from a network namespace without interfaces: ENETUNREACH."""
    import socket

    _leave_network()
    return socket.create_connection(("10.1.2.3", 80), timeout=5)


@CASES.python(NETWORK)
def no_network_for_requests() -> Any:
    """Fetches with requests from a network namespace without interfaces."""
    import requests

    _leave_network()
    return requests.get("http://10.1.2.3/data", timeout=5)


CASES.bash("curl_refused", NETWORK, "curl -sS http://127.0.0.1:9/x", structured=False)
CASES.bash("curl_unknown_name", NETWORK, "curl -sS http://octopus.invalid/x")
CASES.bash("curl_in_silence", NETWORK, "curl -s http://127.0.0.1:9/x")
CASES.bash("wget_refused", NETWORK, "wget -q -t 1 http://127.0.0.1:9/x -O /dev/null")
CASES.bash("wget_says_why", NETWORK, "wget -nv -t 1 http://127.0.0.1:9/x -O /dev/null")
CASES.bash("unshared_curl", NETWORK, "unshare -n curl -sS http://10.1.2.3/x")
CASES.bash("bash_socket", NETWORK, "exec 3<>/dev/tcp/127.0.0.1/9")
CASES.bash("git_clone_refused", NETWORK, "git clone http://127.0.0.1:9/x.git {scratch}/x")
CASES.bash(
    "python_program_refused", NETWORK, "python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:9\")'"
)

SCENES = [Scene("network", CASES)]
