-- Athena (engine version 3). Replace BUCKET, PREFIX and LAKE, and the clusters in projection.cluster.values, then run
-- one statement at a time. Tables api_calls, stream_events and control_events read the rows as they were exported;
-- the *_parquet tables read what `kubetape lake compact` made, copied to s3://BUCKET/LAKE/.
-- Partition projection: no crawler, no ADD PARTITION. Read README.md for what dt and hr mean in each of them.

CREATE EXTERNAL TABLE kubetape.api_calls (
  `event_id` string,
  `ts` timestamp,
  `gateway_id` string,
  `rec_seq` bigint,
  `session_id` string,
  `conn_id` string,
  `user` string,
  `user_sub` string,
  `issuer` string,
  `groups` array<string>,
  `actor_type` string,
  `agent` string,
  `on_behalf_of` string,
  `src_ip` string,
  `user_agent` string,
  `audit_id` string,
  `iam_role_arn` string,
  `role_session` string,
  `verb` string,
  `http_method` string,
  `path` string,
  `query` string,
  `api_group` string,
  `api_version` string,
  `resource` string,
  `subresource` string,
  `namespace` string,
  `name` string,
  `label_selector` string,
  `dry_run` boolean,
  `req_bytes` bigint,
  `resp_bytes` bigint,
  `status` int,
  `status_reason` string,
  `decision` string,
  `policy_sha256` string,
  `rule_id` string,
  `grant_id` string,
  `approval_id` string,
  `approver` string,
  `hold_ms` int,
  `masked_fields` int,
  `truncated` boolean,
  `t_upstream_us` int,
  `t_gateway_us` int,
  `t_record_us` int,
  `req_sha256` string,
  `resp_sha256` string,
  `object_uid` string,
  `resource_version` string,
  `segment_id` string,
  `block_seq` int,
  `rec_off` int,
  `leaf_index` bigint
)
PARTITIONED BY (
  `cluster` string,
  `dt` date,
  `hr` int
)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://BUCKET/PREFIX/v1/index/api_calls/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.cluster.type' = 'enum',
  'projection.cluster.values' = 'default',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'projection.hr.type' = 'integer',
  'projection.hr.range' = '0,23',
  'projection.hr.digits' = '2',
  'storage.location.template' = 's3://BUCKET/PREFIX/v1/index/api_calls/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE EXTERNAL TABLE kubetape.api_calls_parquet (
  `event_id` string,
  `ts` timestamp,
  `gateway_id` string,
  `rec_seq` bigint,
  `session_id` string,
  `conn_id` string,
  `user` string,
  `user_sub` string,
  `issuer` string,
  `groups` array<string>,
  `actor_type` string,
  `agent` string,
  `on_behalf_of` string,
  `src_ip` string,
  `user_agent` string,
  `audit_id` string,
  `iam_role_arn` string,
  `role_session` string,
  `verb` string,
  `http_method` string,
  `path` string,
  `query` string,
  `api_group` string,
  `api_version` string,
  `resource` string,
  `subresource` string,
  `namespace` string,
  `name` string,
  `label_selector` string,
  `dry_run` boolean,
  `req_bytes` bigint,
  `resp_bytes` bigint,
  `status` int,
  `status_reason` string,
  `decision` string,
  `policy_sha256` string,
  `rule_id` string,
  `grant_id` string,
  `approval_id` string,
  `approver` string,
  `hold_ms` int,
  `masked_fields` int,
  `truncated` boolean,
  `t_upstream_us` int,
  `t_gateway_us` int,
  `t_record_us` int,
  `req_sha256` string,
  `resp_sha256` string,
  `object_uid` string,
  `resource_version` string,
  `segment_id` string,
  `block_seq` int,
  `rec_off` int,
  `leaf_index` bigint
)
PARTITIONED BY (
  `cluster` string,
  `dt` date,
  `hr` int
)
STORED AS PARQUET
LOCATION 's3://BUCKET/LAKE/api_calls/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.cluster.type' = 'enum',
  'projection.cluster.values' = 'default',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'projection.hr.type' = 'integer',
  'projection.hr.range' = '0,23',
  'projection.hr.digits' = '2',
  'storage.location.template' = 's3://BUCKET/LAKE/api_calls/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE EXTERNAL TABLE kubetape.stream_events (
  `event_id` string,
  `ts` timestamp,
  `session_id` string,
  `stream_id` string,
  `kind` string,
  `protocol` string,
  `event` string,
  `seq` bigint,
  `pod` string,
  `container` string,
  `namespace` string,
  `tty` boolean,
  `command` array<string>,
  `port` int,
  `bytes` bigint,
  `text` string,
  `exit_code` int,
  `cols` int,
  `rows` int,
  `segment_id` string,
  `block_seq` int,
  `rec_off` int,
  `leaf_index` bigint,
  `user` string,
  `user_sub` string,
  `issuer` string,
  `groups` array<string>,
  `actor_type` string,
  `agent` string,
  `on_behalf_of` string,
  `iam_role_arn` string,
  `role_session` string
)
PARTITIONED BY (
  `cluster` string,
  `dt` date,
  `hr` int
)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://BUCKET/PREFIX/v1/index/stream_events/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.cluster.type' = 'enum',
  'projection.cluster.values' = 'default',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'projection.hr.type' = 'integer',
  'projection.hr.range' = '0,23',
  'projection.hr.digits' = '2',
  'storage.location.template' = 's3://BUCKET/PREFIX/v1/index/stream_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE EXTERNAL TABLE kubetape.stream_events_parquet (
  `event_id` string,
  `ts` timestamp,
  `session_id` string,
  `stream_id` string,
  `kind` string,
  `protocol` string,
  `event` string,
  `seq` bigint,
  `pod` string,
  `container` string,
  `namespace` string,
  `tty` boolean,
  `command` array<string>,
  `port` int,
  `bytes` bigint,
  `text` string,
  `exit_code` int,
  `cols` int,
  `rows` int,
  `segment_id` string,
  `block_seq` int,
  `rec_off` int,
  `leaf_index` bigint,
  `user` string,
  `user_sub` string,
  `issuer` string,
  `groups` array<string>,
  `actor_type` string,
  `agent` string,
  `on_behalf_of` string,
  `iam_role_arn` string,
  `role_session` string
)
PARTITIONED BY (
  `cluster` string,
  `dt` date,
  `hr` int
)
STORED AS PARQUET
LOCATION 's3://BUCKET/LAKE/stream_events/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.cluster.type' = 'enum',
  'projection.cluster.values' = 'default',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'projection.hr.type' = 'integer',
  'projection.hr.range' = '0,23',
  'projection.hr.digits' = '2',
  'storage.location.template' = 's3://BUCKET/LAKE/stream_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE EXTERNAL TABLE kubetape.control_events (
  `event_id` string,
  `ts` timestamp,
  `gateway_id` string,
  `rec_seq` bigint,
  `kind` string,
  `session_id` string,
  `user` string,
  `detail` string,
  `segment_id` string,
  `block_seq` int,
  `rec_off` int,
  `leaf_index` bigint
)
PARTITIONED BY (
  `cluster` string,
  `dt` date,
  `hr` int
)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://BUCKET/PREFIX/v1/index/control_events/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.cluster.type' = 'enum',
  'projection.cluster.values' = 'default',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'projection.hr.type' = 'integer',
  'projection.hr.range' = '0,23',
  'projection.hr.digits' = '2',
  'storage.location.template' = 's3://BUCKET/PREFIX/v1/index/control_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);

CREATE EXTERNAL TABLE kubetape.control_events_parquet (
  `event_id` string,
  `ts` timestamp,
  `gateway_id` string,
  `rec_seq` bigint,
  `kind` string,
  `session_id` string,
  `user` string,
  `detail` string,
  `segment_id` string,
  `block_seq` int,
  `rec_off` int,
  `leaf_index` bigint
)
PARTITIONED BY (
  `cluster` string,
  `dt` date,
  `hr` int
)
STORED AS PARQUET
LOCATION 's3://BUCKET/LAKE/control_events/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.cluster.type' = 'enum',
  'projection.cluster.values' = 'default',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'projection.hr.type' = 'integer',
  'projection.hr.range' = '0,23',
  'projection.hr.digits' = '2',
  'storage.location.template' = 's3://BUCKET/LAKE/control_events/cluster=${cluster}/dt=${dt}/hr=${hr}/'
);
