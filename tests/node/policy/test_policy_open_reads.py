"""What a mount shows without a token: a closed table, by the type of the mount."""

from __future__ import annotations

import pytest

from node.policy import builtin


@pytest.mark.parametrize("path", ["ca", "ca/pem", "ca_chain", "crl", "crl/pem", "cert/ca", "cert/aa:bb", "cert/aa/raw"])
def test_a_pki_mount_shows_its_certificates(path):
    """For reading, and in a mount of this type alone."""
    assert builtin.is_open_read("read", "pki", path)
    assert not builtin.is_open_read("read", "kv", path)
    assert not builtin.is_open_read("read", "", path)
    for operation in ("list", "scan", "create", "update", "patch", "delete", "header", "help"):
        assert not builtin.is_open_read(operation, "pki", path)


@pytest.mark.parametrize(
    "path", ["", "c", "ca/", "ca/key", "ca_chain/", "crl/", "crl/rotate", "certs", "certs/", "cert", "roles/ca",
             "issue/ca", "config/urls", "config/crl", "root", "/ca", "x/cert/aa", "CA", "Cert/aa"],
)  # fmt: skip
def test_nothing_else_of_it_is_open(path):
    """What is doubtful is not open."""
    assert not builtin.is_open_read("read", "pki", path)
