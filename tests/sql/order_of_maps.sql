-- The order of the entries of maps that Flink keeps in Java's: of JSON objects, in which a name may come twice, and of STR_TO_MAP.
CREATE TABLE t (id INT, m MAP<STRING, INT>, n MAP<STRING, MAP<STRING, INT>>) WITH ('connector' = 'filesystem', 'path' = '${DATA}/maps.json', 'format' = 'json');
SELECT id, m, n FROM t;
SELECT id, MAP_KEYS(m) AS k, MAP_VALUES(m) AS v, MAP_ENTRIES(m) AS e, CARDINALITY(m) AS c, m['k'] AS f FROM t;
SELECT id, ARRAY[m] AS a, ROW(m, n) AS r FROM t WHERE id < 5;
SELECT id, STR_TO_MAP(s) AS m, MAP_KEYS(STR_TO_MAP(s)) AS k FROM (VALUES (1, 'k1=1,z=2,a=3,q=5'), (2, '10=1,9=2,8=3,7=4,6=5,5=6'), (3, 'b=1,a=2,b=3'), (4, 'b=1'), (5, 'é=1,ß=2,日本=3,a😀b=4,=5,x,,'), (6, 'l=1,k=2,j=3,i=4,h=5,g=6,f=7,e=8,d=9,c=10,b=11,a=12,m=13,n=14')) AS t (id, s);
