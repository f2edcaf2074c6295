-- Functions that test texts, and those of addresses and numbers in them.
SELECT k, IS_ALPHA(s) AS a, IS_DIGIT(s) AS b, IS_DECIMAL(s) AS c FROM (VALUES (1, 'abc'), (2, '123'), (3, ''), (4, CAST(NULL AS STRING)), (5, 'a1'), (6, '1.5'), (7, '-1e5'), (8, ' 1'), (9, 'é'), (10, '٣'), (11, '½'), (12, '-1'), (13, '+1'), (14, '1.'), (15, '.5'), (16, '0x1'), (17, '1d'), (18, 'NaN'), (19, '日本')) AS t (k, s);
SELECT IS_ALPHA(1) AS a, IS_DIGIT(1) AS b, IS_DECIMAL(1) AS c, IS_DECIMAL(1.5) AS d, IS_DIGIT(1.5) AS e;
SELECT IS_ALPHA(NULL) AS x;
SELECT IS_DECIMAL(TRUE) AS x;
SELECT IS_DIGIT(DATE '2020-01-01') AS x;
SELECT IS_ALPHA() AS x;
SELECT IS_ALPHA('a') AS a, IS_DIGIT('1') AS b, IS_DECIMAL('1') AS c;
SELECT k, INET_ATON(s) AS x FROM (VALUES (1, '127.0.0.1'), (2, '10.1'), (3, '1.2.3'), (4, '256.1.1.1'), (5, ''), (6, CAST(NULL AS STRING)), (7, '255.255.255.255'), (8, '4294967295'), (9, '4294967296'), (10, '0'), (11, '1.2.3.4.5'), (12, ' 1.2.3.4'), (13, 'a.b.c.d'), (14, '1..2'), (15, '01.02.03.04'), (16, '1.16777215'), (17, '1.16777216'), (18, '1.2.65535'), (19, '::1'), (20, '-1.2.3.4')) AS t (k, s);
SELECT k, INET_NTOA(n) AS x FROM (VALUES (1, 2130706433), (2, 0), (3, -1), (4, CAST(NULL AS INT)), (5, 2147483647)) AS t (k, n);
SELECT INET_NTOA(4294967295) AS a, INET_NTOA(4294967296) AS b, INET_NTOA(CAST(1 AS TINYINT)) AS c, INET_NTOA(NULL) AS d, INET_ATON(NULL) AS e, INET_ATON(CAST('1.1.1.1' AS CHAR(7))) AS f;
SELECT INET_NTOA('1') AS x;
SELECT INET_ATON(1) AS x;
SELECT LAST_DAY(DATE '2020-02-01') AS x;
SELECT 'a' RLIKE 'a' AS x;
SELECT RLIKE('a', 'a') AS x;
SELECT LENGTH('abc') AS x;
SELECT OCTET_LENGTH('abc') AS x;
SELECT 'a' IS JSON AS x;
