"""One request head and its body → a RawRequest, or a refusal.

Pure. The order is the rule: target, path, headers, method, and only then the body, so that nothing is read
for a request that is refused anyway, and nothing is routed that was not checked.
Source: Vault API, "Verb → operation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..request import Body, Operation, RawRequest
from .body import check_content_type, parse_body
from .errors import BadRequestError, ExpectationError, MethodNotAllowedError
from .headers import HeaderFacts, Peer, Trust, read_headers
from .paths import decode_path, parse_query, split_target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .limits import HttpLimits

OPERATIONS = {
    "GET": Operation.READ,
    "LIST": Operation.LIST,
    "SCAN": Operation.SCAN,
    "POST": Operation.UPDATE,  # an existence check may make it CREATE later
    "PUT": Operation.UPDATE,
    "PATCH": Operation.PATCH,
    "DELETE": Operation.DELETE,
    "HEAD": Operation.HEADER,
    "HELP": Operation.HELP,
}
BODIES = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose body is data. DELETE may carry one, which is read and means nothing; the others may not."""

GO_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


@dataclass(slots=True)
class Wire:
    """The head of one request as the parser delivered it."""

    method: str
    target: str
    version: tuple[int, int]
    headers: Iterable[tuple[bytes, bytes]]
    body_bytes: int | None  # announced length; None = chunked


@dataclass(slots=True)
class Head:
    """A head that passed every rule. `wants_continue`: the client waits before it sends the body."""

    method: str
    target: str
    operation: Operation
    path: str
    query: dict[str, str]
    facts: HeaderFacts
    wants_continue: bool


def parse_head(wire: Wire, peer: Peer, trust: Trust, limits: HttpLimits) -> Head:
    """The checked head. Raises EdgeRefusal."""
    raw_path, raw_query = split_target(wire.target)
    path = decode_path(raw_path, limits)
    facts = read_headers(wire.headers, peer, trust, limits)
    operation = OPERATIONS.get(wire.method)
    if wire.method == "OPTIONS":  # cross-origin requests are off: there is no preflight to answer
        raise BadRequestError("cannot handle internal-only request operation")
    if operation is None:
        raise MethodNotAllowedError
    query: dict[str, str] = {}
    if raw_query:
        query = parse_query(raw_query, limits)
        operation = _queried(operation, query)
    if operation in {Operation.LIST, Operation.SCAN} and path and not path.endswith("/"):
        path += "/"
    if wire.method not in BODIES and wire.method != "DELETE" and wire.body_bytes != 0:
        raise BadRequestError("this method takes no body")
    if wire.body_bytes is None and wire.version == (1, 0):
        raise BadRequestError("HTTP/1.0 knows no chunked body")
    if facts.expect not in {"", "100-continue"}:
        raise ExpectationError
    if wire.body_bytes != 0:
        check_content_type(Operation.READ, facts.content_type, facts.content_encoding)
    if wire.method == "PATCH":
        check_content_type(Operation.PATCH, facts.content_type, facts.content_encoding)
    wants_continue = bool(facts.expect) and wire.version == (1, 1) and wire.body_bytes != 0
    return Head(wire.method, wire.target, operation, path, query, facts, wants_continue)


def complete(head: Head, raw: bytes, request_id: str, peer: Peer, listener: str, limits: HttpLimits) -> RawRequest:
    """The request with its body parsed. Raises EdgeRefusal."""
    facts = head.facts
    body, is_form = Body(), False
    if raw and head.method in BODIES:
        body, is_form = parse_body(raw, facts.content_type, limits)
    return RawRequest(
        id=request_id,
        method=head.method,
        target=head.target,
        operation=head.operation,
        path=head.path,
        query=head.query,
        body=body,
        token=facts.token,
        headers=facts.headers,
        remote_address=facts.remote_address,
        remote_port=peer.port,
        wrap_ttl_s=facts.wrap_ttl_s,
        index_states=facts.index_states,
        inconsistent=facts.inconsistent,
        consistency=facts.consistency,
        write_id=facts.write_id,
        no_forwarding=facts.no_forwarding,
        listener=listener,
        body_is_form=is_form,
        certificate=peer.certificate,
    )


def _queried(operation: Operation, query: dict[str, str]) -> Operation:
    """The operation after `?help`, `?list` and `?scan`, which are taken out of the query: they are no data."""
    if query.pop("help", ""):
        return Operation.HELP
    if operation is not Operation.READ:
        return operation
    wanted = [found for found in (Operation.LIST, Operation.SCAN) if _flag(query, found.value)]
    if len(wanted) > 1:
        raise BadRequestError
    return wanted[0] if wanted else operation


def _flag(query: dict[str, str], name: str) -> bool:
    text = query.pop(name, "")
    if not text:
        return False
    if text not in GO_BOOLS:
        raise BadRequestError
    return GO_BOOLS[text]
