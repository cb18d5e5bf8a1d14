"""Programs that end badly, and say why only in words, if at all."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
EXIT = Category.app_exit

CASES.bash("exit_one", EXIT, "exit 1", structured=True)
CASES.bash(
    "exit_forty_two",
    Category.numerical_error,
    "echo 'did not converge after 500 iterations' >&2; exit 42",
    structured=True,
)
CASES.bash("exit_in_silence", EXIT, "exit 3", structured=True, stderr=False)
CASES.bash("grep_finds_nothing", EXIT, "grep needle /etc/hostname", structured=True)
CASES.bash("perl_dies", EXIT, "perl -e 'die \"energy rose\\n\"'", structured=True)
CASES.bash("awk_exits", EXIT, "awk 'BEGIN { exit 7 }'", structured=True)
CASES.bash("node_throws", EXIT, "node -e 'throw new Error(\"bad state\")'", structured=True)
CASES.bash("compiler_refuses", EXIT, "echo 'int main( {' | gcc -x c - -o /dev/null", structured=True)
CASES.bash("git_refuses", EXIT, "cd {scratch} && git --git-dir=x log", structured=True)
CASES.bash("make_fails", EXIT, "cd {scratch} && printf 'all:\\n\\tfalse\\n' > Makefile && make", structured=True)
CASES.bash("sqlite_refuses", EXIT, "sqlite3 :memory: 'SELEC 1'", structured=True)
CASES.bash("python_program_with_a_bug", Category.code_error, "python3 -c 'print(undefined)'")
CASES.bash("python_program_asserts", EXIT, "python3 -c 'assert 1 > 2, \"mass is lost\"'", structured=True)
CASES.bash("killed_program", Category.worker_lost, "kill -KILL $$", structured=True)
CASES.bash("terminated_program", EXIT, "kill -TERM $$", structured=True)
CASES.bash("killed_child", Category.worker_lost, "bash -c 'kill -KILL $$'; exit $?", structured=True)
CASES.bash("pipe_fails", EXIT, "set -o pipefail; false | cat", structured=True)


@CASES.python(EXIT)
def checked_subprocess() -> Any:
    """A python app whose program ends with exit code 1."""
    import subprocess

    return subprocess.run(["false"], check=True)


@CASES.python(EXIT)
def checked_subprocess_output() -> Any:
    """A python app that reads the output of a program that ends with exit code 9."""
    import subprocess

    return subprocess.check_output(["bash", "-c", "echo half; exit 9"])


@CASES.python(EXIT)
def wrapped_subprocess() -> Any:
    """A program's exit below the exception of a library."""
    import subprocess

    try:
        return subprocess.run(["bash", "-c", "exit 5"], check=True)
    except subprocess.CalledProcessError as error:
        raise RuntimeError("the solver failed") from error


@CASES.python(EXIT)
def python_exits() -> Any:
    """A python app that calls sys.exit(4): its worker ends."""
    import sys

    sys.exit(4)


@CASES.python(EXIT)
def python_exits_at_once() -> Any:
    """A python app that calls os._exit(3): its worker ends."""
    import os

    os._exit(3)


@CASES.python(EXIT)
def library_exits() -> Any:
    """Compiled code that calls exit(17): its worker ends."""
    import ctypes

    ctypes.CDLL(None).exit(17)


SCENES = [Scene("programs", CASES, [Place("plain", workers=2)])]
