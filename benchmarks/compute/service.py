"""A stand-in for Globus Auth and the Globus Compute web service, as far as an endpoint and the SDK talk to them."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import EPStatusReport, Result, ResultErrorDetails

from benchmarks.compute import exchange
from benchmarks.compute.exchange import HEARTBEATS, RESULTS, Exchange

log = logging.getLogger(__name__)

COMPUTE_SCOPE = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
USER = "11111111-1111-4111-8111-111111111111"
"""The identity of whoever runs the endpoints and submits to them."""

_USER_ENDPOINTS = uuid.UUID("00000000-0000-4000-8000-00000000c0de")
_PENDING, _SUCCESS, _FAILED = "pending", "success", "failed"


@dataclass
class Submitted:
    """A task as the service knows it."""

    group: str
    endpoint: str
    status: str = _PENDING
    results: list[Result] = field(default_factory=list)

    @property
    def result(self) -> Result:
        """The result; there must be one."""
        return self.results[0]


class ComputeService:
    """The stand-in: answers on ``url`` while its ``with`` block runs.

    Args:
        amqp: Where RabbitMQ is.
        endpoints: Where endpoints are told that it is; default: ``amqp``.
        clients: Where the SDK is told that it is; default: ``amqp``.

    Attributes:
        tasks: What was submitted, by task id.
        reports: The latest status report of each user endpoint.
    """

    def __init__(self, amqp: str, *, endpoints: str | None = None, clients: str | None = None) -> None:
        self.tasks: dict[str, Submitted] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        self._heard: dict[str, tuple[float, dict[str, Any]]] = {}
        self._amqp, self._endpoints_amqp, self._clients_amqp = amqp, endpoints, clients or amqp
        self._lock = threading.RLock()
        self._endpoints: dict[str, Any] = {}
        self._functions: dict[str, str] = {}

    def __enter__(self) -> ComputeService:
        self._exchange = Exchange(self._amqp, self._hear_result, self._hear_heartbeat, self._endpoints_amqp)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="stand-in-service", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10.0)
        self._exchange.close()

    @property
    def url(self) -> str:
        """Where the service is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def queued(self, endpoint: str) -> int:
        """How many tasks wait for a user endpoint that is gone."""
        return self._exchange.count(exchange.tasks(endpoint))

    def answer(self, method: str, path: list[str], body: dict[str, Any], user: str) -> Any:
        """Answer a request; KeyError for what is not there, None for what this stand-in does not do."""
        match (method, *path):
            case ("GET", "v2", "version"):
                return {"api": "1.0", "min_ep_version": "2.0.0", "min_sdk_version": "2.0.0"}
            case ("GET", "v2", "get_amqp_result_connection_url"):
                return {"queue_prefix": exchange.RESULT_PREFIX, "connection_url": self._clients_amqp}
            case ("POST", "v3", "endpoints"):
                return self._register(str(uuid.uuid4()), body)
            case ("PUT", "v3", "endpoints", endpoint):
                return self._register(endpoint, body)
            case ("POST", "v3", "endpoints", endpoint, "submit"):
                return self._submit(endpoint, body, user)
            case ("POST", "v3", "endpoints", _, "lock"):
                return {}
            case ("DELETE", "v2", "endpoints", endpoint):
                return {"result": self._endpoints.pop(endpoint, None) is not None}
            case ("GET", "v2", "endpoints", endpoint):
                return {"uuid": endpoint, **self._endpoints[endpoint]}
            case ("GET", "v2", "endpoints", endpoint, "status"):
                return {"status": "online" if self._is_online(endpoint) else "offline", "details": {}}
            case ("POST", "v2" | "v3", "functions"):
                function = str(uuid.uuid4())
                self._functions[function] = body["function_code"]
                return {"function_uuid": function}
            case ("GET", "v2", "tasks", task):
                return self._described(task)
            case ("POST", "v2", "batch_status"):
                return {"results": {task: self._described(task) for task in body["task_ids"]}}
            case ("GET", "v2", "taskgroup", group):
                found = [{"id": task_id} for task_id, task in self.tasks.items() if task.group == group]
                return {"taskgroup_id": group, "tasks": found}
        return None

    def _is_online(self, endpoint: str) -> bool:
        """Whether the last heartbeat is no older than two of the periods that it announced; 0 announces its end."""
        at, report = self._heard.get(endpoint, (0.0, {}))
        return time.monotonic() - at <= 2 * report.get("heartbeat_period", 0.0)

    def _register(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        self._endpoints[endpoint] = body
        return {
            "endpoint_id": endpoint,
            "command_queue_info": self._exchange.consuming(exchange.commands(endpoint)),
            **self._credentials(endpoint),
        }

    def _credentials(self, endpoint: str) -> dict[str, Any]:
        return {
            "heartbeat_queue_info": self._exchange.publishing(HEARTBEATS),
            "result_queue_info": self._exchange.publishing(RESULTS),
            "task_queue_info": self._exchange.consuming(exchange.tasks(endpoint)),
        }

    def _submit(self, core: str, body: dict[str, Any], user: str) -> dict[str, Any]:
        if core not in self._endpoints:
            raise KeyError(core)
        group = body.get("task_group_id") or str(uuid.uuid4())
        endpoint = self._start_user_endpoint(core, body, user)
        if body.get("create_queue"):
            self._exchange.declare(exchange.results(group))
        submitted: dict[str, list[str]] = {}
        for function, payloads in body["tasks"].items():
            for payload in payloads:
                task_id = str(uuid.uuid4())
                with self._lock:
                    self.tasks[task_id] = Submitted(group, endpoint)
                submitted.setdefault(function, []).append(task_id)
                self._exchange.task(endpoint, task_id, function, self._functions[function] + payload, body)
        return {
            "tasks": submitted,
            "task_group_id": group,
            "request_id": str(uuid.uuid4()),
            "endpoint_id": endpoint,
        }

    def _start_user_endpoint(self, core: str, body: dict[str, Any], user: str) -> str:
        """Ask for the user endpoint of these options; the core endpoint ignores it where that runs already."""
        options = body.get("user_endpoint_config") or {}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
        endpoint = str(uuid.uuid5(_USER_ENDPOINTS, f"{core}/{user}/{digest}"))
        self._exchange.command(
            core,
            {
                "command": "cmd_start_endpoint",
                "args": [],
                "kwargs": {
                    "name": f"uep.{core}.{digest[:8]}",
                    "amqp_creds": {"endpoint_id": endpoint, **self._credentials(endpoint)},
                    "user_opts": options,
                    "user_runtime": body.get("user_runtime") or {},
                },
                "globus_effective_identity": user,
                "globus_username": "tester@example.org",
                "globus_identity_set": [{"sub": user, "username": "tester@example.org"}],
            },
        )
        return endpoint

    def _described(self, task_id: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        if task is None or not task.results:
            return {"task_id": task_id, "status": _PENDING if task else "unknown"}
        which = "exception" if task.result.is_error else "result"
        return {"task_id": task_id, "status": task.status, which: task.result.data, "completion_t": str(time.time())}

    def _hear_result(self, result: Result, body: bytes) -> None:
        with self._lock:
            task = self.tasks[str(result.task_id)]
            task.results.append(result)
            if task.status != _PENDING:
                return
            task.status = _FAILED if result.is_error else _SUCCESS
        self._exchange.result(task.group, body)

    def _hear_heartbeat(self, report: EPStatusReport) -> None:
        endpoint, error = str(report.endpoint_id), report.global_state.get("error")
        with self._lock:
            self.reports[endpoint] = report.global_state
            self._heard[endpoint] = time.monotonic(), report.global_state
            waiting = [key for key, task in self.tasks.items() if task.endpoint == endpoint and task.status == _PENDING]
        for task_id in waiting if error else ():
            details = ResultErrorDetails(code="ENDPOINT_START_FAILURE", user_message=error)
            result = Result(task_id=uuid.UUID(task_id), data=error, error_details=details)
            self._hear_result(result, messagepack.pack(result))


def token(user: str) -> str:
    """The access token of a user at the Compute service."""
    return f"tok-funcx_service.{user}"


def _tokens(user: str, scopes: list[str]) -> dict[str, Any]:
    def one(server: str, granted: list[str]) -> dict[str, Any]:
        return {
            "access_token": f"tok-{server}.{user}",
            "scope": " ".join(granted),
            "resource_server": server,
            "expires_in": 172_800,
            "token_type": "Bearer",
        }

    others = [scope for scope in scopes if scope != COMPUTE_SCOPE]
    granted = [one("auth.globus.org", others)] if others else []
    granted += [one("funcx_service", [COMPUTE_SCOPE])] if COMPUTE_SCOPE in scopes else []
    return {**granted[0], "other_tokens": granted[1:]}


def _handler(service: ComputeService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:
            log.debug(format, *arguments)

        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urllib.parse.urlparse(self.path).path
            given = self.headers.get("Authorization", "")
            try:
                if path == "/v2/oauth2/token":
                    user = base64.b64decode(given.split()[1]).decode().partition(":")[0]
                    form = urllib.parse.parse_qs(content.decode())
                    self._reply(200, _tokens(user, form["scope"][0].split()))
                    return
                user = given.rpartition(".")[2] if given.startswith("Bearer tok-") else "nobody"
                if path == "/v2/oauth2/userinfo":
                    self._reply(200, {"sub": user, "identity_set": [{"sub": user}]})
                    return
                answer = service.answer(self.command, path.strip("/").split("/"), json.loads(content or b"{}"), user)
                if answer is None:
                    self._reply(501, {"code": "NOT_IMPLEMENTED", "reason": f"the stand-in has no {path}"})
                else:
                    self._reply(200, answer)
            except KeyError as error:
                self._reply(404, {"code": "RESOURCE_NOT_FOUND", "reason": f"there is no {error}"})
            except Exception as error:
                log.exception("the stand-in cannot answer")
                self._reply(500, {"code": "STAND_IN", "reason": repr(error)})

        def _reply(self, status: int, answer: Any) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    for method in ("GET", "POST", "PUT", "DELETE"):
        handle: Callable[[Any], None] = Handler._handle
        setattr(Handler, f"do_{method}", handle)
    return Handler
