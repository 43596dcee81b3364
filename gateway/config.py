"""Settings: one YAML file, strict, with flags on top. Every mistake is named with its line.

Decoded at the edge into frozen structs; nothing past this module sees YAML.
"""

from enum import Enum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from gateway.console.settings import ConsoleSettings
from gateway.durability import Durability
from gateway.errors import GatewayError
from gateway.export.settings import S3Settings
from gateway.identity.settings import IdentitySettings
from gateway.keys.settings import EncryptionSettings
from gateway.notify.settings import ApprovalsSettings
from gateway.outlets.settings import OutletSettings, check_outlets
from gateway.retention.settings import RetentionSettings
from gateway.state.settings import StateSettings
from gateway.strict_yaml import YamlMistake, explain, read_document
from gateway.upstream.request import IdentityMode

MAX_CONFIG_BYTES: Final = 1024 * 1024
DEFAULT_CONSOLE: Final = "127.0.0.1:8443"
API_VERSION: Final = "kubetape/v1"
MAX_WORKERS: Final = 64
Positive = Annotated[int, msgspec.Meta(gt=0)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class BadConfig(GatewayError):
    """The configuration cannot be used; the message names the file, the line and what would do."""


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of everything in the file: unknown keys are mistakes."""


class TlsFiles(Strict, frozen=True):
    """The gateway's certificate; without it one is made at first start."""

    cert: str
    key: str


class Listen(Strict, frozen=True):
    """Where clients connect. Addresses are host:port; port 0 takes any free one."""

    data: str = "127.0.0.1:6443"
    management: str = "127.0.0.1:9090"
    console: str | None = (
        None  # the management API; "": none; default: 127.0.0.1:8443 where there is a policy
    )
    names: list[str] = []  # further DNS names and addresses the made certificate is for
    tls: TlsFiles | None = None
    shutdown_delay_seconds: NotNegative = 0  # readyz fails for so long before a drain begins


class KubeconfigSource(Strict, frozen=True):
    path: str
    context: str | None = None


class DirectSource(Strict, frozen=True):
    """An API server by URL, with exactly one kind of credential."""

    server: str
    ca_file: str | None = None
    token_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


class Cluster(Strict, frozen=True):
    """The guarded cluster: exactly one of the three sources."""

    name: str = "cluster"
    kubeconfig: KubeconfigSource | None = None
    in_cluster: bool = False
    direct: DirectSource | None = None
    identity: IdentityMode = IdentityMode.SHARED


class IndexMode(Enum):
    """What the search index on the gateway's disk holds, in clear text."""

    FULL = "full"  # texts, command lines, bodies
    METADATA = "metadata"  # who, when, verb, object, status, sizes
    NONE = "none"


class Record(Strict, frozen=True):
    """Where and how calls are recorded. Recording itself cannot be switched off."""

    dir: str = "kubetape-data"
    durability: Durability = Durability.BALANCED
    segment_bytes: Positive = 64 * 1024 * 1024
    encryption: EncryptionSettings = EncryptionSettings()
    index: IndexMode | None = None  # default: full where the gateway can read its own log, else none
    retention: RetentionSettings = RetentionSettings()


class WitnessSettings(Strict, frozen=True):
    """Somebody who remembers our checkpoints and refuses a forked history (C2SP tlog-witness)."""

    url: str  # of the witness; add-checkpoint is asked below it
    vkey: str  # its public key, as `kubetape witness` prints it
    ca_file: str | None = None  # PEM, replaces the system's roots


class Checkpoints(Strict, frozen=True):
    """What is done with each signed checkpoint besides keeping and exporting it."""

    witnesses: list[WitnessSettings] = []


class Export(Strict, frozen=True):
    """Where sealed segments, trees and keys are copied to."""

    s3: S3Settings | None = None


class PolicySettings(Strict, frozen=True):
    """Where the policy files are, and which shipped packs join them. Nothing: observe mode."""

    dir: str = ""
    packs: list[str] = []  # names, see `kubetape policy packs ls`

    @property
    def origin(self) -> str:
        """What decides, in words; "" in observe mode."""
        packs = f"{'packs' if len(self.packs) > 1 else 'pack'} {', '.join(self.packs)}" if self.packs else ""
        return " and ".join(filter(None, (self.dir, packs)))


class Settings(Strict, frozen=True):
    """Everything `kubetape serve` can be told."""

    api_version: str = API_VERSION
    listen: Listen = Listen()
    clusters: list[Cluster] = []
    identity: IdentitySettings = IdentitySettings()  # nothing: one first user, loopback only
    policy: PolicySettings = PolicySettings()
    state: StateSettings = StateSettings()
    record: Record = Record()
    checkpoints: Checkpoints = Checkpoints()
    export: Export = Export()
    sinks: list[OutletSettings] = []
    console: ConsoleSettings = ConsoleSettings()
    approvals: ApprovalsSettings = ApprovalsSettings()
    workers: Annotated[int, msgspec.Meta(gt=0, le=MAX_WORKERS)] | Literal["auto"] = 1
    drain_seconds: Positive = 5
    patience_seconds: Positive = 25  # a held call is kept open so long, then told to come back

    @property
    def cluster(self) -> Cluster:
        """The one cluster (checked by `check_settings`)."""
        return self.clusters[0]

    @property
    def console_address(self) -> str:
        """Where the management API listens; "": nowhere. Without a policy there is nothing to approve."""
        if self.listen.console is None:
            return DEFAULT_CONSOLE if self.policy.dir or self.policy.packs else ""
        return self.listen.console

    @property
    def has_identity(self) -> bool:
        return bool(self.identity.issuers or self.identity.token_file or self.identity.certificates)


def load_settings(path: Path) -> Settings:
    """Read and check a configuration file. Raises BadConfig."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise BadConfig(
            f"{path} is larger than {MAX_CONFIG_BYTES} bytes: that is no configuration of kubetape"
        )
    return parse_settings(content, str(path))


def parse_settings(content: bytes, origin: str) -> Settings:
    """Decode the text of a configuration file. Raises BadConfig, with the line."""
    try:
        document = read_document(content)
        try:
            settings = msgspec.convert(document.value, Settings)
        except msgspec.ValidationError as error:
            raise explain(str(error), document, (), Settings) from error
    except YamlMistake as mistake:
        where = f"{origin}:{mistake.line}" if mistake.line else origin
        raise BadConfig(f"{where}: {mistake.message}") from mistake
    if settings.api_version != API_VERSION:
        raise BadConfig(
            f"{origin}: apiVersion is {settings.api_version!r}; this version reads {API_VERSION!r}"
        )
    return settings


def check_settings(settings: Settings) -> None:
    """What no single value can tell. Raises BadConfig."""
    if len(settings.clusters) != 1:
        raise BadConfig(
            "name exactly one cluster: --upstream-kubeconfig FILE, --in-cluster, or `clusters:` in the file"
        )
    cluster = settings.cluster
    sources = [cluster.kubeconfig is not None, cluster.in_cluster, cluster.direct is not None]
    if sum(sources) != 1:
        raise BadConfig(f"cluster {cluster.name!r} needs exactly one of kubeconfig, inCluster: true, direct")
    parse_address(settings.listen.data)
    parse_address(settings.listen.management)
    if settings.console_address:
        parse_address(settings.console_address)
    try:
        check_outlets(settings.sinks)
    except ValueError as error:
        raise BadConfig(f"sinks: {error}") from error


def parse_address(text: str) -> tuple[str, int]:
    """host:port -> (host, port). An empty host is every address. Raises BadConfig."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadConfig(f"{text!r} is not an address: write HOST:PORT, such as 127.0.0.1:6443")
    return host.strip("[]") or "0.0.0.0", int(port)
