"""The only place where long-lived objects are made and meet.

`open_gateway` builds the data path from settings, starts its tasks, and takes it down in the reverse
order: clients first, the log last.
"""

import ssl
import time
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import trio

from gateway import exchange, heartbeat, journal
from gateway.config import BadConfig, Settings, check_settings, parse_address
from gateway.console.context import ConsoleServices
from gateway.console.serve import effective_admins, serve_console
from gateway.decision_parts import load_policy, open_decision_parts
from gateway.errors import refusal_for
from gateway.evidence import build_intent
from gateway.first_user import TOKENS_FILE, ensure_token, write_kubeconfig
from gateway.identity.authenticate import Authenticator
from gateway.identity.keys import IssuerKeys
from gateway.identity.tokens import StaticTokens
from gateway.keeper import Keeper
from gateway.keeper_messages import KeeperStatus, Orders
from gateway.live import Live
from gateway.metrics import Metrics
from gateway.notify.running import notify_people
from gateway.record_opening import OpenRecord, gateway_id, open_record
from gateway.recorder import Recorder
from gateway.server.listener import Listener
from gateway.server.management import Check, serve_management
from gateway.server.names import HostNames, names_of_certificate
from gateway.server.request import ConnectionFacts
from gateway.server.tls import Certificate, ensure_certificate, is_loopback, server_context
from gateway.services import Services
from gateway.sessions import Sessions
from gateway.tape import Tape
from gateway.upstream.credentials import UpstreamCluster, from_flags, load_in_cluster, load_kubeconfig
from gateway.upstream.pool import Pool
from protocol.errors import RemoteProtocolError
from protocol.events import BodyChunk, EndOfBody, Event, RequestHead, ResponseHead
from protocol.status import encode_status, status_headers
from storage.errors import LogFailed
from storage.files import Headroom
from storage.records import LogStopped

WORKER: Final = 0
"""This version runs one worker per data directory."""
LAST_WORDS_S: Final = 3.0
"""What ended streams may take to tell their users why."""


class Gateway:
    """A running gateway: where it listens, how it is, and how to end it."""

    def __init__(
        self, settings: Settings, data_dir: Path, record: OpenRecord, services: Services, keeper: Keeper
    ) -> None:
        self.settings = settings
        self.data_dir = data_dir
        self.record = record
        self.recorder = record.recorder
        self.services = services
        self.keeper = keeper
        self.listener: Listener | None = None
        self.management_port = 0
        self.console_port = 0
        self.first_token = ""  # of observe mode's one user
        self.kubeconfig: Path | None = None
        self.draining = trio.Event()
        self.ended = trio.Event()  # log closed, and the keeper is done with it

    @property
    def port(self) -> int:
        return self.listener.port if self.listener else 0

    def start_drain(self) -> None:
        """Begin an orderly end; `open_gateway` returns when it is done."""
        self.draining.set()


async def open_gateway(
    settings: Settings,
    *,
    accept_loss: str = "",
    task_status: trio.TaskStatus[Gateway] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until drained. accept_loss: see `open_record`. Raises BadConfig and friends before anything is
    started."""
    check_settings(settings)
    _check_observe_mode(settings)
    data_dir = _data_dir(settings)
    cluster = _load_cluster(settings)
    certificate = _certificate(settings, data_dir)
    context = server_context(certificate, client_ca=_client_ca(settings))
    first_token = "" if settings.has_identity else ensure_token(data_dir)
    policy = await load_policy(settings)
    keeper = Keeper(Orders(str(data_dir), gateway_id(data_dir), settings))
    upstream = f"https://{cluster.host}:{cluster.port}"
    record = open_record(settings, data_dir, keeper, policy, upstream=upstream, accept_loss=accept_loss)
    recorder = record.recorder
    pool = Pool(cluster)
    failure: LogFailed | None = None
    async with (
        trio.open_nursery() as keeping
    ):  # outlives the log, and brings everything made of it to its end
        keeping.start_soon(keeper.run)
        try:
            async with trio.open_nursery() as nursery:
                live = Live()
                deciding = open_decision_parts(
                    settings, data_dir, gateway_id(data_dir), policy, recorder, live
                )
                services = Services(
                    authenticator=_authenticator(settings, data_dir),
                    recorder=recorder,
                    sessions=Sessions(),
                    live=live,
                    pool=pool,
                    identity_mode=settings.cluster.identity,
                    durability=settings.record.durability,
                    host_names=_host_names(settings, certificate),
                    policy=policy,
                    state=deciding.state,
                    revocations=deciding.revocations,
                    budgets=deciding.budgets,
                    counts=deciding.counts,
                    patience_s=settings.patience_seconds,
                )
                gateway = Gateway(settings, data_dir, record, services, keeper)
                gateway.first_token = first_token
                await deciding.start(nursery)
                await nursery.start(notify_people, settings, deciding.state)
                await _start(gateway, nursery, context, certificate)
                task_status.started(gateway)
                await gateway.draining.wait()
                await _drain(gateway)
                nursery.cancel_scope.cancel()
        finally:
            pool.close()
            failure = await _close(recorder)
        keeper.stop()
    gateway.ended.set()
    if failure is not None:
        raise failure


async def _close(recorder: Recorder) -> LogFailed | None:
    """End the log in order; what went wrong is returned, for the keeper still has to end."""
    with suppress(LogFailed):  # it has been reported
        recorder.append(LogStopped(time.time_ns(), "drained"), urgent=True)
    try:
        await recorder.close()
    except LogFailed as failure:
        return failure
    return None


async def _start(
    gateway: Gateway, nursery: trio.Nursery, context: ssl.SSLContext, certificate: Certificate
) -> None:
    services, settings = gateway.services, gateway.settings
    await nursery.start(services.pool.cluster.credential.run)
    await nursery.start(services.authenticator.run)
    nursery.start_soon(services.pool.run)
    nursery.start_soon(heartbeat.beat, gateway.recorder)
    nursery.start_soon(_end_streams_when_recording_fails, gateway)
    serve = partial(exchange.serve, services=services)
    gateway.listener = Listener(context, serve, partial(_refuse_malformed, services))
    host, port = parse_address(settings.listen.data)
    await nursery.start(gateway.listener.run, host, port)
    management_host, management_port = parse_address(settings.listen.management)
    gateway.management_port = await nursery.start(
        partial(
            serve_management,
            management_host,
            management_port,
            live=_live_checks(),
            ready=_ready_checks(gateway),
            metrics=Metrics(
                partial(_own_figures, gateway), partial(_keeper_report, gateway), services.counts
            ).text,
        )
    )
    if settings.console_address:
        serve = partial(serve_console, settings, _console_services(gateway), context)
        gateway.console_port = await nursery.start(serve)
    if gateway.first_token and certificate.ca is not None:
        server = f"https://{'127.0.0.1' if host == '0.0.0.0' else host}:{gateway.port}"
        gateway.kubeconfig = write_kubeconfig(
            gateway.data_dir,
            gateway.first_token,
            server=server,
            ca_file=certificate.ca,
            console=_console_url(gateway),
        )


def _console_url(gateway: Gateway) -> str:
    """For the first user, who is on this machine."""
    host, _ = parse_address(gateway.settings.console_address or "127.0.0.1:0")
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}:{gateway.console_port}" if gateway.console_port else ""


def _console_services(gateway: Gateway) -> ConsoleServices:
    services = gateway.services
    return ConsoleServices(
        authenticator=services.authenticator,
        state=services.state,
        host_names=services.host_names,
        policy=lambda: services.policy.current,
        session_of=services.sessions.open_session,
        admins=effective_admins(gateway.settings),
    )


def _check_observe_mode(settings: Settings) -> None:
    """Without identity settings the only credential is a token in the data directory: loopback only."""
    host, _ = parse_address(settings.listen.data)
    if not settings.has_identity and not is_loopback(host):
        raise BadConfig(
            f"observe mode listens on loopback only, not on {host}: configure an issuer "
            "(--oidc-issuer URL --oidc-audience NAME), client certificates or a token file first"
        )


def _data_dir(settings: Settings) -> Path:
    directory = Path(settings.record.dir)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadConfig(
            f"cannot use the data directory {directory}: {error.strerror}; choose another --data-dir"
        ) from error
    return directory


def _load_cluster(settings: Settings) -> UpstreamCluster:
    cluster = settings.cluster
    if cluster.kubeconfig is not None:
        return load_kubeconfig(Path(cluster.kubeconfig.path), cluster.kubeconfig.context)
    if cluster.direct is not None:
        direct = cluster.direct
        return from_flags(
            direct.server,
            ca_file=_path(direct.ca_file),
            token_file=_path(direct.token_file),
            client_cert=_path(direct.client_certificate),
            client_key=_path(direct.client_key),
        )
    return load_in_cluster()


def _path(text: str | None) -> Path | None:
    return Path(text) if text is not None else None


def _certificate(settings: Settings, data_dir: Path) -> Certificate:
    files = settings.listen.tls
    if files is not None:
        return Certificate(Path(files.cert), Path(files.key), None)
    host, _ = parse_address(settings.listen.data)
    names = ["localhost", "127.0.0.1", "::1", *settings.listen.names]
    if host not in ("0.0.0.0", "::"):
        names.append(host)
    return ensure_certificate(data_dir / "tls", names)


def _host_names(settings: Settings, certificate: Certificate) -> HostNames:
    """Those of the certificate, those of the settings, and the address we listen on."""
    host, _ = parse_address(settings.listen.data)
    return HostNames([*names_of_certificate(certificate.chain.read_bytes()), *settings.listen.names, host])


def _client_ca(settings: Settings) -> Path | None:
    rules = settings.identity.certificates
    return Path(rules.ca_file) if rules else None


def _authenticator(settings: Settings, data_dir: Path) -> Authenticator:
    identity = settings.identity
    token_file = identity.token_file
    if not settings.has_identity:
        token_file = str(data_dir / TOKENS_FILE)
    return Authenticator(
        issuers=[IssuerKeys(issuer) for issuer in identity.issuers],
        tokens=StaticTokens(Path(token_file)) if token_file else None,
        certificates=identity.certificates,
    )


def _refuse_malformed(
    services: Services, facts: ConnectionFacts, error: RemoteProtocolError
) -> tuple[Event, ...]:
    """Record bytes that are no request, and answer them: what is refused leaves a trace too."""
    refusal = refusal_for(error)
    body = encode_status(refusal.answer.code, refusal.answer.reason, refusal.message)
    head = ResponseHead(refusal.answer.code, status_headers(body))
    tape = Tape(services.recorder, uuid.uuid4().bytes)
    nothing = RequestHead(method=b"", target=b"", authority=b"", headers=())
    try:
        if services.recorder.headroom() is Headroom.CRITICAL:
            return head, BodyChunk(body), EndOfBody()  # what is left is for the calls that run
        tape.intent(
            build_intent(
                nothing,
                facts,
                exchange=tape.exchange,
                at_ns=tape.started_ns,
                verdict=services.policy.unjudged,
                durability=2,
            )
        )
        tape.response_head(head.status, head.headers)
        tape.response_body(body)
        tape.end("refused", refusal.message)
    except LogFailed:
        pass  # the answer refuses anyway
    return head, BodyChunk(body), EndOfBody()


async def _end_streams_when_recording_fails(gateway: Gateway) -> None:
    await gateway.recorder.failed.wait()
    journal.problem(
        "recording", f"recording failed, every call is refused from now on: {gateway.recorder.failure}"
    )
    gateway.services.live.cut_all(exchange.UNRECORDED_STREAM)


async def _drain(gateway: Gateway) -> None:
    """Let short calls finish, then end the endless ones with a reason, then close what is left."""
    live, listener = gateway.services.live, gateway.listener
    assert listener is not None
    listener.drain()
    with trio.move_on_after(gateway.settings.drain_seconds):
        await live.wait_none()
    live.cut_all("kubetape is shutting down")
    with trio.move_on_after(LAST_WORDS_S):
        await live.wait_none()
    gateway.services.pool.close()


def _own_figures(gateway: Gateway) -> dict[str, float]:
    recorder, live, keys = gateway.recorder, gateway.services.live, gateway.record.keys
    figures = {
        "kubetape_record_backlog_bytes": float(recorder.pending_bytes),
        "kubetape_record_failed": float(recorder.failure is not None),
        "kubetape_calls_active": float(len(live)),
        "kubetape_streams_active": float(live.long_running),
        "kubetape_approvals_pending": float(_pending(gateway)),
        "kubetape_data_keys_problem": float(keys is not None and bool(keys.problem)),
    }
    with suppress(LogFailed):
        figures["kubetape_disk_headroom"] = float(recorder.headroom())
    return figures


def _pending(gateway: Gateway) -> int:
    """Calls and grants that wait for people."""
    state = gateway.services.state
    now_ns = state.now_ns()
    holds = sum(hold.state(now_ns) == "pending" for hold in state.view.holds(now_ns))
    return holds + sum(grant.state(now_ns) == "pending" for grant in state.view.grants(now_ns))


def _keeper_report(gateway: Gateway) -> tuple[KeeperStatus, float]:
    status = gateway.keeper.status
    return status, (time.time_ns() - status.at_ns) / 1e9


def _live_checks() -> list[Check]:
    return [("loop", lambda: "")]  # answering at all is the check


def _disk_problem(recorder: Recorder) -> str:
    try:
        headroom = recorder.headroom()
    except LogFailed as error:
        return str(error)
    return (
        ""
        if headroom is Headroom.OK
        else f"disk space is {headroom.name.lower()}: free some, or move the data"
    )


def _key_problem(gateway: Gateway) -> str:
    """Only once no key is left: until then calls are recorded as ever."""
    keys = gateway.record.keys
    return keys.problem if keys is not None and not keys.is_ready else ""


def _state_problem(gateway: Gateway) -> str:
    """Without a policy nothing is held or granted, and revocations stay in force whatever the state does."""
    services = gateway.services
    return services.state.problem() if services.policy.source is not None else ""


def _ready_checks(gateway: Gateway) -> list[Check]:
    recorder, pool = gateway.recorder, gateway.services.pool
    policy = gateway.services.policy
    mode = f"policy-mode-{policy.mode.value}"
    return [
        ("recorder", lambda: str(recorder.failure) if recorder.failure else ""),
        ("disk-headroom", lambda: _disk_problem(recorder)),
        ("data-keys", lambda: _key_problem(gateway)),
        ("upstream", lambda: pool.last_error),
        ("identity", gateway.services.authenticator.problem),
        ("shutdown", lambda: "kubetape is shutting down" if gateway.draining.is_set() else ""),
        ("state", lambda: _state_problem(gateway)),
        (mode, policy.problem),
    ]
