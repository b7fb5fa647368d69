"""The group `backup`: a table of its commands."""

from __future__ import annotations

from .parts import LazyGroup

backup = LazyGroup(
    "backup",
    help="Look at backups, verify them, and bring a cluster back from one.",
    lazy={
        "list": ("backup_look", "list_", "generations, bases, seals, sizes and gaps"),
        "verify": ("backup_look", "verify", "open and apply every object; say which one is wrong"),
        "restore": ("backup_restore", "restore", "lay out the folders of a new cluster, to any point"),
        "drill": ("backup_look", "drill", "restore into memory only: how long it takes, how much would be lost"),
        "copy": ("backup_copy", "copy", "objects from one sink to another, as they are"),
        "prune": ("backup_copy", "prune", "remove what retention does not keep"),
        "prepare": ("backup_prepare", "prepare", "make a sink's tables, as their owner"),
        "grants": ("backup_prepare", "grants", "print what a role of PostgreSQL needs"),
        "trigger": ("backup_status", "trigger", "begin a new base now"),
        "status": ("backup_status", "status", "how far each sink of a running node is, and what to expect of it"),
    },
)
