CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT flight FROM flights WHERE distance BETWEEN 1000 AND 1010;
SELECT flight FROM flights WHERE dest IN ('HNL', 'ANC');
SELECT COUNT(*) FROM flights WHERE dest LIKE 'S%' AND tail NOT LIKE '%AA';
SELECT COUNT(*) FROM flights WHERE dep >= TIMESTAMP '2013-06-01 00:00:00' AND dep < TIMESTAMP '2013-06-02 00:00:00';
SELECT COUNT(*) FROM flights WHERE carrier > 'M' AND carrier <= 'UA';
SELECT COUNT(*) FROM flights WHERE CHAR_LENGTH(tail) = 5 AND origin <> 'JFK';
