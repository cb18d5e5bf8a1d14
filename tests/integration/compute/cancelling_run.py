"""A program that cancels a task that runs, and ends. Its standard output tells what became of it."""

from __future__ import annotations

import json
import sys
import time

import globus_compute_sdk.sdk.client
from globus_compute_sdk import Client
from globus_compute_sdk.serialize import ComputeSerializer, DillCodeSource
from globus_sdk import AccessTokenAuthorizer

from globus_compute_hooks import OctopusExecutor


def rest(seconds: float) -> None:
    import time

    time.sleep(seconds)


def main() -> None:
    told = json.loads(sys.argv[1])
    globus_compute_sdk.sdk.client.get_web_service_url = lambda *_: told["url"]
    client = Client(authorizer=AccessTokenAuthorizer(told["token"]), do_version_check=False)
    executor = OctopusExecutor(told["endpoint"], client=client, octopus=told["octopus"])
    executor.serializer = ComputeSerializer(strategy_code=DillCodeSource())
    future = executor.submit(rest, 600)
    while future.task_id is None:
        time.sleep(0.05)
    print(executor.octopus_run_id, future.task_id, future.cancel())


if __name__ == "__main__":
    main()
