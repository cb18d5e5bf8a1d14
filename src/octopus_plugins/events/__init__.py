"""What is said: the event classes and their JSON form."""

from octopus_plugins.events.base import Event, Topic, TryEvent
from octopus_plugins.events.codec import EVENT_CLASSES, Envelope, decode, encode, json_schemas, read_envelope
from octopus_plugins.events.decision import ANY, Decision, Placement, Rung
from octopus_plugins.events.failure import Categorization, ExceptionInfo, Failure
from octopus_plugins.events.heartbeat import Heartbeat, WorkerState
from octopus_plugins.events.resource import Limits, NodeState, ResourceSample, ResourceSamples, TrySample, Usage
from octopus_plugins.events.states import Stop
from octopus_plugins.events.task import Block, Pool, Run, Task

__all__ = [
    "ANY",
    "EVENT_CLASSES",
    "Block",
    "Categorization",
    "Decision",
    "Envelope",
    "Event",
    "ExceptionInfo",
    "Failure",
    "Heartbeat",
    "Limits",
    "NodeState",
    "Placement",
    "Pool",
    "ResourceSample",
    "ResourceSamples",
    "Run",
    "Rung",
    "Stop",
    "Task",
    "Topic",
    "TryEvent",
    "TrySample",
    "Usage",
    "WorkerState",
    "decode",
    "encode",
    "json_schemas",
    "read_envelope",
]
