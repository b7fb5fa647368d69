"""Asking a Kubernetes cluster whether a service account's token is one of its own, and whose.

A shell; it runs as an `Errand`. Invariants
  V1  only a review that says `authenticated` proves anything, and it names the account; what the token says of itself
      is held against it
  V2  where the role names an audience, the review says that it looked for it: a cluster that does not, looked whether
      the token is for the cluster itself
  V3  neither token leaves for anywhere but the configured host
Source: Kubernetes API, TokenReview (authentication.k8s.io/v1); vault-plugin-auth-kubernetes, token_review.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from .. import remote
from ..remote import RemoteError

if TYPE_CHECKING:
    from .config import KubernetesConfig

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_PREFIX = "system:serviceaccount:"
UNAUTHORIZED = (
    "lookup failed: service account unauthorized; this could mean it has been deleted or recreated with a new token"
)


@dataclass(frozen=True, slots=True)
class Account:
    """A service account: by a token's own words, or by those of its cluster."""

    namespace: str
    name: str
    uid: str
    secret_name: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every part is there that tells accounts apart."""
        return bool(self.namespace and self.name and self.uid)


class ReviewError(Exception):
    """The cluster does not say that the token is good. The text holds nothing of it; `status` is the login's."""

    def __init__(self, text: str, status: int = 403) -> None:
        super().__init__(text)
        self.status = status


def said_by(claims: dict[str, Any]) -> Account:
    """What the token says of itself, in the form of today's tokens or of those that stand in a secret."""
    nested = claims.get("kubernetes.io")
    if isinstance(nested, dict):
        account = nested.get("serviceaccount")
        account = account if isinstance(account, dict) else {}
        secret = nested.get("secret")
        secret_name = _text(secret.get("name")) if isinstance(secret, dict) else ""
        return Account(
            _text(nested.get("namespace")), _text(account.get("name")), _text(account.get("uid")), secret_name
        )
    prefix = "kubernetes.io/serviceaccount/"
    return Account(
        _text(claims.get(prefix + "namespace")),
        _text(claims.get(prefix + "service-account.name")),
        _text(claims.get(prefix + "service-account.uid")),
        _text(claims.get(prefix + "secret.name")),
    )


def review(config: KubernetesConfig, token: str, audience: str) -> Account:
    """Whose token it is (V1). Waits. Raises ReviewError."""
    spec: dict[str, Any] = {"token": token}
    if audience:
        spec["audiences"] = [audience]
    body = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
    headers = {
        "Authorization": f"Bearer {config.token_reviewer_jwt.strip() or token}",
        "Content-Type": "application/json",
    }
    url = config.kubernetes_host.rstrip("/") + PATH
    try:
        status, data = remote.ask(
            url, config.kubernetes_ca_cert, method="POST", body=msgspec.json.encode(body), headers=headers
        )
    except RemoteError as error:
        raise ReviewError(f"lookup failed: {error}", 400) from None
    if status in {401, 403}:
        raise ReviewError("permission denied")
    if status not in {200, 201}:
        raise ReviewError(f"lookup failed: the answer has status {status}", 400)
    return _account(data, audience)


def _account(data: bytes, audience: str) -> Account:
    try:
        answer = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ReviewError("lookup failed: the answer is not JSON", 400) from None
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, dict) or status.get("error"):
        raise ReviewError(UNAUTHORIZED)
    if status.get("authenticated") is not True:
        raise ReviewError("lookup failed: service account jwt not valid")
    audiences = status.get("audiences")
    if audience and not (isinstance(audiences, list) and audience in audiences):
        raise ReviewError("lookup failed: the review is not for the audience of the role")
    user = status.get("user")
    username = _text(user.get("username")) if isinstance(user, dict) else ""
    parts = username.removeprefix(_PREFIX).split(":")
    if not isinstance(user, dict) or not username.startswith(_PREFIX) or len(parts) != 2:
        raise ReviewError("lookup failed: unexpected username format")
    account = Account(parts[0], parts[1], _text(user.get("uid")))
    if not account.is_whole:
        raise ReviewError("lookup failed: the review does not name the account")
    return account


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
