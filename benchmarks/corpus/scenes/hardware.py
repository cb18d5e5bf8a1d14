"""Programs and libraries that were built for another processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from benchmarks.corpus.needs import needs
from octopus_plugins.wrath import Category

CASES = Cases()
OTHER = Category.hardware_mismatch
SCRATCH = "{scratch}"
AARCH64 = 183
# tilezero of Intel's AMX, which the kernel grants only to who asks for it: SIGILL on every x86-64 machine.
TILES = 'int tiles(void) { __asm__ volatile(".byte 0xc4,0xe2,0x7b,0x49,0xc0"); return 0; }\n'
# A note that asks for a level of x86-64 above all that exist: the dynamic loader refuses the file.
LEVEL = """\
__asm__(".pushsection .note.gnu.property,\\"a\\",@note\\n.balign 8\\n.long 4, 16, 5\\n.asciz \\"GNU\\"\\n"
        ".long 0xc0008002, 4, 0x10, 0\\n.popsection\\n");
int level(void) { return 0; }
"""
MAIN = "int main(void) { return %s(); }\n"


def _build(scratch: Path) -> None:
    import subprocess

    needs(gcc="gcc")(scratch)
    for name, text in (("tiles", TILES), ("level", LEVEL)):
        source = scratch / f"{name}.c"
        source.write_text(text + MAIN % name)
        subprocess.run(["gcc", str(source), "-o", str(scratch / name)], check=True)
        subprocess.run(["gcc", "-shared", "-fPIC", str(source), "-o", str(scratch / f"lib{name}.so")], check=True)
    data = bytearray(Path("/bin/true").read_bytes())
    data[18:20] = AARCH64.to_bytes(2, "little")  # the machine, in the header of ELF
    (scratch / "arm-solver").write_bytes(data)
    (scratch / "arm-solver").chmod(0o755)


@CASES.python(OTHER, f"{SCRATCH}/arm-solver")
def runs_a_program_for_arm(path: str) -> Any:
    """Runs a program whose ELF header names another machine: ENOEXEC."""
    import subprocess

    return subprocess.run([path], check=True)


@CASES.python(OTHER, f"{SCRATCH}/arm-solver")
def wrapped_program_for_arm(path: str) -> Any:
    """The same below the exception of a library."""
    import subprocess

    try:
        return subprocess.run([path], check=True)
    except OSError as error:
        raise RuntimeError("the force field backend did not start") from error


@CASES.python(OTHER, f"{SCRATCH}/libtiles.so")
def library_with_unknown_instructions(path: str) -> Any:
    """A library in the worker uses instructions that the processor refuses: SIGILL."""
    import ctypes

    return ctypes.CDLL(path).tiles()


@CASES.python(OTHER, f"{SCRATCH}/liblevel.so", structured=False)
def library_for_a_later_level(path: str) -> Any:
    """Loads a library that asks for a higher level of x86-64 than the processor has."""
    import ctypes

    return ctypes.CDLL(path)


CASES.bash("program_for_arm", OTHER, f"{SCRATCH}/arm-solver", made="its ELF header names another machine")
CASES.bash(
    "program_with_unknown_instructions",
    OTHER,
    f"ulimit -c 0; {SCRATCH}/tiles",
    made="it uses instructions that the processor refuses",
    structured=True,
)
CASES.bash(
    "program_with_unknown_instructions_unseen",
    OTHER,
    f"ulimit -c 0; {SCRATCH}/tiles; exit $?",
    made="the same",
    structured=True,
    stderr=False,
)
CASES.bash("program_for_a_later_level", OTHER, f"{SCRATCH}/level", made="it asks for a higher level of x86-64")

SCENES = [Scene("hardware", CASES, [Place("hardware", workers=2)], prepare=_build)]
