"""Rules for `gpu_error`: accelerators, their drivers and their memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import Match, Rule, Trust, place, quote
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

_SAID = Phrases(
    r"\bCUDA_ERROR_\w+",
    r"\bcudaError\w*",
    r"\bcuda(?: runtime| driver| kernel)? ?error\b",
    r"\bcuda out of memory\b",
    r"\bhip out of memory\b",
    r"\bcuda (?:driver|runtime|initiali[sz]ation|failure|unknown|call|device|version"
    r"|toolkit)\b[^\n]{0,120}\b(?:fail|error|insufficient|not|unable|older|too old|mismatch|incompatible"
    r"|unavailable|invalid|exception)",
    r"\bno cuda\b",
    r"\bno cuda-capable device",
    r"\bcu(?:dnn|blas|solver|fft|sparse|rand)\w*[^\n]{0,80}(?:error|fail|not[ _]init|alloc|status|exec)",
    r"\bnvidia-smi has failed\b",
    r"\bnvml\b[^\n]{0,80}",
    r"\bNVRM\b",
    r"\bXid\b[^\n]{0,12}[:(]",
    r"\bnvidia driver\b",
    r"\bdriver/library version mismatch\b",
    r"\b(?:un)?supported[ _]ptx",
    r"\bptx\b[^\n]{0,60}(?:version|error|jit|unsupported|compil)",
    r"\bno kernel image is available\b",
    r"\bhip ?error\w*",
    r"\bhipError\w*",
    r"\brocm\b[^\n]{0,80}(?:error|fail|not|no )",
    r"\bhsa_status_error\w*",
    r"\bmiopen\w*[^\n]{0,60}(?:error|fail)",
    r"\brocblas\w*[^\n]{0,60}(?:error|fail|status)",
    r"\bgpu\b[^\n]{0,40}\b(?:fallen off|is lost|hang|not (?:available|detected|visible|compatible|initiali[sz]ed)"
    r"|unavailable"
    r"|out of memory|is dead)\b",
    r"\bgpu (?:\d{1,2} )?(?:error|failure|not found)\b(?!, (?:falling|using))",
    r"\b(?:no|unable to (?:find|detect|open|initiali[sz]e)|cannot (?:find|open|detect)|could not (?:find|open"
    r"|detect|initiali[sz]e)|failed to (?:find|initiali[sz]e|open|detect))[^\n]{0,40}\b(?:gpus?|cuda|rocm|hip"
    r"|nvidia|accelerator)\b",
    r"\buncorrectable ecc\b",
    r"\bclGetPlatformIDs\b",
    r"\bCL_(?:DEVICE|OUT|MEM|INVALID)\w+",
    r"\bZE_RESULT_ERROR\w+",
    r"\bfailed to initiali[sz]e nvml\b",
)
_OWN_FAULT = Phrases(r"device-side assert triggered")


def _gpu(failure: Failure, history: History | None) -> Match | None:
    if _OWN_FAULT.has(failure.exception.message):
        return None
    return Match(f"the GPU failed{place(failure)}: {quote(failure.exception)}", confidence=0.9)


RULES = (
    Rule(
        "gpu_error.type",
        Category.gpu_error,
        Trust.exact_type,
        _gpu,
        types=(
            "torch.cuda.OutOfMemoryError",
            "torch.OutOfMemoryError",
            "torch.AcceleratorError",
            "cupy.cuda.memory.OutOfMemoryError",
            "cupy_backends.cuda.api.runtime.CUDARuntimeError",
            "cupy_backends.cuda.api.driver.CUDADriverError",
            "cupy_backends.cuda.libs.cublas.CUBLASError",
            "cupy_backends.cuda.libs.cusolver.CUSOLVERError",
            "numba.cuda.cudadrv.driver.CudaAPIError",
            "numba.cuda.cudadrv.error.CudaSupportError",
            "pynvml.NVMLError",
            "pycuda._driver.Error",
            "pyopencl._cl.Error",
        ),
        doc="the GPU exceptions of PyTorch, CuPy, Numba, PyCUDA, PyOpenCL and NVML",
    ),
    stated(
        "code_error.device_assert",
        Category.code_error,
        "the task's kernel failed its own check",
        _OWN_FAULT,
        confidence=0.6,
        doc="`CUDA error: device-side assert triggered`: an index out of range in the task's own kernel, mostly",
    ),
    stated(
        "gpu_error.text",
        Category.gpu_error,
        "the GPU failed",
        _SAID,
        confidence=0.75,
        doc="`CUDA error`, `CUDA_ERROR_…`, PTX versions, `no CUDA-capable device`, Xid, `HIP error`, …",
    ),
)
