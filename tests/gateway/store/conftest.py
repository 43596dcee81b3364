"""Fixtures of the store tests: a strict S3, and AWS credentials that mean nothing anywhere."""

from collections.abc import Iterator

import pytest

from tests.kit.strict_s3 import StrictS3
from tests.kit.strict_s3 import credentials as set_credentials


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    set_credentials(monkeypatch.setenv)


@pytest.fixture
def s3() -> Iterator[StrictS3]:
    with StrictS3().running() as running:
        yield running
