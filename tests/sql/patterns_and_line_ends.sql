-- Signs in patterns of SIMILAR TO that mean something to Java alone, and ends of lines.
SELECT 'a' SIMILAR TO 'a$', 'a$' SIMILAR TO 'a$', 'a.c' SIMILAR TO 'a.c', 'abc' SIMILAR TO 'a.c', 'a
c' SIMILAR TO 'a_c', 'abc' SIMILAR TO 'a%+c', '' SIMILAR TO '', 'ab' SIMILAR TO '%*b';
SELECT 'a\c' SIMILAR TO 'a\c';
SELECT 'a
c' LIKE 'a_c', 'a
c' LIKE 'a%c', 'abc' LIKE 'a_c', '
' LIKE '_', 'a
' LIKE 'a%';
SELECT 'a%' SIMILAR TO 'a!%' ESCAPE '!', 'ab' SIMILAR TO 'a!%' ESCAPE '!', 'a!' SIMILAR TO 'a!!' ESCAPE '!';
SELECT 'a!' SIMILAR TO 'a!!' ESCAPE '!';
