"""One request and its answer as two lines for one device: `request` before it is carried out, `response` after.

Pure. Rendering is done in steps, so that the values of a large body are hashed in slices.
Invariants
  E1  a token is never written, only its hash; an accessor only where the device says so
  E2  bodies and query values are masked (hashing.py); paths, policies and metadata of tokens are for people to read
  E3  of the headers only those are written that the operator named; those that carry credentials only as hashes
  E4  a body that is no JSON, or is sent raw, is one value and hashed whole
Source: Vault, "Audit devices"; OpenBao, audit/format.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..engines.instants import rfc3339
from ..http.render import multierror
from ..request import Answer, Operation
from .hashing import Hasher, Masking
from .shapes import (
    Auth,
    EventLine,
    LeaseInfo,
    Namespace,
    PolicyInfo,
    PolicyResults,
    Request,
    RequestLine,
    Response,
    ResponseLine,
    WrapInfo,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from cluster import Mount

    from ..engines.base import Caller
    from ..request import RawRequest, Refusal
    from .options import DeviceOptions

    Steps = Generator[None, None, Any]

_ROOT = Namespace("root")
_TYPE_OF_NONE = "default"  # Vault's word where there is no token
_LISTINGS = frozenset({Operation.LIST, Operation.SCAN})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-vault-token"})
# Below sys/ numbers and booleans are settings; below these they are what somebody else stored.
_SYSTEM = "sys/"
_STORED = ("sys/wrapping/", "sys/raw", "sys/tools/")

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class AuditEntry:
    """What is known of one request. The fields from `answer` on are for its response line.

    `caller` is None where nobody was recognised; `operation` is the judged one (create or update).
    """

    request: RawRequest
    caller: Caller | None = None
    operation: Operation | None = None
    mount_path: str = ""
    mount: Mount | None = None
    allowed: bool = True
    granting_policies: tuple[str, ...] = ()
    token_issue_ns: int = 0
    token_creation_ttl_s: int = 0
    no_default_policy: bool = False
    answer: Answer | None = None
    refusal: Refusal | None = None
    wrap_info: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<AuditEntry {self.request.id}>"


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What all devices of a node have in common. `headers`: name in lower case → whether its values are hashed."""

    vault_numbers: bool = False
    headers: Mapping[str, bool] = field(default_factory=dict)


class _Shared(NamedTuple):
    """What both lines of a request have in common, as JSON text."""

    auth: msgspec.Raw
    request: msgspec.Raw


class Renderer:
    """Lines for one device. Every method is a generator that yields between slices and returns bytes."""

    __slots__ = ("_hasher", "_options", "_settings")

    def __init__(self, hasher: Hasher, options: DeviceOptions, settings: LineSettings) -> None:
        self._hasher = hasher
        self._options = options
        self._settings = settings

    def request(self, entry: AuditEntry, time_ns: int) -> Steps:
        """Returns [the request line]."""
        shared = yield from self._shared(entry)
        return [self._request_line(shared, entry, rfc3339(time_ns))]

    def response(self, entry: AuditEntry, time_ns: int) -> Steps:
        """Returns [the response line]."""
        shared = yield from self._shared(entry)
        return [(yield from self._response_line(shared, entry, rfc3339(time_ns)))]

    def both(self, entry: AuditEntry, time_ns: int) -> Steps:
        """Returns [the request line, the response line] of a request that changed nothing in between."""
        shared = yield from self._shared(entry)
        time = rfc3339(time_ns)
        return [
            self._request_line(shared, entry, time),
            (yield from self._response_line(shared, entry, time)),
        ]

    # ---- the two lines
    def _request_line(self, shared: _Shared, entry: AuditEntry, time: str) -> bytes:
        forwarded_from = entry.request.forwarded_from or ""
        return _encode(
            RequestLine(time, "request", shared.auth, shared.request, error_of(entry.refusal), forwarded_from)
        )

    def _response_line(self, shared: _Shared, entry: AuditEntry, time: str) -> Steps:
        response = yield from self._response(entry)
        forwarded_from = entry.request.forwarded_from or ""
        return _encode(
            ResponseLine(
                time,
                "response",
                shared.auth,
                shared.request,
                response,
                error_of(entry.refusal),
                forwarded_from,
                bool(forwarded_from),
            )
        )

    def _shared(self, entry: AuditEntry) -> Steps:
        request, caller, mount = entry.request, entry.caller, entry.mount
        token, accessor = self._token_of(entry), ""
        if caller is not None and caller.accessor:
            accessor = self._accessor(caller.accessor)
        data = yield from self._request_data(entry)
        asked = Request(
            request.id,
            (entry.operation or request.operation).value,
            _ROOT,
            request.path,
            client_token=token,
            client_token_accessor=accessor,
            data=data,
            remote_address=request.remote_address,
            remote_port=request.remote_port,
            wrap_ttl=request.wrap_ttl_s or 0,
            headers=self._headers(request.headers.items()),
        )
        if caller is not None:
            asked.client_id = caller.entity_id
        if mount is not None:
            asked.mount_point, asked.mount_type = entry.mount_path, mount.type
            asked.mount_accessor, asked.mount_class = mount.accessor, mount_class(entry.mount_path)
        auth = self._auth(entry, token, accessor)
        return _Shared(msgspec.Raw(_encode(auth)), msgspec.Raw(_encode(asked)))

    def _auth(self, entry: AuditEntry, token: str, accessor: str) -> Auth:
        caller = entry.caller
        granting = [PolicyInfo(name, "root", "acl") for name in entry.granting_policies]
        auth = Auth(policy_results=PolicyResults(entry.allowed, granting), token_type=_TYPE_OF_NONE)
        if caller is None or caller.token_key is None:
            return auth
        policies = list(caller.policies)
        auth.client_token, auth.accessor, auth.display_name = token, accessor, caller.display_name
        auth.token_policies, auth.identity_policies = policies, list(caller.identity_policies)
        auth.policies = sorted({*policies, *caller.identity_policies}) if caller.identity_policies else policies
        auth.no_default_policy = entry.no_default_policy
        auth.metadata = caller.meta or None
        auth.remaining_uses, auth.entity_id, auth.token_type = caller.num_uses, caller.entity_id, caller.type
        auth.token_ttl = entry.token_creation_ttl_s
        if entry.token_issue_ns:
            auth.token_issue_time = rfc3339(entry.token_issue_ns)
        return auth

    def _response(self, entry: AuditEntry) -> Steps:
        answer, mount = entry.answer, entry.mount
        response = Response()
        if mount is not None:
            response.mount_point, response.mount_type = entry.mount_path, mount.type
            response.mount_accessor, response.mount_class = mount.accessor, mount_class(entry.mount_path)
        if entry.wrap_info is not None:
            response.wrap_info = self._wrap_info(entry.wrap_info)
        if answer is not None:
            if entry.wrap_info is None:
                response.data = yield from self._answer_data(entry, answer)
                response.auth = None if answer.auth is None else self._issued(answer.auth)
                response.secret = LeaseInfo(answer.lease_id) if answer.lease_id else None
            response.warnings = answer.warnings or None
            response.headers = self._headers(answer.headers)
        elif entry.refusal is not None:
            response.data = yield from self._refusal_data(entry, entry.refusal)
        return response

    # ---- bodies
    def _masking(self, entry: AuditEntry, exempt_key: str) -> Masking:
        path = entry.request.path
        is_setting = path.startswith(_SYSTEM) and not path.startswith(_STORED)
        exempt = () if entry.mount is None else entry.mount.config.get(exempt_key) or ()
        return Masking(
            self._hasher,
            numbers=not (self._settings.vault_numbers or is_setting),
            raw=self._options.log_raw,
            exempt=frozenset(exempt),
        )

    def _request_data(self, entry: AuditEntry) -> Steps:
        """Body and query as one object; the body wins, because it is what engines read."""
        body, query = entry.request.body, entry.request.query
        raw = body.raw
        if not query and not raw:
            return None
        masking = self._masking(entry, "audit_non_hmac_request_keys")
        data = (yield from masking.masked(raw)) if raw else {}
        if query and isinstance(data, dict):
            data = (yield from masking.masked(dict(query))) | data
        return data or None

    def _answer_data(self, entry: AuditEntry, answer: Answer) -> Steps:
        if answer.raw is not None:
            sent = answer.raw
            if not sent.body:
                return None
            return {
                "http_content_type": self._hasher.text(sent.content_type),
                "http_raw_body": self._hasher.octets(sent.body),
                "http_status_code": sent.status,
            }
        if answer.data is None:
            return None
        data = yield from self._masking(entry, "audit_non_hmac_response_keys").masked(answer.data)
        if self._options.elide_list_responses and entry.request.operation in _LISTINGS and isinstance(data, dict):
            for key in ("keys", "key_info"):
                if isinstance(data.get(key), list | dict):
                    data[key] = len(data[key])
        return data or None

    def _refusal_data(self, entry: AuditEntry, refusal: Refusal) -> Steps:
        data = None
        if refusal.data is not None:
            data = yield from self._masking(entry, "audit_non_hmac_response_keys").masked(refusal.data)
        if not refusal.texts:
            return data
        error = {"error": self._hasher.text(error_of(refusal))}
        return data | error if isinstance(data, dict) else error

    # ---- tokens, accessors, headers
    def _token_of(self, entry: AuditEntry) -> str:
        token, caller = entry.request.token, entry.caller
        if not token:
            return ""
        if caller is None or caller.token_key is None:
            return self._hasher.text(token)
        return self._hasher.remembered(caller.token_key, token)

    def _accessor(self, accessor: str) -> str:
        return self._hasher.remembered(accessor, accessor) if self._options.hmac_accessor else accessor

    def _issued(self, auth: Mapping[str, Any]) -> Auth:
        """The `auth` of an answer: a login, a new or renewed token. Its metadata exist to be read here."""
        token, accessor = auth.get("client_token") or "", auth.get("accessor") or ""
        return Auth(
            client_token=self._hasher.text(token) if token else "",
            accessor=self._accessor(accessor) if accessor else "",
            display_name=auth.get("display_name") or "",
            policies=list(auth.get("policies") or ()),
            token_policies=list(auth.get("token_policies") or ()),
            identity_policies=list(auth.get("identity_policies") or ()),
            metadata=auth.get("metadata") or None,
            num_uses=auth.get("num_uses") or 0,
            entity_id=auth.get("entity_id") or "",
            token_type=auth.get("token_type") or "",
            token_ttl=auth.get("lease_duration") or 0,
        )

    def _wrap_info(self, wrap: Mapping[str, Any]) -> WrapInfo:
        accessor, wrapped = wrap.get("accessor") or "", wrap.get("wrapped_accessor") or ""
        return WrapInfo(
            ttl=wrap.get("ttl") or 0,
            token=self._hasher.text(wrap["token"]),
            accessor=self._accessor(accessor) if accessor else "",
            creation_time=wrap.get("creation_time") or "",
            creation_path=wrap.get("creation_path") or "",
            wrapped_accessor=self._accessor(wrapped) if wrapped else "",
        )

    def _headers(self, headers: Any) -> dict[str, list[str]] | None:
        wanted = self._settings.headers
        if not wanted:
            return None
        shown: dict[str, list[str]] = {}
        for name, value in headers:
            lower = name.lower()
            hashed = wanted.get(lower)
            if hashed is not None:
                text = self._hasher.text(value) if hashed or lower in _CREDENTIALS else value
                shown.setdefault(lower, []).append(text)
        return shown or None


def event_line(kind: str, details: Mapping[str, str | int | bool], time_ns: int) -> bytes:
    """A security event. `details` are names, numbers and addresses: never a value, a token or a key."""
    return _encode(EventLine(rfc3339(time_ns), "event", {"kind": kind, **details}))


def mount_class(mount_path: str) -> str:
    """Vault's word for what a mount is."""
    return "auth" if mount_path.startswith("auth/") else "secret"


def error_of(refusal: Refusal | None) -> str:
    """The error of a line, in the clear: the text the client gets; "" where a refusal says nothing."""
    if refusal is None or not refusal.texts:
        return ""
    return multierror(refusal.texts) if refusal.wrapped else "\n".join(refusal.texts)
