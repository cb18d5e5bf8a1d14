"""The words that events use for what happens, as enums. Their values are plain text in the JSON."""

from __future__ import annotations

from enum import Enum


class Stop(str, Enum):
    """Why a failed task is not tried again: what `Decision.stop` says, for programs.

    Attributes:
        doc: One sentence for people.
    """

    doc: str

    def __new__(cls, value: str, doc: str) -> Stop:
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]  # typed as a function of the text alone

    halted = ("halted", "A person, a service or the circuit breaker stopped the run or the task.")
    not_retryable = ("not_retryable", "By policy or category no retry can help.")
    serializer_refused = ("serializer_refused", "The serializer itself refused it, and again.")
    too_large = ("too_large", "It asks for more memory than any executor that it may get to has.")
    hopeless = ("hopeless", "A try costs much, and next to no chance is left.")
    known_defect = ("known_defect", "Other tasks of the app confirmed this very failure on different nodes.")
    confirmed = ("confirmed", "The same failure as often, or on as many nodes, as the policy takes for proof.")
    no_retries = ("no_retries", "The run allows none.")
    retries_used_up = ("retries_used_up", "The run's retries per task are used up.")
    budget_used_up = ("budget_used_up", "A budget of the policy is used up, with none of the run's behind it.")
    attempts_used_up = ("attempts_used_up", "The tries that the policy allows the category are used up.")
    tries_used_up = ("tries_used_up", "More tries than all limits together allow.")
    run_failures = ("run_failures", "The run has failed more often than the policy allows.")
    no_place = ("no_place", "No rung of the ladder can help.")
    own_handler = ("own_handler", "The workflow's own retry handler says so.")
    host = ("host", "The host framework tries no such failure again.")
    users_own = ("users_own", "An error of the function's own, which Globus Compute tries no second time.")
    not_rerun = ("not_rerun", "What has run may run again only where the endpoint's owner says so.")
    moved_in_vain = ("moved_in_vain", "What failed like it failed on the next node as well.")
    lost = ("lost", "What was to be run is no longer there.")
    executor = ("executor", "The executor that submitted it gave it up.")
