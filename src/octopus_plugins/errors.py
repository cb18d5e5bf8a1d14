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
"""


class OctopusError(Exception):
    """Base of every error that octopus-plugins raises on purpose."""


class ConfigError(OctopusError):
    """A setting is missing, unknown or contradictory."""


class PolicyError(ConfigError):
    """A retry policy is wrong; the message names the file and the key."""


class SchemaError(OctopusError):
    """Bytes that cannot be read as an event."""


class FabricError(OctopusError):
    """The way to the topics is broken."""


class BrokerUnreachableError(FabricError):
    """No broker answered within the time allowed."""


class TopicMissingError(FabricError):
    """A topic does not exist and could not be created."""


class CredentialsError(FabricError):
    """Credentials are missing, refused, or of a kind this profile cannot use."""


class ServiceError(FabricError):
    """The Octopus web service refused what was asked of it, or did not answer in time."""


class SpoolError(FabricError):
    """The on-disk spool could not be written or read."""


class BrokerStartError(OctopusError):
    """A local broker did not come up."""


class PluginError(OctopusError):
    """A plugin raised, or offers a hook that does not exist."""


class UnsupportedHostError(OctopusError):
    """The installed Parsl or Globus Compute is one that we do not know."""


class MissingDependencyError(OctopusError, ImportError):
    """An optional package is not installed; the message says which extra brings it."""
