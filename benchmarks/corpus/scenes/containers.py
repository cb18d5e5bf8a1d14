"""Containers that cannot be started: no image, a broken one, a missing mount, no runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.cases import Cases, Scene
from benchmarks.corpus.needs import needs
from octopus_plugins.wrath import Category

CASES = Cases()
CONTAINER = Category.container_failed
SCRATCH = "{scratch}"
PODMAN = f"podman --storage-driver vfs --root {SCRATCH}/images --runroot {SCRATCH}/run-images --tmpdir {SCRATCH}/podman"
PROGRAM = "int main(void) { return 0; }\n"


def _make_images(scratch: Path) -> None:
    import os
    import subprocess

    needs(podman="podman", ch_run="charliecloud", gcc="gcc", crun="crun")(scratch)
    root = scratch / "rootfs"
    for part in ("bin", "dev", "proc", "sys", "tmp", "etc", "home", "mnt/0"):
        (root / part).mkdir(parents=True)
    (scratch / "solver.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-static", str(scratch / "solver.c"), "-o", str(root / "bin" / "solver")], check=True)
    for part in ("passwd", "group", "hosts", "resolv.conf"):
        (root / "etc" / part).touch()
    subprocess.run(["tar", "-C", str(root), "-cf", str(scratch / "rootfs.tar"), "."], check=True)
    command = PODMAN.replace(SCRATCH, os.fspath(scratch)).split()
    subprocess.run([*command, "import", "-q", str(scratch / "rootfs.tar"), "solver:1"], check=True, capture_output=True)
    (scratch / "broken.tar").write_bytes((scratch / "rootfs.tar").read_bytes()[:100] * 40)
    (scratch / "bundle").mkdir()


CASES.bash("podman_image_unknown", CONTAINER, f"{PODMAN} run --rm --pull=never octopus-absent:2 solver")
CASES.bash("podman_image_not_pulled", CONTAINER, f"{PODMAN} run --rm localhost/octopus-absent:2 solver")
CASES.bash("podman_image_broken", CONTAINER, f"{PODMAN} load -i {SCRATCH}/broken.tar")
CASES.bash(
    "podman_mount_missing",
    CONTAINER,
    f"{PODMAN} run --rm --network none -v /no/such/data:/data localhost/solver:1 /bin/solver",
)
CASES.bash(
    "podman_runtime_missing",
    CONTAINER,
    f"{PODMAN} --runtime /no/such/runtime run --rm --network none localhost/solver:1 /bin/solver",
)
CASES.bash("crun_without_bundle", CONTAINER, f"crun --root {SCRATCH}/crun run -b {SCRATCH}/bundle job-7")
CASES.bash("charliecloud_image_missing", CONTAINER, f"USER=root ch-run {SCRATCH}/no-image -- /bin/solver")
CASES.bash(
    "charliecloud_mount_missing",
    CONTAINER,
    f"USER=root ch-run -b /no/such/data:/mnt/0 {SCRATCH}/rootfs -- /bin/solver",
)
CASES.bash(
    "docker_daemon_down", CONTAINER, f"DOCKER_HOST=unix://{SCRATCH}/docker.sock docker run --rm debian:12 hostname"
)


@CASES.python(CONTAINER, SCRATCH, structured=False)
def image_missing_in_python(scratch: str) -> Any:
    """A python app starts a container whose image is missing, and raises what the runtime said."""
    import os
    import subprocess

    done = subprocess.run(
        ["ch-run", f"{scratch}/no-image", "--", "/bin/solver"],
        env={**os.environ, "USER": "root"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"container exited with {done.returncode}: {done.stderr.strip()}")


SCENES = [Scene("containers", CASES, prepare=_make_images)]
