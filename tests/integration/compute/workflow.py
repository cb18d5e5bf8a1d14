"""A monitored Parsl run whose tasks go to an endpoint of Globus Compute: a script, as its functions travel by value.

Called with the endpoint's id and a directory; prints the run's id, and of each task what came of it.
"""

from __future__ import annotations

import sys

import parsl
from globus_compute_sdk import Executor
from parsl.config import Config
from parsl.executors import GlobusComputeExecutor

from parsl_monitor import enable


@parsl.python_app
def double(number):  # type: ignore[no-untyped-def]
    return 2 * number


@parsl.python_app
def look_up(name):  # type: ignore[no-untyped-def]
    return {"alpha": 1}[name]


@parsl.python_app
def die():  # type: ignore[no-untyped-def]
    import os
    import signal
    import time

    time.sleep(2)
    os.kill(os.getpid(), signal.SIGKILL)


def main(endpoint: str, directory: str) -> None:
    sdk = Executor(endpoint_id=endpoint)
    site = GlobusComputeExecutor(sdk, label="site")
    config = Config(executors=[site], run_dir=directory, strategy="none")
    with parsl.load(enable(config)) as dfk:
        print(dfk.run_id)
        for future in (double(21), look_up("omega"), die()):
            error = future.exception()
            print(future.tid, future.result() if error is None else type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
