"""What an exception tells: attributes that tell, notes, groups, whose code raised it, and no secrets."""

from __future__ import annotations

import email.message
import io
import json
import sqlite3
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import msgspec
import pytest
import requests

from octopus_plugins.exception_description import MAX_CAUSES, describe
from octopus_plugins.redaction import without_secrets


def caught(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def attributes(error: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = describe(error)["exception"].get("attributes", {})
    return found


def http_error(status: int, **headers: str) -> urllib.error.HTTPError:
    kept = email.message.Message()
    for name, value in headers.items():
        kept[name.replace("_", "-")] = value
    return urllib.error.HTTPError("http://127.0.0.1/x", status, "said so", kept, io.BytesIO())


def refused_by_requests(status: int, **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError("refused", response=response)


def test_the_status_of_a_web_service_is_told_with_what_it_asks_for() -> None:
    assert attributes(http_error(429, Retry_After="7"))["http_status"] == 429
    assert attributes(http_error(429, Retry_After="7"))["retry_after"] == 7.0
    told = attributes(refused_by_requests(503, Retry_After="120"))
    assert (told["http_status"], told["retry_after"]) == (503, 120.0)


def test_a_date_to_retry_after_and_nonsense_are_left_out() -> None:
    assert "retry_after" not in attributes(http_error(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"))
    assert "retry_after" not in attributes(http_error(503, Retry_After="-3"))
    assert "retry_after" not in attributes(http_error(503, Retry_After="1e300"))


def test_amazon_s_code_and_status_are_told() -> None:
    answer: Any = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
    told = attributes(botocore.exceptions.ClientError(answer, "PutObject"))
    assert (told["error_code"], told["http_status"]) == ("SlowDown", 503)


def test_what_a_class_keeps_for_all_its_exceptions_is_told() -> None:
    class TooManyRequests(Exception):
        code = 429

    TooManyRequests.__module__ = "google.api_core.exceptions"
    assert attributes(TooManyRequests("slow"))["http_status"] == 429


def test_a_number_that_is_no_status_is_none() -> None:
    class SolverError(Exception):
        def __init__(self) -> None:
            super().__init__("no")
            self.code = 500

    assert "http_status" not in attributes(SolverError())
    assert "http_status" not in attributes(SystemExit(404))


def test_sqlite_s_code_is_told() -> None:
    database = sqlite3.connect(":memory:")
    error = caught(lambda: database.execute("SELEC"))
    database.close()
    if sys.version_info >= (3, 11):
        assert attributes(error)["sqlite_errorname"] == "SQLITE_ERROR"
    assert describe(error)["exception"]["type"] == "sqlite3.OperationalError"


def test_no_property_is_asked() -> None:
    class Curious(Exception):
        @property
        def status_code(self) -> int:
            raise AssertionError("asked")

        @property
        def response(self) -> Any:
            raise AssertionError("asked")

    assert attributes(Curious("x")) == {}


def test_nothing_of_the_task_s_own_is_run_on_the_worker() -> None:
    ran: list[str] = []

    class Lazy:
        """As proxies and lazily loaded objects are."""

        @property
        def __class__(self) -> type:  # type: ignore[override]
            ran.append("__class__")
            return str

    class Headers(dict):  # type: ignore[type-arg]
        def get(self, *_: Any) -> Any:
            ran.append("get")

        def __len__(self) -> int:
            ran.append("len")
            return 1

    class Number(int):
        def __ge__(self, other: Any) -> bool:
            ran.append("compared")
            return True

    class Hostile(OSError):
        @property
        def filename(self) -> str:
            ran.append("filename")
            return "x"

        def __getattribute__(self, name: str) -> Any:
            ran.append(name)
            raise KeyboardInterrupt

        def __str__(self) -> str:
            ran.append("str")
            return "x"

    Headers.__module__ = "http.client"
    error = Hostile(5, "gone", "/data/x")
    kept: Any = BaseException.__dict__["__dict__"].__get__(error)
    kept |= {"lazy": Lazy(), "headers": Headers({"Retry-After": "3"}), "status_code": Number(503), "response": Lazy()}
    told = describe(error, call=False)
    assert ran == []
    assert told["exception"]["attributes"]["errno"] == 5
    assert told["exception"]["attributes"]["filename"] == "/data/x"


def test_a_hostile_response_is_left_alone() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit(name)

    error = ValueError("x")
    error.response = Hostile()  # type: ignore[attr-defined]
    assert describe(error)["exception"]["type"] == "ValueError"


def test_context_and_cause_and_members_of_a_group_are_told() -> None:
    def plain() -> None:
        try:
            raise OSError(5, "Input/output error", "/data/x")
        except OSError:
            raise RuntimeError("step failed")  # noqa: B904 - that is what is tested

    told = describe(caught(plain))
    assert [cause["type"] for cause in told["causes"]] == ["OSError"]
    assert told["causes"][0]["attributes"]["errno"] == 5


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_members_of_a_group_are_told() -> None:
    group = ExceptionGroup("two", [KeyError("a"), ExceptionGroup("inner", [MemoryError()])])  # noqa: F821
    assert [cause["type"] for cause in describe(group)["causes"]] == ["KeyError", "ExceptionGroup", "MemoryError"]
    wide = ExceptionGroup("wide", [ValueError(str(n)) for n in range(100)])  # noqa: F821
    assert len(describe(wide)["causes"]) == MAX_CAUSES


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_notes_are_told_and_bounded() -> None:
    error = ValueError("x")
    error.add_note("while reading cell 7")
    assert describe(error)["exception"]["notes"] == ["while reading cell 7"]
    for _ in range(100):
        error.add_note("n" * 10_000)
    assert len(msgspec.json.encode(describe(error)["exception"])) < 8_000


def test_it_is_told_whose_code_raised() -> None:
    def own() -> None:
        raise KeyError("x")

    (frame,) = describe(caught(own))["exception"]["frames"][-1:]
    assert (frame["function"], frame["origin"]) == ("own", "own")
    standard = describe(caught(lambda: json.loads("{")))["exception"]["frames"][-1]
    assert (standard["module"], standard["origin"]) == ("json.decoder", "standard")
    library = describe(caught(lambda: requests.get("no-scheme")))["exception"]["frames"][-1]
    assert (library["module"], library["origin"]) == ("requests.models", "library")


def test_addresses_lose_their_secrets_wherever_they_stand() -> None:
    secret = "https://user:pass-word@example.org/x?token=abc&y=1"
    error = ValueError(f"cannot get {secret}")
    error.url = secret  # type: ignore[attr-defined]
    told = json.dumps(describe(error))
    assert "pass-word" not in told
    assert "token=abc" not in told
    assert "https://example.org/x" in told
    retried = "Max retries exceeded with url: /v1/items?key=abc (Caused by …)"
    assert without_secrets(retried) == "Max retries exceeded with url: /v1/items (Caused by …)"
    assert without_secrets("is 3 > 2? or a:b@c") == "is 3 > 2? or a:b@c"


@pytest.mark.parametrize(
    "said",
    [
        "postgresql://u:pa/SEKRET@h/db refused",
        "git https://oauth2:" + "SEKRET" * 200 + "@host/x.git error 503",
        "GET https://h/x?token=(SEKRET) failed",
        "redirected to https://h/cb#access_token=SEKRET",
        "Authorization: Bearer SEKRETSEKRET",
        "password=SEKRETSEKRET host=h",
        "{'AWS_SECRET_ACCESS_KEY': 'SEKRETSEKRET'}",
        "api_key: 'SEKRETSEKRET'",
    ],
)
def test_what_is_secret_by_its_form_is_left_out(said: str) -> None:
    assert "SEKRET" not in without_secrets(said)


def test_attributes_that_are_secret_by_their_names_are_left_out() -> None:
    error = ValueError("x")
    error.token, error.api_key, error.cell = "abc", "def", 7  # type: ignore[attr-defined]
    assert attributes(error) == {"cell": 7}


def test_a_long_text_of_addresses_takes_no_long_time() -> None:
    started = time.process_time()
    for said in ("a" * 22 + "://", "http://", "token=", "x@"):
        without_secrets(said * 2_000)
    assert time.process_time() - started < 0.5


def test_on_the_worker_nothing_of_the_task_s_own_is_called_for_its_words() -> None:
    class Own(Exception):
        def __str__(self) -> str:
            raise AssertionError("asked")

    told = describe(Own("cell", 7), call=False)["exception"]
    assert (told["message"], told["incomplete"]) == ("cell, 7", True)


def test_on_the_worker_an_installed_package_says_its_own_words() -> None:
    error = subprocess.CalledProcessError(3, ["sim", "--all"])
    told = describe(error, call=False)["exception"]
    assert told["message"] == "Command '['sim', '--all']' returned non-zero exit status 3."
    assert "incomplete" not in told
    assert describe(http_error(429), call=False)["exception"]["message"] == "HTTP Error 429: said so"
