"""What the target `compose` and the hook of the same name ask of the docker daemon, by its command line.

Containers are found by the labels that Compose puts on them, so neither version of it is needed once they run. Nothing
is touched that does not carry the project's label.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any, Final

from .base import TargetError

COMMAND_S: Final = 120.0
END_S: Final = 40  # for a container that is asked to end
LOOK_S: Final = 0.2
PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
ONE_OFF: Final = "com.docker.compose.oneoff"  # made by `run`


def docker(*words: str, stdin: str | None = None, timeout_s: float = COMMAND_S) -> str:
    """What the command prints. Raises TargetError with what it complains of."""
    return command(["docker", *words], stdin=stdin, timeout_s=timeout_s)


def command(words: list[str], *, stdin: str | None = None, timeout_s: float = COMMAND_S) -> str:
    """See docker."""
    try:
        done = subprocess.run(  # noqa: S603 - docker, compose, nsenter
            words, input=stdin, capture_output=True, text=True, check=False, timeout=timeout_s,
            stdin=subprocess.DEVNULL if stdin is None else None,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"{words[0]}: {type(error).__name__}") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise TargetError(f"{' '.join(words[:3])} ended with {done.returncode}: {last[:200]}")
    return done.stdout


def compose_words() -> list[str]:
    """Version 2, or version 1. Raises TargetError if there is neither."""
    for words in (["docker", "compose"], ["docker-compose"]):
        try:
            command([*words, "version"])
        except TargetError:
            continue
        return words
    raise TargetError("needs docker compose, or docker-compose")


def container(project: str, service: str) -> str:
    """Its id, whether it runs or not. Raises TargetError if there is not exactly one."""
    labels = (f"{PROJECT}={project}", f"{SERVICE}={service}", f"{ONE_OFF}=False")
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    found = docker("ps", "-aq", "--no-trunc", *filters).split()
    if len(found) != 1:
        raise TargetError(f"project {project} has {len(found)} containers of service {service}")
    return found[0]


def inspected(*names: str) -> list[dict[str, Any]]:
    """What the daemon says of these containers, in their order."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", "--type", "container", *names))
    return found


def state(name: str) -> dict[str, Any]:
    """Running, Paused, Pid, ExitCode, and Health if there is a check."""
    found: dict[str, Any] = inspected(name)[0]["State"]
    return found


def networks(name: str) -> dict[str, str]:
    """{network: address in it} of a container; an address is "" if it does not run."""
    return networks_of(inspected(name)[0])


def networks_of(said: dict[str, Any]) -> dict[str, str]:
    """The same, of what the daemon said of a container."""
    found: dict[str, dict[str, Any]] = said["NetworkSettings"]["Networks"]
    return {network: str(of.get("IPAddress") or "") for network, of in found.items()}


def remove_project(project: str) -> None:
    """No container, network or volume of the project is there. Raises TargetError if the daemon refuses."""
    label = f"label={PROJECT}={project}"
    for what, remove in (
        (("ps", "-aq"), ("rm", "-f", "-v")),
        (("network", "ls", "-q"), ("network", "rm")),
        (("volume", "ls", "-q"), ("volume", "rm", "-f")),
    ):
        found = docker(*what, "--filter", label).split()
        if found:
            docker(*remove, *found)
