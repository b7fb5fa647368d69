"""Nodes that run out of something: descriptors, processor time, or patience with a thousand clients."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import resource
import selectors
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import tls_of
from chaos.cgroups import Quota
from chaos.targets.base import PROCESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.targets.base import Target

    from .base import Scene

SPARE: Final = (0, 1, 3)  # descriptors that the node may still open
TRIED: Final = 12  # connections by which it is seen that it may open no more
TRIES: Final = 3  # how often that is looked for
RETRY_S: Final = 0.3  # for the node to close what it will
LOOK_S: Final = 0.02  # how soon the limit follows what the node closes
ANSWER_S: Final = 1.0
SHARES: Final = (0.03, 0.06, 0.12)  # of one processor
DUTY_S: Final = 0.1  # without control groups: of which the node runs its share
CLIENTS: Final = 900  # below api.connections_per_address, so that the load's own connections are let in
DRIP_S: Final = 0.5
HEAD: Final = b"GET /v1/sys/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Vault-Request: true\r\nX-Filler: "
HEALTH_PATH: Final = "/v1/sys/health"
HEALTH: Final = b"GET /v1/sys/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"  # on a connection that stays


def address_of(target: Target, node: str) -> tuple[str, int]:
    """Where clients of the node connect."""
    parts = urllib.parse.urlsplit(target.url(node))
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


@dataclass
class Squeeze:
    """The limit of one process, which follows what it has open downwards.

    What is open when it is counted may be closed a moment later, by hundreds of clients that have just left or by those
    that waited too long: below a limit that stays there would be room for all that come. Two threads tighten it, one at
    a time from counting to limiting: else an older count could raise it again.
    """

    node: str
    pid: int
    spare: int
    before: tuple[int, int]  # its limits, soft and hard
    soft: int
    is_over: bool = False  # it has its limits back, or has ended, and its number may be another's
    silent: int = 0  # connections that were left without an answer
    took_effect: bool = False
    error: str = ""  # what first kept the limit from following
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, node: str, pid: int, spare: int) -> Squeeze:
        """Nothing is limited yet. Raises ProcessLookupError."""
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        return cls(node, pid, spare, before, before[0])

    def tighten(self) -> None:
        """The process may open `spare` more at most, and no more than before. Raises OSError if that cannot be done."""
        with self._lock:
            if self.is_over:
                return
            try:
                taken = {int(one.name) for one in Path(f"/proc/{self.pid}/fd").iterdir()}
                limit = limit_for(taken, self.spare)
                if self.soft == resource.RLIM_INFINITY or limit < self.soft:
                    resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (limit, self.before[1]))
                    self.soft = limit  # not before it holds: what failed is tried again
            except (ProcessLookupError, FileNotFoundError):
                self.is_over = True

    def follow(self) -> None:
        """As `tighten`, but it never raises OSError: the first is kept, and the next call tries again."""
        try:
            self.tighten()
        except OSError as error:
            self.error = self.error or f"{self.node}: {type(error).__name__}: {error}"

    def try_it(self, target: Target, standing: Standing) -> None:
        """What clients felt is known: who comes is left waiting, who was there is answered."""
        self.tighten()
        self.silent, is_awake = unanswered(*address_of(target, self.node), TRIED, standing)
        self.took_effect = is_awake and self.silent > 0

    def undo(self) -> None:
        """Its limits are those it had, and stay so."""
        with self._lock:
            if not self.is_over:
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.before)
                self.is_over = True


class Standing:
    """A connection from before the limit: it tells a node that lets nobody in from one that is slow or stands still.

    Once it is lost it is not made again: a new one would tell nothing, and take its time.
    """

    def __init__(self, target: Target, node: str) -> None:
        is_tls = urllib.parse.urlsplit(target.url(node)).scheme == "https"
        host, port = address_of(target, node)
        self._connection = (
            http.client.HTTPSConnection(host, port, timeout=ANSWER_S / 2, context=tls_of(target.ca_file))
            if is_tls
            else http.client.HTTPConnection(host, port, timeout=ANSWER_S / 2)
        )
        self.answers()
        self._connection.auto_open = 0

    def answers(self) -> bool:
        """A request there is answered, in half the time that others are waited for."""
        try:
            self._connection.request("GET", HEALTH_PATH)
            self._connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        return True

    def close(self) -> None:
        """It is no more."""
        self._connection.close()


class FewFiles:
    """RLIMIT_NOFILE of the main process, just above what is open: links and clients that stand go on, none is added."""

    name: ClassVar[str] = "few-files"
    about: ClassVar[str] = "lets nodes open hardly any further file or connection"
    needs: ClassVar[frozenset[str]] = frozenset({PROCESS})
    write_gap_s: ClassVar[float] = 5.0
    colour: ClassVar[str] = "#a55194"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis. It is tried again while it shows no effect; the limits hold from the first time on."""
        squeezes: list[Squeeze] = scene.notes.setdefault("squeezes", [])
        with contextlib.ExitStack() as stack:
            standing = {node: stack.enter_context(contextlib.closing(Standing(scene.target, node))) for node in nodes}
            for node in nodes:
                for pid in scene.target.pids(node)[:1]:
                    squeezes.append(Squeeze.of(node, pid, scene.rng.choice(SPARE)))
                    squeezes[-1].tighten()
            scene.notes["stop"] = threading.Event()
            thread = threading.Thread(target=self._follow, args=(scene,), name=self.name, daemon=True)
            scene.notes["thread"] = thread
            thread.start()
            for number in range(TRIES):
                left = [one for one in squeezes if not one.took_effect]
                if number and left:
                    scene.notes["stop"].wait(RETRY_S)
                for one in left:
                    one.try_it(scene.target, standing[one.node])
        return {
            "took_effect": any(one.took_effect for one in squeezes), "limited": len(squeezes),
            "unanswered": sum(one.silent for one in squeezes),
        }  # fmt: skip

    @staticmethod
    def _follow(scene: Scene) -> None:
        stop: threading.Event = scene.notes["stop"]
        while not stop.wait(LOOK_S):
            for one in scene.notes["squeezes"]:
                one.follow()

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis: what kept a limit from following, if anything did."""
        if "stop" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()
        squeezes: list[Squeeze] = scene.notes.get("squeezes", [])
        with contextlib.ExitStack() as stack:
            for one in squeezes:
                stack.callback(one.undo)  # all of them, even if one raises
        errors = "; ".join(one.error for one in squeezes if one.error)
        return {"not_followed": errors, "took_effect": False} if errors else {}


def limit_for(taken: set[int], spare: int) -> int:
    """The limit under which so many more can be opened: a new one gets the lowest free number. Pure."""
    free = (number for number in itertools.count() if number not in taken)
    return next(itertools.islice(free, spare, None))


def unanswered(host: str, port: int, count: int, standing: Standing) -> tuple[int, bool]:
    """So many of these connections, all at once, are left waiting: ANSWER_S after the first of them they got neither a
    byte nor an end nor a refusal; and whether one that stood before was answered meanwhile.
    """
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        end_s = time.monotonic() + ANSWER_S
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex((host, port))  # if it fails, the selector says so at once
            selector.register(sock, selectors.EVENT_WRITE)
        answered = _answered(selector, LOOK_S)
        is_awake = standing.answers()
        left_s = ANSWER_S
        while selector.get_map() and left_s > 0:
            left_s = end_s - time.monotonic()
            answered += _answered(selector, left_s)  # also once at the end: what came in time is read
        return count - answered, is_awake


def _answered(selector: selectors.BaseSelector, wait_s: float) -> int:
    """Who has just connected has asked; so many others got something, or their end, and are watched no longer."""
    answered = 0
    for key, events in selector.select(wait_s):
        sock = key.fileobj
        if events & selectors.EVENT_WRITE and isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):  # it has ended: that is read next
                sock.send(HEALTH)
            selector.modify(sock, selectors.EVENT_READ)
        else:
            selector.unregister(sock)
            answered += 1
    return answered


class LittleCpu:
    """A share of one processor, by a control group where that can be had, else by SIGSTOP and SIGCONT in turns."""

    name: ClassVar[str] = "little-cpu"
    about: ClassVar[str] = "gives nodes 3 to 12 % of one processor"
    needs: ClassVar[frozenset[str]] = frozenset({PROCESS})
    write_gap_s: ClassVar[float] = 5.0
    colour: ClassVar[str] = "#ce6dbd"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        share = float(scene.notes.get("share", scene.rng.choice(SHARES)))
        scene.notes.update(nodes=list(nodes), quotas=[], turns=0)
        taken = 0
        try:
            for node in nodes:
                quota = Quota(f"{node}-{scene.rng.getrandbits(32):08x}", share)
                scene.notes["quotas"].append(quota)
                taken += quota.take(scene.target.pids(node))
        except OSError:
            self._drop(scene)
            scene.notes["stop"] = threading.Event()
            thread = threading.Thread(target=self._turns, args=(scene, share), name=self.name, daemon=True)
            scene.notes["thread"] = thread
            thread.start()
        by = "signals" if "stop" in scene.notes else "a control group"
        return {"took_effect": True, "share": share, "by": by, "processes": taken}

    @staticmethod
    def _turns(scene: Scene, share: float) -> None:
        stop: threading.Event = scene.notes["stop"]
        while not stop.is_set():
            for node in scene.notes["nodes"]:
                scene.target.pause(node)
            stop.wait(DUTY_S * (1 - share))
            for node in scene.notes["nodes"]:
                scene.target.resume(node)
            scene.notes["turns"] += 1
            stop.wait(DUTY_S * share)

    @staticmethod
    def _drop(scene: Scene) -> int:
        throttled = 0
        for quota in scene.notes.get("quotas", ()):
            with contextlib.suppress(FileNotFoundError):
                throttled += quota.throttled
            quota.remove()
        return throttled

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis: it took effect if the nodes wanted more than they got."""
        if "nodes" not in scene.notes:
            return {}
        throttled = self._drop(scene)
        if "stop" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()
            for node in scene.notes["nodes"]:
                scene.target.resume(node)
        del scene.notes["nodes"]
        turns = scene.notes["turns"]
        return {"took_effect": throttled + turns > 0, "throttled": throttled, "turns": turns}


class ManyClients:
    """Hundreds of connections to each victim: half say nothing, half send a request a byte at a time."""

    name: ClassVar[str] = "many-clients"
    about: ClassVar[str] = "opens hundreds of idle and slow connections to nodes"
    needs: ClassVar[frozenset[str]] = frozenset()
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#de9ed6"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        count = int(scene.notes.get("clients", CLIENTS))
        _room_for(count * len(nodes))
        socks: list[socket.socket] = scene.notes.setdefault("socks", [])
        for node in nodes:
            for _ in range(count):
                with contextlib.suppress(OSError):
                    socks.append(socket.create_connection(address_of(scene.target, node), timeout=ANSWER_S))
                    socks[-1].setblocking(False)
        scene.notes["stop"] = threading.Event()
        thread = threading.Thread(target=self._drip, args=(scene, socks[::2]), name=self.name, daemon=True)
        scene.notes["thread"] = thread
        thread.start()
        return {"took_effect": bool(socks), "opened": len(socks)}

    @staticmethod
    def _drip(scene: Scene, socks: list[socket.socket]) -> None:
        stop: threading.Event = scene.notes["stop"]
        sent = 0
        while not stop.wait(DRIP_S):
            piece = HEAD[sent : sent + 1] or b"x"
            sent += 1
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(piece)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis: how many the node had closed by itself."""
        if "stop" not in scene.notes:
            return {}
        scene.notes["stop"].set()
        scene.notes["thread"].join()
        socks: list[socket.socket] = scene.notes["socks"]
        closed = sum(map(_is_closed, socks))
        while socks:
            socks.pop().close()
        return {"closed_by_node": closed}


def _is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _room_for(count: int) -> None:
    """This process may open so many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
