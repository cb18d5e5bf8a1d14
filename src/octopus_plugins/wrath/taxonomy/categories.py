"""The categories of failure, by the four layers of WRATH (arXiv 2503.12752, section III)."""

from __future__ import annotations

from enum import Enum


class Layer(str, Enum):
    """Where in the stack the cause lies."""

    application = "application"
    framework = "framework"
    runtime = "runtime"
    environment = "environment"
    unknown = "unknown"

    # The value, as text of no class of ours: by the enum's own means that takes five times as long.
    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]  # typed as a function of the text alone


class Trait(Enum):
    """What may be true of a category beside its layer, scope and resolvability."""

    node_fault = "It speaks against the node. Lost and preempted nodes are not to blame, nor is one for the network."
    not_compared = "It says nothing of how the next task fares on a living node: where it shows is chance."
    lasting = "What the node lacks now it lacks at the next try as well."
    shared = "All places have it in common: time helps, and moving seldom."


class Category(str, Enum):
    """What broke.

    Attributes:
        layer: The layer that it belongs to.
        scope: Who is affected unless a rule knows better: ``task``, ``worker``, ``node``, ``pool``, ``run``.
        resolvable: Whether a retry can help unless a rule knows better: ``yes``, ``no``, ``unknown``.
        doc: One sentence for people.
        traits: What else is true of it.
    """

    layer: Layer
    scope: str
    resolvable: str
    doc: str
    traits: frozenset[Trait]

    def __new__(cls, value: str, layer: Layer, scope: str, resolvable: str, doc: str, *traits: Trait) -> Category:
        member = str.__new__(cls, value)
        member._value_ = value
        member.layer, member.scope, member.resolvable, member.doc = layer, scope, resolvable, doc
        member.traits = frozenset(traits)
        return member

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]  # typed as a function of the text alone

    code_error = ("code_error", Layer.application, "task", "unknown", "The task's own code is wrong.")
    native_crash = (
        "native_crash",
        Layer.application,
        "task",
        "unknown",
        "Compiled code that the task called crashed its process (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT).",
    )
    numerical_error = (
        "numerical_error",
        Layer.application,
        "task",
        "unknown",
        "The arithmetic broke down: overflow, division by zero, a matrix that cannot be factorised.",
    )
    bad_input = ("bad_input", Layer.application, "task", "unknown", "An input is missing, malformed or refused.")
    app_exit = ("app_exit", Layer.application, "task", "unknown", "A program ended with a non-zero exit status.")
    missing_output = ("missing_output", Layer.application, "task", "unknown", "A promised output file was not written.")
    serialization = (
        "serialization",
        Layer.application,
        "task",
        "no",
        "A function, an argument or a result cannot be sent between processes.",
        Trait.not_compared,
    )

    dependency_failed = (
        "dependency_failed",
        Layer.framework,
        "task",
        "no",
        "A task that this one needs has failed.",
        Trait.not_compared,
    )
    join_failed = (
        "join_failed",
        Layer.framework,
        "task",
        "no",
        "A task that this join app waits for has failed.",
        Trait.not_compared,
    )
    monitoring_lost = (
        "monitoring_lost",
        Layer.framework,
        "run",
        "unknown",
        "The monitoring itself broke.",
        Trait.not_compared,
        Trait.shared,
    )
    executor_bad_state = (
        "executor_bad_state",
        Layer.framework,
        "pool",
        "unknown",
        "The executor has given up and takes no more tasks.",
        Trait.not_compared,
    )
    version_mismatch = (
        "version_mismatch",
        Layer.framework,
        "node",
        "unknown",
        "The two sides run versions of Python or of the framework that do not understand each other.",
        Trait.node_fault,
        Trait.lasting,
    )
    halted = (
        "halted",
        Layer.framework,
        "run",
        "no",
        "The run or the task was stopped on purpose: by a person, or by the run's circuit breaker.",
        Trait.not_compared,
    )
    lost_task = (
        "lost_task",
        Layer.framework,
        "task",
        "yes",
        "The framework lost or cancelled the task.",
        Trait.not_compared,
    )

    memory_exhausted = ("memory_exhausted", Layer.runtime, "task", "yes", "The task ran out of memory.")
    file_descriptors_exhausted = (
        "file_descriptors_exhausted",
        Layer.runtime,
        "worker",
        "yes",
        "The process or the node has no file descriptors left.",
        Trait.node_fault,
    )
    disk_full = ("disk_full", Layer.runtime, "node", "yes", "A file system or a quota is full.", Trait.node_fault)
    walltime_exceeded = ("walltime_exceeded", Layer.runtime, "task", "unknown", "The time allowed ran out.")
    worker_lost = ("worker_lost", Layer.runtime, "worker", "yes", "The worker process died under the task.")
    manager_lost = (
        "manager_lost",
        Layer.runtime,
        "node",
        "yes",
        "The worker pool of a node stopped answering.",
        Trait.not_compared,
    )
    block_failed = (
        "block_failed",
        Layer.runtime,
        "pool",
        "yes",
        "The scheduler job that held the worker failed.",
        Trait.not_compared,
    )
    preempted = ("preempted", Layer.runtime, "node", "yes", "The scheduler took the node away.", Trait.not_compared)
    process_limit = (
        "process_limit",
        Layer.runtime,
        "node",
        "yes",
        "No further process or thread could be started.",
        Trait.node_fault,
    )

    resource_busy = (
        "resource_busy",
        Layer.runtime,
        "task",
        "yes",
        "Another process holds what the task needs: a lock, a file, a port, a device, a slot of the allocation.",
        Trait.shared,
    )
    peer_lost = (
        "peer_lost",
        Layer.runtime,
        "task",
        "yes",
        "Another process of the same parallel program died or no longer answers (MPI, NCCL, Dask or Ray in a task).",
        Trait.not_compared,
    )

    node_down = ("node_down", Layer.environment, "node", "yes", "The node is gone.", Trait.not_compared)
    node_unhealthy = (
        "node_unhealthy",
        Layer.environment,
        "node",
        "yes",
        "The node fails tasks that succeed elsewhere.",
        Trait.node_fault,
        Trait.lasting,
    )
    module_missing = (
        "module_missing",
        Layer.environment,
        "node",
        "yes",
        "A Python module cannot be imported.",
        Trait.node_fault,
        Trait.lasting,
    )
    library_missing = (
        "library_missing",
        Layer.environment,
        "node",
        "yes",
        "A shared library cannot be loaded.",
        Trait.node_fault,
        Trait.lasting,
    )
    executable_missing = (
        "executable_missing",
        Layer.environment,
        "node",
        "yes",
        "A program is not installed.",
        Trait.node_fault,
        Trait.lasting,
    )
    permission_denied = (
        "permission_denied",
        Layer.environment,
        "node",
        "unknown",
        "The system refused access.",
        Trait.node_fault,
        Trait.lasting,
    )
    gpu_error = (
        "gpu_error",
        Layer.environment,
        "node",
        "yes",
        "A GPU, its driver or its memory failed.",
        Trait.node_fault,
        Trait.lasting,
    )
    network_unreachable = (
        "network_unreachable",
        Layer.environment,
        "node",
        "yes",
        "A network peer cannot be reached.",
        Trait.shared,
    )
    filesystem_error = (
        "filesystem_error",
        Layer.environment,
        "node",
        "yes",
        "A file system failed under the task.",
        Trait.node_fault,
        Trait.shared,
    )

    service_unavailable = (
        "service_unavailable",
        Layer.environment,
        "run",
        "yes",
        "A service answers that it cannot serve now: overloaded, throttled, down, or all its slots or seats are taken.",
        Trait.shared,
        Trait.not_compared,
    )
    credentials_rejected = (
        "credentials_rejected",
        Layer.environment,
        "run",
        "no",
        "A service refuses who asks: a token, key, ticket or certificate is missing, wrong or has expired.",
        Trait.lasting,
        Trait.not_compared,
    )
    setup_failed = (
        "setup_failed",
        Layer.environment,
        "node",
        "yes",
        "The software that the task needs could not be set up there: environment modules, conda, a cache.",
        Trait.node_fault,
        Trait.lasting,
    )
    container_failed = (
        "container_failed",
        Layer.environment,
        "node",
        "yes",
        "A container could not be started: its runtime, its image or what it mounts.",
        Trait.node_fault,
        Trait.lasting,
    )
    hardware_mismatch = (
        "hardware_mismatch",
        Layer.environment,
        "node",
        "yes",
        "The program was built for other hardware than the node has.",
        Trait.node_fault,
        Trait.lasting,
    )

    unknown = ("unknown", Layer.unknown, "task", "unknown", "Nothing that we know of matched.")


CATEGORIES: dict[str, Category] = {category.value: category for category in Category}
"""The categories by name."""


def category_named(name: str) -> Category:
    """The category of that name; `Category.unknown` for a name that a plugin made up."""
    return CATEGORIES.get(name, Category.unknown)


def with_trait(trait: Trait) -> frozenset[Category]:
    """The categories that have it."""
    return frozenset(category for category in Category if trait in category.traits)
