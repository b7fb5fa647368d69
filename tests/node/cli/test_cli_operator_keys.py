"""`operator rotate`, `key-status`, `rekey`, `generate-root`: which path is asked, what is printed, where keys go."""

from __future__ import annotations

import pytest

from node.cli.operator_keys import decode_token
from node.generate_root import encode

TOKEN, OTP = "hvs." + "a" * 24, "b" * 28
NO_TOKEN = {"STRONGROOM_TOKEN": None}
NEW = {"nonce": "n", "complete": True, "keys": ["aa"], "keys_base64": ["qg=="], "verification_required": False}


def envelope(data: object) -> tuple[int, dict[str, object]]:
    return 200, {"request_id": "r", "data": data}


@pytest.fixture(autouse=True)
def _shamir(api):
    """The cluster has people's shares unless a test says otherwise."""
    api.answers["GET /v1/sys/seal-status"] = (200, {"type": "shamir"})


def asked(api):
    return [line for line in api.seen if not line.endswith("seal-status")]


def test_rotate_says_which_term_seals_now(api, run):
    """Two requests: the rotation, and what became of it."""
    api.answers["PUT /v1/sys/rotate"] = (204, None)
    api.answers["GET /v1/sys/key-status"] = envelope({"term": 2, "install_time": "t", "encryptions": 0})
    result = run("operator", "rotate")

    assert (result.exit_code, api.seen) == (0, ["PUT /v1/sys/rotate", "GET /v1/sys/key-status"])
    assert "Key Term            2" in result.stdout
    assert run("operator", "key-status", "-field=term").stdout == "2"


def test_a_rotation_that_is_refused_is_2(api, run):
    """The twin: no status is asked for."""
    api.answers["PUT /v1/sys/rotate"] = (403, {"errors": ["permission denied"]})

    assert (run("operator", "rotate").exit_code, api.seen) == (2, ["PUT /v1/sys/rotate"])


@pytest.mark.parametrize(
    ("seal", "env", "words", "path"),
    [
        ("shamir", {}, [], "sys/rotate/root"),
        ("static", {}, [], "sys/rotate/recovery"),
        ("shamir", {}, ["-target=recovery"], "sys/rotate/recovery"),
        ("shamir", NO_TOKEN, [], "sys/rekey"),
        ("static", NO_TOKEN, [], "sys/rekey-recovery-key"),
    ],
)
def test_the_path_of_a_rekey_follows_token_and_seal(api, run, seal, env, words, path):
    """With a token the paths that every server has, without one the old ones."""
    api.answers["GET /v1/sys/seal-status"] = (200, {"type": seal})
    api.answers[f"GET /v1/{path}/init"] = envelope({"started": False})
    result = run("operator", "rekey", "-status", *words, env=env)

    assert (result.exit_code, asked(api)) == (0, [f"GET /v1/{path}/init"])


def test_a_rekey_begins_as_asked_and_warns_of_doing_without_verification(api, run):
    """The numbers go out; nothing is said of the new keys yet."""
    api.answers["PUT /v1/sys/rotate/root/init"] = envelope({"nonce": "n", "started": True})
    plain = run("operator", "rekey", "-init", "-n=3", "-t=2")
    verified = run("operator", "rekey", "-init", "-n=3", "-t=2", "-verify")

    bodies = [request.body for request in api.requests if request.method == "PUT"]
    wish = {"secret_shares": 3, "secret_threshold": 2, "backup": False}
    assert bodies == [wish | {"require_verification": False}, wish | {"require_verification": True}]
    assert ("WARNING" in plain.stderr, "WARNING" in verified.stderr) == (True, False)


def test_keys_are_given_until_the_rekey_is_complete(api, run):
    """The nonce is asked for; new keys are printed once; keys beyond the threshold are not sent, and none is shown."""
    api.answers["GET /v1/sys/rotate/root/init"] = envelope({"nonce": "n", "started": True})
    api.answers["PUT /v1/sys/rotate/root/update"] = envelope(NEW | {"old_keys_open_backups_before_index": 7})
    result = run("operator", "rekey", stdin="share-a\nshare-b\n")

    assert (result.exit_code, result.stdout) == (0, "Key 1: qg==\n")
    assert [request.body for request in api.requests if request.method == "PUT"] == [{"key": "share-a", "nonce": "n"}]
    assert "before index 7" in result.stderr
    assert "share-" not in result.stdout + result.stderr


def test_a_rekey_with_too_few_keys_is_2(api, run):
    """The twin, with the nonce given: nothing else is asked."""
    api.answers["PUT /v1/sys/rotate/root/update"] = envelope({"progress": 1, "required": 3, "nonce": "n"})
    result = run("operator", "rekey", "-nonce=n", stdin="share-a\n")

    assert (result.exit_code, asked(api)) == (2, ["PUT /v1/sys/rotate/root/update"])
    assert "1 of 3 keys" in result.stderr


def test_new_keys_of_an_unknown_outcome_are_printed(api, run):
    """They may be all that opens the cluster; it is no success all the same."""
    told = {"errors": ["nobody knows"], "data": NEW | {"complete": False}, "applied": "unknown"}
    api.answers["PUT /v1/sys/rotate/root/update"] = (504, told)
    result = run("operator", "rekey", "-nonce=n", stdin="share-a\n")
    api.answers["PUT /v1/sys/rotate/root/update"] = (504, {"errors": ["nobody knows"], "applied": "unknown"})
    without = run("operator", "rekey", "-nonce=n", stdin="share-a\n")

    assert (result.exit_code, result.stdout, "nobody knows" in result.stderr) == (3, "Key 1: qg==\n", True)
    assert (without.exit_code, without.stdout) == (3, "")


def test_new_keys_come_back_to_be_verified(api, run):
    """First nothing has changed; then it has."""
    api.answers["PUT /v1/sys/rotate/root/update"] = envelope(NEW | {"verification_required": True})
    api.answers["GET /v1/sys/rotate/root/verify"] = envelope({"nonce": "v", "started": True})
    api.answers["PUT /v1/sys/rotate/root/verify"] = envelope({"nonce": "v", "complete": True})
    first = run("operator", "rekey", "-nonce=n", stdin="old\n")
    second = run("operator", "rekey", "-verify", stdin="new\n")

    assert ("Nothing has changed yet" in first.stderr, "Success" in second.stderr) == (True, True)
    assert api.requests[-1].body == {"key": "new", "nonce": "v"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["rekey", "-cancel"], "DELETE /v1/sys/rotate/root/init"),
        (["rekey", "-backup-retrieve"], "GET /v1/sys/rotate/root/backup"),
        (["rekey", "-backup-delete"], "DELETE /v1/sys/rotate/root/backup"),
        (["rekey", "-status", "-verify"], "GET /v1/sys/rotate/root/verify"),
        (["generate-root", "-cancel"], "DELETE /v1/sys/generate-root-token/attempt"),
        (["generate-root", "-status"], "GET /v1/sys/generate-root-token/attempt"),
    ],
)
def test_single_requests(api, run, words, line):
    """One option, one request; what the server refuses is 2."""
    api.answers[line] = (200, {"data": {}})
    assert (run("operator", *words).exit_code, asked(api)) == (0, [line])
    api.answers[line] = (400, {"errors": ["no"]})
    assert run("operator", *words).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["rekey", "-init", "-cancel"],
        ["rekey", "-init", "-n=2", "-t=3"],
        ["generate-root", "-init", "-status"],
        ["generate-root", "-decode=x"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(api, run, words):
    """Nothing is begun."""
    assert (run("operator", *words).exit_code, asked(api)) == (1, [])


@pytest.mark.parametrize("words", [["rekey"], ["generate-root"]])
def test_nothing_under_way_says_how_to_begin(api, run, words):
    """No key is asked for."""
    api.answers["GET /v1/sys/rotate/root/init"] = envelope({"started": False})
    api.answers["GET /v1/sys/generate-root-token/attempt"] = envelope({"started": False})
    result = run("operator", *words, stdin="share\n")

    assert (result.exit_code, f"{words[0]} -init" in result.stderr) == (1, True)
    assert not [request for request in api.requests if request.method == "PUT"]


def test_a_root_token_is_begun_given_keys_and_decoded_here(api, run):
    """The password is printed once; the last key brings the encoded token; decoding asks nobody."""
    api.answers["PUT /v1/sys/generate-root-token/attempt"] = envelope({"nonce": "n", "otp": OTP, "started": True})
    done = {"complete": True, "encoded_token": encode(TOKEN, OTP.encode())}
    api.answers["PUT /v1/sys/generate-root-token/update"] = envelope(done)
    begun = run("operator", "generate-root", "-init", "-field=otp")
    given = run("operator", "generate-root", "-nonce=n", "-field=encoded_token", stdin="share\n")
    count = len(api.seen)
    decoded = run("operator", "generate-root", "-decode", given.stdout, "-otp", begun.stdout)

    assert (decoded.exit_code, decoded.stdout, len(api.seen)) == (0, f"{TOKEN}\n", count)


def test_without_a_token_the_old_path_of_generate_root_is_asked(api, run):
    """An own password goes along; too few keys are 2."""
    api.answers["PUT /v1/sys/generate-root/attempt"] = (200, {"nonce": "n", "started": True})
    api.answers["PUT /v1/sys/generate-root/update"] = (200, {"complete": False, "progress": 1, "required": 2})
    run("operator", "generate-root", "-init", f"-otp={OTP}", env=NO_TOKEN)
    result = run("operator", "generate-root", "-nonce=n", stdin="share\n", env=NO_TOKEN)

    assert (api.requests[0].body, result.exit_code) == ({"otp": OTP}, 2)


@pytest.mark.parametrize("pair", [("AAAA", OTP), ("no base64!", OTP), (encode(TOKEN, OTP.encode()), "c" * 27)])
def test_what_does_not_fit_is_not_decoded(run, pair):
    """A local error that shows neither."""
    result = run("operator", "generate-root", "-decode", pair[0], "-otp", pair[1])

    assert (result.exit_code, result.stdout) == (1, "")
    assert decode_token(encode(TOKEN, OTP.encode()), OTP) == TOKEN
