"""Administering a Kafka of one's own: its nodes, its users, and what those may do.

On the Octopus service none of this is possible, or needed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError
from octopus_plugins.fabric.kafka.topics import ask_admin, request_admin

_ITERATIONS = 4096  # the least that Kafka takes; the passwords we make are random, which is what protects them

_OF_TOPICS = (AclOperation.DESCRIBE, AclOperation.READ, AclOperation.WRITE)
_OF_GROUPS = (AclOperation.DESCRIBE, AclOperation.READ)
_OF_TRANSACTIONS = (AclOperation.DESCRIBE, AclOperation.WRITE)


def live_nodes(config: OctopusConfig) -> set[int]:
    """The numbers of the nodes that are up.

    Args:
        config: How to reach the cluster.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    return set(_metadata(config).brokers)


def leaders(config: OctopusConfig, name: str) -> dict[int, int]:
    """Which node leads each partition of a topic.

    Args:
        config: How to reach the cluster.
        name: The topic's Kafka name.

    Returns:
        Node by partition; a partition without a leader is left out.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    partitions = _metadata(config, name).topics[name].partitions
    return {number: partition.leader for number, partition in partitions.items() if partition.leader >= 0}


def add_scram_user(config: OctopusConfig, name: str, password: str) -> None:
    """Make a user who logs in by SASL/SCRAM-SHA-512; one that is there gets this password.

    Args:
        config: How to reach the cluster, as its administrator.
        name: The user's name.
        password: The user's password.

    Raises:
        CredentialsError: It was refused.
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        ConfigError: No address is known.
    """
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
    wanted = [UserScramCredentialUpsertion(name, scram, password.encode())]
    _await(
        config,
        f"user {name}",
        lambda admin, seconds: admin.alter_user_scram_credentials(wanted, request_timeout=seconds),
    )


def grant_namespace(config: OctopusConfig, principal: str, namespace: str) -> None:
    """Let a user work with the topics of one namespace, as the Octopus service lets its users.

    That is to describe, read and write topics, to use consumer groups and transactional ids, all of them with names
    that begin with ``{namespace}.``; not to create or delete topics.

    Args:
        config: How to reach the cluster, as its administrator.
        principal: The user as the authorizer knows it, such as ``User:alice``.
        namespace: Prefix of the topics.

    Raises:
        CredentialsError: It was refused.
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        ConfigError: No address is known.
    """
    rules = [
        _allow(kind, f"{namespace}.", ResourcePatternType.PREFIXED, principal, operation)
        for kind, operations in (
            (ResourceType.TOPIC, _OF_TOPICS),
            (ResourceType.GROUP, _OF_GROUPS),
            (ResourceType.TRANSACTIONAL_ID, _OF_TRANSACTIONS),
        )
        for operation in operations
    ]
    rules.append(
        _allow(
            ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL, principal, AclOperation.IDEMPOTENT_WRITE
        )
    )
    _await(
        config, f"the rules of {principal}", lambda admin, seconds: admin.create_acls(rules, request_timeout=seconds)
    )


def _allow(kind: Any, name: str, pattern: Any, principal: str, operation: Any) -> Any:
    return AclBinding(kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)


def _await(config: OctopusConfig, what: str, request: Callable[[AdminClient, float], dict[Any, Future[Any]]]) -> None:
    for error in request_admin(config, what, request).values():
        if error is not None:
            reason = KafkaError(error.code())  # what the broker itself says is the inside of its request
            raise CredentialsError(
                f"{what} could not be set at {config.servers}: {reason.str()}", remedy="an administrator may do so"
            )


def _metadata(config: OctopusConfig, *name: str) -> Any:
    return ask_admin(config, lambda admin, seconds: admin.list_topics(*name, timeout=seconds))
