"""Files that a configuration names: each objection names the key and the file, and what fits passes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cluster import write_certificates
from node.config import Api, Backup, Config, Member, Node, Peer, Seal, Sink, file_problems
from node.config.check_sinks import sink_problems
from node.config.secret_text import SecretText

if TYPE_CHECKING:
    from pathlib import Path

MEMBERS = tuple(Member(id=f"n{n}", peer=f"127.0.0.1:820{n}", api=f"https://127.0.0.1:920{n}") for n in (1, 2))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of two nodes, and a password."""
    folder = tmp_path_factory.mktemp("files")
    write_certificates(folder, {"n1": ["127.0.0.1"], "n2": ["127.0.0.1"]}, None, "files")
    (folder / "password").write_text("planted")
    return folder


def of(folder: Path, **changes: Any) -> Config:
    """What fits, but for `changes` of "section__key"."""
    files = {"tls_cert_file": str(folder / "n1.pem"), "tls_key_file": str(folder / "n1.key")}
    config = Config(
        node=Node(id="n1", cluster_name="files", data_dir=str(folder)),
        api=Api(tls="on", **files),
        peer=Peer(address="127.0.0.1:8201", tls_ca_file=str(folder / "ca.pem"), members=MEMBERS, **files),
        seal=Seal(type="static", key_file=str(folder / "password")),
        backup=Backup(sinks=(Sink(name="s", url="memory:", password_file=str(folder / "password")),)),
    )
    for name, value in changes.items():
        section, _, key = name.partition("__")
        part = msgspec.structs.replace(getattr(config, section), **{key: value})
        config = msgspec.structs.replace(config, **{section: part})
    return config


def test_files_that_fit_have_no_objection(made: Path) -> None:
    """Nor do files that nothing is done with."""
    unused = {"api__tls": "off", "api__tls_key_file": "/absent", "peer__address": "", "peer__tls_ca_file": "/absent"}

    assert file_problems(of(made)) == []
    assert file_problems(of(made, **unused, seal__type="shamir", seal__key_file="/absent")) == []


@pytest.mark.parametrize(
    "name",
    ["api__tls_cert_file", "api__tls_key_file", "peer__tls_cert_file", "peer__tls_key_file", "peer__tls_ca_file",
     "seal__key_file"],
)  # fmt: skip
def test_a_missing_file_is_named_with_its_key(made: Path, name: str) -> None:
    """Each alone."""
    section, _, key = name.partition("__")
    [sentence] = file_problems(of(made, **{name: f"{made}/absent"}))

    assert sentence == f"{section}: {key}: {made}/absent cannot be read: No such file or directory"


def test_a_node_starts_without_the_key_file_of_its_seal(made: Path) -> None:
    """It is sealed until the file is there; without a certificate it could not start."""
    absent = f"{made}/absent"

    assert file_problems(of(made, seal__key_file=absent), starting=True) == []
    assert len(file_problems(of(made, peer__tls_cert_file=absent, seal__key_file=absent), starting=True)) == 1


def test_a_missing_password_is_named_with_its_sink(made: Path) -> None:
    """And with its file."""
    sinks = (Sink(name="far", url="memory:", password_file=f"{made}/absent"),)
    [sentence] = file_problems(of(made, backup__sinks=sinks))

    assert sentence.startswith(f"backup: sink far: password_file: {made}/absent cannot be read")


@pytest.mark.parametrize(
    ("url", "password", "said"),
    [
        ("sqlite:///b.db", "", None),
        ("sqlite:///b.db?mode=ro", "", "must be sqlite:///PATH"),
        ("sqlite:///b.db#planted", "", "must end before any #"),
        ("postgresql://u@127.0.0.1/db", "", None),
        ("postgresql://127.0.0.1/db", "", "must be postgresql://USER@HOST/DATABASE"),
        ("postgresql://u@127.0.0.1/db?planted=1", "", "options that are not known"),
        ("postgresql://u@127.0.0.1/db?sslmode=prefer", "", "sslmode is verify-full, or disable"),
        ("s3://bucket/prefix", "id:planted", None),
        ("s3://bucket/prefix", "planted", "must be ACCESS_KEY_ID:SECRET_ACCESS_KEY"),
        ("s3://bucket/../x", "id:planted", "must be s3://BUCKET/PREFIX"),
        ("s3://bucket/prefix?region=planted%20", "id:planted", "the region is made of"),
    ],
)
def test_what_the_sink_itself_would_refuse_is_refused_before(
    made: Path, url: str, password: str, said: str | None
) -> None:
    """Also when a node starts; nothing that stands in the URL or the password is repeated."""
    sinks = (Sink(name="far", url=url, password=SecretText(password)),)
    config = of(made, backup__sinks=sinks)
    found = file_problems(config)

    assert problems_of_sinks(config) == []
    assert found == file_problems(config, starting=True)
    assert [("backup: sink far: " in one, said is not None and said in one) for one in found] == (
        [] if said is None else [(True, True)]
    )
    assert "planted" not in "".join(found)


def test_a_password_that_is_no_text_is_an_objection(made: Path, tmp_path: Path) -> None:
    """With its key and its file."""
    (tmp_path / "password").write_bytes(b"planted\xff")
    sinks = (Sink(name="far", url="sqlite:///b.db", password_file=f"{tmp_path}/password"),)
    [sentence] = file_problems(of(made, backup__sinks=sinks))

    assert sentence == f"backup: sink far: password_file: {tmp_path}/password is not UTF-8 text"


def problems_of_sinks(config: Config) -> list[str]:
    """What the configuration alone says of them."""
    return [one for sink in config.backup.sinks for one in sink_problems(sink, "dev")]


def test_a_file_that_may_not_be_read_is_named(made: Path, tmp_path: Path) -> None:
    """Root may read everything: there a folder in place of the file has to do."""
    file = tmp_path / "closed"
    if os.geteuid() == 0:
        file.mkdir()
    else:
        file.touch(mode=0)
    [sentence] = file_problems(of(made, seal__key_file=str(file)))

    assert sentence.startswith(f"seal: key_file: {file} cannot be read: ")


@pytest.mark.parametrize("section", ["api", "peer"])
def test_a_key_of_another_certificate_is_found_out(made: Path, section: str) -> None:
    """So is a file that is no key at all."""
    [sentence] = file_problems(of(made, **{f"{section}__tls_key_file": f"{made}/n2.key"}))
    [garbage] = file_problems(of(made, **{f"{section}__tls_key_file": f"{made}/password"}))

    assert sentence.startswith(f"{section}: the key in tls_key_file ({made}/n2.key) is not that of the certificate in")
    assert garbage.startswith(f"{section}: tls_cert_file ({made}/n1.pem) and tls_key_file ({made}/password) must be")
    assert "planted" not in garbage


def test_an_authority_that_is_none_is_found_out(made: Path) -> None:
    """A key in its place, for one."""
    [sentence] = file_problems(of(made, peer__tls_ca_file=f"{made}/n1.key"))

    assert sentence == f"peer: tls_ca_file ({made}/n1.key) must hold certificates, PEM"


def test_a_certificate_of_another_node_is_refused(made: Path) -> None:
    """By the name in it; that of another cluster, too. The members would take this node for that one."""
    other = {"peer__tls_cert_file": f"{made}/n2.pem", "peer__tls_key_file": f"{made}/n2.key"}

    assert file_problems(of(made, **other)) == [
        f"peer: tls_cert_file ({made}/n2.pem) is of node 'n2', but node.id is 'n1'"
    ]
    assert file_problems(of(made, **other, node__id="n2")) == []
    assert file_problems(of(made, node__cluster_name="other")) == [
        f"peer: tls_cert_file ({made}/n1.pem) is of cluster 'files', but node.cluster_name is 'other'"
    ]


def test_a_certificate_that_names_no_node_is_refused(made: Path) -> None:
    """The authority's own, for one."""
    [sentence] = file_problems(of(made, peer__tls_cert_file=f"{made}/ca.pem", peer__tls_key_file=f"{made}/ca.key"))

    assert sentence.startswith(f"peer: tls_cert_file ({made}/ca.pem) names no node")
