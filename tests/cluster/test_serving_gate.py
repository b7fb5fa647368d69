"""An answer that backups hold back: unknown where something was proposed, unavailable where nothing was."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.errors import UnavailableError, UnknownOutcomeError
from cluster.serving import Serving
from cluster.state.tables import Table
from cluster.state.transaction import Draft


class Late:
    """A gate whose sinks never confirm."""

    async def before(self) -> None:
        return None

    async def after(self, index: int) -> None:
        raise UnknownOutcomeError(f"applied at {index}, not confirmed")


class Proposing:
    """What `write` uses of a member."""

    gate = Late()

    @property
    def running(self) -> Proposing:
        return self

    def may_propose(self) -> None:
        return None

    async def propose(self, decide: Any) -> tuple[int, Any]:
        _draft, answer = decide(None, 1)
        return 7, answer


@pytest.mark.parametrize(("facts", "error"), [(True, UnknownOutcomeError), (False, UnavailableError)])
async def test_only_what_was_proposed_is_unknown(facts: bool, error: type[Exception]) -> None:
    """A refusal changed nothing, and nobody may be told that it may have."""

    def decide(_view: Any, _now_ns: int) -> tuple[Draft, str]:
        draft = Draft()
        if facts:
            draft.drop(Table.FACT, b"some")
        return draft, "answer"

    member: Any = Proposing()
    with pytest.raises(error):
        await Serving.write(member, decide)
