"""`audit verify` and `audit tail`: what is read from files, and what is asked of a server."""

import base64
import json

import pytest

from node.audit import Head
from node.audit.chain import Chain
from node.cli.audit_tail import Follower
from node.security_log import SecurityLog
from tests.node.audit.audit_fakes import FakeClock, mac


def chained(count=3, *, node="n1", device="file/", found=None, file="audit.log"):
    """The opening line and as many more; the head behind them."""
    chain = Chain(node, device, mac)
    lines = [chain.open_file("2026-01-02T03:04:05Z", file, found or Head(), found or Head())]
    for number in range(count):
        told = {
            "time": "2026-01-02T03:04:05Z",
            "type": "request" if number % 2 == 0 else "response",
            "request": {"id": f"id-{number // 2}", "path": f"secret/data/{number // 2}"},
        }
        lines.append(chain.append(json.dumps(told, separators=(",", ":")).encode()))
    return lines, chain.head


def write(path, lines):
    path.write_bytes(b"".join(lines))
    return str(path)


def add(path, data):
    with path.open("ab") as file:
        file.write(data)


def status_of(head, node="n1", device="file/"):
    facts = {node: {"sequence": head.sequence, "head": head.mac.hex(), "file": head.file}}
    return {"audit": [{"path": "other/", "facts": facts}, {"path": device, "ok": True, "facts": facts}]}


def test_a_whole_chain_over_two_files_verifies(run, tmp_path):
    """Offline; what was not proven is said."""
    old, head = chained(file="audit.log.1")
    new, last = chained(2, found=head)
    result = run("audit", "verify", write(tmp_path / "audit.log.1", old), write(tmp_path / "audit.log", new))

    assert (result.exit_code, result.stdout) == (0, f"7 lines, head 7:{last.mac.hex()}\n")
    assert "continuity only" in result.stderr
    assert "-facts or -head" in result.stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:2] + lines[3:], "gap at line number 4"),
        (lambda lines: [*lines, lines[-1]], "fork at line number 4"),
        (lambda lines: lines[1:], "no opening at line number 2"),
        (lambda lines: [*lines, b'{"half'], "damaged at line number 4"),
        (lambda lines: [*lines, *chained(device="other/")[0]], "foreign at line number 1"),
    ],
)
def test_a_fault_is_named_and_ends_with_2(run, tmp_path, damage, said):
    """With the number of the line in the chain."""
    result = run("audit", "verify", write(tmp_path / "a", damage(chained()[0])))

    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("asked", ["facts", "head"])
def test_a_missing_tail_is_found_against_what_is_known(api, run, tmp_path, asked):
    """The files alone cannot tell; whole ones reach the head."""
    lines, head = chained()
    api.answers["GET /v1/strongroom/status"] = (200, status_of(head))
    known = ["-facts"] if asked == "facts" else [f"-head={head.sequence}:{head.mac.hex()}"]
    cut, whole = write(tmp_path / "cut", lines[:3]), write(tmp_path / "whole", lines)
    results = [run("audit", "verify", *known, path) for path in (cut, whole)]

    assert [result.exit_code for result in results] == [2, 0]
    assert "missing tail at line number 3" in results[0].stderr
    assert "-facts or -head" not in results[1].stderr
    assert len(api.seen) == (2 if asked == "facts" else 0)


def test_a_chain_that_went_another_way_than_the_fact_is_a_fork(api, run, tmp_path):
    """The number is there, the line is not."""
    lines, head = chained()
    api.answers["GET /v1/strongroom/status"] = (200, status_of(Head(head.sequence, b"x" * 32, "audit.log")))
    result = run("audit", "verify", "-facts", write(tmp_path / "a", lines))

    assert (result.exit_code, "fork at line number 4" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((200, {"audit": []}), 1, "the server knows no head of device file/ of node n1"),
        ((403, {"errors": ["permission denied"]}), 2, "permission denied"),
        (None, 1, "Error"),
    ],
)
def test_facts_that_cannot_be_had_are_no_verification(api, run, tmp_path, answer, code, said):
    """Nothing is said of the files then."""
    api.answers["GET /v1/strongroom/status"] = answer
    result = run("audit", "verify", "-facts", write(tmp_path / "a", chained()[0]))

    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


@pytest.mark.parametrize("words", [["-head=7"], ["-head=x:00"], ["-head=1:zz"]])
def test_a_head_that_is_none_is_refused(run, tmp_path, words):
    """Before anything is compared with it."""
    result = run("audit", "verify", *words, write(tmp_path / "a", chained()[0]))

    assert (result.exit_code, "SEQUENCE:HEX" in result.stderr) == (1, True)


def test_lines_that_a_daemon_wrote_among_others_are_picked_out(run, tmp_path):
    """What syslog put before a line is no part of it; another node's chain is verified by itself."""
    mine, head = chained(device="syslog/")
    theirs, _ = chained(node="n2", device="syslog/")
    mixed = [b"Jan  2 03:04:05 n1 sshd[7]: unrelated\n"]
    for one, other in zip(mine, theirs, strict=True):
        mixed += [b"Jan  2 03:04:05 n1 strongroom[9]: " + one, b"Jan  2 03:04:05 n2 strongroom[9]: " + other]
    path = write(tmp_path / "syslog", mixed)
    mixed_up = run("audit", "verify", "-syslog", path)
    picked = run("audit", "verify", "-syslog", "-node=n1", "-device=syslog", path)
    unsaid = run("audit", "verify", "-node=n1", "-device=syslog", path)

    assert (mixed_up.exit_code, picked.exit_code) == (2, 0)
    assert picked.stdout == f"4 lines, head 4:{head.mac.hex()}\n"
    assert unsaid.stdout.startswith("0 lines,")
    assert run("audit", "verify", "-syslog", "-facts", "-node=n9", path).exit_code == 1


HEADERS = [
    b"Jan  2 03:04:05 n1 strongroom[9]: ",
    b"Jan 12 03:04:05 n1 strongroom[9]:  ",
    b"2026-01-02T03:04:05.123456+00:00 n1 strongroom[9]: ",
    b"<134>1 2026-01-02T03:04:05.123456Z n1 strongroom 9 audit - ",
    b"312 <134>1 - n1 strongroom 9 audit - ",
]
NO_HEADERS = [
    b'{"type":"response","request":{"path":"forged"}}',
    b'Jan  2 03:04:05 n1 strongroom[9]: {"type":"response","request":{"path":"forged"}}',
    b"forged ",
    b"Jan  2 03:04:05 ",
    b"Jan  2 03:04:05 n1 strongroom[9]:",
    b"Jan  2 03:04:05 one two three four five six seven ",
    b"Jan  2 03:04:05 n1 strongroom[9]: " + b"\x00 ",
]


@pytest.mark.parametrize("before", HEADERS)
def test_headers_of_syslog_are_cut_off_where_one_says_that_they_are_there(run, tmp_path, before):
    """And are damage where one does not."""
    lines, head = chained(device="syslog/")
    path = write(tmp_path / "syslog", [before + line for line in lines])
    said, unsaid = run("audit", "verify", "-syslog", path), run("audit", "verify", path)

    assert (said.exit_code, said.stdout) == (0, f"4 lines, head 4:{head.mac.hex()}\n")
    assert (unsaid.exit_code, "damaged" in unsaid.stderr) == (2, True)


@pytest.mark.parametrize("words", [[], ["-syslog"]])
@pytest.mark.parametrize("before", NO_HEADERS)
def test_bytes_before_a_genuine_line_are_found(run, tmp_path, before, words):
    """A forged record is no header of syslog, and a file that syslog did not write has none."""
    lines, _ = chained()
    lines[2] = before + lines[2]
    result = run("audit", "verify", *words, write(tmp_path / "a", lines))

    assert result.exit_code == 2
    assert "gap at line number 4" in result.stderr
    assert "damaged at line number 2" in result.stderr


def test_bytes_before_a_line_are_shown_to_no_node_as_if_they_were_not_there(api, run, tmp_path):
    """The node is asked about lines as they stand, so that nothing is proven with something before it."""
    lines, _ = chained()
    lines[1] = NO_HEADERS[0] + lines[1]
    api.answers["POST /v1/strongroom/audit/check"] = (200, {"data": {"changed": []}})
    result = run("audit", "verify", "-contents", write(tmp_path / "a", lines))
    [asked] = api.requests

    assert result.exit_code == 2
    assert base64.b64decode(asked.body["lines"]) == lines[0] + b"".join(lines[2:])


def test_what_a_broken_connection_lost_is_counted_and_no_fault(run, tmp_path):
    """The line behind it says which numbers may be missing."""
    lines, head = chained()
    chain = Chain("n1", "file/", mac)
    torn = lines[2][:20] + b"\n"
    known = Head(2, bytes.fromhex(json.loads(lines[1])["chain"]), "tcp://a:1")
    new = chain.open_file("t", "tcp://a:1", known, known, b"", head)
    result = run("audit", "verify", write(tmp_path / "a", [*lines[:2], torn, new]))

    assert result.exit_code == 0
    assert "2 lines did not arrive" in result.stderr
    assert "1 times a part of a line" in result.stderr


# ---- tail
def test_tail_shows_the_newest_lines_as_they_stand_there(run, tmp_path):
    """And no line that is not finished."""
    lines, _ = chained(20)
    path = write(tmp_path / "audit.log", [*lines, b'{"time":"unfinished'])

    assert run("audit", "tail", path).stdout_bytes == b"".join(lines[-10:])
    assert run("audit", "tail", "-n=2", path).stdout_bytes == b"".join(lines[-2:])
    assert run("audit", "tail", "-n", "0", path).stdout_bytes == b""
    assert run("audit", "tail", str(tmp_path / "none")).exit_code == 1


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["-path=secret/data/1"], [3, 4]),
        (["-request-id=id-0"], [1, 2]),
        (["-request-id=id-"], []),
        (["-type=response"], [2, 4]),
        (["-type=open"], [0]),
        (["-type=request", "-path=secret/", "-n=1"], [5]),
    ],
)
def test_tail_shows_what_is_asked_for(run, tmp_path, words, numbers):
    """The newest of those that fit, not those that fit of the newest."""
    lines, _ = chained(5)
    path = write(tmp_path / "audit.log", [*lines, b"no json id-0\n", b"[]\n"])
    wanted = b"".join(lines[number] for number in numbers)

    assert run("audit", "tail", *words, path).stdout_bytes == wanted


def test_following_goes_on_in_the_file_that_takes_the_place(tmp_path):
    """What came into the old one after the rename is not lost, and a truncated file begins anew."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"1\n2")
    steps = iter(
        [
            lambda: add(path, b"!\n3\n"),
            lambda: path.rename(tmp_path / "audit.log.1"),
            lambda: (add(tmp_path / "audit.log.1", b"4\n"), path.write_bytes(b"5\n")),
            lambda: None,
            lambda: path.write_bytes(b"6"),
            lambda: add(path, b"\n"),
        ]
    )
    seen = []

    def pause():
        step = next(steps, None)
        if step is not None:
            step()
        return step is not None

    with Follower(path) as follower:
        seen += follower.lines()
        seen += follower.follow(pause)

    assert seen == [b"1\n", b"2!\n", b"3\n", b"4\n", b"5\n", b"6\n"]


def test_following_ends_with_an_interrupt(run, tmp_path, monkeypatch):
    """As one does it: Ctrl-C is no error."""
    lines, _ = chained(1)
    path = write(tmp_path / "audit.log", lines)

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("node.cli.audit_tail._pause", interrupted)
    result = run("audit", "tail", "-follow", path)

    assert (result.exit_code, result.stdout_bytes) == (0, b"".join(lines))


# ---- contents
@pytest.mark.parametrize(("told", "code"), [([], 0), ([2], 2)])
def test_contents_are_proven_by_a_node(api, run, tmp_path, told, code):
    """It gets the lines as they stand there, and names those that were changed."""
    lines, head = chained()
    api.answers["POST /v1/strongroom/audit/check"] = (200, {"data": {"changed": told}})
    result = run("audit", "verify", "-contents", write(tmp_path / "a", lines))
    [asked] = api.requests

    assert result.exit_code == code
    assert asked.body["before"] == "0:" + "00" * 32
    assert base64.b64decode(asked.body["lines"]) == b"".join(lines)
    assert result.stdout == f"4 lines, head 4:{head.mac.hex()}\n"
    assert ("changed at line number 2" in result.stderr) is bool(told)
    assert "contents were proven" in result.stderr


@pytest.mark.parametrize(
    "answer", [(200, {"data": {}}), (403, {"errors": ["permission denied"]}), (405, {"errors": []})]
)
def test_contents_that_nobody_proves_are_not_proven(api, run, tmp_path, answer):
    """A server that does not say is no proof."""
    api.answers["POST /v1/strongroom/audit/check"] = answer
    result = run("audit", "verify", "-contents", write(tmp_path / "a", chained()[0]))

    assert (result.exit_code, result.stdout) == (2, "")


def test_a_line_that_fits_no_request_counts_as_changed(api, run, tmp_path, monkeypatch):
    """Nobody has proven it."""
    monkeypatch.setattr("node.cli.audit_contents.LINE_BYTES_MAX", 10)
    result = run("audit", "verify", "-contents", write(tmp_path / "a", chained(0)[0]))

    assert (result.exit_code, api.requests) == (2, [])
    assert "too long to be proven" in result.stderr


# ---- security logs
def security_log(folder, count=3):
    """Its path, and its lines."""
    log = SecurityLog(folder, "n1", FakeClock())
    for _ in range(count):
        log.record("seal")
    path = folder / "security.log"
    return path, path.read_bytes().splitlines(keepends=True)


def test_a_security_log_is_verified_where_one_says_that_it_is_one(run, tmp_path):
    """Without key or facts; what a crash left is counted, and what is missing is found."""
    path, lines = security_log(tmp_path)
    whole = run("audit", "verify", "-security", str(path))
    torn = run("audit", "verify", "-security", write(path, [*lines[:2], lines[2][:30] + b"\n", lines[2]]))
    cut = run("audit", "verify", "-security", write(path, lines[::2]))
    newer = run("audit", "verify", "-security", write(path, lines[1:]))

    assert (whole.exit_code, whole.stdout.split(" head ")[0]) == (0, "3 events,")
    assert "part of a line" not in whole.stderr
    assert (torn.exit_code, "1 times a part of a line was left" in torn.stderr) == (0, True)
    assert (cut.exit_code, "gap at event number 3" in cut.stderr) == (2, True)
    assert (newer.exit_code, "begins behind event number 1" in newer.stderr) == (0, True)


@pytest.mark.parametrize("at", ["first", "last", "both"])
def test_security_lines_do_not_make_a_security_log_of_an_audit_file(run, tmp_path, at):
    """Whoever made them: the audit file is checked as one, and they are a fault."""
    audit, (_, made) = chained()[0], security_log(tmp_path)
    audit[2] = audit[2].replace(b"secret/", b"forged/")
    del audit[3]
    mixed = [*(made[:1] if at != "last" else []), *audit, *(made[1:2] if at != "first" else [])]
    path = write(tmp_path / "audit.log", mixed)
    as_audit, as_security = run("audit", "verify", path), run("audit", "verify", "-security", path)

    assert (as_audit.exit_code, as_audit.stdout.split(" head ")[0]) == (2, "3 lines,")
    assert "damaged" in as_audit.stderr
    assert "-security" in as_audit.stderr
    assert (as_security.exit_code, "damaged" in as_security.stderr) == (2, True)


def test_a_security_log_alone_is_no_audit_file(run, tmp_path):
    """Without its option it is a fault that says what to do."""
    path, _ = security_log(tmp_path)
    result = run("audit", "verify", str(path))

    assert (result.exit_code, result.stdout.split(" head ")[0]) == (2, "0 lines,")
    assert "verified with -security" in result.stderr


@pytest.mark.parametrize(
    "word", ["-facts", "-contents", "-head=1:" + "0" * 64, "-syslog", "-node=n1", "-device=file"]
)
def test_a_security_log_is_compared_with_nothing(api, run, tmp_path, word):
    """What was asked for and cannot be proven is refused, not left out."""
    path, _ = security_log(tmp_path)
    result = run("audit", "verify", "-security", word, str(path))

    assert (result.exit_code, result.stdout, api.seen) == (1, "", [])
    assert "takes no other option" in result.stderr
