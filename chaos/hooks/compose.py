"""`--hook "python -m chaos.hooks.compose -p PROJECT"`: faults of a cluster that Docker Compose runs.

A node's id is the name of its service, unless `--service ID=SERVICE` says otherwise. Faults: `kill` (SIGKILL, started
again when it ends), `pause` (every process of the container stands still), `isolate` (the container is on no network,
so clients do not reach it either), `rolling` (each container is restarted in turn, the next when the last is healthy).
What took effect is what the daemon says afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chaos.targets import docker
from chaos.targets.base import TargetError
from chaos.targets.docker import END_S
from chaos.targets.keys import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HEALTHY_S: Final = 60.0
USAGE: Final = 2


class Project:
    """The containers of one project."""

    def __init__(self, name: str, services: Mapping[str, str]) -> None:
        self.name = name
        self._services = services

    def container(self, node: str) -> str:
        """Of that node."""
        return docker.container(self.name, self._services.get(node, node))

    def service(self, node: str) -> str:
        """How other containers call it."""
        return self._services.get(node, node)

    # ---- faults: each says what the daemon sees of it
    def kill(self, nodes: Sequence[str]) -> dict[str, Any]:
        """No process of them runs."""
        found = [one for one in map(self.container, nodes) if docker.state(one)["Running"]]
        for one in found:
            docker.docker("kill", one)
        killed = sum(not docker.state(one)["Running"] for one in found)
        return {"killed": killed, "took_effect": killed > 0}

    def start(self, nodes: Sequence[str]) -> dict[str, Any]:
        """They run."""
        for one in map(self.container, nodes):
            if not docker.state(one)["Running"]:
                docker.docker("start", one)
        return {}

    def pause(self, nodes: Sequence[str]) -> dict[str, Any]:
        """Nothing in them runs an instruction."""
        found = [self.container(node) for node in nodes]
        for one in found:
            if docker.state(one)["Running"] and not docker.state(one)["Paused"]:
                docker.docker("pause", one)
        paused = sum(docker.state(one)["Paused"] for one in found)
        return {"paused": paused, "took_effect": paused > 0}

    def unpause(self, nodes: Sequence[str]) -> dict[str, Any]:
        """They go on."""
        for one in map(self.container, nodes):
            if docker.state(one)["Paused"]:
                docker.docker("unpause", one)
        return {}

    def isolate(self, nodes: Sequence[str]) -> dict[str, Any]:
        """They are on no network."""
        found = [self.container(node) for node in nodes]
        for one in found:
            for network in docker.networks(one):
                docker.docker("network", "disconnect", "-f", network, one)
        cut = sum(not docker.networks(one) for one in found)
        return {"cut": cut, "took_effect": cut > 0}

    def join(self, nodes: Sequence[str]) -> dict[str, Any]:
        """They are on every network of the other nodes again, under their names."""
        others = [node for node in _nodes() if node not in nodes]
        wanted = {network for node in others for network in docker.networks(self.container(node))}
        if not wanted:  # all were isolated
            label = f"label={docker.PROJECT}={self.name}"
            wanted = set(docker.docker("network", "ls", "--format", "{{.Name}}", "--filter", label).split())
        for node in nodes:
            one = self.container(node)
            for network in sorted(wanted - set(docker.networks(one))):
                docker.docker("network", "connect", "--alias", self.service(node), network, one)
        return {}

    def roll(self, nodes: Sequence[str]) -> dict[str, Any]:
        """Each node was restarted, these last."""
        order = [*(node for node in _nodes() if node not in nodes), *nodes]
        for node in order:
            one = self.container(node)
            docker.docker("restart", "-t", str(END_S), one)
            wait_until(partial(_is_healthy, one), f"{node} is healthy", HEALTHY_S, docker.LOOK_S)
        return {"restarted": len(order), "took_effect": bool(order)}


def _is_healthy(one: str) -> bool:
    state = docker.state(one)
    health = state.get("Health")
    return bool(state["Running"]) and (health is None or health["Status"] == "healthy")


def _nodes() -> list[str]:
    return sorted(json.loads(os.environ.get("CHAOS_NODES", "{}")))


def faults(project: Project) -> dict[str, tuple[Callable[..., dict[str, Any]], Callable[..., dict[str, Any]]]]:
    """Name: what breaks, what mends."""
    return {
        "kill": (project.kill, project.start),
        "pause": (project.pause, project.unpause),
        "isolate": (project.isolate, project.join),
        "rolling": (project.roll, project.start),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos.hooks.compose", description=__doc__)
    usual = re.sub(r"[^a-z0-9_-]", "", Path.cwd().name.lower())
    parser.add_argument("-p", "--project", default=os.environ.get("COMPOSE_PROJECT_NAME", usual))
    parser.add_argument("--service", action="append", default=[], metavar="ID=SERVICE")
    parser.add_argument("action", choices=("abilities", "inject", "heal"))
    parser.add_argument("fault", nargs="?", default="")
    parser.add_argument("nodes", nargs="*")
    said = parser.parse_args(arguments)
    project = Project(said.project, dict(one.split("=", 1) for one in said.service))
    known = faults(project)
    if said.action == "abilities":
        print(" ".join(known))
        return 0
    if said.fault not in known:
        print(f"no fault is called {said.fault}; there are {', '.join(known)}", file=sys.stderr)
        return USAGE
    breaks, mends = known[said.fault]
    try:
        print(json.dumps((breaks if said.action == "inject" else mends)(said.nodes)))
    except TargetError as error:
        print(f"hook: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
