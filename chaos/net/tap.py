"""A switch in user space as a process: `python -m chaos.net.tap`; it has one port in each host's network namespace.

A shell around packets.py, told what to do line by line (control.py). Needs root and /dev/net/tun. Hosts have the
hardware addresses of `hardware_address` and know each other's, so nothing but unicast frames of theirs is carried.
`open` is the first command: {"hosts": [path of the namespace, …], "device": …, "seed": …}; hosts have numbers from 1.

Commands: cut {"pairs": [[source, sink], …]} replaces all cuts at once; shape {"source", "sink", …} see Wire.shape;
counts. Invariant: no frame is carried in a direction after the command that cut it was answered, late ones neither.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import struct
from typing import TYPE_CHECKING, Any, Final

from .control import obey
from .packets import COUNTED, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TAP_NO_PI: Final = 0x1002
_FRAME_BYTES_MAX: Final = 65536
_AT_ONCE: Final = 64  # frames of one host before another's turn
_MULTICAST: Final = 1
_NUMBER_AT: Final = 5  # byte of a hardware address that holds the host's number


def hardware_address(number: int) -> str:
    """Of the host with that number."""
    return f"02:00:00:00:00:{number:02x}"


class Switch:
    """Ports by number, a wire for each direction."""

    def __init__(self) -> None:
        self._ports: dict[int, int] = {}  # number: file descriptor
        self._wires: dict[tuple[int, int], Wire] = {}
        self._rng = random.Random()
        self._late: list[tuple[float, int, tuple[int, int], bytes]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    # ---- commands
    def open(self, hosts: Sequence[str], device: str, seed: int) -> None:
        """Each host has the device, down and without addresses; frames are carried."""
        self._rng.seed(seed)
        for number, fd in enumerate(taps(hosts, device), 1):
            self._ports[number] = fd
        for pair in itertools.permutations(self._ports, 2):
            self._wires[pair] = Wire()
        for number, fd in self._ports.items():
            asyncio.get_running_loop().add_reader(fd, self._readable, number, fd)

    def cut(self, pairs: Sequence[Sequence[int]]) -> None:
        """Those directions and no others carry nothing."""
        wanted = {(source, sink) for source, sink in pairs}
        for pair, wire in self._wires.items():
            wire.is_cut = pair in wanted

    def shape(self, source: int, sink: int, **how: float) -> None:
        """See Wire.shape."""
        self._wires[source, sink].shape(**how)

    def counts(self) -> dict[str, int]:
        """Over all directions."""
        return {name: sum(wire.counts[name] for wire in self._wires.values()) for name in COUNTED}

    async def handle(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One command. Raises KeyError or TypeError for one that is none."""
        do = asked.pop("do")
        if do == "counts":
            return dict(self.counts())
        commands: dict[str, Callable[..., None]] = {"open": self.open, "cut": self.cut, "shape": self.shape}
        commands[do](**asked)
        return {}

    # ---- frames
    def _readable(self, number: int, fd: int) -> None:
        now_s = asyncio.get_running_loop().time()
        for _ in range(_AT_ONCE):
            try:
                frame = os.read(fd, _FRAME_BYTES_MAX)
            except BlockingIOError:
                break
            pair = (number, frame[_NUMBER_AT])
            wire = None if frame[0] & _MULTICAST else self._wires.get(pair)
            if wire is None:
                continue
            for due_s, arriving in wire.carry(frame, now_s, self._rng):
                if due_s <= now_s:
                    self._deliver(pair, arriving)
                else:
                    heapq.heappush(self._late, (due_s, next(self._order), pair, arriving))
        self._wait()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._late:
            self._timer = asyncio.get_running_loop().call_at(self._late[0][0], self._due)

    def _due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self._late and self._late[0][0] <= now_s:
            _, _, pair, frame = heapq.heappop(self._late)
            self._deliver(pair, frame)
        self._timer = None
        self._wait()

    def _deliver(self, pair: tuple[int, int], frame: bytes) -> None:
        if self._wires[pair].is_cut:  # it was under way when the cut came
            self._wires[pair].counts["dropped"] += 1
            return
        try:
            os.write(self._ports[pair[1]], frame)
        except OSError:  # its queue is full, or it is down: a frame is lost, as on any wire
            self._wires[pair].counts["lost"] += 1

    def close(self) -> None:
        """No port is open, so no host has the device."""
        for fd in self._ports.values():
            os.close(fd)
        self._ports.clear()


def taps(namespaces: Sequence[str], device: str) -> Iterator[int]:
    """A TAP device in each of the namespaces; this thread is back in its own after each. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for namespace in namespaces:
            there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _enter(libc, there)
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP_NO_PI))
            finally:
                _enter(libc, own)
                os.close(there)
            yield fd
    finally:
        os.close(own)


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")


async def main() -> None:
    """Serve until the input ends."""
    switch = Switch()
    try:
        await obey(switch.handle)
    finally:
        switch.close()


if __name__ == "__main__":
    asyncio.run(main())  # not uvloop, whose clock stands still within a turn
