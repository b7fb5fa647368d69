"""What the upper room reads: batch tokens, the heads of audit chains that a peer reports, the position of a device.

A token is sealed by the fuzzer's own sealer, so that what is behind the cipher is reached, too.
"""

from __future__ import annotations

import base64
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import msgspec

from cluster import AuditHead, DamagedError, Draft, Mount, State, Table, Token, Transaction, records
from cluster.values import ValueSealing
from node import audit_desk
from node.audit import chain, position
from node.audit.chain import Chain, Head
from node.audit.position import Position
from node.audit.sink import SinkError
from node.auth import batch_tokens, networks, tokens
from node.auth.batch_tokens import PREFIX, RAW_CHARACTERS_MAX, make_batch_token
from tests.cluster.state.building import KEY
from tests.hostile.running import Target
from tests.hostile.targets_files import GOLDEN
from tests.hostile.targets_keys import NONCE, SEALER

NOW_NS = 1_700_000_000_000_000_000
SEALING = ValueSealing(SEALER)
PARENT = b"p" * 32
UUID = b"m" * 16


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


# ---- batch tokens
def a_state() -> State:
    """A parent, and a mount."""
    draft = Draft()
    draft.put(Table.TOKEN, PARENT, Token(policies=["app"], accessor=b"a", created_ns=1, type="service"))
    draft.put(Table.MOUNT, b"auth/token/", Mount(uuid=UUID, type="token"))
    state = State(KEY)
    assert state.apply(1, 1, Transaction(1, 1, NOW_NS, [], draft.puts, [])).ok
    return state


STATE = a_state()


def use_token(raw_token: str) -> None:
    found = tokens.authenticate(STATE, SEALING, raw_token, NOW_NS, "192.0.2.7")
    if found is None:
        return
    record = found.record
    if record.type != "batch" or "root" in record.policies or record.num_uses or record.expires_ns <= NOW_NS:
        raise AssertionError("a batch token that none can be")
    tokens.caller_of(found, NOW_NS)


def read_raw_token(data: bytes) -> None:
    """Any text behind the prefix."""
    use_token(PREFIX + data.decode("latin-1"))


def read_carried(data: bytes) -> None:
    """Any bytes, sealed as only the cluster can."""
    sealed = SEALING.seal_token(NONCE, data)
    raw_token = PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
    if len(raw_token) <= RAW_CHARACTERS_MAX:
        use_token(raw_token)


def a_token(**fields: Any) -> str:
    given = {"policies": ["app"], "created_ns": NOW_NS, "expires_ns": NOW_NS + 10**9, "creation_ttl_s": 1}
    return make_batch_token(SEALING, lambda count: NONCE[:count], Token(**given | fields))


def raw_tokens() -> tuple[bytes, ...]:
    full = a_token(
        display_name="job", path="auth/token/create", meta={"k": "v"}, bound_cidrs=["192.0.2.0/24", "2001:db8::/32"],
        parent=PARENT, mount_path="auth/token/", mount=UUID, role="r", no_default_policy=True,
    )  # fmt: skip
    return tuple(token.removeprefix(PREFIX).encode() for token in (a_token(), full))


def carried() -> tuple[bytes, ...]:
    return tuple(SEALER.open_token(base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))) for raw in raw_tokens())


# ---- audit
def report_heads(data: bytes) -> None:
    """What a member says of its chains, as a leader makes facts of it and everybody shows them."""
    state = State(KEY)

    async def propose(decide: Any) -> tuple[int, None]:
        draft, _ = decide(state, NOW_NS)
        if state.apply(state.applied_index + 1, 1, Transaction(1, 1, NOW_NS, [], draft.puts, [])).ok:
            return state.applied_index, None
        raise DamagedError("a transaction of another shape")

    desk = object.__new__(audit_desk.AuditDesk)
    desk._member = SimpleNamespace(propose=propose, replica=True, view=state)  # type: ignore[assignment]
    drive(desk.call("n2", audit_desk.HEADS_CALL, data))
    for path, nodes in desk._facts().items():
        if set(nodes) != {"n2"}:
            raise AssertionError(f"the head of {path!r} is another node's")
    for _, _, record in state.items(Table.AUDIT_HEAD):
        known = records.decode(AuditHead, record)
        go_on(Head(known.sequence, known.head, known.file))


def go_on(head: Head) -> None:
    """The chain is continued from there, and its head reported."""
    made = Chain("n1", "s/", lambda _message: bytes(chain.MAC_BYTES))
    made.head = head
    made.open_file("now", "x", head, Head(), unsure=head)
    made.append(b'{"type":"request"}\n')
    msgspec.msgpack.encode(AuditHead(file=head.file, sequence=made.head.sequence, head=made.head.mac))


def read_position(data: bytes) -> None:
    """The file as `Position.open` reads it."""
    for head in Position(GOLDEN, "n1", "s/", "x").heads(data[: position.FILE_BYTES]):
        go_on(head)


def some_heads() -> bytes:
    head = AuditHead(file="audit.log", sequence=9, head=b"h" * 32, time_ns=NOW_NS)
    return msgspec.msgpack.encode({"file/": head, "socket/": AuditHead(file="tcp://a:1", sequence=1, head=b"g" * 32)})


ALL = (
    Target("batch-token", read_raw_token, (), raw_tokens(), (batch_tokens, tokens, networks)),
    Target("batch-token-carried", read_carried, (), carried(), (batch_tokens, tokens, networks), packed_at=0,
           memory_factor=256),
    Target("audit-heads", report_heads, (DamagedError,), (some_heads(),), (audit_desk,), packed_at=0,
           memory_factor=256),
    Target("audit-position", read_position, (SinkError,), ((GOLDEN / "audit_position.json").read_bytes(),),
           (position, chain), memory_factor=256),
)  # fmt: skip
