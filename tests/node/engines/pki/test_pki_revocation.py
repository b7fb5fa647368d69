"""Revocation: by serial number, by certificate, with a lease; the list of it, and what is removed when all is over."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cluster import Table, Transaction
from cluster.state.overlay import Overlay
from node.engines import entries
from node.engines.base import Caller, Context
from node.engines.pki import crl, revocations, revoke
from node.engines.pki.authority import read_serial
from node.engines.pki.engine import PkiEngine
from node.engines.pki.stored import has_died
from node.engines.system.mount_table import find_mount
from tests.node.auth.world import make_request
from tests.node.engines.pki.site import DOMAIN, PkiWorld, extension, keys_of, number, pem

DAY_S = 86_400


def here(world: PkiWorld, *, token_key: bytes | None = None, view=None) -> Context:
    """As a request to `pki/` would be decided in this very state, or another view."""
    found = find_mount(world.state, "pki/")
    assert found is not None
    caller = Caller(token_key=token_key)
    return Context(
        world.state if view is None else view, world.now_ns, world.random, world.keys, caller, "pki/", found[2]
    )


def leased(world: PkiWorld, **options) -> tuple[str, str]:
    """(serial number, lease id) of a certificate with a lease."""
    answer = world.issue("leased", **options)
    return answer.data["serial_number"], answer.lease_id


@pytest.fixture
def world() -> PkiWorld:
    world = PkiWorld()
    world.role()
    world.role("leased", generate_lease=True)
    return world


# ---- by itself
def test_a_revoked_certificate_is_on_the_list_and_says_so(world):
    """At once, with its time; another is not, and a repetition changes nothing."""
    good, bad = world.issue().data, world.issue().data
    answer = world.data("update", "pki/revoke", {"serial_number": bad["serial_number"]})
    world.pass_time(60)
    again = world.data("update", "pki/revoke", {"serial_number": bad["serial_number"].replace(":", "-").upper()})

    assert answer == again
    assert answer["state"] == "revoked"
    assert world.revoked() == [number(bad["serial_number"])]
    assert world.data("read", f"pki/cert/{bad['serial_number']}")["revocation_time"] == answer["revocation_time"]
    assert world.data("read", f"pki/cert/{good['serial_number']}")["revocation_time"] == 0
    assert keys_of(world.ask("list", "pki/certs/revoked/")) == [bad["serial_number"]]
    [entry] = list(world.crl)
    assert int(entry.revocation_date_utc.timestamp()) == answer["revocation_time"]


def test_a_certificate_that_is_not_stored_is_revoked_by_itself(world):
    """It has the authority's signature, that is enough; a stranger's is refused."""
    world.role("quick", no_store=True)
    text = world.issue("quick").data["certificate"]
    stranger = PkiWorld()
    stranger.role()
    other = stranger.issue().data["certificate"]

    assert world.data("update", "pki/revoke", {"certificate": text})["state"] == "revoked"
    assert world.revoked() == [pem(text).serial_number]
    assert world.refused("update", "pki/revoke", {"certificate": other})[:2] == (
        400, "the certificate is none of this mount's authority",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "must provide either serial_number or certificate, and not both"),
        ({"serial_number": "aa:bb", "certificate": "x"}, "must provide either serial_number or certificate, and not"),
        ({"serial_number": "aa:bb"}, "certificate with serial aa:bb not found."),
        ({"serial_number": "../ca"}, "certificate with serial ../ca not found."),
        ({"serial_number": "s" * 40}, "certificate with serial ... not found."),
        ({"certificate": "x"}, "the certificate is none of this mount's authority"),
        ({"certificate": "x" * 65_537}, "the certificate is longer than 65536 bytes"),
    ],
)
def test_what_is_not_there_cannot_be_revoked(world, body, text):
    """It is refused, and never answered as if it were done."""
    refusal = world.refused("update", "pki/revoke", body)

    assert (refusal[0], refusal[1][: len(text)]) == (400, text)


def test_an_authority_does_not_stand_on_its_own_list(world):
    """Who does not believe it any more does not believe its list either."""
    [serial] = keys_of(world.ask("list", "pki/certs/"))

    assert world.refused("update", "pki/revoke", {"serial_number": serial}) == (
        400, "adding issuer (root certificate) to its own CRL is not allowed", False,
    )  # fmt: skip


def test_a_certificate_of_a_version_that_is_not_there_is_refused(world):
    """The library has an error of its own for that; nothing of it is shown."""
    certificate = pem(world.issue().data["certificate"])
    der = bytearray(certificate.public_bytes(Encoding.DER))
    der[der.index(b"\xa0\x03\x02\x01\x02") + 4] = 7
    body = base64.encodebytes(bytes(der)).decode()

    assert world.refused(
        "update", "pki/revoke", {"certificate": f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"}
    )[:2] == (400, "the certificate is none of this mount's authority")


def test_what_has_ended_is_not_revoked_and_leaves_the_list_a_day_later(world):
    """A list names those that would be believed without it, also by whoever has a slow clock."""
    serial = world.issue(ttl="1h").data["serial_number"]
    late = world.issue(ttl="1h").data["serial_number"]
    world.ask("update", "pki/revoke", {"serial_number": serial})
    before = world.revoked()
    world.pass_time(3601)
    answer = world.ask("update", "pki/revoke", {"serial_number": late})
    ended = world.revoked()
    listed = world.refused("list", "pki/certs/revoked/")
    world.pass_time(DAY_S - 2)
    world.ask("update", "pki/tidy", {"tidy_revoked_certs": True, "safety_buffer": "1s"})
    last = world.revoked()
    world.pass_time(2)

    assert (before, ended, last, world.revoked()) == ([number(serial)], [number(serial)], [number(serial)], [])
    assert listed == (404, "", False)
    world.ask("update", "pki/tidy", {"tidy_revoked_certs": True, "safety_buffer": "1s"})
    assert entries.names(here(world), "revoked/") == []
    assert answer.warnings == [f"certificate with serial {late} already expired; refusing to add to CRL"]


# ---- with a lease
def test_a_leased_certificate_lives_as_long_as_its_lease(world):
    """The lease ends with the certificate, cannot be renewed, and its revocation is the certificate's."""
    answer = world.issue("leased", ttl="1h")
    serial = answer.data["serial_number"]

    assert answer.lease_id.startswith("pki/issue/leased/")
    assert (answer.lease_duration_s, answer.renewable) == (3600, False)
    assert world.refused("update", "sys/leases/renew", {"lease_id": answer.lease_id})[1] == "lease is not renewable"
    assert world.revoked() == []
    assert world.ask("update", "sys/leases/revoke", {"lease_id": answer.lease_id}).empty
    assert world.revoked() == [number(serial)]
    assert world.data("read", f"pki/cert/{serial}")["revocation_time"] > 0
    assert keys_of(world.ask("list", "pki/certs/revoked/")) == [serial]


def test_every_way_in_which_a_lease_dies_revokes_its_certificate(world):
    """By its id, by its prefix, with the token, with the token's parent, with the token's end; one that lives stays."""
    parent = world.make({"policies": ["pki"]})
    update = 'path "{}" {{ capabilities = ["update"] }}'
    world.policy("pki", update.format("pki/*") + update.format("auth/token/create"))
    child = world.make({"policies": ["pki"]}, token=parent)
    brief = world.make({"policies": ["pki"], "ttl": "1h"})
    kept = leased(world)[0]
    of_child, of_brief = leased(world, token=child)[0], leased(world, token=brief)[0]
    by_id, lease_id = leased(world)
    found = [world.revoked()]
    world.ask("update", "sys/leases/revoke", {"lease_id": lease_id})
    found.append(world.revoked())
    world.ask("update", "auth/token/revoke", {"token": parent})
    found.append(world.revoked())
    world.pass_time(3600)
    found.append(world.revoked())
    world.sweep()
    found.append(world.revoked())
    world.ask("update", "sys/leases/revoke-prefix/pki/issue")
    last = world.revoked()

    dead = [number(by_id), number(of_child), number(of_brief)]
    assert found == [[], sorted(dead[:1]), sorted(dead[:2]), sorted(dead), sorted(dead)]
    assert last == sorted([*dead, number(kept)])


def test_a_prefix_revokes_at_once_and_its_sweep_changes_nothing(world):
    """The certificates stay on the list when their leases are gone, and those issued afterwards are not on it."""
    before = [number(leased(world)[0]) for _ in range(5)]
    world.ask("update", "sys/leases/revoke-prefix/pki")
    at_once = world.revoked()
    later, _ = leased(world)
    world.sweep()

    assert at_once == world.revoked() == sorted(before)
    assert world.count(Table.LEASE) == 1
    assert number(later) not in world.revoked()


def test_a_mount_that_moved_lists_what_was_leased_where_it_was(world):
    """The leases under the old path are revoked with it; those made at the new one live."""
    serial, lease_id = leased(world)
    there = "there/issue/leased/" + lease_id[-24:]
    world.put_lease(there)
    context = Context(world.state, world.now_ns, world.random, world.keys, Caller(), "pki/")

    assert [has_died(context, one) for one in (lease_id, there)] == [False, True]
    world.ask("update", "sys/remount", {"from": "pki", "to": "moved"})
    crl = x509.load_der_x509_crl(world.ask("read", "moved/crl", token=None).raw.body)
    again = world.ask("update", "moved/issue/leased", {"common_name": f"a.{DOMAIN}"})
    crl_after = x509.load_der_x509_crl(world.ask("read", "moved/crl", token=None).raw.body)

    assert [[entry.serial_number for entry in found] for found in (crl, crl_after)] == [[number(serial)]] * 2
    assert again.lease_id.startswith("moved/issue/leased/")


def test_an_explicit_revocation_ends_the_lease(world):
    """And keeps its own time, whatever becomes of the lease."""
    serial, lease_id = leased(world)
    world.pass_time(60)
    answer = world.data("update", "pki/revoke", {"serial_number": serial})

    assert world.lease(lease_id) is None
    assert entries.names(here(world), "leased/") == []
    assert world.data("read", f"pki/cert/{serial}")["revocation_time"] == answer["revocation_time"]
    assert world.revoked() == [number(serial)]


def test_a_token_gets_no_leased_certificate_for_its_last_use(world):
    """Nothing is issued; with a use left it is, and a certificate without a lease needs none left."""
    world.policy("pki", 'path "pki/issue/*" { capabilities = ["update"] }')
    one, two, plain = (world.make({"policies": ["pki"], "num_uses": uses}) for uses in (1, 2, 1))
    before = len(keys_of(world.ask("list", "pki/certs/")))

    assert world.refused("update", "pki/issue/leased", {"common_name": f"a.{DOMAIN}"}, token=one) == (
        400,
        "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.",
        False,
    )
    assert len(keys_of(world.ask("list", "pki/certs/"))) == before
    assert not world.works(one)
    assert leased(world, token=two)[1]
    assert world.issue(token=plain).data
    assert world.revoked() == []


def test_a_token_that_is_made_again_under_its_id_brings_nothing_back(world):
    """What died with the first stays on the list; what the second is given lives."""
    world.policy("pki", 'path "pki/issue/*" { capabilities = ["update"] }')
    body = {"id": "chosen", "policies": ["pki"]}
    serial, _ = leased(world, token=world.make(body))
    before = world.revoked()
    world.ask("update", "auth/token/revoke", {"token": "chosen"})
    dead = world.revoked()
    world.make(body)
    again, _ = leased(world, token="chosen")

    assert (before, dead, world.revoked()) == ([], [number(serial)], [number(serial)])
    assert world.data("read", f"pki/cert/{serial}")["revocation_time"] > 0
    assert world.data("read", f"pki/cert/{again}")["revocation_time"] == 0
    assert keys_of(world.ask("list", "pki/certs/revoked/")) == [serial]


def test_certificates_whose_leases_died_make_room_for_others(world, monkeypatch):
    """They stay on the list, with the time they had, and for good: by then they are revoked by themselves."""
    monkeypatch.setattr(revocations, "LEASED_MAX", 3)
    monkeypatch.setattr(revocations, "_MOVED_MAX", 1)
    serials, ids = zip(*(leased(world) for _ in range(3)), strict=True)
    for lease_id in ids[:2]:
        world.ask("update", "sys/leases/revoke", {"lease_id": lease_id})
    before = {serial: world.data("read", f"pki/cert/{serial}") for serial in serials[:2]}
    named = world.revoked()
    for _ in range(2):
        leased(world)

    assert len(entries.names(here(world), "leased/")) == 3
    assert len(entries.names(here(world), "revoked/")) == 2
    assert {serial: world.data("read", f"pki/cert/{serial}") for serial in serials[:2]} == before
    assert named == world.revoked() == sorted(map(number, serials[:2]))
    assert world.refused("update", "pki/issue/leased", {"common_name": f"a.{DOMAIN}"})[0] == 400
    world.ask("update", "pki/revoke", {"serial_number": serials[2]})
    assert leased(world)
    assert world.revoked() == sorted(map(number, serials))


def test_room_is_not_made_where_the_list_would_become_too_long(world, monkeypatch):
    """What is dead stays where it is, and is on the list all the same."""
    monkeypatch.setattr(revocations, "LEASED_MAX", 1)
    monkeypatch.setattr(revocations, "REVOKED_MAX", 1)
    serial, lease_id = leased(world)
    plain = world.issue().data["serial_number"]
    world.ask("update", "pki/revoke", {"serial_number": plain})
    world.ask("update", "sys/leases/revoke", {"lease_id": lease_id})

    assert world.refused("update", "pki/issue/leased", {"common_name": f"a.{DOMAIN}"})[0] == 400
    assert world.revoked() == sorted([number(serial), number(plain)])


def test_there_are_not_more_revoked_certificates_than_a_list_can_look_at(world, monkeypatch):
    """Revoking the same one again is answered, and those that left the list do not count."""
    monkeypatch.setattr(revocations, "REVOKED_MAX", 2)
    serials = [world.issue(ttl="1h").data["serial_number"] for _ in range(2)]
    for serial in serials:
        world.ask("update", "pki/revoke", {"serial_number": serial})
    late = {"serial_number": world.issue(ttl="48h").data["serial_number"]}
    refusal = world.refused("update", "pki/revoke", late)

    assert (refusal[0], "has 2 revoked certificates on its list" in refusal[1]) == (400, True)
    assert world.data("update", "pki/revoke", {"serial_number": serials[0]})["state"] == "revoked"
    world.pass_time(DAY_S + 3601)
    assert world.data("update", "pki/revoke", late)["state"] == "revoked"
    assert world.revoked() == [number(late["serial_number"])]


def test_there_are_not_more_leased_certificates_than_a_list_can_look_at(world, monkeypatch):
    """Those that ended do not count."""
    monkeypatch.setattr(revocations, "LEASED_MAX", 2)
    for _ in range(2):
        leased(world, ttl="1h")
    text = world.refused("update", "pki/issue/leased", {"common_name": f"a.{DOMAIN}"})[1]
    world.pass_time(3601)

    assert text == "this mount has 2 living certificates with leases, and cannot have more"
    assert leased(world)


# ---- the list
def test_a_list_is_signed_numbered_and_dated(world):
    """Numbers grow, the authority is named, the time is that of the settings."""
    world.ask("update", "pki/config/crl", {"expiry": "2h"})
    first = world.crl
    world.ask("update", "pki/revoke", {"serial_number": world.issue().data["serial_number"]})
    world.pass_time(1)
    second = world.crl

    assert first.issuer == world.ca.subject
    assert second.next_update_utc - second.last_update_utc == dt.timedelta(hours=2)
    assert extension(second, x509.CRLNumber).crl_number > extension(first, x509.CRLNumber).crl_number
    named = extension(first, x509.AuthorityKeyIdentifier).key_identifier
    assert named == extension(world.ca, x509.SubjectKeyIdentifier).digest


def test_a_list_is_made_again_when_it_changes_or_half_its_time_is_over(world):
    """Otherwise it is the same, byte for byte, on and on."""
    world.ask("update", "pki/config/crl", {"expiry": "2h"})
    first = world.crl
    world.pass_time(3599)
    same = world.crl
    world.pass_time(1)
    late = world.crl
    world.ask("update", "pki/revoke", {"serial_number": world.issue().data["serial_number"]})

    assert first == same
    assert late.last_update_utc - first.last_update_utc == dt.timedelta(hours=1)
    assert len(list(world.crl)) == 1


def test_whoever_asks_with_a_token_sees_the_same_list(world):
    """Also one with limited uses, whose request is decided on what is only proposed."""
    serial = world.issue().data["serial_number"]
    limited = world.make({"policies": ["default"], "num_uses": 5})
    world.policy("default", 'path "pki/crl" { capabilities = ["read"] }')
    empty = x509.load_der_x509_crl(world.ask("read", "pki/crl", token=limited).raw.body)
    world.ask("update", "pki/revoke", {"serial_number": serial})
    full = [x509.load_der_x509_crl(world.ask("read", "pki/crl", token=who).raw.body) for who in (limited, "root", None)]

    assert len(list(empty)) == 0
    assert [[entry.serial_number for entry in found] for found in full] == [[number(serial)]] * 3


def test_what_is_read_with_a_token_takes_no_place_of_what_anybody_reads(world, monkeypatch):
    """Each is signed once for what it says, however they alternate; the same list is signed once for both."""
    signed = []
    real = crl.crl_bytes.signed_list
    monkeypatch.setattr(crl.crl_bytes, "signed_list", lambda *args, **rest: signed.append(1) or real(*args, **rest))
    serial = world.issue().data["serial_number"]
    ways = ("root", None, "root", None)
    first = {world.ask("read", "pki/crl", token=token).raw.body for token in ways}
    lists = world.engines["pki"]._lists
    request = make_request("update", "pki/revoke", {"serial_number": serial}, None)
    draft = world.engines["pki"].decide(here(world, token_key=b"k"), request, "revoke").draft
    proposed = Overlay(world.state)
    proposed.add(world.state.applied_index + 1, Transaction(1, 1, world.now_ns + 1, [], draft.puts, draft.drops))
    read = [
        lists.current(here(world, token_key=b"k", view=proposed)) if is_proposed else lists.current(here(world))
        for is_proposed in (True, False) * 3
    ]
    world.apply(draft)
    applied = [lists.current(here(world)), lists.current(here(world, token_key=b"k"))]

    assert (len(first), len(signed)) == (1, 2)
    assert read == [applied[0], *first] * 3
    assert applied == [applied[0]] * 2


def test_an_entry_is_opened_once_for_all_lists(world, monkeypatch):
    """Whatever else changes; one that is put anew under its name is opened anew."""
    for _ in range(3):
        world.ask("update", "pki/revoke", {"serial_number": world.issue().data["serial_number"]})
        leased(world)
    opened = []
    real = world.keys.open

    def counting(*args, key, **rest):
        if b"revoked/" in key or b"leased/" in key:
            opened.append(key)
        return real(*args, key=key, **rest)

    monkeypatch.setattr(world.keys, "open", counting)
    assert len(world.revoked()) == 3
    for _ in range(3):
        world.pass_time(1)
        world.role("other")
        world.revoked()
        world.ask("list", "pki/certs/revoked/")
    assert len(opened) == len(set(opened)) == 6
    world.ask("update", "pki/revoke", {"serial_number": world.issue().data["serial_number"]})
    assert len(world.revoked()) == 4
    assert len(opened) - 6 == 1


def test_a_later_list_has_a_higher_number_whatever_a_node_thinks_the_time_is(world):
    """Another node, an hour behind; one that names others although nothing was written; one that is only newer."""
    world.ask("update", "pki/config/crl", {"expiry": "2h"})
    brief = world.make({"policies": ["root"], "ttl": "1h"})

    def numbered(lists) -> int:
        der = lists.current(here(world))
        return extension(x509.load_der_x509_crl(der), x509.CRLNumber).crl_number

    this, other = world.engines["pki"]._lists, PkiEngine()._lists
    leased(world, token=brief)
    numbers = [numbered(this), numbered(other)]
    world.ask("update", "pki/revoke", {"serial_number": world.issue().data["serial_number"]})
    now_ns, world.now_ns = world.now_ns, world.now_ns - 3600 * 10**9
    numbers.append(numbered(other))
    world.now_ns = now_ns + 3600 * 10**9
    numbers.append(numbered(other))
    world.pass_time(3600)
    numbers.append(numbered(other))

    assert numbers[0] == numbers[1]
    assert numbers[1:] == sorted(set(numbers))
    assert numbers[0] > world.now_ns // 10**6


def test_a_list_that_is_switched_off_names_nobody(world):
    """And says so in its settings; switched on again it names all."""
    serial = world.issue().data["serial_number"]
    world.ask("update", "pki/revoke", {"serial_number": serial})
    world.ask("update", "pki/config/crl", {"disable": True})
    off = world.revoked()
    world.ask("update", "pki/config/crl", {"disable": False})

    assert (off, world.revoked()) == ([], [number(serial)])
    assert world.data("read", "pki/config/crl") == {"expiry": "72h", "disable": False}
    assert world.refused("update", "pki/config/crl", {"expiry": 0})[0] == 400


@pytest.mark.parametrize(
    ("expiry", "shown"), [("96h", "96h"), (7200, "7200"), ("1h30m", "1h30m"), ("1h" * 20, "20h0m0s")]
)
def test_how_long_a_list_is_good_is_shown_as_it_was_written(world, expiry, shown):
    """Who compares it with what they wrote finds no change; what is written at length is shown short."""
    world.ask("update", "pki/config/crl", {"expiry": expiry})

    assert world.data("read", "pki/config/crl")["expiry"] == shown


def test_a_new_authority_does_not_list_what_another_signed(world):
    """The old certificates are still there to be read."""
    serial = world.issue().data["serial_number"]
    dead, lease_id = leased(world)
    world.ask("update", "pki/revoke", {"serial_number": serial})
    world.ask("update", "sys/leases/revoke", {"lease_id": lease_id})
    before = world.revoked()
    world.ask("delete", "pki/root")
    world.data("update", "pki/root/generate/internal", {"common_name": "New", "key_type": "ec"})

    assert (before, world.revoked()) == (sorted([number(serial), number(dead)]), [])
    assert world.data("read", f"pki/cert/{serial}")["revocation_time"] > 0


def test_mounts_do_not_see_each_others_certificates(world):
    """Neither in lists nor by serial number."""
    world.mount("two")
    world.data("update", "two/root/generate/internal", {"common_name": "Two", "key_type": "ec"})
    serial = world.issue().data["serial_number"]

    assert world.refused("update", "two/revoke", {"serial_number": serial})[0] == 400
    world.ask("update", "pki/revoke", {"serial_number": serial})
    assert list(x509.load_der_x509_crl(world.ask("read", "two/crl", token=None).raw.body)) == []
    assert world.refused("read", f"two/cert/{serial}", token=None)[0] == 404


# ---- reading without a token
def test_what_anybody_may_read_is_served_without_a_token(world):
    """With the content types that clients look for."""
    serial = world.issue().data["serial_number"]
    types = {
        path: (answer.raw.content_type, answer.raw.body[:11])
        for path in ("ca", "ca/pem", "ca_chain", "crl", "crl/pem", f"cert/{serial}/raw", f"cert/{serial}/raw/pem")
        if (answer := world.ask("read", f"pki/{path}", token=None)).raw
    }
    der, text = "application/pkix-cert", "application/pem-certificate-chain"

    assert {path: found[0] for path, found in types.items()} == {
        "ca": der, "ca/pem": text, "ca_chain": text, "crl": "application/pkix-crl", "crl/pem": "application/x-pem-file",
        f"cert/{serial}/raw": der, f"cert/{serial}/raw/pem": text,
    }  # fmt: skip
    assert {path for path, found in types.items() if found[1] == b"-----BEGIN "} == {
        "ca/pem", "ca_chain", "crl/pem", f"cert/{serial}/raw/pem",
    }  # fmt: skip
    for path in ("ca/pem", "ca_chain", "crl/pem", f"cert/{serial}/raw/pem"):
        assert world.ask("read", f"pki/{path}", token=None).raw.body.endswith(b"-----")  # no line end, as in Vault
    for name in ("ca", "ca_chain", "crl", serial):
        assert world.data("read", f"pki/cert/{name}", token=None)["certificate"].startswith("-----BEGIN ")
    assert world.ask("read", "pki/cert/aa:bb/raw", token=None).raw.status == 204
    assert world.data("read", "pki/crl/rotate") == {"success": True}


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("list", "pki/certs/"), ("list", "pki/certs/revoked/"), ("read", "pki/roles/web"), ("list", "pki/roles/"),
        ("read", "pki/config/urls"), ("read", "pki/crl/rotate"), ("update", "pki/issue/web"), ("update", "pki/revoke"),
        ("delete", "pki/root"), ("update", "pki/cert/aa"), ("read", "kv/ca"), ("update", "pki/tidy"),
    ],
)  # fmt: skip
def test_nothing_else_is_served_without_a_token(world, operation, path):
    """Neither other paths, nor other operations, nor the same names in a mount of another type."""
    world.ask("update", "sys/mounts/kv", {"type": "kv"})

    assert world.refused(operation, path, {} if operation == "update" else None, token=None)[:2] == (
        403, "permission denied",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "serial"),
    [("0A:0b", "0a0b"), ("0a-0b", "0a0b"), (" 0a0b ", "0a0b"), ("", ""), ("0a:b", ""), ("0g", ""), ("a" * 66, "")],
)
def test_a_serial_number_is_read_as_people_write_it(text, serial):
    """What is none finds nothing."""
    assert read_serial(text) == serial


# ---- tidy
def test_tidy_removes_what_ended_before_the_buffer_and_nothing_else(world):
    """The certificate with all that is kept of it; those that live, and those that ended a moment ago, stay."""
    for name in ("web", "leased"):
        world.issue(name, ttl="1h")
    world.ask("update", "pki/revoke", {"serial_number": world.issue(ttl="1h").data["serial_number"]})
    world.pass_time(3601)
    world.issue(ttl="1h")
    world.sweep()
    entries = world.count(Table.ENTRY)
    body = {"tidy_cert_store": True, "tidy_revoked_certs": True}
    early = world.ask("update", "pki/tidy", body)
    world.pass_time(3 * DAY_S)
    nothing = world.ask("update", "pki/tidy", {})
    kept = world.count(Table.ENTRY)
    world.ask("update", "pki/tidy", body | {"safety_buffer": "71h"})

    assert (early.status, nothing.status, kept) == (202, 202, entries)
    # Three certificates with a mark each, one lease's note, one revocation. The fourth ended just at the buffer.
    assert world.count(Table.ENTRY) == entries - 8
    assert len(keys_of(world.ask("list", "pki/certs/"))) == 2


def test_tidy_goes_on_when_it_is_asked_again(world, monkeypatch):
    """Each time one transaction; the oldest first."""
    monkeypatch.setattr(revoke, "TIDY_MAX", 2)
    serials = [world.issue(ttl=f"{hours}h").data["serial_number"] for hours in (3, 1, 2)]
    world.pass_time(DAY_S)
    body = {"tidy_cert_store": True, "safety_buffer": "1s"}
    warnings = [len(world.ask("update", "pki/tidy", body).warnings)]
    left = keys_of(world.ask("list", "pki/certs/"))
    warnings.append(len(world.ask("update", "pki/tidy", body).warnings))

    assert warnings == [2, 1]
    assert serials[0] in left
    assert len(left) == 2
    assert len(keys_of(world.ask("list", "pki/certs/"))) == 1
