"""What masks hide on a real cluster: in every way kubectl and other clients read, and in all that is kept of it.

One gateway for all tests. When it closes, its record, its index and its metrics hold none of the secrets.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.clients.rig import ClientRig
from tests.cluster.canaries import encoded
from tests.cluster.masked_stage import Stage, dies_of_custom_kinds, get_raw, open_stage, vault, vaults
from tests.cluster.scene import Scene, pod
from tests.cluster.surroundings import why_not

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.fixture(scope="module")
def stage(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(scene, tmp_path_factory.mktemp("masks")) as opened:
        yield opened


@pytest.fixture
def secret(stage: Stage, tmp_path: Path) -> Iterator[str]:
    """A Secret the admin made."""
    name = stage.rig(tmp_path).name("secret")
    canary = stage.canaries.path()
    stage.admin.run("create", "secret", "generic", name, f"--from-literal=password={canary}")
    yield name
    stage.admin.run("delete", "secret", name, "--ignore-not-found")


@pytest.mark.parametrize("at", [0, -1], ids=["oldest", "newest"])
def test_secrets_are_hidden_in_every_output_and_stay_valid(
    stage: Stage, tmp_path: Path, secret: str, at: int
) -> None:
    rig = stage.rig(tmp_path, at)
    one = rig.run("get", "secret", secret, "-o", "json").text
    stage.expect_hidden(
        one,
        rig.run("get", "secret", secret, "-o", "yaml").text,
        rig.run("get", "secrets", "-o", "json").text,
        rig.run("get", "secrets", "-o", "yaml", "--chunk-size=1").text,
        rig.run("get", "secret", secret, "-o", "jsonpath={.data.password}").text,
        rig.run("get", "secret", secret, "-o", "go-template={{.data.password | base64decode}}").text,
    )
    said = base64.b64decode(json.loads(one)["data"]["password"])
    assert said == b"[masked by masks/secrets]"
    table = rig.run("get", "secrets").text
    assert secret in table
    assert stage.canaries.found_in(table) == []
    assert "password:" in rig.run("describe", "secret", secret).text


def test_a_printer_column_of_a_custom_kind_is_hidden_in_tables_watches_and_descriptions(
    stage: Stage, tmp_path: Path
) -> None:
    rig, admin = stage.rig(tmp_path), stage.admin
    if dies_of_custom_kinds(admin):
        pytest.skip("this API server's build (before 1.24, by Go 1.18 or newer) crashes on any custom object")
    group = f"{stage.scene.namespace}.test"
    admin.run("apply", "-f", "-", stdin=yaml.safe_dump(vaults(group)).encode())
    try:
        admin.run("wait", "--for=condition=Established", f"crd/vaults.{group}", "--timeout=30s")
        admin.run("create", "-f", "-", stdin=vault(group, stage.canaries.path()))
        table = rig.run("get", f"vaults.{group}").text
        assert "PASSWORD" in table
        stage.expect_hidden(table, rig.run("describe", f"vaults.{group}", "main").text)
        with rig.start("get", f"vaults.{group}", "-w", "--output-watch-events") as watching:
            seen = watching.read_until("\n", count=2)
            admin.run(
                "apply",
                "-f",
                "-",
                "--server-side",
                "--force-conflicts",
                stdin=vault(group, stage.canaries.path()),
            )
            changed = watching.read_until("MODIFIED") + watching.read_until("\n")
        stage.expect_hidden(seen, changed)
    finally:
        admin.run("delete", "crd", f"vaults.{group}", "--wait=false")


def test_a_printer_column_of_a_built_in_kind_is_hidden(stage: Stage, tmp_path: Path) -> None:
    rig, name = stage.rig(tmp_path), stage.rig(tmp_path).name("elsewhere")
    stage.admin.run("create", "service", "externalname", name, f"--external-name={stage.canaries.path()}")
    for options in ((), ("-o", "wide"), ("-A",), ("-o", "yaml")):
        stage.expect_hidden(rig.run("get", "services", *options).text)
    stage.expect_hidden(rig.run("describe", "service", name).text)
    with rig.start("get", "services", "-w") as watching:
        first = watching.read_until(name) + watching.read_until("\n")
        stage.admin.run(
            "patch", "service", name, "-p", json.dumps({"spec": {"externalName": stage.canaries.path()}})
        )
        second = watching.read_until(name) + watching.read_until("\n")
    stage.expect_hidden(first, second)
    stage.admin.run("delete", "service", name)


def test_each_event_of_a_watch_is_hidden_and_bookmarks_pass(
    stage: Stage, tmp_path: Path, secret: str
) -> None:
    rig = stage.rig(tmp_path)
    with rig.start(
        "get",
        "secrets",
        "-w",
        "-o",
        "json",
        "--output-watch-events",
        f"--field-selector=metadata.name={secret}",
    ) as watching:
        first = watching.read_until("}}\n")
        change = json.dumps({"stringData": {"password": stage.canaries.path()}})
        stage.admin.run("patch", "secret", secret, "-p", change)
        second = watching.read_until('"MODIFIED"') + watching.read_until("}}\n")
    stage.expect_hidden(first, second)


def test_apply_echoes_nothing_and_the_cluster_has_the_real_values(stage: Stage, tmp_path: Path) -> None:
    rig, name = stage.rig(tmp_path), stage.rig(tmp_path).name("applied")
    for options in ((), ("--server-side", "--force-conflicts")):
        for _ in range(2):
            canary = stage.canaries.path()
            manifest = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "data": {"a": encoded(canary)},
            }
            applied = rig.run(
                "apply", *options, "-f", "-", "-o", "yaml", stdin=yaml.safe_dump(manifest).encode()
            )
            stage.expect_hidden(applied.text, rig.run("get", "secret", name, "-o", "json").text)
            assert stage.stored("secret", name)["data"] == {"a": encoded(canary)}
    last = stage.stored("secret", name)["metadata"]["annotations"][
        "kubectl.kubernetes.io/last-applied-configuration"
    ]
    assert stage.canaries.found_in(last), "the cluster itself keeps a copy, which is why it has to be masked"
    shown = json.loads(rig.run("get", "secret", name, "-o", "json").stdout)
    copy = shown["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(copy)["kind"] == "Secret"
    rig.run("delete", "secret", name)


def test_patches_and_dry_runs_echo_nothing(stage: Stage, tmp_path: Path, secret: str) -> None:
    rig = stage.rig(tmp_path)
    for kind, options in (("merge", ()), ("strategic", ("--dry-run=server",)), ("json", ())):
        canary = stage.canaries.path()
        patch: object = {"data": {"password": encoded(canary)}}
        if kind == "json":
            patch = [{"op": "replace", "path": "/data/password", "value": encoded(canary)}]
        done = rig.run(
            "patch", "secret", secret, f"--type={kind}", "-p", json.dumps(patch), "-o", "yaml", *options
        )
        stage.expect_hidden(done.text)
        assert (stage.stored("secret", secret)["data"]["password"] == encoded(canary)) == (not options)
    made = rig.run(
        "create", "secret", "generic", rig.name("dry"), f"--from-literal=a={stage.canaries.path()}",
        "--dry-run=server", "-o", "json",
    )  # fmt: skip
    stage.expect_hidden(made.text)


def test_what_was_shown_masked_cannot_be_written_back(stage: Stage, tmp_path: Path, secret: str) -> None:
    rig, before = stage.rig(tmp_path), stage.stored("secret", secret)["data"]
    shown = rig.run("get", "secret", secret, "-o", "yaml").stdout
    for verb in ("replace", "apply"):
        refused = rig.run(verb, "-f", "-", stdin=shown, code=1).stderr
        assert "contains a value that kubetape had masked" in refused
    editing = ClientRig(
        rig.kubectl, rig.kubeconfig, rig.scratch, {"EDITOR": "sed -i s/^type:.Opaque/&\\nimmutable:.true/"}
    )
    editing.run("edit", "secret", secret, code=None)
    assert stage.stored("secret", secret)["data"] == before


def test_configuration_and_environment_are_hidden_where_their_paths_say(stage: Stage, tmp_path: Path) -> None:
    rig = stage.rig(tmp_path)
    name = rig.name("plain")
    rig.run(
        "create",
        "configmap",
        name,
        f"--from-literal=password={stage.canaries.path()}",
        "--from-literal=colour=red",
    )
    shown = rig.run("get", "configmap", name, "-o", "json").text
    stage.expect_hidden(shown, rig.run("describe", "configmap", name).text)
    assert json.loads(shown)["data"]["colour"] == "red"
    rig.run("delete", "configmap", name)
    env = [{"name": "PASSWORD", "value": stage.canaries.path()}]
    template = {"metadata": {"labels": {"app": name}}, "spec": pod("x", ["true"], env=env)["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    rig.run("apply", "-f", "-", stdin=json.dumps(manifest).encode())
    stage.expect_hidden(
        rig.run("describe", "deployment", name).text,
        rig.run("get", "deployment", name, "-o", "yaml").text,
        rig.run("get", "deployment", name, "-o", "wide", "-o", "json").text,
        rig.run("get", "replicasets", "-l", f"app={name}", "-o", "json").text,
        rig.run("scale", "deployment", name, "--replicas=0").text
        + rig.run("set", "env", f"deployment/{name}", "--list").text,
    )
    rig.run("delete", "deployment", name)


def test_a_key_written_in_two_pieces_is_hidden_in_logs(stage: Stage, tmp_path: Path) -> None:
    rig, name, key = stage.rig(tmp_path), stage.rig(tmp_path).name("talker"), stage.canaries.key()
    script = (
        f"while true; do printf 'key {key[:9]}'; sleep 0.4; printf '{key[9:]} and more\\n'; sleep 0.2; done"
    )
    # Both halves stand in the command line of the pod: shown to nobody through the gateway, so made by the admin.
    stage.admin.run("create", "-f", "-", stdin=yaml.safe_dump(pod(name, ["sh", "-c", script])).encode())
    stage.admin.run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=50s")
    with rig.start("logs", "-f", name) as following:
        lines = following.read_until(" and more\n", count=3)
    stage.expect_hidden(lines, rig.run("logs", name, "--tail=2").text)
    assert lines.startswith("key [masked by masks/keys] and more\n")
    with rig.start("attach", name) as attached:
        attached.read_until(" and more\n")  # whose beginning may have been said before we came
        output = attached.read_until(" and more\n", count=2)
    stage.expect_hidden(output)
    stage.admin.run("delete", "pod", name, "--wait=false")


@pytest.mark.parametrize("at", [0, -1], ids=["spdy", "websocket"])
def test_a_key_is_hidden_in_what_an_exec_says_and_in_its_recorded_command(
    stage: Stage, tmp_path: Path, at: int
) -> None:
    rig, key = stage.rig(tmp_path, at), stage.canaries.key()
    script = f"printf 'a {key[:7]}'; sleep 0.4; echo '{key[7:]} b'; echo {key} >&2; cat"
    done = rig.run("exec", "-i", "web", "--", "sh", "-c", script, stdin=f"in {key} put\n".encode())
    assert done.text == "a [masked by masks/keys] b\nin [masked by masks/keys] put\n"
    assert "[masked by masks/keys]\n" in done.stderr
    assert stage.canaries.found_in(done.stderr) == []
    with rig.terminal("exec", "-it", "web", "--", "sh", columns=100, rows=30) as terminal:
        terminal.read_until("/ # ")
        terminal.type(f"echo {key}\r".encode())
        shown = terminal.read_until("\r\n/ # ")
        terminal.type(b"exit\r")
        terminal.wait()
    assert key not in shown


def test_events_are_hidden_where_they_look_like_a_key(stage: Stage, tmp_path: Path) -> None:
    rig, name, key = stage.rig(tmp_path), stage.rig(tmp_path).name("told"), stage.canaries.key()
    about = {"kind": "Pod", "name": "web", "namespace": stage.scene.namespace, "apiVersion": "v1"}
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": about,
        "message": f"pulled with {key}", "reason": "Pulled", "type": "Normal",
    }  # fmt: skip
    rig.run("create", "-f", "-", stdin=json.dumps(event).encode())
    stage.expect_hidden(
        rig.run("get", "events").text,
        rig.run("get", "events", "-o", "json").text,
        rig.run("get", "event", name, "-o", "yaml").text,
    )
    rig.run("delete", "event", name)


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf, application/json",
        "application/vnd.kubernetes.protobuf",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "application/cbor",
        "application/yaml",
    ],
)
def test_clients_of_other_encodings_get_nothing_unmasked(stage: Stage, secret: str, accept: str) -> None:
    for target in ("secrets", f"secrets/{secret}", "secrets?watch=1&timeoutSeconds=1"):
        status, body = get_raw(
            stage.front.member, f"/api/v1/namespaces/{stage.scene.namespace}/{target}", accept
        )
        assert status in (200, 406)
        assert stage.canaries.found_in(body) == []


def test_a_secret_sent_as_protobuf_arrives_and_is_recorded_masked(stage: Stage, tmp_path: Path) -> None:
    """Newer kubectls create typed objects in protobuf; the record is looked through when the gateway closes."""
    rig, canary = stage.rig(tmp_path), stage.canaries.path()
    name = rig.name("typed")
    rig.run("create", "secret", "generic", name, f"--from-literal=a={canary}")
    assert stage.stored("secret", name)["data"] == {"a": encoded(canary)}
    rig.run("delete", "secret", name)


def test_a_bookmark_passes_as_it_is(stage: Stage, tmp_path: Path, secret: str) -> None:
    """The API server sends one a minute, so this watch was begun by the fixture."""
    del secret
    events = [json.loads(line) for line in stage.bookmarked.read_until('"BOOKMARK"').splitlines()[:-1]]
    bookmark = stage.bookmarked.read_until("\n")
    assert re.fullmatch(r',"object":\{"kind":"Secret",.*"resourceVersion":"\d+".*\}\}\n', bookmark)
    assert '"data"' not in bookmark
    assert {event["type"] for event in events} >= {"ADDED", "MODIFIED", "DELETED"}
    stage.expect_hidden(json.dumps(events))
