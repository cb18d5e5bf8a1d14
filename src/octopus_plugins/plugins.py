"""The plugins that are in force: found by entry point, called one by one, kept from hurting anybody.

pluggy calls all implementations of a hook as one, so that the first that raises ends the call. Here each is
called by itself: what a plugin raises, or returns by mistake, is reported once and passed over.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import logging
import math
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pluggy

from octopus_plugins import hookspecs
from octopus_plugins.errors import PluginError
from octopus_plugins.hookspecs import PROJECT_NAME, WITHHOLD, hookimpl

if TYPE_CHECKING:
    import click

    from octopus_plugins.events import Decision, Event, Failure
    from octopus_plugins.wrath import Rule

__all__ = ["WITHHOLD", "Plugins", "hookimpl", "load_plugins"]

logger = logging.getLogger("octopus_plugins")

LONGEST_DELAY = 7 * 24 * 3600.0
"""Seconds that a plugin may make a retry wait."""

_loaded: Plugins | None = None
_loading = threading.Lock()


def load_plugins() -> Plugins:
    """The plugins of this process; their entry points are loaded at the first call."""
    global _loaded  # noqa: PLW0603 - one set of plugins per process is the point
    with _loading:
        if _loaded is None:
            plugins = Plugins()
            plugins.load_entry_points()
            _loaded = plugins
        return _loaded


class Plugins:
    """A set of plugins and the ways to call them. Safe for use by several threads."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT_NAME)
        self._manager.add_hookspecs(hookspecs)
        self._reported: set[tuple[str, str]] = set()
        self._found: dict[str, list[pluggy.HookImpl]] = {}  # by hook: asked for with each decision

    def load_entry_points(self, group: str = PROJECT_NAME) -> None:
        """Register what installed distributions offer; a plugin that cannot be loaded is reported and skipped.

        Args:
            group: The entry-point group.
        """
        for entry_point in importlib.metadata.entry_points(group=group):
            if self._manager.has_plugin(entry_point.name):
                continue  # the same distribution found twice on the path
            try:
                self.register(entry_point.load(), entry_point.name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - importing a plugin runs whatever it holds
                self._report(
                    entry_point.name,
                    "loading",
                    f"plugin {entry_point.name!r} ({entry_point.value}) cannot be loaded and is skipped: "
                    f"{_describe(error)}; repair or uninstall it",
                )

    def register(self, plugin: object, name: str | None = None) -> str:
        """Add a plugin.

        A hook of it that does not exist is reported and ignored, and its other hooks are used: it may have been
        written for another version.

        Args:
            plugin: A module or an object whose functions carry ``@hookimpl``.
            name: What it is called in messages; default: the module's name.

        Returns:
            Its name.

        Raises:
            PluginError: It is registered already, its name is taken, or a hook has arguments that do not exist.
        """
        name = name or getattr(plugin, "__name__", None) or type(plugin).__qualname__
        try:
            self._manager.register(plugin, name)
        except ValueError as error:
            raise PluginError(f"plugin {name!r} is registered already, or its name is taken: {error}") from error
        except pluggy.PluginValidationError as error:
            if self._manager.is_registered(plugin):  # some versions of pluggy leave it half registered
                self._manager.unregister(plugin)
            raise PluginError(f"plugin {name!r} does not fit its hook: {' '.join(str(error).split())}") from error
        finally:
            self._found = {}  # after the fact: another thread may ask at any moment
        self._report_unfit_hooks(plugin, name)
        return name

    def unregister(self, plugin: object | str) -> None:
        """Take a plugin out again.

        Args:
            plugin: The plugin or its name.

        Raises:
            PluginError: There is no such plugin.
        """
        name = plugin if isinstance(plugin, str) else self._manager.get_name(plugin)
        if name is None or not self._manager.has_plugin(name):
            raise PluginError(
                f"no plugin {plugin!r} is registered", remedy=f"there are: {', '.join(self.names()) or 'none'}"
            )
        self._manager.unregister(name=name)
        self._found = {}

    def names(self) -> tuple[str, ...]:
        """The names of the registered plugins, sorted."""
        return tuple(sorted(name for name, _ in self._manager.list_name_plugin()))

    @property
    def has_transforms(self) -> bool:
        """Whether any plugin looks at events before they leave; if not, ``transform`` need not be called."""
        return bool(self._manager.hook.octopus_transform.get_hookimpls())

    def rules(self) -> tuple[Rule, ...]:
        """The categorisation rules that plugins add."""
        rules: list[Rule] = []
        for impl, offered in self._call("octopus_rules"):
            try:
                found = list(offered)
            except Exception as error:  # noqa: BLE001 - a plugin may well return a generator that raises
                self._report_hook(impl, f"did not give rules: {_describe(error)}", "return a list of Rule")
                continue
            for rule in found:
                # wrath stands above this module, so that its class cannot be asked for by name.
                category = getattr(rule, "category", None)
                if callable(getattr(rule, "match", None)) and hasattr(category, "layer") and hasattr(category, "value"):
                    rules.append(rule)
                else:
                    self._report_hook(impl, f"gave {rule!r:.100}, which is no Rule", "return a list of Rule")
        return tuple(rules)

    def transform(self, event: Event) -> Event | None:
        """Let the plugins enrich, redact or withhold an event.

        Args:
            event: The event.

        Returns:
            The event to send, or None for one that is withheld.
        """
        for impl in self._impls("octopus_transform"):
            result = self._call_one(impl, {"event": event})
            if result is WITHHOLD:
                return None
            if type(result) is type(event):
                event = result
            elif result is not None:
                expected = type(event).__name__
                self._report_hook(impl, f"returned {result!r:.100}", f"return a {expected}, WITHHOLD or None")
        return event

    def change(self, failure: Failure, decision: Decision) -> Decision:
        """Let the plugins change a decision, each after the other.

        Args:
            failure: The failure, with its categorisation.
            decision: What the policy decided.

        Returns:
            The decision to take.
        """
        for impl in self._impls("octopus_decision"):
            result = self._call_one(impl, {"failure": failure, "decision": decision})
            if type(result) is type(decision) and _is_sound(result):
                decision = result
            elif result is not None:
                remedy = (
                    "return a Decision whose action is 'retry' or 'terminate', with a charge of at least 0"
                    f" and a delay of 0 to {LONGEST_DELAY:,.0f} seconds, or None"
                )
                self._report_hook(impl, f"returned {result!r:.100}", remedy)
        return decision

    def decided(self, failure: Failure, decision: Decision) -> None:
        """Tell the plugins of a final decision."""
        for _ in self._call("octopus_decided", failure=failure, decision=decision):
            pass

    def commands(self, group: click.Group) -> None:
        """Let the plugins add commands to ``octopus``."""
        for _ in self._call("octopus_commands", group=group):
            pass

    def _impls(self, hook: str) -> list[pluggy.HookImpl]:
        found = self._found  # another thread that registers one puts an empty one in its place
        impls = found.get(hook)
        if impls is None:
            # pluggy keeps them in reverse order of calling. Wrappers were reported at registration.
            kept: list[pluggy.HookImpl] = getattr(self._manager.hook, hook).get_hookimpls()
            impls = found[hook] = [impl for impl in reversed(kept) if not (impl.wrapper or impl.hookwrapper)]
        return impls

    def _call(self, hook: str, **arguments: Any) -> Iterator[tuple[pluggy.HookImpl, Any]]:
        for impl in self._impls(hook):
            result = self._call_one(impl, arguments)
            if result is not None:
                yield impl, result

    def _call_one(self, impl: pluggy.HookImpl, arguments: dict[str, Any]) -> Any:
        try:
            return impl.function(*[arguments[name] for name in impl.argnames])
        except Exception as error:  # noqa: BLE001 - the one border between plugins and the host
            self._report_hook(impl, f"raised {_describe(error)}", "repair or uninstall it", error)
            return None

    def _report_unfit_hooks(self, plugin: object, name: str) -> None:
        known = [hook for hook in dir(hookspecs) if hook.startswith("octopus_") and hook != PROJECT_NAME]
        for caller in self._manager.get_hookcallers(plugin) or ():
            impl = next(impl for impl in caller.get_hookimpls() if impl.plugin is plugin)
            if not caller.has_spec() and not impl.optionalhook:
                close = difflib.get_close_matches(caller.name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
                self._report(name, caller.name, f"plugin {name!r} offers an unknown hook {caller.name!r}; {hint}")
            elif impl.wrapper or impl.hookwrapper:
                self._report_hook(impl, "is a hook wrapper and is not called", "make it a plain hookimpl")

    def _report_hook(
        self, impl: pluggy.HookImpl, problem: str, remedy: str, error: BaseException | None = None
    ) -> None:
        hook = impl.function.__name__
        message = f"plugin {impl.plugin_name!r}: {hook} {problem}; it is passed over; {remedy}"
        self._report(impl.plugin_name, hook, message, error)

    def _report(self, plugin: str, hook: str, message: str, error: BaseException | None = None) -> None:
        if (plugin, hook) in self._reported:
            return
        self._reported.add((plugin, hook))
        logger.warning("%s", message, exc_info=error if logger.isEnabledFor(logging.DEBUG) else None)


def _is_sound(decision: Decision) -> bool:
    # Comparisons with NaN are False. A negative charge would make retries endless.
    return (
        decision.action in {"retry", "terminate"}
        and 0 <= decision.charge < math.inf
        and 0 <= decision.delay <= LONGEST_DELAY
    )


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
