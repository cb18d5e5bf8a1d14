"""The settings: whether they can be read, and are of a piece."""

from __future__ import annotations

import os
import warnings

from octopus_plugins.config import NOT_LOGGED_IN, OctopusConfig, config_file
from octopus_plugins.doctor.case import Case
from octopus_plugins.doctor.findings import Finding, ok, trouble
from octopus_plugins.errors import ConfigError, CredentialsError
from octopus_plugins.fabric.kafka.client_options import kafka_options
from octopus_plugins.fabric.kafka.topics import namespace

_LOADING = {
    "config_file_missing": "settings.no_file",
    "config_file_unreadable": "settings.not_toml",
    "config_key_unknown": "settings.unknown_key",
    "config_file_exposed": "settings.exposed",
}


def settings(case: Case) -> Finding:
    """Load them, and look whether what they say of credentials is complete."""
    file = str(config_file())
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            config = case.load()
    except ConfigError as error:
        code = _LOADING.get(error.code, "settings.wrong_value")
        return trouble(code, error.what if code == "settings.exposed" else str(error), {"file": file})
    case.config = config
    try:
        if config.profile != "octopus":
            kafka_options(config)
    except CredentialsError as error:
        code = "settings.clear_text" if error.code == "clear_text_refused" else "settings.incomplete"
        return trouble(code, error.what)
    except ConfigError:
        pass  # there is no address yet: the step of that name says so
    variables = sorted(
        name for name in os.environ if name.removeprefix("OCTOPUS_").lower() in OctopusConfig.model_fields
    )
    variables = [name for name in variables if name.startswith("OCTOPUS_")]
    known = namespace(config)
    whose = f"namespace {known}" if known != NOT_LOGGED_IN else "no namespace before the login"
    seen = f"profile {config.profile}, {whose}, from {_source(variables)}"
    notes = [str(each.message) for each in warned]
    if notes:
        return trouble("settings.variable", f"{seen}; {notes[0]}", notes=notes[1:])
    return ok("settings", seen, profile=config.profile, namespace=known, file=file, variables=variables)


def _source(variables: list[str]) -> str:
    file = config_file()
    parts = [str(file)] if file.exists() else []
    parts += [", ".join(variables)] if variables else []
    return " and ".join(parts) or f"the defaults ({file} is not there)"
