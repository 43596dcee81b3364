"""`kubetape verify s3://...`: the same checks over a bucket, as the exporter fills it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from gateway.cli.verify import verify
from gateway.store import s3_files
from tests.gateway.export.exporting import SEGMENTS, exporter
from tests.kit.notarised import NotarisedLog, three_segments
from tests.kit.strict_s3 import StrictS3, credentials


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictS3]:
    credentials(monkeypatch.setenv)
    monkeypatch.setattr(s3_files, "READ_ATTEMPTS", 1)
    with StrictS3().running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


def run(log: NotarisedLog) -> Result:
    return CliRunner().invoke(verify, ["s3://records/records", "--vkey", log.signer.verifier.vkey])


async def exported(log: NotarisedLog, s3: StrictS3) -> Result:
    await exporter(log.data_dir, s3).run_once()
    return await trio.to_thread.run_sync(run, log)


async def test_a_bucket_is_verified_like_a_directory(tmp_path: Path, s3: StrictS3) -> None:
    log = three_segments(tmp_path)
    log.recover()
    log.notarise()
    result = await exported(log, s3)
    assert result.exit_code == 0, result.output
    assert "3 segments, 8 frames, 13 records, 11 leaves" in result.output


async def test_the_segment_being_written_is_not_missing_in_a_bucket(tmp_path: Path, s3: StrictS3) -> None:
    log = three_segments(tmp_path)
    result = await exported(log, s3)
    assert result.exit_code == 0, result.output
    assert "note, not-here-yet" in result.output


async def test_a_segment_gone_from_the_bucket_is_missing(tmp_path: Path, s3: StrictS3) -> None:
    log = three_segments(tmp_path)
    await exporter(log.data_dir, s3).run_once()
    key = next(key for key in s3.objects() if key.startswith(SEGMENTS) and "-00000001-" in key)
    s3.delete(key, "")  # a delete marker: the locked version stays, and nobody sees it
    result = await trio.to_thread.run_sync(run, log)
    assert result.exit_code == 11, result.output
