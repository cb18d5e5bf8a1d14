"""Ways in which one user, with nothing but the own credentials, may name the namespace of another."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from octopus_plugins.local import ApacheKafka

from .users import User

WAYS = ("setting", "forged key file", "password")


@dataclass(frozen=True)
class Intruder:
    """A user who says to be another one.

    Attributes:
        user: With the own credentials and the other one's namespace.
        way: How; one of `WAYS`.
        own: The own namespace.
        target: The namespace of the other one.
    """

    user: User
    way: str
    own: str
    target: str

    def expected(self, attempt: str) -> str:
        """A pattern of what is said: what was refused, why, and what to do.

        Args:
            attempt: ``read``, ``create`` (which comes before each write), ``describe``, ``delete`` or ``list``.
        """
        target = re.escape(self.target)
        if self.way == "setting":  # the mistake that happens; it does not get as far as a broker or the web service
            return (
                rf"alice@example\.org is logged in, with the namespace {self.own}, but {target} is asked for; unset"
                r" OCTOPUS_NAMESPACE .*, or log in as the one meant"
            )
        said = {
            "read": rf"topic {target}\.[a-z-]+ may not be read.* at 127\S+; set namespace to your own, or ask",
            "describe": rf"there is no topic {target}\.[a-z-]+; `octopus topics list` shows what there is",
        }
        if self.way == "forged key file":
            refused = r"Token does not belong to the user\.; log in again with `octopus login`"
            return (said | dict.fromkeys(("create", "delete", "list"), refused))[attempt]
        said |= {
            "create": rf"topic {target}\.[a-z-]+ does not exist .* and could not be created: .*uthorization failed.*;"
            r" ask whoever runs the broker to create it, or set `namespace` to one that you may",
            "delete": rf"did not delete {target}\.[a-z-]+: .*uthorization failed.*; ask whoever runs it",
            "list": r"Create what is missing with `octopus topics ensure`",
        }
        return said[attempt]


def make_intruder(way: str, alice: User, bob: User, kafka: ApacheKafka, home: Path) -> Intruder:
    """Alice, who says to be Bob.

    Args:
        way: By the setting ``namespace``; by her key in a file that says that it is his; or by a name and password
            of hers on the same cluster, where topics are Kafka's own business and not the web service's.
        alice: Who.
        bob: Whom she names.
        kafka: The cluster.
        home: A directory for what she leaves behind.
    """
    more = {"XDG_STATE_HOME": str(home / "state")}
    if way == "setting":
        more["OCTOPUS_NAMESPACE"] = bob.namespace
    elif way == "forged key file":
        more["OCTOPUS_CREDENTIALS_DIR"] = str(home / "credentials")
        shutil.copytree(alice.config().credentials_dir, home / "credentials", copy_function=shutil.copy2)
        (file,) = (home / "credentials").rglob("key.json")
        told = {"subject": bob.person.subject, "username": bob.person.username, "namespace": bob.namespace}
        file.write_text(json.dumps(json.loads(file.read_text()) | told))
        hour_ago = time.time() - 3600
        os.utime(file, (hour_ago, hour_ago))  # refusals of a new key would be waited out
    else:
        settings = kafka.add_user(f"alice-{alice.namespace}", alice.namespace) | {"namespace": bob.namespace}
        more |= {f"OCTOPUS_{name.upper()}": str(value) for name, value in settings.items()}
    return Intruder(alice.changed(**more), way, alice.namespace, bob.namespace)
