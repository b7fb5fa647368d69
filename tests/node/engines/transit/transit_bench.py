"""A transit mount on the real state and seal, asked as the request path asks: existence, labour, decision."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

from cluster import ValueSealing
from cluster.keyring.keyring import Keyring
from cluster.keyring.sealing import Sealer
from node.engines.transit.engine import TransitEngine
from node.engines.transit.key_types import TYPES
from node.request import Answer, NeedsDecision, Operation
from tests.node.engines.fakes import START_NS, Bench, make_request
from tests.node.engines.test_kv_on_state import Drawn, RealView

HOUR_NS = 3600 * 1_000_000_000
AEAD = ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"]
ECDSA = ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521"]
ALL = list(TYPES)


def b64(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


class View(RealView):
    """What Bench compares before and after a refusal."""

    def contents(self) -> list[Any]:
        return list(self.state.records())


class TransitBench(Bench):
    """`ask` runs what the engine wants to have run; `labours` counts how often."""

    def __init__(self) -> None:
        keyring = Keyring.create(Drawn(), b"c" * 16, START_NS)
        sealing = ValueSealing(Sealer(keyring, Drawn(), b"g" * 16))
        super().__init__(TransitEngine(), view=View(), sealing=sealing, mount_path="transit/")
        self.labours = 0

    def ask(self, operation: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Answer:
        request = make_request(Operation(operation), self.mount_path + path, body, query)
        if not self.engine.is_write(request.operation, path):
            with contextlib.suppress(NeedsDecision):
                return self.engine.read(self.context(), request, path)
        work = self.engine.labour(self.context(), request, path)
        if work is not None:
            self.labours += 1
            request.labour = work()
        if request.operation is Operation.UPDATE and self.engine.exists(self.context(), path) is False:
            request.operation = Operation.CREATE
        plan = self.engine.decide(self.context(), request, path)
        self.plans.append(plan)
        if not plan.draft.empty:
            self.view.apply(plan.draft)
        return plan.answer

    def post(self, path: str, **body: Any) -> Any:
        """The data of a POST that must be 200."""
        return self.data("update", path, body)

    def get(self, path: str, **query: str) -> Any:
        return self.data("read", path, None, query)

    def no(self, path: str, **body: Any) -> tuple[int, str]:
        """(status, text) of a POST that is refused."""
        refusal = self.refused("update", path, body)
        return refusal.status, "".join(refusal.texts)

    def make(self, name: str, type_: str = "aes256-gcm96", **fields: Any) -> str:
        """A key of that name."""
        self.post(f"keys/{name}", type=type_, **fields)
        return name

    def encrypt(self, name: str, plaintext: bytes = b"hello", **fields: Any) -> str:
        return self.post(f"encrypt/{name}", plaintext=b64(plaintext), **fields)["ciphertext"]

    def decrypt(self, name: str, ciphertext: str, **fields: Any) -> bytes:
        return unb64(self.post(f"decrypt/{name}", ciphertext=ciphertext, **fields)["plaintext"])

    def export(self, kind: str, name: str, version: str = "latest", **query: str) -> str:
        """One exported key."""
        (text,) = self.get(f"export/{kind}/{name}/{version}", **query)["keys"].values()
        return text

    def stored_text(self) -> bytes:
        return b"".join(record for *_, record in self.view.state.records())


def as_json(answer: Answer) -> Any:
    return json.loads(json.dumps(answer.data))
