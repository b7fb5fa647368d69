"""No value lies anywhere in the clear: the marker that every value contains is in no file that a node wrote.

The runner searches data folders, logs, audit files and backups while they exist (facts.json, plaintext); what is left
of them in the run's folder is searched here, again. Both by grep.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from chaos.workload import MARK

from .base import Verdict, held, unknown, violated
from .grep import search
from .words import is_write

if TYPE_CHECKING:
    from chaos.folder import RunFolder


class Plaintext:
    """See the module's paragraph."""

    name: ClassVar[str] = "plaintext"
    verified: ClassVar[str] = (
        "the marker that all values contain is in no file of any node, plain, in hexadecimal, UTF-16 or base64"
    )
    not_verified: ClassVar[str] = "compressed or otherwise encoded copies; memory, swap and core dumps; deleted files"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        here = search([run.path / "nodes"], MARK)
        there: dict[str, Any] = run.facts.get("plaintext") or {}
        found = [*there.get("found", ()), *here["found"]]
        unread = sorted({*there.get("unread", ()), *here["unread"]})
        written = sum(is_write(one) and one.outcome == "ok" for one in run.operations)
        numbers: dict[str, Any] = {
            "files": there.get("files", 0),
            "bytes": there.get("bytes", 0),
            "files_here": here["files"],
            "writes": written,
        }
        if found:
            details = list(dict.fromkeys(f"{hit['file']} at byte {hit['offset']} ({hit['form']})" for hit in found))
            return violated(self, f"values lie in the clear at {len(details)} places", details, **numbers)
        if not there.get("files"):
            why = "data folders were not searched: the run was cut short, or they are somebody else's"
            return unknown(self, why, **numbers)
        if unread:
            return unknown(self, f"{len(unread)} files could not be read", **numbers)
        if not written:
            return unknown(self, "nothing was written", **numbers)
        what = f"no trace of the values of {written} writes in {there['files']} files ({there['bytes']} bytes)"
        return held(self, what, **numbers)
