"""HTTP for the stand-ins: routes, a record of every request, and faults by script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """A request as it came.

    Attributes:
        method: Such as POST.
        path: Decoded, without the query.
        headers: With names in lower case.
        query: The query's values, the first of each.
        form: The values of a body that is a form.
    """

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What is answered: JSON for a dict, else text."""

    body: dict[str, Any] | str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """Something that goes wrong with the next requests that it matches.

    Attributes:
        method: Which; None for any.
        path: A part of the path.
        times: How often.
        delay: Seconds before the answer.
        reply: What is answered in place of the truth; None for the truth after the delay.
    """

    path: str
    method: str | None = None
    times: int = 1
    delay: float = 0.0
    reply: Reply | None = None


class WireServer:
    """An HTTP server on loopback, with one thread a request."""

    def __init__(self, answer: Callable[[Request], Reply], port: int = 0) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.ahead = 0.0  # seconds by which the clock of the Date header is wrong
        self._answer = answer
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times > 0 and fault.path in request.path and fault.method in {None, request.method}:
                    fault.times -= 1
                    return fault
        return None

    def _handle(self, request: Request) -> Reply:
        fault = self._take(request)
        if fault is not None:
            self._ended.wait(fault.delay)
            if fault.reply is not None:
                return fault.reply
        return self._answer(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                parts = urlsplit(self.path)
                reply = server._handle(
                    Request(
                        self.command,
                        unquote(parts.path),
                        {name.lower(): value for name, value in self.headers.items()},
                        {name: values[0] for name, values in parse_qs(parts.query).items()},
                        {name: values[0] for name, values in parse_qs(body).items()},
                    )
                )
                text = json.dumps(reply.body) if isinstance(reply.body, dict) else reply.body
                self.send_response(reply.status)
                kind = "application/json" if isinstance(reply.body, dict) else "text/plain; charset=utf-8"
                for name, value in {"Content-Type": kind, **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                try:
                    self.wfile.write(text.encode())
                except BrokenPipeError:  # who asked did not wait for it
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = _serve

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + server.ahead)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
