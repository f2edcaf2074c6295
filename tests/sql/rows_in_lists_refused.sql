-- Lists with rows that have no type in common, or not that of what is looked for.
CREATE TEMPORARY VIEW v AS SELECT k, a, s, b, u, ROW(a, s) AS r, ROW(b, u) AS q, ROW(ROW(a), s) AS n, CAST(a AS DOUBLE) AS d FROM (VALUES (1,1,'x',1,'x'),(2,1,'x',2,'x'),(3,1,'x',CAST(NULL AS INT),CAST(NULL AS STRING)),(4,CAST(NULL AS INT),CAST(NULL AS STRING),CAST(NULL AS INT),CAST(NULL AS STRING)),(5,CAST(NULL AS INT),'x',1,'x')) AS t(k,a,s,b,u);
SELECT k, (a, s) IN ((1, NULL), (2, 'y')) AS x FROM v;
SELECT k, (a, s) IN ((1, 'x'), ('2', 'x')) AS x FROM v;
SELECT k, (a, s) IN ((1, 'x', 2)) AS x FROM v;
SELECT k, (a, s) IN (1) AS x FROM v;
SELECT k, a IN ((1, 'x')) AS x FROM v;
