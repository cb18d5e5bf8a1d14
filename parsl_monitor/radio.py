"""How worker events travel to the submit side."""

from __future__ import annotations

from parsl.monitoring.radios.htex import HTEXRadio


class OctopusRadio(HTEXRadio):
    """Worker events over the executor's own encrypted channel, with the periods of what is sent.

    Compute nodes need neither credentials nor a route to the broker: the submit side produces. With ``direct`` the
    nodes produce their samples by themselves, with tokens that the submit side renews (docs/workers.md).

    Args:
        sample_period: Seconds between resource samples of a running task; 0 takes none.
        heartbeat_period: Seconds between heartbeats of a node; 0 sends none.
        direct: Whether nodes produce resource samples by themselves, where they can.
    """

    def __init__(self, *, sample_period: float = 1.0, heartbeat_period: float = 10.0, direct: bool = False) -> None:
        for name, value in (("sample_period", sample_period), ("heartbeat_period", heartbeat_period)):
            if value < 0:
                raise ValueError(f"OctopusRadio({name}={value}): must be 0 (off) or a number of seconds")
        self.sample_period = sample_period
        self.heartbeat_period = heartbeat_period
        self.direct = direct
