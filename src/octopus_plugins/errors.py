"""The exception tree. This module imports nothing.

    OctopusError
    ├── ConfigError              a setting is missing, unknown or contradictory
    │   └── PolicyError          a retry policy file is wrong; names the key
    ├── SchemaError              bytes that are no event of ours
    ├── FabricError              the way to the topics is broken
    │   ├── BrokerUnreachableError
    │   ├── TopicMissingError
    │   ├── CredentialsError
    │   ├── ServiceError         the Octopus web service refused, or did not answer
    │   └── SpoolError
    ├── BrokerStartError         a local broker did not come up
    ├── PluginError              a plugin raised, or offers a hook that does not exist
    ├── UnsupportedHostError     a version of Parsl or Globus Compute that we do not know
    └── MissingDependencyError   an optional package is not installed

Every message says what was wrong, where, and what to do. All of them survive pickling.

Programs go by `OctopusError.code`, never by the words of a message; ``CODES`` has all codes.
"""

CODES = {
    "broker_not_started": "A local broker did not come up, or is not running.",
    "broker_unreachable": "No broker answers.",
    "certificate_untrusted": "The certificate of the brokers, or of the web service, is not trusted.",
    "clear_text_refused": "Everything would be sent in clear text over a network.",
    "client_certificate_refused": "The brokers refuse the client's certificate.",
    "config_file_exposed": "The configuration file has a password in it, and others can read it.",
    "config_file_missing": "The configuration file that is named is not there.",
    "config_file_unreadable": "The configuration file cannot be read as TOML.",
    "config_invalid": "A setting or an argument is missing, contradictory, or has a value that it cannot have.",
    "config_key_unknown": "There is no setting or profile of that name.",
    "credentials_invalid": "Credentials are missing, incomplete, refused, or of a kind that cannot be used here.",
    "credentials_refused": "The brokers refuse user or password.",
    "dependency_missing": "An optional package is not installed.",
    "event_invalid": "Bytes that are no event, or an event that cannot be written.",
    "fabric_failed": "The brokers answered, and did not do what was asked.",
    "host_unsupported": "This version of Parsl or Globus Compute lacks something that we build on.",
    "key_refused": "The brokers refuse the key of the Octopus service.",
    "key_of_other_namespace": "Another namespace is asked for than the key's.",
    "key_of_other_service": "The key is of another web service.",
    "login_client_refused": "Globus Auth refuses the service account.",
    "login_damaged": "The file of the login's tokens is damaged.",
    "login_missing": "Nobody is logged in to the Octopus service.",
    "login_refused": "The Octopus web service does not accept the login.",
    "mechanism_refused": "The brokers do not offer the SASL mechanism that is set.",
    "plugin_failed": "A plugin raised, or does not fit its hook.",
    "policy_invalid": "A retry policy is wrong.",
    "sasl_not_offered": "The brokers take no SASL on this address.",
    "secret_exposed": "Others can read or replace a file with tokens or keys.",
    "service_failed": "The Octopus web service, or Globus Auth, refused what was asked, or does not answer.",
    "service_slow": "The Octopus web service does not answer in time.",
    "service_unknown_host": "The host of the Octopus web service is unknown.",
    "spool_failed": "The spool could not be written or read.",
    "topic_missing": "A topic does not exist, and could not be created.",
    "unspecified": "An error of a class that has no code of its own.",
    "user_missing": "The brokers close connections that have no user.",
}
"""What `OctopusError.code` may be, each with what it means. Codes are added, and not renamed."""


class OctopusError(Exception):
    """Base of every error that octopus-plugins raises on purpose.

    Args:
        what: What was wrong, and where: a clause.
        remedy: What to do: a clause; empty where ``what`` says it.
        code: Which of ``CODES`` it is, where that is not the class's.
        command: The command that helps, where there is one.

    Attributes:
        what: As given.
        remedy: As given.
        code: Which of ``CODES`` it is.
        command: As given.
    """

    code = "unspecified"

    def __init__(
        self, what: str = "", *, remedy: str = "", code: str | None = None, command: str | None = None
    ) -> None:
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what, self.remedy, self.command = what, remedy, command
        if code is not None:
            self.code = code


class ConfigError(OctopusError):
    """A setting is missing, unknown or contradictory."""

    code = "config_invalid"


class PolicyError(ConfigError):
    """A retry policy is wrong; the message names the file and the key."""

    code = "policy_invalid"


class SchemaError(OctopusError):
    """Bytes that cannot be read as an event."""

    code = "event_invalid"


class FabricError(OctopusError):
    """The way to the topics is broken."""

    code = "fabric_failed"


class BrokerUnreachableError(FabricError):
    """No broker answered within the time allowed."""

    code = "broker_unreachable"


class TopicMissingError(FabricError):
    """A topic does not exist and could not be created."""

    code = "topic_missing"


class CredentialsError(FabricError):
    """Credentials are missing, refused, or of a kind this profile cannot use."""

    code = "credentials_invalid"


class ServiceError(FabricError):
    """The Octopus web service refused what was asked of it, or did not answer in time."""

    code = "service_failed"


class SpoolError(FabricError):
    """The on-disk spool could not be written or read."""

    code = "spool_failed"


class BrokerStartError(OctopusError):
    """A local broker did not come up."""

    code = "broker_not_started"


class PluginError(OctopusError):
    """A plugin raised, or offers a hook that does not exist."""

    code = "plugin_failed"


class UnsupportedHostError(OctopusError):
    """The installed Parsl or Globus Compute is one that we do not know."""

    code = "host_unsupported"


class MissingDependencyError(OctopusError, ImportError):
    """An optional package is not installed; the message says which extra brings it."""

    code = "dependency_missing"
