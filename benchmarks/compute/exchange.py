"""The message side of the stand-in for the Compute web service: queues of commands, tasks, results and heartbeats."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import EPStatusReport, Result, Task

log = logging.getLogger(__name__)

RESULTS, HEARTBEATS = "results", "heartbeats"


class Exchange:
    """What the service says to endpoints and clients over RabbitMQ, and hears from endpoints.

    Args:
        url: Of RabbitMQ.
        on_result: Told of each result, with the message as it came.
        on_heartbeat: Told of each status report.
        endpoints: Where endpoints are told that RabbitMQ is; default: ``url``.
    """

    def __init__(
        self,
        url: str,
        on_result: Callable[[Result, bytes], None],
        on_heartbeat: Callable[[EPStatusReport], None],
        endpoints: str | None = None,
    ) -> None:
        self.url, self._told = url, endpoints or url
        self._hear: dict[str, Callable[[Any, bytes], None]] = {
            RESULTS: on_result,
            HEARTBEATS: lambda report, _: on_heartbeat(report),
        }
        with self._channel() as channel:
            for name in self._hear:
                channel.exchange_declare(name, "direct", durable=True)
                channel.queue_declare(_queue(name), durable=True)
                channel.queue_bind(_queue(name), name, name)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._consume, name="stand-in-consumer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._ending.set()
        self._thread.join(10.0)

    def command(self, endpoint: str, body: dict[str, Any]) -> None:
        """Tell a core endpoint to do something."""
        self._publish(
            commands(endpoint),
            json.dumps(body).encode(),
            pika.BasicProperties(content_type="application/json", timestamp=int(time.time())),
        )

    def task(self, endpoint: str, task_id: str, function_id: str, payload: str, request: dict[str, Any]) -> None:
        """Send a user endpoint a task."""
        headers = {
            "function_uuid": function_id,
            "task_uuid": task_id,
            "resource_specification": json.dumps(request.get("resource_specification")),
            "result_serializers": request.get("result_serializers") or [],
        }
        body = messagepack.pack(Task(task_id=uuid.UUID(task_id), task_buffer=payload))
        self._publish(tasks(endpoint), body, pika.BasicProperties(headers=headers))

    def result(self, group: str, body: bytes) -> None:
        """Hand a result to the client that waits for a task group."""
        self._publish(results(group), body, pika.BasicProperties(timestamp=int(time.time())))

    def declare(self, queue: str) -> str:
        """Have a queue there."""
        with self._channel() as channel:
            channel.queue_declare(queue, durable=True)
        return queue

    def count(self, queue: str) -> int:
        """How many messages wait in a queue."""
        with self._channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)

    def publishing(self, name: str) -> dict[str, Any]:
        """How an endpoint is told to publish its results or heartbeats."""
        properties = {"delivery_mode": 2}
        how = {"exchange": name, "routing_key": name, "mandatory": True, "properties": properties}
        return {"connection_url": self._told, "exchange": name, "queue": _queue(name), "queue_publish_kwargs": how}

    def consuming(self, queue: str) -> dict[str, Any]:
        """How an endpoint is told to consume its commands or tasks."""
        return {"connection_url": self._told, "exchange": "tasks", "queue": self.declare(queue)}

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def _publish(self, queue: str, body: bytes, properties: pika.BasicProperties) -> None:
        with self._channel() as channel:
            channel.queue_declare(queue, durable=True)
            channel.basic_publish("", queue, body, properties)

    def _consume(self) -> None:
        with self._channel() as channel:
            for name, hear in self._hear.items():
                channel.basic_consume(_queue(name), _consumer(hear))
            while not self._ending.is_set():
                channel.connection.process_data_events(time_limit=0.2)


def commands(endpoint: str) -> str:
    """The queue from which a core endpoint takes its commands."""
    return f"command.{endpoint}"


def tasks(endpoint: str) -> str:
    """The queue from which a user endpoint takes its tasks."""
    return f"task.{endpoint}"


def results(group: str) -> str:
    """The queue from which a client takes the results of a task group."""
    return f"{RESULT_PREFIX}{group}"


RESULT_PREFIX = "group."


def _queue(name: str) -> str:
    return f"service.{name}"


def _consumer(hear: Callable[[Any, bytes], None]) -> Callable[..., None]:
    def consume(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        try:
            hear(messagepack.unpack(body), body)
        except Exception:
            log.exception("the stand-in cannot take in a message")
        channel.basic_ack(method.delivery_tag)

    return consume
