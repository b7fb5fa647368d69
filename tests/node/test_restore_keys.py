"""What opens a backup of a cluster that another vault opens: that vault, or recovery keys."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from cluster import NewSeal, SystemRandom, Transit, TransitSettings, WrongKeyError
from cluster.keyring import initialise
from cluster.keyring.unsealers.transit import Said
from node.cli.backup_options import keys_asked, keys_of
from node.cli.failures import LocalError
from node.restore.keys import Keys


class Other:
    """The other vault, which may be away."""

    def __init__(self) -> None:
        self.status = 200

    def __call__(self, path: str, _token: str, body: bytes) -> Said:
        fields = json.loads(body)
        if "encrypt" in path:
            return said(self.status, ciphertext=base64.b64encode(fields["plaintext"].encode()).decode())
        return said(self.status, plaintext=base64.b64decode(fields["ciphertext"]).decode())


def said(status: int, **data: str) -> Said:
    return Said(status, json.dumps({"data": data}).encode())


def transit_at(folder: Path, other: Other) -> Transit:
    token = folder / "token"
    token.touch(0o600)
    token.write_text("hvs.x")
    return Transit(TransitSettings("https://other:8200", str(token), "k"), other)


def sealed(transit: Transit, shares: int) -> NewSeal:
    return initialise(
        SystemRandom(), b"cluster-of-tests", 1, seal_type="transit", shares=shares, threshold=min(shares, 2),
        peers=False, wrap=transit.prepare(SystemRandom()),
    )  # fmt: skip


def test_the_other_vault_or_recovery_keys_open_a_backup(tmp_path: Path) -> None:
    """Whichever is given; recovery keys need nobody else."""
    other = Other()
    transit = transit_at(tmp_path, other)
    made = sealed(transit, 3)
    assert Keys(transit=transit).open(made.envelope).root_key == made.root_key
    other.status = 503
    with pytest.raises(WrongKeyError, match="the other vault of the seal: it answers 503"):
        Keys(transit=transit).open(made.envelope)
    shares = [share.hex() for share in made.shares[1:]]
    assert Keys(shares, transit=transit).open(made.envelope).root_key == made.root_key


def test_without_either_nothing_opens(tmp_path: Path) -> None:
    """Too few recovery keys; none were made and no other vault is known."""
    transit = transit_at(tmp_path, Other())
    with pytest.raises(WrongKeyError, match="2 unseal keys are needed, 0 were given"):
        Keys().open(sealed(transit, 3).envelope)
    with pytest.raises(WrongKeyError, match="a seal of type transit cannot be opened here"):
        Keys().open(sealed(transit, 0).envelope)
    with pytest.raises(LocalError, match="no recovery keys were made"):
        keys_asked("transit", 0)


def test_a_configuration_with_the_other_vault_asks_for_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless keys are given, which count more; and not for a backup of another type."""
    import node.restore.jobs

    kind = "transit"

    async def seals(*_: object) -> tuple[str, int]:
        return kind, 2

    monkeypatch.setattr(node.restore.jobs, "seals", seals)
    monkeypatch.delenv("STRONGROOM_UNSEAL_KEYS", raising=False)
    transit = transit_at(tmp_path, Other())
    assert keys_of([], None, None, None, "", transit)._transit is transit
    monkeypatch.setenv("STRONGROOM_UNSEAL_KEYS", "aa,bb")
    assert keys_of([], None, None, None, "", transit)._shares == ["aa", "bb"]
    monkeypatch.delenv("STRONGROOM_UNSEAL_KEYS")
    kind = "shamir"
    with pytest.raises(LocalError, match="2 unseal keys are needed"):
        keys_of([], None, None, None, "", transit)
