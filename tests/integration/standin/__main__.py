"""Start the stand-ins by hand: ``python -m tests.integration.standin`` from the root of the repository."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
from pathlib import Path

from .gate import GatedBroker
from .globus import Person, StandinGlobus
from .service import StandinService


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", help="bootstrap servers that the service tells; default: a broker of its own")
    parser.add_argument("--username", default="alice@example.org", help="who logs in")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        broker = None
        if not options.endpoint:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="octopus-standin-"))
            broker = stack.enter_context(GatedBroker(Path(directory)))
        globus = stack.enter_context(StandinGlobus(Person(options.username)))
        endpoint = broker.address if broker is not None else options.endpoint
        service = stack.enter_context(StandinService(globus, broker, endpoint=endpoint))
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        print(f"export GLOBUS_SDK_SERVICE_URL_AUTH={globus.url}/ OCTOPUS_SERVICE_URL={service.url}")
        print("export OCTOPUS_PROFILE=octopus")
        if broker is not None:
            print("export OCTOPUS_SECURITY_PROTOCOL=SASL_PLAINTEXT")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
