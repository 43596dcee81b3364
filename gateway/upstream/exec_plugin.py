"""Runs an exec plugin of a kubeconfig and reads the ExecCredential it prints.

One run, start to end, with a deadline and an output limit; when to run is decided in `credentials`.
The plugin gets no terminal and no standard input, so one that wants to ask a person fails at once.
Source: k8s.io/client-go plugin/pkg/client/auth/exec; k8s.io/client-go pkg/apis/clientauthentication/v1.
"""

import base64
import json
import os
import signal
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import trio

from gateway.errors import GatewayError
from gateway.upstream.kubeconfig import ExecPlugin
from gateway.upstream.secret import Secret
from protocol.headers import is_field_value
from protocol.status import make_visible
from storage.errors import UNDECODABLE

TIMEOUT_S: Final = 60.0
"""Plugins that log in over a slow network take seconds; one that takes a minute hangs."""

MAX_OUTPUT_BYTES: Final = 1024 * 1024
MAX_TOKEN_BYTES: Final = 32 * 1024
"""More does not fit the header limits of any API server's front."""

_SHOWN_STDERR: Final = 300  # characters of the plugin's own words in an error


class PluginFailed(GatewayError):
    """The plugin gave no usable credential; the message says which plugin, why, and quotes its stderr."""


class PluginCredential(msgspec.Struct, frozen=True):
    """What a plugin printed. expires_s: Unix time; None: it did not say."""

    token: Secret | None = None
    certificate: bytes | None = None
    key: Secret | None = None  # with `certificate`, always
    expires_s: float | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: str | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    kind: str = ""
    api_version: str = ""
    status: _Status | None = None


async def run_plugin(
    plugin: ExecPlugin, ca: bytes | None, *, timeout_s: float = TIMEOUT_S
) -> PluginCredential:
    """Run the plugin once. ca: the cluster's CA, for plugins that asked for cluster information.

    Raises PluginFailed. A cancelled or overdue plugin is killed with everything it started.
    """
    environment = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": encode_exec_info(plugin, ca)}
    try:
        with trio.fail_after(timeout_s):
            code, output, errors = await _run(plugin, environment)
    except trio.TooSlowError as error:
        raise PluginFailed(f"exec plugin {plugin.command!r} did not end within {timeout_s:.0f} s") from error
    except OSError as error:
        hint = f" ({make_visible(plugin.install_hint.strip(), 500)})" if plugin.install_hint else ""
        raise PluginFailed(
            f"exec plugin {plugin.command!r} cannot be started: {error.strerror}{hint}"
        ) from error
    if code != 0:
        said = make_visible(errors.decode(errors="replace").strip(), _SHOWN_STDERR)
        raise PluginFailed(
            f"exec plugin {plugin.command!r} ended with code {code}: {said or 'it printed no error'}"
        )
    return parse_exec_credential(output, plugin)


def encode_exec_info(plugin: ExecPlugin, ca: bytes | None) -> str:
    """The value of KUBERNETES_EXEC_INFO."""
    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster is not None:
        data = {"certificate-authority-data": base64.b64encode(ca).decode()} if ca else {}
        spec["cluster"] = {**plugin.cluster, **data}
    return json.dumps({"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec})


def parse_exec_credential(output: bytes, plugin: ExecPlugin) -> PluginCredential:
    """Read what a plugin printed. Raises PluginFailed, never quoting the output: it holds the secret."""
    where = f"exec plugin {plugin.command!r}"
    try:
        found = msgspec.json.decode(output, type=_ExecCredential)
    except UNDECODABLE as error:
        why = str(error) if isinstance(error, msgspec.ValidationError) else "not JSON"
        raise PluginFailed(f"{where} did not print an ExecCredential: {why}") from None
    if found.kind != "ExecCredential" or found.api_version != plugin.api_version:
        raise PluginFailed(
            f"{where} did not print an ExecCredential of {plugin.api_version}, as its kubeconfig says"
        )
    status = found.status or _Status()
    if bool(status.client_certificate_data) != bool(status.client_key_data):
        raise PluginFailed(f"{where} printed a certificate without a key, or a key without a certificate")
    if not status.token and not status.client_certificate_data:
        raise PluginFailed(f"{where} printed neither a token nor a certificate")
    token = (status.token or "").encode()
    if len(token) > MAX_TOKEN_BYTES or not is_field_value(token):
        raise PluginFailed(f"{where} printed a token that does not fit into a header")
    return PluginCredential(
        token=Secret(token) if token else None,
        certificate=status.client_certificate_data.encode() if status.client_certificate_data else None,
        key=Secret(status.client_key_data.encode()) if status.client_key_data else None,
        expires_s=_parse_time(status.expiration_timestamp, where) if status.expiration_timestamp else None,
    )


def _parse_time(text: str, where: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        raise PluginFailed(f"{where} printed an expirationTimestamp that is not RFC 3339") from None


async def _run(plugin: ExecPlugin, environment: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Exit code, standard output, the end of standard error."""
    output, errors = bytearray(), bytearray()
    process: trio.Process | None = None

    async def read(stream: trio.abc.ReceiveStream, into: bytearray, *, strict: bool) -> None:
        async for data in stream:
            into += data
            if strict and len(into) > MAX_OUTPUT_BYTES:
                raise PluginFailed(
                    f"exec plugin {plugin.command!r} printed more than {MAX_OUTPUT_BYTES} bytes"
                )
            if not strict:
                del into[: -4 * _SHOWN_STDERR]

    try:
        async with trio.open_nursery() as nursery:
            process = await nursery.start(
                partial(
                    trio.run_process,
                    [plugin.command, *plugin.args],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    check=False,
                    start_new_session=True,  # so that what it starts can be killed with it
                    deliver_cancel=_kill_group,
                )
            )
            assert process is not None
            assert process.stdout is not None
            assert process.stderr is not None
            nursery.start_soon(partial(read, process.stdout, output, strict=True))
            nursery.start_soon(partial(read, process.stderr, errors, strict=False))
    except BaseExceptionGroup as group:
        raise _only_cause(group) from None
    finally:
        if process is not None:
            await _kill_group(process)  # it may have left children that hold its output open
    return process.returncode or 0, bytes(output), bytes(errors)


async def _kill_group(process: trio.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _only_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What really went wrong in a nursery in which one failure cancels the rest."""
    known = group.subgroup((PluginFailed, OSError))
    cause: BaseException = known or group
    while isinstance(cause, BaseExceptionGroup):
        if len(cause.exceptions) > 1 and known is None:
            return group
        cause = cause.exceptions[0]
    return cause
