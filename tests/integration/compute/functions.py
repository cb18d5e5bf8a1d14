"""What the tests have endpoints run. Each function stands by itself: the SDK sends its source."""

from __future__ import annotations

from typing import Any


def double(number: int) -> int:
    return 2 * number


def look_up(name: str) -> Any:
    return {"alpha": 1}[name]


def leave(code: int) -> None:
    import sys
    import time

    time.sleep(2)
    sys.exit(code)


def die() -> None:
    import os
    import signal
    import time

    time.sleep(2)  # long enough for a sample to be taken
    os.kill(os.getpid(), signal.SIGKILL)


def fill(megabytes: int) -> bytes:
    import os

    return os.urandom(megabytes << 20)


def import_missing() -> None:
    import a_module_that_is_not_there  # noqa: F401


def rest(seconds: float) -> int:
    import os
    import time

    time.sleep(seconds)
    return os.getpid()


def rest_once(mark: str, seconds: float) -> str:
    import time
    from pathlib import Path

    if Path(mark).exists():
        return "the second time"
    Path(mark).touch()
    time.sleep(seconds)
    return "the first time"


def double_slowly(number: int, seconds: float) -> int:
    import time

    time.sleep(seconds)
    return 2 * number


def die_once(mark: str) -> str:
    import os
    import signal
    from pathlib import Path

    if Path(mark).exists():
        return "the second time"
    Path(mark).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"
