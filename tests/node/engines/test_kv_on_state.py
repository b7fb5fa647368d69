"""The KV engines on the real state, overlay and sealing."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import EVERYTHING, DamagedError, Draft, Table, Transaction, ValueSealing, version_key
from cluster.keyring.keyring import Keyring
from cluster.keyring.sealing import Sealer
from cluster.state.invariants import check, orphans
from cluster.state.machine import State
from cluster.state.overlay import Overlay
from node.engines.kv1 import KvV1
from node.engines.kv2 import KvV2
from node.request import Refusal
from tests.node.engines.fakes import MOUNT_UUID, START_NS, Bench, plain


class Drawn:
    """Random bytes that every run draws alike."""

    def __init__(self) -> None:
        self.count = 0

    def bytes(self, count: int) -> bytes:
        self.count += 1
        return hashlib.shake_128(b"drawn" + self.count.to_bytes(8, "big")).digest(count)

    def uniform(self) -> float:
        return 0.5


class RealView(Overlay):
    """An overlay that applies what is proposed at once, or on `catch_up` if `lazy`."""

    def __init__(self) -> None:
        super().__init__(State(b"d" * 32))
        self.index = 0
        self.lazy = False
        self.waiting: list[tuple[int, Transaction]] = []

    def apply(self, draft: Draft) -> None:
        self.index += 1
        transaction = Transaction(
            term=1, sequence=self.index, time_ns=START_NS, expects=draft.expects, puts=draft.puts, drops=draft.drops
        )
        self.add(self.index, transaction)
        self.waiting.append((self.index, transaction))
        if not self.lazy:
            self.catch_up()

    def catch_up(self) -> None:
        for index, transaction in self.waiting:
            assert self.state.apply(index, 1, transaction).ok
            self.applied(index, transaction)
        self.waiting = []


def real_bench(engine) -> Bench:
    keyring = Keyring.create(Drawn(), b"c" * 16, START_NS)
    return Bench(engine, view=RealView(), sealing=ValueSealing(Sealer(keyring, Drawn(), b"g" * 16)))


@pytest.fixture
def kv() -> Bench:
    return real_bench(KvV2())


def test_256_proposed_puts_become_256_consecutive_versions(kv):
    """Decided one upon the other in one batch, applied afterwards; no expectation fails."""
    kv.ask("update", "config", {"max_versions": 300})
    kv.view.lazy = True
    numbers = [kv.data("update", "data/a", {"data": {"k": number}})["version"] for number in range(256)]
    assert kv.view.state.get(Table.SECRET, MOUNT_UUID + b"a") is None

    kv.view.catch_up()
    assert numbers == list(range(1, 257))
    assert len(kv.view) == 0
    assert kv.data("read", "data/a", None, {"version": "256"})["data"] == {"k": 255}
    assert check(kv.view.state) == orphans(kv.view.state) == []


def test_the_first_put_brings_the_salt_and_touches_everything(kv):
    """The next ones touch their path."""
    kv.ask("update", "data/a", {"data": {}})
    kv.ask("update", "data/a", {"data": {}})
    first, second = (plan.draft for plan in kv.plans)

    assert [table for table, _, _ in first.puts] == [Table.SECRET, Table.SALT, Table.VERSION]
    assert first.hashes == (EVERYTHING,)
    assert second.hashes == (kv.sealing.path_hash(MOUNT_UUID + b"a"),)


def test_no_plaintext_stands_in_the_state(kv):
    """Values are sealed in the facts."""
    kv.ask("update", "data/a", {"data": {"k": "planted-marker"}})

    assert b"planted-marker" not in b"".join(record for *_, record in kv.view.state.records())


@pytest.mark.parametrize("engine", [KvV1, KvV2])
def test_a_box_of_a_former_life_does_not_open(engine):
    """Delete, recreate, and put the old version record back."""
    kv = real_bench(engine())
    area = "data/" if engine is KvV2 else ""
    key = version_key(MOUNT_UUID + b"a", 1)
    kv.ask("update", f"{area}a", {"data": {"k": "old"}})
    old = kv.view.get(Table.VERSION, key)[1]
    kv.ask("delete", "metadata/a" if engine is KvV2 else "a")
    kv.ask("update", f"{area}a", {"data": {"k": "new"}})
    back = Draft()
    back.put(Table.VERSION, key, old)
    kv.view.apply(back)

    with pytest.raises(DamagedError):
        kv.ask("read", f"{area}a")


def test_what_kv_1_wrote_is_one_version_to_kv_2():
    """So that a mount can be upgraded without touching its secrets."""
    kv = real_bench(KvV1())
    kv.ask("update", "dir/a", b'{"n":1.10}')
    kv.ask("update", "dir/a", b'{"n":1.20}')
    kv.engine = KvV2()

    answer = kv.ask("read", "data/dir/a")
    assert answer.data.startswith(b'{"data":{"n":1.20},')
    assert kv.data("list", "metadata/dir") == {"keys": ["a"]}
    assert kv.data("update", "data/dir/a", {"data": {}, "options": {"cas": 1}})["version"] == 2


_PATHS = st.sampled_from(["a", "a/b", "a/b/c", "d"])
_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "patch", "delete", "undelete", "destroy", "settle", "drop"]), _PATHS),
    max_size=20,
)


@given(_STEPS)
@settings(max_examples=50)
def test_any_requests_keep_the_invariants_of_the_state(steps):
    """Proposals pile up and are applied from time to time; lists and reads stay right, nothing is orphaned."""
    kv = real_bench(KvV2())
    kv.view.lazy = True
    there: set[str] = set()
    for step, path in steps:
        kv.now_ns += 1
        if step == "settle":
            kv.view.catch_up()
        elif step == "put":
            kv.ask("update", f"data/{path}", {"data": {"p": path}})
            there.add(path)
        elif step == "patch":
            kv.ask("patch", f"data/{path}", {"data": {"more": 1}})
        elif step == "drop":
            kv.ask("delete", f"metadata/{path}")
            there.discard(path)
        else:
            kv.ask("update", f"{step}/{path}", {"versions": [1, 2]})
        assert set(kv.data("scan", "metadata").get("keys", [])) == there

    kv.view.catch_up()
    assert check(kv.view.state) == orphans(kv.view.state) == []
    for path in there:
        answer = kv.ask("read", f"data/{path}")
        assert plain(answer)["data"] is None or plain(answer)["data"]["p"] == path


def test_a_refused_request_proposes_nothing(kv):
    """The overlay stays as it was."""
    kv.view.lazy = True
    kv.ask("update", "data/a", {"data": {}})
    pending = len(kv.view)
    with pytest.raises(Refusal):
        kv.ask("update", "data/a", {"data": {}, "options": {"cas": 0}})

    assert len(kv.view) == pending
