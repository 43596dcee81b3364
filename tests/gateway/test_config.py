"""Settings from YAML and flags: every mistake is named with its line."""

from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from gateway.cli.serve import serve, with_flags
from gateway.config import (
    MAX_CONFIG_BYTES,
    BadConfig,
    Cluster,
    KubeconfigSource,
    Settings,
    check_settings,
    load_settings,
    parse_address,
    parse_settings,
)
from gateway.durability import Durability
from gateway.upstream.request import IdentityMode

WHOLE = b"""
apiVersion: kubetape/v1
listen: {data: "0.0.0.0:6443", names: [gw.example], tls: {cert: a.crt, key: a.key}}
clusters:
- name: prod
  identity: impersonate
  direct: {server: "https://k8s", caFile: ca.crt, tokenFile: token}
identity:
  tokenFile: tokens.csv
record: {dir: /data, durability: strict, segmentBytes: 1048576}
drainSeconds: 9
"""


def test_a_whole_file_is_read() -> None:
    settings = parse_settings(WHOLE, "f.yaml")
    check_settings(settings)
    assert settings.listen.names == ["gw.example"]
    assert settings.cluster.identity is IdentityMode.IMPERSONATE
    assert settings.cluster.direct
    assert settings.cluster.direct.ca_file == "ca.crt"
    assert (settings.record.durability, settings.drain_seconds) == (Durability.STRICT, 9)
    assert settings.has_identity
    assert not parse_settings(b"", "f.yaml").has_identity


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"listen:\n  dta: x\n", "f.yaml:2: unknown key 'dta'; did you mean 'data'?"),
        (b"a: [\n", "f.yaml:2: not valid YAML"),
        (b"listen: &a {}\nrecord: *a\n", "aliases are not accepted"),
        (b"listen: {}\nlisten: {}\n", "f.yaml:2: key 'listen' appears twice"),
        (b"record:\n  dir: a\n  dir: b\n", "f.yaml:3: key 'dir' appears twice"),
        (b"clusters:\n- name: a\n- name: 3\n", "f.yaml:3: Expected `str`, got `int`"),
        (b"\n\ndrainSeconds: 0\n", "f.yaml:3: Expected `int` >= 1"),
        (b"drainSeconds: yes\n", "f.yaml:1: Expected `int`, got `bool`"),
        (b"workers: 0\n", "f.yaml:1: "),
        (b"workers: many\n", "f.yaml:1: "),
        (b"listen: {shutdownDelaySeconds: -1}\n", "f.yaml:1: "),
        (b"record:\n  durability: maybe\n", "f.yaml:2: Invalid enum value 'maybe'"),
        (b"apiVersion: v2\n", "this version reads 'kubetape/v1'"),
        (b"- a\n", "f.yaml:1: Expected `object`, got `array`"),
        (b"\x00", "not valid YAML"),
        (b"identity:\n  issuers:\n  - url: x\n    audience: [a]\n", "f.yaml:4: unknown key 'audience'"),
        (b"? [a]\n: b\n", "f.yaml:1: a key is not text"),
        (b"a: !!python/object:os.system x\n", "f.yaml:1: not valid YAML"),
        (b"a: b\n---\nc: d\n", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
        (b"zzz: 1\n", "f.yaml:1: unknown key 'zzz'"),
    ],
)
def test_a_mistake_is_named_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(BadConfig) as raised:
        parse_settings(content, "f.yaml")
    assert message in str(raised.value)
    assert "f.yaml" in str(raised.value)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%b]\n" % (ord("a") + n, ord("a") + n, b",".join([b"*%c" % (ord("a") + n - 1)] * 9))
        for n in range(1, 10)
    )
    with pytest.raises(BadConfig, match="aliases"):
        parse_settings(bomb, "f.yaml")


def test_a_file_that_is_missing_or_huge_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="No such file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(BadConfig, match="larger than"):
        load_settings(tmp_path / "huge.yaml")
    (tmp_path / "good.yaml").write_bytes(WHOLE)
    assert load_settings(tmp_path / "good.yaml").cluster.name == "prod"


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        ([], "exactly one cluster"),
        ([Cluster(in_cluster=True)] * 2, "exactly one cluster"),
        ([Cluster()], "exactly one of kubeconfig"),
        ([Cluster(in_cluster=True, kubeconfig=KubeconfigSource("x"))], "exactly one of kubeconfig"),
    ],
)
def test_what_no_single_value_can_tell_is_checked(clusters: list[Cluster], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        check_settings(Settings(clusters=clusters))


@pytest.mark.parametrize("text", ["", "x", "a:b", "h:70000", "h:-1", "h:\uff11", "h:"])
def test_an_address_needs_a_port(text: str) -> None:
    with pytest.raises(BadConfig, match="HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":1", ("0.0.0.0", 1)),
        ("[::1]:5", ("::1", 5)),
        ("h:0", ("h", 0)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
    ],
)
def test_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


# --- flags over the file ----------------------------------------------------------------------------------


def flags(*arguments: str) -> dict[str, object]:
    """What click hands to `serve` for this command line."""
    with serve.make_context("serve", list(arguments)) as context:
        given = dict(context.params)
    given.pop("config")
    return given


def test_flags_win_over_the_file_and_leave_the_rest() -> None:
    base = parse_settings(WHOLE, "f.yaml")
    settings = with_flags(
        base,
        flags("--listen", "127.0.0.1:1", "--durability", "relaxed", "--tls-name", "b", "--data-dir", "/d"),
    )
    assert (settings.listen.data, settings.listen.names) == ("127.0.0.1:1", ["gw.example", "b"])
    assert (settings.record.durability, settings.record.dir, settings.record.segment_bytes) == (
        Durability.RELAXED,
        "/d",
        1048576,
    )
    assert settings.clusters == base.clusters
    assert settings.listen.tls == base.listen.tls
    assert (settings.drain_seconds, settings.workers) == (9, 1)
    assert with_flags(base, flags("--workers", "auto")).workers == "auto"
    assert with_flags(msgspec.structs.replace(base, workers=3), flags()).workers == 3
    assert with_flags(base, flags("--workers", "2")).workers == 2
    other = with_flags(base, flags("--upstream-kubeconfig", "k", "--context", "c"))
    assert other.cluster.kubeconfig == KubeconfigSource("k", "c")
    assert (other.cluster.direct, other.cluster.identity) == (None, IdentityMode.IMPERSONATE)


@pytest.mark.parametrize("text", ["0", "65", "-1", "two", ""])
def test_what_is_no_number_of_workers_is_said(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither auto nor a number from 1 to 64"):
        flags("--workers", text)


def test_every_source_and_identity_has_flags() -> None:
    direct = with_flags(
        Settings(),
        flags(
            "--upstream-server",
            "https://a",
            "--upstream-ca",
            "ca",
            "--upstream-client-cert",
            "c",
            "--upstream-client-key",
            "k",
        ),
    )
    assert direct.cluster.direct
    assert direct.cluster.direct.client_key == "k"
    inside = with_flags(Settings(), flags("--in-cluster", "--upstream-identity", "impersonate"))
    assert (inside.cluster.in_cluster, inside.cluster.identity) == (True, IdentityMode.IMPERSONATE)
    who = with_flags(
        Settings(),
        flags(
            "--oidc-issuer",
            "https://idp",
            "--oidc-audience",
            "a",
            "--oidc-username-claim",
            "email",
            "--client-ca",
            "ca",
            "--token-file",
            "t",
        ),
    ).identity
    assert (who.issuers[0].url, who.issuers[0].username_claim, who.token_file) == (
        "https://idp",
        "email",
        "t",
    )
    assert who.certificates
    assert who.certificates.ca_file == "ca"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--context", "c"), "--upstream-kubeconfig"), (("--oidc-audience", "a"), "--oidc-issuer")],
)
def test_a_flag_without_its_partner_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        with_flags(Settings(), flags(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "exactly one cluster"),
        (("--upstream-kubeconfig", "k", "--listen", "nowhere"), "HOST:PORT"),
        (("-c", "none.yaml"), "No such file"),
        (("--upstream-kubeconfig", "k", "--in-cluster"), "exactly one"),
    ],
)
def test_bad_configuration_is_one_line_and_exit_code_3(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(serve, list(arguments))
    assert result.exit_code == 3
    assert message in result.output
    assert result.output.count("\n") == 1
    assert isinstance(serve, click.Command)


def test_where_the_shared_state_is_kept() -> None:
    settings = parse_settings(
        b"state: {postgres: {dsnFile: /run/dsn}, trustedKeys: [k1], signingKeyFile: /run/key}", "c.yaml"
    )
    assert settings.state.postgres is not None
    assert settings.state.postgres.dsn_file == "/run/dsn"
    assert (settings.state.trusted_keys, settings.state.signing_key_file) == (["k1"], "/run/key")
    with pytest.raises(BadConfig, match=r"c\.yaml:1: unknown key 'dsnfile'; did you mean 'dsnFile'\?"):
        parse_settings(b"state: {postgres: {dsnfile: /run/dsn}}", "c.yaml")


NOTICES = b"""
listen: {console: "0.0.0.0:8443"}
console: {admins: {users: [adm], groups: [sre-leads]}, url: "https://gw.example:8443"}
approvals:
  webhooks:
  - {url: "https://hooks.example.com/k", secretFile: /etc/secret, caFile: ca.crt, events: [hold.requested]}
  slack:
    appTokenFile: app
    botTokenFile: bot
    channel: "#approvals"
    users: {U0123456789: {user: ann@example.com, groups: [sre], issuer: "https://idp"}}
"""


def test_who_administers_and_who_is_told_is_read() -> None:
    settings = parse_settings(NOTICES, "f.yaml")
    assert settings.listen.console == "0.0.0.0:8443"
    assert settings.console.admins.groups == ("sre-leads",)
    assert settings.approvals.webhooks[0].events == ("hold.requested",)
    assert settings.approvals.slack
    assert settings.approvals.slack.users["U0123456789"].user == "ann@example.com"
    assert parse_settings(b"", "f.yaml").console_address == ""
    assert parse_settings(b"policy: {dir: p}", "f.yaml").console_address == "127.0.0.1:8443"
    assert with_flags(settings, {"console_listen": "127.0.0.1:1"}).listen.console == "127.0.0.1:1"
    assert with_flags(settings, {}).listen.console == "0.0.0.0:8443"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"events: [hold.requested]", b"events: [held]", "f.yaml:6: events: some of hold.requested"),
        (b"https://hooks.example.com/k", b"http://hooks.example.com/k", "f.yaml:6: url: https, except"),
        (b"U0123456789", b"ann", "f.yaml:8: users: by Slack's member id"),
        (b"secretFile", b"secretfile", "f.yaml:6: unknown key 'secretfile'; did you mean 'secretFile'?"),
        (b"admins", b"admin", "f.yaml:3: unknown key 'admin'; did you mean 'admins'?"),
    ],
)
def test_a_mistake_in_them_is_named_with_its_line(before: bytes, after: bytes, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse_settings(NOTICES.replace(before, after), "f.yaml")
    assert message in str(caught.value)
