"""Loaded first by the template of a pool's workers: takes the working directory off its module path.

Python starts its fork server with ``-c``, which puts the working directory first. What lies there (a user's
``queue.py``) must not stand in for modules. Python 3.11 and later are told so when they start, by a variable that
is taken back here: what tasks start themselves finds its modules as ever.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "PYTHONSAFEPATH"
MARK = "octopus-plugins"

if os.environ.get(VARIABLE) == MARK:
    del os.environ[VARIABLE]
if sys.path and sys.path[0] == "":  # Python 3.10, which knows no such variable
    del sys.path[0]
