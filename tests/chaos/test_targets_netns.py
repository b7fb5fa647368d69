"""Hosts in namespaces: who hears whom under every grudge, what is counted, and that nothing is left.

Needs root; without it the tests of names and rules alone are run. A datagram in each direction says who hears whom, and
the count of what was dropped says that those who do not hear were really told something.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaos import env
from chaos.ledger import Ledger, clean
from chaos.nemesis.partition import bridge, deaf, halves, isolate, mute, ring
from chaos.targets.base import CLOCK, DISK, PACKETS, PARTITION, PREFIX, SHAPE, Shape, TargetError, TargetSettings
from chaos.targets.fabrics import Bridge, Fabric, TapSwitch, dropped, unheard_rules
from chaos.targets.keys import wait_until
from chaos.targets.namespaces import Host, free_block, planned, run
from chaos.targets.netns import NetnsTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

FIVE = ["n1", "n2", "n3", "n4", "n5"]
TELLS = 3  # datagrams of each to each
PORT = 9000
NO_BRIDGE, NO_SWITCH = env.namespaces(), env.packets()
KINDS = [
    pytest.param("bridge", marks=pytest.mark.skipif(bool(NO_BRIDGE), reason=NO_BRIDGE)),
    pytest.param("switch", marks=pytest.mark.skipif(bool(NO_SWITCH), reason=NO_SWITCH)),
]
GRUDGES: dict[str, dict[str, list[str]]] = {
    "none": {},
    "isolate": isolate(FIVE, ["n2"]),
    "mute": mute(FIVE, ["n1"]),
    "deaf": deaf(FIVE, ["n1"]),
    "halves": halves(FIVE, ["n3"], random.Random(1)),
    "bridge": bridge(FIVE, ["n4"], random.Random(1)),
    "ring": ring(FIVE, random.Random(1)),
    "one link": {"n5": ["n1"]},
}
HOST = """
import json, select, socket, sys
box = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
box.bind((sys.argv[1], int(sys.argv[2])))
box.setblocking(False)
heard = []
print("{}", flush=True)
while True:
    ready, _, _ = select.select([box, sys.stdin], [], [])
    if box in ready:
        try:
            heard.append(box.recv(2000).decode())
        except BlockingIOError:  # it was there, and its checksum was wrong
            pass
        continue
    line = sys.stdin.readline()
    if not line:
        break
    asked = json.loads(line)
    for address in asked.get("tell", ()):
        box.sendto(asked["what"].encode(), (address, int(sys.argv[2])))
    if asked.get("forget"):
        heard.clear()
    print(json.dumps({"heard": heard}), flush=True)
"""


class Voice:
    """A process in a host: tells others, and says whom it has heard."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._process = subprocess.Popen(
            [*host.before, sys.executable, "-I", "-S", "-c", HOST, host.peer, str(PORT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def ask(self, **asked: Any) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        heard: list[str] = self._answer()["heard"]
        return heard

    def close(self) -> None:
        self._process.communicate()


class Room:
    """Five hosts with a voice each."""

    def __init__(self, fabric: Fabric, hosts: list[Host]) -> None:
        self.fabric = fabric
        self.hosts = hosts
        self.voices = {host.name: Voice(host) for host in hosts}

    def tell(self, source: str, sinks: list[str], what: str) -> None:
        addresses = [self.voices[sink].host.peer for sink in sinks]
        self.voices[source].ask(tell=addresses, what=what)

    def heard(self, node: str) -> list[str]:
        return self.voices[node].ask()

    def forget(self) -> None:
        for voice in self.voices.values():
            voice.ask(forget=True)

    def close(self) -> None:
        for voice in self.voices.values():
            voice.close()


def made(kind: str, folder: Path) -> Fabric:
    """One of the two."""
    return Bridge() if kind == "bridge" else TapSwitch(folder / "switch.log", 1)


@pytest.fixture
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """Nothing of it is left afterwards."""
    fabric, ledger, hosts = made(request.param, tmp_path), Ledger(tmp_path), planned(FIVE)
    try:
        fabric.up(hosts, ledger)
        found = Room(fabric, hosts)
        yield found
        found.close()
    finally:
        fabric.down()
        ledger.close()
    assert left(hosts) == []


def left(hosts: list[Host]) -> list[str]:
    """Namespaces and links of those hosts, and of what lies between them."""
    links = [host.link for host in hosts if Path("/sys/class/net", host.link).exists()]
    spaces = [path.name for path in Path("/run/netns").glob(f"{PREFIX}{os.getpid()}-*")]
    return links + spaces


# ---- who hears whom
@pytest.mark.parametrize("room", KINDS, indirect=True)
def test_every_grudge_is_exact_and_counted(room: Room) -> None:
    """Each host tells each other; those it does not hear are dropped, all others arrive, and healing heals."""
    for name, grudge in [*GRUDGES.items(), ("healed", {})]:
        room.fabric.grudge(grudge)
        room.forget()
        before = room.fabric.counts()["dropped"]
        for source in FIVE:
            for _ in range(TELLS):
                room.tell(source, [sink for sink in FIVE if sink != source], source)
        unheard = sum(map(len, grudge.values()))
        wanted = {node: set(FIVE) - {node} - set(grudge.get(node, ())) for node in FIVE}

        wait_until(lambda: room.fabric.counts()["dropped"] - before >= TELLS * unheard, f"{name}: drops", 10.0)  # noqa: B023
        wait_until(
            lambda: all(len(room.heard(node)) >= TELLS * len(wanted[node]) for node in FIVE),  # noqa: B023
            f"{name}: everything else arrives", 10.0,
        )  # fmt: skip
        assert {node: set(room.heard(node)) for node in FIVE} == wanted, name
        assert room.fabric.counts()["dropped"] - before == TELLS * unheard, name


@pytest.mark.parametrize("room", KINDS, indirect=True)
def test_clients_reach_every_host_while_no_host_hears_another(room: Room) -> None:
    """By the link of their own: a connection is refused by the host itself, not lost."""
    room.fabric.grudge({node: [other for other in FIVE if other != node] for node in FIVE})
    for host in room.hosts:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host.client, 1), 5)


# ---- packets
@pytest.mark.parametrize("room", KINDS[1:], indirect=True)
def test_packets_are_lost_doubled_and_late_in_one_direction_alone(room: Room) -> None:
    """The other direction is as it was, and a shape that is taken back leaves nothing."""
    fabric = room.fabric
    fabric.shape("n1", "n2", Shape(loss=1.0))
    room.tell("n1", ["n2", "n3"], "lost or not")
    room.tell("n2", ["n1"], "back")
    wait_until(lambda: fabric.counts()["lost"] >= 1, "it is lost", 10.0)
    wait_until(lambda: room.heard("n3") and room.heard("n1"), "the others arrive", 10.0)
    assert room.heard("n2") == []

    fabric.shape("n1", "n2", Shape(duplicates=1.0))
    room.tell("n1", ["n2"], "twice")
    wait_until(lambda: len(room.heard("n2")) >= 2, "it arrives twice", 10.0)
    assert room.heard("n2") == ["twice", "twice"]

    fabric.shape("n1", "n2", Shape(delay_s=0.2))
    began_s = time.monotonic()
    room.tell("n1", ["n2"], "late")
    wait_until(lambda: "late" in room.heard("n2"), "it arrives", 10.0)
    assert time.monotonic() - began_s >= 0.2

    fabric.shape("n1", "n2", Shape())
    room.forget()
    room.tell("n1", ["n2"], "once")
    wait_until(lambda: room.heard("n2"), "it arrives", 10.0)
    assert room.heard("n2") == ["once"]


@pytest.mark.parametrize("room", KINDS[1:], indirect=True)
def test_damaged_packets_are_seen_by_checksums(room: Room) -> None:
    """None arrives with another text."""
    room.fabric.shape("n1", "n2", Shape(corrupted=1.0))
    for _ in range(50):
        room.tell("n1", ["n2"], "x" * 1000)
    wait_until(lambda: room.fabric.counts()["damaged"] >= 50, "all are damaged", 10.0)
    room.fabric.shape("n1", "n2", Shape())
    room.tell("n1", ["n2"], "the last")
    wait_until(lambda: "the last" in room.heard("n2"), "it arrives", 10.0)

    assert room.heard("n2") == ["the last"]


@pytest.mark.parametrize("room", KINDS[1:], indirect=True)
def test_what_is_under_way_when_a_direction_is_cut_never_arrives(room: Room) -> None:
    """A late packet is dropped at its time; what comes after the cut was healed arrives."""
    room.fabric.shape("n1", "n2", Shape(delay_s=0.3))
    room.tell("n1", ["n2"], "under way")
    wait_until(lambda: room.fabric.counts()["frames"] >= 1, "it has left", 10.0)
    room.fabric.grudge({"n2": ["n1"]})
    wait_until(lambda: room.fabric.counts()["dropped"] >= 1, "it is dropped", 10.0)
    room.fabric.grudge({})
    room.tell("n1", ["n2"], "after")
    wait_until(lambda: room.heard("n2"), "it arrives", 10.0)

    assert room.heard("n2") == ["after"]


@pytest.mark.parametrize("room", KINDS[:1], indirect=True)
def test_a_bridge_has_no_shapes(room: Room) -> None:
    """It says what to ask for."""
    with pytest.raises(TargetError, match="ask for `packets`"):
        room.fabric.shape("n1", "n2", Shape(delay_s=0.1))


# ---- what is left
KILLED = """
import os, signal, sys
from pathlib import Path
from chaos.ledger import Ledger
from chaos.targets.fabrics import Bridge
from chaos.targets.namespaces import planned
hosts = planned(["n1", "n2"])
Bridge().up(hosts, Ledger(Path(sys.argv[1])))
print(*(host.link for host in hosts), *(host.namespace for host in hosts), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(bool(NO_BRIDGE), reason=NO_BRIDGE)
def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    """Namespaces, the links into them, and its ledger."""
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    names = killed.stdout.split()
    links, spaces = names[:2], names[2:]
    assert all(Path("/sys/class/net", link).exists() for link in links)
    assert all(Path("/run/netns", space).exists() for space in spaces)

    assert clean(print, tmp_path) == 0
    assert [link for link in links if Path("/sys/class/net", link).exists()] == []
    assert list(Path("/run/netns").glob(f"{spaces[0].rsplit('-', 2)[0]}-*")) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
@pytest.mark.skipif(bool(NO_SWITCH), reason=NO_SWITCH)
def test_a_cluster_of_production_starts_and_leaves_nothing(tmp_path: Path) -> None:
    """TLS on the API, links through the switch, disks of their own; it ends in order."""
    target = NetnsTarget(tmp_path / "run", TargetSettings(packets=True, disks=not env.disks()))
    try:
        target.start()
        assert target.url("n1").startswith("https://169.254.")
        assert all(target.pids(node) for node in target.nodes)
        assert target.counts()["frames"] > 0
        assert CLOCK not in target.abilities
        assert "production" in target.why_not(CLOCK)
        hosts = list(target._hosts.values())
        codes = target.stop()
    finally:
        target.discard()
    assert set(codes.values()) == {0}
    assert left(hosts) == []
    assert not os.path.lexists(target.data_dir("n1"))
    assert "strongroom-power-" + str(os.getpid()) not in Path("/proc/self/mounts").read_text()


# ---- without root
@pytest.mark.skipif(bool(env.command("ip")), reason=env.command("ip"))
def test_names_of_links_are_short_and_nobody_elses() -> None:
    """The kernel takes 15 characters; namespaces carry the prefix and the process."""
    one, two = planned(FIVE), planned(FIVE)

    assert all(len(host.link) <= 15 for host in one)
    assert all(host.namespace.startswith(f"{PREFIX}{os.getpid()}-") for host in one)
    assert {host.link for host in one} & {host.link for host in two} == set()
    assert len({address for host in one for address in (host.runner, host.client)}) == 2 * len(FIVE)


def test_addresses_in_use_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next draw is taken instead; a machine without a free network is told so."""
    draws = iter([5, 6, 7])
    monkeypatch.setattr("chaos.targets.namespaces.random.randrange", lambda *_: next(draws))
    assert free_block("169.254.5.0/30 dev x\n169.254.6.4/30 dev y\n169.254.70.0/30 dev z") == "169.254.7"

    monkeypatch.setattr("chaos.targets.namespaces.random.randrange", lambda *_: 5)
    with pytest.raises(TargetError, match="no link-local addresses"):
        free_block("169.254.5.0/30 dev x")


def test_more_nodes_than_addresses_are_refused() -> None:
    """Before anything is asked of the machine."""
    with pytest.raises(TargetError, match="at most"):
        planned([f"n{number}" for number in range(100)])


def test_rules_replace_everything_in_one_transaction() -> None:
    """Also with nobody to name."""
    assert unheard_rules(["10.0.0.1", "10.0.0.2"]) == (
        "flush set inet chaos unheard; add element inet chaos unheard { 10.0.0.1, 10.0.0.2 }"
    )
    assert unheard_rules([]) == "flush set inet chaos unheard"


def test_counters_are_added_up() -> None:
    """Rules without one count nothing."""
    listed = {"nftables": [
        {"metainfo": {}}, {"rule": {"expr": [{"match": {}}, {"counter": {"packets": 3, "bytes": 9}}]}},
        {"rule": {"expr": [{"accept": None}]}}, {"rule": {"expr": [{"counter": {"packets": 4}}]}},
    ]}  # fmt: skip

    assert dropped(json.dumps(listed)) == 7


def test_a_command_that_fails_says_what_it_said() -> None:
    """And one that is not there fails, too."""
    with pytest.raises(TargetError, match="never"):
        run(sys.executable, "-c", "import sys; sys.exit('never')")
    with pytest.raises(TargetError, match="FileNotFoundError"):
        run("strongroom-no-such-command")


def test_without_root_there_is_no_ability_and_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started, either."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    target = NetnsTarget(tmp_path, TargetSettings(disks=True))

    assert target.abilities == frozenset()
    assert {target.why_not(ability) for ability in (PARTITION, PACKETS, DISK)} == {"needs root"}
    with pytest.raises(TargetError, match="needs root"):
        target.start()
    target.discard()


@pytest.mark.skipif(bool(NO_SWITCH), reason=NO_SWITCH)
def test_without_nft_the_switch_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can all that a bridge can; without that either there is nothing, and the reason is nft."""
    monkeypatch.setattr(env, "namespaces", lambda: "needs the command nft")
    assert PARTITION in NetnsTarget(tmp_path, TargetSettings()).abilities

    monkeypatch.setattr(env, "packets", lambda: "needs /dev/net/tun")
    nothing = NetnsTarget(tmp_path, TargetSettings())
    assert (nothing.abilities, nothing.why_not(PARTITION)) == (frozenset(), "needs the command nft")


@pytest.mark.skipif(bool(NO_SWITCH), reason=NO_SWITCH)
def test_abilities_are_those_of_what_lies_between(tmp_path: Path) -> None:
    """Shapes and packets need the switch, disks need to be asked for."""
    plain, packets = NetnsTarget(tmp_path, TargetSettings()), NetnsTarget(tmp_path, TargetSettings(packets=True))

    assert PARTITION in plain.abilities
    assert not plain.abilities & {SHAPE, PACKETS, DISK}
    assert "`packets`" in plain.why_not(SHAPE)
    assert packets.abilities - plain.abilities == {SHAPE, PACKETS}
    assert "`disks`" in packets.why_not(DISK)
