"""Stand-ins for the state and the keys, and short ways to ask an engine."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from typing import Any

from cluster import EVERYTHING, DamagedError, Draft, Mount, Salt, Table, look
from node.engines.base import Caller, Context, Plan
from node.request import Answer, Body, Operation, RawRequest, Refusal

START_NS = 1_763_977_260_250_000_000  # 2025-11-24T09:41:00.25Z
MOUNT_UUID = bytes(range(16))


class FakeView:
    """Tables as plain dicts; a draft is applied whole, and a failed expectation is an error."""

    def __init__(self) -> None:
        self.tables: dict[int, dict[bytes, tuple[int, bytes]]] = defaultdict(dict)
        self.index = 0
        self.time_ns = START_NS

    def get(self, table, key):
        return self.tables[table].get(key)

    def items(self, table):
        return ((key, index, record) for key, (index, record) in self.tables[table].items())

    def token_children(self, token):
        return iter(())

    def list(self, folder, *, after=b"", limit=0):
        return self._names(Table.SECRET, folder, after, limit)

    def list_entries(self, folder, *, after=b"", limit=0):
        return self._names(Table.ENTRY, folder, after, limit)

    def _names(self, table, folder, after, limit):
        names = set()
        for key in self.tables[table]:
            if key.startswith(folder) and key != folder:
                first, slash, _ = key[len(folder) :].partition(b"/")
                names.add(first + slash)
        later = [name for name in sorted(names) if name > after]
        return later[:limit] if limit else later

    def contents(self) -> dict[int, dict[bytes, tuple[int, bytes]]]:
        return {table: dict(records) for table, records in self.tables.items() if records}

    def apply(self, draft: Draft) -> None:
        """Installs the draft at the next index."""
        for table, key, index in draft.expects:
            found = self.tables[table].get(key)
            assert (0 if found is None else found[0]) == index
        self.index += 1
        for table, key in draft.drops:
            self.tables[table].pop(key, None)
        for table, key, record in draft.puts:
            self.tables[table][key] = (self.index, record)


class FakeSealing:
    """Seals by naming the place: a box opens only where it was sealed. The first seal makes a salt, as the real one."""

    def __init__(self, *, salted: bool = True) -> None:
        self.salted = salted

    def seal(self, view, draft, plaintext, *, table, key, field, record_id, nonce):
        assert len(nonce) == 12
        if not self.salted:
            self.salted = True
            draft.put(Table.SALT, b"\0\0\0\1", Salt(key_term=b"t" * 8, salt=b"s" * 16))
            draft.hashes = (EVERYTHING,)
        return 1, nonce + self._tag(table, key, field, record_id) + plaintext

    def open(self, salt_id, box, *, table, key, field, record_id):
        if salt_id != 1 or box[12:28] != self._tag(table, key, field, record_id):
            raise DamagedError("the box is of another place")
        return box[28:]

    def path_hash(self, secret_key):
        return hashlib.blake2b(secret_key, digest_size=8).digest()

    @staticmethod
    def _tag(*place):
        return hashlib.blake2b(repr(place).encode(), digest_size=16).digest()


class Bench:
    """One mount and one engine: `ask` decides, applies and answers as a leader would, `now_ns` moves by hand."""

    def __init__(self, engine, *, options=None, mount_path="kv/", view=None, sealing=None) -> None:
        self.engine = engine
        self.mount_path = mount_path
        self.view = FakeView() if view is None else view
        self.sealing = FakeSealing() if sealing is None else sealing
        self.now_ns = START_NS
        self._draws = itertools.count(1)
        self.plans: list[Plan] = []
        start = Draft()
        start.put(Table.MOUNT, mount_path.encode(), Mount(uuid=MOUNT_UUID, type="kv", options=options))
        self.view.apply(start)

    @property
    def mount(self) -> Mount:
        return look(self.view, Table.MOUNT, Mount, self.mount_path.encode())[1]

    def context(self) -> Context:
        return Context(
            view=self.view,
            now_ns=self.now_ns,
            random=self.random,
            sealing=self.sealing,
            caller=Caller(is_root=True),
            mount_path=self.mount_path,
            mount=self.mount,
        )

    def random(self, count: int) -> bytes:
        return hashlib.shake_128(next(self._draws).to_bytes(8, "big")).digest(count)

    def ask(self, operation: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Answer:
        """`body` is bytes as sent, or what becomes JSON."""
        request = make_request(Operation(operation), self.mount_path + path, body, query)
        if not self.engine.is_write(request.operation, path):
            return self.engine.read(self.context(), request, path)
        plan = self.engine.decide(self.context(), request, path)
        self.plans.append(plan)
        if not plan.draft.empty:
            self.view.apply(plan.draft)
        return plan.answer

    def data(self, operation: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Any:
        """The decoded data of an answer that must be 200."""
        answer = self.ask(operation, path, body, query)
        assert answer.status == 200
        return plain(answer)

    def refused(self, operation: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Refusal:
        """The refusal, with nothing changed."""
        before = self.view.contents()
        try:
            self.ask(operation, path, body, query)
        except Refusal as refusal:
            assert before == self.view.contents()
            return refusal
        raise AssertionError("not refused")


def plain(answer: Answer) -> Any:
    return json.loads(answer.data) if isinstance(answer.data, bytes) else answer.data


def make_request(
    operation: Operation, path: str, body: object = None, query: dict[str, str] | None = None
) -> RawRequest:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawRequest(
        id="00000000-0000-0000-0000-000000000000",
        method="",
        target="",
        operation=operation,
        path=path,
        query=query or {},
        body=Body(raw),
        token=None,
        headers={},
        remote_address="127.0.0.1",
        remote_port=1,
    )
