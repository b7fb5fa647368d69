"""What a node shows to its users: the sections node, api, audit, limits, log, metrics and trace.

Pure data. Each key is a name that ends in its unit, a type with its bounds, a line of reason and a default; the
printed reference is made from these lines. Invariant: sections are frozen and hold no open file or connection.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Positive = Annotated[int, Meta(ge=1)]


class Node(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who this node is."""

    id: Annotated[str, Meta(description="this node's name in the cluster: lower-case letters, digits, hyphens")] = ""
    cluster_name: Annotated[str, Meta(description="stands in every node certificate; not secret")] = "strongroom"
    role: Annotated[
        Literal["voter", "replica"], Meta(description="a replica serves reads and counts for no majority")
    ] = "voter"
    data_dir: Annotated[str, Meta(description="journal, ballot, snapshots and keyring; mode 0700, never shared")] = ""


class Api(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The listeners that speak Vault's HTTP API."""

    address: Annotated[str, Meta(description="HOST:PORT of the main listener")] = "127.0.0.1:8200"
    advertise: Annotated[
        str, Meta(description="URL by which clients reach this node; needed when address is a wildcard")
    ] = ""
    tls_cert_file: Annotated[str, Meta(description="PEM chain of the listener; read again on SIGHUP")] = ""
    tls_key_file: Annotated[str, Meta(description="PEM key of the listener; read again on SIGHUP")] = ""
    tls: Annotated[
        Literal["on", "off", "off-i-know"],
        Meta(description="off is for loopback alone; off-i-know sends tokens in the clear wherever address says"),
    ] = "on"
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="networks whose X-Forwarded-For is believed; nobody's by default")
    ] = ()
    host_names: Annotated[
        tuple[str, ...], Meta(description="further names a Host header may carry, against DNS rebinding")
    ] = ()
    unauthenticated_rekey: Annotated[
        bool, Meta(description="rekey and generate-root without a token, as old Vault clients expect; profile dev only")
    ] = False
    cert_address: Annotated[
        str, Meta(description="HOST:PORT of the second listener, which asks for client certificates; empty = none")
    ] = ""
    cert_client_ca_file: Annotated[
        str, Meta(description="PEM authorities of client certificates, never that of the nodes; read again on SIGHUP")
    ] = ""
    locked_address: Annotated[
        str,
        Meta(description="HOST:PORT of a listener without unauthenticated rekey, for test suites; profile dev only"),
    ] = ""


class AuditDevice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One audit device that the configuration declares."""

    path: str
    type: Literal["file", "syslog", "socket"] = "file"
    options: dict[str, str] = {}


class Audit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where audit records go."""

    directory: Annotated[
        str, Meta(description="every file_path lies below it; empty = the folder audit in node.data_dir")
    ] = ""
    deadline_s: Annotated[
        float, Meta(gt=0, description="a device blocked longer counts as failed, so that it cannot stop the node")
    ] = 2
    devices: Annotated[
        tuple[AuditDevice, ...], Meta(description="devices that exist from the start: path, type, options")
    ] = ()
    vault_numbers: Annotated[
        bool, Meta(description="numbers and booleans in the clear, as Vault writes them; they may be secrets")
    ] = False


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one client, one request and one turn of the loop may take."""

    body_bytes: Annotated[Positive, Meta(description="a larger body is 413 before it is read")] = 1048576
    header_bytes: Annotated[Positive, Meta(description="a larger request head is 400")] = 16384
    json_strings: Annotated[Positive, Meta(description="strings in a body, counted before it is parsed")] = 1000
    json_depth: Annotated[Positive, Meta(description="nesting of a body, counted before it is parsed")] = 256
    path_bytes: Annotated[int, Meta(ge=1, le=1900, description="a path is a key in memory on every node")] = 1024
    value_bytes: Annotated[Positive, Meta(description="one version of a secret; it must fit a log entry")] = 1048576
    versions_max: Annotated[Positive, Meta(description="versions kept of a secret that says nothing else")] = 10
    in_flight: Annotated[Positive, Meta(description="requests at work at once; beyond it 503 with Retry-After")] = 1024
    per_turn: Annotated[Positive, Meta(description="requests begun in a turn of the loop: heartbeats come first")] = 64
    handshakes_per_turn: Annotated[Positive, Meta(description="a TLS handshake costs a millisecond of the loop")] = 2
    connections_per_address: Annotated[Positive, Meta(description="open connections of one client address")] = 1024
    forwards_per_peer: Annotated[Positive, Meta(description="requests under way to the leader; beyond it 503")] = 256
    head_timeout_s: Annotated[float, Meta(gt=0, description="a request head must be complete by then")] = 10
    handshake_timeout_s: Annotated[float, Meta(gt=0, description="a TLS handshake must be complete by then")] = 10
    body_rate_min_bytes_s: Annotated[Positive, Meta(description="a slower body ends its connection")] = 1024
    body_grace_s: Annotated[float, Meta(gt=0, description="before that rate counts")] = 10
    json_elements: Annotated[Positive, Meta(description="commas, colons and brackets of a body: parsing time")] = 100000
    query_fields: Annotated[Positive, Meta(description="fields of a query string")] = 64
    token_bytes: Annotated[Positive, Meta(description="a longer token is no token of ours")] = 4096
    line_bytes: Annotated[Positive, Meta(description="the request line, and each header")] = 8190
    headers: Annotated[Positive, Meta(description="headers of a request")] = 64
    send_s: Annotated[float, Meta(gt=0, description="a client that does not read its answer is dropped")] = 30
    linger_s: Annotated[float, Meta(gt=0, description="reading on after a refusal, so that the client sees it")] = 5
    keepalive_s: Annotated[float, Meta(gt=0, description="how long an idle connection stays open")] = 90
    backlog: Annotated[Positive, Meta(description="connections the kernel keeps for the node")] = 1024
    connections: Annotated[Positive, Meta(description="open connections of all clients")] = 10000
    in_flight_per_address: Annotated[Positive, Meta(description="requests at work for one client address")] = 512
    lag_pause_s: Annotated[float, Meta(gt=0, description="a loop this late stops reading from clients")] = 0.1
    lag_resume_s: Annotated[float, Meta(gt=0, description="and begins again when it is this late at most")] = 0.03
    retry_after_s: Annotated[Positive, Meta(description="when a client that was turned away may come back")] = 1
    request_timeout_s: Annotated[
        float, Meta(gt=0, description="a write that waits longer is answered 504, unknown")
    ] = 90
    drain_timeout_s: Annotated[float, Meta(gt=0, description="how long SIGTERM waits for answers under way")] = 25


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the node tells its operator."""

    format: Annotated[Literal["json", "text"], Meta(description="json for collectors, text for eyes")] = "json"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least that is written; changed by SIGHUP")
    ] = "info"


class Metrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may read the numbers."""

    unauthenticated: Annotated[
        bool, Meta(description="metrics name no secret, but tell how much a cluster is used")
    ] = False


class Trace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spans of requests."""

    enabled: Annotated[bool, Meta(description="off: spans cost throughput and repeat what audit says")] = False
