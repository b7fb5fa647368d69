"""What can be done with a backup while no cluster runs: list, verify, restore, join, drill. Each returns JSON.

A shell: opens sinks and folders, hands the work to the cluster's room. Invariants
  J1  folders are locked while they are filled: no server runs on them
  J2  a drill opens no listener and writes nothing, neither into a folder nor into the sink
Source: docs/backup.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import (
    DamagedError,
    FolderError,
    Joining,
    OccupiedError,
    Order,
    Point,
    Progress,
    Restore,
    RestoreError,
    Restoring,
    Sealer,
    SystemClock,
    SystemDisk,
    SystemRandom,
    ValueSealing,
    Verifying,
    Wish,
    check_free,
    checked,
    is_snapshot,
    lock_folder,
    read_witnesses,
)

from ..auth.tokens import new_raw_token, root_token_records
from ..status import rfc3339, uuid_of
from .places import all_found, furthest, last_run, opened
from .shown import report_json, survey_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cluster import Disk, Expected, Keyring, Random, Record, Table

    from .keys import Keys
    from .places import Place
    from .wanted import Wanted

OnProgress = Callable[[Progress], None]
NS = 1_000_000_000


def silent(_progress: Progress) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator asked of a restore. See Order."""

    point: Point = Point()  # noqa: RUF009 - immutable
    wish: Wish = Wish()  # noqa: RUF009 - immutable
    generation: bytes | None = None
    fork: bool = False
    unwitnessed: bool = False
    accept_loss: bool = False
    expected: tuple[Expected, ...] = ()
    witness_folders: tuple[Path, ...] = ()
    new_root_token: bool = False
    unled: bool = False  # also a line that a restore began and nobody has led yet
    whole: bool = False  # only if nothing is missing, so that no token is void


class RootTokenMaker:
    """Adds a root token to a new cluster where those of the backup are void, or always."""

    def __init__(self, random: Random, *, always: bool, never: bool = False) -> None:
        self._random = random
        self._always = always
        self._never = never
        self.token: str | None = None

    def __repr__(self) -> str:
        return "<RootTokenMaker>"

    def extra(self, keyring: Keyring, now_ns: int, earlier: bool) -> list[tuple[Table, bytes, Record]]:
        """Its records. See Extra. Raises RestoreError where one would be needed and nobody is there to take it."""
        if earlier and self._never:
            raise RestoreError("the end of the backup is missing, and with it what was revoked last")
        if not (earlier or self._always):
            return []
        self.token = new_raw_token(self._random.bytes)
        sealing = ValueSealing(Sealer(keyring, self._random, b""))
        return root_token_records(self.token, sealing, now_ns, self._random.bytes)


async def listed(places: Sequence[Place]) -> list[dict[str, Any]]:
    """Every generation of every sink. Raises SinkError."""
    async with all_found(places) as found:
        return [
            {"url": one.sink.url, "generations": [survey_json(survey) for survey in one.surveys]} for one in found
        ]


async def seals(places: Sequence[Place], generation: bytes | None) -> tuple[str, int]:
    """(type, threshold) of the newest seal of what would be restored. Raises RestoreError, SinkError."""
    async with all_found(places) as found:
        _, survey = furthest(found, generation)
        seal = survey.seals[-1].seal
        return seal.type, seal.threshold


async def verified(places: Sequence[Place], keys: Keys, on_progress: OnProgress = silent) -> list[dict[str, Any]]:
    """Every object of every generation that can be restored, opened and applied. Raises SinkError, WrongKeyError."""
    random = SystemRandom()
    results = []
    async with all_found(places) as found:
        for one in found:
            for survey in one.surveys:
                if not survey.runs:
                    continue
                generation = survey.generation.generation
                restore = Restore(one.sink, survey.generation, checked(one.sink, keys.open, random), random)
                try:
                    await restore.open()
                    done = await Verifying(one.sink, generation, restore, random, on_progress).run()
                finally:
                    restore.wipe()
                results.append(
                    {
                        "url": one.sink.url,
                        "generation": uuid_of(generation),
                        "objects": done.objects,
                        "bytes": done.size_bytes,
                        "last": done.last,
                        "not_opened": done.left_out,
                        "wrong": done.wrong,
                    }
                )
    return results


async def restored(
    places: Sequence[Place],
    wanted: Wanted,
    asked: Asked,
    keys: Keys,
    on_progress: OnProgress = silent,
    disks: list[Disk] | None = None,
) -> dict[str, Any]:
    """The folders are those of members of a new cluster. Raises what Restoring.run raises, and SinkError.

    `disks` stand for `wanted.folders` where they are locked already.
    """
    random = SystemRandom()
    maker = RootTokenMaker(random, always=asked.new_root_token, never=asked.whole)
    async with all_found(places) as found:
        chosen, survey = furthest(found, asked.generation, unled=asked.unled)
        order = Order(
            members=wanted.members, cluster_name=wanted.cluster_name, profile=wanted.profile, point=asked.point,
            wish=asked.wish, generation=survey.generation.generation,
            fork=asked.fork, unwitnessed=asked.unwitnessed, accept_loss=asked.accept_loss, expected=asked.expected,
            witnesses=[one for folder in asked.witness_folders for one in read_witnesses(SystemDisk(folder))],
            sink_name=chosen.place.name, end_unknown=is_snapshot(chosen.sink),
        )  # fmt: skip
        others = [one.sink for one in found if one is not chosen]
        opener = checked(chosen.sink, keys.open, random)
        work = Restoring(chosen.sink, order, opener, SystemClock(), random, on_progress, others)
        with free_folders([] if disks is not None else wanted.folders, wanted.profile) as locked:
            report = await work.run(locked if disks is None else disks, maker.extra)
        return {"url": chosen.sink.url, **report_json(report, maker.token)}


async def joined(
    place: Place, generation: bytes, wanted: Wanted, members: list[str], keys: Keys, on_progress: OnProgress = silent
) -> dict[str, Any]:
    """The folders are those of further members of a restored cluster. Raises what Joining.run raises."""
    async with opened(place) as sink:
        work = Joining(sink, generation, wanted.profile, keys.open, SystemClock(), SystemRandom(), on_progress)
        with free_folders(wanted.folders, wanted.profile) as disks:
            index = await work.run(disks, members)
    return {"generation": uuid_of(generation), "index": index, "folders": len(wanted.folders)}


async def drilled(
    places: Sequence[Place], asked: Asked, keys: Keys, on_progress: OnProgress = silent
) -> dict[str, Any]:
    """A restore into memory and nothing else (J2): how long it took, how old its newest entry is."""
    clock, random = SystemClock(), SystemRandom()
    begun_s = clock.boot()
    async with all_found(places) as found:
        chosen, survey = furthest(found, asked.generation)
        opener = checked(chosen.sink, keys.open, random)
        restore = Restore(chosen.sink, survey.generation, opener, random, on_progress)
        try:
            await restore.open()
            state = await restore.replay(asked.point)
        finally:
            restore.wipe()
        left_out = restore.left_out_from
    return {
        "url": chosen.sink.url,
        "generation": uuid_of(survey.generation.generation),
        "index": state.applied_index,
        "time": rfc3339(state.time_ns),
        "digest": state.digest.to_bytes(16, "little").hex(),
        "newest_index": last_run(survey).last,
        "duration_s": round(clock.boot() - begun_s, 3),
        "age_s": round(max(0, clock.wall_ns() - state.time_ns) / NS, 3),
        "not_opened_from": left_out,
    }


@contextmanager
def folders(paths: Sequence[Path]) -> Iterator[list[Disk]]:
    """Disks of these folders, locked inside (J1). Raises FolderError, OSError."""
    with ExitStack() as stack:
        disks: list[Disk] = []
        for path in paths:
            disks.append(SystemDisk(path))
            stack.callback(os.close, lock_folder(path))
        yield disks


@contextmanager
def free_folders(paths: Sequence[Path], profile: str) -> Iterator[list[Disk]]:
    """As `folders`, and none is a member's. Raises OccupiedError, FolderError, which name the folder, and OSError."""
    with folders(paths) as disks:
        for path, disk in zip(paths, disks, strict=True):
            try:
                check_free(disk, profile)
            except (OccupiedError, DamagedError) as error:
                raise OccupiedError(f"{path}: {error}") from None
            except FolderError as error:
                raise FolderError(f"{path}: {error}") from None
        yield disks
