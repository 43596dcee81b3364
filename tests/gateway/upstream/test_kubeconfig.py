import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstream.kubeconfig import (
    MAX_KUBECONFIG_BYTES,
    BadKubeconfig,
    ClusterAccess,
    ExecPlugin,
    UserAccess,
    parse_kubeconfig,
    parse_server,
)
from gateway.upstream.secret import Secret

HERE = Path("/home/ann/.kube/config")
EXEC = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "aws",
    "args": ["eks", "get-token"],
    "env": [{"name": "AWS_PROFILE", "value": "prod"}],
    "interactiveMode": "Never",
    "provideClusterInfo": False,
}


def kubeconfig(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **top: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": "t0ken"} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "current-context": "x",
        **top,
    }


def parse(config: dict[str, Any], context: str | None = None) -> ClusterAccess:
    return parse_kubeconfig(yaml.safe_dump(config).encode(), HERE, context)


def refusal(config: dict[str, Any], context: str | None = None) -> str:
    with pytest.raises(BadKubeconfig) as caught:
        parse(config, context)
    return str(caught.value)


def test_a_token_context_is_read() -> None:
    assert parse(kubeconfig()) == ClusterAccess(
        context="x",
        server="https://api.example:6443",
        host="api.example",
        port=6443,
        authority=b"api.example:6443",
        path_prefix=b"",
        server_name="api.example",
        ca=None,
        user=UserAccess(token=Secret(b"t0ken")),
    )


def test_json_is_yaml() -> None:
    assert parse_kubeconfig(json.dumps(kubeconfig()).encode(), HERE).context == "x"


def test_what_kubectl_writes_beside_it_is_ignored() -> None:
    config = kubeconfig(
        {"disable-compression": True, "extensions": [{"name": "e", "extension": {"a": 1}}]}, preferences={}
    )
    assert parse(config).host == "api.example"


def test_a_context_may_be_chosen_by_name() -> None:
    config = kubeconfig()
    config["clusters"].append({"name": "d", "cluster": {"server": "https://other"}})
    config["contexts"].append({"name": "y", "context": {"cluster": "d", "user": "u"}})
    assert parse(config, "y").host == "other"


@pytest.mark.parametrize(
    ("server", "found"),
    [
        ("https://gw", ("gw", 443, b"gw", b"")),
        ("https://GW.Example:1", ("gw.example", 1, b"gw.example:1", b"")),
        ("HTTPS://gw/", ("gw", 443, b"gw", b"")),
        ("https://gw/clusters/prod", ("gw", 443, b"gw", b"/clusters/prod")),
        ("https://gw:8443/k8s/clusters/c-m-1/", ("gw", 8443, b"gw:8443", b"/k8s/clusters/c-m-1")),
        ("https://10.0.0.1:6443", ("10.0.0.1", 6443, b"10.0.0.1:6443", b"")),
        ("https://[2001:db8::1]:6443", ("2001:db8::1", 6443, b"[2001:db8::1]:6443", b"")),
        ("https://[::1]", ("::1", 443, b"[::1]", b"")),
    ],
)
def test_a_server_url_is_taken_apart(server: str, found: tuple[str, int, bytes, bytes]) -> None:
    assert parse_server(server, "f") == found


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("", "of the form https://"),
        ("gw:6443", "of the form https://"),
        ("//gw", "of the form https://"),
        ("http://gw", "only https://"),
        ("unix://sock", "only https://"),
        ("https://", "no plain host"),
        ("https://me:pw@gw", "no plain host"),
        ("https://gw:0", "no plain host"),
        ("https://gw:99999", "no plain host"),
        ("https://gw:", "no plain host"),
        ("https://gw x", "no plain host"),
        ("https://gw?x=1", "of the form https://"),
        ("https://gw/#x", "of the form https://"),
        ("https://gw//x", "path of server"),
        ("https://gw/a/../b", "path of server"),
        ("https://gw/a%2fb", "path of server"),
        ("https://gw/a b", "path of server"),
    ],
)
def test_an_odd_server_url_is_refused(server: str, why: str) -> None:
    with pytest.raises(BadKubeconfig, match=why) as caught:
        parse_server(server, "the file")
    assert "the file" in str(caught.value)
    assert "pw" not in str(caught.value)


def test_files_are_relative_to_the_kubeconfig_and_data_wins_over_files() -> None:
    data = base64.b64encode(b"-----PEM").decode()
    access = parse(
        kubeconfig(
            {"certificate-authority": "ca.crt", "tls-server-name": "kubernetes"},
            {"client-certificate": "pki/me.crt", "client-key": "/etc/me.key", "tokenFile": "../token"},
        )
    )
    assert access.server_name == "kubernetes"
    assert access.ca == Path("/home/ann/.kube/ca.crt")
    assert access.user == UserAccess(
        token_file=Path("/home/ann/.kube/../token"),
        certificate=Path("/home/ann/.kube/pki/me.crt"),
        key=Path("/etc/me.key"),
    )
    access = parse(
        kubeconfig(
            {"certificate-authority": "ca.crt", "certificate-authority-data": data},
            {
                "client-certificate": "a",
                "client-certificate-data": data,
                "client-key": "b",
                "client-key-data": f"{data[:4]}\n{data[4:]}",
            },
        )
    )
    assert access.ca == b"-----PEM"
    assert access.user == UserAccess(certificate=b"-----PEM", key=Secret(b"-----PEM"))


def test_a_password_is_kept_secret() -> None:
    user = parse(kubeconfig(user={"username": "ann", "password": "hunter2"})).user
    assert user == UserAccess(username="ann", password=Secret(b"hunter2"))
    assert "hunter2" not in repr(user)


def test_nothing_secret_is_in_the_repr_of_what_was_read() -> None:
    key = base64.b64encode(b"K3Y-CONTENT").decode()
    config = kubeconfig(user={"token": "t0ken", "client-certificate-data": key, "client-key-data": key})
    shown = repr(parse(config).user.key) + repr(parse(config).user.token)
    assert "K3Y" not in shown
    assert "t0ken" not in shown


def test_an_exec_plugin_is_read() -> None:
    assert parse(kubeconfig(user={"exec": EXEC})).user == UserAccess(
        plugin=ExecPlugin(
            api_version="client.authentication.k8s.io/v1",
            command="aws",
            args=("eks", "get-token"),
            env=(("AWS_PROFILE", "prod"),),
        )
    )


def test_nulls_count_as_absent() -> None:
    plugin = {**EXEC, "env": None, "args": None}
    config = kubeconfig({"certificate-authority": None}, {"exec": plugin, "token": None}, preferences=None)
    found = parse(config).user.plugin
    assert found is not None
    assert (found.args, found.env) == ((), ())


@pytest.mark.parametrize(
    ("command", "resolved"),
    [
        ("aws", "aws"),
        ("./bin/login", "/home/ann/.kube/bin/login"),
        ("bin/login", "/home/ann/.kube/bin/login"),
        ("/bin/x", "/bin/x"),
    ],
)
def test_a_command_with_a_slash_is_relative_to_the_kubeconfig(command: str, resolved: str) -> None:
    plugin = parse(kubeconfig(user={"exec": {**EXEC, "command": command}})).user.plugin
    assert plugin is not None
    assert plugin.command == resolved


def test_a_plugin_may_be_told_of_the_cluster() -> None:
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "gw"}}
    cluster = {"tls-server-name": "kubernetes", "extensions": [{"name": "other", "extension": 1}, extension]}
    plugin = parse(kubeconfig(cluster, {"exec": {**EXEC, "provideClusterInfo": True}})).user.plugin
    assert plugin is not None
    assert plugin.cluster == {
        "server": "https://api.example:6443",
        "tls-server-name": "kubernetes",
        "config": {"audience": "gw"},
    }


def test_the_beta_version_needs_no_interactive_mode() -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "x",
        "provideClusterInfo": True,
    }
    found = parse(kubeconfig(user={"exec": plugin})).user.plugin
    assert found is not None
    assert found.cluster == {"server": "https://api.example:6443"}


def test_a_plugin_is_skipped_when_there_is_a_token() -> None:
    assert (
        parse(kubeconfig(user={"exec": {**EXEC, "interactiveMode": "Always"}, "token": "t"})).user.plugin
        is None
    )


@pytest.mark.parametrize(
    ("config", "context", "parts"),
    [
        (kubeconfig(**{"current-context": ""}), None, ["no current-context is set", "'x'"]),
        (kubeconfig(), "z", ["the context 'z' does not exist; there are: 'x'"]),
        (kubeconfig(contexts=None), None, ["the context 'x' does not exist; there are: none"]),
        (kubeconfig(clusters=[]), None, ["the cluster 'c' of context 'x' does not exist"]),
        (kubeconfig(users=[]), None, ["the user 'u' of context 'x' does not exist"]),
        (
            kubeconfig(contexts=[{"name": "x", "context": {"cluster": "c"}}]),
            None,
            ["no user of context 'x' is set"],
        ),
        (kubeconfig(kind="Pod"), None, ["not those of a kubeconfig"]),
        (kubeconfig(apiVersion="v2"), None, ["not those of a kubeconfig"]),
        (
            kubeconfig({"insecure-skip-tls-verify": True}),
            None,
            ["insecure-skip-tls-verify is refused", "certificate-authority"],
        ),
        (kubeconfig({"proxy-url": "http://p"}), None, ["proxy-url is not supported"]),
        (kubeconfig({"server": "http://api"}), None, ["context 'x'", "only https://"]),
        (
            kubeconfig({"certificate-authority-data": "%%"}),
            None,
            ["certificate-authority-data is not base64"],
        ),
        (kubeconfig({"server": 3}), None, ["$.clusters[0].cluster.server"]),
        (kubeconfig(user={}), None, ["has no credential"]),
        (kubeconfig(user={"token": 12345}), None, ["Expected `str`, got `int`", "$.users[0].user.token"]),
        (kubeconfig(user={"token": "a b\nc"}), None, ["blanks or control characters"]),
        (kubeconfig(user={"client-certificate": "a"}), None, ["both client-certificate and client-key"]),
        (kubeconfig(user={"client-key-data": "YQ=="}), None, ["both client-certificate and client-key"]),
        (
            kubeconfig(user={"client-certificate": "a", "client-key-data": "%"}),
            None,
            ["client-key-data is not base64"],
        ),
        (
            kubeconfig(user={"auth-provider": {"name": "oidc"}}),
            None,
            ["auth-provider is not supported", "exec"],
        ),
        (kubeconfig(user={"token": "t", "as": "admin"}), None, ["`as` is not supported"]),
        (kubeconfig(user={"token": "t", "as-groups": ["g"]}), None, ["`as` is not supported"]),
        (kubeconfig(user={"token": "t", "username": "u"}), None, ["both a token and a username"]),
        (kubeconfig(user={"username": "a:b", "password": "p"}), None, ["cannot hold a colon"]),
        (kubeconfig(user={"exec": {**EXEC, "interactiveMode": "Always"}}), None, ["needs a terminal"]),
        (kubeconfig(user={"exec": {**EXEC, "interactiveMode": ""}}), None, ["must be Never or IfAvailable"]),
        (kubeconfig(user={"exec": {**EXEC, "command": ""}}), None, ["exec.command is not set"]),
        (
            kubeconfig(user={"exec": {**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}}),
            None,
            ["exec.apiVersion must be one of"],
        ),
    ],
)
def test_what_cannot_be_used_is_named(config: dict[str, Any], context: str | None, parts: list[str]) -> None:
    message = refusal(config, context)
    assert str(HERE) in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it has no keys"),
        (b"- a\n", "it has no keys"),
        (b"a: [\n", "line 2: not YAML"),
        (b"a: b\n\tc: d\n", "line 2: not YAML"),
        (b"--- a\n--- b\n", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"!!python/object/apply:os.system [id]", "not YAML"),
        (b"a: " + b"[" * 100_000, "not YAML"),
        (b"x" * (MAX_KUBECONFIG_BYTES + 1), "larger than"),
        (b"&a [*a]", "it has no keys"),
        (b"a: &a [*a]", "unfold without end"),
    ],
)
def test_what_is_no_kubeconfig_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(BadKubeconfig, match=why):
        parse_kubeconfig(content, HERE)


def test_a_small_file_cannot_unfold_into_a_huge_one() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BadKubeconfig, match="unfold without end"):
        parse_kubeconfig("\n".join(lines).encode(), HERE)


def test_an_unquoted_date_is_a_string() -> None:
    content = yaml.safe_dump(kubeconfig()).replace("t0ken", "2026-01-05")
    token = parse_kubeconfig(content.encode(), HERE).user.token
    assert token is not None
    assert token.reveal() == b"2026-01-05"


def test_an_error_lists_no_endless_number_of_names() -> None:
    contexts = [{"name": f"context-{n}", "context": {}} for n in range(500)]
    message = refusal(kubeconfig(contexts=contexts), "z")
    assert "and 480 more" in message
    assert len(message) < 1000


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    with pytest.raises(BadKubeconfig):
        parse_kubeconfig(content, HERE)
