"""All audit devices of this node: a record must be with one of them before anybody goes on.

A shell. Lines of all requests of one turn of the loop go to a device in one write. The broker knows which devices
there are (from the replicated records, `sync`), never decides that one is not needed, and answers False or raises
AuditError when none has taken a record: the request must then not be carried out, or not be answered.
Invariants
  B1  with a device enabled, opened or not, nothing is answered without a record; without one, nothing is awaited
  B2  each device hashes with its own salt, so each has its own lines
  B3  a record's lines are gathered, chained and written in the order in which `record` was called on a device
Source: Vault, "Audit devices"; docs/threat-model.md, audit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import AuditDevice, AuditHead, StrongroomError

from ..judge import DeniedRefusal, Judged
from .batch import Waiter
from .chain import Chain, Head
from .device import Device
from .endpoint import OptionError
from .entry import AuditEntry, LineSettings, Renderer, event_line
from .hashing import Hasher
from .options import DeviceOptions
from .sink import RefusedSink
from .sinks import sink_for
from .writer import Writer, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ..http.seams import Clock
    from ..judge import Judged
    from ..request import Answer, RawRequest, Refusal
    from .options import Rules
    from .sink import Sink

    Lines = Generator[None, None, list[bytes]]

DEADLINE_S = 2.0

_UNRENDERABLE = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)


class AuditError(StrongroomError):
    """No enabled device has taken the record, or it cannot be rendered: the request must not go on."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device as the cluster has it: its record, its opened salt, and its newest head that is a fact.

    Without a salt (it does not open) the device takes nothing: hashes without one could be guessed.
    """

    record: AuditDevice
    salt: bytes | None = field(repr=False)
    known: AuditHead | None = None


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device on this node. `problem` is "" while it works."""

    path: str
    head: str  # hex of its newest line's MAC
    sequence: int
    ok: bool
    problem: str
    failures_total: int


class Broker:
    """See the module's paragraph."""

    def __init__(
        self,
        node_id: str,
        rules: Rules,
        chain_mac: Callable[[bytes], bytes],
        clock: Clock,
        *,
        settings: LineSettings | None = None,
        deadline_s: float = DEADLINE_S,
        sinks: Callable[..., Sink] = sink_for,
        writers: Callable[..., Writer] = Writer,
    ) -> None:
        self.settings = LineSettings() if settings is None else settings
        self._node_id = node_id
        self._rules = rules
        self._chain_mac = chain_mac
        self._clock = clock
        self._deadline_s = deadline_s
        self._sinks = sinks
        self._writers = writers
        self._devices: dict[str, tuple[Device, DeviceSpec]] = {}
        self._flush_is_due = False
        self._syncing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Broker of {len(self._devices)} devices>"

    # ---- records of requests
    @property
    def enabled(self) -> bool:
        """Some device is enabled."""
        return bool(self._devices)

    async def request(self, request: RawRequest, judged: Judged | None, refusal: Refusal | None) -> bool:
        """The record before execution. False: no device has it."""
        return await self._heard(entry_of(request, judged, None, refusal), Renderer.request)

    async def response(
        self, request: RawRequest, judged: Judged | None, answer: Answer | None, refusal: Refusal | None
    ) -> bool:
        """The record before the answer leaves. False: no device has it."""
        return await self._heard(entry_of(request, judged, answer, refusal), Renderer.response)

    async def both(
        self, request: RawRequest, judged: Judged | None, answer: Answer | None, refusal: Refusal | None
    ) -> bool:
        """Both records at once, of a request that changed nothing in between. False: no device has them."""
        return await self._heard(entry_of(request, judged, answer, refusal), Renderer.both)

    async def record(self, entry: AuditEntry, kind: Callable[[Renderer, AuditEntry, int], Lines]) -> None:
        """A device has the lines: `kind` is `Renderer.request`, `.response` or `.both`. Raises AuditError."""
        if self._devices:
            await self._write(lambda renderer, time_ns: kind(renderer, entry, time_ns))

    async def event(self, kind: str, details: Mapping[str, str | int | bool]) -> None:
        """A device has the security event. `details` hold no value, token or key. Raises AuditError."""
        if self._devices:
            await self._write(lambda _renderer, time_ns: _at_once([event_line(kind, details, time_ns)]))

    # ---- devices
    async def sync(self, specs: Mapping[str, DeviceSpec]) -> dict[str, str]:
        """The devices are those of `specs` (path with its slash → device); returns why some do not work here.

        A device that cannot be opened is enabled all the same, and tried again: B1.
        """
        async with self._syncing:
            leaving = []
            # No await before the new devices stand: there must be no moment in which nothing is enabled (B1).
            for path, (device, spec) in list(self._devices.items()):
                if not _is_same(specs.get(path), spec):
                    leaving.append(device)
                    del self._devices[path]
            coming = []
            for path, spec in specs.items():
                if path not in self._devices:
                    device = self._device(path, spec)
                    self._devices[path] = (device, spec)
                    coming.append(device)
            await asyncio.gather(*(device.close() for device in leaving))
            await asyncio.gather(*(device.open() for device in coming))
            return {path: device.problem for path, (device, _) in self._devices.items() if device.problem}

    async def probe(self, path: str, type_: str, options: Mapping[str, str]) -> None:
        """A device at `path` could be opened here: its file exists and takes lines. Raises OptionError (400)."""
        parsed = self._rules.parse(type_, options)
        sink = self._sinks(self._rules.directory, parsed, self._node_id, path)
        loop = asyncio.get_running_loop()
        writer = self._writers(f"audit probe {path}", loop.call_soon_threadsafe)
        opened: asyncio.Future[Any] = loop.create_future()
        closed: asyncio.Future[Any] = loop.create_future()
        for work, done in ((sink.open, opened), (sink.close, closed)):
            job = writer.submit(work, tell(done))
            if job.settle(0):
                job.deliver()
        writer.close()
        # Closed, too: the device that is enabled next finds the file unlocked.
        await asyncio.wait([opened, closed], timeout=self._deadline_s)
        if not closed.done():
            raise OptionError(f'sanity check failed; unable to open "{parsed.target}" for writing: it is blocked')
        if isinstance(opened.result(), Exception):
            raise OptionError(str(opened.result()))

    def rotate(self) -> None:
        """Files are opened anew (SIGHUP), so that whatever renamed them can have them."""
        for device, _ in list(self._devices.values()):
            device.rotate()

    async def close(self) -> None:
        """Everything that was offered is written, or refused at the deadline; no device is left."""
        await self.sync({})

    # ---- what others ask
    def audit_hash(self, path: str, text: str) -> str | None:
        """The text as it stands in the device's lines; None if there is no such device."""
        found = self._devices.get(path)
        return None if found is None or found[1].salt is None else self._rules.hash_text(found[1].salt, text)

    def statuses(self) -> list[DeviceStatus]:
        """Every device, by path."""
        return [
            DeviceStatus(
                path=path,
                head=device.written.mac.hex(),
                sequence=device.written.sequence,
                ok=device.ok,
                problem=device.problem,
                failures_total=device.failures_total,
            )
            for path, (device, _) in sorted(self._devices.items())
        ]

    def due_heads(self, *, everything: bool = False) -> dict[str, AuditHead]:
        """Heads that are to become facts now, by device path: at start and rotation, every 10 s or 10,000 lines.

        `everything`: whatever is newer than its fact, for a close. They stay due until `heads_recorded`.
        """
        now_ns, now_s = self._clock.wall_ns(), self._clock.boot()
        return {
            path: AuditHead(file=head.file, sequence=head.sequence, head=head.mac, time_ns=now_ns)
            for path, (device, _) in self._devices.items()
            if (head := device.facts.due(device.written, now_s, everything=everything)) is not None
        }

    def heads_recorded(self, heads: Mapping[str, AuditHead]) -> None:
        """These heads are facts."""
        for path, head in heads.items():
            if path in self._devices:
                self._devices[path][0].facts.recorded(_head_of(head), self._clock.boot())

    # ---- inside
    async def _heard(self, entry: AuditEntry, kind: Callable[[Renderer, AuditEntry, int], Lines]) -> bool:
        try:
            await self.record(entry, kind)
        except AuditError:
            return False
        return True

    async def _write(self, lines_of: Callable[[Renderer, int], Lines]) -> None:
        loop = asyncio.get_running_loop()
        devices = [device for device, _ in self._devices.values()]
        waiter = Waiter(loop.create_future(), len(devices))
        time_ns = self._clock.wall_ns()
        for device in devices:
            if not device.accepts:
                device.refuse(waiter)
                continue
            try:
                lines = await _rendered(lines_of(device.renderer, time_ns))
            except _UNRENDERABLE:
                raise AuditError("the record cannot be rendered") from None
            device.offer(lines, waiter)
        if not self._flush_is_due:
            self._flush_is_due = True
            loop.call_soon(self._flush)
        if not await waiter.future:
            raise AuditError("no audit device has taken the record")

    def _flush(self) -> None:
        """The end of the turn: what all its requests offered goes out."""
        self._flush_is_due = False
        for device, _ in list(self._devices.values()):
            device.pump()

    def _device(self, path: str, spec: DeviceSpec) -> Device:
        try:
            options = self._rules.parse(spec.record.type, spec.record.options)
            sink = self._sinks(self._rules.directory, options, self._node_id, path)
        except OptionError as error:  # a device of the cluster that this node may not have is one that does not work
            options, sink = DeviceOptions(""), RefusedSink(error.texts[0])
        if spec.salt is None:
            sink = RefusedSink("the salt of the device does not open")
        return Device(
            path,
            options.file,
            Renderer(Hasher(spec.salt or b""), options, self.settings),
            sink,
            self._writers(f"audit {path}", asyncio.get_running_loop().call_soon_threadsafe),
            Chain(self._node_id, path, self._chain_mac),
            self._clock,
            deadline_s=self._deadline_s,
            known=Head() if spec.known is None else _head_of(spec.known),
            line_bytes_max=options.line_bytes_max,
        )


def entry_of(request: RawRequest, judged: Judged | None, answer: Answer | None, refusal: Refusal | None) -> AuditEntry:
    """What the flow knows of a request, as audit wants it. `judged` is None where the caller may not go on."""
    entry = AuditEntry(request, allowed=judged is not None, answer=answer, refusal=refusal)
    entry.wrap_info = None if answer is None else answer.wrap_info
    if judged is None and isinstance(refusal, DeniedRefusal):
        judged = refusal.judged  # who was denied is known
    if judged is None:
        return entry
    entry.caller, entry.operation = judged.caller, judged.operation
    if judged.routed is not None:
        entry.mount_path, entry.mount = judged.routed.mount_path, judged.routed.mount
    entry.granting_policies = judged.granting
    if judged.token is not None:
        record = judged.token.record
        entry.token_issue_ns, entry.token_creation_ttl_s = record.created_ns, record.creation_ttl_s
        entry.no_default_policy = record.no_default_policy
    return entry


async def _rendered(steps: Lines) -> list[bytes]:
    """The lines; others have their turn between the slices of a large body."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            lines: list[bytes] = end.value
            return lines
        await asyncio.sleep(0)


def _at_once(lines: list[bytes]) -> Lines:
    yield from ()
    return lines


def _is_same(wanted: DeviceSpec | None, present: DeviceSpec) -> bool:
    return wanted is not None and wanted.record == present.record


def _head_of(head: AuditHead) -> Head:
    return Head(head.sequence, head.head, head.file)


__all__ = ["AuditError", "Broker", "DeviceSpec", "DeviceStatus", "entry_of"]
