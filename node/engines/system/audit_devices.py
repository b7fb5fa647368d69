"""Audit devices as records: enable, list, disable, and the hash an operator searches the log with.

Pure. What an option may say, and how a value is hashed, is the audit room's: it is asked through `AuditRules`.
Opening the device is the flow's: once before it is enabled, and for good once the record is applied.
Invariants: a device's salt is drawn once and sealed; it never rotates; no answer and no error holds it. A device is
enabled only with the very type and options with which it could be opened for this request.
Source: Vault API, "sys/audit", "sys/audit-hash"; docs/threat-model.md, audit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cluster import AuditDevice, Draft, Table, look, records

from ...auth.typed_fields import shown, to_pairs, to_text
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import check_body, parameters, to_bool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .routes import Captures

FIELDS = frozenset({"type", "description", "options", "local"})
HASH_FIELDS = frozenset({"input"})
TYPES = frozenset({"file", "syslog", "socket"})
SALT_FIELD = b"salt"
SALT_BYTES = 32


class AuditRules(Protocol):
    """What the audit room decides."""

    def check_options(self, type_: str, options: Mapping[str, str]) -> None:
        """Raises Refusal with 400 for options this node must not or cannot open a device with."""
        ...

    def check_opened(self, request_id: str, path: str, type_: str, options: Mapping[str, str]) -> None:
        """Raises StaleLabour unless this very device was opened on this node for this request."""
        ...

    def hash_text(self, salt: bytes, text: str) -> str:
        """The text as it stands in the device's log: "hmac-sha256:" and hex."""
        ...


class AuditDevices:
    """Handlers of sys/audit and sys/audit-hash."""

    def __init__(self, rules: AuditRules) -> None:
        self._rules = rules

    def read_list(self, context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """Every device by its path."""
        listed = {}
        for key, _, record in sorted(context.view.items(Table.AUDIT_DEVICE)):
            device = records.decode(AuditDevice, record)
            listed[key.decode()] = {
                "description": device.description,
                "local": device.local,
                "options": device.options,
                "path": key.decode(),
                "type": device.type,
            }
        return Answer(data=listed, inject=True)

    def decide_enable(self, context: Context, request: RawRequest, captures: Captures) -> Plan:
        """A device with a fresh salt."""
        given = parameters(request)
        path = captures["path"].strip("/") + "/"
        type_, options = wished_device(request)
        if path == "/":
            raise Refusal(400, "backend path must be specified")
        for key, _, _ in context.view.items(Table.AUDIT_DEVICE):
            other = key.decode()
            if path.startswith(other) or other.startswith(path):
                raise Refusal(400, "path already in use")
        if type_ not in TYPES:
            raise Refusal(400, f'unknown backend type: "{shown(type_)}"')
        self._rules.check_options(type_, options)
        self._rules.check_opened(request.id, path, type_, options)
        key, draft = path.encode(), Draft()
        rid = context.random(8)
        salt_id, box = context.sealing.seal(
            context.view,
            draft,
            context.random(SALT_BYTES),
            table=Table.AUDIT_DEVICE,
            key=key,
            field=SALT_FIELD,
            record_id=rid,
            nonce=context.random(12),
        )
        device = AuditDevice(
            type=type_,
            description=to_text("description", given.get("description")),
            options=options,
            local=to_bool("local", given["local"]) if "local" in given else False,
            salt_id=salt_id,
            box=box,
            rid=rid,
        )
        draft.expect(Table.AUDIT_DEVICE, key, 0)
        draft.put(Table.AUDIT_DEVICE, key, device)
        return Plan(Answer(), draft)

    def decide_disable(self, context: Context, _request: RawRequest, captures: Captures) -> Plan:
        """The device is gone; 204 also where there is none."""
        key = (captures["path"].strip("/") + "/").encode()
        found = context.view.get(Table.AUDIT_DEVICE, key)
        draft = Draft()
        if found is not None:
            draft.expect(Table.AUDIT_DEVICE, key, found[0])
            draft.drop(Table.AUDIT_DEVICE, key)
        return Plan(Answer(), draft)

    def read_hash(self, context: Context, request: RawRequest, captures: Captures) -> Answer:
        """The input as the device's log would show it."""
        path = captures["path"].strip("/") + "/"
        text = to_text("input", parameters(request).get("input"))
        if not text:
            raise Refusal(400, 'the "input" parameter is empty')
        found = look(context.view, Table.AUDIT_DEVICE, AuditDevice, path.encode())
        if found is None:
            raise Refusal(400, f'unknown audit backend "{path}"')
        salt = device_salt(context, path.encode(), found[1])
        return Answer(data={"hash": self._rules.hash_text(salt, text)}, inject=True)


def wished_device(request: RawRequest) -> tuple[str, dict[str, str]]:
    """(type, options) of the device the request wants enabled. Raises FieldError and, where it is no JSON, Refusal."""
    check_body(request)
    given = parameters(request)
    return to_text("type", given.get("type")), to_pairs("options", given.get("options"))


def device_salt(context: Context, key: bytes, device: AuditDevice) -> bytes:
    """The opened salt of a device. Raises DamagedError if its box is not the one sealed for this device."""
    return context.sealing.open(
        device.salt_id, device.box, table=Table.AUDIT_DEVICE, key=key, field=SALT_FIELD, record_id=device.rid
    )
