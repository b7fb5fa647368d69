"""The security log as `audit verify` reads it: what the node itself has written, and what was done to it."""

import pytest

from node import security_log
from node.audit import Fault, is_security_line, verify_security
from node.security_log import SecurityLog
from tests.node.audit.audit_fakes import FakeClock, lines_of


def written(folder, count=5):
    log = SecurityLog(folder, "n1", FakeClock())
    for number in range(count):
        log.record("unseal attempt", accepted=bool(number % 2), place=f"p{number}")
    return lines_of(folder / "security.log")


def faults(lines):
    return [(finding.fault, finding.sequence) for finding in verify_security(lines).findings]


def test_what_a_node_writes_is_whole(tmp_path):
    """Over a restart, a torn line and the older file."""
    written(tmp_path)
    with (tmp_path / "security.log").open("ab") as file:
        file.write(b'{"time":"half')
    lines = written(tmp_path, 3)
    report = verify_security(lines)

    assert (report.findings, report.lines, report.torn, report.head.sequence) == ([], 8, 1, 8)
    assert all(map(is_security_line, lines[:5]))


@pytest.mark.parametrize(
    ("left", "torn"),
    [([b'{"time":"half\n'], 1), ([b'{"ti\n', b"{\n"], 2), ([b"\0\0\n"], 1), ([b'{"a\0\0\n'], 1), ([b"\n"], 0)],
)
def test_what_a_crash_or_a_full_disk_left_is_counted(tmp_path, left, torn):
    """The beginning of a line, and zeros."""
    lines = written(tmp_path)
    report = verify_security([*lines[:3], *left, *lines[3:]])

    assert (report.findings, report.torn, report.lines) == ([], torn, 5)


def test_the_older_file_comes_first(tmp_path, monkeypatch):
    """Alone, the newer one says behind which number it begins."""
    monkeypatch.setattr(security_log, "FILE_BYTES_MAX", 500)
    newer = written(tmp_path, 4)
    older = lines_of(tmp_path / "security.log.1")
    alone = verify_security(newer)

    assert faults([*older, *newer]) == []
    assert (alone.findings, alone.after.sequence) == ([], alone.head.sequence - len(newer))


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda lines: [*lines[:2], *lines[3:]], [(Fault.GAP, 4)]),
        (lambda lines: [*lines, lines[-1]], [(Fault.FORK, 5)]),
        (lambda lines: [lines[0], lines[1].replace(b"true", b"null"), *lines[2:]], [(Fault.CHANGED, 2)]),
        (lambda lines: [lines[0].replace(b"p0", b"p9"), *lines[1:]], [(Fault.CHANGED, 1)]),
        (lambda lines: [*lines, b"half"], [(Fault.DAMAGED, 5)]),
        (lambda lines: [*lines[:2], b"text\n", *lines[2:]], [(Fault.DAMAGED, 2)]),
        (lambda lines: [*lines[:2], b'{"type":"response"}\n', *lines[2:]], [(Fault.DAMAGED, 2)]),
        (lambda lines: [*lines[:2], b'{"a":1}\n', b'{"b":1}\n', *lines[2:]], [(Fault.DAMAGED, 2)]),
        (lambda lines: [lines[0], b"x" + lines[1], *lines[2:]], [(Fault.DAMAGED, 1), (Fault.GAP, 3)]),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], [(Fault.GAP, 3), (Fault.FORK, 2), (Fault.GAP, 4)]),
    ],
)
def test_what_was_done_to_it_is_found(tmp_path, harm, found):
    """One harm, one finding or a few."""
    assert faults(harm(written(tmp_path))) == found


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"text\n", b'{"type":"request","sequence":1,"chain":"' + b"a" * 64 + b'"}\n', b'{"chain":"a"}\n'],
)
def test_other_lines_are_none(raw):
    """Audit lines least of all."""
    assert not is_security_line(raw)
