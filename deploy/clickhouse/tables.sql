-- Tables for hivewall's ClickHouse targets:
--     clickhouse+http://server:8123/hivewall.flows
--     clickhouse+http://server:8123/hivewall.events?what=events
-- Columns are the fields of a flow as docs/reference/flow-fields.md has them; leave out what you do not want, the agent's
-- rows are inserted all the same. Both tables remember the tokens of the last batches, so that a batch that was sent again
-- because its answer was lost is not inserted twice. Ninety days are kept.

CREATE DATABASE IF NOT EXISTS hivewall;

CREATE TABLE IF NOT EXISTS hivewall.flows
(
    host LowCardinality(String),
    flow_id UInt64,
    community_id String,
    start DateTime64(6, 'UTC'),
    end DateTime64(6, 'UTC'),
    duration_seconds Float64,
    protocol LowCardinality(String),
    protocol_number UInt8,
    source_ip String,
    src_port Nullable(UInt16),
    dest_ip String,
    dest_port Nullable(UInt16),
    icmp_type Nullable(UInt16),
    icmp_code Nullable(UInt16),
    direction LowCardinality(String),
    roles_known Bool,
    bytes UInt64,
    packets UInt64,
    bytes_to_server UInt64,
    bytes_to_client UInt64,
    packets_to_server UInt64,
    packets_to_client UInt64,
    wire_bytes_to_server UInt64,
    wire_bytes_to_client UInt64,
    tcp_flags_to_server LowCardinality(String),
    tcp_flags_to_client LowCardinality(String),
    tcp_state LowCardinality(String),
    end_reason LowCardinality(String),
    vlan Array(UInt16),
    tunnel LowCardinality(String),
    ports_unknown Bool,
    process LowCardinality(String),
    pid Nullable(UInt32),
    executable LowCardinality(String),
    user LowCardinality(String),
    container LowCardinality(String),
    container_id String,
    application LowCardinality(String),
    application_guessed Bool,
    server_name String,
    server_name_source LowCardinality(String),
    tls_version LowCardinality(String),
    tls_alpn LowCardinality(String),
    ja4 String,
    http_method LowCardinality(String),
    http_target String,
    http_status Nullable(UInt16),
    http_requests UInt32,
    dns_query String,
    dns_type LowCardinality(String),
    dns_rcode LowCardinality(String),
    ssh_client LowCardinality(String),
    ssh_server LowCardinality(String),
    handshake_rtt_seconds Nullable(Float64),
    server_response_seconds Nullable(Float64),
    round_trip_seconds Nullable(Float64),
    smoothed_rtt_seconds Nullable(Float64),
    retransmits Nullable(UInt32),
    verdict LowCardinality(String),
    rule LowCardinality(String),
    would_drop Bool,
    reply_verdict LowCardinality(String),
    reply_rule LowCardinality(String),
    dropped_packets UInt64,
    dropped_bytes UInt64,
    interface_names Array(LowCardinality(String))
)
ENGINE = MergeTree
PARTITION BY toDate(start)
ORDER BY (host, start, source_ip, dest_ip)
TTL toDateTime(start) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS hivewall.events
(
    host LowCardinality(String),
    time DateTime64(6, 'UTC'),
    event_type LowCardinality(String),
    event String
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (host, event_type, time)
TTL toDateTime(time) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;
