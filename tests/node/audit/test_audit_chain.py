"""The chain: what is written, and what verify finds."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.audit import Fault, Head, verify
from node.audit.chain import GENESIS, Chain, last_line, mac_of, parse
from node.audit.verify import is_unfinished
from tests.node.audit.audit_fakes import mac


def make_lines(count=4, *, device="file/", found=None, known=None, torn=b""):
    chain = Chain("n1", device, mac)
    lines = [chain.open_file("t", "audit.log", found or Head(), known or Head(), torn)]
    return lines + [chain.append(b'{"type":"request","n":%d}' % number) for number in range(count)]


def faults(lines, key=mac, heads=()):
    return [finding.fault for finding in verify(lines, key, heads).findings]


def head_of(line, file="audit.log"):
    return Head(parse(line).sequence, parse(line).mac, file)


def test_a_line_says_who_wrote_it_and_its_number():
    """The four keys come last, in a fixed order, and the line is still one JSON object."""
    line = make_lines(1)[1]
    told = json.loads(line)

    assert list(told) == ["type", "n", "node", "device", "sequence", "chain"]
    assert (told["node"], told["device"], told["sequence"]) == ("n1", "file/", 2)
    assert told["chain"] == mac_of(line).hex()


def test_names_with_quotes_cannot_forge_the_end_of_a_line():
    """What a device is called is data, wherever its characters come from."""
    name = 'x","sequence":9,"chain":"'
    line = make_lines(1, device=name)[1]

    assert (parse(line).device, parse(line).sequence) == (name, 2)
    assert faults(make_lines(3, device=name)) == []


def test_a_whole_chain_verifies_with_and_without_the_key():
    """And the report says which of the two was proven."""
    lines = make_lines()
    keyed, bare = verify(lines, mac), verify(lines)

    assert (keyed.ok, keyed.keyed, keyed.lines, keyed.head.sequence) == (True, True, 5, 5)
    assert (bare.ok, bare.keyed) == (True, False)


def test_another_key_proves_nothing():
    """Lines of another cluster do not pass for ours."""
    assert Fault.CHANGED in faults(make_lines(), lambda message: mac(b"other" + message))


@settings(max_examples=100)
@given(st.data())
def test_every_changed_byte_is_found(data):
    """Any byte of any line, the line break and the chain itself included."""
    lines = make_lines(4, found=Head(7, b"h" * 32, "audit.log.1"))
    at = data.draw(st.integers(0, len(lines) - 1))
    where = data.draw(st.integers(0, len(lines[at]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != lines[at][where]))
    changed = bytearray(b"".join(lines))
    changed[sum(map(len, lines[:at])) + where] = byte

    assert not verify(bytes(changed).splitlines(keepends=True), mac).ok


def test_every_single_byte_of_one_line_is_covered():
    """Exhaustively, one bit each."""
    lines = make_lines(2)
    missed = [
        where
        for where in range(len(lines[1]))
        if verify([lines[0], lines[1][:where] + bytes([lines[1][where] ^ 1]) + lines[1][where + 1 :], lines[2]], mac).ok
    ]

    assert missed == []


@pytest.mark.parametrize("key", [mac, None])
@pytest.mark.parametrize("at", range(5))
def test_every_deleted_line_is_found(key, at):
    """In the middle as a gap, at the start as a missing opening, at the end against the known head."""
    lines = make_lines()
    known = [head_of(lines[-1])]
    left = lines[:at] + lines[at + 1 :]
    expected = {0: Fault.NO_OPENING, 4: Fault.MISSING_TAIL}.get(at, Fault.GAP)

    assert expected in faults(left, key, known)


@pytest.mark.parametrize("key", [mac, None])
@pytest.mark.parametrize("at", range(4))
def test_every_swap_is_found(key, at):
    """Two neighbours in the wrong order."""
    lines = make_lines()
    lines[at], lines[at + 1] = lines[at + 1], lines[at]

    assert not verify(lines, key).ok


@pytest.mark.parametrize("key", [mac, None])
def test_a_fork_is_found(key):
    """A file that was put back to an old state and written on: numbers come twice."""
    chain = Chain("n1", "file/", mac)
    lines = [chain.open_file("t", "f", Head(), Head()), chain.append(b'{"a":1}')]
    point = chain.head
    first = chain.append(b'{"a":2}')
    chain.back_to(point)
    second = chain.append(b'{"a":3}')

    assert Fault.FORK in faults([*lines, first, second], key)
    assert faults([*lines, second], key, [head_of(second)]) == []
    assert faults([*lines, second], key, [head_of(first)]) == [Fault.FORK]


def test_a_repeated_line_is_found():
    """A copy of a line is a number that comes twice."""
    lines = make_lines()

    assert faults([*lines[:3], lines[2], *lines[3:]]) == [Fault.FORK]


def test_a_line_of_another_device_is_found():
    """A valid line does not move from one chain to another."""
    lines, others = make_lines(), make_lines(device="other/")

    assert Fault.FOREIGN in faults([*lines[:3], others[3], *lines[4:]])


def test_without_the_key_a_changed_value_is_not_found_and_the_report_says_so():
    """Continuity is all that can be proven: a limit that must not be hidden."""
    lines = make_lines()
    lines[2] = lines[2].replace(b'"n":1', b'"n":8')

    assert (verify(lines).ok, verify(lines).keyed) == (True, False)
    assert faults(lines) == [Fault.CHANGED]


def test_one_changed_line_is_one_finding():
    """Not one for each line behind it."""
    lines = make_lines(20)
    lines[5] = lines[5].replace(b'"n":4', b'"n":5')

    assert [(f.fault, f.sequence) for f in verify(lines, mac).findings] == [(Fault.CHANGED, 6)]


def test_a_missing_tail_is_found_against_the_known_heads_only():
    """The files alone cannot tell: that is why heads are facts."""
    lines = make_lines()
    heads = [head_of(line) for line in lines]

    assert faults(lines[:3]) == []
    assert faults(lines[:3], heads=heads) == [Fault.MISSING_TAIL]
    assert faults([], heads=heads) == [Fault.MISSING_TAIL]
    assert faults(lines, heads=heads) == []


def test_a_file_continues_the_file_before_it():
    """Its first line names it, and both verify together and alone."""
    old = make_lines()
    head = head_of(old[-1], "audit.log.1")
    new = make_lines(2, found=head, known=head)
    previous = json.loads(new[0])["previous"]

    assert previous == {"file": "audit.log.1", "sequence": 5, "chain": head.mac.hex()}
    assert faults([*old, *new]) == []
    assert (verify(new, mac).ok, verify(new, mac).after) == (True, head)
    assert Fault.GAP in faults([*old[:-1], *new])
    assert verify(old, mac).after is None


def test_a_file_that_continues_another_head_is_found():
    """The second file belongs to a chain that went another way."""
    old = make_lines()
    new = make_lines(2, found=Head(5, b"x" * 32, "audit.log.1"))

    assert faults([*old, *new]) == [Fault.CHANGED]
    assert faults([*old, *new], None) == [Fault.CHANGED]
    assert faults(new, heads=[head_of(old[-1])]) == [Fault.FORK]


def test_a_known_number_is_never_used_again_and_the_loss_stays_visible():
    """After a power cut took lines that had been told of, the next number is behind them."""
    old = make_lines()
    known = head_of(old[-1])
    new = make_lines(1, found=head_of(old[2]), known=known)

    assert parse(new[0]).sequence == 6
    assert [(f.fault, f.sequence) for f in verify([*old[:3], *new], mac).findings] == [(Fault.GAP, 6)]


def broken_at(arrived, sure=3, sent=6):
    """Lines of which those after `sure` went into a socket that broke, `arrived` of them in the end, and two more."""
    lines = make_lines(sent - 1)
    chain = Chain("n1", "file/", mac)
    known, unsure = head_of(lines[sure - 1]), head_of(lines[sent - 1])
    new = [chain.open_file("t", "tcp", known, known, b"", unsure), chain.append(b'{"type":"request"}')]
    return lines[: sure + arrived], new


@pytest.mark.parametrize("key", [mac, None])
@pytest.mark.parametrize("arrived", range(4))
def test_what_may_have_arrived_when_a_socket_broke_is_no_fault(key, arrived):
    """Whether all of it is there, some, or nothing; the report counts what is not."""
    old, new = broken_at(arrived)
    report = verify([*old, *new], key)

    assert json.loads(new[0])["unsure"]["sequence"] == 6
    assert parse(new[0]).sequence == 7
    assert (report.findings, report.lost, report.head.sequence) == ([], 3 - arrived, 8)


def test_lines_that_were_sure_must_be_there_when_a_socket_broke():
    """The twin: what somebody was answered for is a gap, and a line that is not the one that was sent is changed."""
    old, new = broken_at(3)

    assert faults([*old[:2], *new]) == [Fault.GAP]
    assert Fault.CHANGED in faults([*old[:5], old[5].replace(b'"n":4', b'"n":5'), *new])
    assert Fault.FORK in faults([*old, new[1], *new])
    assert faults([*old, old[3][:20] + b"\n", *new]) == []  # a part of a line, at the end of the connection
    assert faults(new) == []
    assert verify(new, mac).after.sequence == 3


def test_the_last_line_that_was_sent_must_be_the_one_that_was_unsure():
    """A line of the same number that says something else was never sent."""
    old, new = broken_at(3)
    other = Chain("n1", "file/", mac)
    other.back_to(head_of(old[4]))
    forged = other.append(b'{"type":"request","n":9}')

    assert faults([*old[:5], forged, *new]) == [Fault.CHANGED]
    assert faults([*old[:5], forged, *new], None) == [Fault.CHANGED]


FORGED = b'{"time":"t","type":"response","request":{"path":"forged"}}'


@pytest.mark.parametrize(
    ("stray", "found"),
    [
        (b"", []),
        (b"\n", []),
        (b'{"time":"t","type":"requ', []),
        (b'{"time":"t","type":"requ\n', []),
        (FORGED + b"\n", [Fault.DAMAGED]),
        (FORGED, [Fault.DAMAGED]),
        (FORGED + b'{"time":"t"\n', [Fault.DAMAGED]),
        (FORGED + b'\n{"time":"t"\n', [Fault.DAMAGED]),
        (b'{"time":"t"\n' + FORGED + b"\n", [Fault.DAMAGED]),
        (b'{"time":"t"\n{"time":"t"\n', [Fault.DAMAGED]),
        (b'{"time":"t"{"type":"response"}\n', [Fault.DAMAGED]),
        (b"bob has read nothing\n", [Fault.DAMAGED]),
    ],
)
def test_when_a_socket_broke_a_part_of_one_line_is_left_and_nothing_else(stray, found):
    """Nobody states what it was: so no whole record, no second part, no text passes for it."""
    old, new = broken_at(1)
    report = verify([*old, *stray.splitlines(keepends=True), *new], mac)

    assert [finding.fault for finding in report.findings] == found
    assert report.torn == (0 if found or not stray else 1)


def test_a_socket_line_that_states_a_torn_part_is_believed_by_its_hash_alone():
    """The way of files stays shut for whoever names an unsure number."""
    old, new = broken_at(1)
    told = json.loads(new[0])
    told["torn"] = {"bytes": 12, "sha256": "0" * 64}
    line = Chain("n1", "file/", mac)
    line.back_to(head_of(old[2]))
    bare = {key: told[key] for key in ("time", "type", "file", "previous", "unsure", "torn")}
    forged = line._append(json.dumps(bare, separators=(",", ":")).encode(), 7)

    assert faults([*old, b'{"time":"t"\n', forged]) == [Fault.DAMAGED]


def test_every_beginning_of_a_line_is_unfinished_and_the_line_is_not():
    """Wherever it was cut: in a name, a number, a word, a character of several bytes."""
    told = {"time": "t", "n": [-2.5, 1e300, True, None], "\u00e9": {"\u20ac": "a\n\u00fc"}}
    line = make_lines(1)[1].rstrip(b"\n")
    for whole in (line, json.dumps(told, ensure_ascii=False).encode()):
        assert [at for at in range(1, len(whole)) if not is_unfinished(whole[:at])] == []
        assert not is_unfinished(whole)


@pytest.mark.parametrize(
    "piece",
    [b"", b" ", b"text", b"[", b'"', b"-", b"\0", b"{}", b"{}{", b'{"a":1}\n{"b"', b'{"a"\n', b"{,", b'{"a":' * 9999],
)
def test_what_is_no_beginning_of_a_line_is_not_unfinished(piece):
    """Text, other kinds of JSON, several lines, an object with something behind it."""
    assert not is_unfinished(piece)


def test_a_torn_line_is_accounted_for_by_the_line_after_it():
    """What a crash left stays where it is; what the next line states of it must be true."""
    old = make_lines()
    torn = b'{"type":"requ'
    new = make_lines(1, found=head_of(old[-1]), torn=torn)
    report = verify([*old, torn + b"\n", *new], mac)

    assert (report.ok, report.torn) == (True, 1)
    assert faults([*old, b'{"type":"rEqu\n', *new]) == [Fault.DAMAGED]
    assert faults([*old, torn[:-1] + b"\n", *new]) == [Fault.DAMAGED]
    assert faults([*old, *new]) == [Fault.DAMAGED]
    assert faults([*old, torn + b"\n", b"more\n", *new]) == [Fault.DAMAGED]


def test_a_torn_tail_that_nothing_accounts_for_is_found():
    """Nobody has written on since."""
    assert faults([*make_lines(), b'{"half']) == [Fault.DAMAGED]


def test_lines_taken_back_leave_no_trace():
    """What was never written has no number."""
    chain = Chain("n1", "file/", mac)
    lines = [chain.open_file("t", "f", Head(), Head())]
    before = chain.head
    chain.append(b'{"never":"written"}')
    chain.back_to(before)

    assert faults([*lines, chain.append(b'{"a":1}')]) == []


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (b"", None),
        (b"no line", None),
        (b"no line\n", None),
    ],
)
def test_the_end_of_a_file_without_a_whole_line_is_none(tail, expected):
    """There is nothing to go on from."""
    assert last_line(tail) == expected


@pytest.mark.parametrize("torn", [b"", b"{", b"\0\0\0\n", b"a\nb", b'{"sequence":9}\n'])
def test_the_newest_whole_line_is_found_before_whatever_a_crash_left(torn):
    """Garbage may hold line breaks: a power cut leaves pages of zeros."""
    lines = make_lines()
    found = last_line(b"".join(lines) + torn)

    assert (found[0].sequence, found[1]) == (5, torn)


def test_the_chain_begins_at_zeros():
    """The head before number 1 is the same everywhere."""
    first = make_lines(0)[0]

    assert mac(GENESIS + parse(first).body) == mac_of(first)
    assert repr(Chain("n1", "file/", mac)) == "<Chain at 0>"
