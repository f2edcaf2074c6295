CREATE TEMPORARY VIEW both_of AS SELECT * FROM (VALUES
  ('abcabc', ''), ('abcabc', 'a'), ('abcabc', 'abc'), ('abcabc', 'bc'), ('abcabc', 'c'), ('abcabc', 'x'), ('abcabc', 'abcabcabc'),
  ('', ''), ('', 'a'), ('aaaa', ''), ('aaaa', 'a'), ('aaaa', 'aa'), ('aaaa', 'aaaa'),
  ('😀a😀a', ''), ('😀a😀a', 'a'), ('😀a😀a', '😀'), ('😀a😀a', '😀a'), ('a😀b😀c', '😀'), ('a😀b😀c', 'c'), ('a😀b😀c', '😀b'),
  ('é😀é', 'é'), ('é😀é', '😀é'), ('2020-02-30', ''), ('2020-02-30', '02'), (CAST(NULL AS STRING), 'a'), ('a', CAST(NULL AS STRING))) AS both_of (t, n);
SELECT t, n, INSTR(t, n, -1) AS m1, INSTR(t, n, -2) AS m2, INSTR(t, n, -3) AS m3, INSTR(t, n, -4) AS m4, INSTR(t, n, -5) AS m5, INSTR(t, n, -6) AS m6, INSTR(t, n, -7) AS m7 FROM both_of;
SELECT t, n, INSTR(t, n, 0) AS z, INSTR(t, n, 1) AS p1, INSTR(t, n, 2) AS p2, INSTR(t, n, 3) AS p3, INSTR(t, n, 7) AS p7 FROM both_of;
SELECT t, n, INSTR(t, n, -1, 2) AS m12, INSTR(t, n, -2, 2) AS m22, INSTR(t, n, -3, 2) AS m32, INSTR(t, n, -1, 3) AS m13, INSTR(t, n, 1, 2) AS p12, INSTR(t, n, 1, 3) AS p13, INSTR(t, n, 2, 2) AS p22, INSTR(t, n, 0, 2) AS z2 FROM both_of;
SELECT t, n, LOCATE(n, t) AS l, POSITION(n IN t) AS p, INSTR(t, n) AS i, LOCATE(n, t, 2) AS l2, LOCATE(n, t, 3) AS l3, LOCATE(n, t, 9) AS l9, LOCATE(n, t, 0) AS l0, LOCATE(n, t, -1) AS lm FROM both_of;
SELECT INSTR('abcabc', 'abc', -2), INSTR('abcabc', 'abc', -3, 2), INSTR('abcabc', 'bc', -2), INSTR('', '', 2, 1), INSTR('2020-02-30', '', -1, 1);
SELECT INSTR('abc', 'a', 2147483647), INSTR('abc', 'a', 1, 2147483647), INSTR('abc', 'a', -2147483647);
SELECT INSTR('abc', CAST(NULL AS STRING), 1), INSTR('abc', 'a', CAST(NULL AS INT)), INSTR('abc', 'a', 1, CAST(NULL AS INT));
SELECT INSTR(t, 'a', 1, 0) AS a FROM both_of;
SELECT INSTR(t, 'a', 0, -1) AS a FROM both_of;
SELECT INSTR(CAST(NULL AS STRING), t, 1, 0) AS a FROM both_of;
