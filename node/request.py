"""What travels between the HTTP edge, the flow and the engines: raw requests, requests, answers, refusals.

Pure data. Invariants: `Request.path` is exactly the string policies match and engines use as key: decoded once,
without a leading slash, `//` collapsed, no `.` or `..` segment, no control character. A body keeps its bytes as
they came, because `12345678901234567890123` and `1.10` must survive (Vault keeps json.Number).
Source: Vault API, "HTTP" and "Response format".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Operation(enum.StrEnum):
    """What a request does, in the words of Vault's policies."""

    READ = "read"
    LIST = "list"
    SCAN = "scan"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    HEADER = "header"
    HELP = "help"


OPERATIONS = {
    "GET": Operation.READ, "HEAD": Operation.HEADER, "POST": Operation.UPDATE, "PUT": Operation.UPDATE,
    "PATCH": Operation.PATCH, "DELETE": Operation.DELETE,
}  # fmt: skip
"""What a method does where nothing in its query says otherwise."""
WRITES = frozenset({Operation.CREATE, Operation.UPDATE, Operation.PATCH, Operation.DELETE})


class Body:
    """A JSON object as it came, decoded on first use; values stay as raw slices until asked for.

    The edge has checked that `raw` is one JSON object within the limits (or empty).
    """

    __slots__ = ("_fields", "_values", "raw")

    def __init__(self, raw: bytes = b"") -> None:
        self.raw = raw
        self._fields: dict[str, msgspec.Raw] | None = None
        self._values: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<Body {len(self.raw)} bytes>"

    @property
    def fields(self) -> dict[str, msgspec.Raw]:
        """Field name → the bytes of its value, as they came."""
        if self._fields is None:
            self._fields = msgspec.json.decode(self.raw, type=dict[str, msgspec.Raw]) if self.raw.strip() else {}
        return self._fields

    @property
    def values(self) -> dict[str, Any]:
        """The decoded object: for everything but the bytes a secret keeps."""
        if self._values is None:
            self._values = msgspec.json.decode(self.raw) if self.raw.strip() else {}
        assert isinstance(self._values, dict)
        return self._values


@dataclass(slots=True)
class RawRequest:
    """One HTTP request that passed the edge's rules; what a follower forwards and the leader receives."""

    id: str  # request id, 8-4-4-4-12 hex
    method: str  # as on the wire: GET, POST, PUT, DELETE, PATCH, LIST, SCAN, HEAD, OPTIONS, HELP
    target: str  # raw request target, for forwarding
    operation: Operation
    path: str  # below /v1/; "" for the root; paths outside /v1/ begin with "/" (for example "/livez")
    query: Mapping[str, str]
    body: Body
    token: str | None  # repr of this object never shows it
    headers: Mapping[str, str]  # lower-case names; only those that may matter behind the edge, never the token
    remote_address: str
    remote_port: int
    wrap_ttl_s: int | None = None
    index_states: tuple[str, ...] = ()  # X-Vault-Index values
    inconsistent: tuple[str, ...] = ()  # X-Vault-Inconsistent values, in order
    consistency: str = "strong"
    write_id: str | None = None  # X-Strongroom-Write-Id
    no_forwarding: bool = False  # X-Vault-No-Request-Forwarding
    forwarded_from: str | None = None  # id of the node that forwarded it
    listener: str = "main"
    body_is_form: bool = False
    write_id_is_early: bool = False  # this node drew it, while it heard no leader
    labour: Any = None  # what the engine let run before it decides (engines/base.py, Labour)
    certificate: bytes = b""  # DER, where the listener asks for one: the client's own, then those it sent along
    upload: Upload | None = None  # in place of `body`; never forwarded

    def __repr__(self) -> str:
        return f"<RawRequest {self.id} {self.method} from {self.remote_address}>"


class Upload(Protocol):
    """A body that is too large to be one piece of memory, and is read by whoever wants it."""

    @property
    def length(self) -> int | None:
        """Bytes that were announced; None: nothing was."""
        ...

    def parts(self) -> AsyncIterator[bytes]:
        """Its bytes, once, as they come. Raises Refusal if the client breaks off. Close it (aclosing)."""
        ...


class Stream(Protocol):
    """A body that is too large to be one piece of memory."""

    def parts(self) -> AsyncIterator[bytes]:
        """Its bytes, once."""
        ...

    def close(self) -> None:
        """Nothing of it is kept, whether it was read or not. May be said twice."""
        ...


@dataclass(slots=True)
class RawResponse:
    """One HTTP answer, complete: what goes on the wire, and what a leader returns to a forwarding follower."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)  # beyond those every answer has
    content_type: str = "application/json"
    lines: bytes = b""  # further headers, ready for the wire
    stream: Stream | None = None  # instead of `body`; never forwarded

    def __repr__(self) -> str:
        return f"<RawResponse {self.status} {len(self.body)} bytes>"


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    r"""The request is refused and nothing changed.

    `wrapped` reproduces Go's multierror text ("1 error occurred:\n\t* TEXT\n\n"), which clients see where the
    core, not a backend's response, raised the error. `data` (JSON text) makes it the rare error that carries data;
    `applied` one after which something may have changed all the same.
    """

    def __init__(
        self,
        status: int,
        *texts: str,
        wrapped: bool = False,
        data: bytes | None = None,
        retry_after_s: int | None = None,
        applied: str | None = None,
    ) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.texts = texts
        self.wrapped = wrapped
        self.data = data
        self.retry_after_s = retry_after_s
        self.applied = applied


@dataclass(slots=True)
class Answer:
    """What an engine answers, before the envelope.

    `data` is either a Python object or ready JSON bytes (values of secrets are spliced in as they came); None and
    no `auth`, `warnings` or `raw` means 204. `bare` answers are JSON objects without the envelope. With `wrap_ttl_s`
    an engine asks that its answer be wrapped; `wrap_info` is what is left of an answer that is.
    """

    status: int = 200
    data: Any = None
    auth: dict[str, Any] | None = None
    warnings: list[str] | None = None
    lease_duration_s: int = 0
    renewable: bool = False
    lease_id: str = ""
    bare: bool = False  # `data` is the whole body
    inject: bool = False  # keys of `data` also stand at the top level
    raw: RawResponse | None = None  # sent as it is
    headers: list[tuple[str, str]] = field(default_factory=list)
    wrap_ttl_s: int = 0
    wrap_info: dict[str, Any] | None = None

    @property
    def empty(self) -> bool:
        """Nothing to say: 204."""
        nothing = self.data is None and self.auth is None and not self.warnings and self.raw is None
        return nothing and not self.lease_id and self.wrap_info is None and self.status == 200

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"


class StaleLabour(Exception):  # noqa: N818 - asked again, not answered
    """What was worked out beforehand does not fit the state any more: it is worked out again."""


class NeedsDecision(Exception):  # noqa: N818 - asked of the leader, not answered
    """A read found that something has to be changed first: it is the leader's to decide."""


class RawJson(bytes):
    """JSON text that is spliced into a body as it is (a secret's value, custom metadata)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<RawJson {len(self)} bytes>"
