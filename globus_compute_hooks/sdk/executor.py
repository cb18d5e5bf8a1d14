"""The SDK's executor with Octopus: what fails is explained, and tried again where that can help."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import platform
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from globus_compute_sdk import Executor
from globus_compute_sdk.sdk import executor as sdk
from globus_compute_sdk.sdk.asynchronous.compute_future import ComputeFuture

from globus_compute_hooks.sdk.dispatcher import Dispatcher
from globus_compute_hooks.sdk.ladder import Ladder, steps_of
from globus_compute_hooks.sdk.recorder import Diary
from globus_compute_hooks.versions import check_sdk
from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError
from octopus_plugins.fabric import Emitter
from octopus_plugins.plugins import Plugins, load_plugins
from octopus_plugins.wrath import Policy, policy_from

logger = logging.getLogger("octopus_plugins")


class Recovering(Executor):
    """What an executor does differently with Octopus; see OctopusExecutor. ``enable`` gives it to one that is there."""

    _octopus: Dispatcher
    _octopus_diary: Diary

    @property
    def octopus_run_id(self) -> str:
        """The run in which this executor's events are told."""
        return self._octopus_diary.run_id

    @property
    def task_count_submitted(self) -> int:
        """How many tasks the web service has taken."""
        known = getattr(self, "_octopus", None)
        return int(self.__dict__.get("task_count_submitted", 0)) + (known.sent() if known is not None else 0)

    @task_count_submitted.setter
    def task_count_submitted(self, count: int) -> None:
        self.__dict__["task_count_submitted"] = count

    def register_function(
        self, fn: Callable[..., Any], function_id: str | None = None, **func_register_kwargs: Any
    ) -> str:
        """Register a function; see Executor.register_function."""
        found = super().register_function(fn, function_id, **func_register_kwargs)
        self._octopus_names[str(found)] = getattr(fn, "__name__", None)
        return str(found)

    def register_source_code(self, source: str, function_name: str, **registration_kwargs: Any) -> str:
        """Register source code; see Executor.register_source_code."""
        found = super().register_source_code(source, function_name, **registration_kwargs)
        self._octopus_names[str(found)] = function_name
        return str(found)

    def submit_to_registered_function(
        self, function_id: str, args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None
    ) -> ComputeFuture:
        """Submit a call of a registered function; see Executor.submit_to_registered_function."""
        if self._stopped or not self.endpoint_id:
            refused: ComputeFuture = super().submit_to_registered_function(function_id, args, kwargs)
            return refused  # never: it raises
        self._task_counter += 1
        name = self._octopus_names.get(str(function_id), str(function_id))
        return self._octopus.submit(function_id, args or (), kwargs or {}, name)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Clean up; see Executor.shutdown. Waits for what is tried again, too."""
        if self._stopped:
            return
        super().shutdown(wait=False, cancel_futures=cancel_futures)  # type: ignore[no-untyped-call]
        self._octopus.shutdown(wait=wait, cancel_futures=cancel_futures)
        watcher = sdk._RESULT_WATCHERS.get(self.task_group_id)
        if wait and watcher is not None:  # those of reload_tasks
            concurrent.futures.wait(watcher.get_open_futures(self).values())

    def _octopus_open(
        self,
        octopus: OctopusConfig | Mapping[str, Any] | None,
        policy: str | os.PathLike[str] | Mapping[str, Any] | Policy | None,
        ladder: Ladder | None,
        mode: str | None,
        retries: int | None,
        plugins: Plugins | None,
        listen: bool,
        speculate: bool,
    ) -> None:
        """Begin to tell and to recover; nothing is changed where this raises."""
        check_sdk()
        steps = steps_of(ladder)
        known = policy_from(policy, ladder=None if ladder is None else list(steps), mode=mode)
        if speculate:
            known = replace(known, stragglers=replace(known.stragglers, speculate=True))
        config = octopus if isinstance(octopus, OctopusConfig) else OctopusConfig.load(**dict(octopus or {}))
        if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or retries < 0):
            raise ConfigError(f"retries = {retries!r}: must be a whole number from 0 on, or None")
        if retries is None and policy is None:
            retries = max(len(steps) - 1, 0)  # without a ladder a call runs no oftener than in the SDK
        own = () if self.endpoint_id is None else (str(self.endpoint_id),)
        if own and known.ladder and own[0] not in known.ladder:
            raise ConfigError(
                f"endpoint_id = {own[0]!r}: is not on the ladder ({', '.join(known.ladder)})", remedy="put it there"
            )
        plugins = plugins if plugins is not None else load_plugins()
        emitter = Emitter(config, transform=plugins.transform if plugins.has_transforms else None)
        diary = Diary(emitter, plugins, known, retries)
        self._octopus_names: dict[str, str | None] = {
            str(found): getattr(fn, "__name__", None) for fn, found in self._function_registry.items()
        }
        self._octopus_diary = diary
        self._octopus = Dispatcher(self, diary, config if listen else None, steps)
        diary.begin(self.label or None, (*own, *known.ladder), versions())


class OctopusExecutor(Recovering):
    """A ``globus_compute_sdk.Executor`` with Octopus. Takes every option of it.

    Each submission, result and failure is an event in your Octopus topics. A failed task is submitted again where that
    can help: to the same endpoint, to a later one of the ladder, at once or after a while. Its future stays pending
    meanwhile, and its ``task_id`` is that of the current try. What a function itself raised is not tried again. A task
    whose endpoint has died under it (its heartbeats have stopped, and the web service says that it is offline) goes to
    the next endpoint of the ladder; without one it waits, as in Executor.

    Args:
        endpoint_id: As in Executor; default: the first of the ladder.
        *args: As Executor takes them.
        ladder: Ids of endpoints that a retry may climb to, in this order; ``endpoint_id`` is one of them. Where an
            endpoint wants other options, a mapping: ``{"endpoint_id": b, "user_endpoint_config": {…}}``, also with
            ``resource_specification``.
        policy: A TOML file, a mapping, or a Policy; default: the built-in one.
        mode: ``active``, or ``passive``: record what would have been decided and change nothing.
        retries: How often a task may be tried again; default: as often as the ladder has further endpoints, so never
            without one; with a ``policy`` as often as its categories and budgets allow.
        octopus: How to reach the topics: an OctopusConfig, or settings by name (``{"profile": "kafka"}``).
            Default: environment and configuration file.
        plugins: Default: those installed.
        listen: Whether to hear the heartbeats of endpoints, by which silent ones are noticed.
        speculate: Whether a task of a silent endpoint may run a second time, at the next one of the ladder, while the
            first may still run: only where tasks may run twice. The first result is taken.
        **kwargs: As Executor takes them.

    Raises:
        ConfigError: A setting is unknown or wrong.
        PolicyError: The policy is wrong; names file and key.
        UnsupportedHostError: This version of the SDK lacks something that we build on.
    """

    def __init__(
        self,
        endpoint_id: str | uuid.UUID | None = None,
        *args: Any,
        ladder: Ladder | None = None,
        policy: str | os.PathLike[str] | Mapping[str, Any] | Policy | None = None,
        mode: str | None = None,
        retries: int | None = None,
        octopus: OctopusConfig | Mapping[str, Any] | None = None,
        plugins: Plugins | None = None,
        listen: bool = True,
        speculate: bool = False,
        **kwargs: Any,
    ) -> None:
        endpoint_id = endpoint_id or next(iter(steps_of(ladder)), None)
        super().__init__(endpoint_id, *args, **kwargs)
        try:
            self._octopus_open(octopus, policy, ladder, mode, retries, plugins, listen, speculate)
        except BaseException:
            Executor.shutdown(self, wait=False, cancel_futures=True)  # type: ignore[no-untyped-call]
            raise


def versions() -> dict[str, str]:
    """Versions of Python, the SDK and octopus-plugins here."""
    from globus_compute_sdk.version import __version__ as host

    from octopus_plugins import __version__

    return {"python": platform.python_version(), "globus-compute-sdk": host, "octopus-plugins": __version__}
