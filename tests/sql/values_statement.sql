-- The rows of VALUES have no number: they are not those of the SELECT before.
SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS t (x, y);
VALUES (1), (2);
SELECT 3 AS a;
