CREATE TABLE short_sequence (a INT, b CHAR(3), c DECIMAL(10, 2), x STRING)
  WITH ('connector' = 'datagen', 'number-of-rows' = '5', 'fields.a.kind' = 'sequence', 'fields.a.start' = '7', 'fields.a.end' = '100',
        'fields.x.length' = '4', 'fields.b.kind' = 'sequence', 'fields.b.start' = '98', 'fields.b.end' = '110',
        'fields.c.min' = '1', 'fields.c.max' = '2');
SELECT a, b FROM short_sequence;
SELECT COUNT(*), SUM(CASE WHEN c BETWEEN 1 AND 2 THEN 1 ELSE 0 END), SUM(CHAR_LENGTH(x)) FROM short_sequence;
