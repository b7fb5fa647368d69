"""The group `kv`: a table of its commands."""

from __future__ import annotations

from .parts import LazyGroup

kv = LazyGroup(
    "kv",
    help="Read and write secrets; the version of the KV engine is learned from the server.",
    lazy={
        "get": ("kv_read", "get", "read a secret"),
        "put": ("kv_write", "put", "write a secret, all of it"),
        "patch": ("kv_write", "patch", "change some fields of a secret"),
        "list": ("kv_read", "list_", "list the names below a path"),
        "delete": ("kv_versions", "delete", "delete versions; they can be undeleted"),
        "undelete": ("kv_versions", "undelete", "bring deleted versions back"),
        "destroy": ("kv_versions", "destroy", "remove the data of versions for good"),
        "rollback": ("kv_write", "rollback", "write an old version again"),
        "metadata": ("kv_metadata", "metadata", "read and write what is known about a secret"),
    },
)
