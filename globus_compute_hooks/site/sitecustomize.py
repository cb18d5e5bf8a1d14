"""Python imports this at its start where `octopus endpoint enable` has put its directory on PYTHONPATH.

It makes ``type: OctopusEngine`` resolvable in user endpoints, and then does what the sitecustomize would have done
that stands behind it on the path. Where octopus-plugins is missing it does nothing.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _offer_engine():
    try:
        from globus_compute_hooks.endpoint.autoload import install
    except ImportError:
        return
    install()


def _run_next():
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_offer_engine()
_run_next()
