"""Nodes that run out of descriptors, processor time or patience: by processes of the test's own."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaos import cgroups
from chaos.cgroups import Quota, own
from chaos.nemesis import resources
from chaos.nemesis.base import Scene
from chaos.nemesis.resources import FewFiles, LittleCpu, ManyClients, Squeeze, Standing, unanswered
from chaos.targets.base import PREFIX
from chaos.targets.keys import wait_until
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

SPINS = "while True: pass"
OPENS = """
import os, sys
for line in sys.stdin:
    try:
        print(os.open("/dev/null", os.O_RDONLY), flush=True)
    except OSError as error:
        print(-error.errno, flush=True)
"""
LETS_GO = """
import os, resource, selectors, socket
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
with socket.create_server(("127.0.0.1", 0), backlog=64) as server, selectors.DefaultSelector() as selector:
    selector.register(server, selectors.EVENT_READ)
    print(server.getsockname()[1], flush=True)
    while True:
        if resource.getrlimit(resource.RLIMIT_NOFILE) != limit:
            while held:
                os.close(held.pop())
        for key, _ in selector.select(0.01):
            if key.fileobj is server:
                try:
                    selector.register(server.accept()[0], selectors.EVENT_READ)
                except OSError:
                    pass  # as long as nobody leaves
                continue
            try:
                asked = key.fileobj.recv(4096)
                if asked:
                    key.fileobj.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
            except OSError:
                asked = b""
            if not asked:
                selector.unregister(key.fileobj)
                key.fileobj.close()
"""


class OwnTarget(FakeTarget):
    """One node that is a process of the test's, or a listener of it."""

    def __init__(self, pid: int = 0, port: int = 0) -> None:
        super().__init__(1)
        self.pid, self.port = pid, port

    def pids(self, node: str) -> list[int]:
        return [self.pid]

    def url(self, node: str) -> str:
        return f"http://127.0.0.1:{self.port}"


def scene(target: FakeTarget, **notes: Any) -> Scene:
    return Scene(target, random.Random(1), "n1", notes)  # type: ignore[arg-type] # no backup, no environment


@contextlib.contextmanager
def child(program: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Awake:
    """A standing connection that is answered."""

    def answers(self) -> bool:
        return True


AWAKE: Any = Awake()


def told_to_open(process: subprocess.Popen[str]) -> int:
    """The descriptor that a process of OPENS got, or the error's number below zero."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    return int(process.stdout.readline())


@contextlib.contextmanager
def listener(answers: bool, pause_s: float = 0.0, *, ends: bool = False) -> Iterator[int]:
    """A port whose connections get a byte, none, or their end; each so long after the one before it."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.setblocking(False)

        def serve() -> None:
            held = []
            with selectors.DefaultSelector() as selector:
                selector.register(server, selectors.EVENT_READ)
                while not stop.is_set():
                    for _ in selector.select(0.02):
                        sock, _ = server.accept()
                        held.append(sock)
                        stop.wait(pause_s)
                        if answers:
                            sock.sendall(b"H")
                        if ends:
                            sock.close()
            for sock in held:
                sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


# ---- descriptors
def test_a_limit_counts_the_numbers_that_are_free() -> None:
    """Also those between others: the lowest is given first."""
    assert [resources.limit_for({0, 1, 2}, spare) for spare in (0, 2)] == [3, 5]
    assert [resources.limit_for({0, 1, 2, 9}, spare) for spare in (0, 2, 7)] == [3, 5, 11]
    assert resources.limit_for({0, 2, 50}, 0) == 1


@pytest.mark.parametrize(("answers", "expected"), [(True, 0), (False, 5)])
def test_connections_without_a_byte_are_counted(
    answers: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From outside: nothing is asked of who may open no file."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.3)
    with listener(answers) as port:
        assert unanswered("127.0.0.1", port, 5, AWAKE) == (expected, True)


@pytest.mark.parametrize("spare", [0, 1, 3])
def test_a_process_can_open_hardly_anything_until_it_heals(spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has open stays; its limits are those it had."""
    monkeypatch.setattr(resources, "unanswered", lambda *_: (3, True))
    monkeypatch.setattr(resources, "SPARE", (spare,))
    with child(OPENS) as process:
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        first = told_to_open(process)
        one = scene(OwnTarget(process.pid))
        said = FewFiles().inject(one, ["n1"])
        opened = [told_to_open(process) for _ in range(6)]
        healed = FewFiles().heal(one)
        one.notes["squeezes"][0].tighten()  # as a thread that comes late
        last = told_to_open(process)
        after = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    FewFiles().heal(one)  # it has ended
    FewFiles().heal(scene(OwnTarget()))

    assert (said, healed) == ({"took_effect": True, "limited": 1, "unanswered": 3}, {})
    assert first > 0
    assert last > 0
    assert opened[-1] == -24
    assert len([fd for fd in opened if fd > 0]) == spare
    assert after == before


def test_what_was_open_when_it_was_counted_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by hundreds of clients that have just left: the limit follows, and nothing is let in all the same."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.3)
    with child(LETS_GO) as process:
        assert process.stdout is not None
        one = scene(OwnTarget(process.pid, int(process.stdout.readline())))
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        said = FewFiles().inject(one, ["n1"])
        limit = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0]
        FewFiles().heal(one)
        after = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)

    assert said["took_effect"] is True
    assert said["unanswered"] > 0
    assert limit < 60  # so many it had open
    assert after == before


def test_a_node_that_answers_nobody_shows_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: it is slow, or stands still, for who was there before is not answered either; nobody asks for ever."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.1)
    monkeypatch.setattr(resources, "RETRY_S", 0.001)
    tried: list[int] = []

    def counted(*said: Any) -> tuple[int, bool]:
        tried.append(1)
        return unanswered(*said)

    monkeypatch.setattr(resources, "unanswered", counted)
    with child(OPENS) as process, listener(answers=False) as port:
        told_to_open(process)
        one = scene(OwnTarget(process.pid, port))
        said = FewFiles().inject(one, ["n1"])
        FewFiles().heal(one)

    assert said == {"took_effect": False, "limited": 1, "unanswered": resources.TRIED}
    assert len(tried) == resources.TRIES


def test_a_node_that_ends_connections_lets_them_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that wants TLS does with who speaks none: it had a number for each."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.3)
    with listener(answers=False, ends=True) as port:
        assert unanswered("127.0.0.1", port, 5, AWAKE) == (0, True)


def test_of_a_node_that_has_ended_nothing_is_limited() -> None:
    """Neither now nor later, when another process may have its number; and there is no effect."""
    with child(OPENS) as process:
        told_to_open(process)
        squeeze = Squeeze.of("n1", process.pid, 0)
    squeeze.tighten()
    squeeze.pid = os.getpid()
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    squeeze.tighten()
    squeeze.undo()

    assert squeeze.is_over
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == own


def test_answers_that_come_late_one_after_another_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without descriptors lets the next in whenever one has left: each has the same time, from the start."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.3)
    with listener(answers=True, pause_s=0.2) as port:
        assert unanswered("127.0.0.1", port, 6, AWAKE)[0] >= 4


def test_a_refusal_is_no_waiting() -> None:
    """Where nobody listens a client knows at once; it is not asked for longer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert unanswered("127.0.0.1", port, 5, AWAKE) == (0, True)


def test_connections_that_cannot_be_made_wait_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's queue is full: twelve clients of it take no longer than one."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        began_s = time.monotonic()
        found = unanswered("127.0.0.1", server.getsockname()[1], 12, AWAKE)
        took_s = time.monotonic() - began_s

    assert found == (12, True)
    assert 0.3 <= took_s < 1.5  # one by one it would be above 3


@pytest.mark.parametrize("answer_s", [1.0, 1e-6])
def test_who_comes_has_asked_before_who_stands_is_waited_for(
    answer_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came meanwhile counts, also if the time is over then: it lies there, and has only not been read."""
    monkeypatch.setattr(resources, "ANSWER_S", answer_s)
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:
        server.settimeout(5.0)

        class Looks:
            """The node works while this one is waited for."""

            def answers(self) -> bool:
                sock = stack.enter_context(server.accept()[0])
                sock.settimeout(5.0)
                asked.append(sock.recv(4096))
                sock.sendall(b"H")
                return False

        standing: Any = Looks()
        found = unanswered("127.0.0.1", server.getsockname()[1], 1, standing)

    assert asked == [resources.HEALTH]
    assert found == (0, False)


def test_a_standing_connection_that_is_lost_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one would be let in or not as the others are, and be waited for."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        standing = Standing(OwnTarget(port=server.getsockname()[1]), "n1")  # type: ignore[arg-type] # no environment
        answered = standing.answers()
        server.setblocking(False)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()

    assert not answered


def test_a_standing_connection_stays_while_it_is_answered() -> None:
    """The twin: each question goes over the same one."""
    with child(LETS_GO) as process:
        assert process.stdout is not None
        standing = Standing(OwnTarget(port=int(process.stdout.readline())), "n1")  # type: ignore[arg-type]
        before = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        answered = [standing.answers(), standing.answers()]
        after = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        standing.close()

    assert answered == [True, True]
    assert after == before


def test_an_older_count_never_raises_a_lower_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who counted first limits first, also if it is slow about it: the other waits for it."""
    begun, ended = threading.Event(), threading.Event()
    counts = iter([50, 10])
    limits: list[int] = []

    def slow(_pid: int, _what: int, limit: tuple[int, int]) -> None:
        if not begun.is_set():
            begun.set()
            ended.wait(0.3)  # without a lock the other is done by now
        limits.append(limit[0])

    def second() -> None:
        squeeze.tighten()
        ended.set()

    monkeypatch.setattr(resources, "limit_for", lambda *_: next(counts))
    monkeypatch.setattr(resource, "prlimit", slow)
    squeeze = Squeeze("n1", os.getpid(), 0, (1000, 1000), 1000)
    threads = [threading.Thread(target=squeeze.tighten), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(5.0)
    threads[1].start()
    for thread in threads:
        thread.join()

    assert limits == [50, 10]
    assert squeeze.soft == 10


def test_a_limit_that_could_not_be_set_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as set when it holds; who asks for it is told, and who follows keeps the first word of it."""
    limits: list[int] = []
    errors = iter([*(PermissionError(1, word) for word in ("first", "second", "third")), None])

    def may(_pid: int, _what: int, limit: tuple[int, int]) -> None:
        error = next(errors)
        if error is not None:
            raise error
        limits.append(limit[0])

    monkeypatch.setattr(resources, "limit_for", lambda *_: 10)
    monkeypatch.setattr(resource, "prlimit", may)
    squeeze = Squeeze("n1", os.getpid(), 0, (1000, 1000), 1000)
    squeeze.follow()
    squeeze.follow()
    with pytest.raises(PermissionError, match="third"):
        squeeze.tighten()
    squeeze.follow()
    squeeze.follow()

    assert limits == [10]
    assert squeeze.error == "n1: PermissionError: [Errno 1] first"
    assert not squeeze.is_over


def test_a_process_that_cannot_be_followed_is_said_and_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault may have loosened; it is looked at again all the same."""
    monkeypatch.setattr(resources, "unanswered", lambda *_: (3, True))
    closed = threading.Event()
    looked: list[str] = []
    iterdir = Path.iterdir

    def listed(path: Path) -> Iterator[Path]:
        looked.append(str(path))
        if closed.is_set() and str(path) == folders[0]:
            raise PermissionError(13, "Permission denied", folders[0])
        return iterdir(path)

    with child(OPENS) as first, child(OPENS) as second:
        children = {"n1": first, "n2": second}
        for process in children.values():
            told_to_open(process)
        folders = [f"/proc/{process.pid}/fd" for process in children.values()]
        target = OwnTarget()
        monkeypatch.setattr(target, "pids", lambda node: [children[node].pid])
        monkeypatch.setattr(Path, "iterdir", listed)
        one = scene(target)
        FewFiles().inject(one, ["n1", "n2"])
        closed.set()
        wait_until(lambda: one.notes["squeezes"][0].error, "it cannot be followed", 10.0)
        looked.clear()
        wait_until(lambda: min(map(looked.count, folders)) > 2, "both are looked at", 10.0)
        closed.clear()
        healed = FewFiles().heal(one)
        again = FewFiles().heal(one)

    said = f"n1: PermissionError: [Errno 13] Permission denied: '{folders[0]}'"
    assert healed == again == {"not_followed": said, "took_effect": False}


def test_a_process_that_cannot_be_healed_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is tried again with the next heal."""
    refused = [2]
    limits: list[int] = []

    def may(pid: int, _what: int, _limits: tuple[int, int]) -> None:
        if pid in refused:
            raise PermissionError(1, "Operation not permitted")
        limits.append(pid)

    monkeypatch.setattr(resource, "prlimit", may)
    squeezes = [Squeeze(f"n{pid}", pid, 0, (1000, 1000), 10) for pid in (1, 2, 3)]
    one = scene(OwnTarget(), squeezes=squeezes)
    with pytest.raises(PermissionError):
        FewFiles().heal(one)
    first = sorted(limits)
    refused.clear()
    healed = FewFiles().heal(one)

    assert (first, healed) == ([1, 3], {})
    assert sorted(limits) == [1, 2, 3]


# ---- processor time
def test_the_group_of_a_process_is_found_in_both_versions() -> None:
    """The controller's own hierarchy, else the one hierarchy, else none."""
    first = "9:name=systemd:/x\n2:cpuacct,cpu:/a/b\n0::/c\n"

    assert own(first) == Path("/sys/fs/cgroup/cpu/a/b")
    assert own("0::/c/d\n") == Path("/sys/fs/cgroup/c/d")
    assert own("4:memory:/x\n") is None


def _quota() -> str:
    """Why there is none on this machine."""
    try:
        Quota("probe", 0.5).remove()
    except OSError as error:
        return f"no control group: {error}"
    return ""


@pytest.mark.skipif(bool(_quota()), reason=_quota())
def test_a_group_holds_a_process_back_and_lets_it_go() -> None:
    """It is seen to be held back; the group is gone afterwards, and the process is not."""
    with child(SPINS) as process:
        one = scene(OwnTarget(process.pid), share=0.1)
        said = LittleCpu().inject(one, ["n1"])
        [quota] = one.notes["quotas"]
        wait_until(lambda: quota.throttled > 2, "it is held back", 20.0)
        healed = LittleCpu().heal(one)
        again = LittleCpu().heal(one)
        alive = process.poll() is None

    assert (said["by"], said["processes"]) == ("a control group", 1)
    assert healed["took_effect"]
    assert healed["throttled"] > 2
    assert (again, alive, quota.folder.exists()) == ({}, True, False)


def test_without_groups_a_node_is_stopped_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs when the fault is over."""

    def none(*_: Any) -> Quota:
        raise PermissionError

    monkeypatch.setattr(resources, "Quota", none)
    target = OwnTarget()
    one = scene(target, share=0.5)
    said = LittleCpu().inject(one, ["n1"])
    wait_until(lambda: one.notes["turns"] > 1, "two turns", 10.0)
    healed = LittleCpu().heal(one)

    assert said["by"] == "signals"
    assert healed["took_effect"]
    assert ("pause", "n1") in target.calls
    assert target.paused == set()
    assert LittleCpu().heal(one) == LittleCpu().heal(scene(target)) == {}


def test_groups_of_runs_that_have_ended_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a run that goes on stay, and so does everything without our name."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    with child(SPINS) as ended:
        pass
    names = [f"{PREFIX}{ended.pid}-n1", f"{PREFIX}{os.getpid()}-n1", f"{PREFIX}x-n1", "docker"]
    for name in names:
        (tmp_path / "cpu" / name).mkdir(parents=True)
    monkeypatch.setattr(cgroups, "_remove", lambda group, _above: group.rmdir())
    said: list[str] = []

    assert cgroups.clean(said.append) == 0
    assert sorted(path.name for path in (tmp_path / "cpu").iterdir()) == sorted(names[1:])
    assert len(said) == 1


# ---- clients
def test_many_clients_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them are slow; none is left, and a heal without a fault does nothing."""
    monkeypatch.setattr(resources, "DRIP_S", 0.01)
    with listener(answers=False) as port:
        one = scene(OwnTarget(port=port), clients=20)
        said = ManyClients().inject(one, ["n1"])
        socks = list(one.notes["socks"])
        healed = ManyClients().heal(one)
        again = ManyClients().heal(one)

    assert said == {"took_effect": True, "opened": 20}
    assert (healed, again) == ({"closed_by_node": 0}, {"closed_by_node": 0})
    assert all(sock.fileno() < 0 for sock in socks)
    assert ManyClients().heal(scene(OwnTarget())) == {}


def test_clients_that_a_node_does_not_let_in_are_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there."""
    monkeypatch.setattr(resources, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    one = scene(OwnTarget(port=port), clients=2)
    said = ManyClients().inject(one, ["n1"])
    ManyClients().heal(one)

    assert said == {"took_effect": False, "opened": 0}
