"""What an audit device may be asked to do."""

import pytest

from node.audit import OptionError, Rules, audit_hash
from node.audit.options import DeviceOptions
from tests.node.audit.audit_fakes import SALT

RULES = Rules("/var/lib/audit", production=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"file_path": "audit.log"}, DeviceOptions("audit.log", ("audit.log",))),
        ({"path": "a/b.log"}, DeviceOptions("a/b.log", ("a", "b.log"))),
        ({"file_path": "/var/lib/audit/a.log"}, DeviceOptions("/var/lib/audit/a.log", ("a.log",))),
        ({"file_path": "stdout"}, DeviceOptions("stdout")),
        ({"file_path": "discard"}, DeviceOptions("discard")),
        ({"file_path": "a", "mode": "0640"}, DeviceOptions("a", ("a",), mode=0o640)),
        ({"file_path": "a", "mode": "0000"}, DeviceOptions("a", ("a",), mode=None)),
        ({"file_path": "a", "mode": "", "format": "json"}, DeviceOptions("a", ("a",))),
        ({"file_path": "a", "hmac_accessor": "false"}, DeviceOptions("a", ("a",), hmac_accessor=False)),
        ({"file_path": "a", "elide_list_responses": "1"}, DeviceOptions("a", ("a",), elide_list_responses=True)),
        ({"file_path": "a", "log_raw": "false"}, DeviceOptions("a", ("a",))),
        ({"file_path": "a", "fdatasync": "true"}, DeviceOptions("a", ("a",), fdatasync=True)),
    ],
)
def test_options_that_are_honoured(options, expected):
    """Each option that a device takes, in its spellings."""
    RULES.check_options("file", options)

    assert RULES.parse("file", options) == expected


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "file_path is required"),
        ({"file_path": "/etc/passwd"}, "must lie below"),
        ({"file_path": "/var/lib/audit"}, "must lie below"),
        ({"file_path": "/var/lib/audit-outside.log"}, "must lie below"),
        ({"file_path": "/var/lib/audit/../shadow"}, "segments"),
        ({"file_path": "../audit-outside.log"}, "segments"),
        ({"file_path": "a/../../b"}, "segments"),
        ({"file_path": "./a"}, "segments"),
        ({"file_path": "a//b"}, "segments"),
        ({"file_path": "a/"}, "segments"),
        ({"file_path": "x" * 300}, "segments"),
        ({"file_path": "a\0b"}, "printable"),
        ({"file_path": "a\nb"}, "printable"),
        ({"file_path": "a/" * 600 + "b"}, "printable"),
        ({"file_path": "a", "mode": "rw"}, "octal"),
        ({"file_path": "a", "mode": "0700"}, "executable"),
        ({"file_path": "a", "mode": "0666"}, "writable by everybody"),
        ({"file_path": "a", "mode": "-1"}, "executable"),
        ({"file_path": "a", "format": "jsonx"}, "only json"),
        ({"file_path": "a", "prefix": "#!/bin/sh"}, "not supported: prefix"),
        ({"file_path": "a", "filter": "x"}, "not supported: filter"),
        ({"file_path": "a", "fallback": "true"}, "not supported: fallback"),
        ({"file_path": "a", "hvs.secret": "x"}, "not supported: an unknown name"),
        ({"file_path": "a", "hmac_accessor": "maybe"}, "true or false"),
        ({"file_path": "a", "fdatasync": "often"}, "true or false"),
        ({"file_path": "a", "log_raw": "true"}, "refused in production"),
    ],
)
def test_options_that_are_refused(options, text):
    """What a device cannot or must not do is 400, never ignored, and quotes nothing that was sent."""
    with pytest.raises(OptionError) as caught:
        RULES.check_options("file", options)

    assert caught.value.status == 400
    assert text in caught.value.texts[0]
    assert "hvs." not in caught.value.texts[0]


@pytest.mark.parametrize("type_", ["http", "FILE", ""])
def test_other_types_are_refused(type_):
    """A device that does not exist is not accepted and then silent."""
    with pytest.raises(OptionError) as caught:
        RULES.check_options(type_, {"file_path": "a"})

    assert "not available" in caught.value.texts[0]


def test_a_raw_log_is_allowed_outside_production():
    """The twin of the refusal."""
    assert Rules("/d", production=False).parse("file", {"file_path": "a", "log_raw": "true"}).log_raw


def test_a_directory_with_a_trailing_slash_is_the_same_directory():
    """How the operator spells it does not matter."""
    assert Rules("/var/lib/audit/", production=True).parse("file", {"file_path": "/var/lib/audit/x"}).file == "x"


def test_the_hash_of_sys_audit_hash_is_the_one_in_the_lines():
    """What an operator asks for is what an operator searches."""
    assert RULES.hash_text(SALT, "value") == audit_hash(SALT, "value")
