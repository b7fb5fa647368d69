"""What clients of the simulator check: each check says so when it is broken, and says nothing when it is not.

Histories are written by hand: entries of a log, what was asked, what was answered. Each broken one stands beside one
that differs in the point alone and holds. That the checks find real mistakes: mutants_workload.py, test_sim_mutants.py.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.sim.member import GENERATION, keyring
from chaos.sim.options import expand
from chaos.sim.run import run
from chaos.sim.workload.history import History
from chaos.sim.workload.operations import Asked, Reply
from chaos.sim.workload.seed import EPOCH_NS, FIRST_TOKENS, ROOT, add_facts, mount_uuid
from chaos.sim.world import SimRandom, World
from cluster.keyring.sealing import Sealer
from cluster.state import records
from cluster.state.machine import State
from cluster.state.tables import Table, version_key
from cluster.state.transaction import Draft, Transaction
from cluster.values import ValueSealing
from node.auth.tokens import put_token

SEED = 7
APP = next(iter(FIRST_TOKENS))
READER = next(raw for raw, policy in FIRST_TOKENS.items() if policy == "reader")
CHILD = "hvs.child"
RID = b"rid-of-k"
SEEN = [
    "done: put 200", "done: patch 200", "done: delete 204", "done: delete versions 204", "done: undelete 204",
    "done: destroy 204", "done: metadata 204", "done: delete metadata 204", "done: create 200", "done: create 409",
    "done: renew 200", "done: revoke 204", "done: revoke orphan 204", "done: revoke self 204", "done: read 200",
    "done: read metadata 200", "done: list 200", "done: lookup 200", "refused: put 400", "refused: put 403",
    "refused: create 403", "refused: read 404", "refused: read 403", "refused: renew 400", "refused: lookup 403",
    "no: put 503", "no: read 503", "unknown", "unknown, asked again", "forwarded", "resolved by its id",
    "forwards nobody answered", "ids that were forgotten",
    "uses paid",
]  # fmt: skip
HISTORY = """
import hashlib, sys
from chaos.sim.clients import Clients
from chaos.sim.run import run
made = []
begin = Clients.__init__
def init(self, *arguments):
    begin(self, *arguments)
    made.append(self)
Clients.__init__ = init
assert not run(int(sys.argv[1])).violations
lines = [f"{one!r} {one.seen} {one.invoked_s} {one.completed_s}" for one in made[0].history.operations.values()]
print(len(lines), hashlib.sha256("\\n".join(lines).encode()).hexdigest())
"""


class Book:
    """A history that is written by hand, from entry 1 on."""

    def __init__(self) -> None:
        self.world = World(expand(SEED))
        self.sealer = Sealer(keyring(SEED), SimRandom(random.Random(1)), GENERATION)
        self.sealing = ValueSealing(self.sealer)
        self.uuid = mount_uuid(SEED)
        self.index = 0
        self.number = 0
        self.history = History(
            self.world, self.sealer, self.sealing.token_hash, self.id_key, self.uuid, lambda: EPOCH_NS + self.index
        )
        draft = Draft()
        add_facts(SEED, self.sealer, draft)
        key_term, salt = self.sealer.value_salt()
        draft.put(Table.SALT, (1).to_bytes(4, "big"), records.Salt(key_term=key_term, salt=salt))
        self.entry(draft)

    def id_key(self, token: bytes, write_id: str) -> bytes:
        return self.sealing.request_hash(token, write_id.encode())

    @property
    def kinds(self) -> list[str]:
        """What was found, without times and words."""
        return [" ".join(line.split(" ")[1:]).split(" <")[0] for line in self.world.violations]

    def key(self, name: str) -> bytes:
        return self.uuid + name.encode()

    # ---- the log
    def entry(self, draft: Draft, asked: Asked | None = None) -> int:
        """The next entry; it remembers the write id of what asked for it."""
        self.index += 1
        if asked is not None and asked.write_id is not None:
            key = self.id_key(self.sealing.token_hash(asked.token), asked.write_id)
            draft.put(Table.WRITE_ID, key, records.WriteId())
        facts = Transaction(1, self.index, EPOCH_NS + self.index, [], draft.puts, draft.drops)
        self.history.applied(self.index, facts)
        self.history.highest = self.index
        return self.index

    def no_op(self) -> int:
        """An entry that says nothing."""
        self.index += 1
        self.history.highest = self.index
        return self.index

    def write(self, asked: Asked, version: int, *, rid: bytes = RID, current: int = 0, number: int = 0) -> int:
        """A version with the value of what was asked."""
        draft, key = Draft(), self.key(asked.name)
        draft.put(Table.SECRET, key, records.Secret(current=current or version, rid=rid))
        suffix = (number or version).to_bytes(4, "big")
        value = b'{"v":"%b"}' % asked.value.encode()
        box = self.sealer.seal_value(
            self.sealing._sealer._random.bytes(12), value, table=Table.VERSION, key=key, field=b"v",
            record_id=RID + suffix,
        )  # fmt: skip
        draft.put(Table.VERSION, version_key(key, number or version), records.Version(salt_id=1, box=box))
        return self.entry(draft, asked)

    def drop_token(self, raw: str, asked: Asked | None = None) -> int:
        draft = Draft()
        draft.drop(Table.TOKEN, self.sealing.token_hash(raw))
        return self.entry(draft, asked)

    def make_child(self, raw: str, parent: str, asked: Asked | None = None) -> int:
        draft = Draft()
        record = records.Token(accessor=b"of-child", policies=["app"], parent=self.sealing.token_hash(parent))
        put_token(draft, self.sealing, self.sealing.token_hash(raw), record, fresh=True)
        return self.entry(draft, asked)

    # ---- clients
    def ask(self, kind: str, token: str = ROOT, *, write_id: bool = True, **fields: Any) -> Asked:
        self.number += 1
        self.world.now_s += 0.1
        named = kind not in {"revoke", "revoke self", "create", "renew", "lookup", "list"}
        asked = Asked(self.number, kind, token, **({"name": "k"} if named else {}) | fields)
        asked.write_id = f"id-{self.number}" if write_id and not asked.is_read else None
        self.history.invoked(asked)
        return asked

    def put(self, version: int, **fields: Any) -> Asked:
        """A put that is asked, applied and acknowledged."""
        asked = self.ask("put", **fields)
        self.answer(asked, 200, self.write(asked, version), version=version)
        return asked

    def answer(self, asked: Asked, status: int, index: int, **data: Any) -> bool:
        self.world.now_s += 0.1
        body = {"data": data} if status == 200 else {"errors": [data.get("text", "")], **data}
        return self.history.answered(asked, Reply(status, index, body))

    def read(self, status: int, index: int, version: int, operation: Asked | None = None, **fields: Any) -> Asked:
        asked = self.ask("read", **fields)
        value = {"v": operation.value} if operation is not None else {}
        self.answer(asked, status, index, metadata={"version": version}, data=value)
        return asked


@pytest.fixture
def book() -> Book:
    return Book()


# ---- what stands in the log
def test_a_log_of_ordinary_writes_holds(book: Book) -> None:
    """Three versions, read back; nothing is found."""
    for version in (1, 2, 3):
        asked = book.put(version)
    book.read(200, book.index, 3, asked)

    assert book.kinds == []


@pytest.mark.parametrize(("twice", "found"), [(False, []), (True, ["applied twice"])])
def test_a_value_stands_at_one_version(book: Book, twice: bool, found: list[str]) -> None:
    """A put whose first attempt was unknown is applied by the second one alone, or by both."""
    asked = book.ask("put", write_id=False)
    book.write(asked, 1)
    book.write(asked if twice else book.ask("put"), 2)

    assert book.kinds[:1] == found


@pytest.mark.parametrize(("twice", "found"), [(False, []), (True, ["applied twice"])])
def test_a_write_id_is_executed_once(book: Book, twice: bool, found: list[str]) -> None:
    """Also where nothing but the id tells: a revocation."""
    asked = book.ask("revoke", target=APP)
    book.drop_token(APP, asked)
    book.drop_token(APP, asked if twice else book.ask("revoke", target=APP))

    assert book.kinds[:1] == found


@pytest.mark.parametrize(
    ("version", "current", "found"),
    [(2, 2, []), (3, 3, ["versions are not dense"]), (2, 3, ["versions are not dense"]), (1, 1, ["versions are not"])],
)
def test_versions_of_a_secret_are_dense(book: Book, version: int, current: int, found: list[str]) -> None:
    """After version 1 comes version 2, and metadata say the same."""
    book.put(1)
    book.write(book.ask("put"), version, current=current)

    assert [kind[: len(found[0])] for kind in book.kinds[:1]] == found if found else book.kinds == []


def test_a_value_that_nobody_wrote_is_found(book: Book) -> None:
    """The twin is every other test."""
    stranger = Asked(99, "put", ROOT, "k")
    book.write(stranger, 1)

    assert book.kinds[0].startswith("a value that nobody wrote")


@pytest.mark.parametrize(("rid", "found"), [(RID, []), (b"another!", ["a value does not open"])])
def test_a_value_opens_in_its_place_alone(book: Book, rid: bytes, found: list[str]) -> None:
    """The box was sealed for this life of the path."""
    book.write(book.ask("put"), 1, rid=rid)

    assert [kind.rpartition(" ")[0] for kind in book.kinds] == found


@pytest.mark.parametrize(("cas", "found"), [(1, []), (0, ["decided on another state"])])
def test_what_is_applied_was_allowed_by_the_state_before(book: Book, cas: int, found: list[str]) -> None:
    """A check-and-set that does not match is never in the log."""
    book.put(1)
    book.write(book.ask("put", cas=cas), 2)

    assert book.kinds == found


@pytest.mark.parametrize("token", [APP, CHILD])
@pytest.mark.parametrize(("behind", "found"), [(False, []), (True, ["applied for a token that is not valid"])])
def test_no_entry_of_a_revoked_token_stands_behind_its_revocation(
    book: Book, token: str, behind: bool, found: list[str]
) -> None:
    """Nor of its children."""
    book.make_child(CHILD, APP)
    asked = book.ask("put", token)
    if behind:
        book.drop_token(APP)
    book.write(asked, 1)

    assert book.kinds == found


@pytest.mark.parametrize(("token", "found"), [(APP, []), (READER, ["applied for a token that is not valid"])])
def test_a_token_that_may_not_write_is_never_in_the_log(book: Book, token: str, found: list[str]) -> None:
    """As its policy says."""
    book.write(book.ask("put", token), 1)

    assert book.kinds == found


# ---- failures that say that nothing happened
@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize("order", ["answered", "applied"])
def test_what_was_refused_never_appears(book: Book, status: int, order: str) -> None:
    """Whichever is seen first."""
    book.put(1)
    asked = book.ask("put", cas=5)
    if order == "answered":
        assert book.answer(asked, status, book.index, applied="no")
        assert book.kinds == []
        book.write(asked, 2)
    else:
        index = book.write(asked, 2)
        book.answer(asked, status, index, applied="no")

    assert "refused, and applied" in book.kinds


def test_what_is_unknown_may_appear(book: Book) -> None:
    """The twin: nobody said that nothing happened."""
    asked = book.ask("put")
    assert not book.answer(asked, 504, 0, applied="unknown")
    assert not book.answer(asked, 503, 0, applied="no")  # the second attempt; the first is open
    book.write(asked, 1)

    assert book.kinds == []


# ---- acknowledgements
def test_a_write_that_is_acknowledged_is_applied(book: Book) -> None:
    """With the index of its entry; the twins are in the tests above."""
    book.answer(book.ask("put"), 200, book.index, version=1)

    assert book.kinds == ["acknowledged and not applied"]


@pytest.mark.parametrize(("beside", "found"), [(0, []), (1, ["acknowledged at another index"])])
def test_an_acknowledgement_names_the_index_of_its_entry(book: Book, beside: int, found: list[str]) -> None:
    """An earlier entry cannot have applied it, and asked once it is no later one."""
    asked = book.ask("put")
    index = book.write(asked, 1)
    book.no_op()
    book.answer(asked, 200, index + beside, version=1)

    assert book.kinds == found


@pytest.mark.parametrize(("version", "found"), [(1, []), (2, ["another version was answered"])])
def test_the_version_that_is_answered_is_that_of_the_log(book: Book, version: int, found: list[str]) -> None:
    """Of the operation's own value."""
    asked = book.ask("put")
    book.answer(asked, 200, book.write(asked, 1), version=version)

    assert book.kinds == found


@pytest.mark.parametrize(("there", "found"), [(False, []), (True, ["acknowledged and not applied"])])
def test_what_is_acknowledged_without_an_entry_was_so_already(book: Book, there: bool, found: list[str]) -> None:
    """Deleting what is not there needs none; deleting what is there does."""
    if there:
        book.put(1)
    book.answer(book.ask("delete"), 204, book.index)

    assert book.kinds == found


# ---- write ids
@pytest.mark.parametrize(
    ("named", "applied", "found"),
    [(0, "yes", []), (1, "yes", ["a repetition that names another write"]), (0, "no", ["a repetition that names"])],
)
def test_an_unknown_write_is_resolved_by_its_id(book: Book, named: int, applied: str, found: list[str]) -> None:
    """A repetition whose answer is not kept says at which index the first was applied."""
    asked = book.ask("create", target=CHILD)
    assert not book.answer(asked, 504, 0, applied="unknown")
    index = book.make_child(CHILD, ROOT, asked)
    text = f"applied at index {index + named}, answer not kept"
    book.answer(asked, 409, book.no_op(), text=text, applied=applied)

    assert [kind[: len(found[0])] for kind in book.kinds] == found if found else book.kinds == []


@pytest.mark.parametrize(("early", "found"), [(True, []), (False, ["a write id does not resolve"])])
def test_a_repetition_is_not_decided_again(book: Book, early: bool, found: list[str]) -> None:
    """Behind its own entry a check-and-set would be refused; before it, it may be."""
    book.put(1)
    asked = book.ask("put", cas=1)
    book.answer(asked, 504, 0, applied="unknown")
    other = book.ask("put")
    index = book.write(other, 2) if early else book.write(asked, 2)
    book.answer(asked, 400, index)

    assert book.kinds == found


def test_a_repetition_is_answered_to_who_repeats(book: Book) -> None:
    """Asked once, nobody could have repeated it."""
    asked = book.ask("create", target=CHILD)
    index = book.make_child(CHILD, ROOT, asked)
    book.answer(asked, 409, index, text=f"applied at index {index}, answer not kept", applied="yes")

    assert book.kinds == ["a repetition of what was asked once"]


@pytest.mark.parametrize(("waited_s", "found"), [(3.0, []), (1.0, ["a write id is forgotten too early"])])
def test_a_write_id_is_known_for_its_window(book: Book, waited_s: float, found: list[str]) -> None:
    """Afterwards its outcome is unknown for ever, and it is not executed again."""
    book.history.remembered_s = 3.0
    asked = book.ask("put")
    book.world.now_s += waited_s
    assert not book.answer(asked, 504, 0, applied="unknown", text="the outcome is no longer known")

    assert (book.kinds, asked.unsure) == (found, True)


@pytest.mark.parametrize(("way_s", "found"), [(2.5, []), (0.1, ["a write id is forgotten too early"])])
def test_a_write_id_that_a_node_drew_is_as_old_as_what_the_node_had_heard(
    book: Book, way_s: float, found: list[str]
) -> None:
    """Its first word of a leader may have been on its way for long."""
    book.history.remembered_s, book.world.longest_way_s = 3.0, way_s
    asked = book.ask("put", write_id=False)
    book.answer(asked, 504, 0, applied="unknown", text="the outcome is no longer known")

    assert book.kinds == found


# ---- refusals
@pytest.mark.parametrize(("cas", "found"), [(0, []), (1, ["a refusal that nothing justifies"])])
def test_a_refusal_is_justified_by_the_state_it_names(book: Book, cas: int, found: list[str]) -> None:
    """Of check-and-set."""
    book.put(1)
    book.answer(book.ask("put", cas=cas), 400, book.index)

    assert book.kinds == found


@pytest.mark.parametrize(("revoked", "found"), [(True, []), (False, ["a refusal that nothing justifies"])])
def test_a_denial_is_justified_by_a_token(book: Book, revoked: bool, found: list[str]) -> None:
    """Which was revoked before."""
    if revoked:
        book.drop_token(APP)
    book.answer(book.ask("put", APP), 403, book.index)

    assert book.kinds == found


@pytest.mark.parametrize(("behind", "found"), [(False, []), (True, ["answered for an index that nobody applied"])])
def test_a_refusal_leaves_when_what_it_was_decided_on_is_applied(book: Book, behind: bool, found: list[str]) -> None:
    """No member has applied the index that it names."""
    book.answer(book.ask("put", cas=4), 400, book.index + behind)

    assert book.kinds[:1] == found


# ---- reads
@pytest.mark.parametrize(("behind", "found"), [(0, []), (1, ["stale answer"])])
def test_a_read_is_never_older_than_what_was_finished_before_it(book: Book, behind: int, found: list[str]) -> None:
    """A write that was acknowledged."""
    first = book.put(1)
    second = book.put(2)
    book.read(200, book.index - behind, 2 - behind, first if behind else second)

    assert [kind[:12] for kind in book.kinds] == [kind[:12] for kind in found]


@pytest.mark.parametrize(("behind", "found"), [(0, []), (1, ["stale answer"])])
def test_a_read_is_never_older_than_a_read_before_it(book: Book, behind: int, found: list[str]) -> None:
    """Nobody has acknowledged the write, but somebody has seen it."""
    first = book.put(1)
    unknown = book.ask("put")
    index = book.write(unknown, 2)
    book.read(200, index, 2, unknown)
    book.read(200, index - behind, 2 - behind, first if behind else unknown)

    assert [kind[:12] for kind in book.kinds] == [kind[:12] for kind in found]


def test_a_read_that_began_before_may_be_older(book: Book) -> None:
    """The twin of both."""
    first = book.put(1)
    asked = book.ask("read")
    index = book.index
    book.put(2)
    book.answer(asked, 200, index, metadata={"version": 1}, data={"v": first.value})

    assert book.kinds == []


@pytest.mark.parametrize(
    ("status", "version", "own", "found"),
    [
        (200, 2, True, []),
        (200, 1, True, ["another value was read"]),
        (200, 2, False, ["another value was read"]),
        (404, 2, True, ["a read of what is not there"]),
    ],
)
def test_a_read_says_what_the_state_at_its_index_says(
    book: Book, status: int, version: int, own: bool, found: list[str]
) -> None:
    """Value and version together."""
    first, second = book.put(1), book.put(2)
    book.read(status, book.index, version, second if own else first)

    assert book.kinds[:1] == found


@pytest.mark.parametrize("token", [APP, CHILD])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_token_is_served_nowhere_after_its_revocation(book: Book, token: str, acknowledged: bool) -> None:
    """Nor are its children; before the revocation is acknowledged they are."""
    written = book.put(1)
    create = book.ask("create", APP, target=CHILD)
    book.make_child(CHILD, APP, create)
    book.history.made(CHILD, APP)
    revoke = book.ask("revoke", target=APP)
    index = book.index
    if acknowledged:
        index = book.drop_token(APP, revoke)
        book.answer(revoke, 204, index)
    book.read(200, index, 1, written, token=token)

    assert ("a revoked token was served" in book.kinds) == acknowledged


@pytest.mark.parametrize(("uses", "found"), [(2, []), (1, ["a token was used too often"])])
def test_a_token_serves_no_more_than_its_uses(book: Book, uses: int, found: list[str]) -> None:
    """Reads count, too."""
    book.history.uses[APP] = uses
    first = book.put(1, token=APP, write_id=False)
    book.read(200, book.index, 1, first, token=APP)

    assert book.kinds == found


@pytest.mark.parametrize(("current", "found"), [(1, []), (2, ["a secret is not what the log says n1"])])
def test_a_member_that_has_another_state_than_the_log_is_found(book: Book, current: int, found: list[str]) -> None:
    """At the end every member has each secret as the entries made it."""
    book.put(1)
    state = State(keyring(SEED).digest_key)
    record = records.encode(records.Secret(current=current, rid=RID))
    state.apply(1, 1, Transaction(1, 1, 1, [(Table.SECRET, book.key("k"), 0)], [(0, book.key("k"), record)], []))
    member: Any = SimpleNamespace(node_id="n1", replica=SimpleNamespace(state=state))
    book.history.final([member])

    assert book.kinds == found


# ---- the rest
@pytest.mark.parametrize(("status", "found"), [(503, []), (500, ["an internal error was answered"])])
def test_an_internal_error_is_a_mistake(book: Book, status: int, found: list[str]) -> None:
    """No fault of the simulator is one of the node."""
    book.answer(book.ask("put"), status, 0, applied="no")

    assert book.kinds == found


def test_a_run_goes_through_every_operation_and_outcome() -> None:
    """Within a dozen seeds: an outcome that is never seen is not checked."""
    total: dict[str, int] = {}
    for seed in range(1, 13):
        for name, count in run(seed).stats.items():
            total[name] = total.get(name, 0) + count

    assert [name for name in SEEN if not total.get(name)] == []


def test_the_history_of_a_seed_is_the_same_in_every_process() -> None:
    """Whatever PYTHONHASHSEED is: loops, tasks and tokens included."""
    said = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", HISTORY, "5"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4242")
    }

    assert len(said) == 1
    assert int(said.pop().split()[0]) > 100
