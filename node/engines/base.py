"""What an engine is: it reads from a view and decides plans; it neither awaits nor proposes.

Pure: the time, randomness and keys come in with the Context. `decide(context, request) -> Plan` is called by the
leader on applied state plus its overlay, with no await between reading and proposing; `read` by any node on applied
state. Refusals are raised as `Refusal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from cluster import Draft, Mount, ValueSealing, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..request import Answer, Operation, RawRequest


@dataclass(slots=True)
class Caller:
    """Who asks, as looked up and judged: never the raw token. `token_key` is the keyed hash; None = unauthenticated."""

    token_key: bytes | None = None
    accessor: str = ""
    display_name: str = ""
    policies: tuple[str, ...] = ()
    is_root: bool = False
    has_sudo: bool = False  # the policy rule that granted this path has sudo (root has it everywhere)
    ttl_s: int = 0
    num_uses: int = 0
    entity_id: str = ""
    type: str = "service"
    meta: dict[str, str] | None = None
    identity_policies: tuple[str, ...] = ()  # what the entity and its groups add to `policies`


@dataclass(slots=True)
class Context:
    """Everything an engine may look at. `now_ns` is the cluster's stamp, `random(n)` fresh bytes."""

    view: View
    now_ns: int
    random: Callable[[int], bytes]
    sealing: ValueSealing
    caller: Caller
    mount_path: str = ""
    mount: Mount | None = None
    certificate: bytes = b""  # the client's, where a renewal has to look at it (request.py)

    def at(self, mount_path: str, mount: Mount) -> Context:
        """The same for another mount: for what one engine keeps in the storage of another (cubbyhole, identity)."""
        return replace(self, mount_path=mount_path, mount=mount)


@dataclass(frozen=True, slots=True)
class LeaseWish:
    """The answer's secret is to live under this lease (leases.py). The engine drew the id, to store it beside."""

    lease_id: str
    ttl_s: int
    max_ttl_s: int = 0  # counted from the issue; 0: what the mount allows
    renewable: bool = False


@dataclass(slots=True)
class Plan:
    """What a decision wants: the facts to propose and the answer once they are applied.

    A draft without puts and drops proposes nothing: the answer is then a linearizable read. `secret_answer` says that
    the answer holds a token, key, secret or wrap, so that a repetition by write id cannot be answered with it.
    """

    answer: Answer
    draft: Draft = field(default_factory=Draft)
    secret_answer: bool = False
    lease: LeaseWish | None = None
    after: Callable[[], None] | None = None  # local consequence on the deciding node once applied (seal, step down)


class Engine(Protocol):
    """One type of mount. `path` of a request given to an engine is what follows the mount path."""

    def is_write(self, operation: Operation, path: str) -> bool:
        """Whether the request goes to the leader and is decided there."""
        ...

    def exists(self, context: Context, path: str) -> bool | None:
        """Existence check: POST is create where False, update where True; None = the path has no such check."""
        ...

    def read(self, context: Context, request: RawRequest, path: str) -> Answer:
        """The answer to a request that changes nothing."""
        ...

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        """The plan of a request that may change something."""
        ...


class Labour(Protocol):
    """An engine may have `labour` beside: work too long for the loop (a password's hash, an RSA key).

    The leader asks it before the brackets, on what is applied, lets what it returns run in a thread of a bounded pool,
    and gives the result to `decide` as `request.labour`. `decide` must not rely on the state having stayed the same:
    the result says what it was made from, and is refused with a `StaleLabour` where that has changed.
    """

    def labour(self, context: Context, request: RawRequest, path: str) -> Callable[[], Any] | None:
        """What is to be run; None: nothing. Raises Refusal, as `decide` would."""
        ...


class Folding(Protocol):
    """An engine may have `canonical` beside, where one thing has several spellings (names that are lower-cased).

    What a rule says of the one spelling that counts holds for every other, or a `deny` would be dodged by an upper case
    letter: the judge asks about both.
    """

    def canonical(self, path: str) -> str:
        """The path below the mount in the spelling that counts; the same where it has but one. Cheap, never refuses."""
        ...


@dataclass(frozen=True, slots=True)
class Errand:
    """Labour that waits for somebody else's answer: it has threads of its own, so that no password waits behind it.

    `whom`: for whose sake they are asked, the uuid of a mount; each has a share of the threads.
    """

    run: Callable[[], Any]
    whom: bytes = b""

    def __call__(self) -> Any:
        """What came of it."""
        return self.run()
