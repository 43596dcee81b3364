"""What the operator writes, and what it means."""

import msgspec
import pytest

from gateway.retention.settings import RetentionSettings
from storage.retention.decide import NS_PER_DAY, Policy


def parsed(text: str) -> RetentionSettings:
    return msgspec.json.decode(text, type=RetentionSettings)


def test_nothing_set_deletes_nothing_and_export_is_required_where_it_is_configured() -> None:
    settings = parsed("{}")
    assert settings.policy(export_configured=True) == Policy(None, None, True)
    assert settings.policy(export_configured=False) == Policy(None, None, False)
    assert settings.rows_max_age_ns is None


def test_what_is_said_about_export_wins() -> None:
    assert not parsed('{"requireExport": false}').policy(export_configured=True).require_export
    assert parsed('{"requireExport": true}').policy(export_configured=False).require_export


def test_limits_in_camel_case() -> None:
    settings = parsed('{"maxAgeDays": 30, "maxBytes": 1000, "rowsMaxAgeDays": 0.5}')
    assert settings.policy(export_configured=False) == Policy(30 * NS_PER_DAY, 1000, False)
    assert settings.rows_max_age_ns == NS_PER_DAY // 2
    assert parsed('{"maxAgeDays": 2}').rows_max_age_ns == 2 * NS_PER_DAY


@pytest.mark.parametrize(
    "text",
    [
        '{"maxAgeDays": 0}',
        '{"maxAgeDays": 40000}',
        '{"maxBytes": 0}',
        '{"max_age_days": 1}',
        '{"maxAgeDays": "1d"}',
    ],
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        parsed(text)
