"""In the place of the SDK, for processes that have this directory on their path: as good as not installed.

Parsl imports it wherever it is installed, for a third of the time that each process of a run takes to start.
Whoever uses Parsl alone does not have it, either; `integration/compute` is where it is.
"""

raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)
