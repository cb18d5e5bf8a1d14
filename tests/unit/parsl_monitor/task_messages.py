"""What Parsl puts on its monitoring queue about a task."""

from __future__ import annotations

import datetime
from typing import Any

from parsl.monitoring.message_type import MessageType


def task_info(state: str, *, task_id: int = 7, try_id: int = 0, **changes: Any) -> tuple[Any, dict[str, Any]]:
    now = datetime.datetime.now()
    return MessageType.TASK_INFO, {
        "run_id": "run",
        "task_id": task_id,
        "try_id": try_id,
        "task_status_name": state,
        "task_func_name": "app",
        "task_executor": "small",
        "task_depends": "",
        "task_joins": "",
        "task_fail_count": try_id,
        "task_fail_cost": 0.0,
        "task_fail_history": "",
        "from_memo": False,
        "task_stdout": None,
        "task_stderr": None,
        "task_time_invoked": now,
        "task_try_time_launched": now,
        **changes,
    }
