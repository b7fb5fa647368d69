"""A bucket behind the S3 protocol: create, read, list, delete, each one request, and what its errors mean.

A shell around obstore. The library takes what is missing from variables (AWS_…): whatever would change where requests
go, who signs them or what is verified is given here. Of a server's error only its number is repeated.

Invariants
  N1  beyond this machine nothing is sent but over TLS that has proved the server's name; a proxy, if HTTPS_PROXY names
      one, sees that name and passes bytes on
  N2  every request is signed with the keys given here; they appear in no message, repr or option of the store
  N3  one call is one request: nothing is sent again behind the caller's back
Source: Amazon S3 API reference, "Conditional requests"; obstore 0.12.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from .base import SinkError, SinkRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from obstore.store import ClientConfig, S3Credential

T = TypeVar("T")

REGION = "us-east-1"
AT_ONCE = 16
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_REFUSED = {
    301: "the bucket is in another region",
    307: "the bucket is in another region",
    400: "the server refuses the request",
    401: "the server refuses the keys",
    403: "the server refuses the keys, or they may not do this",
    404: "the bucket does not exist",
    405: "the server does not take this kind of request",
    413: "an object is larger than the server takes",
    501: "the server does not know conditional writes",
}


class Target(NamedTuple):
    """Where a bucket is. `endpoint` is https://HOST[:PORT], or http: on this machine; `ca_file`: trusted besides."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    ca_file: str = ""


class Keys(NamedTuple):
    """An access key and its secret."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return "<Keys>"


def keys_in(password: str | None) -> Keys:
    """The keys in a sink's password, KEY_ID:SECRET. Raises SinkRefusedError."""
    key_id, colon, secret = (password or "").strip().partition(":")
    if not key_id or not colon or not secret:
        raise SinkRefusedError("s3: the sink's password must be ACCESS_KEY_ID:SECRET_ACCESS_KEY")
    return Keys(key_id, secret)


class Bucket:
    """What is below `target.prefix`. Every call raises SinkError or SinkRefusedError."""

    def __init__(self, target: Target, keys: Keys, *, timeout_s: float) -> None:
        self._prefix = f"{target.prefix}/" if target.prefix else ""
        self._store = _store_of(target, keys, timeout_s)

    async def create(self, name: str, data: bytes) -> bool:
        """The object is there, durably, with these bytes; False: some object was there before, or is being made."""
        try:
            await self._store.put_async(self._prefix + name, data, mode="create")
        except (BaseError, OSError) as error:
            if isinstance(error, AlreadyExistsError) or _status_of(error) in {409, 412}:
                return False
            raise _meaning(error) from None
        return True

    async def read(self, name: str, *, bytes_max: int) -> bytes | None:
        """Its bytes; None: there is no such object."""
        try:
            found = await self._store.get_async(self._prefix + name)
            if found.meta["size"] > bytes_max:
                raise SinkError("s3: an object is larger than any of ours")
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _meaning(error) from None

    async def names(self, folder: str, *, behind: str = "") -> list[str]:
        """Names in a folder, in order; only those after the name `behind`."""
        offset = f"{self._prefix}{behind}" if behind else None
        try:
            pages = self._store.list(self._prefix + folder, offset=offset, chunk_size=1000)
            found = [str(one["path"]) async for page in pages for one in page]
        except (BaseError, OSError) as error:
            raise _meaning(error) from None
        return sorted(name.removeprefix(self._prefix) for name in found)

    async def delete(self, names: Iterable[str]) -> None:
        """There are no such objects. Raises SinkRefusedError if these keys may not delete."""

        async def one(name: str) -> None:
            try:
                await self._store.delete_async(self._prefix + name)
            except FileNotFoundError:
                return
            except (BaseError, OSError) as error:
                if isinstance(error, PermissionDeniedError) or _status_of(error) == 403:
                    raise SinkRefusedError("s3: these keys may not delete: run prune with keys that may") from None
                raise _meaning(error) from None

        await in_turn(one(name) for name in names)


async def in_turn(calls: Iterable[Awaitable[T]]) -> list[T]:
    """The answers in the order of the calls, of which a few are under way at once; none is left behind."""
    found: list[T] = []
    waiting: deque[asyncio.Future[T]] = deque()
    more = iter(calls)
    try:
        while True:
            while len(waiting) < AT_ONCE and (call := next(more, None)) is not None:
                waiting.append(asyncio.ensure_future(call))
            if not waiting:
                return found
            found.append(await waiting[0])
            waiting.popleft()
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _store_of(target: Target, keys: Keys, timeout_s: float) -> S3Store:
    """Raises SinkRefusedError if the file of authorities cannot be read or used."""

    def signed_with() -> S3Credential:
        return {"access_key_id": keys.key_id, "secret_access_key": keys.secret, "token": None, "expires_at": None}

    options: ClientConfig = {
        "allow_http": target.endpoint.startswith("http://"),
        "allow_invalid_certificates": False,
        "timeout": timedelta(seconds=timeout_s),
        "connect_timeout": timedelta(seconds=timeout_s / 2),
    }
    try:
        if target.ca_file:
            options["root_certificate"] = Path(target.ca_file).read_bytes()
        return S3Store(
            target.bucket, endpoint=target.endpoint, aws_endpoint_url_s3=target.endpoint, region=target.region,
            virtual_hosted_style_request=False, skip_signature=False, unsigned_payload=False, s3_express=False,
            request_payer=False, disable_bulk_delete=True, client_options=options,
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=timeout_s)},
            credential_provider=signed_with,
        )  # fmt: skip
    except (BaseError, OSError, ValueError):
        raise SinkRefusedError("s3: the file of ca_file cannot be read, or the endpoint cannot be used") from None


def _status_of(error: Exception) -> int:
    found = _STATUS.search(str(error))
    return int(found.group(1)) if found is not None else 0


def _meaning(error: Exception) -> SinkError:
    """An error of ours instead of the library's, which quotes the whole answer."""
    status = _status_of(error)
    if not status:
        status = {PermissionDeniedError: 403, UnauthenticatedError: 401, FileNotFoundError: 404}.get(type(error), 0)
    if status in _REFUSED:
        return SinkRefusedError(f"s3: {_REFUSED[status]} (status {status})")
    if status:
        return SinkError(f"s3: the server cannot answer just now (status {status})")
    text = str(error).lower()
    if "certificate" in text:
        return SinkRefusedError("s3: the server's certificate does not prove its name")
    if "configured region" in text:  # a redirection that leads nowhere
        return SinkRefusedError(f"s3: {_REFUSED[301]}")
    return SinkError("s3: no answer in time" if "timed out" in text else "s3: the server cannot be reached")
