"""The producer: takes records and samples from any thread, at once, and never raises or waits for the network."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import weakref

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric.produce.counts import Counts, Tally
from octopus_plugins.fabric.produce.counts_file import CountsFile
from octopus_plugins.fabric.produce.lanes import Lane
from octopus_plugins.fabric.produce.queues import BoundedQueue
from octopus_plugins.fabric.produce.sender import Sender
from octopus_plugins.fabric.produce.spool_replay import Replays, begin_session
from octopus_plugins.fabric.record import Record, encode_frame
from octopus_plugins.fabric.spool.journal import Journal

log = logging.getLogger("octopus_plugins")

_IMPORTANT = {Topic.failures, Topic.decisions}
_RETRY_JOURNAL_SECONDS = 10.0
_BACK_CLOSE_SECONDS = 5.0  # that the end waits where the broker is away, for the answer to a try that began after it

_shared: dict[OctopusConfig, tuple[Producer, int]] = {}
_shared_lock = threading.Lock()
_alive: weakref.WeakSet[Producer] = weakref.WeakSet()


class Producer:
    """One process's way to the topics: a journal, two bounded queues, one thread with one Kafka client.

    Everything is made at the first ``put``, and anew in a forked child, which never touches what is its parent's.
    Records go to the journal on disk before anything else; samples are kept in memory only.
    """

    def __init__(self, config: OctopusConfig) -> None:
        """Prepare; opens nothing yet.

        Args:
            config: Where to, and within which bounds.
        """
        self._config = config
        self._begin()
        _alive.add(self)

    def _begin(self) -> None:
        """The state of a process that has emitted nothing yet."""
        self._lock = threading.Lock()
        self._tally = Tally()
        self._journal: Journal | None = None
        self._journal_trouble: str | None = None
        self._retry_journal = 0.0
        self._overflow = BoundedQueue(self._config.sample_queue_bytes, levels=2)
        self._samples = BoundedQueue(self._config.sample_queue_bytes)
        self._sender: Sender | None = None
        self._replays: Replays | None = None
        self._counts_file: CountsFile | None = None
        self._thread: threading.Thread | None = None
        self._closed = False  # close has begun
        self._ended = False  # nothing is taken any more
        self._late = False  # something came after that

    @classmethod
    def shared(cls, config: OctopusConfig) -> Producer:
        """The process's producer for this configuration; give it back with ``release``."""
        with _shared_lock:
            producer, users = _shared.get(config) or (cls(config), 0)
            _shared[config] = (producer, users + 1)
            return producer

    def release(self, timeout: float | None = None) -> None:
        """Give a shared producer back; the last one to do so closes it.

        Args:
            timeout: Seconds to wait for deliveries; default: ``config.close_timeout``.
        """
        with _shared_lock:
            producer, users = _shared.get(self._config, (None, 0))
            if producer is self and users > 1:
                _shared[self._config] = (self, users - 1)
                return
            if producer is self:
                del _shared[self._config]
        self.close(timeout)

    @property
    def counts(self) -> Counts:
        """What became of the events so far, in this process."""
        journal = self._journal
        return self._tally.counts(journal.waiting if journal is not None else 0)

    @property
    def tally(self) -> Tally:
        """Where the counts are kept."""
        return self._tally

    def put(self, records: list[Record], samples: list[Record]) -> None:
        """Send records and samples; the lists are the producer's from now on.

        Records that come together are written to the journal at once. Never raises, never waits for the network.
        After ``close`` they are dropped, counted, and warned of once: nobody would send them.
        """
        try:
            both = records + samples if samples else records
            self._tally.add("emitted", [record.topic for record in both])
            if not self._keep(records, samples):
                self._refuse(both)
                return
            if self._sender is None:
                self._start(both[-1].key.decode("utf-8", "replace").partition("/")[0] if both else "")
            if self._sender is not None:
                self._sender.wake()
        except Exception:  # the host must not be hurt, whatever it is
            log.exception("an event could not be sent; please report this as a bug of octopus-plugins")

    def hurry(self) -> None:
        """Have what was put so far sent without waiting for more; never raises, never waits."""
        if self._sender is not None:
            self._sender.hurry()

    def flush(self, timeout: float) -> bool:
        """Wait until everything put so far has arrived.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it has.
        """
        return self._flush(timeout, timeout, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Wait for deliveries, stop, and report; what has not arrived stays on disk for the next process.

        Args:
            timeout: Seconds to wait at most; default: ``config.close_timeout``.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            started = self._sender is not None
        timeout = self._config.close_timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        if started:
            # Where a try that began after this did has failed, there is nothing to wait for.
            self._flush(timeout, 0.0, min(timeout, _BACK_CLOSE_SECONDS))
            self._stop(deadline)
        with self._lock:
            self._ended = True
            counts = self.counts
            journal, self._journal = self._journal, None
        self._drop(self._overflow.drain())
        self._drop(self._samples.drain(), samples=True)
        kept = journal is not None and not journal.close()
        if started or counts.emitted:
            self._report(kept, counts.spooled)
        if self._counts_file is not None:
            self._counts_file.write(self._tally.counts(counts.spooled), ended=True)

    def _keep(self, records: list[Record], samples: list[Record]) -> bool:
        """Write records to the journal, or to memory where the disk does not take them, and samples to memory.

        Returns:
            False after ``close``; nothing is kept then.
        """
        data = encode_frame(records[0]) if len(records) == 1 else b"".join(map(encode_frame, records))
        with self._lock:
            if self._ended:
                return False
            for sample in samples:
                self._drop(self._samples.put(sample), samples=True)
            # While older ones wait in memory the new ones line up behind them.
            if records and (self._overflow or not self._append(data, records)):
                for record in records:
                    self._drop(self._overflow.put(record, 0 if record.topic in _IMPORTANT else 1))
            return True

    def _refuse(self, late: list[Record]) -> None:
        self._drop(late)
        with self._lock:
            first, self._late = not self._late, True
        if first:
            log.warning(
                "events for %s were emitted after the close: they and all further ones are dropped and counted;"
                " close the emitter last, or make a new one",
                self._config.namespace,
            )

    def _append(self, data: bytes, records: list[Record]) -> bool:
        if self._journal is None and time.monotonic() < self._retry_journal:
            return False
        try:
            if self._journal is None:
                self._journal = begin_session(self._config)
                if self._sender is not None:
                    self._sender.lanes.insert(0, Lane(self._journal))
            if self._journal.append(data, records):
                if self._journal_trouble is not None:
                    log.warning("the spool in %s takes records again", self._config.spool_dir)
                    self._journal_trouble = None
                return True
            trouble = f"it has reached spool_max_bytes ({self._config.spool_max_bytes:,} bytes)"
        except OSError as error:
            if self._journal is None:
                self._retry_journal = time.monotonic() + _RETRY_JOURNAL_SECONDS
            trouble = str(error)
        if self._journal_trouble is None:
            log.warning(
                "the spool in %s takes no more records: %s. They wait in memory now, and when %s bytes do, task states"
                " are dropped before failures and decisions; make room, or set OCTOPUS_SPOOL_DIR to another disk",
                self._config.spool_dir,
                trouble,
                f"{self._config.sample_queue_bytes:,}",
            )
        self._journal_trouble = trouble
        return False

    def _drop(self, records: list[Record], *, samples: bool = False) -> None:
        if records:
            topics = [record.topic for record in records]
            self._tally.add("dropped", topics)
            if samples:
                self._tally.add("dropped_samples", topics)

    def _start(self, run_id: str) -> None:
        with self._lock:
            if self._sender is not None or self._closed:
                return
            # What overflowed is newer than all in the journal, which takes nothing while anything is in there.
            lanes = [Lane(self._overflow, may_send=self._journal_is_read), Lane(self._samples, share=0.5)]
            if self._journal is not None:
                lanes.insert(0, Lane(self._journal))
            sender = Sender(self._config, self._tally, lanes)
            self._replays = Replays(self._config)
            self._counts_file = CountsFile(self._config, run_id)
            thread = threading.Thread(target=self._send, args=(sender,), name="octopus-sender", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending: records are on disk, the next process sends them
                return
            self._sender, self._thread = sender, thread
        _at_exit(self)

    def _send(self, sender: Sender) -> None:
        """The work of the sender's thread."""
        assert self._counts_file is not None
        self._counts_file.write(self.counts)
        sender.run(self._housekeep)

    def _housekeep(self, sender: Sender) -> bool:
        """What the sender's thread does now and then while the broker answers."""
        assert self._replays is not None and self._counts_file is not None
        self._counts_file.write_now_and_then(self.counts)
        return self._replays(sender)

    def _journal_is_read(self) -> bool:
        return self._journal is None or not self._journal.unread

    def _flush(self, timeout: float, away_timeout: float, back_timeout: float) -> bool:
        """Wait for deliveries: less long where the broker is away, and it may not have come back since the start."""
        start = time.monotonic()
        self.hurry()
        while self._waiting():
            sender = self._sender
            if sender is None:
                return False
            away = sender.trouble is not None and not sender.connected
            given = timeout if not away else away_timeout if sender.failed_try >= start else back_timeout
            left = start + given - time.monotonic()
            if left <= 0:
                return False
            with sender.progress:
                sender.progress.wait(min(left, 0.02))
        return True

    def _waiting(self) -> bool:
        journal = self._journal
        return bool((journal is not None and journal.waiting) or len(self._overflow) or len(self._samples))

    def _stop(self, deadline: float) -> None:
        assert self._sender is not None and self._thread is not None and self._replays is not None
        self._sender.stop()
        self._thread.join(max(deadline - time.monotonic(), 0.3))
        if not self._thread.is_alive():
            self._replays.close(self._sender)

    def _report(self, kept: bool, spooled: int) -> None:
        counts = self._tally.counts(spooled)
        level = logging.WARNING if kept or counts.dropped or counts.rejected else logging.INFO
        remedy = f"; what is spooled waits in {self._config.spool_dir} for `octopus spool replay`" if kept else ""
        log.log(level, "events: %s%s", counts, remedy)

    def _forked(self) -> None:
        """In a forked child: leave all that is the parent's alone, and begin anew."""
        if self._sender is not None:
            self._sender.leak_client()
        if self._journal is not None:
            self._journal.abandon()
        self._begin()


def _at_exit(producer: Producer) -> None:
    close = weakref.WeakMethod(producer.close)

    def close_if_alive() -> None:
        method = close()
        if method is not None:
            method()

    atexit.register(close_if_alive)
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        # Children of multiprocessing end by os._exit and run these instead.
        from multiprocessing.util import Finalize

        Finalize(None, close_if_alive, exitpriority=100)


def _after_fork() -> None:
    global _shared_lock  # noqa: PLW0603  another thread may have held it when the process was forked
    _shared_lock = threading.Lock()
    for producer in list(_alive):
        with contextlib.suppress(OSError):
            producer._forked()


os.register_at_fork(after_in_child=_after_fork)
