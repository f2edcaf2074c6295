SELECT s, s LIKE 'a%' AS a, s LIKE '%b' AS b, s LIKE '_b%' AS c, s LIKE '%\%%' ESCAPE '\' AS d, s NOT LIKE '%c%' AS e, s LIKE '' AS f FROM (VALUES ('abc'), ('ab'), (''), ('a%b'), ('ABC'), (CAST(NULL AS STRING)), ('xb
c')) AS t(s);
