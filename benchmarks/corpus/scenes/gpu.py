"""What a node without a working GPU does to a task that needs one: NVIDIA's own library finds no driver."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
GPU = Category.gpu_error


@CASES.python(GPU)
def nvml_without_driver() -> Any:
    """Asks NVML for the GPUs of a node that has no driver."""
    import pynvml

    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetCount()


@CASES.python(GPU)
def nvml_error_as_cause() -> Any:
    """The same, reported by an exception of the task's own."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise RuntimeError("no device for the simulation") from error


CASES.bash("nvml_in_a_program", GPU, "python3 -c 'import pynvml; pynvml.nvmlInit()'", structured=False)

SCENES = [Scene("gpu", CASES)]
