"""The two people of the demo and their kubeconfigs."""

from pathlib import Path

from gateway.demo.people import AGENT, ONCALL, TOKEN_FILE, give_tokens, write_kubeconfigs
from gateway.identity.tokens import parse_token_file
from gateway.server.tls import ensure_certificate
from gateway.upstream.kubeconfig import parse_kubeconfig


def test_each_has_a_token_that_is_on_disk_as_a_hash_only(tmp_path: Path) -> None:
    tokens = give_tokens(tmp_path)
    text = (tmp_path / TOKEN_FILE).read_text()
    people = {principal.user: principal.groups for principal in parse_token_file(text, "f").values()}
    assert people == {AGENT.name: AGENT.groups, ONCALL.name: ONCALL.groups}
    assert not any(token in text for token in tokens.values())


def test_a_second_demo_in_the_same_place_makes_the_first_tokens_worthless(tmp_path: Path) -> None:
    give_tokens(tmp_path)
    give_tokens(tmp_path)
    assert len((tmp_path / TOKEN_FILE).read_text().splitlines()) == 2


def test_a_kubeconfig_says_where_the_gateway_and_its_management_api_are(tmp_path: Path) -> None:
    ensure_certificate(tmp_path / "tls", ["127.0.0.1"])
    found = write_kubeconfigs(tmp_path, give_tokens(tmp_path), port=6443, console_port=8443)
    access = parse_kubeconfig(found[AGENT].read_bytes(), found[AGENT], None)
    assert (access.server, access.console) == ("https://127.0.0.1:6443", "https://127.0.0.1:8443")
    assert found[AGENT].stat().st_mode & 0o077 == 0
