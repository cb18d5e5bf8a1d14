"""Where Apache Kafka's jars come from: an unpacked Kafka, or Maven once, with pinned versions.

``$KAFKA_HOME`` wins. Else the jars lie in ``$OCTOPUS_KAFKA_JARS``, by default in ``$XDG_CACHE_HOME/octopus``, where the
first use puts them. Which ones they are stands in ``kafka_pom.xml``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from octopus_plugins.errors import BrokerStartError, MissingDependencyError

_MAVEN_SECONDS = 1200  # a first resolution fetches 45 MB, over whatever network there is
_NEEDED = "kafka_2.13-4.*.jar"


def class_path() -> str:
    """The class path of a broker.

    Raises:
        MissingDependencyError: There is neither an unpacked Kafka nor Maven; says what to install.
        BrokerStartError: ``KAFKA_HOME`` has no Kafka, or Maven could not get the jars.
    """
    home = os.environ.get("KAFKA_HOME")
    if home:
        libs = Path(home) / "libs"
        if not any(libs.glob(_NEEDED)):
            raise BrokerStartError(
                f"KAFKA_HOME is {home}, but {libs} has no Kafka of version 4",
                remedy=(
                    "set it to the directory of an unpacked Apache Kafka 4, or unset it to have the jars"
                    " fetched by Maven"
                ),
            )
        return f"{libs}/*"
    return f"{_fetched()}/*"


def java() -> Path:
    """The Java executable: of ``$JAVA_HOME``, else of the search path.

    Raises:
        MissingDependencyError: There is none.
    """
    return _tool("java", "Apache Kafka runs on Java 17 or later; on Debian: apt-get install openjdk-17-jre-headless")


def _tool(name: str, remedy: str) -> Path:
    java_home = os.environ.get("JAVA_HOME")
    of_home = Path(java_home) / "bin" / name if java_home else None
    if of_home is not None and os.access(of_home, os.X_OK):
        return of_home
    found = shutil.which(name)
    if found is None:
        raise MissingDependencyError(f"there is no `{name}` on this machine. {remedy}")
    return Path(found)


def _fetched() -> Path:
    """The directory of the jars; Maven fills it at its first use."""
    pom = (resources.files("octopus_plugins.local") / "kafka_pom.xml").read_bytes()
    base = os.environ.get("OCTOPUS_KAFKA_JARS") or _cache_home() / "kafka-jars"
    # Another set of versions gets another directory.
    jars = Path(base).resolve() / hashlib.sha256(pom).hexdigest()[:12]
    if jars.is_dir():
        return jars
    maven = _tool(
        "mvn",
        "Apache Kafka's jars are fetched by Maven; on Debian: apt-get install maven. Or unpack Apache Kafka 4"
        " somewhere and set KAFKA_HOME to its directory",
    )
    jars.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (jars.parent / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes that come at the same time wait for the first one
        if not jars.is_dir():
            _fetch(maven, pom, jars)
    return jars


def _fetch(maven: Path, pom: bytes, jars: Path) -> None:
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetching-") as place:
        (Path(place) / "pom.xml").write_bytes(pom)
        draft = Path(place) / "jars"
        try:
            done = subprocess.run(
                [
                    *(str(maven), "--quiet", "--batch-mode", "--file", f"{place}/pom.xml"),
                    "dependency:copy-dependencies",
                    *("-DincludeScope=runtime", f"-DoutputDirectory={draft}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_MAVEN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BrokerStartError(
                f"Maven did not fetch Apache Kafka's jars within {_MAVEN_SECONDS} s",
                remedy="check the network, or set KAFKA_HOME to the directory of an unpacked Apache Kafka 4",
            ) from None
        if done.returncode or not any(draft.glob(_NEEDED)):
            said = "\n".join(line for line in done.stdout.splitlines() if line.startswith("[ERROR]")) or done.stdout
            raise BrokerStartError(
                "Maven could not fetch Apache Kafka's jars; check that it reaches a repository, or unpack Apache"
                f" Kafka 4 and set KAFKA_HOME to its directory. It said:\n{said[:2000]}"
            )
        draft.replace(jars)


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "octopus"
