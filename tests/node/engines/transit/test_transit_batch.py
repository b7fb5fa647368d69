"""batch_input: every item in its place, failures beside successes, bounds; and routes as a table."""

from __future__ import annotations

import pytest

from node.engines.transit.batch import Item
from node.engines.transit.encoding import decode, decode_url_safe, encode, encode_url_safe
from node.engines.transit.key_types import ITEMS_MAX, Work, key_type
from node.request import Operation, Refusal
from tests.node.engines.fakes import make_request
from tests.node.engines.transit.transit_bench import TransitBench, b64, unb64

BAD = {"plaintext": "!"}
BAD_RESULT = {"error": "illegal base64 data at input byte 0", "reference": ""}


@pytest.fixture
def bench() -> TransitBench:
    bench = TransitBench()
    bench.make("k")
    bench.make("s", "ed25519")
    return bench


def batch(bench: TransitBench, path: str, *items: object, status: int = 200, **fields: object):
    answer = bench.ask("update", path, {"batch_input": list(items)} | fields)
    assert answer.status == status
    return answer.data["batch_results"]


def test_a_batch_is_answered_in_its_order(bench):
    """Encrypted, decrypted, rewrapped; each with its reference."""
    sealed = batch(bench, "encrypt/k", *({"plaintext": b64(str(n)), "reference": str(n)} for n in range(5)))
    bench.post("keys/k/rotate")
    again = batch(bench, "rewrap/k", *({"ciphertext": one["ciphertext"]} for one in sealed))
    opened = batch(bench, "decrypt/k", *({"ciphertext": one["ciphertext"]} for one in again))

    assert [sorted(one) for one in sealed] == [["ciphertext", "key_version", "reference"]] * 5
    assert [one["reference"] for one in sealed] == ["0", "1", "2", "3", "4"]
    assert [one["key_version"] for one in again] == [2] * 5
    assert opened == [{"plaintext": b64(str(n)), "reference": ""} for n in range(5)]


def test_items_have_versions_and_associated_data_of_their_own(bench):
    """What stands beside the batch is not theirs."""
    bench.post("keys/k/rotate")
    items = [{"plaintext": "", "key_version": 1}, {"plaintext": "", "associated_data": b64("a")}]
    first, second = batch(bench, "encrypt/k", *items, key_version=7, plaintext="!")

    assert (first["key_version"], second["key_version"]) == (1, 2)
    opened = batch(bench, "decrypt/k", first, second | {"associated_data": b64("a")})
    assert [one["plaintext"] for one in opened] == ["", ""]
    assert batch(bench, "decrypt/k", second, status=400) == [
        {"error": "cipher: message authentication failed", "reference": ""}
    ]


def test_a_partly_bad_batch_is_400_with_its_results(bench):
    """Whoever wants another status for that gets it, but not where all failed."""
    good = {"plaintext": b64("x")}
    results = batch(bench, "encrypt/k", good, BAD, status=400)

    assert (sorted(results[0]), results[1]) == (["ciphertext", "key_version", "reference"], BAD_RESULT)
    assert batch(bench, "encrypt/k", good, BAD, status=202, partial_failure_response_code=202)[1] == BAD_RESULT
    assert batch(bench, "encrypt/k", BAD, BAD, status=400, partial_failure_response_code=202) == [BAD_RESULT] * 2
    assert len(batch(bench, "encrypt/k", good, good, partial_failure_response_code=202)) == 2


@pytest.mark.parametrize("status", [-1, 0, 100, 199, 204, 205, 304, 600])
def test_a_status_that_has_no_body_is_not_taken(bench, status):
    """400 as without, and a warning."""
    body = {"batch_input": [{"plaintext": ""}, BAD], "partial_failure_response_code": status}
    answer = bench.ask("update", "encrypt/k", body)

    text = "invalid HTTP response code override from partial_failure_response_code, reverting to 400"
    assert (answer.status, answer.warnings) == (400, [text])


def test_decryptions_fail_one_by_one(bench):
    """Also those that have nothing to decrypt."""
    (sealed,) = batch(bench, "encrypt/k", {"plaintext": b64("x")})
    results = batch(bench, "decrypt/k", sealed, {"ciphertext": ""}, {"ciphertext": "x"}, status=400)

    assert results[0]["plaintext"] == b64("x")
    assert [one["error"] for one in results[1:]] == ["missing ciphertext to decrypt", "invalid ciphertext: no prefix"]
    rewrapped = batch(bench, "rewrap/k", sealed, {"ciphertext": "x"})
    assert ["error" in one for one in rewrapped] == [False, True]


def test_signatures_and_macs_come_in_batches(bench):
    """200 with the failures in their places."""
    signed = batch(bench, "sign/s", {"input": b64("a")}, {"input": "!"}, {}, {"input": b64("b"), "reference": "r"})
    items = [{"input": b64(text), "signature": signed[at]["signature"]} for at, text in ((0, "a"), (3, "b"), (0, "b"))]
    maced = batch(bench, "hmac/k", {"input": b64("a")}, {}, {"input": "!"})

    assert [sorted(one) for one in signed] == [
        ["key_version", "reference", "signature"], ["error", "reference"], ["error", "reference"],
        ["key_version", "reference", "signature"],
    ]  # fmt: skip
    assert (signed[2]["error"], signed[3]["reference"]) == ("missing input", "r")
    assert [one["valid"] for one in batch(bench, "verify/s", *items)] == [True, True, False]
    assert [one.get("error", "")[:7] for one in maced] == ["", "missing", "unable "]
    mac = maced[0]["hmac"]
    checked = batch(
        bench, "verify/k", {"input": b64("a"), "hmac": mac}, {"input": b64("b"), "hmac": mac}, {"hmac": "x"}
    )
    assert [one.get("valid") for one in checked] == [True, False, None]


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (
            [{"input": "", "signature": "x"}, {"input": "", "hmac": "x"}],
            "must all provide 'signature' or all provide 'hmac'",
        ),
        ([{"input": "", "signature": "x"}, {"input": ""}], "some elements of batch_input are missing 'signature'"),
        ([{"input": "", "hmac": "x"}, {"input": ""}], "some elements of batch_input are missing 'hmac'"),
        ([{"input": ""}], "no batch_input elements have 'signature' or 'hmac'"),
    ],
)
def test_signatures_and_macs_do_not_mix(bench, items, text):
    """One batch verifies one kind."""
    assert bench.no("verify/s", batch_input=items)[1].endswith(text)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "missing batch input to process"),
        ("x", "failed to parse batch input: source data must be an array or slice, got string"),
        ([1], "failed to parse batch input: [0] expected a map, got 'json.Number'"),
        ([{}], "failed to parse batch input: '[0].plaintext' missing plaintext to encrypt"),
        (
            [{"plaintext": ""}, {"plaintext": 1}],
            "failed to parse batch input: '[1].plaintext' expected type 'string', got unconvertible type 'json.Number'",
        ),
        (
            [{"plaintext": "", "key_version": "planted"}],
            "failed to parse batch input: '[0].key_version' expected type 'int'",
        ),
        (
            [{"plaintext": "", "context": "AAAA"}, {"plaintext": ""}],
            "context should be set either in all the request blocks or in none",
        ),
    ],
)
def test_what_is_no_batch_is_refused_whole(bench, given, text):
    """Before anything is done, without repeating what was sent."""
    assert bench.no("encrypt/k", batch_input=given) == (400, text)


def test_no_batch_is_the_parameters_themselves(bench):
    """`null` counts as none."""
    assert bench.post("encrypt/k", batch_input=None, plaintext="")["ciphertext"].startswith("vault:v1:")


def test_a_batch_is_no_longer_than_a_turn(bench):
    """So many items with that type of key; one more is refused whole."""
    bench.make("r", "rsa-2048")
    most = key_type("rsa-2048").items_max(Work.PRIVATE)
    item = {"input": ""}

    assert len(batch(bench, "sign/r", *[item] * most)) == most
    text = f"batch_input has more than {most} items, the most with a key of type rsa-2048"
    assert bench.no("sign/r", batch_input=[item] * (most + 1)) == (400, text)
    ciphertext = bench.encrypt("r")
    both = key_type("rsa-2048").items_max(Work.BOTH)
    assert bench.no("decrypt/r", batch_input=[{"ciphertext": ciphertext}] * (most + 1))[0] == 400
    assert bench.no("rewrap/r", batch_input=[{"ciphertext": ciphertext}] * (both + 1))[0] == 400
    assert len(batch(bench, "encrypt/r", *[{"plaintext": ""}] * 50)) == 50


def test_too_many_items_for_any_key_are_refused_before_one_is_looked_at(bench):
    """None of these is an item at all: the first would be refused for that."""
    text = f"batch_input has more than {ITEMS_MAX} items, the most with any key"

    for path in ("encrypt/k", "decrypt/k", "rewrap/k", "sign/s", "verify/s", "hmac/k"):
        assert bench.no(path, batch_input=[1] * (ITEMS_MAX + 1)) == (400, text)
        assert bench.no(path, batch_input=[1] * ITEMS_MAX)[1].startswith("failed to parse batch input: [0]")
    assert len(batch(bench, "hmac/k", *[{"input": ""}] * ITEMS_MAX)) == ITEMS_MAX


def test_an_item_shows_nothing():
    """It holds plaintext."""
    assert repr(Item({"plaintext": "planted"}, context=b"planted")) == "<Item with 1 texts>"


# ---- base64
@pytest.mark.parametrize("text", ["", "AA==", "AAA=", "AAAA", "A\nA\r\n==", "+/+/"])
def test_base64_is_decoded_as_go_does(text):
    """Line ends do not count."""
    assert decode(text) == unb64(text.replace("\n", "").replace("\r", ""))
    assert decode(encode(decode(text))) == decode(text)


@pytest.mark.parametrize("text", ["A", "AA", "AA=", "A===", "AA==A", "-_-_", "AA AA", "\u20ac"])
def test_what_is_no_base64_is_refused_without_repeating_it(text):
    """Only where."""
    with pytest.raises(Refusal) as caught:
        decode(text)
    assert caught.value.texts[0].startswith("illegal base64 data at input byte ")


def test_url_safe_base64_has_no_padding():
    """And nothing of the other alphabet."""
    assert decode_url_safe(encode_url_safe(b"\xfb\xff\xfe\x01")) == b"\xfb\xff\xfe\x01"
    assert [decode_url_safe(text) for text in ("AA==", "+/", "A", "a b")] == [None] * 4


# ---- the table of routes
READS = [
    ("update", "decrypt/k"), ("update", "rewrap/k"), ("update", "datakey/plaintext/k"), ("update", "sign/k"),
    ("update", "sign/k/sha2-256"), ("update", "verify/k"), ("update", "verify/k/sha2-256"), ("update", "hmac/k"),
    ("update", "hmac/k/sha2-256"), ("update", "random"), ("update", "random/16"), ("update", "hash"),
    ("read", "keys/k"), ("list", "keys/"), ("read", "export/hmac-key/k"), ("read", "export/hmac-key/k/1"),
    ("read", "cache-config"), ("read", "config/keys"), ("update", "encrypt/k"),
]  # fmt: skip
WRITES = [
    ("update", "keys/k"), ("update", "keys/k/config"), ("update", "keys/k/rotate"),
    ("update", "keys/k/trim"), ("delete", "keys/k"), ("read", "backup/k"), ("update", "restore"),
    ("update", "restore/k"), ("update", "cache-config"), ("update", "config/keys"),
]  # fmt: skip


def test_only_what_may_change_something_goes_to_the_leader(bench):
    """A POST that changes nothing is a read."""
    assert [one for one in READS if bench.engine.is_write(Operation(one[0]), one[1])] == []
    assert [one for one in WRITES if not bench.engine.is_write(Operation(one[0]), one[1])] == []


@pytest.mark.parametrize(("operation", "path"), [one for one in (*READS, *WRITES) if one[1] != "keys/"])
def test_every_path_has_its_operations_and_no_others(bench, operation, path):
    """405 with the wrong one, 404 for a path that is not there."""
    allowed = {one for one, other in (*READS, *WRITES) if other == path}
    for wrong in {"read", "update", "delete", "patch", "list"} - allowed:
        assert bench.refused(wrong, path, None if wrong in {"read", "list", "delete"} else {}).status == 405
    assert bench.refused(operation, f"x{path}", None).status == 404


def test_unknown_parameters_are_named_in_a_warning(bench):
    """The known ones are not."""
    body = {"plaintext": "", "planted": 1, "name": "x", "context": "", "type": "rsa"}
    warnings = bench.ask("update", "encrypt/k", body).warnings

    assert warnings == [
        "Endpoint ignored these unrecognized parameters: [planted]",
        "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [name]",
    ]


def test_a_wrong_type_of_a_parameter_is_refused_without_its_value(bench):
    """Field by field."""
    refusal = bench.refused("update", "encrypt/k", {"plaintext": {"planted": 1}})

    assert (refusal.status, "planted" in refusal.texts[0]) == (400, False)
    request = make_request(Operation.UPDATE, "transit/encrypt/k", b'{"plaintext": "planted')
    with pytest.raises(Refusal) as caught:
        bench.engine.decide(bench.context(), request, "encrypt/k")
    assert (caught.value.status, "planted" in caught.value.texts[0]) == (400, False)
