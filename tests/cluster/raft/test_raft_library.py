"""The seam to PySyncObj 0.3.17: which of its names we use, which of its parts run, and that nothing else is reached.

Its defects, each shown in the library and harmless here, are in tests/defects.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import pickle
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pysyncobj
import pysyncobj.dns_resolver
import pysyncobj.syncobj as library
import pytest

from cluster.journal.ballot import Ballot
from cluster.links.messages import NO_ENTRIES, Append, PreVoteAnswer, RequestVote
from cluster.raft import chassis
from cluster.raft.chassis import FOLLOWER, Chassis
from cluster.raft.replica import Replica
from tests.cluster.raft.test_raft_leading import leader
from tests.cluster.raft.test_raft_snapshots import compacted, heal
from tests.cluster.raft.wiring import NO_OP_COMMAND, Wired, lone, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

RAFT = Path(inspect.getfile(chassis)).parent
ROOT = RAFT.parents[1]
LIBRARY = Path(inspect.getfile(pysyncobj)).parent
DECISION = ROOT / "docs" / "decisions" / "0001-pysyncobj-hardened.md"
PRIVATE = re.compile(r"_SyncObj__\w+")

# Of the release that was audited: its only file, as requirements pin it, and its modules as they are installed.
RELEASE_SHA256 = "8aaef68141714d556173778a51bcc4e221b6fd4c971dc1240f3ab4c0d2dfe765"
MODULES_SHA256 = "04d423e8bb294a776742c74d8a0c462e653c55485a7351f6f1dec6e722be5175"

# Methods of the library that ours replace. The last group must never run: what calls them is not used.
REPLACED = {
    "_SyncObj__connectedToAnyone", "_SyncObj__sendAppendEntries", "_SyncObj__applyLogEntries", "_SyncObj__getEntries",
    "_SyncObj__setState", "_SyncObj__setCurrentTerm", "_SyncObj__onBecomeLeader", "_SyncObj__tryLogCompaction",
    "_checkCommandsToApply",
    "_SyncObj__onMessageReceived", "_SyncObj__loadDumpFile", "_SyncObj__doApplyCommand", "_applyCommand",
}  # fmt: skip


# ---- the names, read from the sources
def mangled(name: str) -> str:
    """A private name as it stands in an instance."""
    return f"_SyncObj{name}" if name.startswith("__") and not name.endswith("__") else name


@cache
def library_class() -> ast.ClassDef:
    """The source of SyncObj."""
    return next(
        node
        for node in ast.parse(inspect.getsource(library)).body
        if isinstance(node, ast.ClassDef) and node.name == "SyncObj"
    )


def own_attributes(tree: ast.AST) -> Iterator[tuple[str, type[ast.expr_context]]]:
    """Every `self.name` and `super().name`, with whether it is read or written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"self", "super()"}:
            yield mangled(node.attr), type(node.ctx)


@cache
def library_uses() -> dict[tuple[str, type[ast.expr_context]], set[str]]:
    """(name, read or written) → the library's methods that do."""
    found: dict[tuple[str, type[ast.expr_context]], set[str]] = {}
    for method in library_class().body:
        if isinstance(method, ast.FunctionDef):
            for use in own_attributes(method):
                found.setdefault(use, set()).add(mangled(method.name))
    return found


@cache
def library_methods() -> set[str]:
    return {mangled(node.name) for node in library_class().body if isinstance(node, ast.FunctionDef)}


@cache
def chassis_uses() -> set[tuple[str, type[ast.expr_context]]]:
    """Private names of the library in the chassis, with whether they are read or written."""
    return {use for use in own_attributes(ast.parse((RAFT / "chassis.py").read_text("utf-8"))) if "__" in use[0][1:]}


def names(context: type[ast.expr_context]) -> list[str]:
    return sorted(name for name, found in chassis_uses() if found is context and PRIVATE.fullmatch(name))


def test_every_private_name_in_the_chassis_is_read_written_or_overridden() -> None:
    """The checks below see all of them: none hides in a string or behind another object than self."""
    said = set(PRIVATE.findall((RAFT / "chassis.py").read_text("utf-8")))

    assert said == {name for name in {*names(ast.Load), *names(ast.Store)} | REPLACED if PRIVATE.fullmatch(name)}


@pytest.mark.parametrize("name", names(ast.Load))
def test_every_private_name_that_is_read_is_one_of_the_library(name: str) -> None:
    """A method of its class, or an attribute that it assigns itself."""
    assert name in library_methods() or library_uses().get((name, ast.Store))


@pytest.mark.parametrize("name", names(ast.Store))
def test_every_private_name_that_is_written_is_read_by_the_library(name: str) -> None:
    """Otherwise writing it would do nothing. It must not be a method either."""
    assert library_uses().get((name, ast.Load))
    assert name not in library_methods()


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_every_override_replaces_a_method_that_the_library_calls(name: str) -> None:
    """From another method, through self: an override that nothing calls is dead."""
    ours = inspect.getfullargspec(getattr(Chassis, name))
    theirs = inspect.getfullargspec(getattr(library.SyncObj, name))

    assert name in library_methods()
    assert library_uses()[name, ast.Load] - {name} != set()
    assert ours.args == theirs.args or ours.varargs is not None


def test_nothing_of_the_library_is_replaced_by_chance() -> None:
    """Of all names of ours, in every layer, those that are the library's are the ones that were meant."""
    theirs = set(dir(library.SyncObj)) - set(dir(object)) - {"__module__", "__dict__", "__weakref__"}
    layers = [layer for layer in Replica.__mro__ if layer not in library.SyncObj.__mro__]

    assert {name for layer in layers for name in vars(layer) if name in theirs} == REPLACED


def test_no_attribute_of_ours_is_one_of_the_library() -> None:
    """The library stores what it finds in the instance's dictionary: our names must not be its names."""
    theirs = {name for name, _ in library_uses()}
    ours: set[str] = set()
    for path in RAFT.glob("*.py"):
        ours |= {name for name, _ in own_attributes(ast.parse(path.read_text("utf-8"))) if not PRIVATE.match(name)}

    assert ours & theirs == {"_onTick", "_poller"}


def test_private_names_stand_in_the_chassis_only() -> None:
    """Everything beside it uses our names; the log alone implements an interface of the library, a public one."""
    mangled_names: set[str] = set()
    importers: set[str] = set()
    for root in ("cluster", "node", "chaos", "bench"):
        for path in (ROOT / root).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "_SyncObj" in text:
                mangled_names.add(path.relative_to(ROOT).as_posix())
            if re.search(r"^\s*(?:from|import) pysyncobj", text, re.MULTILINE):
                importers.add(path.relative_to(ROOT).as_posix())

    assert mangled_names == {"cluster/raft/chassis.py"}
    assert importers == {"cluster/raft/chassis.py", "cluster/raft/log.py"}


def test_the_types_we_wrote_for_the_library_name_what_it_has() -> None:
    """The stub lists private names of 0.3.17."""
    stub = set(PRIVATE.findall((ROOT / "stubs" / "pysyncobj" / "syncobj.pyi").read_text("utf-8")))
    assigned = {name for name, context in library_uses() if context is ast.Store}

    assert stub - library_methods() - assigned == set()


# ---- the release
def test_the_library_is_the_audited_release() -> None:
    """Its version, and every module of it, byte by byte."""
    digest = hashlib.sha256()
    for path in sorted(LIBRARY.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())

    assert library.VERSION == "0.3.17"
    assert digest.hexdigest() == MODULES_SHA256


@pytest.mark.parametrize("file", ["run.txt", "dev.txt"])
def test_requirements_pin_the_audited_release_and_no_other_file(file: str) -> None:
    """One version, one hash."""
    text = (ROOT / "requirements" / file).read_text("utf-8")
    pinned = re.findall(r"^pysyncobj(\S+)((?: \\\n +--hash=\S+)+)", text, re.MULTILINE)

    assert [(version, re.findall(r"--hash=(\S+)", hashes)) for version, hashes in pinned] == [
        ("==0.3.17", [f"sha256:{RELEASE_SHA256}"])
    ]


@pytest.mark.parametrize("version", ["0.3.16", "0.3.18", "0.4.0"])
def test_another_version_does_not_load(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its twin is every other test: 0.3.17 does. Nothing of the library has been taken over by then."""
    monkeypatch.setattr(library, "VERSION", version)
    before = (library.monotonicTime, library.random, library.logger.level)
    specification = importlib.util.spec_from_file_location("cluster.raft.chassis_again", RAFT / "chassis.py")
    assert specification is not None
    assert specification.loader is not None
    monkeypatch.setitem(sys.modules, specification.name, module := importlib.util.module_from_spec(specification))

    with pytest.raises(ImportError, match=r"0\.3\.17 only"):
        specification.loader.exec_module(module)
    assert (library.monotonicTime, library.random, library.logger.level) == before


# ---- which of its parts run
def parts_in_use() -> set[str]:
    """What decision 0001 lists, as `module function`."""
    block = re.search(r"^```text\n(.*?)^```", DECISION.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    return {
        f"{module.strip()} {function}"
        for module, functions in (line.split(":") for line in block[1].splitlines())
        for function in functions.split()
    }


def calls_of_the_library() -> dict[str, set[str]]:
    """Method of SyncObj → methods of SyncObj that it calls, properties that it reads among them."""
    properties = {name for name in library_methods() if isinstance(getattr(library.SyncObj, name), property)}
    return {
        mangled(method.name): {
            mangled(node.func.attr)
            for node in ast.walk(method)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "self"
        } & library_methods()
        | {name for name, _ in own_attributes(method)} & properties
        for method in library_class().body
        if isinstance(method, ast.FunctionDef)
    }  # fmt: skip


def calls_of_the_chassis() -> set[str]:
    """Methods of SyncObj that the chassis calls: through super(), or through self where it has none of its own."""
    called = {
        (ast.unparse(node.func.value), node.func.attr)
        for node in ast.walk(ast.parse((RAFT / "chassis.py").read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return {
        name for on, name in called if name in library_methods() and (on == "super()" or name not in REPLACED)
    }


def test_no_other_method_of_the_library_can_be_reached() -> None:
    """From what the chassis calls, over calls that ours do not replace: read from both sources, whatever the input.

    The constructor hands more of its methods to the transport, which is a port of ours and calls none.
    """
    calls = calls_of_the_library()
    reached: set[str] = set()
    ways = sorted(calls_of_the_chassis())
    while ways:
        name = ways.pop()
        if name not in reached:
            reached.add(name)
            ways += calls[name] - REPLACED
    listed = {mangled(part.split(".")[1]) for part in parts_in_use() if part.startswith("syncobj SyncObj.")}

    assert reached - listed <= {"_SyncObj__getEntries"}  # which the commit loop alone asks, and gets nothing (C2)
    assert {"_onTick", "__init__", "_SyncObj__setState"} <= reached


def test_nothing_calls_the_library_s_own_entrances() -> None:
    """Status, membership, versions, compaction, waiting, destroying: no file of the product names one of them."""
    public = {name for name in library_methods() if not name.startswith("_")}
    read_at_start = {part.split(".")[1] for part in parts_in_use() if part.startswith("syncobj SyncObj.")}

    assert {
        f"{path.relative_to(ROOT)}: {node.attr}"
        for folder in ("cluster", "node", "chaos")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in public - read_at_start
    } == set()


def everything_a_member_does() -> None:
    """Elections, writes, reads, a snapshot and its transfer, a broken link, a hand-over, a new life, a lost quorum."""
    wired = compacted()
    heal(wired)
    wired.run(1.0)
    node = wired["n1"]
    node.propose()
    wired.run(0.2)
    node.replica.read_index(node.answers.read)
    wired.run(0.2)
    node.replica.on_disconnected("n2")
    node.replica.on_connected("n2")
    wired.run(0.1)
    node.replica.transfer_leadership()
    wired.run(1.0)
    wired.start("n3", opened(ballot=Ballot(term=1, incarnation=2, born=True, recovering=True)))
    wired.run(2.0)
    wired.cut = {(a, b) for a in wired.names for b in wired.names}
    wired.run(2.0)
    heal(wired)
    wired.run(3.0)
    alone = Wired(1)
    alone.run(2.0)

    assert len(wired.leaders()) == len(alone.leaders()) == 1
    assert node.answers.reads[-1][1] is None
    assert wired["n3"].replica.recovering is False


def test_what_decision_0001_lists_runs_and_nothing_else_of_the_library_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every function of the library that is entered while a cluster does everything it does, by name."""
    monkeypatch.setattr(pysyncobj.dns_resolver, "_g_resolver", None)  # made once in a process, by the first member
    entered: set[str] = set()
    folder = f"{LIBRARY}/"

    def look(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder) and "<locals>" not in code.co_qualname:
            entered.add(f"{Path(code.co_filename).stem} {code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        everything_a_member_does()
    finally:
        sys.setprofile(before)

    assert sorted(entered - parts_in_use()) == []
    assert sorted(parts_in_use() - entered) == []


def test_the_library_s_vote_requests_are_the_ones_that_leave() -> None:
    """Its broadcast reaches the peers as our message."""
    node, clock = lone()
    clock.now_s += 1.0
    node.replica.tick()
    node.hear("n2", PreVoteAnswer(0, 1, granted=True))
    node.replica.tick()
    node.sync()

    assert {peer for peer, message in node.sent if isinstance(message, RequestVote)} == {"n2", "n3"}


def test_the_library_s_check_quorum_deposes() -> None:
    """Its loop over the last answers, with our times in it."""
    node, clock = leader()
    clock.now_s += 0.9
    node.replica.tick()

    assert node.replica.role == FOLLOWER


def test_the_library_appends_the_no_op_of_a_new_leader() -> None:
    """One byte, of its own term."""
    node, _ = leader()

    assert node.log[-1] == (NO_OP_COMMAND, 2, 1)


def test_the_library_itself_commits_nothing() -> None:
    """C2: it sees no entries while its commit loop runs, whatever it believes of its followers."""
    node, _ = leader()
    for peer in list(node.replica._SyncObj__raftMatchIndex):
        node.replica._SyncObj__raftMatchIndex[peer] = 2
    node.replica.tick()

    assert node.replica.commit_index == 1


def test_each_node_has_its_own_clock_and_randomness() -> None:
    """C1: module globals lead to the node that is running."""
    first, first_clock = lone()
    second, second_clock = lone()
    second_clock.now_s += 5000.0
    second.random.drawn = 0.0
    first.random.drawn = 1.0
    deadlines = []
    for node, clock in ((first, first_clock), (second, second_clock)):
        node.hear("n2", Append(1, 1, 1, 1, 0, 1, NO_ENTRIES))
        deadlines.append(round(node.replica._SyncObj__raftElectionDeadline - clock.now_s, 3))

    assert deadlines == [0.8, 0.5]


def test_a_member_s_hash_does_not_depend_on_the_process() -> None:
    """Sets of members are iterated in the same order in every run."""
    assert hash(chassis.Peer("n1")) == 3950597356


# ---- what must not run
@pytest.mark.parametrize(
    "call",
    [
        lambda replica: replica._SyncObj__onMessageReceived(None, {}),
        lambda replica: replica._SyncObj__doApplyCommand(b""),
        lambda replica: replica._SyncObj__loadDumpFile(clearJournal=True),
        lambda replica: replica._applyCommand(b"", None),
        lambda replica: replica._SyncObj__transport.send(chassis.Peer("n2"), {"type": "append_entries"}),
    ],
    ids=["messages", "commands", "dumps", "queue", "sending"],
)
def test_the_library_s_unsafe_entrances_are_closed(call: object) -> None:
    """C3: no path leads to its handlers, its queue, its sender or its pickles."""
    node, _ = lone()

    with pytest.raises(AssertionError):
        call(node.replica)  # type: ignore[operator]
    assert node.sent == []


def test_what_the_library_could_do_by_itself_is_switched_off() -> None:
    """Threads, files, membership, passwords, its own compaction; its check-quorum is not."""
    node, _ = lone()
    conf = node.replica.conf

    assert (conf.autoTick, conf.dynamicMembershipChange, conf.password) == (False, False, None)
    assert (conf.journalFile, conf.fullDumpFile, conf.serializer) == (None, None, None)
    assert min(conf.logCompactionMinEntries, conf.logCompactionMinTime) >= 10**9
    assert conf.leaderFallbackTimeout == node.replica.timing.election_max_s


def test_nothing_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """C3: everything a member does, with pickle out of order."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("pickle")

    for name in ("dumps", "loads", "dump", "load", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
        if hasattr(library.pickle, name):
            monkeypatch.setattr(library.pickle, name, forbidden)

    everything_a_member_does()


def test_its_log_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its messages quote what it received."""
    library.logger.critical("quoted secret")

    assert caplog.text == ""
