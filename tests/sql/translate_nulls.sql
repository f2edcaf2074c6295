CREATE TEMPORARY VIEW v AS SELECT * FROM (VALUES
  (1, 'abcabc', 'abc', 'x'), (2, '', CAST(NULL AS STRING), CAST(NULL AS STRING)), (3, 'aXbc', 'abc', CAST(NULL AS STRING)),
  (4, CAST(NULL AS STRING), 'a', 'b'), (5, '😀abc😀abc', CAST(NULL AS STRING), 'z'), (6, 'abc', '', 'q')) AS v (id, t, f, g);
SELECT id, TRANSLATE(t, f, g) AS a, TRANSLATE(t, f, 'xy') AS b, TRANSLATE(t, 'abc', g) AS c, TRANSLATE(t, f, 'x') AS d FROM v;
SELECT TRANSLATE(COALESCE(t, 'n'), f, g) AS a, TRANSLATE(COALESCE(t, 'n'), CAST(NULL AS STRING), 'x') AS b FROM v;
SELECT id FROM v WHERE TRANSLATE(t, f, g) IS NULL;
SELECT id FROM v WHERE TRANSLATE(COALESCE(t, 'n'), f, g) IS NOT NULL;
SELECT TRANSLATE('abc', CAST(NULL AS STRING), 'x'), TRANSLATE('abc', 'ab', CAST(NULL AS STRING)), TRANSLATE(CAST(NULL AS STRING), 'a', 'b');
SELECT TRANSLATE('abc', NULL, 'x');
SELECT TRANSLATE('abc', 'ab', NULL);
SELECT TRANSLATE('😀a', '😀', 'xy'), TRANSLATE('😀a', 'a', '😀'), TRANSLATE('ab😀c', 'b😀c', '😀xy'), TRANSLATE('a', '', '');
