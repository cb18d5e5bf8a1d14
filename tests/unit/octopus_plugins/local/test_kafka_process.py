from __future__ import annotations

from octopus_plugins.local.kafka_process import explain

SLOW = "2026-11-25 22:06:57,437 ERROR [QuorumController id=1] Exceptionally slow controller event took 2507 ms"


def test_the_exception_is_shown_and_neither_what_was_slow_nor_where_in_the_code() -> None:
    log = f"{SLOW}\n2026 ERROR Exiting\njava.net.BindException: Address already in use\n\tat sun.nio.ch.Net.bind\nend\n"
    assert explain(log) == "it said:\njava.net.BindException: Address already in use\nend"


def test_an_error_without_an_exception_is_shown_from_there() -> None:
    assert explain("2026 WARN x\n2026 ERROR no room\nmore") == "it said:\n2026 ERROR no room\nmore"


def test_without_any_error_the_end_is_shown() -> None:
    assert explain("".join(f"{number}\n" for number in range(20))).splitlines()[1:] == [str(n) for n in range(10, 20)]
    assert explain("") == "it said nothing"


def test_a_java_that_is_too_old_is_named() -> None:
    assert "Java 17" in explain("java.lang.UnsupportedClassVersionError: kafka/Kafka")
