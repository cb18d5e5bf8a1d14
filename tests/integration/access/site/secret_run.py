"""Everything that touches secrets, as loud as it gets. What it prints, writes and pickles is searched afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import time
import traceback
from typing import Any

from octopus_plugins import OctopusConfig, Run
from octopus_plugins.errors import OctopusError
from octopus_plugins.events import Topic
from octopus_plugins.fabric import Emitter, Reader, ensure_topics, kafka_options
from octopus_plugins.fabric.octopus.keys import key_path, load_key, log_in, open_service
from octopus_plugins.fabric.octopus.login import GlobusLogin

SECRET = "canary-sasl-password"


def show(*things: Any) -> None:
    for thing in things:
        print(repr(thing), str(thing))
        with contextlib.suppress(Exception):
            print(vars(thing))
        try:
            print(pickle.dumps(thing))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not hold a secret
            print(f"not pickled: {error!r}")


def fail(action: Any) -> None:
    try:
        action()
        print(f"no failure of {action}")
    except OctopusError:
        traceback.print_exc()
        print(pickle.dumps(sys.exc_info()[1]))


def main() -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    log_in(OctopusConfig.load())
    ensure_topics(OctopusConfig.load())
    # The client's secret is needed for the login only; what comes now is what workflows do.
    del os.environ["DIASPORA_SDK_CLIENT_SECRET"]
    config = OctopusConfig.load(sasl_password=SECRET)
    key, options = load_key(config), kafka_options(config)
    print(f"KEY FOUND {len(key.secret_key)}")
    show(config, key, options["oauth_cb"], options)
    fail(lambda: OctopusConfig.load(sasl_mechanism="canary"))
    half = OctopusConfig(profile="kafka", bootstrap_servers="a:1", sasl_username="u", sasl_password=SECRET)
    fail(lambda: kafka_options(half))
    emitter = Emitter(config)
    emitter.emit(Run(run_id="r", time=time.time(), state="started"))
    print(f"DELIVERED {emitter.flush(30)}")
    reader = Reader(config, Topic.task_metrics, follow=True)
    show(emitter, reader)
    for event in reader:
        show(event)
        reader.close()
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True, check=True
    )
    print(f"CHILD {child.stdout.decode()}")

    path = key_path(config)
    good = path.read_bytes()
    for bad in (
        good[:-60],
        good.replace(b'"version": 1', b'"version": 2'),
        good.replace(b"canary-secret", b"CANARY-SECRET"),
    ):
        path.write_bytes(bad)
        fail(lambda: ensure_topics(config.model_copy(update={"connect_timeout": 1.0})))
    path.chmod(0o644)
    fail(lambda: load_key(config))
    path.chmod(0o600)
    path.write_bytes(good)
    fail(lambda: open_service(config).create_topic("no name"))
    fail(lambda: GlobusLogin(config.model_copy(update={"service_url": "https://127.0.0.1:9"})).identity())
    emitter.close()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
