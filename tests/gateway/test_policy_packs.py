"""Shipped policies by name."""

import pytest

from gateway.policy_packs import UnknownPack, pack_names, read_pack, read_packs


def test_packs_are_files_of_the_program() -> None:
    assert pack_names() == ("no-escape", "protect-prod", "read-only-agents")
    assert b"\nkind: Policy\n" in read_pack("no-escape")


def test_a_pack_is_a_policy_file_with_a_name_no_directory_has() -> None:
    assert list(read_packs(["no-escape", "no-escape"])) == ["packs/no-escape.yaml"]


@pytest.mark.parametrize("name", ["no-escap", "../model", "", "no-escape.yaml"])
def test_an_unknown_name_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownPack, match="there are no-escape, protect-prod, read-only-agents"):
        read_packs([name])
