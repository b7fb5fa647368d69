"""Every operation of a run, and whether each answer can be: compared with the log, entry by entry.

Areas verified: what is acknowledged stands in the log with the version that was answered; an operation is applied once,
and never if its answer said that nothing happened; versions of a path are dense, each written by one operation; what is
applied was allowed, by a valid token, on exactly the state before it; a refusal and a read say what the state at their
index says, and that index is no older than anything finished before they began; a write id resolves to what was
applied; a token whose revocation was acknowledged is served nowhere, nor are its children; whoever asks is answered.
Areas not verified: audit, response bodies beyond what clients of these operations read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import DamagedError
from cluster.state import records
from cluster.state.tables import Table
from cluster.state.view import look

from .facts import Facts, number_of
from .model import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.keyring.sealing import Sealer
    from cluster.state.transaction import Transaction

    from ..member import SimMember
    from ..world import World
    from .facts import Change
    from .operations import Asked, Reply

FINE = (200, 204)
SLACK_S = 0.7


class History:
    """`hash_of` and `id_key` are the product's keyed hashes; `uuid` that of the mount of the secrets.

    `newest_ns` is the newest stamp that any member knows.
    """

    def __init__(
        self,
        world: World,
        sealer: Sealer,
        hash_of: Callable[[str], bytes],
        id_key: Callable[[bytes, str], bytes],
        uuid: bytes,
        newest_ns: Callable[[], int],
    ) -> None:
        self.world = world
        self.facts = Facts(sealer)
        self.model = Model(self.facts, hash_of, uuid)
        self.operations: dict[int, Asked] = {}
        self.highest = 0  # index that some member applied, first entries of terms too
        self.floor = 0  # index that covers every write and read that is finished
        self.applied_at: dict[int, int] = {}  # number of an operation → index of its entry
        self.placed: dict[int, tuple[bytes, int, int]] = {}  # its number → secret, version, index of its value
        self.revoked_s: dict[str, float] = {}  # raw token → when its revocation was acknowledged
        self.parents: dict[str, str] = {}  # raw token → raw token that made it, while it surely is a child
        self.remembered_s = 0.0  # how long a write id is known at least
        self.uses: dict[str, int] = {}  # raw token with limited uses → how many are left for answers that serve
        self._orphaned: set[str] = set()  # tokens whose children may live on without them
        self._hash_of = hash_of
        self._id_key = id_key
        self._newest_ns = newest_ns
        self._by_id: dict[bytes, Asked] = {}

    # ---- what clients do
    def invoked(self, asked: Asked) -> None:
        """The first attempt leaves."""
        self.operations[asked.number] = asked
        asked.invoked_s, asked.floor = self.world.now_s, self.floor
        if asked.write_id is not None and not asked.is_read:
            self._by_id[self._id_key(self._hash_of(asked.token), asked.write_id)] = asked
        if asked.kind == "revoke orphan":  # from now on nobody knows whose children they are
            self._orphaned.add(asked.target)
            self.parents = {raw: parent for raw, parent in self.parents.items() if parent != asked.target}

    def made(self, raw: str, parent: str) -> None:
        """A token is the child of another one, unless an orphan was made of it on its way."""
        if parent not in self._orphaned:
            self.parents[raw] = parent

    # ---- what the log says
    def applied(self, index: int, transaction: Transaction) -> None:
        """A listener of every member's state; the first to apply an index tells."""
        if index <= self.facts.highest:
            return
        try:
            change = self.facts.add(index, transaction, self.world.now_s)
        except DamagedError:
            self.world.violate("a value does not open", index)
            return
        if index == 1:
            return
        who = [self._by_id[key] for key in change.write_ids if key in self._by_id]
        self._check_versions(change)
        for _, _, number in change.versions:
            if number in self.operations and number not in {asked.number for asked in who}:
                who.append(self.operations[number])
        for asked in who:
            self._check_applied(asked, change)

    def _check_versions(self, change: Change) -> None:
        made = {(key, number): operation for key, number, operation in change.versions if operation}
        for (key, number), operation in made.items():
            if operation not in self.operations:
                self.world.violate("a value that nobody wrote", change.index, number)
                return
            place = self.placed.setdefault(operation, (key, number, change.index))
            if place[2] != change.index:
                self.world.violate("applied twice", self.operations[operation], place[2], change.index)
        for key, before, after in change.secrets:
            numbers = [number for owner, number in made if owner == key]
            was = 0 if before is None else before.current
            wanted = [] if after is None or after.current == was else [was + 1]
            if numbers != wanted or (after is not None and after.current != was + len(wanted)):
                self.world.violate("versions are not dense", change.index, was, numbers)

    def _check_applied(self, asked: Asked, change: Change) -> None:
        world, index = self.world, change.index
        if self.applied_at.setdefault(asked.number, index) != index:
            world.violate("applied twice", asked, self.applied_at[asked.number], index)
        if asked.outcome in {"refused", "no"}:
            world.violate("refused, and applied", asked, index)
        if index <= asked.floor:
            world.violate("applied before it was asked", asked, index, asked.floor)
        expected = self.model.expected(asked, index - 1, change.time_ns)
        if not set(expected.statuses) & set(FINE):
            kind = "applied for a token that is not valid" if 403 in expected.statuses else "decided on another state"
            world.violate(kind, asked, index, expected.statuses)

    # ---- what is answered
    def answered(self, asked: Asked, reply: Reply) -> bool:
        """An attempt ended with this; True if the operation is over, and checked."""
        status = reply.status
        if status == 500:
            self.world.violate("an internal error was answered", asked)
            return True
        if status in {503, 504}:
            self._check_forgotten(asked, reply)
            asked.unsure |= status == 504 and not asked.is_read
            return self._finish(asked, "" if asked.unsure else "no", reply)
        if reply.index < asked.floor and status != 409:
            self.world.violate("stale answer", asked, status, reply.index, asked.floor)
            return True
        if status == 409:
            return self._repeated(asked, reply)
        if asked.is_read:
            return self._read(asked, reply)
        if status in FINE:
            return self._acknowledged(asked, reply)
        return self._refused(asked, reply)

    def _check_forgotten(self, asked: Asked, reply: Reply) -> None:
        """An id that was forgotten is as old as the window at least, where their number forgets none.

        One that a node drew is as old as what it had heard of the time, and that may have been long on its way.
        """
        if "no longer known" not in str(reply.body.get("errors")):
            return
        self.world.stats["ids that were forgotten"] += 1
        older_s = self.world.longest_way_s if asked.write_id is None else 0.0
        if self.world.now_s - asked.invoked_s < self.remembered_s - SLACK_S - older_s:
            self.world.violate("a write id is forgotten too early", asked)

    def _finish(self, asked: Asked, outcome: str, reply: Reply) -> bool:
        asked.status, asked.index, asked.completed_s = reply.status, reply.index, self.world.now_s
        asked.outcome = outcome
        if outcome in {"done", "refused"} and reply.index:
            self.floor = max(self.floor, min(reply.index, self.highest))
        if outcome == "done" and asked.token in self.uses:
            self.world.stats["uses paid"] += 1
            self.uses[asked.token] -= 1
            if self.uses[asked.token] < 0:
                self.world.violate("a token was used too often", asked)
        if outcome == "no" and asked.number in self.applied_at:
            self.world.violate("refused, and applied", asked, self.applied_at[asked.number])
        return outcome != ""

    def _expect(self, asked: Asked, reply: Reply) -> object:
        """What the state at the answer's index has, if it justifies the status."""
        if reply.index > self.highest:
            self.world.violate("answered for an index that nobody applied", asked, reply.index)
            return None
        expected = self.model.expected(asked, reply.index, self._newest_ns())
        if reply.status not in expected.statuses and asked.token in self.uses:  # its own entry took the last use
            expected = self.model.expected(asked, reply.index - 1, self._newest_ns())
        if reply.status not in expected.statuses:
            name = "a read of what is not there" if asked.is_read else "a refusal that nothing justifies"
            self.world.violate(name, asked, reply.status, reply.index, expected.statuses)
        return expected.seen

    def _read(self, asked: Asked, reply: Reply) -> bool:
        wanted = self._expect(asked, reply)
        if reply.status == 200:
            asked.seen = seen_in(asked.kind, reply)
            if asked.kind != "lookup" and asked.seen != wanted:
                self.world.violate("another value was read", asked, reply.index, asked.seen, wanted)
            self._check_revoked(asked)
        return self._finish(asked, "done" if reply.status == 200 else "refused", reply)

    def _refused(self, asked: Asked, reply: Reply) -> bool:
        at = self.applied_at.get(asked.number, 0)
        if not asked.unsure and at:
            self.world.violate("refused, and applied", asked, at)
        elif 0 < at <= reply.index and reply.status != 403 and asked.write_id is not None:
            self.world.violate("a write id does not resolve", asked, reply.status, at, reply.index)
        elif not at or at > reply.index:
            self._expect(asked, reply)
        if asked.unsure:
            self.floor = max(self.floor, min(reply.index, self.highest))
            return False  # the attempt is refused; another one may still be on its way
        return self._finish(asked, "refused", reply)

    def _acknowledged(self, asked: Asked, reply: Reply) -> bool:
        at = self.applied_at.get(asked.number, 0)
        if at > reply.index or (at and not asked.unsure and at != reply.index):
            self.world.violate("acknowledged at another index", asked, at, reply.index)
        self.world.stats["resolved by its id"] += bool(at and asked.unsure)
        if not at:
            self._check_nothing_to_do(asked, reply)
        elif asked.kind in {"put", "patch"}:
            asked.seen = (reply.body.get("data") or {}).get("version")
            if asked.seen != self.placed[asked.number][1]:
                self.world.violate("another version was answered", asked, asked.seen, self.placed[asked.number][1])
        self._check_revoked(asked)
        self._finish(asked, "done", reply)
        if asked.kind in {"revoke", "revoke self"}:
            self.revoked_s[asked.target] = self.world.now_s
        return True

    def _check_nothing_to_do(self, asked: Asked, reply: Reply) -> None:
        """Acknowledged, and no entry: then the state at that index had it already."""
        if reply.index > self.highest:
            self.world.violate("answered for an index that nobody applied", asked, reply.index)
            return
        if not self._is_there_already(asked, reply.index):
            self.world.violate("acknowledged and not applied", asked, reply.index)
            return
        self._expect(asked, reply)

    def _is_there_already(self, asked: Asked, index: int) -> bool:
        if asked.kind == "revoke":
            return False in self.model.token_states(asked.target, index, self._newest_ns())
        secret = self.facts.secret(self.model.key(asked.name), index) if asked.name else None
        if secret is None:
            return asked.kind in {"delete", "delete versions", "undelete", "destroy", "delete metadata"}
        gone = secret.gone or {}
        there = range(max(secret.oldest, 1), secret.current + 1)
        numbers = [number for number in asked.versions or (secret.current,) if number in there]
        if asked.kind in {"delete", "delete versions"}:
            return all(number in gone for number in numbers)
        if asked.kind == "undelete":
            return all(gone.get(number, 0) <= 0 for number in numbers)
        if asked.kind == "destroy":
            return all(gone.get(number, 1) <= 0 for number in numbers)
        return False

    def _repeated(self, asked: Asked, reply: Reply) -> bool:
        """409: the write was applied and its answer is not kept."""
        at = self.applied_at.get(asked.number, 0)
        text = str((reply.body.get("errors") or [""])[0])
        if not at or reply.applied != "yes" or f"index {at}," not in text:
            self.world.violate("a repetition that names another write", asked, at, text)
        if not asked.unsure:
            self.world.violate("a repetition of what was asked once", asked, at)
        self.world.stats["resolved by its id"] += 1
        return self._finish(asked, "done", reply)

    def _check_revoked(self, asked: Asked) -> None:
        raw: str | None = asked.token
        while raw is not None:
            if self.revoked_s.get(raw, asked.invoked_s) < asked.invoked_s:
                self.world.violate("a revoked token was served", asked)
            raw = self.parents.get(raw)

    # ---- the end
    def final(self, members: list[SimMember]) -> None:
        """Every member's records of secrets are what the log made of them."""
        for member in members:
            assert member.replica is not None
            state = member.replica.state
            for key, kept in self.facts.secrets.items():
                found = look(state, Table.SECRET, records.Secret, key)
                if (None if found is None else found[1]) != kept.newest:
                    self.world.violate("a secret is not what the log says", member.node_id)


def seen_in(kind: str, reply: Reply) -> object:
    """What a client reads out of an answer, as the model says it."""
    data = reply.body.get("data") or {}
    if kind == "read":
        return (data["metadata"]["version"], number_of(data["data"]))
    if kind == "read metadata":
        return data["current_version"]
    return sorted(data["keys"]) if kind == "list" else None
