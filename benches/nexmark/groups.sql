SET 'state.backend.type' = 'rocksdb';
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '2 s';
SET 'table.exec.mini-batch.size' = '50000';
CREATE TABLE numbers (k BIGINT, v BIGINT) WITH (
  'connector' = 'datagen', 'number-of-rows' = '${EVENTS}', 'rows-per-second' = '1000000000',
  'fields.k.min' = '1', 'fields.k.max' = '10000000', 'fields.v.min' = '0', 'fields.v.max' = '1000');
CREATE TABLE counted (k BIGINT, n BIGINT, s BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO counted SELECT k, COUNT(*), SUM(v) FROM numbers GROUP BY k;
