"""Every message that members exchange, as typed arrays. No pickle, no dictionaries, no unknown kind.

Each message is a msgpack array whose first element is its kind; new fields go at the end with a default, so that a
member of the previous format reads them. Times are the sender's; no clock value of one node is ever compared with a
clock of another except the wall clocks of Ping, which are there to be compared.
Source: Raft thesis 3, 6.4 (ReadIndex), 9.6 (pre-vote); the names of the fields are the thesis'.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

ENTRY_OVERHEAD_BYTES = 16
NUMBER_MAX = (1 << 63) - 1

Natural = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
"""Terms, indexes, rounds, lives: what is negative, or too large to be written down once more, is no message."""


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Base of all messages."""


class RequestVote(Message, tag=1, frozen=True):
    """A candidate asks for a vote in `term`. `transfer`: the leader of term - 1 told it to (thesis 3.10)."""

    term: Natural
    last_index: Natural
    last_term: Natural
    transfer: bool = False


class Vote(Message, tag=2, frozen=True):
    """The answer to RequestVote."""

    term: Natural
    granted: bool


class PreVote(Message, tag=3, frozen=True):
    """Would you vote for me in term + 1? Changes nothing at the receiver (thesis 9.6)."""

    term: Natural
    last_index: Natural
    last_term: Natural


class PreVoteAnswer(Message, tag=4, frozen=True):
    """`for_term` is the term the candidate would have."""

    term: Natural
    for_term: Natural
    granted: bool


class Append(Message, tag=5, frozen=True):
    """AppendEntries. `entries` is an encoded list of [term, command]; indexes follow `prev_index`.

    `round` numbers one call of the sender; acknowledgements echo it. `life` is the receiver's incarnation as the
    leader knows it. (`digest_index`, `digest`) is a state digest to compare at that index. `turn`: the receiver may
    take a snapshot now. `stamp_ns` is the leader's stamp when it sent this.
    """

    term: Natural
    round: Natural
    commit_index: Natural
    prev_index: Natural
    prev_term: Natural
    life: Natural
    entries: msgspec.Raw
    digest_index: Natural = 0
    digest: bytes = b""
    turn: bool = False
    stamp_ns: Natural = 0


class Ack(Message, tag=6, frozen=True):
    """The answer to Append. `durable`: highest index on this node's disk that was verified against this leader.

    On success everything below `next_index` is the leader's log; on failure `next_index` says where the leader should
    try next and `rejected` echoes prev_index. `own_round` is false for the second acknowledgement of a round (durable
    moved) and anchors nothing. `space_ok`: this node's journal can allocate its next segment.
    """

    term: Natural
    round: Natural
    incarnation: Natural
    success: bool
    next_index: Natural
    rejected: Natural
    durable: Natural
    own_round: bool = True
    applied_index: Natural = 0
    digest_index: Natural = 0
    digest: bytes = b""
    wants_snapshot: bool = False
    recovering: bool = False
    space_ok: bool = True


class SnapshotPart(Message, tag=7, frozen=True):
    """A piece of the leader's snapshot file, as it lies on the leader's disk. `stamp_ns` as in Append."""

    term: Natural
    life: Natural
    snapshot_id: bytes
    last_index: Natural
    last_term: Natural
    size: Natural
    offset: Natural
    data: bytes
    stamp_ns: Natural = 0


class SnapshotAck(Message, tag=8, frozen=True):
    """`offset` bytes have arrived; `done`: installed, and durable together with the log that starts at it.

    `refused`: all bytes arrived and they are no snapshot; sending the same file again is of no use.
    """

    term: Natural
    incarnation: Natural
    snapshot_id: bytes
    offset: Natural
    done: bool
    refused: bool = False


class TimeoutNow(Message, tag=9, frozen=True):
    """The leader hands over: campaign at once (thesis 3.10)."""

    term: Natural


class ReadIndexRequest(Message, tag=10, frozen=True):
    """A follower asks for an index that covers every read registered before request `id` (thesis 6.4)."""

    term: Natural
    id: Natural
    incarnation: Natural


class ReadIndexAnswer(Message, tag=11, frozen=True):
    """Everything committed before the request has at most this index."""

    term: Natural
    id: Natural
    incarnation: Natural
    index: Natural


class Diverged(Message, tag=12, frozen=True):
    """The leader tells a follower whose digest differs at an equal index to stop."""

    term: Natural
    digest_index: Natural


class Ping(Message, tag=20, frozen=True):
    """Keeps a link alive and carries the wall clock, in ns. `recovering`: the sender may neither vote nor lead."""

    wall_ns: int
    reply: bool = False
    recovering: bool = False


class Hello(Message, tag=21, frozen=True):
    """First message of each side.

    `formats` lists what it reads. What it knows of the other: the highest incarnation, the last term in which the other
    voted for it, and the highest committed index that was on the other's disk.
    """

    node_id: str
    cluster_name: str
    link: str
    incarnation: Natural
    nonce: bytes
    formats: list[int]
    cluster_id: bytes = b""
    generation: bytes = b""
    version: str = ""
    known_incarnation: Natural = 0
    state: str = ""
    known_term: Natural = 0
    known_index: Natural = 0


class Proof(Message, tag=22, frozen=True):
    """HMAC by the link key over both hellos and both certificates; empty from a node without keys."""

    mac: bytes


class Call(Message, tag=23, frozen=True):
    """A typed question over the bulk link: init, join, envelope, peers, forwarded requests."""

    id: Natural
    method: str
    body: bytes
    deadline_ms: Natural = 0


class Reply(Message, tag=24, frozen=True):
    """The answer to the call `id`; `error` names a type of failure, empty for success."""

    id: Natural
    body: bytes
    error: str = ""
    detail: bytes = b""


RaftMessage = (
    RequestVote
    | Vote
    | PreVote
    | PreVoteAnswer
    | Append
    | Ack
    | SnapshotPart
    | SnapshotAck
    | TimeoutNow
    | ReadIndexRequest
    | ReadIndexAnswer
    | Diverged
)
LinkMessage = Ping | Hello | Proof | Call | Reply
AnyMessage = RaftMessage | LinkMessage

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_entries: msgspec.msgpack.Decoder[list[tuple[int, bytes]]] = msgspec.msgpack.Decoder(list[tuple[Natural, bytes]])


def decode(data: bytes | bytearray | memoryview) -> AnyMessage:
    """The message; raises msgspec.MsgspecError for anything else."""
    return _decoder.decode(data)


def pack_entries(entries: list[tuple[int, bytes]]) -> msgspec.Raw:
    """[(term, command)] encoded once for all followers."""
    return msgspec.Raw(encode(entries))


def unpack_entries(entries: msgspec.Raw) -> list[tuple[int, bytes]]:
    """[(term, command)]; raises msgspec.MsgspecError."""
    return _entries.decode(entries)


NO_ENTRIES = pack_entries([])
