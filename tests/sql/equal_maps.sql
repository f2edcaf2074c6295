-- Maps are equal in whatever order of their entries, but not in arrays.
SELECT ARRAY[MAP['a',1,'b',2]] = ARRAY[MAP['b',2,'a',1]];
SELECT MAP['a',1,'b',2] = MAP['b',2,'a',1];
SELECT MAP['a',1,'b',2] = MAP['b',CAST(NULL AS INT),'a',1];
SELECT ROW(MAP['a',1,'b',2]) = ROW(MAP['b',2,'a',1]);
SELECT MAP['k', MAP['a',1,'b',2]] = MAP['k', MAP['b',2,'a',1]];
SELECT ARRAY_CONTAINS(ARRAY[MAP['a',1,'b',2]], MAP['b',2,'a',1]);
SELECT ARRAY[x] = ARRAY[y] FROM (VALUES (MAP['a',1,'b',2], MAP['b',2,'a',1])) AS t(x, y);
