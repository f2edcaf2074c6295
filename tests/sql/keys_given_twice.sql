-- Of a key that is given twice the last value counts.
SELECT MAP['a', 1, 'a', 2], MAP['a', 1, 'b', 2, 'a', 3], CARDINALITY(MAP['a', 1, 'a', 2]), MAP['a', 1, 'a', 2]['a'], MAP[1, 'x', 1, 'y'], MAP[CAST(NULL AS INT), 1, CAST(NULL AS INT), 2], MAP_KEYS(MAP['a', 1, 'a', 2]), MAP_VALUES(MAP['a', 1, 'a', 2]), MAP_ENTRIES(MAP['a', 1, 'a', 2]), MAP_FROM_ARRAYS(ARRAY['a','a'], ARRAY[1,2]);
SELECT MAP_UNION(MAP['a', 1], MAP['a', 2]), MAP['a', 1, 'a', 2] = MAP['a', 2], CAST(MAP['a', 1, 'a', 2] AS MAP<STRING, BIGINT>), JSON_STRING(MAP['a', 1, 'a', 2]), STR_TO_MAP('a=1,a=2');
