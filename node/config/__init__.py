"""Configuration of a node: what may be said, where it was said, whether it may be served, and how it is shown.

Sections and keys are an interface: adding is free, renaming is a breaking change. Values come from defaults, TOML
files, the environment and flags, in rising order; secrets come from files or variables, never from the command line.
"""

from __future__ import annotations

from .check import problems
from .document import FIELDS, Config, Field, is_loopback, is_wildcard, split_address
from .edge import Api, Audit, AuditDevice, Limits, Log, Metrics, Node, Trace
from .files import file_problems
from .load import Loaded, load, read_secret
from .replication import Backup, Consistency, Dedupe, Journal, Member, Peer, Raft, Seal, Sink
from .secret_text import SecretText
from .show import reference_markdown, reference_toml, settings, tree

__all__ = [
    "FIELDS",
    "Api",
    "Audit",
    "AuditDevice",
    "Backup",
    "Config",
    "Consistency",
    "Dedupe",
    "Field",
    "Journal",
    "Limits",
    "Loaded",
    "Log",
    "Member",
    "Metrics",
    "Node",
    "Peer",
    "Raft",
    "Seal",
    "SecretText",
    "Sink",
    "Trace",
    "file_problems",
    "is_loopback",
    "is_wildcard",
    "load",
    "problems",
    "read_secret",
    "reference_markdown",
    "reference_toml",
    "settings",
    "split_address",
    "tree",
]
