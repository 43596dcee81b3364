-- Trino, Hive connector (catalog `hive`). Replace BUCKET, PREFIX and LAKE, and the clusters in
-- partition_projection_values. Catalog properties that are needed:
--   hive.partition-projection-enabled=true
--   hive.timestamp-precision=MICROSECONDS    the default cuts ts to milliseconds

CREATE TABLE hive.kubetape.api_calls (
  "event_id" varchar,
  "ts" timestamp(6),
  "gateway_id" varchar,
  "rec_seq" bigint,
  "session_id" varchar,
  "conn_id" varchar,
  "user" varchar,
  "user_sub" varchar,
  "issuer" varchar,
  "groups" array(varchar),
  "actor_type" varchar,
  "agent" varchar,
  "on_behalf_of" varchar,
  "src_ip" varchar,
  "user_agent" varchar,
  "audit_id" varchar,
  "iam_role_arn" varchar,
  "role_session" varchar,
  "verb" varchar,
  "http_method" varchar,
  "path" varchar,
  "query" varchar,
  "api_group" varchar,
  "api_version" varchar,
  "resource" varchar,
  "subresource" varchar,
  "namespace" varchar,
  "name" varchar,
  "label_selector" varchar,
  "dry_run" boolean,
  "req_bytes" bigint,
  "resp_bytes" bigint,
  "status" integer,
  "status_reason" varchar,
  "decision" varchar,
  "policy_sha256" varchar,
  "rule_id" varchar,
  "grant_id" varchar,
  "approval_id" varchar,
  "approver" varchar,
  "hold_ms" integer,
  "masked_fields" integer,
  "truncated" boolean,
  "t_upstream_us" integer,
  "t_gateway_us" integer,
  "t_record_us" integer,
  "req_sha256" varchar,
  "resp_sha256" varchar,
  "object_uid" varchar,
  "resource_version" varchar,
  "segment_id" varchar,
  "block_seq" integer,
  "rec_off" integer,
  "leaf_index" bigint,
  "cluster" varchar WITH (
    partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['default']
  ),
  "dt" date WITH (
    partition_projection_type = 'DATE',
    partition_projection_format = 'yyyy-MM-dd',
    partition_projection_range = ARRAY['2026-01-01', 'NOW'],
    partition_projection_interval = 1,
    partition_projection_interval_unit = 'DAYS'
  ),
  "hr" integer WITH (
    partition_projection_type = 'INTEGER',
    partition_projection_range = ARRAY['0', '23'],
    partition_projection_digits = 2
  )
)
WITH (
  format = 'JSON',
  external_location = 's3://BUCKET/PREFIX/v1/index/api_calls/',
  partitioned_by = ARRAY['cluster', 'dt', 'hr'],
  partition_projection_enabled = true,
  partition_projection_location_template = 's3://BUCKET/PREFIX/v1/index/api_calls/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE TABLE hive.kubetape.api_calls_parquet (
  "event_id" varchar,
  "ts" timestamp(6),
  "gateway_id" varchar,
  "rec_seq" bigint,
  "session_id" varchar,
  "conn_id" varchar,
  "user" varchar,
  "user_sub" varchar,
  "issuer" varchar,
  "groups" array(varchar),
  "actor_type" varchar,
  "agent" varchar,
  "on_behalf_of" varchar,
  "src_ip" varchar,
  "user_agent" varchar,
  "audit_id" varchar,
  "iam_role_arn" varchar,
  "role_session" varchar,
  "verb" varchar,
  "http_method" varchar,
  "path" varchar,
  "query" varchar,
  "api_group" varchar,
  "api_version" varchar,
  "resource" varchar,
  "subresource" varchar,
  "namespace" varchar,
  "name" varchar,
  "label_selector" varchar,
  "dry_run" boolean,
  "req_bytes" bigint,
  "resp_bytes" bigint,
  "status" integer,
  "status_reason" varchar,
  "decision" varchar,
  "policy_sha256" varchar,
  "rule_id" varchar,
  "grant_id" varchar,
  "approval_id" varchar,
  "approver" varchar,
  "hold_ms" integer,
  "masked_fields" integer,
  "truncated" boolean,
  "t_upstream_us" integer,
  "t_gateway_us" integer,
  "t_record_us" integer,
  "req_sha256" varchar,
  "resp_sha256" varchar,
  "object_uid" varchar,
  "resource_version" varchar,
  "segment_id" varchar,
  "block_seq" integer,
  "rec_off" integer,
  "leaf_index" bigint,
  "cluster" varchar WITH (
    partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['default']
  ),
  "dt" date WITH (
    partition_projection_type = 'DATE',
    partition_projection_format = 'yyyy-MM-dd',
    partition_projection_range = ARRAY['2026-01-01', 'NOW'],
    partition_projection_interval = 1,
    partition_projection_interval_unit = 'DAYS'
  ),
  "hr" integer WITH (
    partition_projection_type = 'INTEGER',
    partition_projection_range = ARRAY['0', '23'],
    partition_projection_digits = 2
  )
)
WITH (
  format = 'PARQUET',
  external_location = 's3://BUCKET/LAKE/api_calls/',
  partitioned_by = ARRAY['cluster', 'dt', 'hr'],
  partition_projection_enabled = true,
  partition_projection_location_template = 's3://BUCKET/LAKE/api_calls/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE TABLE hive.kubetape.stream_events (
  "event_id" varchar,
  "ts" timestamp(6),
  "session_id" varchar,
  "stream_id" varchar,
  "kind" varchar,
  "protocol" varchar,
  "event" varchar,
  "seq" bigint,
  "pod" varchar,
  "container" varchar,
  "namespace" varchar,
  "tty" boolean,
  "command" array(varchar),
  "port" integer,
  "bytes" bigint,
  "text" varchar,
  "exit_code" integer,
  "cols" integer,
  "rows" integer,
  "segment_id" varchar,
  "block_seq" integer,
  "rec_off" integer,
  "leaf_index" bigint,
  "user" varchar,
  "user_sub" varchar,
  "issuer" varchar,
  "groups" array(varchar),
  "actor_type" varchar,
  "agent" varchar,
  "on_behalf_of" varchar,
  "iam_role_arn" varchar,
  "role_session" varchar,
  "cluster" varchar WITH (
    partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['default']
  ),
  "dt" date WITH (
    partition_projection_type = 'DATE',
    partition_projection_format = 'yyyy-MM-dd',
    partition_projection_range = ARRAY['2026-01-01', 'NOW'],
    partition_projection_interval = 1,
    partition_projection_interval_unit = 'DAYS'
  ),
  "hr" integer WITH (
    partition_projection_type = 'INTEGER',
    partition_projection_range = ARRAY['0', '23'],
    partition_projection_digits = 2
  )
)
WITH (
  format = 'JSON',
  external_location = 's3://BUCKET/PREFIX/v1/index/stream_events/',
  partitioned_by = ARRAY['cluster', 'dt', 'hr'],
  partition_projection_enabled = true,
  partition_projection_location_template = 's3://BUCKET/PREFIX/v1/index/stream_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE TABLE hive.kubetape.stream_events_parquet (
  "event_id" varchar,
  "ts" timestamp(6),
  "session_id" varchar,
  "stream_id" varchar,
  "kind" varchar,
  "protocol" varchar,
  "event" varchar,
  "seq" bigint,
  "pod" varchar,
  "container" varchar,
  "namespace" varchar,
  "tty" boolean,
  "command" array(varchar),
  "port" integer,
  "bytes" bigint,
  "text" varchar,
  "exit_code" integer,
  "cols" integer,
  "rows" integer,
  "segment_id" varchar,
  "block_seq" integer,
  "rec_off" integer,
  "leaf_index" bigint,
  "user" varchar,
  "user_sub" varchar,
  "issuer" varchar,
  "groups" array(varchar),
  "actor_type" varchar,
  "agent" varchar,
  "on_behalf_of" varchar,
  "iam_role_arn" varchar,
  "role_session" varchar,
  "cluster" varchar WITH (
    partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['default']
  ),
  "dt" date WITH (
    partition_projection_type = 'DATE',
    partition_projection_format = 'yyyy-MM-dd',
    partition_projection_range = ARRAY['2026-01-01', 'NOW'],
    partition_projection_interval = 1,
    partition_projection_interval_unit = 'DAYS'
  ),
  "hr" integer WITH (
    partition_projection_type = 'INTEGER',
    partition_projection_range = ARRAY['0', '23'],
    partition_projection_digits = 2
  )
)
WITH (
  format = 'PARQUET',
  external_location = 's3://BUCKET/LAKE/stream_events/',
  partitioned_by = ARRAY['cluster', 'dt', 'hr'],
  partition_projection_enabled = true,
  partition_projection_location_template = 's3://BUCKET/LAKE/stream_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE TABLE hive.kubetape.control_events (
  "event_id" varchar,
  "ts" timestamp(6),
  "gateway_id" varchar,
  "rec_seq" bigint,
  "kind" varchar,
  "session_id" varchar,
  "user" varchar,
  "detail" varchar,
  "segment_id" varchar,
  "block_seq" integer,
  "rec_off" integer,
  "leaf_index" bigint,
  "cluster" varchar WITH (
    partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['default']
  ),
  "dt" date WITH (
    partition_projection_type = 'DATE',
    partition_projection_format = 'yyyy-MM-dd',
    partition_projection_range = ARRAY['2026-01-01', 'NOW'],
    partition_projection_interval = 1,
    partition_projection_interval_unit = 'DAYS'
  ),
  "hr" integer WITH (
    partition_projection_type = 'INTEGER',
    partition_projection_range = ARRAY['0', '23'],
    partition_projection_digits = 2
  )
)
WITH (
  format = 'JSON',
  external_location = 's3://BUCKET/PREFIX/v1/index/control_events/',
  partitioned_by = ARRAY['cluster', 'dt', 'hr'],
  partition_projection_enabled = true,
  partition_projection_location_template = 's3://BUCKET/PREFIX/v1/index/control_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE TABLE hive.kubetape.control_events_parquet (
  "event_id" varchar,
  "ts" timestamp(6),
  "gateway_id" varchar,
  "rec_seq" bigint,
  "kind" varchar,
  "session_id" varchar,
  "user" varchar,
  "detail" varchar,
  "segment_id" varchar,
  "block_seq" integer,
  "rec_off" integer,
  "leaf_index" bigint,
  "cluster" varchar WITH (
    partition_projection_type = 'ENUM',
    partition_projection_values = ARRAY['default']
  ),
  "dt" date WITH (
    partition_projection_type = 'DATE',
    partition_projection_format = 'yyyy-MM-dd',
    partition_projection_range = ARRAY['2026-01-01', 'NOW'],
    partition_projection_interval = 1,
    partition_projection_interval_unit = 'DAYS'
  ),
  "hr" integer WITH (
    partition_projection_type = 'INTEGER',
    partition_projection_range = ARRAY['0', '23'],
    partition_projection_digits = 2
  )
)
WITH (
  format = 'PARQUET',
  external_location = 's3://BUCKET/LAKE/control_events/',
  partitioned_by = ARRAY['cluster', 'dt', 'hr'],
  partition_projection_enabled = true,
  partition_projection_location_template = 's3://BUCKET/LAKE/control_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);
