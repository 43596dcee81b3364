"""An S3 that means it: one bucket with versions and object lock, in threads, for boto3 to talk to.

Stricter than the servers one can install: it hashes what arrives and refuses a wrong SHA-256, wants the checksum
algorithm named for locked objects, honours If-None-Match, and deletes no locked version. It keeps every request and
every version. `faults` is asked before each request and may spoil it. Signatures are not checked.
"""

import base64
import hashlib
import random
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from xml.sax.saxutils import escape

BUCKET = "records"
OWNER = "123456789012"


class Fault(Enum):
    CONFLICT = auto()  # 409: somebody else is writing this key
    TAKEN = auto()  # 412 though nothing is there
    ERROR = auto()  # 500
    SLOW_DOWN = auto()  # 503
    RESET = auto()  # the connection breaks in the middle of the body
    LOST_ACK = auto()  # done, but the answer never comes
    CORRUPT = auto()  # a bit flips on the way
    SKEW = auto()  # 403 RequestTimeTooSkewed
    EXPIRED = auto()  # 400 ExpiredToken
    DENIED = auto()  # 403 AccessDenied
    NO_LISTING = auto()  # LIST does not show the newest object yet
    HOLD = auto()  # no answer until `released` is set
    DRIP = auto()  # slow


REPLIES = {
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.TAKEN: (412, "PreconditionFailed"),
    Fault.ERROR: (500, "InternalError"),
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.SKEW: (403, "RequestTimeTooSkewed"),
    Fault.EXPIRED: (400, "ExpiredToken"),
    Fault.DENIED: (403, "AccessDenied"),
}


class Request(NamedTuple):
    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    thread: int


class Version(NamedTuple):
    """None as body: a delete marker."""

    id: str
    body: bytes | None
    sha256: str = ""
    lock_mode: str = ""
    retain_until: str = ""
    kms_key: str = ""


class Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


class StrictS3:
    """State and rules. lock: the bucket has object lock; default_mode: and locks everything itself."""

    def __init__(self, *, lock: bool = True, default_mode: str = "", page: int = 1000) -> None:
        self.lock, self.default_mode, self.page = lock, default_mode, page
        self.versions: dict[str, list[Version]] = {}
        self.requests: list[Request] = []
        self.faults: Callable[[Request], Fault | None] = lambda _: None
        self.with_checksums = True  # whether HEAD tells them
        self.released = threading.Event()
        self.endpoint = ""
        self._mutex = threading.Lock()
        self._writing: set[str] = set()

    # --- what tests look at ---------------------------------------------------------------------------

    def objects(self) -> dict[str, bytes]:
        """What a reader sees."""
        with self._mutex:
            newest = {key: versions[-1].body for key, versions in self.versions.items() if versions}
        return {key: body for key, body in newest.items() if body is not None}

    def count(self, method: str, key: str = "") -> int:
        return sum(request.method == method and key in request.key for request in list(self.requests))

    def plant(self, key: str, body: bytes) -> None:
        """An object of somebody else's."""
        self.versions.setdefault(key, []).append(Version("planted", body, _sha(body)))

    # --- rules ------------------------------------------------------------------------------------------

    def put(self, request: Request, body: bytes) -> Version:
        headers, sha = request.headers, _sha(body)
        checksum = headers.get("x-amz-checksum-sha256")
        signed = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        if checksum is not None and checksum != sha:
            raise Refused(400, "BadDigest")
        if len(signed) == 64 and signed != hashlib.sha256(body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch")
        mode, until = (
            headers.get("x-amz-object-lock-mode", ""),
            headers.get("x-amz-object-lock-retain-until-date", ""),
        )
        if mode or until:
            if "x-amz-sdk-checksum-algorithm" not in headers and "content-md5" not in headers:
                raise Refused(400, "InvalidRequest")
            if not self.lock or not (mode and until) or _when(until) <= datetime.now(UTC):
                raise Refused(400, "InvalidRequest")
        with self._mutex:
            versions = self.versions.setdefault(request.key, [])
            if headers.get("if-none-match") == "*":
                if request.key in self._writing:
                    raise Refused(409, "ConditionalRequestConflict")
                if versions and versions[-1].body is not None:
                    raise Refused(412, "PreconditionFailed")
            kms = headers.get("x-amz-server-side-encryption-aws-kms-key-id", "")
            mode = mode or self.default_mode
            version = Version(f"v{len(self.requests)}.{len(versions)}", body, sha, mode, until, kms)
            versions.append(version)
            return version

    def delete(self, key: str, version_id: str) -> None:
        with self._mutex:
            versions = self.versions.setdefault(key, [])
            if not version_id:
                versions.append(Version(f"d{len(versions)}", None))
                return
            for version in versions:
                if version.id == version_id:
                    if version.lock_mode:
                        raise Refused(403, "AccessDenied")
                    versions.remove(version)

    def find(self, key: str) -> Version:
        with self._mutex:
            versions = self.versions.get(key, [])
            if not versions or versions[-1].body is None:
                raise Refused(404, "NoSuchKey")
            return versions[-1]

    @contextmanager
    def running(self) -> Iterator["StrictS3"]:
        server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"store": self}))
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()
            thread.join()


def every(share: float, seed: int, faults: list[Fault]) -> Callable[[Request], Fault | None]:
    """Spoil this share of the requests with one of these faults each."""
    rng, mutex = random.Random(seed), threading.Lock()

    def choose(_: Request) -> Fault | None:
        with mutex:
            return rng.choice(faults) if rng.random() < share else None

    return choose


def _sha(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # broken connections are the point


class _Handler(BaseHTTPRequestHandler):
    store: StrictS3
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def handle_expect_100(self) -> bool:
        # A store refuses by the headers alone where it can: nobody sends 64 MiB to hear 412.
        if self.headers.get("If-None-Match") == "*" and self._key() in self.store.objects():
            self._refuse(412, "PreconditionFailed", close=True)
            self.store.requests.append(self._request())
            return False
        return super().handle_expect_100()

    def _key(self) -> str:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        return path.removeprefix(f"/{BUCKET}").removeprefix("/")

    def _request(self) -> Request:
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self._key(), query, headers, threading.get_ident())

    def _serve(self) -> None:
        request = self._request()
        fault = self.store.faults(request)
        length = int(request.headers.get("content-length", 0))
        if fault is Fault.RESET:
            self.rfile.read(length // 2)
            self.store.requests.append(request)
            return self._reset()
        body = self._body(request, length)
        self.store.requests.append(request)
        if fault is Fault.HOLD:
            self.store.released.wait(60)
        if fault is Fault.DRIP:
            time.sleep(0.05)
        if fault is Fault.CORRUPT and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault in REPLIES:
            return self._refuse(*REPLIES[fault])
        try:
            if not self.path.startswith(f"/{BUCKET}"):
                raise Refused(404, "NoSuchBucket")
            if request.headers.get("x-amz-expected-bucket-owner", OWNER) != OWNER:
                raise Refused(403, "AccessDenied")
            self._answer(request, body, fault)
        except Refused as refused:
            self._refuse(refused.status, refused.code)

    do_GET = do_HEAD = do_PUT = do_DELETE = _serve

    def _body(self, request: Request, length: int) -> bytes:
        raw = self.rfile.read(length)
        if "aws-chunked" not in request.headers.get("content-encoding", ""):
            return raw
        body = b""
        while raw:
            head, _, raw = raw.partition(b"\r\n")
            size = int(head.partition(b";")[0], 16)
            if not size:
                break
            body, raw = body + raw[:size], raw[size + 2 :]
        name, _, value = raw.strip().partition(b":")
        if name:
            request.headers[name.decode().lower()] = value.decode().strip()
        return body

    def _answer(self, request: Request, body: bytes, fault: Fault | None) -> None:
        if request.method == "PUT":
            version = self.store.put(request, body)
            if fault is Fault.LOST_ACK:
                return self._reset()
            return self._reply(200, headers={"ETag": f'"{version.id}"', "x-amz-version-id": version.id})
        if request.method == "DELETE":
            self.store.delete(request.key, request.query.get("versionId", ""))
            return self._reply(204)
        if not request.key:
            return self._bucket(request, fault)
        self._object(request, fault)

    def _object(self, request: Request, fault: Fault | None) -> None:
        version = self.store.find(request.key)
        whole = data = version.body or b""
        etag, status = f'"{version.id}"', 200
        if request.headers.get("if-match", etag) != etag:
            raise Refused(412, "PreconditionFailed")
        headers = {"ETag": etag, "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT"}
        if "range" in request.headers:
            first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(whole) - int(last))
            if start >= len(whole):
                raise Refused(416, "InvalidRange")
            data = whole[start : int(last) + 1 if first and last else None]
            headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/{len(whole)}"
            status = 206
        elif request.headers.get("x-amz-checksum-mode") == "ENABLED" and self.store.with_checksums:
            headers |= {"x-amz-checksum-sha256": version.sha256, "x-amz-checksum-type": "FULL_OBJECT"}
        if version.lock_mode:
            headers["x-amz-object-lock-mode"] = version.lock_mode
        self._reply(status, data, headers, cut=fault is Fault.LOST_ACK)

    def _bucket(self, request: Request, fault: Fault | None) -> None:
        query = request.query
        if "object-lock" in query:
            if not self.store.lock:
                raise Refused(404, "ObjectLockConfigurationNotFoundError")
            mode = self.store.default_mode
            rule = (
                f"<Rule><DefaultRetention><Mode>{mode}</Mode><Days>1</Days></DefaultRetention></Rule>"
                if mode
                else ""
            )
            text = f"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
            return self._reply(200, text.encode())
        prefix = query.get("prefix", "")
        if "versions" in query:
            return self._list_versions(query, prefix)
        after = query.get("continuation-token", "")
        found = [
            (key, body)
            for key, body in sorted(self.store.objects().items())
            if key.startswith(prefix) and key > after
        ]
        if fault is Fault.NO_LISTING:
            found = found[:-1]
        page = found[: self.store.page]
        rest = (
            f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>"
            if len(page) < len(found)
            else ""
        )
        shown = "".join(
            f"<Contents><Key>{urllib.parse.quote(key)}</Key><Size>{len(body)}</Size>"
            f"<ETag>&quot;{self.store.versions[key][-1].id}&quot;</ETag></Contents>"
            for key, body in page
        )
        head = (
            f"<EncodingType>url</EncodingType><IsTruncated>{'true' if rest else 'false'}</IsTruncated>{rest}"
        )
        text = f"<ListBucketResult>{head}{shown}</ListBucketResult>"
        self._reply(200, text.encode(), cut=fault is Fault.LOST_ACK)

    def _list_versions(self, query: dict[str, str], prefix: str) -> None:
        found = [
            (key, version)
            for key, versions in sorted(self.store.versions.items())
            if key.startswith(prefix)
            for version in versions
        ]
        marker = (query.get("key-marker"), query.get("version-id-marker"))
        places = [(key, version.id) for key, version in found]
        start = places.index(marker) + 1 if marker in places else 0
        page, rest = found[start : start + self.store.page], found[start + self.store.page :]
        shown = "".join(
            f"<{kind}><Key>{escape(key)}</Key><VersionId>{version.id}</VersionId></{kind}>"
            for key, version in page
            for kind in ["DeleteMarker" if version.body is None else "Version"]
        )
        head = f"<IsTruncated>{'true' if rest else 'false'}</IsTruncated>"
        if rest:
            key, version = page[-1]
            head += (
                f"<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{version.id}</NextVersionIdMarker>"
            )
        self._reply(200, f"<ListVersionsResult>{head}{shown}</ListVersionsResult>".encode())

    def _refuse(self, status: int, code: str, *, close: bool = False) -> None:
        text = f"<Error><Code>{code}</Code><Message>Credential=AKIDSECRET in text</Message></Error>"
        self._reply(status, text.encode(), {"Connection": "close"} if close else None)
        self.close_connection = self.close_connection or close

    def _reply(
        self, status: int, data: bytes = b"", headers: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Length": str(len(data)), "x-amz-request-id": "1"} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._reset()

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()


def credentials(setenv: Callable[[str, str], None]) -> None:
    """Let boto3 find credentials here and nowhere else."""
    setenv("AWS_ACCESS_KEY_ID", "AKIDSECRET")
    setenv("AWS_SECRET_ACCESS_KEY", "neverintext")
    setenv("AWS_DEFAULT_REGION", "eu-central-1")
    setenv("AWS_EC2_METADATA_DISABLED", "true")
    setenv("AWS_CONFIG_FILE", "/dev/null")
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
