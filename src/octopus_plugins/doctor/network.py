"""The way to the brokers below Kafka: names, connections, TLS."""

from __future__ import annotations

import socket

from octopus_plugins.doctor.case import Case, Server
from octopus_plugins.doctor.findings import Finding, not_needed, ok, trouble
from octopus_plugins.doctor.handshake import Handshake, Refused
from octopus_plugins.errors import ConfigError
from octopus_plugins.fabric.kafka.client_options import kafka_options

_SAY_NOTHING = {"tls.silent", "tls.closed"}
_REFUSED, _SILENT, _UNREACHABLE = "refused the connection", "gave no answer", "cannot be reached"


def address(case: Case) -> Finding:
    """Find the bootstrap servers, and the address of each."""
    config = case.config
    try:
        named = parse_servers(config.servers)
    except ConfigError as error:
        code = "address.no_local_broker" if config.profile == "local" else "address.none"
        return trouble(code, error.what, case.texts())
    known: dict[Server, str] = {}
    unknown: list[str] = []
    for server in named:
        found = resolve(server.host)
        if found is None:
            unknown.append(server.host)
        else:
            known[server] = found
    case.servers = list(known)
    if not known:
        return trouble("address.unknown_host", f"DNS knows no {_any(unknown)}", case.texts())
    seen = ", ".join(str(each) if each.host == where else f"{each} is {where}" for each, where in known.items())
    if unknown:
        return trouble("address.partly", f"{seen}; DNS knows no {_any(unknown)}", case.texts())
    return ok("address", seen, servers={str(each): where for each, where in known.items()})


def connect(case: Case) -> Finding:
    """Open a connection to each bootstrap server."""
    seconds = _share(case, len(case.servers))
    troubles = {server: reach(server, seconds) for server in case.servers}
    reached = [server for server, failed in troubles.items() if failed is None]
    said = [f"{server} {failed}" for server, failed in troubles.items() if failed is not None]
    names = ", ".join(map(str, case.servers))
    if not reached:
        first = next(iter(troubles.values()))
        code = {_REFUSED: "connect.refused", _SILENT: "connect.silent"}.get(str(first), "connect.unreachable")
        return trouble(code, ", ".join(said), case.texts())
    case.servers = reached
    if said:
        return trouble("connect.partly", ", ".join(said))
    return ok(
        "connect", f"{names} took the connection" if len(reached) == 1 else f"all {len(reached)} took connections"
    )


def tls(case: Case) -> Finding:
    """See whether each server speaks what it is spoken to in, and whether it can be trusted where that is TLS."""
    options = _options(case)
    protocol = options["security.protocol"]
    encrypted = protocol.endswith("SSL")
    without = {"SSL": "PLAINTEXT"}.get(protocol, "SASL_PLAINTEXT")
    with_tls = "SASL_SSL" if protocol.startswith("SASL") else "SSL or SASL_SSL"
    texts = case.texts(without=without, with_tls=with_tls)
    seen: list[str] = []
    unheard: list[Refused] = []
    try:
        handshake = Handshake(options, _share(case, len(case.servers)))
        for server in case.servers:
            try:
                seen.append(handshake.greet(server))
            except Refused as refused:
                if refused.code not in _SAY_NOTHING:
                    raise
                unheard.append(refused)
        if not seen:
            raise unheard[0]
    except Refused as refused:
        return trouble(refused.code, str(refused), texts)
    if unheard:
        return trouble("tls.partly", ", ".join(map(str, unheard)), texts)
    if not encrypted:
        return not_needed("tls", f"not needed: {protocol} is set, and the broker speaks it")
    return ok("tls", f"{seen[0]}, trusted by {_trusted_by(options)}", protocol=protocol)


def parse_servers(text: str) -> list[Server]:
    """The servers of ``host:port,host:port``."""
    parts = [each.strip().rpartition(":") for each in text.split(",")]
    return list(dict.fromkeys(Server(host.strip("[]"), int(port)) for host, _, port in parts))


def resolve(host: str) -> str | None:
    """The first address of a host; None where there is none."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        return None


def reach(server: Server, seconds: float) -> str | None:
    """Try to connect; returns what went wrong, None where nothing did."""
    try:
        socket.create_connection((server.host, server.port), seconds).close()
    except ConnectionRefusedError:
        return _REFUSED
    except TimeoutError:
        return _SILENT
    except OSError as error:
        return f"{_UNREACHABLE} ({error.strerror or type(error).__name__})"
    return None


def _options(case: Case) -> dict[str, str]:
    options = kafka_options(case.config)
    return {name: value for name, value in options.items() if isinstance(value, str) and "password" not in name}


def _trusted_by(options: dict[str, str]) -> str:
    location = options.get("ssl.ca.location", "probe")
    return "the system's authorities" if location == "probe" else location


def _share(case: Case, servers: int) -> float:
    return 0.8 * case.seconds / max(servers, 1)


def _any(names: list[str]) -> str:
    return " or ".join(dict.fromkeys(names))
