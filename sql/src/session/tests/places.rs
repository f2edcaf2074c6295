//! Where errors are, as Apache Flink says it of the same statements.
use super::*;

const TABLES: &str = "
CREATE TABLE t (a INT, b STRING, c TIMESTAMP(3), d DECIMAL(5,2), r ROW<x INT, y STRING>, WATERMARK FOR c AS c)
  WITH ('connector' = 'datagen', 'number-of-rows' = '1');
CREATE TABLE u (a INT, b STRING, e INT) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
CREATE TABLE snk (a INT, b STRING) WITH ('connector' = 'blackhole');
CREATE TABLE snk2 (a INT NOT NULL, b STRING, c TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE VIEW v AS SELECT a, b FROM t;";

fn error(session: &mut Session, script: &str) -> String {
    let error = run(session, script).expect_err(script).to_string();
    error.strip_prefix("SQL validation failed. ").unwrap_or(&error).to_owned()
}

/// A statement, the first and the last column of line 1 that are meant, and the message's beginning.
const ON_ONE_LINE: &[(&str, u64, u64, &str)] = &[
    ("SELECT w.a FROM t", 8, 8, "Table 'w' not found"),
    ("SELECT t.r.z FROM t", 10, 12, "Column 'r.z' not found in table 't'"),
    ("SELECT r.z FROM t", 8, 10, "Column 'r.z' not found in table 't'"),
    ("SELECT r.nope.z FROM t", 8, 13, "Column 'r.nope' not found in table 't'"),
    ("SELECT a.z FROM t", 8, 8, "Table 'a' not found"),
    ("SELECT a.b.c FROM t", 8, 10, "Table 'a.b' not found"),
    ("SELECT A FROM t", 8, 8, "Column 'A' not found in any table; did you mean 'a'?"),
    ("SELECT `nope` FROM t", 8, 13, "Column 'nope' not found in any table"),
    ("SELECT DISTINCT nope FROM t", 17, 20, "Column 'nope' not found in any table"),
    ("SELECT MAX(nope) FROM t", 12, 15, "Column 'nope' not found in any table"),
    ("SELECT CAST(nope AS INT) FROM t", 13, 16, "Column 'nope' not found in any table"),
    ("SELECT UPPER(LOWER(nope)) FROM t", 20, 23, "Column 'nope' not found in any table"),
    ("SELECT ROW(a, nope) FROM t", 15, 18, "Column 'nope' not found in any table"),
    ("SELECT CASE WHEN a > 1 THEN nope END FROM t", 29, 32, "Column 'nope' not found in any table"),
    ("SELECT COUNT(a) FILTER (WHERE nope) FROM t", 31, 34, "Column 'nope' not found in any table"),
    ("SELECT a FROM t WHERE a IN (1, nope)", 32, 35, "Column 'nope' not found in any table"),
    ("SELECT a FROM t GROUP BY nope", 26, 29, "Column 'nope' not found in any table"),
    ("SELECT z FROM (SELECT zz FROM t) AS q", 23, 24, "Column 'zz' not found in any table"),
    ("SELECT q.z FROM (SELECT a FROM t) AS q", 10, 10, "Column 'z' not found in table 'q'"),
    ("SELECT v.zz FROM v", 10, 11, "Column 'zz' not found in table 'v'"),
    ("WITH w AS (SELECT nope FROM t) SELECT * FROM w", 19, 22, "Column 'nope' not found in any table"),
    ("WITH w AS (SELECT a FROM t) SELECT nope FROM w", 36, 39, "Column 'nope' not found in any table"),
    ("SELECT a, t.* , nope.* FROM t", 17, 20, "Unknown identifier 'nope'"),
    ("SELECT * FROM nope", 15, 18, "Object 'nope' not found"),
    ("SELECT a FROM db2.t", 15, 19, "Object 'db2' not found"),
    ("SELECT * FROM default_catalog.nodb.t", 15, 36, "Object 'nodb' not found within 'default_catalog'"),
    ("SELECT * FROM nocat.default_database.t", 15, 38, "Object 'nocat' not found"),
    (
        "SELECT * FROM default_database.nope",
        15,
        35,
        "Object 'nope' not found within 'default_catalog.default_database'",
    ),
    ("SELECT nofunc(a, b) AS q FROM t", 8, 19, "No match found for function signature nofunc(<NUMERIC>, <CHARACTER>)"),
    ("SELECT 1 + nofunc() FROM t", 12, 19, "No match found for function signature nofunc()"),
    ("SELECT UPPER(a, b) FROM t", 8, 18, "Invalid number of arguments to function 'UPPER'. Was expecting 1 arguments"),
    ("SELECT UPPER() FROM t", 8, 14, "Invalid number of arguments to function 'UPPER'. Was expecting 1 arguments"),
    ("SELECT LOWER(UPPER(a)) FROM t", 14, 21, "Cannot apply 'UPPER' to arguments of type 'UPPER(<INTEGER>)'"),
    ("SELECT SUM(a, d) FROM t", 8, 16, "Invalid number of arguments to function 'SUM'. Was expecting 1 arguments"),
    ("SELECT COUNT() FROM t", 8, 14, "Invalid number of arguments to function 'COUNT'. Was expecting 1 arguments"),
    ("SELECT SUM(b) FROM t", 8, 13, "Cannot apply 'SUM' to arguments of type 'SUM(<VARCHAR(2147483647)>)'"),
    ("SELECT IF(a, 1, 2) FROM t", 8, 18, "Cannot apply 'IF' to arguments of type"),
    ("SELECT a + b FROM t", 8, 12, "Cannot apply '+' to arguments of type '<INTEGER> + <VARCHAR(2147483647)>'"),
    ("SELECT a + (b) FROM t", 8, 13, "Cannot apply '+' to arguments of type"),
    ("SELECT (a + b) * 2 FROM t", 9, 13, "Cannot apply '+' to arguments of type"),
    ("SELECT a AND b FROM t", 8, 14, "Cannot apply 'AND' to arguments of type"),
    ("SELECT b || a FROM t", 8, 13, "Cannot apply '||' to arguments of type"),
    ("SELECT a = TRUE FROM t", 8, 15, "Cannot apply '=' to arguments of type '<INTEGER> = <BOOLEAN>'"),
    ("SELECT a LIKE 'x' FROM t", 8, 17, "Cannot apply 'LIKE' to arguments of type 'LIKE(<INTEGER>, <CHAR(1)>)'"),
    ("SELECT CAST(a AS DATE) FROM t", 8, 22, "Cast function cannot convert value of type INTEGER to type DATE"),
    ("SELECT CAST(b AS ROW<x INT>) FROM t", 8, 28, "Cast function cannot convert value of type VARCHAR(2147483647)"),
    ("SELECT CASE WHEN a THEN 1 END FROM t", 8, 29, "Expected a boolean type"),
    ("SELECT CASE WHEN a > 1 THEN 1 ELSE 'x' END FROM t", 8, 42, "Illegal mixing of types in CASE"),
    ("SELECT 99999999999999999999999999 FROM t", 8, 33, "Numeric literal '99999999999999999999999999' out of range"),
    ("SELECT x'4' FROM t", 8, 11, "Binary literal string must contain an even number of hexits"),
    ("SELECT a, NULL FROM t", 11, 14, "Illegal use of 'NULL'"),
    ("SELECT t.*, NULL FROM t", 13, 16, "Illegal use of 'NULL'"),
    ("SELECT a, (NULL) AS x FROM t", 12, 15, "Illegal use of 'NULL'"),
    ("SELECT UPPER(NULL) FROM t", 14, 17, "Illegal use of 'NULL'"),
    ("SELECT CONCAT(COALESCE(NULL, b), NULL) FROM t", 34, 37, "Illegal use of 'NULL'"),
    ("SELECT a + 1 + NULL FROM t", 16, 19, "Illegal use of 'NULL'"),
    ("SELECT a = NULL OR NULL FROM t", 20, 23, "Illegal use of 'NULL'"),
    ("SELECT EXTRACT(DAY FROM NULL) FROM t", 25, 28, "Illegal use of 'NULL'"),
    ("SELECT SUM(a), MAX(NULL) FROM t", 20, 23, "Illegal use of 'NULL'"),
    ("SELECT COUNT(a) FILTER (WHERE NULL) FROM t", 31, 34, "Illegal use of 'NULL'"),
    ("SELECT a FROM t GROUP BY a, NULL", 29, 32, "Illegal use of 'NULL'"),
    ("SELECT * FROM (SELECT a, NULL AS q FROM t)", 26, 29, "Illegal use of 'NULL'"),
    ("INSERT INTO snk VALUES (1, NULL)", 28, 31, "Illegal use of 'NULL'"),
    ("SELECT a FROM t WHERE b", 23, 23, "WHERE clause must be a condition"),
    ("SELECT a FROM t WHERE a + 1", 23, 27, "WHERE clause must be a condition"),
    ("SELECT COUNT(*) FILTER (WHERE a) FROM t", 31, 31, "FILTER clause must be a condition"),
    ("SELECT a, COUNT(*) FROM t", 8, 8, "Expression 'a' is not being grouped"),
    ("SELECT t.`a`, COUNT(*) FROM t", 8, 12, "Expression 't.a' is not being grouped"),
    ("SELECT UPPER(t.b) || 'x' FROM t GROUP BY a", 14, 16, "Expression 't.b' is not being grouped"),
    ("SELECT a FROM t GROUP BY a HAVING b > 'x'", 35, 35, "Expression 'b' is not being grouped"),
    ("SELECT a FROM t GROUP BY COUNT(*)", 26, 33, "Aggregate expression is illegal in GROUP BY clause"),
    ("SELECT a FROM t WHERE COUNT(*) > 1", 23, 30, "Aggregate expression is illegal in WHERE clause"),
    ("SELECT SUM(a + COUNT(*)) FROM t", 8, 24, "Aggregate expressions cannot be nested"),
    ("SELECT COUNT(*) FILTER (WHERE COUNT(*) > 1) FROM t", 31, 42, "FILTER must not contain aggregate expression"),
    ("SELECT * FROM (SELECT a AS x, b AS x FROM t) AS q", 8, 8, "Column 'x' is ambiguous"),
    ("SELECT x FROM (SELECT a AS x, b AS x FROM t) AS q", 8, 8, "Column 'x' is ambiguous"),
    (
        "SELECT a FROM t AS q (x, y)",
        23,
        26,
        "List of column aliases must have same degree as table; table has 5 columns ('a', 'b', 'c', 'd', 'r'), whereas alias list has 2 columns",
    ),
    ("SELECT a FROM t UNION ALL SELECT a, b FROM u", 34, 37, "Column count mismatch in UNION ALL"),
    ("(SELECT a FROM t) UNION ALL (SELECT a, b FROM t)", 37, 40, "Column count mismatch in UNION ALL"),
    ("SELECT a FROM t UNION SELECT a, b FROM t", 30, 33, "Column count mismatch in UNION"),
    ("SELECT a, b FROM t UNION ALL SELECT a, a FROM t", 11, 11, "Type mismatch in column 2 of UNION ALL"),
    (
        "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(nope), INTERVAL '1' MINUTE)) GROUP BY window_start",
        55,
        58,
        "Unknown identifier 'nope'",
    ),
    ("SELECT * FROM TABLE(TUMBLE(TABLE nope, DESCRIPTOR(c), INTERVAL '1' MINUTE))", 34, 37, "Object 'nope' not found"),
    (
        "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(c)))",
        21,
        50,
        "Invalid number of arguments to function 'TUMBLE'.",
    ),
    ("INSERT INTO snk SELECT nope, b FROM t", 24, 27, "Column 'nope' not found in any table"),
    ("INSERT INTO snk (a, z) SELECT a, b FROM t", 21, 21, "Unknown target column 'z'"),
    ("INSERT INTO snk (a, a) SELECT a, a FROM t", 21, 21, "Target column 'a' is assigned more than once"),
    ("CREATE VIEW w2 AS SELECT nope FROM t", 26, 29, "Column 'nope' not found in any table"),
    ("CREATE TABLE x2 (a INT, b AS nofunc(a)) WITH ('connector' = 'datagen')", 30, 38, "No match found for function"),
];

#[test]
fn errors_are_where_flink_says() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let mut wrong = Vec::new();
    for (sql, first, last, message) in ON_ONE_LINE {
        let place = match first == last {
            true => format!("At line 1, column {first}"),
            false => format!("From line 1, column {first} to line 1, column {last}"),
        };
        let (found, expected) = (error(&mut session, sql), format!("{place}: {message}"));
        if !found.starts_with(&expected) {
            wrong.push(format!("{sql}\n  {found}\n  Flink: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Flink counts from the statement, and here it is the script.
#[test]
fn errors_are_in_the_lines_of_the_script() {
    for (script, expected) in [
        ("SELECT a,\n  xx,\n  b\nFROM t", "From line 2, column 3 to line 2, column 4: Column 'xx' not found"),
        (
            "SELECT *\nFROM t\nWHERE\n  a = (1 +\n   foo)",
            "From line 5, column 4 to line 5, column 6: Column 'foo' not found",
        ),
        ("SELECT a FROM t\nUNION ALL\nSELECT nope FROM u", "From line 3, column 8 to line 3, column 11: Column 'nope'"),
        (
            "CREATE VIEW w4 AS\nSELECT a,\n nofunc(b) AS q\nFROM t",
            "From line 3, column 2 to line 3, column 10: No match",
        ),
        ("SELECT UPPER(a,\n  b) FROM t", "From line 1, column 8 to line 2, column 4: Invalid number of arguments"),
        (
            "-- a comment\nSELECT 1;\n\n  SELECT nope FROM t;",
            "From line 4, column 10 to line 4, column 13: Column 'nope'",
        ),
        ("SELECT 1; SELECT nope FROM t", "From line 1, column 18 to line 1, column 21: Column 'nope' not found"),
    ] {
        let mut session = session();
        run(&mut session, TABLES).unwrap();
        let found = error(&mut session, script);
        assert!(found.starts_with(expected), "{script}\n  {found}");
    }
}

/// Of a view that does not work any more the place is where it is named, not where it was once written.
#[test]
fn an_error_within_a_view_is_where_the_view_is_named() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    run(&mut session, "CREATE VIEW w AS SELECT a FROM v; DROP TABLE t").unwrap();
    for view in ["v", "w"] {
        let found = error(&mut session, &format!("SELECT *\nFROM {view}"));
        assert!(found.starts_with("At line 2, column 6: Object 't' not found"), "{found}");
    }
}

#[test]
fn what_flink_gives_no_place_has_one() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    for (sql, expected) in [
        ("INSERT INTO snk SELECT a FROM t", "At line 1, column 13: Column types of query result and sink"),
        ("INSERT INTO snk SELECT b, b FROM t", "At line 1, column 13: Column types of query result and sink"),
        (
            "INSERT INTO snk2 (b) SELECT b FROM t",
            "At line 1, column 13: Column 'a' has no default value and does not allow",
        ),
        (
            "INSERT INTO snk (a) SELECT a, b FROM t",
            "At line 1, column 21: Number of columns must match number of query",
        ),
        (
            "SELECT a FROM t WHERE a = b",
            "From line 1, column 23 to line 1, column 27: implicit type conversion between",
        ),
        ("SELECT * FROM (VALUES (1), ('a')) AS q (x)", "From line 1, column 29 to line 1, column 31: Values passed to"),
        ("SELECT ARRAY[] FROM t", "At line 1, column 1: Require at least 1 argument"),
    ] {
        let found = error(&mut session, sql);
        assert!(found.starts_with(expected), "{sql}\n  {found}");
    }
}
