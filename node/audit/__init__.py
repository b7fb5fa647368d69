"""Audit: while a device is enabled, no request is answered before a record of it is written.

The flow asks a Broker; sys/audit asks Rules what a device may be; `verify` proves files whole. Pure: hashing, options,
endpoint, shapes, entry, chain, facts, verify, security_chain. Shells: file, socket, syslog, position, writer (what may
block), device and broker (the loop's side of it). What was opened for whom is remembered in probes.
"""

from __future__ import annotations

from .broker import AuditError, Broker, DeviceSpec, DeviceStatus
from .chain import Head
from .endpoint import OptionError
from .entry import AuditEntry, LineSettings, Renderer
from .hashing import audit_hash
from .options import Rules
from .probes import ProbedRules
from .security_chain import is_security_line, verify_security
from .verify import Fault, Finding, Report, changed, verify

__all__ = [
    "AuditEntry",
    "AuditError",
    "Broker",
    "DeviceSpec",
    "DeviceStatus",
    "Fault",
    "Finding",
    "Head",
    "LineSettings",
    "OptionError",
    "ProbedRules",
    "Renderer",
    "Report",
    "Rules",
    "audit_hash",
    "changed",
    "is_security_line",
    "verify",
    "verify_security",
]
