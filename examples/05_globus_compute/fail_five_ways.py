"""One function, submitted with the SDK of Globus Compute: it works once, and fails in five ways."""

import sys

from globus_compute_sdk import Executor

SAMPLES = ("good", "bug", "module", "memory", "large", "killed")


def analyse(sample):
    import os
    import signal
    import time

    time.sleep(1)
    if sample == "bug":
        return {"mean": 3.2}["median"]
    if sample == "module":
        import a_library_that_only_the_laptop_has  # noqa: F401
    if sample == "memory":
        return len(bytearray(8 << 30))
    if sample == "large":
        return os.urandom(11 << 20)  # Globus Compute returns at most 10 MiB
    if sample == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{sample} sample analysed"


def main(endpoint_id):
    with Executor(endpoint_id=endpoint_id) as executor:
        futures = {sample: executor.submit(analyse, sample) for sample in SAMPLES}
        for sample, future in futures.items():
            error = future.exception()
            # The first line says what broke, where, and what was decided; the traceback follows.
            said = future.result() if error is None else str(error).strip().splitlines()[0].strip()
            print(f"{sample} (task {future.task_id})\n  {said}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python fail_five_ways.py ENDPOINT_ID     (globus-compute-endpoint list shows it)")
    main(sys.argv[1])
