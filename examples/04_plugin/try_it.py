"""What the plugin changes: the same failure, categorised and decided without it and with it."""

import licence_plugin
import msgspec

from octopus_plugins import Failure, History, Policy, Run, categorize, decide
from octopus_plugins.events.exceptions import failure_details
from octopus_plugins.plugins import load_plugins
from octopus_plugins.wrath import DEFAULT_RULES


def solve():
    raise RuntimeError("solver: no licence seat for feature 'nonlinear'")


def fail():
    """A real exception, as the event that a monitored run would send."""
    try:
        solve()
    except RuntimeError as error:
        return Failure(run_id="demo", time=0.0, task_id="1", app="solve", host="node-1", **failure_details(error))
    raise AssertionError("unreachable")


def judge(failure, rules):
    history = History()
    history.observe(Run(run_id="demo", time=0.0, state="started", retries=5))
    failure = msgspec.structs.replace(failure, categorization=categorize(failure, history, rules))
    decision = decide(failure, history, Policy.default())
    found = failure.categorization
    print(f"  category  {found.category} (rule {found.rule or 'none'})")
    print(f"  decision  {decision.action}, delay {decision.delay:.1f} s: {decision.reason}")
    return failure, decision


def main():
    failure = fail()
    print("Without the plugin:")
    judge(failure, DEFAULT_RULES)

    # Installed, the plugin is found by its entry point; here it is registered by hand.
    plugins = load_plugins()
    if "licence" not in plugins.names():
        plugins.register(licence_plugin, "licence")
    print("\nWith it:")
    plugins.decided(*judge(failure, plugins.rules() + DEFAULT_RULES))


if __name__ == "__main__":
    main()
