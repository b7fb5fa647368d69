"""A token that is bound to a network is good for nobody outside it, whatever a request says of where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .base import Verdict, held, skipped, unknown, violated

if TYPE_CHECKING:
    from chaos.folder import RunFolder


class Origin:
    """See the module's paragraph."""

    name: ClassVar[str] = "origin"
    verified: ClassVar[str] = "no bound token was good for a client outside its network, by any header, at any node"
    not_verified: ClassVar[str] = "clients inside the network; proxies that are trusted by configuration"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        tried = [one for one in run.operations if one.f == "spoof"]
        if not tried:
            return skipped(self, "no bound token was used")
        good = [one for one in tried if one.outcome == "ok"]
        if good:
            details = [f"[{one.index}] {one.argument} at {one.node}, claiming {one.more.get('claims')}" for one in good]
            summary = f"{len(good)} of {len(tried)} uses from outside were good"
            return violated(self, summary, details, [good[0].index], uses=len(tried))
        denied = [one for one in tried if one.more.get("denied")]
        claimed = [one for one in denied if one.more.get("claims")]
        if not claimed:
            return unknown(self, "no use that claimed the network was answered", uses=len(tried))
        return held(self, f"{len(denied)} uses from outside, {len(claimed)} with a claim, all denied", uses=len(tried))
