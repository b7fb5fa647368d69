"""KV v1: one object under each path, replaced whole, gone when deleted.

Pure. An object is stored as version 1 of a secret, under a rid drawn anew by every put: no put's box opens as that
of another, and LIST walks the same tree as KV v2 (whose reading of these records is right, too).
Source: Vault API, KV v1.
"""

from __future__ import annotations

from cluster import Draft, Mount, Secret, Table, records

from ..request import WRITES, Answer, Operation, RawJson, RawRequest, Refusal
from .base import Context, Plan
from .durations import DurationError, format_duration, parse_duration_s
from .fields import check_body, ignored_warnings, parameters
from .json_values import Fields, Kind, body_fields, kind_of, object_fields, string_text
from .kv2 import VALUE_BYTES_MAX
from .kv_list import keys_answer, list_names, scan_names
from .kv_values import drop_secret, find, open_version, put_version, secret_key

LEASE_TTL_S = 2_764_800  # 768 h: Vault's default for mounts that say nothing
_KNOWN: frozenset[str] = frozenset()


class KvV1:
    """The engine of `kv` mounts without a version, or with `options.version` "1"."""

    def __init__(self, *, value_bytes_max: int = VALUE_BYTES_MAX) -> None:
        self._value_bytes_max = value_bytes_max

    def is_write(self, operation: Operation, path: str) -> bool:  # noqa: ARG002 - the protocol of all engines
        """Whether the request goes to the leader: every operation that may change something."""
        return operation in WRITES

    def exists(self, context: Context, path: str) -> bool | None:
        """Whether something is stored under the path."""
        return context.view.get(Table.SECRET, secret_key(context, path)) is not None

    def read(self, context: Context, request: RawRequest, path: str) -> Answer:
        """The stored object, or the names below a path; 404 without."""
        match request.operation:
            case Operation.READ:
                answer = _read_object(context, path)
            case Operation.LIST:
                answer = keys_answer(list_names(context, path))
            case Operation.SCAN:
                answer = keys_answer(scan_names(context, path))
            case _:
                raise _unsupported()
        if request.query:
            ignored = ignored_warnings(parameters(request), _KNOWN)
            if ignored:
                answer.warnings = [*(answer.warnings or []), *ignored]
        return answer

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        """The plan of a put or a delete; both answer 204."""
        match request.operation:
            case Operation.CREATE | Operation.UPDATE:
                return self._put(context, request, path)
            case Operation.DELETE:
                key = secret_key(context, path)
                found = find(context, key)
                return Plan(Answer()) if found is None else Plan(Answer(), drop_secret(context, key, found))
            case _:
                raise _unsupported()

    def _put(self, context: Context, request: RawRequest, path: str) -> Plan:
        if request.path.endswith("/"):
            raise Refusal(400, "cannot write to a path ending in '/'")
        if not path:
            raise Refusal(400, "missing path")
        check_body(request)
        if not body_fields(request.body):
            raise Refusal(400, "missing data fields")
        value = request.body.raw.strip()
        if len(value) > self._value_bytes_max:
            raise Refusal(413, f"the secret is larger than {self._value_bytes_max} bytes")
        key = secret_key(context, path)
        found = find(context, key)
        fresh = context.random(32)
        rid, now_ns = fresh[24:], context.now_ns
        draft = Draft()
        draft.expect(Table.SECRET, key, 0 if found is None else found.read_index)
        if found is None:
            draft.put(Table.SECRET, key, Secret(current=1, created_ns=now_ns, updated_ns=now_ns, rid=rid))
        else:
            draft.put(Table.SECRET, key, records.change(Secret, found.record, rid=rid, updated_ns=now_ns))
        put_version(context, draft, key, rid, 1, value, fresh[:12])
        return Plan(Answer(), draft)


def _read_object(context: Context, path: str) -> Answer:
    key = secret_key(context, path)
    found = find(context, key)
    if found is None or found.secret.current == 0:
        raise Refusal(404)
    _, value = open_version(context, key, found.secret, found.secret.current)
    lease_s, warnings = _lease_s(value, context.mount)
    return Answer(data=RawJson(value), lease_duration_s=lease_s, warnings=warnings)


def _lease_s(value: bytes, mount: Mount | None) -> tuple[int, list[str] | None]:
    """(lease duration, warnings): the object's own `ttl` or `lease` if a duration, within the mount's bounds."""
    config = mount.config if mount is not None else {}
    longest_s = config.get("max_lease_ttl") or LEASE_TTL_S
    given_s = _own_ttl_s(object_fields(value)) if b'"ttl"' in value or b'"lease"' in value else 0
    if given_s <= 0:
        return min(config.get("default_lease_ttl") or LEASE_TTL_S, longest_s), None
    if given_s <= longest_s:
        return given_s, None
    given, longest = format_duration(given_s), format_duration(longest_s)
    capped = f'TTL of "{given}" exceeded the effective max_ttl of "{longest}"; TTL value is capped accordingly'
    return longest_s, [capped]


def _own_ttl_s(fields: Fields) -> int:
    given = fields.get("ttl")
    raw = bytes(given if given is not None else fields.get("lease", b"null"))
    kind = kind_of(raw)
    if kind not in {Kind.STRING, Kind.NUMBER}:
        return 0
    try:
        return parse_duration_s(string_text(raw) if kind is Kind.STRING else raw.decode())
    except DurationError:
        return 0


def _unsupported() -> Refusal:
    return Refusal(405, "unsupported operation", wrapped=True)
