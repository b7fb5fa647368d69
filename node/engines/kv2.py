"""KV v2: secrets with versions, check-and-set, soft delete and metadata.

Pure. Paths below the mount: config, data/, metadata/, detailed-metadata/, delete/, undelete/, destroy/, subkeys/.
Invariants: a value is kept as the bytes it came as; an answer is spliced from stored bytes, never rebuilt.
Source: Vault API, KV v2; OpenBao API for SCAN, detailed-metadata, paging and metadata_cas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Secret, Table

from ..request import WRITES, Answer, Operation, RawJson, RawRequest, RawResponse, Refusal
from . import kv_metadata, kv_versions
from .base import Context, Plan
from .fields import (
    FieldError,
    check_body,
    ignored_warnings,
    parameters,
    refusal_of,
    to_int,
    to_object,
)
from .json_values import NULL, encode, merge_patch, object_fields, subkeys
from .kv_config import VERSIONS_DEFAULT, KvConfig, config_of, read_config, write_config
from .kv_list import keys_answer, list_names, scan_names
from .kv_values import (
    add_version,
    created_ns,
    find,
    has_version,
    is_deleted,
    is_destroyed,
    look_secret,
    mark_of,
    open_version,
    secret_key,
    version_json,
)
from .pages import PAGE, page

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE_BYTES_MAX = 1_048_576

_CHECKED = frozenset({"data", "metadata", "detailed-metadata"})  # areas with an existence check
_LISTS = frozenset({Operation.LIST, Operation.SCAN})
_ROOTS = frozenset({"metadata", "data", "delete", "undelete", "destroy"})
_FIELDS = {
    "data": frozenset({"data", "options", "version"}),
    "metadata": kv_metadata.FIELDS,
    "detailed-metadata": PAGE,
    "subkeys": frozenset({"depth", "version"}),
    "config": frozenset({"cas_required", "delete_version_after", "max_versions", "metadata_cas_required"}),
    "delete": frozenset({"versions"}),
    "undelete": frozenset({"versions"}),
    "destroy": frozenset({"versions"}),
}
_ROOT = "Non-listing operations on the root of a K/V v2 mount are not supported."
_INVALID_PATH = (
    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. "
    "If using the OpenBao CLI, use 'bao kv {command}' for this operation."
)
_COMMANDS = {
    Operation.CREATE: "put",
    Operation.UPDATE: "put",
    Operation.PATCH: "patch",
    Operation.READ: "get",
    Operation.LIST: "list",
    Operation.SCAN: "scan",
    Operation.DELETE: "delete",
}


class KvV2:
    """The engine of `kv` mounts with `options.version` "2"."""

    def __init__(self, *, versions_max: int = VERSIONS_DEFAULT, value_bytes_max: int = VALUE_BYTES_MAX) -> None:
        self._versions_max = versions_max
        self._value_bytes_max = value_bytes_max
        self._reads: dict[tuple[str, Operation], Callable[[Context, RawRequest, str], Answer]] = {
            ("config", Operation.READ): lambda context, _request, _path: read_config(context),
            ("data", Operation.READ): self._read_data,
            ("metadata", Operation.READ): lambda context, _request, path: kv_metadata.read_metadata(context, path),
            ("metadata", Operation.LIST): self._list,
            ("metadata", Operation.SCAN): self._scan,
            ("detailed-metadata", Operation.LIST): self._list_detailed,
            ("detailed-metadata", Operation.SCAN): self._scan_detailed,
            ("subkeys", Operation.READ): self._read_subkeys,
        }
        self._writes: dict[tuple[str, Operation], Callable[[Context, RawRequest, str], Plan]] = {
            ("config", Operation.UPDATE): lambda context, request, _path: write_config(context, request),
            ("data", Operation.UPDATE): self._write_data,
            ("data", Operation.PATCH): self._patch_data,
            ("data", Operation.DELETE): lambda context, _request, path: kv_versions.delete_current(context, path),
            ("metadata", Operation.UPDATE): kv_metadata.write_metadata,
            ("metadata", Operation.PATCH): kv_metadata.patch_metadata,
            ("metadata", Operation.DELETE): lambda context, _request, path: kv_metadata.delete_metadata(context, path),
            ("delete", Operation.UPDATE): kv_versions.delete_versions,
            ("undelete", Operation.UPDATE): kv_versions.undelete_versions,
            ("destroy", Operation.UPDATE): kv_versions.destroy_versions,
        }

    def is_write(self, operation: Operation, path: str) -> bool:  # noqa: ARG002 - the protocol of all engines
        """Whether the request goes to the leader: every operation that may change something."""
        return operation in WRITES

    def exists(self, context: Context, path: str) -> bool | None:
        """Whether the path has metadata; None where POST is always an update."""
        area, slash, rest = path.partition("/")
        if not slash or area not in _CHECKED:
            return None
        return context.view.get(Table.SECRET, secret_key(context, rest)) is not None

    def read(self, context: Context, request: RawRequest, path: str) -> Answer:
        """The answer to a read, list or scan; Refusal if there is none."""
        operation = request.operation
        if operation is Operation.READ and path.startswith("data/") and not request.query:
            return read_version(context, path[5:])  # the hot one: what the table below would find, 0.7 us earlier
        if operation in _LISTS and path and not path.endswith("/"):
            path += "/"
        area, rest = _area_of(path)
        if area is None:
            return _invalid_path(operation, path)
        handler = self._reads.get((area, operation))
        if handler is None:
            raise _unsupported()
        try:
            answer = handler(context, request, rest)
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
        if request.query and answer.raw is None and answer.status == 200:
            answer.warnings = ignored_warnings(parameters(request), _FIELDS[area])
        return answer

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        """The plan of a write; Refusal if it may not be."""
        operation = Operation.UPDATE if request.operation is Operation.CREATE else request.operation
        if operation is not Operation.DELETE:
            if request.path.endswith("/"):
                raise Refusal(400, "cannot write to a path ending in '/'")
            check_body(request)
        area, rest = _area_of(path)
        if area is None:
            return Plan(_invalid_path(operation, path))
        handler = self._writes.get((area, operation))
        if handler is None:
            raise _unsupported()
        try:
            plan = handler(context, request, rest)
        except FieldError as error:
            raise refusal_of(error, existence_checked=operation is Operation.UPDATE and area in _CHECKED) from None
        _warn_ignored(plan.answer, request, area)
        return plan

    def _read_data(self, context: Context, request: RawRequest, path: str) -> Answer:
        return read_version(context, path, to_int("version", request.query.get("version")) if request.query else 0)

    def _read_subkeys(self, context: Context, request: RawRequest, path: str) -> Answer:
        number = to_int("version", request.query.get("version"))
        depth = to_int("depth", request.query.get("depth"))
        return read_version(context, path, number, name=b"subkeys", shape=lambda value: subkeys(value, depth))

    def _list(self, context: Context, request: RawRequest, path: str) -> Answer:
        return keys_answer(_page(context, request, path))

    def _scan(self, context: Context, _request: RawRequest, path: str) -> Answer:
        return keys_answer(scan_names(context, path))

    def _list_detailed(self, context: Context, request: RawRequest, path: str) -> Answer:
        return _detailed(context, path, _page(context, request, path))

    def _scan_detailed(self, context: Context, _request: RawRequest, path: str) -> Answer:
        return _detailed(context, path, scan_names(context, path))

    def _write_data(self, context: Context, request: RawRequest, path: str) -> Plan:
        value, options = _data_fields(request)
        if value is None:
            raise Refusal(400, "no data provided")
        return self.put(context, path, value, cas=_cas_of(options))

    def put(self, context: Context, path: str, value: bytes, *, cas: int | None) -> Plan:
        """One more version of `path`: `value` is checked JSON (an object or null), kept byte for byte.

        `cas` must be the current version (0: no version yet) where it is given; refused with 400 if it is not, or
        if it is absent where mount or path require it, and with 413 if the value is too large.
        """
        if not path:
            raise Refusal(400, "missing path")
        if len(value) > self._value_bytes_max:
            raise Refusal(413, f"the secret is larger than {self._value_bytes_max} bytes")
        key = secret_key(context, path)
        found = find(context, key)
        config = config_of(context.mount)
        before = found.secret if found is not None else Secret()
        _check_cas(cas, config, before)
        deletion_ns = config.deletion_ns(context.now_ns, before.delete_after_ns)
        versions_max = config.versions_kept(before.versions_max, self._versions_max)
        draft, number = add_version(context, key, found, value, versions_max=versions_max, deletion_ns=deletion_ns)
        made = version_json(number, context.now_ns, deletion_ns or None, before.custom)
        return Plan(Answer(data=RawJson(made)), draft)

    def _patch_data(self, context: Context, request: RawRequest, path: str) -> Plan:
        patch, options = _data_fields(request)
        if patch is None:
            raise Refusal(400, "no data provided")
        key = secret_key(context, path)
        found = find(context, key)
        if found is None:
            return Plan(Answer(raw=RawResponse(404)))
        secret = found.secret
        cas = _cas_of(options)
        _check_cas(cas, config_of(context.mount), secret)
        if not has_version(secret, secret.current):
            return Plan(Answer(raw=RawResponse(404)))
        mark = mark_of(secret, secret.current)
        if is_destroyed(mark) or is_deleted(mark, context.now_ns):
            made_ns = created_ns(context, key, secret.current)
            gone = version_json(secret.current, made_ns, mark, secret.custom)
            return Plan(Answer(status=404, data=RawJson(gone)))
        _, value = open_version(context, key, secret, secret.current)
        return self.put(context, path, merge_patch(value, b"{}" if patch == NULL else patch), cas=cas)


def read_version(
    context: Context,
    path: str,
    number: int = 0,
    *,
    name: bytes = b"data",
    shape: Callable[[bytes], bytes] | None = None,
) -> Answer:
    """Version `number` (0 or less: the newest) with its metadata, the value under `name` as stored or as `shape`d.

    404 without the version; a deleted or destroyed one is 404 with its metadata and null. Raises DamagedError.
    """
    key = secret_key(context, path)
    secret = look_secret(context, key)
    if secret is None:
        raise Refusal(404)
    if number <= 0:
        number = secret.current
    if not has_version(secret, number):
        raise Refusal(404)
    mark = mark_of(secret, number)
    if mark is not None and (is_destroyed(mark) or is_deleted(mark, context.now_ns)):
        made = version_json(number, created_ns(context, key, number), mark, secret.custom)
        return Answer(status=404, data=_spliced(name, NULL, made))
    made_ns, value = open_version(context, key, secret, number)
    made = version_json(number, made_ns, mark, secret.custom)
    return Answer(data=_spliced(name, value if shape is None else shape(value), made))


def current_json(context: Context, path: str) -> bytes | None:
    """The data `read_version` answers for the newest version of `path`, or None where it answers anything but 200.

    Raises DamagedError.
    """
    key = secret_key(context, path)
    secret = look_secret(context, key)
    if secret is None or secret.gone is not None or not has_version(secret, secret.current):
        return None
    made_ns, value = open_version(context, key, secret, secret.current)
    return _spliced(b"data", value, version_json(secret.current, made_ns, None, secret.custom))


def _spliced(name: bytes, value: bytes, made: bytes) -> RawJson:
    return RawJson(b'{"%b":%b,"metadata":%b}' % (name, value, made))


def _page(context: Context, request: RawRequest, path: str) -> list[str]:
    after, limit = page(request)
    return list_names(context, path, after=after, limit=limit)


def _detailed(context: Context, path: str, names: list[str]) -> Answer:
    if not names:
        return Answer(data={})
    infos = []
    for name in names:
        key = secret_key(context, (path + name).removesuffix("/"))  # a folder shows the secret of the same name
        found = find(context, key)
        info = b"{}" if found is None else kv_metadata.metadata_json(context, key, found.secret)
        infos.append(b"%b:%b" % (encode(name), info))
    return Answer(data=RawJson(b'{"key_info":{%b},"keys":%b}' % (b",".join(infos), encode(names))))


def _data_fields(request: RawRequest) -> tuple[bytes | None, bytes | None]:
    """(data, options) of a write: data None = absent (null is data), options None = absent or null."""
    given = parameters(request)
    options = to_object("options", given["options"]) if "options" in given else None
    if "version" in given:
        to_int("version", given["version"])
    if "data" not in given:
        return None, options
    return to_object("data", given["data"]) or NULL, options


def _cas_of(options: bytes | None) -> int | None:
    if options is None:
        return None
    raw = object_fields(options).get("cas")
    if raw is None:
        return None
    try:
        return to_int("cas", raw)
    except FieldError:
        raise Refusal(400, "error parsing check-and-set parameter") from None


def _check_cas(cas: int | None, config: KvConfig, secret: Secret) -> None:
    if cas is None:
        if config.cas_required or secret.cas_required:
            raise Refusal(400, "check-and-set parameter required for this call")
    elif cas != secret.current:
        raise Refusal(400, "check-and-set parameter did not match the current version")


def _area_of(path: str) -> tuple[str | None, str]:
    """(area, rest of the path); None for a path the engine does not have."""
    if path == "config":
        return path, ""
    area, slash, rest = path.partition("/")
    return (area, rest) if slash and area in _FIELDS and area != "config" else (None, path)


def _warn_ignored(answer: Answer, request: RawRequest, area: str) -> None:
    """An answer that says nothing (204) says nothing about unknown parameters either."""
    if answer.empty or answer.raw is not None or answer.status != 200:
        return
    ignored = ignored_warnings(parameters(request), _FIELDS[area])
    if ignored:
        answer.warnings = [*(answer.warnings or []), *ignored]


def _invalid_path(operation: Operation, path: str) -> Answer:
    if path in _ROOTS:
        return Answer(status=404, warnings=[_ROOT])
    command = _COMMANDS.get(operation)
    if command is None:
        raise _unsupported()
    return Answer(
        status=404,
        warnings=[_INVALID_PATH.format(command=command)],
    )


def _unsupported() -> Refusal:
    return Refusal(405, "unsupported operation", wrapped=True)
