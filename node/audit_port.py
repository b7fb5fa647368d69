"""What the flow needs of audit: the consumer names it, the room behind it implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .judge import Judged
    from .request import Answer, RawRequest, Refusal


class AuditPort(Protocol):
    """True = at least one enabled device has taken the record; False = the request must not be answered."""

    @property
    def enabled(self) -> bool:
        """Some device is enabled."""
        ...

    async def request(self, request: RawRequest, judged: Judged | None, refusal: Refusal | None) -> bool:
        """The record before execution."""
        ...

    async def response(
        self, request: RawRequest, judged: Judged | None, answer: Answer | None, refusal: Refusal | None
    ) -> bool:
        """The record before the answer leaves."""
        ...

    async def both(
        self, request: RawRequest, judged: Judged | None, answer: Answer | None, refusal: Refusal | None
    ) -> bool:
        """Both records at once: of a read, which changes nothing in between."""
        ...
