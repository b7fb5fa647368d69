"""Faults that a command of the cluster's owner makes: any of ours by its name, or one of the owner's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from chaos.targets.base import HOOK, TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Nemesis, Scene


class Asked(Protocol):
    """A target whose owner gave a hook."""

    def inject(self, fault: str, nodes: Sequence[str]) -> dict[str, Any]:
        """See targets/hook.py."""
        ...

    def heal(self, fault: str, nodes: Sequence[str]) -> dict[str, Any]:
        """See targets/hook.py."""
        ...


class Hooked:
    """That nemesis, done by the hook: name, budget and colour are its own."""

    def __init__(self, like: Nemesis, target: Asked) -> None:
        self.name = like.name
        self.about = like.about
        self.write_gap_s = like.write_gap_s
        self.colour = like.colour
        self.needs = frozenset({f"{HOOK}:{like.name}"})
        self._target = target

    def fault(self, scene: Scene) -> str:  # noqa: ARG002 - an owner's own fault is in its notes
        """What the hook is asked for."""
        return self.name

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["nodes"] = list(nodes)
        return self._target.inject(self.fault(scene), nodes)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        if "nodes" not in scene.notes:
            return {}
        return self._target.heal(self.fault(scene), scene.notes["nodes"])


class Hook:
    """A fault of the owner's own: `nemesis = "hook"`, `options = { fault = "unplug" }`."""

    name: ClassVar[str] = "hook"
    about: ClassVar[str] = "asks the hook for the fault that the scenario's options name"
    needs: ClassVar[frozenset[str]] = frozenset({HOOK})
    write_gap_s: ClassVar[float] = 5.0
    colour: ClassVar[str] = "#393b79"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002 - there is no hook
        """See Nemesis; only on a cluster that was given with a hook (`Owned`)."""
        raise TargetError("this cluster has no hook")

    def heal(self, scene: Scene) -> dict[str, Any]:  # noqa: ARG002 - nothing was injected
        """See Nemesis."""
        return {}


class Owned(Hooked):
    """A fault that its options name."""

    def __init__(self, target: Asked) -> None:
        super().__init__(Hook(), target)
        self.needs = frozenset({HOOK})

    def fault(self, scene: Scene) -> str:
        """See Hooked. Raises TargetError if the scenario names none."""
        named = scene.notes.get("fault")
        if not isinstance(named, str) or not named or named.startswith("-"):
            raise TargetError('the fault has no name: options = { fault = "…" }')
        return named
