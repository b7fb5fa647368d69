"""One sink's half of the backup: claims it, learns how far it reaches, and sends what is applied behind that.

A shell: it awaits the sink and the clock, and asks a Source for everything else. It holds a position, not a queue:
while a sink is away nothing grows here, and what has left the log meanwhile is made good by a new base.

Invariants
  P1  claim first, read the position second, append third; on any doubt all three again
  P2  an object whose storing has an unknown outcome is never sent again before the position was read
  P3  a sink that disagrees with what this cluster knows of it is not followed: it is said loudly, and a base begins
  P4  `confirmed` only ever names entries that the sink answered for, durably
  P5  batches do not wait for a base that follows one of them; a base that batches have passed is given up
  P6  no failure ends it, whatever it is
  P7  the first object that this process seals with a key term carries the keyring's envelope; a base is sealed with
      one key term, or given up
Source: docs/backup.md; docs/decisions/0009-backups-are-a-chain-of-facts.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import SealedError, StrongroomError
from ..failpoints import failpoint
from . import retry
from .bases import head_of_base, objects_of_base
from .format import Header, Kind, encode_entries, key_term_of, parse
from .gather import GapError
from .ports import Policy, Source, Standing
from .retention import in_order, kept
from .sinks.base import FencedError, Position, SinkError, SinkRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ..seams import Clock, Random
    from .format import Parsed
    from .ports import Base
    from .retention import Kept
    from .sinks.base import Claim, Sink, Stored

T = TypeVar("T")
log = logging.getLogger("strongroom.backup")

IDLE_S = 0.5
CATCH_UP_S = 30.0  # for which a node that has just started may have applied less than its sink holds
PART_ATTEMPTS = 6
REMOVED_AT_ONCE = 200
BEHIND_BATCHES = 3  # when more than these wait, the sink is behind
BEHIND_TIMES = 8
"""Then a batch may hold so many times as many entries: a busy loop sends few batches a second, however large."""
GOING_MAX = 10_000  # objects that retention holds in memory at a time


class Pipeline:
    """See the module's paragraph. `on_confirmed` is called after each batch."""

    def __init__(
        self, name: str, sink: Sink, source: Source, policy: Policy, clock: Clock, random: Random,
        on_confirmed: Callable[[Position], None] = lambda _position: None,
    ) -> None:  # fmt: skip
        self.name = name
        self.sink = sink
        self.standing = Standing(name, sink.url)
        self._source = source
        self._policy = policy
        self._clock = clock
        self._random = random
        self._on_confirmed = on_confirmed
        self._key_term = b""  # the sink has an object of ours with this term's envelope
        self._progressed = False  # since the last failure
        self._again = asyncio.Event()  # the pause after a failure is over
        self._outcome = asyncio.Event()  # something was stored, or failed
        self.base_wanted = False  # an operator asked for one
        self.urgent = False  # writes wait for this sink's word: a batch is closed as soon as it holds anything

    # ---- for ever
    async def run(self) -> None:
        """Sends until it is cancelled. Raises nothing else."""
        attempt = 0
        try:
            while True:
                claim = self._source.claim()
                if claim is None:
                    self._rest()
                    await self._source.changed(IDLE_S)
                    continue
                try:
                    await self._lead(claim)
                    attempt = 0
                except SealedError:
                    await self._source.changed(IDLE_S)
                except Exception as error:  # noqa: BLE001 - P6
                    progressed = self._failed(error)
                    attempt = 1 if progressed else attempt + 1
                    refused = isinstance(error, SinkRefusedError)
                    await self._pause(claim, retry.delay_s(attempt, self._random.uniform(), refused=refused))
        finally:
            await self.sink.close()

    async def _pause(self, claim: Claim, delay_s: float) -> None:
        """Returns in time, or as soon as somebody asks for an attempt, or the claim is over."""
        self._again.clear()
        standing, loop = self.standing, asyncio.get_running_loop()
        standing.retry_s = self._clock.boot() + delay_s
        end_s = loop.time() + delay_s
        await asyncio.sleep(0)
        try:
            while (left_s := end_s - loop.time()) > 0 and self._source.claim() == claim and not self._again.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, IDLE_S)):
                        await self._again.wait()
        finally:
            standing.retry_s = None

    def ask_base(self) -> None:
        """A base begins now, or with the next attempt, and that is now."""
        self.base_wanted = True
        self._outcome.clear()
        self._again.set()

    async def is_written(self, timeout_s: float) -> bool:
        """Whether the sink took the last thing it was given. One that did not is waited for so long."""
        if not self.standing.error:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._outcome.wait()
        except TimeoutError:
            return False
        return self._progressed

    def _rest(self) -> None:
        """Others write it: what was wrong, and since when, is theirs to say."""
        standing = self.standing
        standing.claimed, standing.error, standing.behind_since_s = False, "", None

    def _failed(self, error: Exception) -> bool:
        """Whether anything was stored since the last failure."""
        standing = self.standing
        text = self._meaning(error)
        if text != standing.error:
            expected = isinstance(error, (SinkError, FencedError, TimeoutError))
            level = logging.WARNING if expected and not isinstance(error, SinkRefusedError) else logging.ERROR
            log.log(level, "backup %s: %s", self.name, text)
        standing.error = text
        standing.claimed = False
        standing.retries += 1
        progressed, self._progressed = self._progressed, False
        self._outcome.set()
        return progressed

    def _stored(self) -> None:
        self._progressed = True
        self._outcome.set()

    def _meaning(self, error: Exception) -> str:
        """A sentence without secrets: only our own errors are known to quote nothing."""
        if isinstance(error, TimeoutError):
            return f"no answer within {self._policy.timeout_s:g} s"
        return str(error) if isinstance(error, StrongroomError) else f"{type(error).__name__} in this program"

    # ---- one claim
    async def _lead(self, claim: Claim) -> None:
        """Returns when the claim is over."""
        position = await self._take(claim)
        while self._source.claim() == claim:
            try:
                position = await self._step(claim, position)
            except GapError as error:
                self._alarm(str(error))
                position = None

    async def _step(self, claim: Claim, position: Position | None) -> Position | None:
        """The position behind whatever is due next. Raises GapError."""
        if position is None or self._wants_base(position):
            return await self._send_base(claim, position)
        sent = await self._send_batch(claim, position)
        if sent is None:
            await self._source.changed(self._policy.interval_s)
            return position
        return sent

    async def _take(self, claim: Claim) -> Position | None:
        """P1, P3: the position to go on from; None: a base must begin."""
        await self._call(self.sink.open())
        await self._call(self.sink.begin(self._source.generation()))
        found = await self._call(self.sink.claim(claim))
        known = self._source.known(self.name)
        self.standing.claimed = True
        if known is not None and (found is None or found.last < known.last):
            self._alarm(f"the sink reaches {0 if found is None else found.last}, but held {known.last} before")
            return None
        if known is not None and found is not None and _differs(found, known):
            self._alarm(f"the sink has another batch at {known.last} than was stored there")
            return None
        if found is not None and not await self._caught_up(claim, found.last):
            raise SinkRefusedError(f"the sink reaches {found.last}, beyond anything this cluster has: restore it first")
        if found is not None:
            self._confirm(found)
        return found

    async def _caught_up(self, claim: Claim, last: int) -> bool:
        """Whether this node has applied what the sink holds, or does so in time: a start begins from a snapshot."""
        end_s = self._clock.boot() + CATCH_UP_S
        while self._source.applied_index() < last and self._source.claim() == claim and self._clock.boot() < end_s:
            await self._source.changed(IDLE_S)
        return self._source.applied_index() >= last

    def _alarm(self, text: str) -> None:
        log.error("backup %s: %s; a new base begins", self.name, text)
        self.standing.alarms = [*self.standing.alarms[-9:], text]

    # ---- batches
    async def _send_batch(self, claim: Claim, position: Position, boundary: int = 0) -> Position | None:
        """The position behind one more batch; None if there is nothing to send yet. Raises GapError."""
        source, policy = self._source, self._policy
        waiting = source.applied_index() - position.last
        if waiting <= 0:
            self.standing.behind_since_s = None
            self.standing.error = ""
            return None
        if self.standing.behind_since_s is None:
            self.standing.behind_since_s = self._clock.boot()
        await self._fill(claim, position, boundary)
        is_behind = source.applied_index() - position.last > policy.entries_max * BEHIND_BATCHES
        entries_max = policy.entries_max * (BEHIND_TIMES if is_behind else 1)
        found = source.gather(position.last + 1, entries_max=entries_max, bytes_max=policy.bytes_max, boundary=boundary)
        if found is None:
            return None
        sealer = source.sealer()
        place = sealer.place()
        is_keyed = found.rekeyed or key_term_of(place) != self._key_term
        header = Header(
            generation=claim.generation, kind=Kind.BATCH, first=found.first, last=found.last, term=found.term,
            from_ns=position.time_ns, time_ns=max(found.time_ns, position.time_ns), previous=position.hash, base=b"",
            part=0, final=True, fresh=False, place=place, node_id=source.node_id,
            envelope=source.envelope() if is_keyed else b"",
        )  # fmt: skip
        data = sealer.seal(header, encode_entries(found.first, found.entries, found.digest))
        parsed = parse(data)
        failpoint("backup.before-store")
        await self._call(self.sink.store(claim, data, parsed))
        failpoint("backup.after-store")
        self._key_term = key_term_of(place)
        self.standing.batches += 1
        self.standing.bytes += len(data)
        sent = position._replace(last=found.last, hash=parsed.hash, time_ns=header.time_ns, fresh=False)
        self._confirm(sent)
        return sent

    async def _fill(self, claim: Claim, position: Position, boundary: int) -> None:
        """Wait a little for more entries, unless there are enough or somebody waits for these."""
        since = self.standing.behind_since_s
        assert since is not None
        end = since + self._policy.interval_s
        while not boundary and not self.urgent and self._source.claim() == claim:
            left_s = end - self._clock.boot()
            if left_s <= 0 or self._source.applied_index() - position.last >= self._policy.entries_max:
                return
            await self._source.changed(left_s)

    def _confirm(self, position: Position) -> None:
        self._stored()
        standing = self.standing
        standing.confirmed = position
        standing.confirmed_s = self._clock.boot()
        standing.behind_since_s = None
        standing.error = ""
        self._on_confirmed(position)

    # ---- bases
    def _wants_base(self, position: Position) -> bool:
        policy = self._policy
        behind = self._source.applied_index() - position.base_index
        if self.base_wanted or not position.base_index:
            return True
        age_ns = self._source.now_ns() - position.base_time_ns
        return behind >= policy.base_entries or (behind > 0 and age_ns >= policy.base_period_s * 1e9)

    async def _send_base(self, claim: Claim, position: Position | None) -> Position | None:
        """A complete base is stored; the position to go on from: behind the batches, or behind the base."""
        base = self._source.base()
        try:
            while position is not None and position.last < base.index:
                sent = await self._send_batch(claim, position, boundary=base.index)
                if sent is None or self._source.claim() != claim:
                    return position
                position = sent
            if position is not None and position.last > base.index:
                return position  # P5: its digest was not known any more, and a batch went beyond it
            final_hash, position = await self._send_parts(claim, base, position)
        finally:
            base.abort()
        if final_hash is None:
            return position
        self.standing.bases += 1
        self.standing.base_index, self.standing.base_parts = base.index, 0
        self.base_wanted = False
        behind = position or Position(base.index, final_hash, base.time_ns, fresh=True)
        behind = behind._replace(base_index=base.index, base_time_ns=base.time_ns)
        self._confirm(behind)
        await self._retain(claim)
        return behind

    async def _retain(self, claim: Claim) -> None:
        """What retention does not keep is gone, where this role may remove; `backup prune` does it elsewhere."""
        policy = self._policy
        bases = [one async for one in self.sink.objects(claim.generation) if one.kind == Kind.BASE]
        stay = kept(bases, self._source.now_ns(), keep_bases=policy.keep_bases, keep_days=policy.keep_days)
        more = stay is not None
        try:
            while stay is not None and more:
                going = await self._going(claim, stay)
                more = len(going) >= GOING_MAX
                for at in range(0, len(going), REMOVED_AT_ONCE):
                    await self._call(self.sink.remove(claim, going[at : at + REMOVED_AT_ONCE]))
        except SinkRefusedError as error:
            log.info("backup %s: nothing is removed: %s", self.name, error)

    async def _going(self, claim: Claim, stay: Kept) -> list[Stored]:
        """The first of those that retention does not keep. A sink may hold millions: it is read, not listed."""
        going: list[Stored] = []
        async for one in self.sink.objects(claim.generation):
            if stay.lets_go(one):
                going.append(one)
            if one.first > stay.newest or len(going) >= GOING_MAX:
                break
        return in_order(going)

    async def _send_parts(
        self, claim: Claim, base: Base, position: Position | None
    ) -> tuple[bytes | None, Position | None]:
        """Hash of the final part, None if the claim ended before; and the position behind what was sent meanwhile.

        `position` is that of the batch that ends at the base's index; None: it is fresh, and what follows must wait.
        """
        source, follows = self._source, position
        head = head_of_base(
            claim.generation, base.index, base.term, base.time_ns, follows=None if follows is None else follows.hash,
            envelope=source.envelope(), node_id=source.node_id, random=self._random,
        )  # fmt: skip
        final_hash, key_term = None, b""
        for data, parsed in objects_of_base(head, base.chunks(), source.sealer):
            own = key_term_of(parsed.header.place)
            if key_term not in {b"", own}:
                return None, position  # P7: keys were rotated
            key_term = own
            await self._store_part(claim, data, parsed)
            self._stored()
            self.standing.bytes += len(data)
            self.standing.base_parts = parsed.header.part + 1
            if parsed.header.final:
                final_hash, self._key_term = parsed.hash, key_term
            elif source.claim() != claim:
                return None, position
            elif position is not None and self._is_due(position):
                position = await self._send_batch(claim, position, boundary=source.applied_index()) or position
        return final_hash, position

    def _is_due(self, position: Position) -> bool:
        """P5: whether a batch beside a base is worth its while."""
        policy, waiting = self._policy, self._source.applied_index() - position.last
        since_s = self._clock.boot() - (self.standing.confirmed_s or 0.0)
        return waiting > 0 and (self.urgent or waiting >= policy.entries_max or since_s >= policy.interval_s)

    async def _store_part(self, claim: Claim, data: bytes, parsed: Parsed) -> None:
        """One part is stored, tried several times: storing it twice is storing it once, and a base is long."""
        for attempt in range(1, PART_ATTEMPTS + 1):
            try:
                return await self._call(self.sink.store(claim, data, parsed))
            except SinkRefusedError:
                raise
            except (SinkError, TimeoutError):
                if attempt == PART_ATTEMPTS:
                    raise
                self.standing.retries += 1
                await asyncio.sleep(retry.delay_s(attempt, self._random.uniform()))
        return None

    async def _call(self, call: Coroutine[Any, Any, T]) -> T:
        """One call of the sink, within its time. Raises TimeoutError: what became of it is not known."""
        async with asyncio.timeout(self._policy.timeout_s):
            return await call


def _differs(found: Position, known: Position) -> bool:
    """Whether the sink shows another batch than was confirmed. A fresh base is ours to begin at any index."""
    return found.last == known.last and not found.fresh and found.hash != known.hash
