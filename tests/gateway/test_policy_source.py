"""A directory of policies: reload, the last good one, ConfigMaps, and files that change while they are read."""

import os
from pathlib import Path

import pytest
import trio

from gateway import policy_source
from gateway.policy.decide import Policy
from gateway.policy.problems import BadPolicy
from gateway.policy_packs import read_packs
from gateway.policy_source import PolicySource, UnreadablePolicy, read_policy_files
from tests.kit.policies import HEAD

GOOD = HEAD + "default: allow\n"


@pytest.fixture
def changes() -> list[Policy]:
    return []


@pytest.fixture
def source(tmp_path: Path, changes: list[Policy]) -> PolicySource:
    (tmp_path / "p.yaml").write_text(GOOD)
    return PolicySource(tmp_path, changes.append)


async def test_the_first_load_must_succeed(source: PolicySource) -> None:
    assert source.current is None
    (source.directory / "p.yaml").write_text("rules: [")
    with pytest.raises(BadPolicy):
        await source.load()
    assert source.current is None


async def test_a_change_is_seen_and_swapped_in_whole(source: PolicySource, changes: list[Policy]) -> None:
    await source.load()
    assert not await source.poll()
    (source.directory / "p.yaml").write_text(HEAD + "rules: [{name: a, action: allow}]")
    (source.directory / "q.yml").write_text(HEAD.replace("name: p", "name: q"))
    assert await source.poll()
    assert source.current is changes[1]
    assert source.current.files == ("p.yaml", "q.yml")
    assert (source.problem(), len(changes)) == ("", 2)


async def test_a_broken_file_keeps_the_last_good_policy_and_says_so(
    source: PolicySource, changes: list[Policy]
) -> None:
    await source.load()
    good = source.current
    (source.directory / "p.yaml").write_text(GOOD + "ruels: []\nx: 1\n")
    assert await source.poll()
    assert source.current is good
    assert source.problem().startswith("policy not loaded: p.yaml:5:1: unknown key 'ruels'")
    assert good is not None
    assert source.problem().endswith(f"; {good.sha256[:12]} stays in force")
    assert not await source.poll(), "the same broken file is not compiled again"
    (source.directory / "p.yaml").write_text(GOOD)
    assert await source.poll()
    assert (source.problem(), len(changes)) == ("", 1)


async def test_more_mistakes_are_counted(source: PolicySource) -> None:
    (source.directory / "p.yaml").write_text(
        HEAD + "rules:\n- {name: a, action: x}\n- {name: b, action: y}\n"
    )
    assert not await source.reload()
    assert source.problem().endswith("(and 1 more: kubetape policy check)")


async def test_deleting_all_files_does_not_open_the_gate(source: PolicySource) -> None:
    await source.load()
    (source.directory / "p.yaml").unlink()
    assert await source.poll()
    assert source.current is not None
    assert "there is no policy file" in source.problem()


async def test_a_directory_that_is_gone_is_a_problem_until_it_is_back(source: PolicySource) -> None:
    await source.load()
    moved = source.directory.rename(source.directory.with_name("moved"))
    assert await source.poll()
    assert "No such file or directory" in source.problem()
    assert not await source.reload()
    moved.rename(source.directory)
    assert await source.poll()
    assert source.problem() == ""


async def test_the_symlink_of_a_config_map_is_followed(tmp_path: Path, changes: list[Policy]) -> None:
    for name, text in (("one", GOOD), ("two", HEAD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "p.yaml").symlink_to("..data/p.yaml")
    source = PolicySource(tmp_path, changes.append)
    await source.load()
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "..data")
    assert await source.poll()
    assert [policy.default_allows for policy in changes] == [True, False]


async def test_reload_reads_again_without_a_change(source: PolicySource, changes: list[Policy]) -> None:
    await source.load()
    assert await source.reload()
    assert len(changes) == 1


async def test_watching_polls_every_second(
    source: PolicySource, autojump_clock: trio.testing.MockClock
) -> None:
    await source.load()
    (source.directory / "p.yaml").write_text(HEAD)
    seen = trio.Event()
    source.on_change = lambda policy: seen.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.watch)
        await seen.wait()
        nursery.cancel_scope.cancel()
    assert source.current is not None
    assert not source.current.default_allows


def test_hidden_and_other_files_are_none_of_its_business(tmp_path: Path) -> None:
    for name in ("a.yaml", ".b.yaml", "c.txt", "d.yml"):
        (tmp_path / name).write_text(name)
    _, files = read_policy_files(tmp_path)
    assert sorted(files) == ["a.yaml", "d.yml"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(UnreadablePolicy, match=r"cannot read .*a.yaml"):
        read_policy_files(tmp_path)


def test_files_that_change_all_the_time_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("")

    def growing(path: Path) -> bytes:
        with path.open("a") as file:
            file.write("x")
        return b""

    monkeypatch.setattr(policy_source, "_read", growing)
    with pytest.raises(UnreadablePolicy, match="change all the time"):
        read_policy_files(tmp_path)


def test_there_is_a_most_of_files_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / f"{number}.yaml").write_text("x" * 10)
    monkeypatch.setattr(policy_source, "MAX_TOTAL_BYTES", 29)
    with pytest.raises(UnreadablePolicy, match="larger than 29 bytes"):
        read_policy_files(tmp_path)
    monkeypatch.setattr(policy_source, "MAX_FILES", 2)
    with pytest.raises(UnreadablePolicy, match="more than 2 policy files"):
        read_policy_files(tmp_path)


def test_a_huge_file_is_read_no_further_than_it_takes_to_refuse_it(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.touch()
    os.truncate(path, 8 * 1024 * 1024)
    _, files = read_policy_files(tmp_path)
    assert len(files["a.yaml"]) == policy_source.MAX_FILE_BYTES + 1


async def test_packs_join_the_files_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(GOOD)
    source = PolicySource(tmp_path, packs=read_packs(["no-escape"]))
    await source.load()
    assert source.current is not None
    assert source.current.files == ("p.yaml", "packs/no-escape.yaml")
    (tmp_path / "p.yaml").write_text(HEAD + "rules: [{name: a, action: allow}]")
    assert await source.poll()
    assert source.current.files == ("p.yaml", "packs/no-escape.yaml")
    assert source.current.rules[0].id == "p/a"


async def test_packs_alone_are_a_policy_that_never_changes() -> None:
    source = PolicySource(None, packs=read_packs(["read-only-agents"]))
    await source.load()
    assert source.current is not None
    assert not await source.poll()
    assert await source.reload()
    await source.watch()


async def test_a_directory_without_files_is_a_mistake_with_packs_too(tmp_path: Path) -> None:
    source = PolicySource(tmp_path, packs=read_packs(["no-escape"]))
    with pytest.raises(BadPolicy, match="there is no policy file"):
        await source.load()


async def test_a_copy_of_a_pack_beside_the_pack_is_a_mistake(tmp_path: Path) -> None:
    packs = read_packs(["no-escape"])
    (tmp_path / "mine.yaml").write_bytes(packs["packs/no-escape.yaml"])
    with pytest.raises(BadPolicy, match="there is another policy 'no-escape'"):
        await PolicySource(tmp_path, packs=packs).load()
