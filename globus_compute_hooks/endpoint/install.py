"""Makes an endpoint's user endpoints find `OctopusEngine`, by a marked block in the endpoint's own environment file.

The block is added at the end of ``user_environment.yaml`` and taken out again to the byte, whatever else was changed in
the file meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octopus_plugins.errors import ConfigError, MissingDependencyError, UnsupportedHostError

SITE = Path(__file__).resolve().parents[1] / "site"
"""What is put on PYTHONPATH."""

ENVIRONMENT = "user_environment.yaml"
TEMPLATES = ("user_config_template.yaml.j2", "user_config_template.yaml", "config.yaml")

_BEGIN = "# begin octopus-plugins"
_END = "# end octopus-plugins: `octopus endpoint disable` takes this block out"
_NEW_LINE, _NEW_FILE = " (new line before)", " (new file)"
_BLOCK = re.compile(rf"{re.escape(_BEGIN)}(?P<note>[^\n]*)\n(?P<body>.*?){re.escape(_END)}\n", re.DOTALL)
_TYPE = re.compile(r"^\s*type:\s*[\"']?OctopusEngine[\"']?\s*(#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint stands.

    Attributes:
        name: Its name.
        directory: Where its files are.
        enabled: Whether its user endpoints find OctopusEngine.
        engine: Whether its template, or its configuration, names OctopusEngine.
        problem: What keeps Octopus from working there; empty where nothing is known.
    """

    name: str
    directory: Path
    enabled: bool
    engine: bool
    problem: str = ""


def endpoints_home() -> Path:
    """Where Globus Compute keeps its endpoints: ``$GLOBUS_COMPUTE_USER_DIR``, else ``~/.globus_compute``."""
    return Path(os.environ.get("GLOBUS_COMPUTE_USER_DIR") or Path.home() / ".globus_compute")


def enable(name: str) -> bool:
    """Have the user endpoints of an endpoint find OctopusEngine, from their next start on.

    Args:
        name: The endpoint.

    Returns:
        Whether anything had to be changed.

    Raises:
        ConfigError: There is no such endpoint, or its file cannot be read or written.
        MissingDependencyError: Globus Compute's endpoint is not installed here.
        UnsupportedHostError: It is a version that we do not know.
    """
    check_host()
    file = _directory(name) / ENVIRONMENT
    before = _read(file)
    plain = _without_block(before or "")
    after = _with_block(plain or "", new_file=before is None or _is_new_file(before))
    if after == before:
        return False
    _write(file, after)
    return True


def disable(name: str) -> bool:
    """Take out what `enable` put in; nothing else in the file is touched.

    Args:
        name: The endpoint.

    Returns:
        Whether anything had to be changed.

    Raises:
        ConfigError: There is no such endpoint, or its file cannot be read or written.
    """
    file = _directory(name) / ENVIRONMENT
    before = _read(file)
    if before is None or _BLOCK.search(before) is None:
        return False
    after = _without_block(before)
    if after is None:
        file.unlink()
    else:
        _write(file, after)
    return True


def standings(name: str | None = None) -> list[Standing]:
    """How the endpoints stand, by name.

    Args:
        name: This one only.

    Raises:
        ConfigError: There is no such endpoint.
    """
    home = endpoints_home()
    found = [_directory(name)] if name is not None else sorted(path for path in home.glob("*") if _is_endpoint(path))
    return [_standing(directory) for directory in found]


def check_host() -> None:
    """See whether the endpoint's software is one that the engine can build on.

    Raises:
        MissingDependencyError: It is not installed here.
        UnsupportedHostError: It is a version that we do not know.
    """
    from globus_compute_hooks.versions import check_endpoint

    try:
        check_endpoint()
    except ImportError as error:
        raise MissingDependencyError(
            f"Globus Compute's endpoint cannot be loaded by this Python ({error}): "
            "pip install 'octopus-plugins[compute]' into the environment that runs the endpoint, and use its `octopus`"
        ) from error


def _directory(name: str) -> Path:
    directory = endpoints_home() / name
    if name in ("", ".", "..") or os.sep in name or not _is_endpoint(directory):
        known = ", ".join(sorted(path.name for path in endpoints_home().glob("*") if _is_endpoint(path))) or "none"
        raise ConfigError(f"there is no endpoint {name!r} in {endpoints_home()}", remedy=f"there are: {known}")
    return directory


def _is_endpoint(path: Path) -> bool:
    """Whether a directory is one that `globus-compute-endpoint configure` made, and not a user endpoint's."""
    return path.is_dir() and any((path / file).is_file() for file in ("config.yaml", "config.py"))


def _standing(directory: Path) -> Standing:
    text = _read(directory / ENVIRONMENT) or ""
    block = _BLOCK.search(text)
    engine = any(_TYPE.search(_read(directory / file) or "") for file in TEMPLATES)
    return Standing(directory.name, directory, block is not None, engine, _problem(block, engine=engine))


def _problem(block: re.Match[str] | None, *, engine: bool) -> str:
    if block is None:
        return "its engine cannot be found; `octopus endpoint enable` it" if engine else ""
    if str(SITE) not in block["body"]:
        return "it was enabled by another installation of octopus-plugins; enable it anew"
    try:
        check_host()
    except (MissingDependencyError, UnsupportedHostError) as error:
        return str(error)
    return "" if engine else "enabled, and no template of it says `type: OctopusEngine`"


def _with_block(plain: str, *, new_file: bool) -> str:
    new_line = bool(plain) and not plain.endswith("\n")
    note = (_NEW_LINE if new_line else "") + (_NEW_FILE if new_file else "")
    path = os.pathsep.join([str(SITE), *_inherited(plain)])
    body = f"{_BEGIN}{note}\nPYTHONPATH: {json.dumps(path)}\n{_END}\n"
    return plain + ("\n" if new_line else "") + body


def _inherited(plain: str) -> list[str]:
    """What PYTHONPATH would be without us: what the file says, else what an endpoint without privileges hands on."""
    import yaml

    try:
        told: Any = yaml.safe_load(plain) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{ENVIRONMENT} cannot be read as YAML: {error}") from error
    if not isinstance(told, dict):
        raise ConfigError(f"{ENVIRONMENT} is no mapping of variables to values; Globus Compute ignores it as it is")
    value = told.get("PYTHONPATH", os.environ.get("PYTHONPATH") if os.geteuid() != 0 else None)
    return [entry for entry in str(value or "").split(os.pathsep) if entry and entry != str(SITE)]


def _without_block(text: str) -> str | None:
    """The file's text as it was; None where there was no file."""
    block = _BLOCK.search(text)
    if block is None:
        return text
    before, after = text[: block.start()], text[block.end() :]
    if _NEW_LINE in block["note"] and not after:  # what was written behind it meanwhile needs the line's end
        before = before.removesuffix("\n")
    return None if _NEW_FILE in block["note"] and not before + after else before + after


def _is_new_file(text: str) -> bool:
    block = _BLOCK.search(text)
    return block is not None and _NEW_FILE in block["note"]


def _read(file: Path) -> str | None:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error


def _write(file: Path, text: str) -> None:
    """Write it whole or not at all, for whom it was before."""
    try:
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
        with tempfile.NamedTemporaryFile("wb", dir=file.parent, prefix=f".{file.name}-", delete=False) as fresh:
            fresh.write(text.encode())
        Path(fresh.name).chmod(mode)
        Path(fresh.name).replace(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}") from error
