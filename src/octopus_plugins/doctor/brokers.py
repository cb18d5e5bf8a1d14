"""What the brokers say: whether they let us in, where they are, and which of our topics they have."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from octopus_plugins.config import OctopusConfig
from octopus_plugins.doctor.case import Case, Server
from octopus_plugins.doctor.findings import Finding, ok, trouble
from octopus_plugins.doctor.network import parse_servers, reach, resolve
from octopus_plugins.errors import CredentialsError, FabricError
from octopus_plugins.events import Topic
from octopus_plugins.fabric.kafka.client_options import kafka_options
from octopus_plugins.fabric.kafka.reader import reading_options
from octopus_plugins.fabric.kafka.topics import QuietLogger, ask_admin, namespace, topic_name

_REFUSALS = {
    "key_refused": "auth.key",
    "user_missing": "auth.no_user",
    "mechanism_refused": "auth.mechanism",
    "sasl_not_offered": "auth.no_sasl",
    "credentials_refused": "auth.password",
    "client_certificate_refused": "tls.client_certificate",
}


def auth(case: Case) -> Finding:
    """Log in to the brokers, and let them tell what they are and have."""
    config = case.config
    try:
        protocol = kafka_options(config)["security.protocol"]
    except CredentialsError as error:
        return trouble("auth.token", error.what)
    try:
        case.metadata = ask_admin(config, lambda admin, seconds: admin.list_topics(timeout=seconds))
    except FabricError as error:
        # That a connection in clear text is cut is librdkafka's word, and all that it says of it.
        silent = "auth.no_user" if protocol == "PLAINTEXT" and "isconnected" in error.what else "auth.silent"
        default = "auth.token" if isinstance(error, CredentialsError) else silent
        return trouble(_REFUSALS.get(error.code, default), error.what, case.texts(), step="auth")
    who = _who(config.with_local_user(), protocol)
    return ok("auth", f"the brokers let {who} in", protocol=protocol)


def _who(config: OctopusConfig, protocol: str) -> str:
    if config.profile == "octopus":
        return f"the key of {namespace(config)}"
    if protocol.startswith("SASL"):
        return f"user {config.sasl_username} by {config.sasl_mechanism}"
    return "the client's certificate" if config.ssl_certificate_location else "anybody"


def brokers(case: Case) -> Finding:
    """Reach the brokers where the cluster says that they are: clients go there after the first contact."""
    told = [Server(each.host, each.port) for each in case.metadata.brokers.values()]
    known = parse_servers(case.config.servers)
    seconds = 0.8 * case.seconds / max(len(told), 1)
    wrong = []
    for server in told:
        if server not in known:
            problem = "has no address in DNS" if resolve(server.host) is None else reach(server, seconds)
            wrong += [f"{server} {problem}"] if problem else []
    if wrong:
        return trouble("brokers.advertised", ", ".join(wrong))
    one = len(told) == 1
    return ok(
        "brokers",
        f"1 broker, {told[0]}" if one else f"{len(told)} brokers, each can be reached",
        brokers=[str(each) for each in told],
    )


def topics(case: Case) -> Finding:
    """Look whether the four topics are there, with a leader, and all of their copies."""
    config = case.config
    names = {topic: topic_name(config, topic) for topic in Topic}
    found = {topic: case.metadata.topics.get(name) for topic, name in names.items()}
    missing = [topic for topic, each in found.items() if each is None or not each.partitions]
    if missing and config.embedded:
        return ok("topics", "not there yet, in part; this broker makes each with its first record")
    if missing:
        forbidden = [names[topic] for topic in missing if _is_forbidden(case, names[topic])]
        if forbidden:
            return trouble("topics.forbidden", f"{_list(forbidden)} may not be seen", case.texts())
        return trouble("topics.missing", f"there is no {_list([names[topic] for topic in missing])}")
    partitions = {topic: list(each.partitions.values()) for topic, each in found.items()}
    headless = [names[topic] for topic, all_ in partitions.items() if any(each.leader < 0 for each in all_)]
    if headless:
        return trouble("topics.no_leader", f"partitions of {_list(headless)} have no leader")
    behind = [names[topic] for topic, all_ in partitions.items() if any(len(e.isrs) < len(e.replicas) for e in all_)]
    if behind:
        return trouble("topics.few_copies", f"copies of {_list(behind)} are not up to date")
    numbers = {str(topic): len(all_) for topic, all_ in partitions.items()}
    copies = min(len(each.replicas) for all_ in partitions.values() for each in all_)
    return ok(
        "topics",
        f"the four of {namespace(config)} are there: {_partitions(numbers)}, {_plural(copies, 'copy', 'copies')}",
        partitions=numbers,
        copies=copies,
    )


def _is_forbidden(case: Case, name: str) -> bool:
    """Ask for a topic by name: a list of all leaves out those that may not be seen. A consumer's asking makes none."""
    consumer: Any = Consumer(reading_options(case.config), logger=QuietLogger())
    try:
        told = consumer.list_topics(name, timeout=0.2 * case.seconds).topics[name].error
    except KafkaException:
        return False
    finally:
        consumer.close()
    return told is not None and told.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def _partitions(numbers: dict[str, int]) -> str:
    if len(set(numbers.values())) == 1:
        number = next(iter(numbers.values()))
        return f"{_plural(number, 'partition', 'partitions')} each"
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) + " partitions"


def _plural(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _list(names: list[str]) -> str:
    return ", ".join(names)
