"""Start the stand-ins by hand: ``python -m tests.integration.standin`` from the root of the repository."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
import threading
from pathlib import Path

from ..kafka.tokens import Keys, compile_validator, token_kafka
from .backend import Backend
from .gate import GatedBroker
from .globus import Person, StandinGlobus
from .kafka import KafkaBackend
from .service import StandinService


def start_gate(stack: contextlib.ExitStack, directory: Path) -> tuple[Backend, str, dict[str, str]]:
    """The embedded broker behind a gate: backend, address, and what clients must set."""
    broker = stack.enter_context(GatedBroker(directory))
    return broker, broker.address, {"OCTOPUS_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}


def start_kafka(stack: contextlib.ExitStack, directory: Path) -> tuple[Backend, str, dict[str, str]]:
    """A secure Apache Kafka that accepts the service's keys: backend, address, and what clients must set."""
    keys = Keys(directory / "keys")
    kafka = stack.enter_context(token_kafka(keys, compile_validator(directory / "classes")))
    return KafkaBackend(kafka, keys), kafka.address, {"OCTOPUS_SSL_CA_LOCATION": str(kafka.ca_location)}


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--endpoint", help="bootstrap servers that the service tells; default: a broker of its own")
    where.add_argument("--kafka", action="store_true", help="that broker is a secure Apache Kafka (needs a JDK 17)")
    parser.add_argument("--username", default="alice@example.org", help="who logs in")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        backend: Backend | None = None
        endpoint, settings = options.endpoint, {}
        if not endpoint:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="octopus-standin-")))
            start = start_kafka if options.kafka else start_gate
            backend, endpoint, settings = start(stack, directory)
        globus = stack.enter_context(StandinGlobus(Person(options.username)))
        service = stack.enter_context(StandinService(globus, backend, endpoint=endpoint))
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        settings |= {"GLOBUS_SDK_SERVICE_URL_AUTH": f"{globus.url}/", "OCTOPUS_SERVICE_URL": service.url}
        settings["OCTOPUS_PROFILE"] = "octopus"
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items()))
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
