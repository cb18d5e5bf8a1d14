"""A pytest plugin: puts OctopusEngine in the place of GlobusComputeEngine in Globus Compute's own tests.

``test_own_suite`` loads it with ``-p``, before any test is imported. With ``COMPUTE_SUITE_ENGINE=host`` the tests
keep their own engine, which shows what passes anyway. What our packages complain of goes to ``octopus.log``.
"""

from __future__ import annotations

import logging
import os
import sys
from types import ModuleType

import globus_compute_endpoint.engines

from globus_compute_hooks import OctopusEngine

# Their conftest has fixtures for RabbitMQ, of which the wheel lacks two modules; no test that we run asks for those.
for module, name in (
    ("result_queue_subscriber", "ResultQueueSubscriber"),
    ("task_queue_publisher", "TaskQueuePublisher"),
):
    absent = ModuleType(f"tests.integration.test_rabbit_mq.{module}")
    setattr(absent, name, None)
    sys.modules[absent.__name__] = absent

complaints = logging.FileHandler("octopus.log", encoding="utf-8")
complaints.setLevel(logging.WARNING)
logging.getLogger("octopus_plugins").addHandler(complaints)

if os.environ.get("COMPUTE_SUITE_ENGINE") != "host":
    globus_compute_endpoint.engines.GlobusComputeEngine = OctopusEngine
