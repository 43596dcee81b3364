"""The columns of the lake: the ones that were promised, and types that engines know."""

import pytest

from storage.lake.rows import PARTITION_COLUMNS, TABLES, columns_of

API_CALLS = """event_id string, ts timestamp, gateway_id string, rec_seq bigint, session_id string, conn_id string,
user string, user_sub string, issuer string, groups array<string>, actor_type string, agent string,
on_behalf_of string, src_ip string, user_agent string, audit_id string, iam_role_arn string, role_session string,
verb string, http_method string, path string, query string, api_group string, api_version string, resource string,
subresource string, namespace string, name string, label_selector string, dry_run boolean, req_bytes bigint,
resp_bytes bigint, status int, status_reason string, decision string, policy_sha256 string, rule_id string,
grant_id string, approval_id string, approver string, hold_ms int, masked_fields int, truncated boolean,
t_upstream_us int, t_gateway_us int, t_record_us int, req_sha256 string, resp_sha256 string, object_uid string,
resource_version string, segment_id string, block_seq int, rec_off int, leaf_index bigint, cluster string, dt date,
hr int"""

STREAM_EVENTS = """event_id string, ts timestamp, session_id string, stream_id string, kind string, protocol string,
event string, seq bigint, pod string, container string, namespace string, tty boolean, command array<string>,
port int, bytes bigint, text string, exit_code int, cols int, rows int, segment_id string, block_seq int,
rec_off int, leaf_index bigint, user string, user_sub string, issuer string, groups array<string>,
actor_type string, agent string, on_behalf_of string, iam_role_arn string, role_session string, cluster string,
dt date, hr int"""


@pytest.mark.parametrize(("table", "promised"), [("api_calls", API_CALLS), ("stream_events", STREAM_EVENTS)])
def test_the_tables_have_exactly_the_promised_columns_in_order(table: str, promised: str) -> None:
    columns = [f"{column.name} {column.type}" for column in columns_of(table)]
    assert columns == [column.strip() for column in promised.replace("\n", " ").split(",")]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_ends_with_its_partition(table: str) -> None:
    assert tuple(column.name for column in columns_of(table)[-3:]) == PARTITION_COLUMNS


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_column_has_a_name_of_lower_case(table: str) -> None:
    """Hive folds names; two that differ in case only would be one there."""
    names = [column.name for column in columns_of(table)]
    assert names == [name.lower() for name in names]
    assert len(set(names)) == len(names)
