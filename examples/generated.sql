-- Generated orders, filtered and written to the TaskManagers' .out files: a detached job that goes on for two days.
-- Run it: @HOME@/bin/flink run -d @HOME@/examples/generated.sql
-- Look at it: @HOME@/bin/flink list
-- The rows: tail -f @HOME@/log/flink-*-taskexecutor-*.out
-- End it, with the id that run or list has shown: @HOME@/bin/flink cancel JOB_ID
SET 'pipeline.name' = 'generated orders';

CREATE TABLE orders (
  id BIGINT,
  customer INT,
  price DOUBLE,
  ordered AS PROCTIME()
) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '5',
  'fields.id.kind' = 'sequence',
  'fields.id.start' = '1',
  'fields.id.end' = '1000000',
  'fields.customer.min' = '1',
  'fields.customer.max' = '20',
  'fields.price.min' = '1',
  'fields.price.max' = '500'
);

CREATE TABLE large_orders (
  id BIGINT,
  customer INT,
  price DOUBLE
) WITH (
  'connector' = 'print'
);

INSERT INTO large_orders SELECT id, customer, price FROM orders WHERE price > 400;
