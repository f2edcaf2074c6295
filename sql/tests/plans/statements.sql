CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '/data/flights-2013.csv.gz', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE by_carrier (carrier STRING, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE known (carrier STRING NOT NULL, n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE keyed (carrier STRING PRIMARY KEY NOT ENFORCED, n BIGINT) WITH ('connector' = 'print', 'sink.parallelism' = '1');
EXECUTE STATEMENT SET BEGIN
INSERT INTO by_carrier SELECT carrier, flight FROM flights WHERE flight > 5;
INSERT INTO known SELECT carrier, COUNT(*) FROM flights GROUP BY carrier;
END;
INSERT INTO keyed SELECT carrier, COUNT(*) FROM flights GROUP BY carrier;
INSERT INTO by_carrier (n) SELECT flight FROM flights WHERE flight > 5;
SELECT window_start, COUNT(DISTINCT tail) FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
SELECT * FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY));
SELECT window_start, carrier, COUNT(*) FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY)) GROUP BY window_start, carrier;
SELECT window_start, window_end, window_time, carrier, COUNT(*) FILTER (WHERE dep_delay > 5), SUM(dep_delay + 1)
  FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY)) WHERE flight > 100
  GROUP BY window_start, window_end, window_time, carrier HAVING COUNT(*) > 5;
SELECT window_start, window_end, SUM(n) FROM (SELECT window_start, window_end, carrier, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY)) GROUP BY window_start, window_end, carrier)
  GROUP BY window_start, window_end;
SELECT 1, 'a' || 'b', CAST('2020-01-01' AS DATE);
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(x, y) WHERE x > 1;
SELECT COUNT(*) FROM flights WHERE 1 = 2;
SELECT COUNT(*), MAX(flight) FROM flights WHERE flight = NULL;
SELECT COUNT(*) FROM flights;
SELECT * FROM flights;
SELECT carrier FROM flights WHERE dep > TIMESTAMP '2013-01-05 00:00:00';
SELECT n FROM (SELECT carrier, COUNT(*) AS n FROM flights GROUP BY carrier) WHERE carrier = 'AA';
SELECT carrier, MAX(n) FROM (SELECT carrier, origin, COUNT(*) AS n FROM flights GROUP BY carrier, origin) GROUP BY carrier;
