"""The decisions of a real run come out again, to the letter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workflow_apps as apps
from parsl.config import Config

from octopus_plugins.streams.run_file import read_file, read_run, write_file
from octopus_plugins.wrath.policy.data import policy_from_data
from octopus_plugins.wrath.replay.replay import canonical, recorded_policy, replay
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler

POLICY = {
    "name": "of-the-run",
    "categories": {"worker_lost": {"maximum_attempts": 2, "initial_interval": 0.1}},
}


@pytest.mark.slow
def test_replay_gives_the_decisions_of_a_real_run_byte_for_byte(
    run: Callable[..., Any], executor: Callable[..., Any], settings: Callable[..., Any], tmp_path: Path
) -> None:
    octopus = settings()
    config = Config(
        executors=[executor("small", workers=2), executor("large")],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(POLICY, ladder=["small", "large"]),
        retries=3,
        strategy="none",
        initialize_logging=False,
    )

    def workflow() -> dict[str, Any]:
        bugs = {f"bug-{number}": apps.look_up(f"omega-{number}") for number in range(6)}
        return {
            **{f"double-{number}": apps.double(number) for number in range(8)},
            **bugs,
            "dependent": apps.total(*bugs.values()),
            "walltime": apps.sleep_long(walltime=0.5),
            "killed": apps.die(),
            "failing-join": apps.fan_out_and_fail(),
        }

    told = run(config, workflow, octopus=octopus)
    events = read_run(octopus, told.run_id)
    policy = policy_from_data(recorded_policy(events) or {})
    assert (policy.name, policy.ladder) == ("of-the-run", ("small", "large"))
    found = list(replay(events, policy))
    decided = [one for one in found if one.recorded is not None]
    assert len(decided) >= 10
    assert {one.decision.action for one in decided} == {"retry", "terminate"}
    for one in decided:
        assert one.differs == (), (one.recorded, one.decision)
        assert canonical(one.decision) == canonical(one.recorded)

    write_file(tmp_path / "run.jsonl.gz", events)
    again = list(replay(read_file(tmp_path / "run.jsonl.gz"), policy))
    assert [canonical(one.decision) for one in again] == [canonical(one.decision) for one in found]
