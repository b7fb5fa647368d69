"""`backup.restore_on_boot`: a cluster whose folders are all gone restores itself, if a witness agrees.

A shell around one step that is repeated while the node has no cluster. Invariants
  B1  only where every configured member answers and none has a cluster: a member that is alive is never left out, and
      of all members one begins the restore
  B2  only with a witness: files of an earlier life in the data folder, or STRONGROOM_RESTORE_EXPECT
  B3  only to the newest state, whole and with its tokens: everything else needs an operator
  B4  the others lay themselves out from the restored line as long as nobody has led it; later, or without the sink,
      they begin empty and are brought up
  B5  no error ends the looking: each is said once, a sink that does not answer is asked ATTEMPTS times
  B6  looking makes no file and no schema
Source: docs/backup.md; docs/threat-model.md, backup and restore.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import msgspec

from cluster import Joining, RestoreError, SinkError, StrongroomError, read_envelope_answer, read_witnesses

from .jobs import Asked, restored
from .keys import Keys
from .places import is_absent, opened
from .wanted import expected_of, of_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member

    from ..config import Config
    from .places import Place

log = logging.getLogger("strongroom.backup")

CALL_S = 5.0
ATTEMPTS = 10
WAIT_S_MAX = 60.0
EMPTY = "uninitialised"
EXPECT = "STRONGROOM_RESTORE_EXPECT"


class BootRestore:
    """One node's part."""

    def __init__(self, member: Member, config: Config, on_event: Callable[..., None]) -> None:
        self._member = member
        self._config = config
        self._on_event = on_event
        self._attempts = 0
        self._not_before_s = 0.0
        self._said: set[str] = set()
        self._over = config.backup.restore_on_boot == "never"

    @property
    def enabled(self) -> bool:
        """There may be something to do yet."""
        return not self._over

    async def step(self) -> bool:
        """One look around. True: leave the rest alone this time."""
        if self._over:
            return False
        states = [await self._state(peer) for peer in self._peers()]
        if any(state not in {None, EMPTY} for state in states):
            return await self._join()
        if None in states or self._member.settings.node_id != min(self._member.settings.members):
            return False
        await self._restore()
        return True

    def _peers(self) -> list[str]:
        settings = self._member.settings
        return [name for name in settings.members if name != settings.node_id]

    async def _state(self, peer: str) -> str | None:
        """What the peer says of itself; None if it does not answer."""
        links = self._member.links
        if links is None or not links.standing(peer):
            return None
        try:
            answer = await links.call(peer, "state", b"", CALL_S)
            word, _, _ = msgspec.msgpack.decode(answer, type=tuple[str, bytes, bool])
        except (StrongroomError, msgspec.MsgspecError):
            return None
        return word

    def _keys(self) -> Keys:
        seal = self._config.seal
        return Keys(key_file=seal.key_file, key_text=seal.key.reveal())

    async def _restore(self) -> None:
        """B2, B3, B5."""
        if self._member.clock.boot() < self._not_before_s:
            return
        try:
            await self._attempt()
        except (SinkError, TimeoutError) as error:
            self._later(str(error) or "a sink did not answer in time")
        except StrongroomError as error:
            self._give_up(str(error))
        except OSError as error:
            self._later(_sentence(error))

    async def _attempt(self) -> None:
        wanted = of_config(self._config)
        said = os.environ.get(EXPECT, "")
        expected = (expected_of(said),) if said else ()
        witnessed = bool(said or read_witnesses(self._member.disk))
        if not await self._has_backup(wanted.places):
            if witnessed:
                self._give_up("a witness knows of a backup, and the sinks show none")
                return
            self._over = True
            log.info("restore_on_boot: the sinks hold no backup, so this is a new cluster")
            return
        if not witnessed:
            self._give_up(f"there is no witness: neither files of an earlier life in the data folder, nor {EXPECT}")
            return
        asked = Asked(expected=expected, witness_folders=(self._member.settings.data_dir,), whole=True)
        report = await restored(wanted.places, wanted, asked, self._keys(), disks=[self._member.disk])
        log.warning("restored to index %d of %s, as %s", report["index"], report["time"], report["generation"])
        self._on_event("restore", index=report["index"], parent=report["parent"], generation=report["generation"])

    async def _has_backup(self, places: list[Place]) -> bool:
        """Whether any sink holds anything (B6). Raises SinkError, OSError."""
        for place in places:
            if is_absent(place):
                continue
            async with opened(place, reads_only=True) as sink:
                if await sink.generations():
                    return True
        return False

    def _later(self, why: str) -> None:
        """Another attempt, each after twice the time; after ATTEMPTS of them an operator is needed."""
        self._attempts += 1
        if self._attempts >= ATTEMPTS:
            self._give_up(why)
            return
        self._not_before_s = self._member.clock.boot() + min(2.0**self._attempts, WAIT_S_MAX)
        self._warn(f"{why}; trying again")

    def _warn(self, sentence: str) -> None:
        """Once."""
        if sentence not in self._said:
            self._said.add(sentence)
            log.warning("restore_on_boot: %s", sentence)

    def _give_up(self, why: str) -> None:
        self._over = True
        log.error("restore_on_boot: an operator must restore this cluster: %s", why)

    async def _join(self) -> bool:
        """B4. True if it is to be tried again, or is done."""
        generation = await self._generation()
        if generation is None:
            return False
        self._attempts += 1
        try:
            wanted = of_config(self._config)
        except (StrongroomError, OSError) as error:
            self._over = True
            self._warn(_sentence(error))
            return False
        unreachable = False
        for place in wanted.places:
            try:
                index = await self._laid_out(place, generation, wanted.profile)
            except (SinkError, TimeoutError):
                unreachable = True
            except RestoreError as error:  # as a rule: that cluster has served already
                log.info("restore_on_boot: %s", error)
            except (StrongroomError, OSError) as error:
                self._warn(_sentence(error))
            else:
                log.warning("laid out as a member of the restored cluster, at index %d", index)
                return True
        self._over = not unreachable or self._attempts >= ATTEMPTS
        return not self._over

    async def _laid_out(self, place: Place, generation: bytes, profile: str) -> int:
        """The index that this member begins with. Raises as Joining.run, and TimeoutError."""
        member = self._member
        async with opened(place) as sink:
            work = Joining(sink, generation, profile, self._keys().open, member.clock, member.random)
            return await work.run([member.disk], [member.settings.node_id])

    async def _generation(self) -> bytes | None:
        """The line of history of the first peer that tells."""
        links = self._member.links
        for peer in self._peers():
            if links is None or not links.standing(peer):
                continue
            try:
                _, _, bootstrap = read_envelope_answer(await links.call(peer, "envelope", b"", CALL_S))
            except StrongroomError:
                continue
            return bootstrap.generation
        return None


def _sentence(error: Exception) -> str:
    """What may be logged of an error of ours or of the system."""
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'} cannot be used: {error.strerror}"
    return str(error)
