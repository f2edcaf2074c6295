CREATE TABLE semicolons (a STRING, b STRING, c ARRAY<INT>)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/semicolons.csv', 'format' = 'csv', 'csv.field-delimiter' = ';',
        'csv.quote-character' = '''', 'csv.escape-character' = '\', 'csv.array-element-delimiter' = '|', 'csv.null-literal' = 'n/a');
CREATE TABLE unquoted (a STRING, b STRING, c STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/semicolons.csv', 'format' = 'csv', 'csv.field-delimiter' = ';',
        'csv.disable-quote-character' = 'true');
SELECT * FROM semicolons;
SELECT * FROM unquoted;
