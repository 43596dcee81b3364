"""Secrets that must be nowhere: in no answer, record, index, metric or line on stderr. And where to look for them."""

import base64
import uuid
from http.client import HTTPConnection

import msgspec

from tests.cluster.gateways import Front
from tests.kit.tape_reading import read_records


class Canaries:
    """Made for one gateway. path: hidden because of where it stands; key: because of how it looks (an AWS key id)."""

    def __init__(self) -> None:
        self._all: list[str] = []

    def path(self) -> str:
        """No detector knows it, and base64 of it shows up whole in base64."""
        return self._new(f"path-canary-{uuid.uuid4().hex}")

    def key(self) -> str:
        return self._new("AKIA" + base64.b32encode(uuid.uuid4().bytes)[:16].decode())

    def found_in(self, data: bytes | str) -> list[str]:
        """Those that can be read in it, plain, in base64 or in part."""
        text = data.encode() if isinstance(data, str) else data
        return [one for one in self._all if any(form in text for form in _forms(one))]

    def found_in_record(self, front: Front) -> list[str]:
        """Of a gateway that has ended: every record, decrypted, and every file as it lies there."""
        found = [
            f"{canary} in {type(record).__name__}"
            for record in read_records(front.data_dir)
            for canary in self.found_in(msgspec.msgpack.encode(record))
        ]
        for path in sorted(front.data_dir.rglob("*")):
            if path.is_file():
                found += [f"{canary} in {path}" for canary in self.found_in(path.read_bytes())]
        return found + [f"{canary} on stderr" for canary in self.found_in(front.errors())]

    def found_in_metrics(self, front: Front) -> list[str]:
        """Of a gateway that runs."""
        connection = HTTPConnection("127.0.0.1", front.management_port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read()
        connection.close()
        assert b"kubetape" in text
        return self.found_in(text)

    def _new(self, canary: str) -> str:
        self._all.append(canary)
        return canary


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _forms(canary: str) -> list[bytes]:
    """Whole, all but its beginning, all but its end, and in base64."""
    raw = canary.encode()
    return [raw[:-6], raw[6:], base64.b64encode(raw)[4:-6]]
