"""What a task is given is the user's: nothing of it is called, turned into text or looked at for a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from parsl_monitor import enable


class Handle:
    """A value whose text cannot be had, or takes long, or is counted."""

    def __init__(self, raises: bool = False) -> None:
        self.raises, self.asked = raises, 0

    def __repr__(self) -> str:
        self.asked += 1
        if self.raises:
            raise RuntimeError("the handle is closed")
        return "a handle"

    __str__ = __repr__


@parsl.python_app
def count(inputs: Any = (), outputs: Any = (), seconds: float = 0.0) -> int:
    import time as clock

    clock.sleep(seconds)
    return len(inputs) + len(outputs)


@pytest.mark.parametrize("enabled", [True, False])
def test_what_a_task_is_given_is_not_turned_into_text(
    settings: Callable[..., Any], tmp_path: Path, enabled: bool
) -> None:
    handle, hostile, closed = Handle(), Handle(raises=True), Handle()
    config = Config(executors=[ThreadPoolExecutor()], run_dir=str(tmp_path), initialize_logging=False)
    with parsl.load(enable(config, octopus=settings()) if enabled else config):
        assert count(inputs=[handle, 2], outputs=[]).result(timeout=30) == 2
        assert count(inputs=[hostile]).result(timeout=30) == 1
        late = count(inputs=[closed], seconds=0.5)
        closed.raises = True  # as what a user closes while a task works on a copy of its own
        assert late.result(timeout=30) == 1
    assert (handle.asked, hostile.asked, closed.asked) == (0, 0, 0)
