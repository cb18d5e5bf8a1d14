"""A web service that gives every request the same answer, on a free port of the loopback interface."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from benchmarks.corpus.cases import Case, Cases
from octopus_plugins.wrath import Category

if TYPE_CHECKING:
    from benchmarks.corpus.lab import Lab


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answers.

    Attributes:
        status: The status of HTTP.
        body: The content.
        headers: Further headers.
    """

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class ServiceCases(Cases):
    """Collects cases whose tasks ask a service. The service runs on the submit side until the task has ended."""

    def asks(self, category: Category, answer: Answer, *, structured: bool = True) -> Callable[..., Any]:
        """Decorate a function that gets the service's address and fails: it is run as a python app."""

        def add(function: Callable[[str], Any]) -> Callable[[str], Any]:
            made = (function.__doc__ or "").strip()

            def start(lab: Lab) -> Any:
                return _served(answer, lambda address: lab.python(function, address))

            self.append(Case(function.__name__, category, structured, made, start))
            return function

        return add

    def program_asks(self, name: str, category: Category, answer: Answer, command: str) -> None:
        """Add a bash app; ``{address}`` in the command is the service's address."""

        def start(lab: Lab) -> Any:
            return _served(answer, lambda address: lab.bash(name, command.replace("{address}", address)))

        made = f"bash app `{command}`, which the service answers with the status {answer.status}"
        self.append(Case(name, category, False, made, start))


def _served(answer: Answer, start: Callable[[str], Any]) -> Any:
    """Start a task that asks a service of its own; the service stops when the task has ended."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_HEAD = _reply

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    future = start(f"http://127.0.0.1:{server.server_port}")

    def stop(_: Any) -> None:
        server.shutdown()
        server.server_close()

    future.add_done_callback(stop)
    return future
