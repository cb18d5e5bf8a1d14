"""Real endpoints and the real SDK, a RabbitMQ of the tests' own, and a stand-in for the web service between them."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import globus_compute_sdk.sdk.client
import pytest
from globus_compute_sdk import Client, Executor
from globus_compute_sdk.sdk.executor import _RESULT_WATCHERS
from globus_compute_sdk.serialize import ComputeSerializer, DillCodeSource
from globus_sdk import AccessTokenAuthorizer

from benchmarks.compute import rabbitmq, service
from benchmarks.compute.endpoint import Endpoint
from globus_compute_hooks import OctopusExecutor
from octopus_plugins.config import OctopusConfig
from octopus_plugins.local.embedded import EmbeddedBroker

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of all may wait for a package and for RabbitMQ, the first of each file for an endpoint."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def amqp() -> Iterator[str]:
    """Where RabbitMQ is."""
    missing = rabbitmq.ensure_installed()
    if missing is not None:
        pytest.skip(missing)
    with rabbitmq.RabbitMQ() as server:
        yield server.url


@pytest.fixture(scope="session")
def web(amqp: str) -> Iterator[service.ComputeService]:
    """The stand-in for the web service, to which the SDK in this process talks."""
    with service.ComputeService(amqp) as web, pytest.MonkeyPatch.context() as patch:
        patch.setattr(globus_compute_sdk.sdk.client, "get_web_service_url", lambda *_: web.url)
        yield web


@pytest.fixture(scope="module")
def octopus(
    request: pytest.FixtureRequest, broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> OctopusConfig:
    """Where the module's endpoints report."""
    home = tmp_path_factory.mktemp("octopus")
    namespace = f"{request.module.__name__.rpartition('.')[2]}-{home.name}".replace("_", "-")
    return OctopusConfig.load(
        profile="local", bootstrap_servers=broker.address, namespace=namespace, spool_dir=home / "spool"
    )


@pytest.fixture(scope="module")
def start_endpoint(
    web: service.ComputeService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Endpoint]]:
    """Start endpoints, which are stopped after the module's last test. Called with the engine's block, as YAML."""
    started: list[Endpoint] = []

    def start(engine: str, **options: Any) -> Endpoint:
        endpoint = Endpoint(tmp_path_factory.mktemp("endpoint"), web, engine, **options)
        endpoint.__enter__()
        started.append(endpoint)
        return endpoint

    yield start
    for endpoint in started:
        endpoint.__exit__(None, None, None)


@pytest.fixture(scope="module")
def sdk(web: service.ComputeService) -> Iterator[Callable[..., Executor]]:
    """Make the SDK's executors, one for each endpoint and what its template is given."""
    made: dict[tuple[str, str], Executor] = {}

    def make(endpoint: Endpoint, **given: Any) -> Executor:
        key = endpoint.id, str(given)
        if key not in made:
            client = Client(authorizer=AccessTokenAuthorizer(service.token(service.USER)), do_version_check=False)
            executor = Executor(
                endpoint_id=endpoint.id, client=client, api_burst_limit=100, user_endpoint_config=given or None
            )
            # By their source: workers cannot import the tests.
            executor.serializer = ComputeSerializer(strategy_code=DillCodeSource())
            made[key] = executor
        return made[key]

    yield make
    ended = list(made.values())
    made.clear()
    _end(ended)


@pytest.fixture(scope="module")
def recovering(web: service.ComputeService) -> Iterator[Callable[..., OctopusExecutor]]:
    """Make OctopusExecutors; takes their options."""
    made: list[OctopusExecutor] = []

    def make(*args: Any, **options: Any) -> OctopusExecutor:
        client = Client(authorizer=AccessTokenAuthorizer(service.token(service.USER)), do_version_check=False)
        executor = OctopusExecutor(*args, client=client, **{"api_burst_limit": 8, "api_burst_window_s": 1, **options})
        executor.serializer = ComputeSerializer(strategy_code=DillCodeSource())
        made.append(executor)
        return executor

    yield make
    _end(made)


def _end(executors: list[Any]) -> None:
    while executors:
        executors.pop().shutdown(cancel_futures=True)
    # The SDK leaves the threads that wait for its results to themselves, and their sockets to the garbage collector.
    for group in list(_RESULT_WATCHERS):
        _RESULT_WATCHERS[group].shutdown(cancel_futures=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
