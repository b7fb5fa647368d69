"""What a node is to its cluster: the sections peer, raft, consistency, journal, seal, backup and dedupe.

Pure data, in the same form as the sections of the edge. The numbers of raft and consistency depend on each other;
the relations are held by check.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .secret_text import SecretText

Positive = Annotated[int, Meta(ge=1)]


class Member(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member of the first configuration of a cluster: its id, HOST:PORT of its links, URL of its API."""

    id: str
    peer: str
    api: str


class Peer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The links between nodes."""

    address: Annotated[str, Meta(description="HOST:PORT of the link listener; empty = a cluster of one node")] = (
        "127.0.0.1:8201"
    )
    tls_cert_file: Annotated[str, Meta(description="PEM certificate that names this node and its cluster")] = ""
    tls_key_file: Annotated[str, Meta(description="PEM key of that certificate; keep it at mode 0600")] = ""
    tls_ca_file: Annotated[str, Meta(description="PEM authority of the nodes; signs nothing else")] = ""
    members: Annotated[
        tuple[Member, ...], Meta(description="every member at the start, this node included: id, peer, api")
    ] = ()


class Raft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The timing of elections."""

    heartbeat_ms: Annotated[Positive, Meta(description="rounds of an idle leader; leases are renewed by them")] = 50
    election_min_ms: Annotated[Positive, Meta(description="no vote this long after a word from the leader")] = 500
    election_max_ms: Annotated[
        Positive, Meta(description="longest wait before standing; also when a leader without a majority steps down")
    ] = 800
    clock_skew_max_s: Annotated[
        float, Meta(gt=0, description="a node further from the members' median neither stands nor leads")
    ] = 2


class Consistency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How reads are proved fresh."""

    lease: Annotated[bool, Meta(description="false: every read asks the leader; for guests whose clock may stop")] = (
        True
    )
    rho: Annotated[
        float, Meta(ge=0, le=0.1, description="how far a clock's rate may be off; crystals stay within 0.0001")
    ] = 0.01
    leader_lease_ms: Annotated[Positive, Meta(description="how long a leader serves alone after a round")] = 200
    follower_lease_ms: Annotated[
        Positive, Meta(description="the same on a follower; a dead holder stalls writes by it")
    ] = 250
    rtt_max_ms: Annotated[Positive, Meta(description="a slower round gives no lease")] = 60
    read_timeout_ms: Annotated[Positive, Meta(description="a read not proved fresh by then is 503, never stale")] = 2000
    local: Annotated[bool, Meta(description="allows reads that may be stale, to who may read strongroom/local")] = False
    max_stale_s: Annotated[float, Meta(gt=0, description="a local read is refused this long after the last leader")] = (
        10
    )
    lease_holders: Annotated[int, Meta(ge=0, description="followers with a lease; each one can hold up a commit")] = 5
    slow_ms: Annotated[Positive, Meta(description="a holder this far behind a majority loses its lease")] = 100
    penalty_min_s: Annotated[float, Meta(gt=0, description="first pause before a slow holder gets a lease again")] = 2
    penalty_max_s: Annotated[float, Meta(gt=0, description="the pause doubles up to this")] = 300


class Journal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is on this node's disk before a write is answered."""

    mode: Annotated[
        Literal["fsync", "buffered", "memory"],
        Meta(
            description="when a write counts on this node. fsync: on stable storage. Nothing that was answered is lost "
            "when any minority is lost for ever, or all nodes lose power at once. buffered: written. What was answered "
            "survives ends of processes, also of all at once, and the loss of power of a minority, whose nodes neither "
            "vote nor lead until the leader has made them whole. When a majority loses power at once, up to about a "
            "second of answered writes may be lost, and nobody leads. memory: in memory. What was answered survives as "
            "long as a majority keeps running. Each start makes a node recovering: it neither votes nor leads until "
            "the leader has made it whole. So start the next one only when the last one is whole. When a majority ends "
            "at once, nobody leads any more. When all end at once, or a cluster of one, everything is lost but what a "
            "backup holds. A node that still runs has the only copy: do not stop it before you have read "
            "what docs/runbook.md says when everything is lost. In every mode ballot, keyring and votes are synced. A "
            "failed sync ends the node in fsync and buffered"
        ),
    ] = "fsync"
    segment_bytes: Annotated[Positive, Meta(description="size of a preallocated segment")] = 67108864
    unsynced_bytes_max: Annotated[Positive, Meta(description="backlog of a slow disk at which writes wait")] = 33554432
    log_keep_bytes: Annotated[
        Positive,
        Meta(
            description="log kept, in memory and on disk, for a backup sink that is behind; beyond it, or 100,000 "
            "entries, a new base begins"
        ),
    ] = 268435456


class Seal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a node that starts gets its root key."""

    type: Annotated[
        Literal["shamir", "static", "transit"], Meta(description="shares of people, a key file, or another vault")
    ] = "shamir"
    key: Annotated[
        SecretText,
        Meta(description="32 random bytes, hex or base64, for type static; profile dev only", extra={"secret": True}),
    ] = SecretText()
    key_file: Annotated[str, Meta(description="the same in a file of mode 0600; wraps the root key")] = ""
    transit_address: Annotated[
        str, Meta(description="URL of the other vault, for type transit; https but on this machine")
    ] = ""
    transit_token_file: Annotated[
        str,
        Meta(description="its token, which may encrypt and decrypt, in a file of mode 0600; read at each use"),
    ] = ""
    transit_mount_path: Annotated[str, Meta(description="where the transit engine is mounted there")] = "transit"
    transit_key_name: Annotated[
        str, Meta(description="the key there; whoever deletes it leaves recovery keys as the only way in")
    ] = ""
    transit_tls_ca_file: Annotated[
        str, Meta(description="PEM authorities of the other vault's certificate; empty = the system's")
    ] = ""
    peers: Annotated[
        bool | None,
        Meta(description="members open a restarted node; one node's key is then everything, so production must say"),
    ] = None
    peers_max_absence_s: Annotated[Positive, Meta(description="a node unsealed longer ago needs its shares")] = 86400


class Sink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place backups go to. The password stands beside the URL, never in it."""

    name: str
    url: str
    scope: Literal["shared", "local"] = "shared"
    required: bool = True
    password: SecretText = SecretText()
    password_file: str = ""

    def __repr__(self) -> str:
        return f"<Sink {self.name}>"


class Backup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What leaves the cluster, sealed."""

    mode: Annotated[
        Literal["async", "max_lag", "write_through"],
        Meta(description="what a write waits for: nothing, a bounded lag, or the required sinks"),
    ] = "async"
    batch_entries: Annotated[
        Positive, Meta(description="entries in a batch; eight times as many for a sink that is behind")
    ] = 256
    batch_bytes_max: Annotated[Positive, Meta(description="bytes in a batch")] = 1048576
    batch_interval_ms: Annotated[Positive, Meta(description="a batch waits no longer for company")] = 500
    timeout_s: Annotated[float, Meta(gt=0, description="one attempt at a sink")] = 5
    max_lag_s: Annotated[float, Meta(ge=0, description="mode max_lag: writes wait, then 503, beyond it")] = 0
    restore_on_boot: Annotated[
        Literal["never", "if_empty"], Meta(description="an empty cluster restores itself, if a witness agrees")
    ] = "never"
    keep_bases: Annotated[Positive, Meta(description="base snapshots kept")] = 7
    keep_days: Annotated[Positive, Meta(description="how far back a restore reaches")] = 30
    sinks: Annotated[
        tuple[Sink, ...],
        Meta(description="name, url, scope, required, password or password_file", extra={"secret": True}),
    ] = ()


class Dedupe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a repeated write is recognised."""

    window_s: Annotated[Positive, Meta(description="a write id older than this is unknown, never executed again")] = 600
    entries_max: Annotated[Positive, Meta(description="ids remembered; 200,000 take 37 MB")] = 200000
