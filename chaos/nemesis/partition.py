"""Who does not hear whom: Jepsen's grudges. A grudge is {node: those it does not hear}, replaced as a whole.

Only links between nodes are cut; clients reach every node, so that a stale one would be noticed.
Source: Jepsen, nemesis.clj (complete-grudge, bridge, majorities-ring), FoundationDB (swizzle).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.targets.base import PARTITION

from .base import counted, grown

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from .base import Scene

Grudge = dict[str, list[str]]
SWIZZLE_S: Final = 0.3  # between two links that go, or come back
UNHEARD: Final = ("held_bytes", "dropped", "dropped_packets")  # counts of targets: what a cut kept back


def complete(groups: Sequence[Sequence[str]]) -> Grudge:
    """Nodes hear their own group alone."""
    return {
        node: [one for other in groups if other is not group for one in other] for group in groups for node in group
    }


def isolate(nodes: Sequence[str], victims: Sequence[str]) -> Grudge:
    """The victims, each alone, neither hear nor are heard."""
    rest = [node for node in nodes if node not in victims]
    return complete([*([victim] for victim in victims), rest])


def mute(nodes: Sequence[str], victims: Sequence[str]) -> Grudge:
    """The victims hear everybody, and nobody hears them."""
    return {node: [victim for victim in victims if victim != node] for node in nodes}


def deaf(nodes: Sequence[str], victims: Sequence[str]) -> Grudge:
    """Everybody hears the victims, who hear nobody."""
    return {victim: [node for node in nodes if node != victim] for victim in victims}


def halves(nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:
    """A minority with the victims, as far as it goes, and a majority."""
    count = (len(nodes) - 1) // 2
    others = [node for node in nodes if node not in victims]
    rng.shuffle(others)
    fewer = [*victims, *others][: max(1, count)]
    return complete([fewer, [node for node in nodes if node not in fewer]])


def bridge(nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:
    """Two halves that do not hear each other, and one victim that hears and is heard by both."""
    middle = victims[0] if victims else rng.choice(list(nodes))
    others = [node for node in nodes if node != middle]
    rng.shuffle(others)
    half = len(others) // 2
    return complete([others[:half], others[half:]])


def ring(nodes: Sequence[str], rng: random.Random) -> Grudge:
    """Each node hears a majority, and no two the same one."""
    order = list(nodes)
    rng.shuffle(order)
    count = len(order)
    near = (count // 2 + 1) // 2
    heard = {
        node: {order[(place + step) % count] for step in range(-near, near + 1)} for place, node in enumerate(order)
    }
    if count <= 2 * near + 1:  # everybody is everybody's neighbour: cut one pair, so that no two hear the same
        one, two = order[0], order[-1]
        return {one: [two], two: [one]}
    return {node: [other for other in order if other not in heard[node]] for node in order}


class Partition:
    """One shape of a partition."""

    name: ClassVar[str] = "isolate"
    about: ClassVar[str] = "the victims neither hear nor are heard by the others"
    needs: ClassVar[frozenset[str]] = frozenset({PARTITION})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#1f77b4"

    def grudge(self, nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:  # noqa: ARG002
        """Who does not hear whom."""
        return isolate(nodes, victims)

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        made = self.grudge(scene.target.nodes, nodes, scene.rng)
        scene.notes["before"] = counted(scene)
        scene.target.grudge(made)
        cut = sum(map(len, made.values()))
        return {"cut": cut, "took_effect": cut > 0, "grudge": made}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        found = grown(scene, UNHEARD)
        scene.target.grudge({})
        return found


class Mute(Partition):
    """One way: what the victims say is not heard."""

    name: ClassVar[str] = "mute"
    about: ClassVar[str] = "the victims hear the others, and are not heard (one way)"
    colour: ClassVar[str] = "#17becf"

    def grudge(self, nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:  # noqa: ARG002
        """See Partition."""
        return mute(nodes, victims)


class Deaf(Partition):
    """The other way: the victims hear nothing."""

    name: ClassVar[str] = "deaf"
    about: ClassVar[str] = "the victims are heard, and hear nobody (the other way)"
    colour: ClassVar[str] = "#aec7e8"

    def grudge(self, nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:  # noqa: ARG002
        """See Partition."""
        return deaf(nodes, victims)


class Halves(Partition):
    """A minority and a majority."""

    name: ClassVar[str] = "halves"
    about: ClassVar[str] = "a minority, the victims first, is cut off from the majority"

    def grudge(self, nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:
        """See Partition."""
        return halves(nodes, victims, rng)


class Bridge(Partition):
    """Two halves with one node between them."""

    name: ClassVar[str] = "bridge"
    about: ClassVar[str] = "two halves that hear each other through one node alone"
    colour: ClassVar[str] = "#2ca02c"

    def grudge(self, nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:
        """See Partition."""
        return bridge(nodes, victims, rng)


class Ring(Partition):
    """Overlapping majorities."""

    name: ClassVar[str] = "ring"
    about: ClassVar[str] = "each node hears a majority, and no two the same one"
    colour: ClassVar[str] = "#bcbd22"

    def grudge(self, nodes: Sequence[str], victims: Sequence[str], rng: random.Random) -> Grudge:  # noqa: ARG002
        """See Partition."""
        return ring(nodes, rng)


class Swizzle(Partition):
    """Links of the victims go one by one, and come back in another order."""

    name: ClassVar[str] = "swizzle"
    about: ClassVar[str] = "links stop one by one, and come back in another order"
    write_gap_s: ClassVar[float] = 5.0  # as long as the links go and come
    colour: ClassVar[str] = "#98df8a"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        pairs = [(sink, source) for source in nodes for sink in scene.target.nodes if sink != source]
        pairs += [(source, sink) for sink, source in pairs]
        pairs = sorted(set(pairs))
        scene.rng.shuffle(pairs)
        held: list[tuple[str, str]] = []
        scene.notes.update(held=held, before=counted(scene))
        for pair in pairs:
            held.append(pair)
            scene.target.grudge(grouped(held))
            time.sleep(SWIZZLE_S * scene.rng.random())
        return {"took_effect": bool(held), "cut": len(held)}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        found = grown(scene, UNHEARD)
        held = list(scene.notes.get("held", ()))
        scene.rng.shuffle(held)
        while held:
            held.pop()
            scene.target.grudge(grouped(held))
            time.sleep(SWIZZLE_S * scene.rng.random())
        scene.target.grudge({})
        return found


def grouped(pairs: Sequence[tuple[str, str]]) -> Grudge:
    """(sink, source) pairs as a grudge."""
    made: Grudge = {}
    for sink, source in pairs:
        made.setdefault(sink, []).append(source)
    return made
