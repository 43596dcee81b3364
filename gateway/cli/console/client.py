"""One request to the management API and its answer; errors become one line and the exit code that fits.

4 denied, or not yours to do   5 not authenticated   6 not reachable   1 anything else, such as: not found
"""

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import click
import msgspec

from gateway.cli import EXIT_DENIED, EXIT_FAILED, EXIT_UNAUTHENTICATED, EXIT_UNREACHABLE
from gateway.cli.console.access import UNUSABLE, Access, open_access
from gateway.cli.console.options import Named
from protocol.status import parse_status
from storage.ansi import printable

TIMEOUT_S: Final = 30.0
SILENCE_S: Final = 60.0
"""Of a watch: the gateway sends a blank line every 20 s."""
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
MAX_LINE_BYTES: Final = 1024 * 1024

_EXIT_OF: Final = {401: EXIT_UNAUTHENTICATED, 403: EXIT_DENIED, 503: EXIT_UNREACHABLE}

D = TypeVar("D")


class ApiFailure(click.ClickException):
    """The API said no, or said nothing. One line, and an exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code  # type: ignore[misc]  # click asks the instance


class Client:
    """Asks one gateway. Made from what was said on the command line; raises ApiFailure."""

    def __init__(self, named: Named) -> None:
        try:
            self._access = open_access(named)
        except UNUSABLE as error:
            raise ApiFailure(str(error), EXIT_UNAUTHENTICATED) from error

    def get(self, path: str, kind: type[D]) -> D:
        return self._decoded(self._ask("GET", path, b""), kind)

    def post(self, path: str, body: Mapping[str, object], kind: type[D]) -> D:
        return self._decoded(self._ask("POST", path, msgspec.json.encode(body)), kind)

    def lines(self, path: str, kind: type[D]) -> Iterator[D]:
        """Documents of a watch as they come, until the gateway ends it."""
        connection, response = self._open("GET", path, b"", SILENCE_S)
        try:
            while line := _read_line(response):
                if line.strip():
                    yield self._decoded(line, kind)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: bytes) -> bytes:
        connection, response = self._open(method, path, body, TIMEOUT_S)
        try:
            answer = response.read(MAX_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        if len(answer) > MAX_ANSWER_BYTES:
            raise ApiFailure(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        return answer

    def _open(
        self, method: str, path: str, body: bytes, timeout_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The answer up to its body; an error that it reports is raised."""
        headers = {"accept": "application/json", "user-agent": "kubetape"}
        if body:
            headers["content-type"] = "application/json"
        if self._access.authorization is not None:
            headers["authorization"] = self._access.authorization.reveal().decode("ascii")
        connection = _Connection(self._access, timeout_s)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            if response.status < 300:
                return connection, response
            said = response.read(MAX_LINE_BYTES)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        connection.close()
        raise _failure(response.status, said)

    def _unreachable(self, error: Exception) -> ApiFailure:
        where = f"{self._access.host}:{self._access.port}"
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted ({error.verify_message}): name its CA with --ca FILE"
        else:
            why = f"{getattr(error, 'strerror', None) or error or type(error).__name__}; name another: --server URL"
        return ApiFailure(f"cannot reach the management API at {where}: {why}", EXIT_UNREACHABLE)

    def _decoded(self, answer: bytes, kind: type[D]) -> D:
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ApiFailure(
                f"{self._access.host}:{self._access.port} answers, but not like a management API of this version"
            ) from None


class _Connection(http.client.HTTPSConnection):
    """Verifies the name the kubeconfig says, which may not be the host it connects to."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        super().__init__(access.host, access.port, timeout=timeout_s, context=access.context)
        self._access = access

    def connect(self) -> None:
        plain = socket.create_connection((self._access.host, self._access.port), self.timeout)
        try:
            self.sock = self._access.context.wrap_socket(plain, server_hostname=self._access.server_name)
        except BaseException:
            plain.close()
            raise


def _read_line(response: http.client.HTTPResponse) -> bytes:
    line = response.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise ApiFailure(f"a line of the answer is longer than {MAX_LINE_BYTES} bytes")
    return line


def _failure(status: int, said: bytes) -> ApiFailure:
    told = parse_status(said)
    message = told.message if told is not None and told.message else f"the gateway answered {status}"
    return ApiFailure(message, _EXIT_OF.get(status, EXIT_FAILED))
