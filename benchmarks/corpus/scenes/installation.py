"""Modules, libraries and programs that a node lacks, or may not use."""

# ruff: noqa: PTH123 - as users write it
from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
MODULE, LIBRARY = Category.module_missing, Category.library_missing
PROGRAM, DENIED = Category.executable_missing, Category.permission_denied
SCRATCH = "{scratch}"


@CASES.python(MODULE)
def missing_module() -> Any:
    """Imports a module that is not installed."""
    import octopus_no_such_module

    return octopus_no_such_module


@CASES.python(MODULE)
def missing_submodule() -> Any:
    """Imports a submodule that this version of a package does not have."""
    import numpy.no_such_part

    return numpy


@CASES.python(MODULE)
def missing_module_in_a_library() -> Any:
    """A library imports an optional dependency that is not installed, and says so in its own words."""
    import pandas as pd

    return pd.DataFrame({"a": [1]}).to_excel("/tmp/x.xlsx")


@CASES.python(MODULE)
def wrapped_missing_module() -> Any:
    """A missing module below a RuntimeError."""
    try:
        import octopus_no_such_solver
    except ImportError as error:
        raise RuntimeError("the solver plugin is not usable") from error
    return octopus_no_such_solver


@CASES.python(MODULE)
def missing_module_by_name() -> Any:
    """Imports a missing module with importlib."""
    import importlib

    return importlib.import_module("octopus_absent.kernels")


@CASES.python(MODULE)
def missing_package_metadata() -> Any:
    """Asks for the version of a package that is not installed."""
    import importlib.metadata

    return importlib.metadata.version("octopus-absent")


@CASES.workflow(MODULE)
def function_from_a_missing_module(lab: Any) -> Any:
    """The app's function lives in a module that the submit side has and the node lacks."""
    import sys

    (lab.scratch / "only_here").mkdir()
    (lab.scratch / "only_here" / "octopus_only_here.py").write_text("def compute(x):\n    return x\n")
    sys.path.insert(0, str(lab.scratch / "only_here"))
    import octopus_only_here

    return lab.python(octopus_only_here.compute, 1)


CASES.bash("python_program_missing_module", MODULE, "python3 -c 'import octopus_no_such_module'")
CASES.bash("python_module_not_found", MODULE, "python3 -m octopus_no_such_tool --version")
CASES.bash("node_module_missing", MODULE, "node -e 'require(\"octopus-absent\")'")
CASES.bash("perl_module_missing", MODULE, "perl -MOctopus::Absent -e 1")


@CASES.python(LIBRARY)
def missing_library() -> Any:
    """Loads a shared library that is not there, with ctypes."""
    import ctypes

    return ctypes.CDLL("liboctopusabsent.so.3")


@CASES.python(LIBRARY, SCRATCH)
def text_as_library(scratch: str) -> Any:
    """Loads a text file as a shared library."""
    import ctypes

    path = Path(scratch, "libtext.so")
    path.write_text("not a library, but long enough to have a header " * 10)
    return ctypes.CDLL(str(path))


@CASES.python(LIBRARY, SCRATCH)
def truncated_library(scratch: str) -> Any:
    """Loads a shared library of which only the first bytes are there."""
    import ctypes
    import ctypes.util

    path = Path(scratch, "libhalf.so")
    path.write_bytes(Path("/lib/x86_64-linux-gnu/libm.so.6").read_bytes()[:40])
    return ctypes.CDLL(str(path))


def _built(scratch: Any, part: str, module: str) -> Path:
    """A C extension module that needs the library ``part``, both really compiled."""
    import subprocess
    import sysconfig

    folder = Path(str(scratch), module)
    folder.mkdir()
    (folder / "part.c").write_text("int octopus_part(void) { return 1; }\n")
    (folder / "module.c").write_text(
        "#include <Python.h>\nint octopus_part(void);\n"
        f'static struct PyModuleDef d = {{PyModuleDef_HEAD_INIT, "{module}", 0, -1, 0}};\n'
        f"PyMODINIT_FUNC PyInit_{module}(void) {{ octopus_part(); return PyModule_Create(&d); }}\n"
        "int main(void) { return octopus_part(); }\n"
    )
    include = sysconfig.get_paths()["include"]
    for command in (
        f"gcc -shared -fPIC part.c -o lib{part}.so",
        f"gcc -shared -fPIC -I{include} module.c -L. -l{part} -Wl,-rpath,{folder} -o {module}.so",
        "printf 'int octopus_part(void); int main(void) { return octopus_part() - 1; }' > p.c",
        f"gcc p.c -L. -l{part} -Wl,-rpath,{folder} -o program",
    ):
        subprocess.run(command, shell=True, cwd=folder, check=True)
    return folder


def imports_extension(folder: str, module: str) -> Any:
    """Import a compiled module from a folder."""
    import importlib
    import sys

    sys.path.insert(0, folder)
    return importlib.import_module(module)


@CASES.workflow(LIBRARY)
def extension_without_its_library(lab: Any) -> Any:
    """Imports a compiled extension module whose library was removed."""
    folder = _built(lab.scratch, "octopusone", "octopus_ext_one")
    (folder / "liboctopusone.so").unlink()
    return lab.python(imports_extension, str(folder), "octopus_ext_one")


@CASES.workflow(LIBRARY)
def extension_with_an_older_library(lab: Any) -> Any:
    """Imports a compiled extension module whose library lacks a symbol."""
    import subprocess

    folder = _built(lab.scratch, "octopustwo", "octopus_ext_two")
    (folder / "part.c").write_text("int octopus_other(void) { return 1; }\n")
    subprocess.run("gcc -shared -fPIC part.c -o liboctopustwo.so", shell=True, cwd=folder, check=True)
    return lab.python(imports_extension, str(folder), "octopus_ext_two")


@CASES.workflow(LIBRARY)
def program_without_its_library(lab: Any) -> Any:
    """Runs a compiled program whose library was removed."""
    folder = _built(lab.scratch, "octopusthree", "octopus_ext_three")
    (folder / "liboctopusthree.so").unlink()
    return lab.bash("program_without_its_library", f"{folder}/program")


@CASES.workflow(LIBRARY, structured=False)
def program_with_an_older_library(lab: Any) -> Any:
    """Runs a compiled program whose library lacks a symbol."""
    import subprocess

    folder = _built(lab.scratch, "octopusfour", "octopus_ext_four")
    (folder / "part.c").write_text("int octopus_other(void) { return 1; }\n")
    subprocess.run("gcc -shared -fPIC part.c -o liboctopusfour.so", shell=True, cwd=folder, check=True)
    return lab.bash("program_with_an_older_library", f"{folder}/program")


@CASES.python(LIBRARY)
def missing_symbol() -> Any:
    """Looks up a function that the C library does not have."""
    import ctypes

    return ctypes.CDLL(None).octopus_no_such_function


CASES.bash("preload_of_python_program", LIBRARY, "python3 -c 'import ctypes; ctypes.CDLL(\"liboctopusabsent.so\")'")
CASES.bash("missing_program", PROGRAM, "octopus-no-such-program --input x", structured=True)
CASES.bash("missing_program_by_path", PROGRAM, "/opt/octopus/bin/simulate in.dat", structured=True)
CASES.bash("missing_program_unseen", PROGRAM, "octopus-no-such-program", structured=True, stderr=False)
CASES.bash(
    "missing_interpreter",
    PROGRAM,
    "printf '#!/no/such/interp\\n' > {scratch}/s && chmod +x {scratch}/s && {scratch}/s",
    structured=True,
)
CASES.bash("missing_program_in_a_pipe", PROGRAM, "set -o pipefail; echo 1 | octopus-absent-filter", structured=True)
CASES.bash("missing_program_in_env", PROGRAM, "env octopus-no-such-program", structured=True)


@CASES.python(PROGRAM)
def subprocess_of_missing_program() -> Any:
    """Starts a program that is not there, from Python."""
    import subprocess

    return subprocess.run(["octopus-no-such-program", "-v"], check=True)


@CASES.python(PROGRAM)
def wrapped_missing_program() -> Any:
    """A missing program below a RuntimeError."""
    import subprocess

    try:
        return subprocess.Popen(["/opt/octopus/bin/relax"])
    except OSError as error:
        raise RuntimeError("cannot start the relaxation") from error


@CASES.python(PROGRAM)
def exec_of_missing_program() -> Any:
    """Starts a missing program by way of a shell that is checked."""
    import subprocess

    return subprocess.run("octopus-no-such-program", shell=True, check=True)


@CASES.python(DENIED, SCRATCH)
def program_that_is_data(scratch: str) -> Any:
    """Starts a file that may not be executed."""
    import subprocess

    path = Path(scratch, "data.txt")
    path.write_text("1 2 3\n")
    return subprocess.run([str(path)], check=True)


@CASES.python(DENIED, SCRATCH)
def reads_anothers_file(scratch: str) -> Any:
    """Reads a file that only its owner may read, as another user."""
    import os

    path = Path(scratch, "secret.dat")
    path.write_text("1")
    path.chmod(0o600)
    Path(scratch).chmod(0o755)
    os.seteuid(65534)
    try:
        return open(path).read()
    finally:
        os.seteuid(0)


@CASES.python(DENIED)
def writes_into_system() -> Any:
    """Writes into a system directory, as another user, below a library's exception."""
    import os

    import numpy as np

    os.seteuid(65534)
    try:
        np.save("/usr/lib/octopus.npy", np.zeros(3))
    except OSError as error:
        raise RuntimeError("cannot write the checkpoint") from error
    finally:
        os.seteuid(0)


@CASES.python(DENIED)
def signals_init() -> Any:
    """Sends a signal to another user's process."""
    import os

    os.setresuid(65534, 65534, 0)
    try:
        os.kill(1, 0)
    finally:
        os.setresuid(0, 0, 0)


CASES.bash("executes_data", DENIED, "echo 1 > {scratch}/data.dat; {scratch}/data.dat", structured=True)
CASES.bash("executes_a_directory", DENIED, "/tmp", structured=True)
CASES.bash(
    "program_reads_anothers_file",
    DENIED,
    "echo 1 > {scratch}/s.key; chmod 600 {scratch}/s.key; setpriv --reuid 65534 --clear-groups cat {scratch}/s.key",
)
CASES.bash("program_writes_into_system", DENIED, "setpriv --reuid 65534 --clear-groups touch /usr/lib/octopus")

HERE = Cases()
SITE = {"0": {"path": "{scratch}/site"}, "1": {}}


def uses_site_module(wait: float = 0.0) -> Any:
    """Use the module that only one of the two nodes has on its PYTHONPATH."""
    import time

    time.sleep(wait)
    import octopus_site_module

    return octopus_site_module.VALUE


@HERE.workflow(MODULE)
def module_on_one_node_only(lab: Any) -> Any:
    """Two nodes, of which one lacks a module on its PYTHONPATH: what runs there fails, the rest ends well."""
    (lab.scratch / "site").mkdir(exist_ok=True)
    (lab.scratch / "site" / "octopus_site_module.py").write_text("VALUE = 1\n")
    futures = [lab.python(uses_site_module, 0.3) for _ in range(8)]
    return [future for future in futures if future.exception() is not None][:4]


SCENES = [Scene("installation", CASES), Scene("one_node_lacks", HERE, [Place("pair", SITE, blocks=2)])]
