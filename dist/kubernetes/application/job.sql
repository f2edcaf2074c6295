-- The application. This one counts generated orders by minute and writes the counts to the logs of the TaskManagers.
SET 'execution.checkpointing.interval' = '30 s';
CREATE TABLE orders (
  customer INT, ordered AS PROCTIME()
) WITH ('connector' = 'datagen', 'rows-per-second' = '100', 'fields.customer.min' = '1', 'fields.customer.max' = '10');
CREATE TABLE counts (minute_start TIMESTAMP(3), customer INT, orders BIGINT) WITH ('connector' = 'print');
INSERT INTO counts
  SELECT window_start, customer, COUNT(*)
  FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ordered), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, customer;
