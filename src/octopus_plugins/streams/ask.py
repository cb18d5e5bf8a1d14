"""The questions: ``failures()``, ``decisions()``, ``tasks()``, ``heartbeats()``, ``resources()``, ``runs()``.

Each returns a `Stream`, which reads nothing until it is used, and reads anew each time it is::

    for failure in failures(run_id="last", category="memory_exhausted"):
        print(failure.task_id, failure.host, failure.categorization.reason)

    failures(since="1h").count_by("category", "host")
    failures(since="1h").to_pandas()

    with failures(follow=True) as live:  # what is there, then what comes, until closed
        for failure in live: ...

All of them take these arguments, and a filter takes one value or a collection of them:

- ``run_id``: the run, or the first eight characters of its id or more; ``"last"`` is the newest one in the stream.
- ``since``, ``until``: bounds of the time when it happened: a span back from now (``"90s"``, ``"30m"``, ``"1h"``,
  ``"2d"``, ``"1w"``, a timedelta), ISO text or a datetime (local time where it names no zone), or Unix seconds.
- ``follow``: go on with what comes, live, until the stream is closed; ``since="now"`` leaves out what is there.
- ``limit``: stop after so many events.
- ``config``, ``profile``: the settings, or the name of the profile to load them from.
"""

from __future__ import annotations

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Decision, Failure, Heartbeat, ResourceSample, Run, Task
from octopus_plugins.streams.query import Moment, OneOrMore, Query
from octopus_plugins.streams.stream import Stream


def failures(
    *,
    run_id: OneOrMore = None,
    task_id: OneOrMore = None,
    since: Moment = None,
    until: Moment = None,
    category: OneOrMore = None,
    layer: OneOrMore = None,
    host: OneOrMore = None,
    app: OneOrMore = None,
    executor: OneOrMore = None,
    follow: bool = False,
    limit: int | None = None,
    config: OctopusConfig | None = None,
    profile: str | None = None,
) -> Stream[Failure]:
    """Ask for failed tries; see the module for the arguments.

    Args:
        run_id: Of these runs.
        task_id: Of these tasks.
        since: That happened at or after this time.
        until: That happened at or before this time.
        category: Of these categories, such as ``"memory_exhausted"``.
        layer: Of these layers: ``application``, ``framework``, ``runtime``, ``environment``, ``unknown``.
        host: On these nodes.
        app: Of these apps.
        executor: On these executors.
        follow: Go on with what comes.
        limit: At most so many.
        config: The settings.
        profile: The profile to load the settings from.

    Returns:
        The failures, in the order of their topic.

    Raises:
        ConfigError: An argument or a setting is wrong; says what is allowed.
    """
    query = Query.ask(
        Failure,
        since=since,
        until=until,
        run_id=run_id,
        task_id=task_id,
        category=category,
        layer=layer,
        host=host,
        app=app,
        executor=executor,
    )
    return Stream(query, follow=follow, limit=limit, config=config, profile=profile)


def decisions(
    *,
    run_id: OneOrMore = None,
    task_id: OneOrMore = None,
    since: Moment = None,
    until: Moment = None,
    action: OneOrMore = None,
    category: OneOrMore = None,
    layer: OneOrMore = None,
    host: OneOrMore = None,
    app: OneOrMore = None,
    executor: OneOrMore = None,
    follow: bool = False,
    limit: int | None = None,
    config: OctopusConfig | None = None,
    profile: str | None = None,
) -> Stream[Decision]:
    """Ask for decisions; the arguments are those of `failures`, and ``action`` (``retry``, ``terminate``; of nodes,
    ``deny`` or ``allow``).

    ``host`` and ``executor`` are the place of the try that failed, not where the retry goes.
    """
    query = Query.ask(
        Decision,
        since=since,
        until=until,
        run_id=run_id,
        task_id=task_id,
        action=action,
        category=category,
        layer=layer,
        host=host,
        app=app,
        executor=executor,
    )
    return Stream(query, follow=follow, limit=limit, config=config, profile=profile)


def tasks(
    *,
    run_id: OneOrMore = None,
    task_id: OneOrMore = None,
    since: Moment = None,
    until: Moment = None,
    state: OneOrMore = None,
    host: OneOrMore = None,
    app: OneOrMore = None,
    executor: OneOrMore = None,
    follow: bool = False,
    limit: int | None = None,
    config: OctopusConfig | None = None,
    profile: str | None = None,
) -> Stream[Task]:
    """Ask for the state changes of tasks; ``state`` is a state that they changed to, such as ``running``."""
    query = Query.ask(
        Task,
        since=since,
        until=until,
        run_id=run_id,
        task_id=task_id,
        state=state,
        host=host,
        app=app,
        executor=executor,
    )
    return Stream(query, follow=follow, limit=limit, config=config, profile=profile)


def resources(
    *,
    run_id: OneOrMore = None,
    task_id: OneOrMore = None,
    since: Moment = None,
    until: Moment = None,
    host: OneOrMore = None,
    app: OneOrMore = None,
    executor: OneOrMore = None,
    follow: bool = False,
    limit: int | None = None,
    config: OctopusConfig | None = None,
    profile: str | None = None,
) -> Stream[ResourceSample]:
    """Ask for the resource samples of running tries."""
    query = Query.ask(
        ResourceSample,
        since=since,
        until=until,
        run_id=run_id,
        task_id=task_id,
        host=host,
        app=app,
        executor=executor,
    )
    return Stream(query, follow=follow, limit=limit, config=config, profile=profile)


def heartbeats(
    *,
    run_id: OneOrMore = None,
    since: Moment = None,
    until: Moment = None,
    state: OneOrMore = None,
    host: OneOrMore = None,
    executor: OneOrMore = None,
    follow: bool = False,
    limit: int | None = None,
    config: OctopusConfig | None = None,
    profile: str | None = None,
) -> Stream[Heartbeat]:
    """Ask for heartbeats; ``state`` is ``up``, ``draining``, ``held`` or ``lost``."""
    query = Query.ask(Heartbeat, since=since, until=until, run_id=run_id, state=state, host=host, executor=executor)
    return Stream(query, follow=follow, limit=limit, config=config, profile=profile)


def runs(
    *,
    run_id: OneOrMore = None,
    since: Moment = None,
    until: Moment = None,
    state: OneOrMore = None,
    host: OneOrMore = None,
    follow: bool = False,
    limit: int | None = None,
    config: OctopusConfig | None = None,
    profile: str | None = None,
) -> Stream[Run]:
    """Ask for the starts and ends of runs; ``state`` is ``started`` or ``ended``."""
    query = Query.ask(Run, since=since, until=until, run_id=run_id, state=state, host=host)
    return Stream(query, follow=follow, limit=limit, config=config, profile=profile)
