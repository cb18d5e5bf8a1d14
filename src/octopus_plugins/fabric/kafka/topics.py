"""The topics' Kafka names, and their creation: by the web service on Octopus, where Kafka refuses it, else by Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins.config import NOT_LOGGED_IN, OctopusConfig, read_login
from octopus_plugins.errors import TopicMissingError
from octopus_plugins.events import Topic
from octopus_plugins.fabric.kafka.auth_errors import Refusals, unreachable
from octopus_plugins.fabric.kafka.client_options import kafka_options

if TYPE_CHECKING:
    from octopus_plugins.fabric.octopus.service import Service

log = logging.getLogger("octopus_plugins")

_ASK_SECONDS = 1.0  # at once: a refusal is noticed in between
_REQUEST_SECONDS = 10.0
_TIMED_OUT = {KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}


class QuietLogger:
    """Takes librdkafka's own log lines, which repeat every few seconds, and keeps them for debugging.

    What a person must know is said once, by the code that knows what it means.
    """

    def log(self, level: int, message: str, *args: Any) -> None:
        """Log a line of librdkafka at debug level, whatever level it claims."""
        log.debug("librdkafka: " + message, *args)


def topic_name(config: OctopusConfig, topic: Topic | str) -> str:
    """The Kafka name of a topic: ``{namespace}.{topic}``."""
    return f"{namespace(config)}.{topic}"


def namespace(config: OctopusConfig) -> str:
    """The namespace, also where somebody has logged in only since the configuration was made."""
    if config.namespace != NOT_LOGGED_IN or config.profile != "octopus":
        return config.namespace
    login = read_login(config.credentials_dir, config.environment)
    return login["namespace"] if login else NOT_LOGGED_IN


def existing_topics(config: OctopusConfig) -> set[Topic]:
    """Which of our topics exist.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    found = kafka_topics(config)
    return {topic for topic in Topic if topic_name(config, topic) in found}


def ensure_topics(config: OctopusConfig) -> set[Topic]:
    """Create those of our topics that do not exist yet. Any number of processes may do so at once.

    Returns:
        The topics that this call created.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        TopicMissingError: A topic does not exist and could not be created; says why.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ServiceError: The Octopus web service refused, or did not answer.
        ConfigError: No address is known.
    """
    missing = set(Topic) - existing_topics(config)
    if not missing:
        return set()
    if config.profile == "octopus":
        # Asked again with the lock held: another process may have made them meanwhile.
        return create_on_service(config, lambda _: set(Topic) - existing_topics(config))
    # -1 is the broker's own default; the embedded broker's is 3, which would only cost memory.
    partitions = 1 if config.embedded else -1
    wanted = [NewTopic(topic_name(config, topic), num_partitions=partitions) for topic in sorted(missing)]
    answers = request_admin(
        config, "topics", lambda admin, seconds: admin.create_topics(wanted, request_timeout=seconds)
    )
    created = set()
    for topic in sorted(missing):
        name = topic_name(config, topic)
        error = answers[name]
        if error is None:
            created.add(topic)
        elif error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise TopicMissingError(
                f"topic {name} does not exist at {config.address} and could not be created: {error.str()}",
                remedy=(
                    "ask whoever runs the broker to create it, or set `namespace` to one that you may create topics in"
                ),
            )
    # Brokers hear of a new topic a moment after it was made: who made it must not find it missing.
    deadline = time.monotonic() + config.connect_timeout
    while not created <= existing_topics(config) and time.monotonic() < deadline:
        time.sleep(0.05)
    return created


def ask_admin(config: OctopusConfig, question: Callable[[AdminClient, float], Any]) -> Any:
    """Put a question to whichever broker answers; says soon why they refuse us, where they do.

    Args:
        config: Which brokers.
        question: Called with a client and the seconds that it may wait; several times.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers refused us, or cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    refusals = Refusals(config)
    admin = make_admin(config, refusals)
    deadline = time.monotonic() + config.connect_timeout
    while True:
        try:
            return question(admin, min(_ASK_SECONDS, config.connect_timeout))
        except KafkaException as error:
            admin.poll(0)  # tells the refusals
            refused = refusals.told and not refusals.is_settling()
            if refused or time.monotonic() >= deadline:
                raise refusals.error(error.args[0].str()) from error


def request_admin(
    config: OctopusConfig, what: str, request: Callable[[AdminClient, float], dict[Any, Future[Any]]]
) -> dict[Any, KafkaError | None]:
    """Make a request to the controller, and wait for what it says.

    Args:
        config: Which brokers.
        what: What it is about, for people.
        request: Called with a client and the seconds that it may wait; several times where no answer comes, each
            time with another client: one that missed the controller once may look for it in vain.

    Returns:
        The error of each part of it; None where that was done.

    Raises:
        BrokerUnreachableError: No answer came within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    deadline = time.monotonic() + config.connect_timeout
    while True:
        seconds = min(_REQUEST_SECONDS, config.connect_timeout)
        admin = make_admin(config, Refusals(config))  # must live until the answers are there
        answers = request(admin, seconds)
        errors = {part: _error(answer, seconds) for part, answer in answers.items()}
        late = [error for error in errors.values() if error is not None and error.code() in _TIMED_OUT]
        if not late:
            return errors
        if time.monotonic() >= deadline:
            raise unreachable(config, f"no answer about {what}: {late[0].str()}")


def _error(answer: Future[Any], seconds: float) -> KafkaError | None:
    try:
        answer.result(seconds + 1)
    except KafkaException as error:
        found: KafkaError = error.args[0]
        return found
    except TimeoutError:
        return KafkaError(KafkaError._TIMED_OUT)
    return None


def make_admin(config: OctopusConfig, refusals: Refusals) -> AdminClient:
    """A client for administration."""
    options = {**kafka_options(config), "socket.connection.setup.timeout.ms": 5000, "error_cb": refusals}
    return AdminClient(options, logger=QuietLogger())


def kafka_topics(config: OctopusConfig) -> dict[str, Any]:
    """The metadata of every topic that may be seen, by Kafka name; raises as `ask_admin` does."""
    found: dict[str, Any] = ask_admin(config, lambda admin, seconds: admin.list_topics(timeout=seconds)).topics
    return found


def create_on_service(config: OctopusConfig, missing: Callable[[Service], set[Topic]]) -> set[Topic]:
    """Create topics by the web service, one process of this user at a time.

    Args:
        config: Whose.
        missing: Tells which, asked while no other process creates any.

    Returns:
        The topics that this call created.

    Raises:
        ServiceError: The web service refused, or did not answer.
        CredentialsError: Nobody is logged in.
        MissingDependencyError: The extra ``octopus`` is not installed.
    """
    from octopus_plugins.fabric.octopus.keys import key_path, open_service
    from octopus_plugins.fabric.octopus.secret_files import locked

    service = open_service(config)
    with locked(key_path(config).with_name("topics.lock"), 2 * len(Topic) * config.service_timeout):
        wanted = missing(service)
        for topic in sorted(wanted):
            service.create_topic(topic.value)
    return wanted


def missing_on_service(service: Service) -> set[Topic]:
    """Which of our topics the web service does not list."""
    listed = service.list_topics()
    return {topic for topic in Topic if topic.value not in listed}
