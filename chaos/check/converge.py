"""One state on all nodes: equal digests at the end, and at every index that two nodes ever spoke of; one leader a term.

The digest covers the whole replicated state, so two nodes with one index and two digests have diverged: nothing that
happens later makes it right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .bands import whole_nodes
from .base import Verdict, held, unknown, violated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.folder import RunFolder, Sample


class Converge:
    """See the module's paragraph."""

    name: ClassVar[str] = "converge"
    verified: ClassVar[str] = (
        "after healing all nodes reach one index with one digest; no two nodes ever had two digests at one index; no "
        "term had two leaders"
    )
    not_verified: ClassVar[str] = "moments between two samples; nodes that stay broken for ever"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        digests: dict[str, list[Any]] = run.facts.get("digests") or {}
        samples = [one for one in run.samples if one.status is not None]
        wrong = [*_at_the_end(digests), *_on_the_way(samples), *_leaders(samples)]
        terms = {one.status["term"] for one in samples if one.status is not None and one.status.get("role") == "leader"}
        numbers: dict[str, Any] = {"nodes": len(digests), "samples": len(samples), "terms": len(terms)}
        if wrong:
            return violated(self, f"{len(wrong)} disagreements", wrong, **numbers)
        missing = sorted(set(whole_nodes(run)) - set(digests))
        if not digests or missing:
            return unknown(self, f"no digest of {', '.join(missing) or 'any node'} at the end", **numbers)
        if len(digests) < 2:
            return unknown(self, "one node alone agrees with itself", **numbers)
        if not terms:
            return unknown(self, "no sample names a leader", **numbers)
        index = next(iter(digests.values()))[0]
        what = f"{len(digests)} nodes have one digest at index {index}; each of {len(terms)} terms had one leader"
        return held(self, what, **numbers)


def _at_the_end(digests: dict[str, list[Any]]) -> Iterable[str]:
    told = ", ".join(f"{node} {str(digest)[:16]} at {index}" for node, (index, digest) in sorted(digests.items()))
    if len({index for index, _ in digests.values()}) > 1:
        yield f"nodes did not reach one index after healing: {told}"
    by_index: dict[Any, set[Any]] = {}
    for index, digest in digests.values():
        by_index.setdefault(index, set()).add(digest)
    if any(len(found) > 1 for found in by_index.values()):
        yield f"nodes have different states at the end: {told}"


def _on_the_way(samples: Iterable[Sample]) -> Iterable[str]:
    known: dict[tuple[Any, Any], Sample] = {}
    for one in samples:
        status = one.status or {}
        index, digest = status.get("digest_index"), status.get("digest")
        if index is None or digest is None:
            continue
        first = known.setdefault((status.get("generation"), index), one)
        if first.status is not None and first.status["digest"] != digest:
            yield (
                f"at index {index} {first.node} had another state ({first.time_ns / 1e9:.2f} s) "
                f"than {one.node} ({one.time_ns / 1e9:.2f} s)"
            )


def _leaders(samples: Iterable[Sample]) -> Iterable[str]:
    leaders: dict[tuple[Any, Any], str] = {}
    told: set[tuple[Any, Any]] = set()
    for one in samples:
        status = one.status or {}
        if status.get("role") != "leader":
            continue
        term = (status.get("generation"), status.get("term"))
        first = leaders.setdefault(term, one.node)
        if first != one.node and term not in told:
            told.add(term)
            yield f"term {term[1]} had two leaders, {first} and {one.node}"
