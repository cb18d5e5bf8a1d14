from __future__ import annotations

import os
import resource
import subprocess
import sys

import psutil
import pytest

from octopus_plugins.events import Limits, NodeState
from octopus_plugins.nodes import node


def test_limits_are_those_of_this_process() -> None:
    import msgspec

    found = msgspec.convert(node.limits(), Limits)
    assert found.open_files == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_a_limit_that_was_set_is_seen_and_no_limit_is_left_out() -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, -1));" \
        "from octopus_plugins.nodes.node import limits; print(limits())"  # fmt: skip
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = eval(shown.stdout)
    assert found["file_size"] == 1 << 20
    assert all(value is not None and value >= 0 for value in found.values())


def test_the_node_s_state_fits_its_event() -> None:
    import msgspec

    found = msgspec.convert(node.node_state(), NodeState)
    assert found.cpus == os.cpu_count()
    assert found.memory_total == psutil.virtual_memory().total
    assert found.disk_free and found.disk_total and found.disk_free <= found.disk_total


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses Linux's abstract sockets")
def test_one_worker_of_a_pool_speaks_and_another_takes_over_when_it_is_gone() -> None:
    place = {"manager": f"pool-{os.getpid()}"}
    first = node.NodeWatch("run", place, 10.0)
    second = node.NodeWatch("run", place, 10.0)
    assert first.beat() is not None
    assert second.beat() is None
    assert first._seat is not None
    first._seat.close()  # as the kernel does when the process ends
    assert second.beat() is not None
    assert second._seat is not None
    second._seat.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses Linux's abstract sockets")
def test_a_beat_comes_once_in_its_period() -> None:
    watch = node.NodeWatch("run", {"manager": f"period-{os.getpid()}"}, 60.0)
    beat = watch.beat()
    assert beat is not None
    assert beat["period"] == 60.0
    assert beat["node"]["memory_total"] > 0
    assert watch.beat() is None
    assert watch._seat is not None
    watch._seat.close()
