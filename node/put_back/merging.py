"""What of an engine does not go back, where the mount that held it is still there: decided for each mount anew.

Pure but for what it remembers of one restore. A snapshot knows nothing of what was revoked or tightened since, and data
outside of this store were encrypted or signed since. So of a mount with a twin
  pki      certificates, their leases and revocations are those of both, and of one that both have, those of now; the
           list's settings are those of now. The authority, its roles and its URLs are the snapshot's
  transit  a key that is still the same one stays as it is now, with all its versions; of one that was put back from an
           older backup meanwhile, the snapshot's versions come, and none of its bounds falls. A key that was deleted
           comes back; one of the same name that is another key is replaced; one that is younger than the snapshot goes
Invariants
  G1  no revocation of a certificate that is known now is unknown afterwards
  G2  no bound of a key that stays the same one (min_decryption_version, min_encryption_version, min_available_version)
      is lower than now, and no version of it that is there now is missing
  G3  what changes meanwhile is named by `note`, and settled again: at last in the transaction that swaps the mounts
Source: docs/decisions/0010-a-snapshot-is-put-back-by-writes.md.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Protocol

import msgspec

from cluster import MOUNT_UUID_BYTES, DamagedError, Table

from ..engines.pki.authority import CERTIFICATES, CRL, ENDS, LEASED, REVOKED
from ..engines.transit.keys import FOLDER, Key, version_name
from ..engines.transit.material import Version
from ..engines.transit.settings import KEYS_CONFIG
from .moving import Settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import View

    from .moving import Mover
    from .plan import Putting

NAMES_PER_LOOK = 500
_VERSIONS = version_name("", 0).partition("/")[0] + "/"
_key = msgspec.msgpack.Decoder(Key).decode
_version = msgspec.msgpack.Decoder(Version).decode
_encode = msgspec.msgpack.Encoder().encode


class Merger(Protocol):
    """One mount with a twin. A unit is what is settled together: an entry, or a key with its versions."""

    dirty: set[str]
    """Units that changed since they were settled."""

    def meet(self, view: View, source: bytes, record: bytes) -> bool:
        """Whether the snapshot's entry is put back as it is; if not, it is of a unit."""
        ...

    def units(self, view: View) -> Iterator[str]:
        """All units, once the snapshot was read. The view may change meanwhile."""
        ...

    def note(self, key: bytes) -> None:
        """The twin's entry changed (G3)."""
        ...

    def settle(self, view: View, unit: str) -> list[Settled]:
        """What is to stand in the new mount of this unit, as of this view. Raises DamagedError."""
        ...

    def remarks(self) -> list[str]:
        """Sentences for whoever asked, once all units were settled."""
        ...


class Both:
    """What mergers have in common."""

    def __init__(self, putting: Putting, mover: Mover) -> None:
        assert putting.twin is not None
        self._path = putting.path
        self._twin = putting.twin.mount.uuid
        self._target = putting.target
        self._mover = mover
        self.dirty: set[str] = set()

    def _now(self, view: View, name: str) -> bytes | None:
        """What the twin's entry says."""
        key = self._twin + name.encode()
        found = view.get(Table.ENTRY, key)
        return None if found is None else self._mover.opened_now(key, found[1])

    def _settled(self, name: str, plaintext: bytes | None) -> Settled:
        return Settled(self._target + name.encode(), plaintext)

    def _names(self, view: View, folder: str) -> Iterator[str]:
        """Names of the twin's entries in the folder, some at a time: the view may change between them."""
        root, after = self._twin + folder.encode(), b""
        while found := view.list_entries(root, after=after, limit=NAMES_PER_LOOK):
            yield from (folder + name.decode() for name in found if not name.endswith(b"/"))
            after = found[-1]


class PkiMerger(Both):
    """See the module's paragraph."""

    _FOLDERS = (CERTIFICATES, ENDS, LEASED, REVOKED)

    def __init__(self, putting: Putting, mover: Mover) -> None:
        super().__init__(putting, mover)
        self._kept = 0

    def _is_unit(self, name: str) -> bool:
        return name.startswith(self._FOLDERS) or name == CRL

    def meet(self, view: View, source: bytes, record: bytes) -> bool:
        """See Merger."""
        del record
        name = source[MOUNT_UUID_BYTES:].decode()
        return not self._is_unit(name) or view.get(Table.ENTRY, self._twin + name.encode()) is None

    def units(self, view: View) -> Iterator[str]:
        """See Merger."""
        for folder in self._FOLDERS:
            for name in self._names(view, folder):
                self._kept += folder == CERTIFICATES
                yield name
        if view.get(Table.ENTRY, self._twin + CRL.encode()) is not None:
            yield CRL

    def note(self, key: bytes) -> None:
        """See Merger."""
        name = key[MOUNT_UUID_BYTES:].decode()
        if self._is_unit(name):
            self.dirty.add(name)

    def settle(self, view: View, unit: str) -> list[Settled]:
        """See Merger."""
        return [self._settled(unit, self._now(view, unit))]

    def remarks(self) -> list[str]:
        """See Merger."""
        text = f"{self._path}: certificates, their leases and revocations are those of both, its list's settings of now"
        return [text] if self._kept else []


class TransitMerger(Both):
    """See the module's paragraph. What the snapshot has of keys is remembered sealed: some hundred bytes a version."""

    def __init__(self, putting: Putting, mover: Mover) -> None:
        super().__init__(putting, mover)
        self._then: dict[str, dict[str, tuple[bytes, bytes]]] = {}  # unit → name → (key, record) of the snapshot
        self._stay: set[str] = set()
        self._others: set[str] = set()
        self._younger = 0

    @staticmethod
    def _unit(name: str) -> str | None:
        if name.startswith(FOLDER):
            return name
        if name.startswith(_VERSIONS):
            return FOLDER + name[len(_VERSIONS) :].rpartition("/")[0]
        return name if name == KEYS_CONFIG else None

    def meet(self, view: View, source: bytes, record: bytes) -> bool:
        """See Merger."""
        del view
        name = source[MOUNT_UUID_BYTES:].decode()
        unit = self._unit(name)
        if unit is None:
            return True
        self._then.setdefault(unit, {})[name] = source, record
        return False

    def units(self, view: View) -> Iterator[str]:
        """See Merger."""
        yield from sorted(self._then)
        if KEYS_CONFIG not in self._then and view.get(Table.ENTRY, self._twin + KEYS_CONFIG.encode()) is not None:
            yield KEYS_CONFIG
        self._younger = sum(name not in self._then for name in self._names(view, FOLDER))

    def note(self, key: bytes) -> None:
        """See Merger."""
        unit = self._unit(key[MOUNT_UUID_BYTES:].decode())
        if unit is not None and (unit in self._then or unit == KEYS_CONFIG):
            self.dirty.add(unit)

    def settle(self, view: View, unit: str) -> list[Settled]:
        """See Merger."""
        wanted = self._config(view) if unit == KEYS_CONFIG else self._wanted(view, unit)
        stands = self._standing(view, unit) - wanted.keys()
        return [
            *(self._settled(name, None) for name in sorted(stands)),
            *(self._settled(name, plaintext) for name, plaintext in wanted.items()),
        ]

    def _standing(self, view: View, unit: str) -> set[str]:
        """Names of the unit in the new mount."""
        if unit == KEYS_CONFIG:
            return set()
        folder = f"{_VERSIONS}{unit[len(FOLDER) :]}/"
        found = view.list_entries(self._target + folder.encode())
        return {unit, *(folder + name.decode() for name in found)}

    def _config(self, view: View) -> dict[str, bytes]:
        now = self._now(view, KEYS_CONFIG)
        return {KEYS_CONFIG: self._then_of(KEYS_CONFIG, KEYS_CONFIG) if now is None else now}

    def _then_of(self, unit: str, name: str) -> bytes:
        found = self._then[unit].get(name)
        if found is None:
            raise DamagedError("a key of the snapshot lacks a version")
        return self._mover.opened_then(*found)

    def _wanted(self, view: View, unit: str) -> dict[str, bytes]:
        """Name → what it says, of a key and its versions."""
        name = unit[len(FOLDER) :]
        then, now = _read(self._then_of(unit, unit)), self._now(view, unit)
        self._stay.discard(unit)
        self._others.discard(unit)
        if now is None:
            return self._versions_then(unit, name, then)
        held = _read(now)
        if not self._is_same(view, unit, name, then, held):
            self._others.add(unit)
            return self._versions_then(unit, name, then)
        if held.latest_version < then.latest_version:
            return self._versions_then(unit, name, raised(then, held))
        self._stay.add(unit)
        versions = {version_name(name, number): self._now(view, version_name(name, number)) for number in held.stored}
        return {unit: now, **{key: found for key, found in versions.items() if found is not None}}

    def _versions_then(self, unit: str, name: str, key: Key) -> dict[str, bytes]:
        found = {version_name(name, number): self._then_of(unit, version_name(name, number)) for number in key.stored}
        return {unit: _encode(key), **found}

    def _is_same(self, view: View, unit: str, name: str, then: Key, now: Key) -> bool:
        """Whether both grew from one key; where no version is left to tell, they are taken to have (G2)."""
        if then.type != now.type:
            return False
        common = range(max(then.stored.start, now.stored.start), min(then.stored.stop, now.stored.stop))
        if not common:
            return True
        number = version_name(name, common[-1])
        held = self._now(view, number)
        if held is None:
            raise DamagedError("a key lacks a version")
        return hmac.compare_digest(_version(self._then_of(unit, number)).key, _version(held).key)

    def remarks(self) -> list[str]:
        """See Merger."""
        said = [
            (len(self._stay), "stay as they are now, with their versions and bounds"),
            (len(self._others), "are replaced by others of the same name"),
            (self._younger, "are younger than the snapshot and gone"),
        ]
        return [f"{self._path}: {count} keys {what}" for count, what in said if count]


def raised(then: Key, now: Key) -> Key:
    """The snapshot's key with no bound lower, and nothing more allowed, than now (G2)."""
    available = max(then.min_available_version, now.min_available_version)
    decryption = max(then.min_decryption_version, now.min_decryption_version)
    encryption = max(then.min_encryption_version, now.min_encryption_version)
    return msgspec.structs.replace(
        then, min_available_version=available, min_decryption_version=decryption,
        min_encryption_version=max(encryption, decryption) if encryption else 0,
        exportable=then.exportable and now.exportable, deletion_allowed=then.deletion_allowed and now.deletion_allowed,
        allow_plaintext_backup=then.allow_plaintext_backup and now.allow_plaintext_backup,
    )  # fmt: skip


def _read(plaintext: bytes) -> Key:
    try:
        return _key(plaintext)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedError("a key has another shape") from None


MERGERS: dict[str, type[PkiMerger | TransitMerger]] = {"pki": PkiMerger, "transit": TransitMerger}
"""Type of mount → what merges it. Of other types everything goes back."""

__all__ = ["MERGERS", "Merger", "PkiMerger", "TransitMerger", "raised"]
