"""kubeconfig -> how to reach one cluster, and what to prove ourselves with. Pure: it reads no other file.

Decides what of a kubeconfig a gateway can use. Unknown keys are ignored, as client-go does; what would
weaken the connection (no verification, plain HTTP, a proxy) or what only a person at a terminal can use
is refused, with what to do instead. Relative paths are resolved against the directory of the file.
The trap: YAML reads `token: 0123` as a number and a date as a date; both must be strings here.
Source: k8s.io/client-go tools/clientcmd/api/v1 types.go and plugin/pkg/client/auth/exec.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import yaml

from gateway.errors import GatewayError
from gateway.upstream.secret import Secret
from gateway.yaml_depth import check_depth
from protocol.headers import is_field_value, parse_authority

MAX_KUBECONFIG_BYTES: Final = 4 * 1024 * 1024
"""kubeconfigs of hundreds of clusters with embedded certificates stay below."""

MAX_VALUES: Final = 200_000

EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
CONSOLE_EXTENSION: Final = "kubetape"
"""Of a cluster that is a gateway of ours: {console: URL of its management API}. kubectl keeps it and ignores it."""

_SERVER: Final = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9_~!$&'()*+,;=:@.-]*)*")
_NAMED: Final = 20  # names listed in an error


class BadKubeconfig(GatewayError, ValueError):
    """The kubeconfig cannot be used; the message names the file, the place and what would do."""


class ExecPlugin(msgspec.Struct, frozen=True):
    """A program that prints an ExecCredential."""

    api_version: str
    command: str  # a path if it holds a slash, else looked up in PATH
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    install_hint: str = ""
    cluster: dict[str, Any] | None = None  # spec.cluster, where the kubeconfig asks for it; without the CA


class UserAccess(msgspec.Struct, frozen=True):
    """What proves us to the cluster. bytes are the content of a file; Path is its place."""

    token: Secret | None = None
    token_file: Path | None = None
    username: str = ""
    password: Secret | None = None
    certificate: bytes | Path | None = None
    key: Secret | Path | None = None  # with `certificate`, always
    plugin: ExecPlugin | None = None  # alone, always


class ClusterAccess(msgspec.Struct, frozen=True):
    """One context, checked. path_prefix: without a slash at its end; b"" for none."""

    context: str
    server: str  # the URL as written
    host: str  # lower case, IPv6 without brackets
    port: int
    authority: bytes  # as it goes into Host
    path_prefix: bytes
    server_name: str  # what the certificate must be for
    ca: bytes | Path | None  # None: the system's roots
    user: UserAccess
    console: str = ""  # URL of the gateway's management API, where the kubeconfig says it


# --- the file as it is written ------------------------------------------------------------------


class _File(msgspec.Struct, rename="kebab"):
    """Base: the kebab-case keys of clientcmd; null counts as absent (see `_without_nulls`)."""


class _Extension(msgspec.Struct):
    name: str
    extension: Any = None


class _Cluster(_File):
    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str = ""
    extensions: list[_Extension] = []


class _EnvVar(msgspec.Struct):
    name: str
    value: str = ""


class _Exec(msgspec.Struct, rename="camel"):
    command: str = ""
    args: list[str] = []
    env: list[_EnvVar] = []
    api_version: str = ""
    interactive_mode: str = ""
    provide_cluster_info: bool = False
    install_hint: str = ""


class _User(_File):
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    username: str = ""
    password: str = ""
    act_as: str = msgspec.field(default="", name="as")
    act_as_groups: list[str] = msgspec.field(default_factory=list, name="as-groups")
    exec: _Exec | None = None
    auth_provider: dict[str, Any] | None = None


class _Context(_File):
    cluster: str = ""
    user: str = ""


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct):
    name: str
    user: _User = msgspec.field(default_factory=_User)


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


class _Kubeconfig(_File):
    kind: str = "Config"
    api_version: str = msgspec.field(default="v1", name="apiVersion")
    current_context: str = ""
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []


_Named = TypeVar("_Named", _NamedCluster, _NamedUser, _NamedContext)


class _Loader(yaml.CSafeLoader):
    """YAML without dates: kubectl's YAML has none, and a token or name may look like one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def parse_kubeconfig(content: bytes, path: Path, context: str | None = None) -> ClusterAccess:
    """Read one context of a kubeconfig.

    content: the file; path: where it is, for relative paths and for messages; context: None takes the
    current one. Raises BadKubeconfig.
    """
    if len(content) > MAX_KUBECONFIG_BYTES:
        raise BadKubeconfig(f"{path}: larger than {MAX_KUBECONFIG_BYTES} bytes, which is no kubeconfig")
    config = _decode(content, path)
    name = context or config.current_context
    if not name:
        raise BadKubeconfig(f"{path}: no current-context is set; choose one of: {_names(config.contexts)}")
    chosen = _find(config.contexts, name, "context", path).context
    where = f"{path}: context {name!r}"
    cluster = _find(config.clusters, chosen.cluster, "cluster", path, f" of context {name!r}").cluster
    user = _find(config.users, chosen.user, "user", path, f" of context {name!r}").user
    return _check_cluster(name, cluster, _check_user(user, cluster, path.parent, where), path.parent, where)


def _decode(content: bytes, path: Path) -> _Kubeconfig:
    try:
        check_depth(content)
        found = yaml.load(content, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadKubeconfig(f"{path}{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadKubeconfig(f"{path}: not YAML: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise BadKubeconfig(f"{path}: not a kubeconfig: it has no keys")
    try:
        config = msgspec.convert(_without_nulls(found), _Kubeconfig)
    except msgspec.ValidationError as error:
        # msgspec names the path and the types, never the value.
        raise BadKubeconfig(f"{path}: not a kubeconfig: {error}") from error
    except RecursionError as error:
        raise BadKubeconfig(f"{path}: not a kubeconfig: its aliases unfold without end") from error
    if config.kind != "Config" or config.api_version != "v1":
        raise BadKubeconfig(f"{path}: kind and apiVersion are not those of a kubeconfig (Config, v1)")
    return config


def _without_nulls(value: Any, budget: list[int] | None = None) -> Any:
    """Drop null members: kubectl writes `users: null` and means none.

    budget: values still allowed; YAML aliases let a small file stand for a huge tree.
    """
    budget = [MAX_VALUES] if budget is None else budget
    budget[0] -= 1
    if budget[0] < 0:
        raise RecursionError
    if isinstance(value, dict):
        return {
            str(key): _without_nulls(member, budget) for key, member in value.items() if member is not None
        }
    return [_without_nulls(member, budget) for member in value] if isinstance(value, list) else value


def _find(named: list[_Named], name: str, what: str, path: Path, of: str = "") -> _Named:
    for entry in named:
        if entry.name == name:
            return entry
    if not name:
        raise BadKubeconfig(f"{path}: no {what}{of} is set")
    raise BadKubeconfig(f"{path}: the {what} {name!r}{of} does not exist; there are: {_names(named)}")


def _names(named: list[_Named]) -> str:
    names = [entry.name for entry in named]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more if names else "none"


def _check_cluster(
    context: str, cluster: _Cluster, user: UserAccess, directory: Path, where: str
) -> ClusterAccess:
    if cluster.insecure_skip_tls_verify:
        raise BadKubeconfig(
            f"{where}: insecure-skip-tls-verify is refused: whoever answers would get our credential; "
            "give certificate-authority instead"
        )
    if cluster.proxy_url:
        raise BadKubeconfig(
            f"{where}: proxy-url is not supported: the gateway connects to the API server itself"
        )
    host, port, authority, prefix = parse_server(cluster.server, where)
    ca: bytes | Path | None = None
    if cluster.certificate_authority_data:
        ca = _decode_base64(cluster.certificate_authority_data, "certificate-authority-data", where)
    elif cluster.certificate_authority:
        ca = directory / cluster.certificate_authority
    return ClusterAccess(
        context=context,
        server=cluster.server,
        host=host,
        port=port,
        authority=authority,
        path_prefix=prefix,
        server_name=cluster.tls_server_name or host,
        ca=ca,
        user=user,
        console=_console(cluster),
    )


def _console(cluster: _Cluster) -> str:
    for extension in cluster.extensions:
        if extension.name == CONSOLE_EXTENSION and isinstance(extension.extension, dict):
            url = extension.extension.get("console")
            return url if isinstance(url, str) else ""
    return ""


def parse_server(server: str, where: str) -> tuple[str, int, bytes, bytes]:
    """Read a server URL: (host, port, authority for Host, path prefix). Raises BadKubeconfig."""
    match = _SERVER.fullmatch(server)
    if match is None:
        raise BadKubeconfig(f"{where}: server is not of the form https://host[:port][/prefix]")
    if match["scheme"].lower() != "https":
        raise BadKubeconfig(
            f"{where}: server is {match['scheme']}://, and only https:// is used: verified TLS"
        )
    authority = parse_authority(match["authority"].encode())
    if authority is None:
        raise BadKubeconfig(f"{where}: server names no plain host and port (a user in it is not supported)")
    host, colon, port = authority.decode().rpartition(":")
    if not colon or "]" in port:
        host, port = authority.decode(), "443"
    prefix = match["path"].rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise BadKubeconfig(f"{where}: the path of server has empty, dot or escaped segments")
    return host.strip("[]"), int(port), authority, prefix.encode()


def _check_user(user: _User, cluster: _Cluster, directory: Path, where: str) -> UserAccess:
    _refuse_unusable(user, where)
    certificate: bytes | Path | None = None
    key: Secret | Path | None = None
    if user.client_certificate_data:
        certificate = _decode_base64(user.client_certificate_data, "client-certificate-data", where)
    elif user.client_certificate:
        certificate = directory / user.client_certificate
    if user.client_key_data:
        key = Secret(_decode_base64(user.client_key_data, "client-key-data", where))
    elif user.client_key:
        key = directory / user.client_key
    if (certificate is None) != (key is None):
        raise BadKubeconfig(
            f"{where}: the user needs both client-certificate and client-key, and has one of them"
        )
    if user.token and not is_field_value(user.token.encode()):
        raise BadKubeconfig(f"{where}: the token holds blanks or control characters")
    access = UserAccess(
        token=Secret(user.token.encode()) if user.token else None,
        token_file=directory / user.token_file if user.token_file else None,
        username=user.username,
        password=Secret(user.password.encode()) if user.username else None,
        certificate=certificate,
        key=key,
    )
    if access != UserAccess():
        return access  # client-go, too, skips the plugin when there is anything else
    if user.exec is None:
        raise BadKubeconfig(
            f"{where}: the user has no credential (token, tokenFile, client-certificate, exec)"
        )
    return UserAccess(plugin=_check_exec(user.exec, cluster, directory, where))


def _refuse_unusable(user: _User, where: str) -> None:
    if user.auth_provider is not None:
        raise BadKubeconfig(
            f"{where}: auth-provider is not supported (kubectl dropped it in 1.26): use an exec plugin or a token"
        )
    if user.act_as or user.act_as_groups:
        raise BadKubeconfig(f"{where}: `as` is not supported: kubetape impersonates by itself, per person")
    if user.username and (user.token or user.token_file):
        raise BadKubeconfig(f"{where}: the user has both a token and a username: keep one")
    if ":" in user.username:
        raise BadKubeconfig(f"{where}: a username cannot hold a colon")


def _check_exec(plugin: _Exec, cluster: _Cluster, directory: Path, where: str) -> ExecPlugin:
    if plugin.api_version not in EXEC_VERSIONS:
        raise BadKubeconfig(f"{where}: exec.apiVersion must be one of {', '.join(EXEC_VERSIONS)}")
    if plugin.interactive_mode == "Always":
        raise BadKubeconfig(
            f"{where}: the exec plugin needs a terminal (interactiveMode: Always), which a gateway has not: "
            "use a plugin that works alone, or a token"
        )
    # v1 requires it; v1beta1 defaults it.
    allowed = (
        ("Never", "IfAvailable") if plugin.api_version == EXEC_VERSIONS[0] else ("Never", "IfAvailable", "")
    )
    if plugin.interactive_mode not in allowed:
        raise BadKubeconfig(f"{where}: exec.interactiveMode must be Never or IfAvailable")
    if not plugin.command:
        raise BadKubeconfig(f"{where}: exec.command is not set")
    command = plugin.command
    if "/" in command:
        command = str(directory / command)
    return ExecPlugin(
        api_version=plugin.api_version,
        command=command,
        args=tuple(plugin.args),
        env=tuple((variable.name, variable.value) for variable in plugin.env),
        install_hint=plugin.install_hint,
        cluster=_cluster_info(cluster) if plugin.provide_cluster_info else None,
    )


def _cluster_info(cluster: _Cluster) -> dict[str, Any]:
    """`spec.cluster` of an ExecCredential, but for the CA, which may be in a file."""
    info: dict[str, Any] = {"server": cluster.server}
    if cluster.tls_server_name:
        info["tls-server-name"] = cluster.tls_server_name
    for extension in cluster.extensions:
        if extension.name == EXEC_EXTENSION:
            info["config"] = extension.extension
    return info


def _decode_base64(text: str, what: str, where: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadKubeconfig(f"{where}: {what} is not base64") from None
