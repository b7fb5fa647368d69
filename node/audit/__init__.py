"""Audit: while a device is enabled, no request is answered before a record of it is written.

The flow asks a Broker; sys/audit asks Rules what a device may be; `verify` proves files whole. Pure: hashing, options,
shapes, entry, chain, verify. Shells: file and writer (what may block), device and broker (the loop's side of it).
"""

from __future__ import annotations

from .broker import AuditError, Broker, DeviceSpec, DeviceStatus
from .chain import Head
from .entry import AuditEntry, LineSettings, Renderer
from .hashing import audit_hash
from .options import OptionError, Rules
from .verify import Fault, Finding, Report, verify

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
    "Renderer",
    "Report",
    "Rules",
    "audit_hash",
    "verify",
]
