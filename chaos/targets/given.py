"""A cluster that somebody else started and goes on using: workloads and checks, and faults if its owner gives a hook.

Everything stands in a KV mount, policies, auth mounts and tokens of the run's own, and is removed at its end, after
Ctrl-C, too. What lies on the nodes' disks cannot be seen, so checkers that need it are skipped.

Invariants
  GV1  nothing is written or deleted but what the run made under names with its own id; if its mount's name is taken,
       the run fails before it makes anything
  GV2  the run's tokens are children of one token that it makes first: its end ends all of them, and so does its TTL
       if the runner is killed; it is revoked before anything else is removed, so that nothing is made again
  GV3  tokens are in memory only: neither in a file of the run, nor in an argument, nor in what is printed
"""

from __future__ import annotations

import os
import threading
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, cast

from chaos import registry
from chaos.api import Admin
from chaos.nemesis.hook import Hooked, Owned

from .base import HOOK, Shape, TargetError
from .hook import Hook
from .keys import ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.nemesis.base import Nemesis

    from .disks import NodeDisk
    from .sinks import SinkPlace

RUN_LIVES: Final = "4h"  # longer than any run
TOKEN_VARIABLES: Final = ("STRONGROOM_TOKEN", "VAULT_TOKEN")
MOUNTS: Final = "chaos-"  # how names of runs' mounts begin
CA_VARIABLES: Final = ("STRONGROOM_CACERT", "VAULT_CACERT")
OTHERS_MAY_READ: Final = 0o077
ASK_S: Final = 10.0
REMOVE_S: Final = 30.0
PAUSE_S: Final = 0.5
GONE: Final = (400, 404)  # what answers so to a DELETE is not there
NO_HOOK: Final = "nobody said how to break this cluster: --hook CMD"


@dataclass(frozen=True)
class Access:
    """How the command line says that one may reach such a cluster."""

    token_file: Path | None = None
    ca_file: Path | None = None
    hook: str | None = None


def opened(target: str, folder: Path, access: Access) -> GivenTarget:
    """The cluster of these URLs, not asked yet. Raises TargetError for what the command line says wrong."""
    ca_file = access.ca_file or _from_environment(CA_VARIABLES)
    if ca_file is not None and not ca_file.is_file():
        raise TargetError(f"there is no file {ca_file} with authorities")
    hook = Hook(access.hook) if access.hook else None
    return GivenTarget(folder, urls_of(target), token_of(access.token_file), ca_file, hook)


def _from_environment(names: Sequence[str]) -> Path | None:
    return next((Path(os.environ[name]) for name in names if os.environ.get(name)), None)


class GivenTarget:
    """See Target."""

    name: ClassVar[str] = "given"

    def __init__(
        self, folder: Path, urls: Sequence[str], token: str, ca_file: Path | None, hook: Hook | None = None
    ) -> None:
        self.folder = folder
        self.nodes = [f"n{number + 1}" for number in range(len(urls))]  # until they say their ids
        self.token = ""  # the run's
        self.shares: list[str] = []
        self.mount = f"{MOUNTS}{folder.name.lower()}"
        self.made: list[str] = []
        self.sink: SinkPlace | None = None
        self._urls = dict(zip(self.nodes, urls, strict=True))
        self._owners_token = token
        self._ca_file = ca_file
        self._hook = hook
        self._can: frozenset[str] = frozenset()
        self._failed: dict[tuple[str, ...], str] = {}  # what could not be healed so far: why
        self._lock = threading.Lock()  # nothing is removed while something is still being made
        self._remove_s = REMOVE_S

    # ---- abilities
    @property
    def abilities(self) -> frozenset[str]:
        """See Target: what the hook says."""
        return self._can

    def why_not(self, ability: str) -> str:  # noqa: ARG002 - one reason for all
        """See Target."""
        if self._hook is None:
            return NO_HOOK
        return "the hook does not say that it can"

    def nemesis(self, name: str) -> Nemesis:
        """The fault of that name, done by the hook. Raises UnknownNameError."""
        made = Owned(self) if name == HOOK else Hooked(registry.nemesis(name), self)
        return cast("Nemesis", made)  # name, about and the rest are each object's own here

    def inject(self, fault: str, nodes: Sequence[str]) -> dict[str, Any]:
        """The hook was asked. Raises TargetError."""
        if self._hook is None:
            raise TargetError(NO_HOOK)
        return self._hook.inject(fault, nodes, self._urls)

    def heal(self, fault: str, nodes: Sequence[str]) -> dict[str, Any]:
        """The hook was asked. Raises TargetError, and `discard` says so again unless a later try succeeds."""
        if self._hook is None:
            raise TargetError(NO_HOOK)
        try:
            said = self._hook.heal(fault, nodes, self._urls)
        except TargetError as error:
            self._failed[fault, *nodes] = str(error)
            raise
        self._failed.pop((fault, *nodes), None)
        return said

    # ---- life
    def start(self) -> None:
        """The nodes' ids are known, all of them serve, and the run has its token and its mount."""
        with self._lock:
            self._urls = self._named()
            self.nodes = list(self._urls)
            owner = Admin(self._urls, self._owners_token, self._ca_file, self.made)
            body = {"ttl": RUN_LIVES, "display_name": "chaos", "renewable": False}
            self.token = str(owner.must("POST", "auth/token/create", body).body["auth"]["client_token"])
            kv = {"type": "kv", "options": {"version": "2"}, "description": "a chaos run's own; it removes it"}
            owner.must("POST", f"sys/mounts/{self.mount}", kv)
            if self._hook is not None:
                said = self._hook.abilities(self._urls)
                names = registry.NEMESES if said is None else said
                self._can = frozenset({HOOK, *(f"{HOOK}:{name}" for name in names)})

    def _named(self) -> dict[str, str]:
        """URLs by what each node calls itself. Raises TargetError unless they are all members of one cluster."""
        found: dict[str, str] = {}
        members: set[str] = set()
        for url in self._urls.values():
            status = self._status(url)
            node = str(status["node_id"])
            if node in found:
                raise TargetError(f"{found[node]} and {url} are the same node, {node}: name each node itself")
            found[node] = url
            members |= {str(one["id"]) for one in status.get("members") or () if "id" in one}
        missing = sorted(members - set(found))
        if missing:
            raise TargetError(f"the cluster has more members, whose URLs are missing: {', '.join(missing)}")
        return dict(sorted(found.items()))

    def _status(self, url: str) -> dict[str, Any]:
        asks = Admin({"": url}, self._owners_token, self._ca_file)
        try:
            reply = asks.ask("GET", "strongroom/status", timeout_s=ASK_S)
            if reply.status != 200 or not reply.data.get("node_id"):
                what = "is sealed" if reply.sealed else f"answered {reply.status} to strongroom/status"
                raise TargetError(f"{url} {what}")
            if not ready(asks, ""):
                raise TargetError(f"{url} does not serve: it is not ready")
        except OSError as error:
            raise TargetError(f"{url} does not answer: {getattr(error, 'reason', None) or error}") from error
        found: dict[str, Any] = reply.data
        return found

    def stop(self) -> dict[str, int | None]:
        """See Target: nothing of it is ours to stop."""
        return dict.fromkeys(self.nodes)

    def discard(self) -> None:
        """GV1, GV2. Raises TargetError with what is left: it must be removed, or healed, by hand."""
        with self._lock:
            owner = Admin(self._urls, self._owners_token, self._ca_file)
            end_s = time.monotonic() + self._remove_s
            left = []
            if self.token and not _removed(owner, "POST", "auth/token/revoke", {"token": self.token}, end_s):
                left.append(f"the run's token, until it ends by itself ({RUN_LIVES})")
            self.token = ""
            left += [path for path in reversed(self.made) if not _removed(owner, "DELETE", path, None, end_s)]
            self.made.clear()
        left += self._failed.values()
        self._failed = {}
        if left:
            raise TargetError(f"what the run could not undo in your cluster: {'; '.join(left)}")

    # ---- asking
    def url(self, node: str) -> str:
        """See Target."""
        return self._urls[node]

    @property
    def ca_file(self) -> Path | None:
        """See Target."""
        return self._ca_file

    # ---- what is the hook's, or nobody's
    def pids(self, node: str) -> list[int]:  # noqa: ARG002 - a target's signature
        """See Target: they are not seen."""
        return []

    def environ(self, node: str) -> dict[str, str]:
        """See Target."""
        self._cannot(f"change what {node} is given")

    def stopped(self, node: str) -> int:  # noqa: ARG002 - a target's signature
        """See Target: nor is this."""
        return 0

    def counts(self) -> dict[str, int]:
        """See Target."""
        return {}

    def kill(self, node: str) -> None:
        """See Target; only a hook can."""
        self._cannot(f"kill {node}")

    def terminate(self, node: str) -> int:
        """See Target; only a hook can."""
        self._cannot(f"terminate {node}")

    def revive(self, node: str) -> None:
        """See Target; only a hook can."""
        self._cannot(f"revive {node}")

    def pause(self, node: str) -> None:
        """See Target; only a hook can."""
        self._cannot(f"pause {node}")

    def resume(self, node: str) -> None:
        """See Target; only a hook can."""
        self._cannot(f"resume {node}")

    def signal(self, node: str, number: int) -> None:
        """See Target; only a hook can."""
        self._cannot(f"send {number} to {node}")

    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target; only a hook can."""
        self._cannot(f"cut {len(grudge)} nodes")

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """See Target; only a hook can."""
        self._cannot(f"shape {source} to {sink} as {shape}")

    def data_dir(self, node: str) -> Path:
        """See Target."""
        self._cannot(f"see the data of {node}")

    def disk(self, node: str) -> NodeDisk:
        """See Target."""
        self._cannot(f"break the disk of {node}")

    def set_clock(self, node: str, offset_s: float) -> None:
        """See Target; only a hook can."""
        self._cannot(f"set the clock of {node} by {offset_s:g} s")

    @staticmethod
    def _cannot(what: str) -> NoReturn:
        raise TargetError(f"cannot {what}: the cluster is somebody else's")


def _removed(owner: Admin, method: str, path: str, body: Any, end_s: float) -> bool:
    """Asked until it is gone, or until then: what was just healed may have no leader yet."""
    while True:
        try:
            status = owner.ask(method, path, body, timeout_s=ASK_S).status
        except OSError:
            status = 0
        if 200 <= status < 300 or status in GONE:
            return True
        if time.monotonic() > end_s:
            return False
        time.sleep(PAUSE_S)


def is_urls(target: str) -> bool:
    """Whether that word names a cluster by its URLs."""
    return "://" in target


def urls_of(target: str) -> list[str]:
    """The URLs of a comma-separated list, without a slash at the end. Raises TargetError for what is none."""
    found = []
    for url in filter(None, (one.strip().rstrip("/") for one in target.split(","))):
        parts = urllib.parse.urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise TargetError("a URL of the target holds a user or password: tokens come from --token-file")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or parts.fragment:
            raise TargetError(f"{url} is no URL of a node: http://HOST:PORT or https://HOST:PORT")
        found.append(url)
    if len(set(found)) != len(found) or not found:
        raise TargetError("the target names a URL twice, or none")
    return found


def token_of(file: Path | None, environ: Mapping[str, str] = os.environ) -> str:
    """The owner's token, from a file that nobody else may read, or the environment. Raises TargetError."""
    if file is not None:
        try:
            if file.stat().st_mode & OTHERS_MAY_READ:
                raise TargetError(f"{file} may be read by others: chmod 600 it")
            token = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TargetError(f"no token in {file}: {type(error).__name__}") from None
    else:
        token = next((environ[name] for name in TOKEN_VARIABLES if environ.get(name)), "").strip()
    if not token or any(not " " < letter <= "~" for letter in token):
        raise TargetError(f"there is no token: --token-file FILE, or {' or '.join(TOKEN_VARIABLES)}")
    return token
