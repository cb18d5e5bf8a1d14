"""Software that cannot be set up: environment modules (a real Lmod), virtual environments, packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.cases import Cases, Scene
from benchmarks.corpus.needs import needs
from octopus_plugins.wrath import Category

CASES = Cases()
SETUP = Category.setup_failed
SCRATCH = "{scratch}"
LMOD = "/usr/share/lmod/lmod/init/bash"
MODULES = f"source {LMOD} && module use {SCRATCH}/modules"
FILES = {
    "compiler/12.lua": 'setenv("OCTOPUS_COMPILER", "12")\n',
    "solver/1.lua": 'conflict("compiler")\n',
    "solver/2.lua": 'prereq("mpi")\n',
    "solver/3.lua": 'help([[unfinished\nsetenv("OCTOPUS_SOLVER", "3")\n',
    "solver/4.lua": 'depends_on("octopus-absent/3")\n',
}


def _write_modules(scratch: Path) -> None:
    needs(**{LMOD: "lmod"})(scratch)
    for name, text in FILES.items():
        path = scratch / "modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


CASES.bash(
    "module_unknown", SETUP, f"source {LMOD} && module load octopus-absent/1.2 && echo ready", made="no such module"
)
CASES.bash("module_version_unknown", SETUP, f"set -e; {MODULES}; module load compiler/13; echo ready")
CASES.bash("module_conflict", SETUP, f"{MODULES} && module load compiler/12 && module load solver/1")
CASES.bash("module_without_its_prerequisite", SETUP, f"{MODULES} && module load solver/2")
CASES.bash("module_file_broken", SETUP, f"{MODULES} && module load solver/3")
CASES.bash("module_dependency_unknown", SETUP, f"{MODULES} && module load solver/4")
CASES.bash(
    "module_system_not_set_up",
    SETUP,
    "module load gcc/12 && echo ready",
    made="the job's shell has no environment modules",
)


@CASES.python(SETUP, structured=False)
def module_load_in_python() -> Any:
    """A python app loads a module that does not exist in a shell, and raises what the shell said."""
    import subprocess

    command = f"source {LMOD} && module load octopus-absent/1.2"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"environment setup failed: {done.stderr}")


CASES.bash(
    "activate_script_gone",
    SETUP,
    f"python3 -m venv --without-pip {SCRATCH}/env && rm {SCRATCH}/env/bin/activate; "
    f"source {SCRATCH}/env/bin/activate && python -c 'print(1)'",
    made="a virtual environment lost its activate script",
)
CASES.bash(
    "environment_gone",
    SETUP,
    f"set -e; source {SCRATCH}/purged/env/bin/activate; python -c 'print(1)'",
    made="a virtual environment was purged",
)
CASES.bash(
    "pip_finds_no_package",
    SETUP,
    f"python3 -m venv {SCRATCH}/own && source {SCRATCH}/own/bin/activate && pip install --no-index octopus-absent",
    made="pip finds no distribution",
)
CASES.bash("uv_finds_no_package", SETUP, f"uv pip install --no-index --target {SCRATCH}/with-uv octopus-absent")

SCENES = [Scene("setups", CASES, prepare=_write_modules)]
