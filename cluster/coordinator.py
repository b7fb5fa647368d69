"""Init, the coordinator's half: the member that was asked makes the keys once every member has promised.

Order is the whole of it: promises on every member's disk, then keys, then envelope and entry 1 on every member's disk,
then final, then the shares leave. A failure before final leaves nothing that a later init with a higher ballot does not
replace; nothing of the keys survives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from .errors import DamagedError, StrongroomError, UnavailableError
from .files import FORMAT as BOOTSTRAP_FORMAT
from .files import Bootstrap
from .initialise import AlreadyInitialisedError, Store
from .keyring.envelope import read_seal
from .keyring.seal import NewSeal, Wrap, initialise
from .keyring.sealing import Sealer
from .links.certs import public_key_sha256
from .links.transport import CallError
from .raft.chassis import CONFIGURATION
from .state import records, transaction
from .state.machine import State
from .state.tables import EVERYTHING, Table
from .values import ValueSealing

if TYPE_CHECKING:
    from .member import Member

CALL_S = 5.0
PRESENT_S = 8.0

Seed = Callable[[ValueSealing, State, transaction.Draft, int], None]
"""Adds the node's first facts (policies, mounts, root token) to the draft; given sealing, an empty view, the time."""


async def run_init(
    member: Member, *, seal_type: str, shares: int, threshold: int, peers: bool, seed: Seed, wrap: Wrap | None = None
) -> NewSeal:
    """The new seal with its shares, which the caller answers and wipes. Every member has stored what it needs.

    Raises AlreadyInitialisedError; UnavailableError if a member is missing or unwilling: init can be tried again.
    """
    if member.initialised:
        raise AlreadyInitialisedError("the cluster is initialised")
    others = [name for name in member.settings.members if name != member.settings.node_id]
    await _all_present(member, others)
    number = member.clock.wall_ns()
    spki = await _promises(member, others, number)
    new_seal, store, cluster_id = _make(member, spki, number, seal_type, shares, threshold, peers, seed, wrap)
    try:
        await _everywhere(member, others, "init.store", msgspec.msgpack.encode(store))
        member.init_state.store(store)
        member.init_state.finish(cluster_id)
    except BaseException:
        new_seal.wipe()
        raise
    # From here on the cluster is initialised. A member that does not hear it now learns it from its peers.
    await asyncio.gather(
        *(_call(member, peer, "init.final", cluster_id) for peer in others), return_exceptions=True
    )
    return new_seal


async def _all_present(member: Member, others: list[str]) -> None:
    end = member.clock.boot() + PRESENT_S
    links = member.links
    while True:
        missing = [peer for peer in others if links is None or not links.standing(peer)]
        if not missing:
            return
        if member.clock.boot() > end:
            raise UnavailableError(f"init needs every member; not reachable: {', '.join(missing)}")
        await asyncio.sleep(0.05)


async def _call(member: Member, peer: str, method: str, body: bytes) -> bytes:
    assert member.links is not None
    try:
        return await member.links.call(peer, method, body, CALL_S)
    except CallError as error:
        if error.error == AlreadyInitialisedError.__name__:
            raise AlreadyInitialisedError("the cluster is initialised") from error
        raise UnavailableError(f"member {peer} did not agree to init: {error.error}") from error


async def _everywhere(member: Member, others: list[str], method: str, body: bytes) -> list[bytes]:
    return await asyncio.gather(*(_call(member, peer, method, body) for peer in others))


async def _promises(member: Member, others: list[str], number: int) -> dict[str, bytes]:
    """SHA-256 of every member's public key: the link's certificate says it, and the member agrees."""
    member.init_state.promise(number)
    answers = await _everywhere(member, others, "init.promise", msgspec.msgpack.encode(number))
    spki = {}
    if member.settings.certificate_der:
        spki[member.settings.node_id] = public_key_sha256(member.settings.certificate_der)
    for peer, said in zip(others, answers, strict=True):
        assert member.links is not None
        certificate = member.links.certificate(peer)
        if not certificate or public_key_sha256(certificate) != said:
            raise UnavailableError(f"the link to {peer} changed during init")
        spki[peer] = said
    return spki


def _make(
    member: Member,
    spki: dict[str, bytes],
    number: int,
    seal_type: str,
    shares: int,
    threshold: int,
    peers: bool,
    seed: Seed,
    wrap: Wrap | None,
) -> tuple[NewSeal, Store, bytes]:
    random, settings = member.random, member.settings
    now_ns = member.clock.wall_ns()
    cluster_id, generation = random.bytes(16), random.bytes(16)
    new_seal = initialise(
        random, cluster_id, now_ns, seal_type=seal_type, shares=shares, threshold=threshold, peers=peers, wrap=wrap
    )
    sealer = Sealer(new_seal.keyring, random, generation)
    draft = transaction.Draft()
    config = records.Config(
        cluster_id=cluster_id,
        cluster_name=settings.cluster_name,
        generation=generation,
        profile=settings.profile,
        created_ns=now_ns,
    )
    draft.put(Table.CONFIG, b"cluster", config)
    for name, address in sorted(settings.members.items()):
        host, port = address.peer
        record = records.Member(
            peer_address=f"{host}:{port}", api_address=address.api, spki=spki.get(name, b"")
        )
        draft.put(Table.MEMBER, name.encode(), record)
    draft.put(Table.KEYRING, b"keyring", records.KeyringRecord(epoch=new_seal.seal.epoch, envelope=new_seal.envelope))
    seed(ValueSealing(sealer), State(new_seal.keyring.digest_key), draft, now_ns)
    facts = transaction.Transaction(0, 0, now_ns, [], draft.puts, [])
    entry = sealer.seal_entry(
        kind=CONFIGURATION,
        term=0,
        sequence=0,
        hashes=(EVERYTHING,),
        payload=transaction.encode(facts),
        nonce=random.bytes(12),
    )
    return new_seal, Store(number, new_seal.envelope, Bootstrap(1, generation, entry)), cluster_id


async def find_cluster(member: Member) -> bool:
    """An empty member asks its peers: True once it has stored an initialised cluster's envelope, as recovering.

    A member that stored and was not told the end learns it the same way.
    """
    links = member.links
    if links is None or member.initialised:
        return member.initialised
    for peer in member.settings.members:
        if peer == member.settings.node_id or not links.standing(peer):
            continue
        try:
            cluster_id, envelope, bootstrap = read_envelope_answer(await links.call(peer, "envelope", b"", CALL_S))
        except StrongroomError:
            continue
        adopt_cluster(member, cluster_id, envelope, bootstrap)
        return True
    return False


def read_envelope_answer(answer: bytes) -> tuple[bytes, bytes, Bootstrap]:
    """(cluster id, envelope, entry 1) as a peer gave them. Raises DamagedError for what can be none of them."""
    try:
        cluster_id, envelope, bootstrap = msgspec.msgpack.decode(answer, type=tuple[bytes, bytes, Bootstrap])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedError("a peer's answer is no envelope") from None
    if read_seal(envelope)[0] != cluster_id or bootstrap.format != BOOTSTRAP_FORMAT:
        raise DamagedError("a peer's answer does not fit together")
    return cluster_id, envelope, bootstrap


def adopt_cluster(member: Member, cluster_id: bytes, envelope: bytes, bootstrap: Bootstrap) -> None:
    """The folder holds the cluster's envelope and entry 1; if it held none, this member is recovering, durably.

    So it is if it held them without the promise that came before them: the ballot was lost, and with it any vote.
    """
    from .files import KEYRING, write_bootstrap, write_file

    had = member.init_state.stored and member.envelope == envelope and member.init_state.promised > 0
    if not had:
        write_bootstrap(member.disk, bootstrap)
        write_file(member.disk, KEYRING, envelope)
    member.init_state.finish(cluster_id, recovering=not had)
