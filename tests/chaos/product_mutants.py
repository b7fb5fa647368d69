"""Mutants of the whole product: each has one thing wrong, runs as real processes, and is caught by a named checker.

A patch replaces functions of the product before a node starts; the shipped code knows nothing of it. `catchers` are the
checkers of which at least one must say "violated"; another one may say so, too. The table is made by
`python -m tests.chaos.product_mutants_table`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

ISOLATE: Final = '[[faults]]\nnemesis = "isolate"\nhold_s = [2.5, 3.5]\ntimes = 2\n'
KILL: Final = '[[faults]]\nnemesis = "kill"\nhold_s = [0.8, 1.5]\ntimes = 3\n'
CUT_OFF: Final = ISOLATE.replace('"isolate"\n', '"isolate"\nselect = "follower"\n')
PAUSE: Final = '[[faults]]\nnemesis = "pause"\nselect = "follower"\nhold_s = [0.5, 1.0]\n'


@dataclass(frozen=True)
class ProductMutant:
    """`workloads` and `faults` are TOML of the scenario that catches it."""

    name: str
    about: str
    catchers: tuple[str, ...]
    patch: Callable[[], None]
    workloads: str
    faults: str = PAUSE
    cluster: str = ""
    seeds: int = 3  # runs before it counts as missed
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def scenario(self) -> str:
        """TOML."""
        return (
            f'name = "mutant-{self.name}"\nwarm_up_s = 2\ncool_down_s = 2\nrate_per_s = 200\n'
            f"workloads = {{ {self.workloads} }}\nchecks = [{self._checks}]\n[cluster]\n{self.cluster}\n{self.faults}"
        )

    @property
    def _checks(self) -> str:
        return '"backup"' if self.cluster else ""


def _put(where: Any, name: str, what: Any) -> None:
    """The product has that name, and it is replaced: a mutant of what is no more would change nothing."""
    assert hasattr(where, name), f"{where} has no {name}"
    setattr(where, name, what)


def _every(count: int) -> Callable[[], bool]:
    """True each time after so many calls."""
    numbers = itertools.count(1)
    return lambda: next(numbers) % count == 0


# ---- reads
def leader_reads_without_a_round() -> None:
    """A leader believes that it leads, and asks nobody."""
    from cluster.raft import chassis
    from cluster.raft.reads import Reads

    real = chassis.SyncObjConf  # type: ignore[attr-defined]

    def for_ever(**settings: Any) -> Any:
        return real(**settings | {"leaderFallbackTimeout": 60.0})

    def confirm(self: Any, since_s: float, callback: Any) -> None:
        self._when_applied(self.commit_index, since_s, callback)

    _put(Reads, "_confirm", confirm)
    _put(chassis, "SyncObjConf", for_ever)


def followers_read_what_they_have() -> None:
    """A follower answers with what it has applied."""
    from cluster.raft.reads import Reads

    def read_index(self: Any, callback: Any) -> None:
        callback(self.applied_index, None)

    _put(Reads, "read_index", read_index)


def lists_forget_the_newest() -> None:
    """A listing leaves out its last name, now and then."""
    from cluster.state.machine import State

    real, now_and_then = State.list, _every(7)

    def listed(self: Any, folder: bytes, *, after: bytes = b"", limit: int = 0) -> Any:
        names = real(self, folder, after=after, limit=limit)
        return names[:-1] if len(names) > 3 and now_and_then() else names

    _put(State, "list", listed)


# ---- writes
def acknowledged_before_it_is_committed() -> None:
    """The leader answers as soon as the entry is in its own log."""
    from cluster.raft.applying import Applying
    from cluster.state.machine import INSTALLED

    real = Applying.propose

    def propose(self: Any, draft: Any, callback: Any, **more: Any) -> int:
        index = real(self, draft, lambda *_: None, **more)
        asyncio.get_running_loop().call_soon(callback, index, INSTALLED, None)
        return index

    _put(Applying, "propose", propose)


def compare_and_set_compares_nothing() -> None:
    """Every expected version is the right one."""
    from node.engines import kv2

    _put(kv2, "_check_cas", lambda *_: None)


def followers_skip_a_change() -> None:
    """One in a hundred entries is not installed, on one node alone."""
    import sys

    from cluster.state.machine import State

    real, now_and_then = State.apply, _every(100)

    def apply(self: Any, index: int, term: int, transaction: Any) -> Any:
        if now_and_then() and any("/n2/" in word for word in sys.argv):
            transaction = type(transaction)(transaction.term, transaction.sequence, transaction.time_ns, [], [], [])
        return real(self, index, term, transaction)

    _put(State, "apply", apply)


def apply_looks_at_the_clock() -> None:
    """The time of the state is the node's own, in what it remembers of a hundredth entry."""
    from cluster.state.machine import State

    real, now_and_then = State.apply, _every(100)

    def apply(self: Any, index: int, term: int, transaction: Any) -> Any:
        outcome = real(self, index, term, transaction)
        if now_and_then():
            self.digest ^= time.time_ns()
        return outcome

    _put(State, "apply", apply)


# ---- tokens and policies
def revocation_is_dropped() -> None:
    """A fifth of all revocations changes nothing, and is answered 204."""
    from cluster import Draft
    from node.auth import token_revoke

    real, now_and_then = token_revoke._revoke, _every(5)

    def revoke(context: Any, token: Any) -> Any:
        plan = real(context, token)
        return type(plan)(plan.answer, Draft()) if now_and_then() else plan

    _put(token_revoke, "_revoke", revoke)


def children_survive() -> None:
    """A revoked token's tree lives on."""
    from node.auth import (
        token_revoke,
        tokens,
    )

    _put(token_revoke, "revoke_token", token_revoke._drop_token)
    _put(tokens, "_ancestors_live", lambda *_: True)


def tokens_are_remembered() -> None:
    """A token that was good is good for two seconds more, on that node."""
    from node.auth import tokens

    real = tokens.authenticate
    known: dict[str, tuple[float, Any]] = {}

    def authenticate(view: Any, sealing: Any, raw_token: Any, *more: Any) -> Any:
        now_s = time.monotonic()
        kept = known.get(raw_token)
        if kept is not None and now_s - kept[0] < 2.0:
            return kept[1]
        found = real(view, sealing, raw_token, *more)
        if found is not None and not found.record.num_uses:
            known[raw_token] = (now_s, found)
        return found

    _put(tokens, "authenticate", authenticate)


def a_use_is_not_taken() -> None:
    """A token of one use keeps it, a third of the time."""
    from cluster import Draft
    from node import writing

    real, now_and_then = writing.use_token, _every(3)

    def use(view: Any, token: Any) -> Any:
        return (view, Draft()) if token.record.num_uses and now_and_then() else real(view, token)

    _put(writing, "use_token", use)


def policies_are_kept_for_ever() -> None:
    """Rules once read are never read again."""
    from node.registry import Registry

    real = Registry.acl
    kept: dict[tuple[str, ...], Any] = {}

    def acl(self: Any, view: Any, names: tuple[str, ...], person: Any = None, *, pending: bool = False) -> Any:
        if names not in kept:
            kept[names] = real(self, view, names, person, pending=pending)
        return kept[names]

    _put(Registry, "acl", acl)


def any_forwarder_is_trusted() -> None:
    """Whoever says `X-Forwarded-For` is believed."""
    from node.http import headers

    def address(first: Any, _all_of: Any, peer: Any, _trust: Any) -> str:
        return str(first.get("x-forwarded-for") or peer.address).split(",")[0].strip()

    _put(headers, "_client_address", address)
    _put(headers.Trust, "is_proxy", lambda _self, _address: True)


# ---- audit, files, time
def the_record_follows_the_answer() -> None:
    """Answers leave at once; their records are written a little later."""
    from node.audit.broker import Broker

    real = Broker._heard
    late: set[Any] = set()

    async def heard(self: Any, *arguments: Any) -> bool:
        async def write() -> None:
            await asyncio.sleep(0.3)
            await real(self, *arguments)

        task = asyncio.create_task(write())
        late.add(task)
        task.add_done_callback(late.discard)
        return True

    _put(Broker, "_heard", heard)


def a_record_is_left_out() -> None:
    """One response in fifty has none."""
    from node.audit.broker import Broker

    real, now_and_then = Broker.response, _every(50)

    async def response(self: Any, *arguments: Any) -> bool:
        return True if now_and_then() else await real(self, *arguments)

    _put(Broker, "response", response)


def a_value_is_logged() -> None:
    """One write in a hundred says in the log what was written."""
    from node.engines.kv2 import KvV2

    real, now_and_then = KvV2.put, _every(100)

    def put(self: Any, context: Any, path: str, value: bytes, **more: Any) -> Any:
        if now_and_then():
            with open("/dev/stderr", "ab") as log:  # noqa: PTH123 - where the log goes
                log.write(b"debug: " + bytes(value) + b"\n")
        return real(self, context, path, value, **more)

    _put(KvV2, "put", put)


def an_error_escapes() -> None:
    """One answer in three hundred raises what nobody expected."""
    from node.flow import Flow

    real, now_and_then = Flow.handle, _every(300)

    async def handle(self: Any, request: Any) -> Any:
        if now_and_then():
            print("Traceback (most recent call last):\nZeroDivisionError: division by zero", flush=True)
        return await real(self, request)

    _put(Flow, "handle", handle)


def elections_are_late() -> None:
    """A follower waits six seconds and more before it stands."""
    from cluster.raft.chassis import Chassis

    real = Chassis.postpone_election
    _put(Chassis, "postpone_election", lambda self, now_s: real(self, now_s + 6.0))


def a_batch_is_not_whole() -> None:
    """One batch of the backup in three says nothing where its last entry was."""
    from cluster.backup import pipeline

    real, now_and_then = pipeline.encode_entries, _every(3)

    def encode(first: int, entries: Any, digest: bytes) -> bytes:
        if now_and_then():
            entries = [*entries[:-1], (entries[-1][0], b"")]
        return real(first, entries, digest)

    _put(pipeline, "encode_entries", encode)


MUTANTS: Final = {
    one.name: one
    for one in (
        ProductMutant("leader-reads-without-a-round", "a leader answers reads without asking a majority",
                      ("witness", "wgl", "session"), leader_reads_without_a_round, "register = 1", ISOLATE),
        ProductMutant("follower-reads", "a follower answers with what it has applied", ("witness", "wgl", "session"),
                      followers_read_what_they_have, "register = 1", CUT_OFF),
        ProductMutant("list-forgets", "a listing leaves out a name", ("sets",), lists_forget_the_newest, "set = 1"),
        ProductMutant("ack-before-commit", "a write is answered before a majority has it",
                      ("acked", "witness", "wgl", "sets"), acknowledged_before_it_is_committed,
                      "register = 1, set = 1", KILL + ISOLATE),
        ProductMutant("cas-unchecked", "compare-and-set compares nothing", ("witness", "wgl", "appends", "acked"),
                      compare_and_set_compares_nothing, "register = 1, append = 1"),
        ProductMutant("skips-a-change", "a node does not install one entry in a hundred",
                      ("converge", "logs", "witness", "acked", "live", "recover"), followers_skip_a_change,
                      "register = 1"),
        ProductMutant("clock-in-apply", "the state depends on a node's own clock", ("converge", "logs", "recover"),
                      apply_looks_at_the_clock, "register = 1"),
        ProductMutant("revocation-dropped", "a revocation is answered and not done", ("revocation",),
                      revocation_is_dropped, "tokens = 1"),
        ProductMutant("children-survive", "a revoked token's children stay good", ("revocation",), children_survive,
                      "tokens = 1"),
        ProductMutant("token-cache", "a node remembers tokens that were good", ("revocation",), tokens_are_remembered,
                      "tokens = 1"),
        ProductMutant("used-twice", "what is good for one use is good for more", ("single_use",), a_use_is_not_taken,
                      "once = 1"),
        ProductMutant("policy-cache", "decisions outlive the policy they were made by", ("policies", "wgl"),
                      policies_are_kept_for_ever, "policies = 1"),
        ProductMutant("forwarder-trusted", "X-Forwarded-For is believed from anybody", ("origin",),
                      any_forwarder_is_trusted, "spoof = 1, register = 1"),
        ProductMutant("audit-after-answer", "answers leave before their records", ("audit",),
                      the_record_follows_the_answer, "mixed = 1", KILL),
        ProductMutant("audit-left-out", "one response in fifty has no record", ("audit",), a_record_is_left_out,
                      "register = 1"),
        ProductMutant("value-in-log", "a value stands in the log", ("plaintext",), a_value_is_logged, "register = 1"),
        ProductMutant("traceback", "an error escapes into the log", ("logs",), an_error_escapes, "register = 1"),
        ProductMutant("partial-batch", "a batch of the backup lacks its last entry", ("backup",), a_batch_is_not_whole,
                      "register = 1", PAUSE, 'backup = "sqlite"'),
        ProductMutant("late-elections", "a follower stands after six seconds", ("live",), elections_are_late,
                      "register = 1", KILL.replace("[0.8, 1.5]", "[8.0, 9.0]").replace("times = 3", "times = 1")),
    )
}  # fmt: skip
