"""The emitter: events in, records and samples out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import SchemaError
from octopus_plugins.events import EVENT_CLASSES, Event, ResourceSample, ResourceSamples, encode
from octopus_plugins.fabric.produce.budget import SampleBudget
from octopus_plugins.fabric.produce.counts import Counts
from octopus_plugins.fabric.produce.producer import Producer
from octopus_plugins.fabric.record import Record

log = logging.getLogger("octopus_plugins")

_TOPICS = {each: each.TOPIC.value for each in EVENT_CLASSES}  # an enum's value is slow to come by


class Emitter:
    """Sends events. No method raises on account of what is sent, or of the network; ``emit`` never waits for it.

    Emitters with equal configurations share one producer, and its counts.
    """

    def __init__(self, config: OctopusConfig, *, transform: Callable[[Event], Event | None] | None = None) -> None:
        """Prepare; opens nothing yet.

        Args:
            config: Where to, and within which bounds.
            transform: Called with each event before it leaves; returns the event to send, or None to withhold it.
        """
        self._config = config
        self._max_bytes = config.max_event_bytes
        self._transform = transform
        self._producer = Producer.shared(config)
        self.budget = SampleBudget(config.sample_budget) if config.sample_budget else None
        """What resource samples may come to; None is without a bound."""
        self._closed = False
        self._reported: set[tuple[str, str]] = set()

    def emit(self, *events: Event) -> None:
        """Send events; those that come together are written together."""
        records: list[Record] = []
        samples: list[Record] = []
        told: Sequence[Event] = events
        if self._transform is not None:
            # Plugins see each state by itself, and each goes out by itself then. What is no event, `_prepare` reports.
            single = (each for event in events for each in (event.unfolded() if isinstance(event, Event) else (event,)))
            told = [outgoing for event in single if (outgoing := self._transformed(event)) is not None]
        for event in told:
            self._prepare(event, records, samples)
        if records or samples:
            self._producer.put(records, samples)

    def hurry(self) -> None:
        """Have what was emitted so far sent at once: it would wait a moment for more, and somebody awaits an answer."""
        self._producer.hurry()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything emitted so far has arrived.

        Args:
            timeout: Seconds to wait at most; default: ``config.close_timeout``.

        Returns:
            Whether it has.
        """
        return self._producer.flush(self._config.close_timeout if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush, and stop when no other emitter uses the producer. Reports the counts once, in one log line.

        Args:
            timeout: Seconds to wait at most; default: ``config.close_timeout``.
        """
        if not self._closed:
            self._closed = True
            self._producer.release(timeout)

    @property
    def counts(self) -> Counts:
        """What became of the events so far."""
        return self._producer.counts

    def _prepare(self, event: Event, records: list[Record], samples: list[Record]) -> None:
        try:
            value = encode(event, max_bytes=self._max_bytes)
            topic = _TOPICS.get(type(event)) or event.TOPIC.value
            record = Record(topic, event.key.encode("utf-8", "replace"), value)
            if event.RECORD:
                records.append(record)
            elif self._fits(event, record):
                samples.append(record)
        except SchemaError as error:
            if len(single := event.unfolded()) > 1:  # one of them cannot be written: the others can
                for each in single:
                    self._prepare(each, records, samples)
                return
            self._producer.tally.add("invalid", [event.TOPIC.value])
            self._report_once("encode", event, f"is not sent: {error}")
        except Exception as error:  # noqa: BLE001  whatever was given for an event, its sender must not be hurt
            self._producer.tally.add("invalid", [""])
            self._report_once("encode", event, f"is not sent: {type(error).__name__}: {error}")

    def _fits(self, event: Event, record: Record) -> bool:
        """Whether the budget has room for a sample; what it has none for is counted."""
        if self.budget is None or not isinstance(event, (ResourceSample, ResourceSamples)):
            return True
        # Only a pool with our agent says when its next ones are due, and it is told how far apart they are to be.
        if self.budget.admits(len(record.key) + len(record.value), event.stretch, event.manager, event.period):
            return True
        self._producer.tally.add_numbers("thinned", {event.TOPIC.value: event.states})
        return False

    def _transformed(self, event: Event) -> Event | None:
        """What is to be sent of an event; None where nothing is, which is counted."""
        assert self._transform is not None
        try:
            outgoing = self._transform(event)
        except Exception as error:  # noqa: BLE001  the border to other people's code
            self._report_once("transform", event, f"goes out as it is: the transform raised {error!r}")
            return event
        if isinstance(outgoing, Event):
            return outgoing
        if outgoing is None:
            self._producer.tally.add("withheld", [event.TOPIC.value if isinstance(event, Event) else ""])
            return None
        kind = type(outgoing).__name__
        self._report_once("transform", event, f"goes out as it is: the transform returned a {kind}, not an event")
        return event

    def _report_once(self, where: str, event: object, what: str) -> None:
        kind = type(event).__name__
        if (where, kind) not in self._reported:
            self._reported.add((where, kind))
            log.warning("%s %s. Further ones like it are not reported", kind, what)
