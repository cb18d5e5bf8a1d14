"""Rules for what comes before the task's own work: software set up, containers started, hardware that fits."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules import signals
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    command,
    ending,
    errno_of,
    exit_status,
    place,
    quote,
    stderr,
)
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

_NOT_SETUP = Phrases(
    r"modulenotfound",
    r"no module named",
    r"node:internal",
    r"npm",
    r"webpack",
)
_SETUP = Phrases(
    r"\bno matching distribution found\b",
    r"\bcould not find a version that satisfies\b",
    r"\bno solution found when resolving\b",
    r"\bshell has not been properly configured to use '?(?:conda|mamba)",
    r"\brun 'conda init\b",
    r"\bconda init\b[^\n]{0,40}before",
    r"\b(?:CondaError|EnvironmentNameNotFound|EnvironmentLocationNotFound|CommandNotFoundError"
    r"|CondaEnvironmentError|NotAnEnvironmentError|DirectoryNotACondaEnvironmentError|CondaValueError"
    r"|CondaVerificationError|ArgumentError: conda|NoWritableEnvsDirError|NoWritablePkgsDirError"
    r"|ResolvePackageNotFound|LibMambaUnsatisfiableError|UnsatisfiableError|PackagesNotFoundError)\b",
    r"\b(?:could not|cannot|can't|unable to|failed to) (?:find|locate|activate|create|load|open"
    r"|initiali[sz]e)\b[^\n]{0,60}\b(?:conda|mamba|venv|virtual ?env\w*|module ?files?|environment module|spack"
    r"|lmod)\b",
    r"\b(?:conda|mamba|spack|lmod|venv|virtualenv|poetry|pixi) (?:environment|env|error"
    r"|failed)\b[^\n]{0,80}\b(?:not found|does not exist|fail|error|missing|corrupt|creat)",
    r"\blmod has detected the following error\b",
    r"\bthe following module\(?s\)? (?:are|is) unknown\b",
    r"\bmodule\(?s?\)?[^\n]{0,120}\b(?:exists? but cannot be loaded|cannot be loaded|could not be loaded"
    r"|unable to load|is unknown|not available)\b[^\n]{0,40}(?:as requested|:|$)",
    r"\bunable to (?:locate|load) (?:a )?module(?:file)?\b",
    r"\bModuleCmd_\w+\.c\b",
    r"\bmodule(?:file)?:? (?:load )?error\b",
    r"\bmodule: (?:no such|error)",
    r"\bspack[^\n]{0,60}\b(?:error|not found|no such)",
    r"\bactivate(?:\.sh|\.csh|\.fish)?'?:? ?(?:no such file|not found)",
    r"\bsource: [^\n]{0,120}(?:not found|no such file)",
    r"\bcannot cache function\b[^\n]{0,120}\bno locator available\b",
    r"\bnumba\b[^\n]{0,100}\bcache\b[^\n]{0,60}(?:corrupt|fail|error|read-only|not writable|permission)",
    r"\b(?:JAVA_HOME|GDAL_DATA|PROJ_LIB|PROJ_DATA|R_HOME|SPARK_HOME|HADOOP_HOME)\b[^\n]{0,40}\b(?:not set"
    r"|not defined|undefined)",
    r"\bproj_create\w*: cannot find proj\.db",
    r"\bcannot find proj\.db",
    r"\b\w+ is not a directory: [^\n]{0,120}(?:venv|env)",
    r"^\s*==> error: ",
    r"\b\w*Conda\w*(?:Exception|Error)\b",
    r"\b(?:conda|mamba|module|spack|ml)['`\"]? command (?:is not|was not|not) (?:available|found)\b",
    r"\bbinary incompatibility\b",
    r"\bcompiled (?:against|using|with) (?:a different )?(?:numpy|api version|abi)\b",
    r"\bterminfo database\b",
    r"\bunsupported locale setting\b",
    r"\bnot a conda environment\b",
    r"\bconda: error: argument command\b",
    r"\bno such file or directory: '[^'\n]{0,200}\b(?:conda|mamba)\d?/",
    unless=_NOT_SETUP,
)

_NOT_CONTAINER = Phrases(
    r"cannot identify image",
    r"image (?:size|shape|dimension|format|data)",
    r"PIL\b",
    r"opencv",
)
_CONTAINER = Phrases(
    r"\bimage not known\b",
    r"\bload `?config\.json\b",
    r"\bsupported image formats\b",
    r"\bexecutable found for oci runtime\b",
    r"\bcontainer creation failed\b",
    r"\bwhile (?:making image|performing build|loading|mounting|extracting|setting up|checking|running|opening"
    r"|getting|pulling|building|creating)[^\n]{0,200}\b(?:image|registry|oci|squashfs|container|sif|mount|overlay"
    r"|loop)",
    r"\b(?:failed|unable|could not|cannot|can't|couldn't)(?: to)? (?:create|start|run|pull|mount|open|load|launch"
    r"|find|build"
    r"|attach|set up|setup|extract|unpack|get|use)\b[^\n]{0,40}\b(?:loop device|container|squashfs|squashfuse|sif"
    r"|image file"
    r"|image driver|user namespace|overlay(?:fs)?|bind mount|docker daemon|docker image|oci)\b",
    r"\bno (?:more )?loop devices? available\b",
    r"\b(?:loop device|squashfuse|fuse-overlayfs|starter(?:-suid)?|image driver)\b[^\n]{0,120}\b(?:fail|error|exited)",
    r"\boci runtime\b[^\n]{0,40}(?:error|fail|create)",
    r"\berror response from daemon\b",
    r"\bcannot connect to the docker daemon\b",
    r"\bis the docker daemon running\b",
    r"\b(?:runc|crun|enroot|pyxis|ch-run|charliecloud|shifter|podman|udocker)\b[^\n]{0,40}:[^\n]{0,160}(?:error"
    r"|fail|cannot|could not|unable|no such|not found|denied)",
    r"^\s*(?:\x1b\[\d+m)?FATAL:\s[^\n]{0,240}\b(?:container|image|mount|sif|squash|namespace|starter|apptainer"
    r"|singularity|registry|library|executable|bind|overlay|fakeroot)",
    r"\bno space (?:left )?in (?:session|overlay)",
    r"\b(?:user namespaces?|fakeroot|userns)\b[^\n]{0,80}\b(?:disabled|not (?:supported|enabled|allowed|permitted)"
    r"|requires|fail|required|error)",
    r"\bmanifest (?:unknown|for [^\n]{0,120} not found)",
    r"\bunable to (?:find|pull) image\b",
    r"\bimage\b[^\n]{0,60}\b(?:pull failed|could not be pulled)",
    r"\bno such image\b",
    r"\bpull access denied\b",
    r"\bmount (?:source|hook)\b[^\n]{0,120}(?:fail|doesn't exist|does not exist|not exist|error)",
    r"\bsystemd-run\b[^\n]{0,80}container",
    unless=_NOT_CONTAINER,
)

_HARDWARE = Phrases(
    r"\billegal instruction\b",
    r"\bCPU ISA level is lower than required\b",
    r"\bexec format error\b",
    r"\bcannot execute binary file\b",
    r"\b(?:cpu|processor|machine|host)\b[^\n]{0,100}\b(?:does not|doesn't|do not|lacks?|without"
    r"|not)\b[^\n]{0,60}\b(?:support|have|instruction|avx|sse|fma|bmi)",
    r"\b(?:avx(?:2|512\w*)?|sse4\S*|fma|bmi2?)\b[^\n]{0,100}\b(?:not (?:supported|available)|unsupported"
    r"|aren't available|required|missing)\b",
    r"\bcompiled (?:to use|for|with)\b[^\n]{0,80}\binstructions?\b[^\n]{0,80}\b(?:aren't|not|are not)\b",
    r"\bplease verify that both the operating system and the processor support\b",
    r"\bwrong (?:cpu )?architecture\b",
    r"\bincompatible (?:cpu|processor|architecture)\b",
    r"\b(?:built|compiled) for (?:a )?(?:different|another|newer) (?:architecture|cpu|processor|microarchitecture)",
)


def _ill(failure: Failure, history: History | None) -> Match | None:
    code, signal = ending(failure, history)
    if signal != signals.ILL:
        return None
    evidence = {"signal": "SIGILL", "exit_code": code}
    return Match(f"an instruction that the processor does not know{place(failure)} (SIGILL)", evidence, 0.8)


_RUNTIMES = re.compile(r"\b(?:podman|docker|nerdctl|crun|runc)\b")


def _container_exit(failure: Failure, history: History | None) -> Match | None:
    """What docker(1), podman(1) and the like end with where they fail, and not what runs in the container."""
    code, line = exit_status(failure)[0], command(failure)
    if code != 125 or not _RUNTIMES.search(line):
        return None
    said = stderr(failure).strip().rpartition("\n")[2][:200]
    evidence: dict[str, Scalar] = {"exit_code": 125, "text": said or None}
    return Match(f"a container could not be started{place(failure)}: {said or line[:200]}", evidence, 0.75)


def _format(failure: Failure, history: History | None) -> Match | None:
    if errno_of(failure) != errno.ENOEXEC:
        return None
    evidence = {"errno": "ENOEXEC", "subject": failure.exception.attributes.get("filename")}
    return Match(f"a program that the system cannot run{place(failure)}: {quote(failure.exception)}", evidence, 0.6)


RULES = (
    Rule(
        "hardware_mismatch.errno",
        Category.hardware_mismatch,
        Trust.exact_type,
        _format,
        types=("OSError",),
        doc="`OSError` with `ENOEXEC`",
    ),
    Rule(
        "container_failed.exit_code",
        Category.container_failed,
        Trust.exit_status,
        _container_exit,
        types=EXIT_TYPES,
        doc="exit code 125 of docker, podman, …: they failed themselves",
    ),
    stated(
        "container_failed.text",
        Category.container_failed,
        "a container could not be started",
        _CONTAINER,
        confidence=0.75,
        doc="what Apptainer, Docker, Podman, Shifter, … say of a runtime, an image or a mount that fails",
    ),
    stated(
        "setup_failed.text",
        Category.setup_failed,
        "the software that it needs could not be set up",
        _SETUP,
        confidence=0.75,
        doc="conda, environment modules, Spack, virtual environments, caches and variables that are not set up",
    ),
    stated(
        "hardware_mismatch.text",
        Category.hardware_mismatch,
        "the program was built for other hardware",
        _HARDWARE,
        confidence=0.75,
        doc="`Illegal instruction`, `CPU ISA level is lower than required`, `Exec format error`, AVX that is not there",
    ),
    Rule(
        "hardware_mismatch.signal",
        Category.hardware_mismatch,
        Trust.exit_status,
        _ill,
        doc="a process ended by SIGILL",
    ),
)
