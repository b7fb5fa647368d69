"""A Docker daemon for one run: the machine's own if it answers, else one that is started here and leaves nothing.

The second one needs root and Debian's packages. It has a network namespace and a data folder of its own; its images
are made from Debian's packages instead of a registry, and carry the names that the compose file asks for.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
NAMESPACE = "strongroom-compose"
PACKAGES = {"dockerd": "docker.io", **{name: name for name in ("docker-compose", "mmdebstrap", "iptables")}}
WHEELS = "requirements/wheels"
START_S = 60.0
POSTGRES_HOOK = """#!/bin/sh
set -e
if [ -d "$1/var/lib/postgresql" ]; then install -d -o 999 -g 999 -m 1777 "$1/var/lib/postgresql/data"; exit 0; fi
echo 'postgres:x:999:' >> "$1/etc/group"
echo 'postgres:x:999:999::/var/lib/postgresql:/bin/sh' >> "$1/etc/passwd"
mkdir -p "$1/etc/postgresql-common"
echo 'create_main_cluster = false' > "$1/etc/postgresql-common/createcluster.conf"
"""


def missing() -> list[str]:
    """What keeps a daemon from being started here, as words; empty if one answers, or nothing does."""
    if answers():
        return []
    lacking = [f"apt-get install {package}" for program, package in PACKAGES.items() if shutil.which(program) is None]
    return (["root"] if os.geteuid() else []) + lacking


def answers() -> bool:
    """Whether a daemon answers already."""
    return shutil.which("docker") is not None and _quietly("docker", "info")


@contextlib.contextmanager
def running_daemon(work: Path, cache: Path) -> Iterator[bool]:
    """`docker` works inside; the answer is whether the daemon is our own, without a registry behind it."""
    if answers():
        yield False
        return
    process, will = None, None
    try:
        process, will = _started(work)
        _images(cache)
        yield True
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            process.wait()
        if will is not None:
            will.communicate(b"\n")
        os.environ.pop("DOCKER_HOST", None)


def build(*, own: bool, cache: Path, work: Path) -> None:
    """The image of the nodes. Without a registry: from files that pip got here, by their hashes."""
    if not own:
        run("docker", "build", "-q", "-t", "strongroom:0.1.0", str(ROOT))
        return
    context = work / "context"
    for name in ("cluster", "node", "chaos", "requirements", "deploy"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "Dockerfile"):
        shutil.copy(ROOT / name, context / name)
    wheels = cache / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--require-hashes"]
    only = ["--only-binary", ":all:"]
    lists = context / "requirements"
    run(*pip, *only, "-r", str(lists / "build.txt"), "-d", str(wheels))
    also = ["--no-build-isolation", *only, "--no-binary", "pysyncobj"]
    run(*pip, *also, "-r", str(lists / "run.txt"), "-d", str(wheels))
    shutil.copytree(wheels, context / WHEELS)
    arguments = ["--build-arg", "BASE=strongroom-base:test", "--build-arg", f"WHEELS={WHEELS}"]
    run("docker", "build", "-q", "--network=none", *arguments, "-t", "strongroom:0.1.0", str(context))


def run(*words: str, stdin: str | None = None, environ: dict[str, str] | None = None) -> str:
    """What a program prints. Raises AssertionError with what it complained of."""
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **(environ or {})}
    )
    assert done.returncode == 0, f"{' '.join(words[:4])} … ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _started(work: Path) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """The daemon and its last will, which unmounts and removes what the daemon leaves, however this process ends."""
    assert not missing(), missing()
    host = f"unix://{work}/docker.sock"
    settings = {
        "storage-driver": "overlay2", "data-root": f"{work}/data", "exec-root": f"{work}/exec",
        "pidfile": f"{work}/docker.pid", "hosts": [host], "bip": "10.201.0.1/24", "userland-proxy": False,
        "default-address-pools": [{"base": "10.202.0.0/16", "size": 24}],
    }  # fmt: skip
    (work / "daemon.json").write_text(json.dumps(settings))
    _quietly("ip", "netns", "del", NAMESPACE)
    run("ip", "netns", "add", NAMESPACE)
    last = (
        'read -r _; [ -s docker.pid ] && kill "$(cat docker.pid)" && sleep 5; cd /; '
        f'grep -o "{work}/[^ ]*" /proc/self/mounts | sort -r | xargs -r umount -l; '
        f"ip netns del {NAMESPACE}; rm -rf {work}"
    )
    will = subprocess.Popen(["/bin/sh", "-c", last], cwd=work, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
    log = (work / "dockerd.log").open("ab")
    # `ip netns exec` would mount /sys anew, and the daemon would not find its control groups.
    process = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{NAMESPACE}", "dockerd", "--config-file", str(work / "daemon.json")],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    log.close()
    os.environ["DOCKER_HOST"] = host
    end = time.monotonic() + START_S
    while not answers():
        if time.monotonic() > end or process.poll() is not None:
            process.kill()
            raise AssertionError((work / "dockerd.log").read_text())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    return process, will


def _images(cache: Path) -> None:
    """Debian with Python, and Debian with PostgreSQL under the name of the image that the compose file asks for."""
    hook = cache / "hook.sh"
    hook.write_text(POSTGRES_HOOK)
    hook.chmod(0o700)
    hooks = [f"--essential-hook={hook}", f"--customize-hook={hook}"]
    asked = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    postgres = next(line.split()[1] for line in asked.splitlines() if line.strip().startswith("image: postgres:"))
    for name, words, image in (
        ("base", ["--include=python3-minimal,python3-venv"], "strongroom-base:test"),
        ("postgres", ["--include=postgresql-15", *hooks], postgres),
    ):
        file = cache / f"{name}.tar"
        if not file.exists():
            run("mmdebstrap", "--quiet", "--variant=minbase", *words, "bookworm", f"{file}.new.tar")
            Path(f"{file}.new.tar").rename(file)
        run("docker", "import", str(file), image)


def _quietly(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
