"""Two sides that do not understand each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

VERSIONS = Category.version_mismatch
CASES = Cases()
SCRATCH = "{scratch}"


@CASES.python(VERSIONS, structured=False)
def newer_pickle() -> Any:
    """Unpickles bytes of a pickle protocol that this Python does not have."""
    import pickle

    return pickle.loads(b"\x80\x06N.")


@CASES.python(VERSIONS, structured=False)
def newer_pickle_of_numpy() -> Any:
    """Loads an array that was pickled with a protocol that this Python does not have."""
    import io
    import pickle

    import numpy as np

    data = pickle.dumps(np.arange(3))
    return pickle.load(io.BytesIO(b"\x80\x07" + data[2:]))


@CASES.python(VERSIONS, SCRATCH, structured=False)
def bytecode_of_another_python(scratch: str) -> Any:
    """Imports a module that was compiled by a Python with another magic number."""
    import importlib.util
    import py_compile
    import sys

    source = Path(scratch, "octopus_compiled.py")
    source.write_text("VALUE = 1\n")
    compiled = Path(py_compile.compile(str(source), cfile=str(Path(scratch, "compiled", "octopus_compiled.pyc"))))
    data = compiled.read_bytes()
    number = int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little") - 100
    compiled.write_bytes(number.to_bytes(2, "little") + data[2:])
    sys.path.insert(0, str(compiled.parent))
    import octopus_compiled

    return octopus_compiled.VALUE


@CASES.python(VERSIONS, structured=False)
def code_object_of_another_python() -> Any:
    """Builds a code object with the arguments of Python 3.7, as a pickle of that version does."""
    import types

    return types.CodeType(0, 0, 0, 0, 67, b"d\x00S\x00", (None,), (), (), "a.py", "f", 1, b"", (), ())  # type: ignore


@CASES.python(VERSIONS, structured=False)
def newer_marshal() -> Any:
    """Unmarshals a code object of which the layout is another version's."""
    import marshal

    def f() -> int:
        return 1

    data = bytearray(marshal.dumps(f.__code__))
    return marshal.loads(bytes(data[:1]) + bytes(4) + bytes(data[1:]))


@CASES.python(VERSIONS)
def bytecode_with_unknown_opcode() -> Any:
    """Runs bytecode with an instruction that this Python does not have."""

    def f() -> int:
        return 1

    f.__code__ = f.__code__.replace(co_code=bytes([207, 0]) * (len(f.__code__.co_code) // 2))
    return f()


OTHER = Cases()
OLD = "import parsl.version\nparsl.version.VERSION = '2024.01.01'\n"


@OTHER.workflow(VERSIONS)
def manager_of_another_parsl(lab: Any) -> Any:
    """The node's worker pool runs another version of Parsl: the interchange refuses it."""
    return lab.python(_waits)


def _waits() -> int:
    return 1


OLDER = {"*": {"path": "{scratch}/old"}}


def _old_site(scratch: Path) -> None:
    (scratch / "old").mkdir()
    (scratch / "old" / "sitecustomize.py").write_text(OLD)


SCENES = [
    Scene("versions", CASES),
    Scene("other_parsl", OTHER, [Place("older", OLDER)], wait=False, prepare=_old_site),
]
