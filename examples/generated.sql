-- Generated orders, filtered and written to the TaskManagers' .out files: a detached job without end.
-- Start it with bin/flink run -d examples/generated.sql, look at it with bin/flink list, end it with bin/flink cancel.
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
