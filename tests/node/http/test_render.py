"""Envelopes, bare bodies and errors, byte for byte."""

from __future__ import annotations

import json

import pytest

from node.http.errors import BadRequestError, OverloadError
from node.http.render import envelope, errors_body, multierror, refused, respond
from node.request import Answer, RawJson, RawResponse, Refusal

ID = "01234567-89ab-cdef-0123-456789abcdef"
KEYS = ["request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth"]


def test_an_envelope_has_all_its_keys_and_one_newline():
    """Null where there is nothing."""
    body = envelope(ID, Answer(data={"keys": ["a"]}))

    assert body == (
        b'{"request_id":"' + ID.encode() + b'","lease_id":"","renewable":false,"lease_duration":0,'
        b'"data":{"keys":["a"]},"wrap_info":null,"warnings":null,"auth":null}\n'
    )


def test_an_envelope_carries_what_the_answer_says():
    """Lease, warnings, auth."""
    answer = Answer(
        data=None, auth={"client_token": "t"}, warnings=["w"], lease_duration_s=60, renewable=True, lease_id='a"b'
    )

    found = json.loads(envelope(ID, answer))

    assert list(found) == KEYS
    assert found == {
        "request_id": ID, "lease_id": 'a"b', "renewable": True, "lease_duration": 60, "data": None, "wrap_info": None,
        "warnings": ["w"], "auth": {"client_token": "t"},
    }  # fmt: skip


@pytest.mark.parametrize("raw", [b'{"n": 1.10, "big": 12345678901234567890123}', b"null", b'{"<&>": "\\u0041"}'])
def test_json_bytes_are_spliced_as_they_came(raw):
    """At the top and deep inside."""
    assert b'"data":' + raw + b"," in envelope(ID, Answer(data=raw))
    assert b'"data":{"data":' + raw + b',"v":2}' in envelope(ID, Answer(data={"data": RawJson(raw), "v": 2}))
    assert b'"data":[[' + raw + b"]]" in envelope(ID, Answer(data=[[RawJson(raw)]]))


def test_a_large_integer_stays_exact():
    """Also one that was decoded."""
    assert b"12345678901234567890123" in envelope(ID, Answer(data={"n": 12345678901234567890123}))


def test_what_has_no_json_form_is_an_error_without_its_value():
    """A mistake of ours, which must not print what it holds."""
    with pytest.raises(TypeError) as raised:
        envelope(ID, Answer(data={"a": {1: object()}, "b": bytearray}))

    assert "object at" not in str(raised.value)


def test_wrap_info_takes_its_place():
    """Ready JSON of the flow."""
    assert json.loads(envelope(ID, Answer(), wrap_info=b'{"token":"t"}'))["wrap_info"] == {"token": "t"}


@pytest.mark.parametrize(
    ("data", "top"),
    [
        ({"secret/": {"type": "kv"}, "n": 1}, {"secret/": {"type": "kv"}, "n": 1}),
        ({}, {}),
        (b' {"a": 1} ', {"a": 1}),
        (None, {}),
        ([1], {}),
    ],
)
def test_injected_keys_stand_at_the_top_level_too(data, top):
    """Where old clients look; the envelope stays whole."""
    found = json.loads(envelope(ID, Answer(data=data, inject=True)))

    assert {key: found[key] for key in found if key not in KEYS} == top
    assert list(found)[:8] == KEYS


def test_an_answer_with_nothing_to_say_is_204():
    """Warnings alone are 200."""
    assert (respond(ID, Answer()).status, respond(ID, Answer()).body) == (204, b"")
    assert json.loads(respond(ID, Answer(warnings=["w"])).body)["data"] is None


def test_bare_and_raw_answers_have_no_envelope():
    """Status and headers are kept."""
    raw = RawResponse(302, b"x", content_type="text/html")

    assert respond(ID, Answer(status=503, data={"sealed": True}, bare=True)).body == b'{"sealed":true}\n'
    assert respond(ID, Answer(raw=raw)) is raw
    assert respond(ID, Answer(status=404, data={}, headers=[("A", "b")])).headers == [("A", "b")]


@pytest.mark.parametrize(
    ("refusal", "status", "body"),
    [
        (Refusal(404), 404, b'{"errors":[]}\n'),
        (Refusal(403, "permission denied"), 403, b'{"errors":["permission denied"]}\n'),
        (
            Refusal(403, "permission denied", wrapped=True),
            403,
            b'{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}\n',
        ),
        (Refusal(400, "a", "b"), 400, b'{"errors":["a","b"]}\n'),
        (Refusal(400, wrapped=True), 400, b'{"errors":[]}\n'),
        (Refusal(404, data=b'{"x":1.10}'), 404, b'{"errors":[],"data":{"x":1.10}}\n'),
        (BadRequestError("x"), 400, b'{"errors":["x"]}\n'),
    ],
)
def test_a_refusal_is_vault_s_error_body(refusal, status, body):
    """Texts, wrapped texts, data."""
    response = refused(refusal)

    assert (response.status, response.body, response.headers) == (status, body, [])


def test_several_errors_are_counted():
    """As Go's multierror prints them."""
    assert multierror(["a", "b"]) == "2 errors occurred:\n\t* a\n\t* b\n\n"


def test_overload_says_when_to_come_back_and_that_nothing_happened():
    """A retry is safe."""
    response = refused(OverloadError(503, 2), applied="no", write_id="w")

    assert response.headers == [("Retry-After", "2")]
    assert response.body == b'{"errors":["this node is overloaded"],"applied":"no","write_id":"w"}\n'


def test_an_error_may_carry_warnings():
    """Beside its texts."""
    assert errors_body([], warnings=["w"]) == b'{"errors":[],"warnings":["w"]}\n'
