"""After the loss of a majority for ever: a new line of history from the most complete survivor, or from the backup.

A shell over survivor.py, restore.py and becoming.py. `assess` reads, and says what is lost; `run` carries out.
Invariants
  V1  folders of survivors are read, never written: the new cluster stands in other folders
  V2  of survivors and backup the most complete one is used, by term and index; all must be of one line of history
  V3  what gives access for a time is void, unless an operator says otherwise: what was revoked last may be lost
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedError, NotInitialisedError, WrongKeyError
from ..files import KEYRING, KEYRING_NEXT, read_file
from ..keyring.envelope import read_seal
from ..state.digest import DIGEST_BYTES
from .becoming import Becoming, Extra, config_of
from .chain import RestoreError
from .layout import clear
from .restore import Point, Progress, Restore
from .survivor import read_survivor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..keyring.seal import Unsealed
    from ..seams import Clock, Disk, Random
    from ..state import records
    from ..state.machine import State
    from .renew import Wish
    from .sinks.base import Sink


@dataclass(frozen=True, slots=True)
class Source:
    """One place that the cluster could go on from."""

    name: str
    generation: bytes
    index: int
    term: int
    time_ns: int
    committed: int
    damaged: bool


class Assessment(NamedTuple):
    """What is there, and what going on from the best of it costs.

    lost: (first, last) index that was committed for certain and is nowhere. `unsure`: (first, last) index that stands
    in the log that is used, of which nobody knows whether it was answered: it is kept. Whatever was answered after
    `time_ns` on members that are gone may be lost, too. `left_out`: a sentence on a sink that cannot be gone on from.
    """

    best: Source
    sources: list[Source]
    lost: tuple[int, int] | None
    unsure: tuple[int, int] | None
    left_out: str = ""


class Recovering:
    """`folders`: name → disk of each survivor; `sink`: the backup, to be looked at, or None."""

    def __init__(
        self, folders: dict[str, Disk], sink: Sink | None, open_with: Callable[[bytes], Unsealed], clock: Clock,
        random: Random, on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:  # fmt: skip
        self._folders = folders
        self._sink = sink
        self._open_with = open_with
        self._clock = clock
        self._random = random
        self._on_progress = on_progress
        self._unsealed: Unsealed | None = None
        self._envelope = b""
        self._states: dict[str, State] = {}

    def wipe(self) -> None:
        """No key is in memory."""
        if self._unsealed is not None:
            self._unsealed.wipe()
            self._unsealed = None

    async def assess(self) -> Assessment:
        """V2. Raises RestoreError, WrongKeyError, DamagedError, NotInitialisedError, SinkError."""
        await asyncio.to_thread(self._open)
        sources = [await asyncio.to_thread(self._survivor, name, disk) for name, disk in self._folders.items()]
        generations = {one.generation for one in sources}
        if len(generations) != 1:
            raise RestoreError("the folders are not of one line of history")
        [generation] = generations
        left_out = ""
        if self._sink is not None:
            found = await self._backup(self._sink, generation)
            left_out = await _why_left_out(self._sink) if found is None else ""
            sources += [] if found is None else [found]
        return judged(sources)._replace(left_out=left_out)

    def _open(self) -> None:
        """The newest keyring of the folders is open: later terms open what earlier ones sealed."""
        envelopes = envelopes_of(self._folders)
        if not envelopes:
            raise NotInitialisedError("none of the folders is a member's")
        why = ""
        envelopes.sort(key=lambda one: (read_seal(one[1])[1].epoch, len(one[1])), reverse=True)
        for name, envelope in envelopes:
            try:
                self._unsealed, self._envelope = self._open_with(envelope), envelope
            except WrongKeyError as error:
                why = why or str(error)
            except DamagedError as error:
                raise DamagedError(_keyring_damaged(name, error)) from None
            else:
                return
        raise WrongKeyError(why)

    def _survivor(self, name: str, disk: Disk) -> Source:
        assert self._unsealed is not None
        try:
            found = read_survivor(disk, self._unsealed.keyring, self._random)
        except NotInitialisedError as error:
            raise NotInitialisedError(f"{name}: {error}: leave it out") from None
        except DamagedError as error:
            raise DamagedError(f"{name}: {error}: leave the folder out, and go on from the others") from None
        state = self._states[name] = found.state
        return Source(
            name, found.generation, state.applied_index, state.applied_term, state.time_ns, found.committed,
            found.damaged,
        )  # fmt: skip

    async def _backup(self, sink: Sink, generation: bytes) -> Source | None:
        """The backup of the same line of history, if the sink has one."""
        line = next((one for one in await sink.generations() if one.generation == generation), None)
        if line is None:
            return None
        restore = Restore(sink, line, self._open_with, self._random, self._on_progress)
        try:
            await restore.open()
            state = await restore.replay(Point())
        finally:
            restore.wipe()
        self._states[sink.url] = state
        index = state.applied_index
        return Source(sink.url, generation, index, state.applied_term, state.time_ns, index, damaged=False)

    async def run(
        self, best: Source, members: dict[str, records.Member], profile: str, wish: Wish, disks: list[Disk],
        extra: Extra, *, fork: bool = False,
    ) -> dict[str, bytes]:  # fmt: skip
        """The folders are members' of a new line of history from `best`: its id, and the digest it begins from.

        The sink, which was only to be looked at until now, is opened: the new line begins there.
        """
        if self._sink is not None:
            await self._sink.open()
        for disk in disks:
            await asyncio.to_thread(clear, disk)
        state = self._states[best.name]
        config = config_of(state)
        if config is not None and config.profile != profile:
            raise RestoreError(f"the cluster is of profile {config.profile!r}, not {profile!r}")
        assert self._unsealed is not None
        digest = state.digest.to_bytes(DIGEST_BYTES, "little")
        becoming = Becoming(members, "", profile, wish, fork, self._clock, self._random, self._on_progress)
        line = await becoming.run(
            state, None if wish.keep_tokens else state, best.generation, self._unsealed,
            read_seal(self._envelope)[1], [] if self._sink is None else [self._sink], disks, extra,
        )  # fmt: skip
        return {"generation": line.generation, "digest": digest}


def envelopes_of(folders: Mapping[str, Disk]) -> list[tuple[str, bytes]]:
    """(name, keyring) of each folder that has one; each says how it is sealed. Raises DamagedError, OSError."""
    found = [(name, data) for name, disk in folders.items() if (data := read_file(disk, KEYRING)) is not None]
    for name, data in found:
        try:
            read_seal(data)
        except DamagedError as error:
            raise DamagedError(_keyring_damaged(name, error)) from None
    return found


def _keyring_damaged(folder: str, error: DamagedError) -> str:
    return f"{folder}/{KEYRING}: {error}: {KEYRING_NEXT}, or leave the folder out"


async def _why_left_out(sink: Sink) -> str:
    is_foreign = bool(await sink.generations())
    why = "what it holds is not of the folders' line of history" if is_foreign else "nothing is stored there"
    return f"{sink.url} was not used: {why}"


def judged(sources: Sequence[Source]) -> Assessment:
    """V2, and what is lost. Pure."""
    best = max(sources, key=lambda one: (one.term, one.index))
    committed = max(one.committed for one in sources)
    lost = (best.index + 1, committed) if committed > best.index else None
    unsure = (committed + 1, best.index) if best.index > committed else None
    return Assessment(best, list(sources), lost, unsure)
