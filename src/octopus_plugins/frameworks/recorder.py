"""What happens in one run, told as events in their order, with the history that they make."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from msgspec.structs import force_setattr, replace

from octopus_plugins.events import Event, Failure
from octopus_plugins.fabric import Emitter
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import DEFAULT_RULES, History, Policy, Rule, categorize

logger = logging.getLogger("octopus_plugins")


class Chronicle:
    """Keeps the history of a run and hands its events to the emitter. Thread-safe.

    One lock keeps what is said of a task in order. Whoever decides by the history holds it until the decision is told:
    the order of the events is then the order in which the history saw them, and a replay of the stream decides the
    same.

    Args:
        emitter: Where the events go.
        plugins: May add rules and learn of failures.
    """

    def __init__(self, emitter: Emitter, plugins: Plugins) -> None:
        self.history = History()
        self.lock = threading.RLock()
        self.policy: Policy | None = None
        """What decides about failures of which nobody else is asked; None decides nothing."""
        self.run_id = ""
        self._order = 0
        self._emitter = emitter
        self._plugins = plugins
        self._rules: tuple[Rule, ...] | None = None
        self._categories: Counter[str] = Counter()

    def tell(self, *events: Event) -> None:
        """Remember events and emit them, in this order."""
        with self.lock:
            for event in events:
                self._order += event.states
                force_setattr(event, "order", self._order)
                self.history.observe(event)
                if isinstance(event, Failure) and event.categorization is not None:
                    self._categories[event.categorization.category] += 1
            self._emitter.emit(*events)

    def tell_again(self, event: Event) -> None:
        """Emit what was told before: the same id, and no place of its own in the order. For whoever came since."""
        self._emitter.emit(event)

    def hurry(self) -> None:
        """Have what was told so far sent at once: somebody waits for an answer to it."""
        self._emitter.hurry()

    def summary(self) -> str:
        """The failed tries by category, the most frequent first; empty where nothing failed."""
        with self.lock:
            return ", ".join(f"{category} {count:,}" for category, count in self._categories.most_common())

    def rules(self) -> tuple[Rule, ...]:
        """Every rule that categorises: the plugins' before the built-in ones."""
        if self._rules is None:
            self._rules = (*self._plugins.rules(), *DEFAULT_RULES)
        return self._rules

    def categorized(self, failure: Failure) -> Failure:
        """The failure with what broke, by all that happened so far."""
        found = categorize(failure, self.history, self.rules(), on_error=_report_rule)
        return replace(failure, categorization=found)

    def with_death(self, failure: Failure) -> Failure:
        """The failure with how its worker died, where a heartbeat has told."""
        worker = self.history.dead_worker(failure.host, failure.pid)
        if worker is None:
            return failure
        status = {"exit_code": worker.exit_code, "signal": worker.signal}
        return replace(failure, **{key: value for key, value in status.items() if value is not None})


def _report_rule(rule: Rule, error: Exception) -> None:
    if rule.name not in _reported_rules:
        _reported_rules.add(rule.name)
        logger.warning("Rule %r raised %r and is skipped; mend it or unregister its plugin", rule.name, error)


_reported_rules: set[str] = set()
