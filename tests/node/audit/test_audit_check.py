"""Proving contents: a node says which lines do not have the MAC they carry, and no more."""

import base64

import pytest

from node.audit import Head, changed
from node.audit.chain import Chain, parse
from node.audit_check import PIECE_BYTES_MAX, PIECE_LINES_MAX, piece_of
from node.cli.audit_contents import LINE_BYTES_MAX, PIECE_BYTES, PIECE_LINES, pieces
from node.request import Refusal
from tests.node.audit.audit_fakes import lines_of, mac
from tests.node.flow_site import running


def chained(count=6, found=None, known=None):
    chain = Chain("n1", "file/", mac)
    lines = [chain.open_file("t", "f", found or Head(), known or Head())]
    return lines + [chain.append(b'{"n":%d}' % number) for number in range(count)]


def head_of(line):
    return Head(parse(line).sequence, parse(line).mac)


def test_whole_pieces_have_no_changed_line():
    """From the beginning, from the middle, over a new opening line, and behind a gap."""
    lines = chained()
    newer = chained(2, found=head_of(lines[-1]), known=head_of(lines[-1]))

    assert changed(lines, Head(), mac) == []
    assert changed(lines[3:], head_of(lines[2]), mac) == []
    assert changed([*lines, b"torn", *newer], Head(), mac) == []
    assert changed([*lines[:2], *lines[4:]], Head(), mac) == []


@pytest.mark.parametrize("at", range(7))
def test_a_changed_line_is_named_alone(at):
    """Wherever it stands; those behind it go on from the MAC that it carries."""
    lines = chained()
    lines[at] = lines[at].replace(b'{"', b'{ "', 1)

    assert changed(lines, Head(), mac) == [at + 1]


def test_another_key_or_another_head_before_names_lines():
    """A piece is proven as the continuation of what it is said to continue."""
    lines = chained()

    assert changed(lines, Head(), lambda message: mac(b"x" + message)) == [1, 2, 3, 4, 5, 6, 7]
    assert changed(lines[3:], Head(3, b"x" * 32), mac) == [4]


@pytest.mark.parametrize("piece_bytes", [1, 500, PIECE_BYTES])
def test_pieces_hold_every_line_once_with_the_head_before(monkeypatch, piece_bytes):
    """However large; what is no line is left out."""
    monkeypatch.setattr("node.cli.audit_contents.PIECE_BYTES", piece_bytes)
    lines = chained()
    cut = list(pieces([*lines[:3], b"torn\n", *lines[3:]]))

    assert [line for _, piece in cut for line in piece] == lines
    assert [changed(piece, before, mac) for before, piece in cut] == [[]] * len(cut)
    assert len(cut) == (1 if piece_bytes == PIECE_BYTES else 7 if piece_bytes == 1 else 2)


def test_pieces_are_no_larger_than_a_node_takes():
    """Neither by their bytes nor by their lines; a line that is longer goes alone."""
    chain = Chain("", "", mac)
    lines = [chain.append(b'{"n":0}') for _ in range(PIECE_LINES + 1)]
    lines += [chain.append(b'{"n":"%b"}' % (b"x" * size)) for size in (PIECE_BYTES, 1000, LINE_BYTES_MAX - 200)]
    cut = [piece for _, piece in pieces(lines)]
    asked = [VALID | {"lines": base64.b64encode(b"".join(piece)).decode()} for piece in cut]

    assert [line for piece in cut for line in piece] == lines
    assert [piece_of(one)[0] for one in asked] == cut
    assert [len(piece) for piece in cut] == [PIECE_LINES, 1, 1, 1, 1]
    assert (PIECE_BYTES, PIECE_LINES) == (PIECE_BYTES_MAX, PIECE_LINES_MAX)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\n" * PIECE_LINES_MAX, None),
        (b"\n" * (PIECE_LINES_MAX + 1), 413),
        (b"x" * (PIECE_BYTES_MAX - 3) + b"\ny\n", None),
        (b"x" * (PIECE_BYTES_MAX - 2) + b"\ny\n", 413),
        (b"x" * PIECE_BYTES_MAX + b"\ny", 413),
        (b"x" * PIECE_BYTES_MAX + b"\n", None),
        (b"\r" * PIECE_BYTES_MAX + b"\n", None),
    ],
)
def test_a_piece_that_is_too_much_for_one_turn_is_refused(raw, status):
    """Others have their turn between pieces; one long line is no more than a long body."""
    asked = VALID | {"lines": base64.b64encode(raw).decode()}
    if status is None:
        assert piece_of(asked)[0] == [one + b"\n" for one in raw.removesuffix(b"\n").split(b"\n")]
        return
    with pytest.raises(Refusal) as caught:
        piece_of(asked)

    assert caught.value.status == status


VALID = {"before": "0:" + "00" * 32, "lines": base64.b64encode(b"a\nb\n").decode()}


def test_a_piece_is_read():
    """Its lines keep their ends."""
    assert piece_of(VALID) == ([b"a\n", b"b\n"], Head())


@pytest.mark.parametrize(
    "wrong",
    [
        {"before": ""},
        {"before": None},
        {"before": "0:00"},
        {"before": "-1:" + "00" * 32},
        {"lines": "hvs.planted!"},
        {"lines": 7},
        {"lines": "\u00e4"},
    ],
)
def test_a_piece_that_is_none_is_refused(wrong):
    """400, and nothing of it comes back."""
    with pytest.raises(Refusal) as caught:
        piece_of(VALID | wrong)

    assert caught.value.status == 400
    assert "planted" not in caught.value.texts[0]


async def test_a_node_proves_its_lines_to_whoever_may_ask(tmp_path):
    """With the cluster's key; a token without the path is denied, and a GET is no question."""
    async with running(tmp_path, audited=True) as site:
        await site.must("GET", "sys/mounts")
        lines = lines_of(site.leader.audit_file)
        forged = [line.replace(b'"operation":"read"', b'"operation":"list"') for line in lines]

        async def ask(given, **options):
            body = {"before": "0:" + "00" * 32, "lines": base64.b64encode(b"".join(given)).decode()}
            return await site.ask("POST", "strongroom/audit/check", body, **options)

        whole, wrong = await ask(lines), await ask(forged)
        stranger, _ = await site.new_token(("secret/*", "read"))
        allowed, _ = await site.new_token(("strongroom/audit/check", "update"))
        statuses = [(await ask(lines, token=token)).status for token in (stranger, allowed, None)]
        got = await site.ask("GET", "strongroom/audit/check")
        records = [line["type"] for line in site.leader.audit_lines(got.request_id)]

    assert (whole.data, whole.status) == ({"changed": []}, 200)
    assert wrong.data["changed"] == [at + 1 for at, line in enumerate(lines) if line != forged[at]] != []
    assert (statuses, got.status, records) == ([403, 200, 403], 405, ["request", "response"])
    assert LINE_BYTES_MAX * 4 // 3 < 1 << 20
