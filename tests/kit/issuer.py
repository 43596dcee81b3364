"""An OpenID Connect issuer of ours: it signs whatever we ask for, and misbehaves on demand.

`Issuer` makes keys, documents and tokens; its `fetch` stands in for the network. `serve_issuer` serves the
same documents over real TLS with the faults of `Fault`. Tokens are built by hand, not by a JWT library:
most of them are ones no library would make.
"""

import base64
import json
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import trio
import trustme
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.identity.keys import FetchFailed

AUDIENCE = "kubetape"
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
CURVE_NAMES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def b64_number(number: int, length: int | None = None) -> str:
    return b64(number.to_bytes(length or (number.bit_length() + 7) // 8, "big")).decode()


@cache
def private_key(algorithm: str, which: int = 0, *, rsa_bits: int = 2048) -> Any:
    """A key for tests, made once a run (RSA takes its time)."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm[:2] == "PS":
        return private_key("RS" + algorithm[2:], which, rsa_bits=rsa_bits)
    return rsa.generate_private_key(65537, rsa_bits)


@dataclass(frozen=True)
class SigningKey:
    kid: str | None
    algorithm: str
    private: PrivateKey

    def jwk(self, **changes: object) -> dict[str, object]:
        """The public half; a change to None leaves the member out."""
        jwk: dict[str, object] = {
            "kid": self.kid,
            "alg": self.algorithm,
            "use": "sig",
            **public_members(self.private),
        }
        jwk.update(changes)
        return {name: value for name, value in jwk.items() if value is not None}


def public_members(key: PrivateKey) -> dict[str, object]:
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.public_key().public_numbers()
            return {"kty": "RSA", "n": b64_number(numbers.n), "e": b64_number(numbers.e)}
        case ec.EllipticCurvePrivateKey():
            point, length = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
            name = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(
                key.curve.name, key.curve.name
            )
            return {
                "kty": "EC",
                "crv": name,
                "x": b64_number(point.x, length),
                "y": b64_number(point.y, length),
            }
        case _:
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw()).decode()}


def signature(algorithm: str, key: Any, signed: bytes) -> bytes:
    """Sign as `algorithm` says, whether it suits the key's use or not. For HS*: `key` is the secret."""
    match algorithm[:2]:
        case "RS":
            return bytes(key.sign(signed, padding.PKCS1v15(), HASHES[algorithm[2:]]()))
        case "PS":
            digest = HASHES[algorithm[2:]]()
            return bytes(key.sign(signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
        case "ES":
            der = key.sign(signed, ec.ECDSA(HASHES.get(algorithm[2:], hashes.SHA256)()))
            length = (key.curve.key_size + 7) // 8
            return b"".join(number.to_bytes(length, "big") for number in decode_dss_signature(der))
        case "Ed":
            return bytes(key.sign(signed))
        case "HS":
            mac = hmac.HMAC(key, HASHES[algorithm[2:]]())
            mac.update(signed)
            return mac.finalize()
        case _:
            return b""


def make_token(header: dict[str, object] | bytes, payload: object | bytes, key: Any, algorithm: str) -> bytes:
    """A compact JWS of exactly these bytes (or of this JSON)."""
    raw_header = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw_payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = b64(raw_header) + b"." + b64(raw_payload)
    return signed + b"." + b64(signature(algorithm, key, signed))


class Fault(Enum):
    NONE = auto()
    ERROR = auto()  # 500
    HANG = auto()  # accepts, never answers
    HUGE = auto()  # a body longer than it may be, with Content-Length
    HUGE_CHUNKED = auto()  # the same without saying so
    REDIRECT = auto()
    SLOW = auto()  # one byte a second
    GZIP = auto()  # Content-Encoding nobody asked for
    GARBAGE = auto()  # not HTTP
    CUT = auto()  # closes in the middle of the body
    NOT_JSON = auto()
    OTHER_ISSUER = auto()  # a discovery document of somebody else
    PLAIN_JWKS = auto()  # jwks_uri over http


@dataclass
class Issuer:
    url: str = "https://issuer.test"
    keys: list[SigningKey] = field(default_factory=list)
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    fault: Fault = Fault.NONE
    hits: Counter[str] = field(default_factory=Counter)
    _serial: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """New keys, the old ones are no longer published."""
        serial = next(self._serial)
        self.keys = [
            SigningKey(f"{name}-{serial}", name, private_key(name, serial)) for name in self.algorithms
        ]

    def key(self, algorithm: str = "RS256") -> SigningKey:
        return next(key for key in self.keys if key.algorithm == algorithm)

    def claims(self, **changes: object) -> dict[str, object]:
        """A good payload; a change to None leaves the claim out."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.url,
            "sub": "alice",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 600,
        }
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, *, key: SigningKey | None = None, header: dict[str, object] | None = None, **changes: object
    ) -> bytes:
        key = key or self.keys[0]
        good = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid, **(header or {})}
        return make_token(
            {name: value for name, value in good.items() if value is not None},
            self.claims(**changes),
            key.private,
            key.algorithm,
        )

    # --- what it publishes -------------------------------------------------------------------------

    def document(self, path: str) -> bytes:
        self.hits[path] += 1
        if path.endswith("/.well-known/openid-configuration"):
            jwks_uri = f"{self.url}/keys"
            if self.fault is Fault.PLAIN_JWKS:
                jwks_uri = jwks_uri.replace("https:", "http:")
            issuer = "https://evil.test" if self.fault is Fault.OTHER_ISSUER else self.url
            return json.dumps({"issuer": issuer, "jwks_uri": jwks_uri}).encode()
        return json.dumps({"keys": [key.jwk() for key in self.keys]}).encode()

    async def fetch(self, url: str, ca_file: str | None) -> bytes:
        """Stands in for the network: answers at once, or fails, or hangs until its caller gives up."""
        if self.fault is Fault.HANG:
            self.hits["hang"] += 1
            with trio.move_on_after(5):
                await trio.sleep_forever()
            raise FetchFailed("no answer")
        if self.fault not in (Fault.NONE, Fault.OTHER_ISSUER, Fault.PLAIN_JWKS):
            self.hits["failed"] += 1
            raise FetchFailed("500")
        await trio.lowlevel.checkpoint()
        return self.document(url.removeprefix(self.url))


class IssuerServer:
    """An Issuer over TLS, on a port of its own. `authority` signs its certificate; `ca_file` verifies it."""

    def __init__(self, issuer: Issuer, directory: Path) -> None:
        self.issuer = issuer
        authority = trustme.CA()
        self.ca_file = str(directory / "issuer-ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._context)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_ssl_over_tcp_listeners(0, self._context, host="127.0.0.1")
        port = listeners[0].transport_listener.socket.getsockname()[1]
        self.issuer.url = f"https://127.0.0.1:{port}"
        task_status.started()
        await trio.serve_listeners(self._answer, listeners)

    async def _answer(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async with stream:
                await self._respond(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client gave up, as it should on most faults

    async def _respond(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            more = await stream.receive_some(4096)
            if not more:
                return
            request += more
        path = request.split(b" ", 2)[1].decode()
        body = self.issuer.document(path)
        ok = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
        whole = ok + b"Content-Length: %d\r\n\r\n" % len(body)
        match self.issuer.fault:
            case Fault.ERROR:
                await stream.send_all(b"HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            case Fault.HANG:
                await trio.sleep_forever()
            case Fault.HUGE:
                await stream.send_all(ok + b"Content-Length: 2000000\r\n\r\n" + b" " * 2_000_000)
            case Fault.HUGE_CHUNKED:
                await stream.send_all(ok + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(400):
                    await stream.send_all(b"1388\r\n" + b" " * 5000 + b"\r\n")
                await stream.send_all(b"0\r\n\r\n")
            case Fault.REDIRECT:
                location = self.issuer.url.encode() + b"/elsewhere"
                await stream.send_all(
                    b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
                    % location
                )
            case Fault.SLOW:
                await stream.send_all(whole)
                for byte in body:
                    await trio.sleep(1)
                    await stream.send_all(bytes([byte]))
            case Fault.GZIP:
                await stream.send_all(
                    whole.replace(b"Content-Type", b"Content-Encoding: gzip\r\nContent-Type") + body
                )
            case Fault.GARBAGE:
                await stream.send_all(b"\x00\xff" * 100)
            case Fault.CUT:
                await stream.send_all(whole + body[: len(body) // 2])
            case Fault.NOT_JSON:
                await stream.send_all(ok + b"Content-Length: 5\r\n\r\n<xml>")
            case _:
                await stream.send_all(whole + body)
