"""What `kubectl cp` carries: files by name and size, up and down, whatever the borders of messages."""

import hashlib
import io
import tarfile
from pathlib import Path

from protocol.events import Channel, ChannelData, ChannelEnded
from storage.records import FileCopied
from tests.kit.policed_rig import HEAD, open_policed_cluster, the_call
from tests.kit.session_client import exit_code, open_session

POD = b"/api/v1/namespaces/payments/pods/api/exec?container=api&stderr=true&stdout=true"
UP = POD + b"&stdin=true&command=tar&command=-xmf&command=-&command=-C&command=/tmp"
DOWN = POD + b"&command=tar&command=cf&command=-&command="
CAT = POD + b"&command=cat&command="
POLICY = (
    HEAD
    + """
rules:
- {name: all, action: allow}
- {name: keys, match: {resources: [pods/exec]}, action: {files: {names: ["*.pem", "*/customers.csv"], reason: keys stay}}}
- {name: size, match: {resources: [pods/exec]}, action: {files: {direction: up, maxBytes: 1000}}}
"""
)


def archive(**files: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return held.getvalue()


async def test_an_upload_is_recorded_file_by_file(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, UP) as session:
            await session.say(ChannelData(Channel.STDIN, archive(a_txt=b"hello", b_txt=b"x" * 700)))
            await session.say(ChannelEnded(Channel.STDIN))
            assert exit_code((await session.end())[Channel.ERROR]) == 0
        copied = (await the_call(rig)).all(FileCopied)
        assert [(one.direction, one.name, one.size) for one in copied] == [
            ("up", "a.txt", 5),
            ("up", "b.txt", 700),
        ]
        assert copied[0].sha256 == hashlib.sha256(b"hello").digest()


async def test_a_forbidden_name_ends_the_upload_before_any_byte_of_it_is_written(tmp_path: Path) -> None:
    data = archive(ok_txt=b"hello", key_pem=b"secret key")
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, UP) as session:
            for at in range(0, len(data), 100):
                await session.say(ChannelData(Channel.STDIN, data[at : at + 100]))
            channels = await session.end()
        assert (
            b"kubetape policy p/keys: /tmp/key.pem: may not be copied. keys stay" in channels[Channel.STDERR]
        )
        assert exit_code(channels[Channel.ERROR]) == -1
        async with open_session(rig, CAT + b"/tmp/key.pem") as session:
            assert exit_code((await session.end())[Channel.ERROR]) == 1
        first, _ = await rig.exchanges()
        assert [one.name for one in first.all(FileCopied)] == ["ok.txt"]


async def test_an_empty_message_does_not_blind_the_guard(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _), open_session(rig, UP) as session:
        await session.say(ChannelData(Channel.STDIN, b""))
        await session.say(ChannelData(Channel.STDIN, archive(key_pem=b"secret key")))
        assert b"/tmp/key.pem: may not be copied" in (await session.end())[Channel.STDERR]


async def test_a_file_that_is_too_large_is_refused_by_its_header(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _), open_session(rig, UP) as session:
        await session.say(ChannelData(Channel.STDIN, archive(big_bin=b"x" * 1001)))
        assert b"/tmp/big.bin: larger than 1000 bytes" in (await session.end())[Channel.STDERR]


async def test_what_is_no_archive_is_refused_where_rules_are_about_files(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _), open_session(rig, UP) as session:
        await session.say(ChannelData(Channel.STDIN, b"not a tar header" * 64))
        assert b"not an archive" in (await session.end())[Channel.STDERR]


async def test_a_forbidden_name_ends_the_download_before_any_byte_of_it_comes(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, DOWN + b"/data/customers.csv") as session:
            channels = await session.end()
        assert b"/data/customers.csv: may not be copied. keys stay" in channels[Channel.STDERR]
        assert b"Lovelace" not in channels.get(Channel.STDOUT, b"")
        exchange = await the_call(rig)
        assert exchange.outcome.result == "denied"
        assert b"Lovelace" not in exchange.channel(Channel.STDOUT, from_client=False)


async def test_a_download_is_recorded_with_its_hash(tmp_path: Path) -> None:
    free = POLICY.replace(', "*/customers.csv"', "")
    async with open_policed_cluster(tmp_path, free) as (rig, _):
        async with open_session(rig, DOWN + b"/data/customers.csv") as session:
            with tarfile.open(fileobj=io.BytesIO((await session.end())[Channel.STDOUT])) as tar:
                (member,) = tar.getmembers()
                file = tar.extractfile(member)
                assert file is not None
                content = file.read()
        (copied,) = (await the_call(rig)).all(FileCopied)
        assert (copied.direction, copied.name, copied.size) == ("down", "data/customers.csv", len(content))
        assert copied.sha256 == hashlib.sha256(content).digest()
