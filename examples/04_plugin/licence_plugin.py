"""A plugin of a site whose licence server runs out of seats: a failure that waiting cures."""

from octopus_plugins import Category, Match, Rule, Trust, hookimpl


def no_seats(failure, history):
    """Recognise a refused licence. The rule is asked only where one of its words is in what the failure says."""
    return Match(
        "found no free seat on the licence server",
        evidence={"message": failure.exception.message[:200]},
        confidence=0.95,
        resolvable="yes",
    )


@hookimpl
def octopus_rules():
    return [
        Rule(
            name="network_unreachable.licence_seats",
            category=Category.network_unreachable,
            trust=Trust.text,
            match=no_seats,
            types=("RuntimeError",),
            words=("no licence seat", "license checkout failed"),
            doc="a licence server without a free seat",
        )
    ]


@hookimpl
def octopus_decided(failure, decision):
    if decision.rule and failure.categorization and failure.categorization.rule.endswith("licence_seats"):
        print(f"(the licence team is told: task {failure.task_id} will {decision.action})")
