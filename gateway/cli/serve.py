"""`kubetape serve`: run the gateway."""

import gc
import sys
from functools import partial
from pathlib import Path

import click
import msgspec
import trio

from gateway import supervisor
from gateway.config import (
    MAX_WORKERS,
    BadConfig,
    Cluster,
    DirectSource,
    KubeconfigSource,
    Listen,
    PolicySettings,
    Settings,
    check_settings,
    load_settings,
)
from gateway.durability import Durability
from gateway.errors import GatewayError, innermost
from gateway.identity.settings import CertificateRules, IdentitySettings, IssuerSettings
from gateway.process_settings import prepare_process
from gateway.supervisor import Serving, StoppedEarly
from gateway.upstream.kubeconfig import BadKubeconfig
from gateway.upstream.request import IdentityMode
from storage.errors import StorageError

EXIT_FAILED, EXIT_BAD_CONFIG, EXIT_UNREACHABLE = 1, 3, 6


class WorkerCount(click.ParamType[int | str]):
    """A number, or "auto"."""

    name = "workers"

    def convert(
        self, value: object, param: click.Parameter | None, context: click.Context | None
    ) -> int | str:
        text = str(value)
        if text == "auto":
            return text
        if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_WORKERS:
            return int(text)
        self.fail(f"{text!r} is neither auto nor a number from 1 to {MAX_WORKERS}", param, context)


@click.command("serve")
@click.option(
    "-c",
    "--config",
    envvar="KUBETAPE_CONFIG",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="YAML file with all settings; flags win over it.",
)
@click.option("--upstream-kubeconfig", metavar="FILE", help="Kubeconfig of the cluster to guard.")
@click.option("--context", metavar="NAME", help="Context of that kubeconfig; default: its current one.")
@click.option("--in-cluster", is_flag=True, help="Guard the cluster this runs in, with its service account.")
@click.option("--upstream-server", metavar="URL", help="API server by URL, with the next four options.")
@click.option("--upstream-ca", metavar="FILE", help="CA of the API server's certificate (PEM).")
@click.option(
    "--upstream-token-file",
    metavar="FILE",
    help="Bearer token for the API server; read again when it changes.",
)
@click.option("--upstream-client-cert", metavar="FILE", help="Client certificate for the API server (PEM).")
@click.option("--upstream-client-key", metavar="FILE", help="Its key.")
@click.option(
    "--upstream-identity",
    type=click.Choice([mode.value for mode in IdentityMode]),
    help="Whom the cluster sees: our one credential (shared), or the person (impersonate). Default: shared.",
)
@click.option(
    "--data-dir",
    envvar="KUBETAPE_RECORD__DIR",
    show_envvar=True,
    metavar="DIR",
    help="Where everything is kept. Default: kubetape-data.",
)
@click.option(
    "--listen",
    envvar="KUBETAPE_LISTEN__DATA",
    show_envvar=True,
    metavar="HOST:PORT",
    help="Where clients connect. Default: 127.0.0.1:6443.",
)
@click.option(
    "--mgmt-listen",
    envvar="KUBETAPE_LISTEN__MANAGEMENT",
    show_envvar=True,
    metavar="HOST:PORT",
    help="livez and readyz. Default: 127.0.0.1:9090; port 0: any.",
)
@click.option(
    "--console-listen",
    envvar="KUBETAPE_LISTEN__CONSOLE",
    show_envvar=True,
    metavar="HOST:PORT",
    help="Approvals, grants and revocations (docs/approvals.md). Default with a policy: 127.0.0.1:8443; '': none.",
)
@click.option(
    "--tls-name", multiple=True, metavar="NAME", help="A further name or address clients use (repeatable)."
)
@click.option("--oidc-issuer", metavar="URL", help="Accept tokens of this OpenID Connect issuer.")
@click.option(
    "--oidc-audience", multiple=True, metavar="NAME", help="Audience a token must be for (repeatable)."
)
@click.option("--oidc-username-claim", metavar="CLAIM", help="Claim that names the person. Default: sub.")
@click.option("--oidc-groups-claim", metavar="CLAIM", help="Claim that lists the groups. Default: groups.")
@click.option(
    "--oidc-ca", metavar="FILE", help="CA of the issuer's certificate (PEM). Default: the system's."
)
@click.option("--client-ca", metavar="FILE", help="Accept client certificates signed by this CA (PEM).")
@click.option(
    "--token-file", metavar="FILE", help="Accept the tokens of this CSV file: token,user,uid,groups."
)
@click.option(
    "--durability",
    type=click.Choice([level.value for level in Durability]),
    help="What waits for the disk: strict, balanced (default) or relaxed.",
)
@click.option(
    "--workers",
    envvar="KUBETAPE_WORKERS",
    show_envvar=True,
    type=WorkerCount(),
    metavar="N|auto",
    help="Processes that serve clients (auto: one a CPU). Default: 1. SIGHUP replaces several one by one.",
)
@click.option(
    "--policy",
    envvar="KUBETAPE_POLICY__DIR",
    show_envvar=True,
    metavar="DIR",
    help="Policy files (*.yaml). With any, what nothing allows is denied; without, observe mode.",
)
@click.option(
    "--policy-pack",
    multiple=True,
    metavar="NAME",
    help="A policy that comes with kubetape joins them (repeatable): kubetape policy packs ls.",
)
@click.option(
    "--accept-loss",
    metavar="REASON",
    default="",
    help="Go on although signed records are gone (rolled back, removed). The reason is recorded and signed.",
)
def serve(config: Path | None, accept_loss: str, **flags: object) -> None:
    """Run the gateway in front of one cluster.

    Without policy files it is in observe mode: everything identified is allowed, and recorded. Without an issuer,
    client certificates or a token file it listens on loopback only, and DATA_DIR/kubeconfig holds a token for its
    first user.

    \b
    Example:
      kubetape serve --upstream-kubeconfig ~/.kube/config --data-dir ./tape
      export KUBECONFIG=./tape/kubeconfig
      kubectl get pods
    """
    try:
        settings = with_flags(load_settings(config) if config else Settings(), flags)
        check_settings(settings)
    except (BadConfig, msgspec.ValidationError, ValueError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_BAD_CONFIG)
    prepare_process()
    code = 0
    try:
        trio.run(_serve, settings, accept_loss, strict_exception_groups=True)
    except* StoppedEarly:
        pass  # as it was told
    except* (BadConfig, BadKubeconfig) as group:
        code = _report(group, EXIT_BAD_CONFIG)
    except* (GatewayError, StorageError, OSError) as group:
        code = code or _report(group, EXIT_FAILED)
    if code:
        sys.exit(code)  # not within: what is raised there comes out as a group, with a traceback


async def _serve(settings: Settings, accept_loss: str) -> None:
    async with trio.open_nursery() as nursery:
        gateway: Serving = await nursery.start(partial(supervisor.run, settings, accept_loss=accept_loss))
        click.echo("\n".join(gateway.announcement().lines()), err=True)
        # What start-up made lives as long as the process: the collector need not walk it again.
        gc.collect()
        gc.freeze()


def with_flags(settings: Settings, flags: dict[str, object]) -> Settings:
    """Lay the command line over the file. Raises BadConfig for flags that do not fit together."""
    given = {name: value for name, value in flags.items() if value not in (None, (), False)}
    cluster = _cluster(settings, given)
    listen = Listen(
        data=_text(given, "listen") or settings.listen.data,
        management=_text(given, "mgmt_listen") or settings.listen.management,
        console=_text(flags, "console_listen")
        if flags.get("console_listen") is not None
        else settings.listen.console,
        names=[*settings.listen.names, *flags.get("tls_name", ())],  # type: ignore[misc]
        tls=settings.listen.tls,
        shutdown_delay_seconds=settings.listen.shutdown_delay_seconds,
    )
    record = msgspec.structs.replace(
        settings.record,
        dir=_text(given, "data_dir") or settings.record.dir,
        durability=Durability(given.get("durability", settings.record.durability)),
    )
    return msgspec.structs.replace(
        settings,
        workers=given.get("workers", settings.workers),
        clusters=[cluster] if cluster else settings.clusters,
        listen=listen,
        record=record,
        policy=PolicySettings(
            _text(given, "policy") or settings.policy.dir,
            [*settings.policy.packs, *flags.get("policy_pack", ())],  # type: ignore[misc]
        ),
        identity=_identity(settings.identity, given),
    )


def _cluster(settings: Settings, given: dict[str, object]) -> Cluster | None:
    base = settings.clusters[0] if len(settings.clusters) == 1 else Cluster()
    if "upstream_identity" in given:
        base = msgspec.structs.replace(base, identity=IdentityMode(given["upstream_identity"]))
    sources: dict[str, object] = {}
    if "upstream_kubeconfig" in given:
        sources["kubeconfig"] = KubeconfigSource(
            _text(given, "upstream_kubeconfig") or "", _text(given, "context")
        )
    elif "context" in given:
        raise BadConfig("--context names a context of a kubeconfig: give --upstream-kubeconfig FILE too")
    if given.get("in_cluster"):
        sources["in_cluster"] = True
    if "upstream_server" in given:
        sources["direct"] = DirectSource(
            server=_text(given, "upstream_server") or "",
            ca_file=_text(given, "upstream_ca"),
            token_file=_text(given, "upstream_token_file"),
            client_certificate=_text(given, "upstream_client_cert"),
            client_key=_text(given, "upstream_client_key"),
        )
    if not sources:
        return base if settings.clusters else None
    return Cluster(name=base.name, identity=base.identity, **sources)  # type: ignore[arg-type]


def _identity(identity: IdentitySettings, given: dict[str, object]) -> IdentitySettings:
    changes: dict[str, object] = {}
    if "oidc_issuer" in given:
        issuer: dict[str, object] = {"url": given["oidc_issuer"], "audiences": given.get("oidc_audience", ())}
        for flag, field in (
            ("oidc_username_claim", "username_claim"),
            ("oidc_groups_claim", "groups_claim"),
            ("oidc_ca", "ca_file"),
        ):
            if flag in given:
                issuer[field] = given[flag]
        changes["issuers"] = (*identity.issuers, IssuerSettings(**issuer))  # type: ignore[arg-type]
    elif "oidc_audience" in given:
        raise BadConfig("--oidc-audience belongs to an issuer: give --oidc-issuer URL too")
    if "client_ca" in given:
        changes["certificates"] = CertificateRules(ca_file=_text(given, "client_ca") or "")
    if "token_file" in given:
        changes["token_file"] = given["token_file"]
    return msgspec.structs.replace(identity, **changes)


def _text(given: dict[str, object], name: str) -> str | None:
    value = given.get(name)
    return str(value) if value is not None else None


def _report(group: BaseExceptionGroup[Exception], code: int) -> int:
    """Say what went wrong in one line; returns the exit code."""
    click.echo(f"error: {innermost(group)}", err=True)
    return code
