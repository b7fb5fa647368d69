"""Requests that are refused, one of each class, each full of what must not come back."""

from __future__ import annotations


def malformed(token: str, markers: dict[str, str]) -> dict[str, bytes]:
    """Name of the class → bytes on the wire; token, path, field and value of `markers` stand wherever they can."""
    secret = token.encode()
    value, path, field = (markers[name].encode() for name in ("value", "path", "field"))
    target = b"/v1/secret/data/" + path
    named = b"Host: localhost\r\nX-Vault-Token: " + secret + b"\r\nX-Vault-Request: true\r\n"

    def get(*headers: bytes, to: bytes = target, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
        lines = b"".join(header + b"\r\n" for header in headers)
        return method + b" " + to + b" HTTP/" + version + b"\r\n" + named + lines + b"\r\n"

    def put(body: bytes, *headers: bytes, to: bytes = target) -> bytes:
        return get(*headers, b"Content-Length: %d" % len(body), to=to, method=b"PUT") + body

    policy = b'{"policy": "path \\"' + path + b'\\" { capabilities = [' + value + b'] }"}'
    bare = target + b" HTTP/1.1\r\n"
    return {
        "bad json": put(b'{"data": {"' + field + b'": "' + value + b'", }'),
        "not an object": put(b'["' + value + b'"]'),
        "text": put(value),
        "json with a wrong type": put(b'{"data": "' + value + b'"}'),
        "wrong option": put(b'{"data": {}, "options": {"cas": "' + value + b'"}}'),
        "deep json": put(b'{"data":' + b'{"' + field + b'":' * 600 + b'"' + value + b'"' + b"}" * 601),
        "many strings": put(b'{"data": {' + b",".join(b'"%d":"%s"' % (n, value) for n in range(2000)) + b"}}"),
        "surrogate": put(b'{"data": {"x": "\\ud800' + value + b'"}}'),
        "not utf-8": put(b'{"data": {"x": "\xff' + value + b'"}}'),
        "large": put(b'{"data": {"x": "' + value * 60_000 + b'"}}'),
        "content encoding": put(value, b"Content-Encoding: " + field),
        "expectation": put(b'{"data": {}}', b"Expect: " + value),
        "length twice": put(value, b"Content-Length: 3"),
        "length and chunks": put(value, b"Transfer-Encoding: chunked"),
        "bad chunk": get(b"Transfer-Encoding: chunked", method=b"PUT") + value + b"\r\n",
        "GET with a body": get(b"Content-Length: %d" % len(value)) + value,
        "bad write id": put(b'{"data": {}}', b"X-Strongroom-Write-Id: " + value),
        "bad policy": put(policy, to=b"/v1/sys/policies/acl/x"),
        "bad mount": put(b'{"type": "' + value + b'"}', to=b"/v1/sys/mounts/x"),
        "unknown method": get(method=b"BREW"),
        "method of the web": get(method=b"OPTIONS"),
        "token as method": get(method=secret),
        "bad version": get(version=b"9.9"),
        "long header": get(b"X-Long: " + value * 2000),
        "many headers": get(*[b"X-" + field + b": " + value] * 90),
        "broken header": get(b"X-Vault-Token " + secret),
        "control character in a header": get(b"X-A: \x01" + value),
        "NUL in a header": get(b"X-A: \x00" + value),
        "folded header": get(b"X-A: a\r\n " + value),
        "two tokens": get(b"X-Vault-Token: " + value),
        "another authorization": get(b"Authorization: Bearer " + value),
        "namespace": get(b"X-Vault-Namespace: " + path),
        "bad index": get(b"X-Vault-Index: " + value),
        "bad wrap ttl": get(b"X-Vault-Wrap-TTL: " + value),
        "control character in the path": get(to=target + b"%01"),
        "raw control character in the path": get(to=target + b"\x01"),
        "dots in the path": get(to=b"/v1/secret/data/../" + path),
        "bad escape": get(to=target + b"%zz"),
        "long path": get(to=target * 100),
        "absolute target": get(to=b"http://" + path + b"/" + value),
        "unknown path": get(to=b"/v1/" + path + b"/" + value),
        "foreign host": b"GET " + bare + b"Host: " + path + b"\r\nX-Vault-Token: " + secret + b"\r\n\r\n",
        "no host": b"GET " + bare + b"X-Vault-Token: " + secret + b"\r\n\r\n",
        "wrong token": b"GET " + bare + b"Host: localhost\r\nX-Vault-Token: hvs." + value + b"\r\n\r\n",
        "no http": value + b"\r\n" + secret + b"\r\n\r\n",
    }
