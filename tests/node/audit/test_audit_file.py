"""Where a file may be, how it is opened, and what is found at its end."""

import os
import resource
import stat

import pytest

from node.audit import Head, Rules
from node.audit import file as audit_file
from node.audit import sink as audit_sink
from node.audit.chain import Chain
from node.audit.file import FileSink
from node.audit.sink import DiscardSink, Opened, SinkError, StdoutSink, write_all
from node.audit.sinks import sink_for
from tests.node.audit.audit_fakes import mac


def make_sink(directory, file_path="audit.log", node="n1", device="file/", **options):
    parsed = Rules(str(directory), production=True).parse("file", {"file_path": file_path, **options})
    return sink_for(directory, parsed, node, device)


def write_lines(directory, name="audit.log", count=2):
    chain = Chain("n1", "file/", mac)
    lines = [chain.open_file("t", name, Head(), Head())]
    lines += [chain.append(b'{"n":%d}' % number) for number in range(count)]
    (directory / name).write_bytes(b"".join(lines))
    return Head(chain.head.sequence, chain.head.mac, name)


def test_a_file_is_made_with_its_folders_and_its_mode(tmp_path):
    """0600 and 0700, whatever the umask; an existing file gets the mode too."""
    (tmp_path / "old.log").touch(0o644)
    for name, options in (("a/b/audit.log", {}), ("old.log", {}), ("group.log", {"mode": "0640"})):
        sink = make_sink(tmp_path, name, **options)

        assert sink.open() == Opened()
        sink.close()

    modes = {
        name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b/audit.log", "old.log", "group.log")
    }
    assert modes == {"a": 0o700, "a/b/audit.log": 0o600, "old.log": 0o600, "group.log": 0o640}


def test_mode_zero_leaves_an_existing_file_alone(tmp_path):
    """As in Vault."""
    (tmp_path / "audit.log").touch(0o640)
    sink = make_sink(tmp_path, mode="0000")
    sink.open()
    sink.close()

    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o640


def test_the_directory_is_made_but_not_the_one_it_lies_in(tmp_path):
    """A slip of the pen in the configuration fails instead of making a tree."""
    sink = make_sink(tmp_path / "audit")
    sink.open()
    sink.close()

    with pytest.raises(SinkError, match="No such file"):
        make_sink(tmp_path / "no" / "audit").open()
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("case", ["file link", "dangling link", "folder link", "pipe", "folder", "other owner"])
def test_what_is_no_file_of_ours_is_refused(tmp_path, monkeypatch, case):
    """No link is followed below the directory, nothing but a regular file of our user is opened, nothing hangs."""
    directory, outside = tmp_path / "audit", tmp_path / "outside"
    directory.mkdir()
    outside.mkdir()
    (outside / "target").touch()
    name = "audit.log"
    if case == "file link":
        (directory / name).symlink_to(outside / "target")
    elif case == "dangling link":
        (directory / name).symlink_to(outside / "new")
    elif case == "folder link":
        (directory / "sub").symlink_to(outside)
        name = "sub/audit.log"
    elif case == "pipe":
        os.mkfifo(directory / name)
    elif case == "folder":
        (directory / name).mkdir()
    else:
        monkeypatch.setattr(audit_file.os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(SinkError, match="sanity check failed; unable to open") as caught:
        make_sink(directory, name).open()

    assert f'"{name}" for writing: ' in str(caught.value)
    assert sorted(path.name for path in outside.iterdir()) == ["target"]
    assert (outside / "target").stat().st_size == 0


def test_a_link_to_the_directory_itself_is_the_operators(tmp_path):
    """Only what lies below it is not believed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "audit").symlink_to(tmp_path / "real")
    sink = make_sink(tmp_path / "audit")
    sink.open()
    sink.close()

    assert (tmp_path / "real" / "audit.log").exists()


def test_two_devices_cannot_have_one_file(tmp_path):
    """Two writers would fork the chain; when the first has closed it, the second may."""
    first, second = make_sink(tmp_path), make_sink(tmp_path)
    first.open()

    with pytest.raises(SinkError, match="another audit device has it open"):
        second.open()
    first.close()
    assert second.open() == Opened()
    second.close()


@pytest.mark.parametrize("torn", [b"", b'{"type":"re', b"\0" * 5000, b"\0\0\n\0"])
def test_the_end_of_a_file_is_found(tmp_path, monkeypatch, torn):
    """Its newest whole line and what a crash left behind it, however far back that is."""
    monkeypatch.setattr(audit_file, "TAIL_BYTES", 64)
    head = write_lines(tmp_path)
    with (tmp_path / "audit.log").open("ab") as file:
        file.write(torn)
    sink = make_sink(tmp_path)

    assert sink.open() == Opened(head, torn)
    sink.close()


def test_a_first_line_that_was_never_finished_is_torn(tmp_path):
    """A crash at the very beginning must not keep the node from starting."""
    (tmp_path / "audit.log").write_bytes(b'{"time"')
    sink = make_sink(tmp_path)

    assert sink.open() == Opened(None, b'{"time"')
    sink.close()


@pytest.mark.parametrize(("node", "device"), [("n2", "file/"), ("n1", "other/")])
def test_a_file_of_another_node_or_device_is_refused(tmp_path, node, device):
    """A chain has one writer."""
    write_lines(tmp_path)

    with pytest.raises(SinkError, match="belongs to another node or device"):
        make_sink(tmp_path, node=node, device=device).open()


def test_a_file_that_is_no_audit_file_is_refused(tmp_path):
    """And is left as it was."""
    (tmp_path / "audit.log").write_bytes(b"some log\nof something\n")

    with pytest.raises(SinkError, match="lines that are not of this device"):
        make_sink(tmp_path).open()
    assert (tmp_path / "audit.log").read_bytes() == b"some log\nof something\n"


def test_rotation_opens_the_path_anew_and_names_the_old_file(tmp_path):
    """The unfinished line is finished in the old file; the new one is empty and locked."""
    sink = make_sink(tmp_path, "logs/audit.log")
    sink.open()
    sink.write(b"begun ")

    assert sink.rotate(b"") is None
    (tmp_path / "logs/audit.log").rename(tmp_path / "logs/audit.log.1")
    rotated = sink.rotate(b"and finished\n")

    assert (rotated.opened, rotated.finished, rotated.old) == (Opened(), 13, "logs/audit.log.1")
    assert (tmp_path / "logs/audit.log.1").read_bytes() == b"begun and finished\n"
    with pytest.raises(SinkError, match="another audit device"):
        make_sink(tmp_path, "logs/audit.log").open()
    sink.close()


def test_a_removed_file_keeps_its_name(tmp_path):
    """It has no other."""
    sink = make_sink(tmp_path)
    sink.open()
    (tmp_path / "audit.log").unlink()

    assert sink.rotate(b"").old == "audit.log"
    sink.close()


def test_a_rotation_that_fails_goes_on_in_the_old_file(tmp_path):
    """The path is taken by something that must not be opened."""
    sink = make_sink(tmp_path)
    sink.open()
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    (tmp_path / "audit.log").mkdir()

    with pytest.raises(SinkError, match="sanity check failed"):
        sink.rotate(b"")
    assert sink.write(b"x").bytes == 1
    assert (tmp_path / "audit.log.1").read_bytes() == b"x"
    sink.close()


@pytest.mark.parametrize("fdatasync", ["true", "false"])
def test_with_fdatasync_a_write_ends_when_the_disk_has_it(tmp_path, monkeypatch, fdatasync):
    """Each write, the name of a new file, and what a rotation finishes; without the option nothing waits for a disk."""
    calls = []
    monkeypatch.setattr(audit_file.os, "fdatasync", lambda fd: calls.append(os.fstat(fd).st_size))
    monkeypatch.setattr(audit_file.os, "fsync", lambda _fd: calls.append("name"))
    sink = make_sink(tmp_path, fdatasync=fdatasync)
    sink.open()
    sink.write(b"first\n")
    sink.write(b"second\nunfin")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    sink.rotate(b"ished\n")
    sink.close()

    assert calls == (["name", 6, 18, "name", 24] if fdatasync == "true" else [])


def test_a_sync_that_fails_takes_nothing_and_the_file_is_opened_anew(tmp_path, monkeypatch):
    """What the file holds then is read, so that no number is used twice."""
    sink = make_sink(tmp_path, fdatasync="true")
    sink.open()
    chain = Chain("n1", "file/", mac)
    line = chain.open_file("t", "audit.log", Head(), Head())

    def broken(_fd):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(audit_file.os, "fdatasync", broken)
        written = sink.write(line)

    assert (written.bytes, written.is_broken, written.error.strerror) == (0, True, "Input/output error")
    assert sink.open() == Opened(Head(1, chain.head.mac, "audit.log"))
    sink.close()


def test_a_full_disk_says_how_much_was_written(tmp_path):
    """The kernel takes a part of the bytes and refuses the rest."""
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT, 0o600)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        written = write_all(fd, b"x" * 25)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.close(fd)

    assert written.bytes == 10
    assert isinstance(written.error, OSError)
    assert (tmp_path / "file").stat().st_size == 10


def test_the_sinks_without_a_file(tmp_path, monkeypatch):
    """`discard` takes everything, `stdout` writes to descriptor 1, and neither has anything to rotate."""
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT, 0o600)
    monkeypatch.setattr(audit_sink, "_STDOUT_FD", fd)
    discard, stdout = make_sink(tmp_path, "discard"), make_sink(tmp_path, "stdout")
    assert (type(discard), type(stdout), type(make_sink(tmp_path))) == (DiscardSink, StdoutSink, FileSink)
    for sink in (discard, stdout):
        assert sink.open() == Opened()
        assert sink.write(b"line\n").bytes == 5
        assert sink.rotate(b"") is None
        sink.close()
    os.close(fd)

    assert (tmp_path / "out").read_bytes() == b"line\n"
