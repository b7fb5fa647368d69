"""What clients ask, as data: one operation with all its attempts, and the request that it is.

Pure but for the draws of a generator that is given. A value is written by one operation only: it names its number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from node.request import Body, Operation, RawRequest
from node.writes import uuid7

from .seed import EPOCH_NS, MARKER

if TYPE_CHECKING:
    from random import Random

    from node.request import RawResponse

READS = frozenset({"read", "read metadata", "lookup", "list"})
METHODS = {
    "put": "POST", "patch": "PATCH", "delete": "DELETE", "delete versions": "POST", "undelete": "POST",
    "destroy": "POST", "metadata": "POST", "delete metadata": "DELETE", "read": "GET", "read metadata": "GET",
    "list": "LIST", "create": "POST", "revoke": "POST", "revoke orphan": "POST", "revoke self": "POST",
    "renew": "POST", "lookup": "GET",
}  # fmt: skip
VERBS = {
    "POST": Operation.UPDATE, "PATCH": Operation.PATCH, "DELETE": Operation.DELETE, "GET": Operation.READ,
    "LIST": Operation.LIST,
}  # fmt: skip
PATHS = {
    "put": "secret/data/{}", "patch": "secret/data/{}", "delete": "secret/data/{}", "read": "secret/data/{}",
    "delete versions": "secret/delete/{}", "undelete": "secret/undelete/{}", "destroy": "secret/destroy/{}",
    "metadata": "secret/metadata/{}", "delete metadata": "secret/metadata/{}", "read metadata": "secret/metadata/{}",
    "list": "secret/metadata/", "create": "auth/token/create", "revoke": "auth/token/revoke",
    "revoke orphan": "auth/token/revoke-orphan", "revoke self": "auth/token/revoke-self",
    "renew": "auth/token/renew-self", "lookup": "auth/token/lookup-self",
}  # fmt: skip


@dataclass(eq=False)
class Asked:
    """One operation. `outcome`: "" while open, "done", "refused" (4xx), "no" (surely nothing happened), "unknown"."""

    number: int
    kind: str
    token: str
    name: str = ""  # of the secret
    body: dict[str, Any] = field(default_factory=dict)
    cas: int | None = None
    versions: tuple[int, ...] = ()
    target: str = ""  # raw token that is revoked, or created
    write_id: str | None = None
    invoked_s: float = 0.0
    floor: int = 0  # every write and read that was finished when this began is covered by this index
    attempts: int = 0
    outcome: str = ""
    status: int = 0
    index: int = 0  # that the answer says it reflects
    seen: Any = None
    completed_s: float = 0.0
    unsure: bool = False  # some attempt may have done it

    @property
    def value(self) -> str:
        """What only this operation writes."""
        return f"{MARKER}-{self.number}"

    @property
    def is_read(self) -> bool:
        """Changes nothing."""
        return self.kind in READS

    def __repr__(self) -> str:
        """For violations: numbers and kinds, no token."""
        return f"<{self.number} {self.kind} {self.name} {self.outcome} {self.status} at {self.index}>"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer taken apart. `applied` is what an error says: "", "no", "yes" or "unknown"."""

    status: int
    index: int
    body: dict[str, Any]

    @property
    def applied(self) -> str:
        """What a failure says of itself."""
        return str(self.body.get("applied", ""))


def give_write_id(asked: Asked, rng: Random, now_s: float) -> None:
    """The client chooses the id of its write."""
    asked.write_id = uuid7(EPOCH_NS + int(now_s * 1e9), rng.randbytes(10))


def request_of(asked: Asked, rng: Random) -> RawRequest:
    """One attempt."""
    method = METHODS[asked.kind]
    number = rng.getrandbits(48)
    path = PATHS[asked.kind].format(asked.name)
    query = {"version": str(asked.versions[0])} if asked.kind == "read" and asked.versions else {}
    return RawRequest(
        id=f"00000000-0000-4000-8000-{number:012x}",
        method=method,
        target=f"/v1/{path}",
        operation=VERBS[method],
        path=path,
        query=query,
        body=Body(msgspec.json.encode(asked.body) if asked.body else b""),
        token=asked.token,
        headers={},
        remote_address="127.0.0.1",
        remote_port=40_000,
        write_id=asked.write_id,
    )


def reply_of(response: RawResponse) -> Reply:
    """See Reply; index 0 where the answer names none."""
    index = 0
    for line in response.lines.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name == b"X-Strongroom-Index":
            index = int(value)
    for header, text in response.headers:
        if header == "X-Strongroom-Index":
            index = int(text)
    body = msgspec.json.decode(response.body) if response.body else {}
    return Reply(response.status, index, body if isinstance(body, dict) else {})
