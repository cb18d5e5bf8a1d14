"""What the endpoints run. Each function stands by itself: the SDK sends its source."""

from __future__ import annotations


def work(journal: str, key: str, seconds: float, raised: str | None) -> str:
    """Take so long, and return the key in reverse or raise; a line each in the task's own file says when."""
    import errno
    import os
    import time

    def note(word: str) -> None:
        with open(os.path.join(journal, key), "a", encoding="utf-8") as file:  # noqa: PTH118, PTH123 - sent as source
            file.write(f"{os.getpid()} {time.time():.6f} {word}\n")

    note("begin")
    time.sleep(seconds)
    note("end")
    if raised == "ValueError":
        raise ValueError(f"cannot use the input {key}")
    if raised == "OSError":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"/scratch/{key}")
    if raised == "MemoryError":
        raise MemoryError(f"unable to allocate 8 GiB for {key}")
    return key[::-1]


def greet(seconds: float) -> int:
    """Say which worker this is."""
    import os
    import time

    time.sleep(seconds)
    return os.getpid()
