//! Statements, types and places of errors.
use proptest::prelude::*;
use sqlparser::ast::{Expr, SetExpr};

use super::*;
use crate::ast::{ColumnKind, Show, Statement, StopJob};

fn one(text: &str) -> Statement {
    let mut statements = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0).statement
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn round_trip(text: &str, expected: &str) {
    let parsed = parse_type(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(parsed.to_string(), expected, "{text}");
    assert_eq!(parse_type(expected).expect(expected), parsed, "{text} printed and read again");
}

#[test]
fn jobs_are_described_and_stopped() {
    let stop = |savepoint, drain| StopJob { job: "a".to_owned(), savepoint, drain };
    for (text, expected) in [
        ("STOP JOB 'a'", stop(false, false)),
        ("stop job 'a' with savepoint;", stop(true, false)),
        ("STOP JOB 'a' WITH SAVEPOINT WITH DRAIN", stop(true, true)),
    ] {
        assert!(matches!(one(text), Statement::StopJob(stop) if stop == expected), "{text}");
    }
    for text in ["STOP JOB", "STOP JOB a", "STOP JOB 'a' WITH DRAIN", "STOP JOB 'a' WITH SAVEPOINT WITH SAVEPOINT"] {
        error(text);
    }
    assert!(matches!(one("DESCRIBE JOB 'a'"), Statement::DescribeJob(job) if job == "a"));
    assert!(matches!(one("DESCRIBE JOB"), Statement::Describe(_)), "a table may be called so");
}

#[test]
fn types() {
    for (text, expected) in [
        ("int", "INT"),
        ("INTEGER NOT NULL", "INT NOT NULL"),
        ("CHAR", "CHAR(1)"),
        ("VARCHAR", "STRING"),
        ("VARBINARY", "BYTES"),
        ("BINARY", "BINARY(1)"),
        ("VARCHAR(2147483647)", "STRING"),
        ("STRING", "STRING"),
        ("BYTES", "BYTES"),
        ("VARBINARY(3)", "VARBINARY(3)"),
        ("DEC", "DECIMAL(10, 0)"),
        ("NUMERIC(12)", "DECIMAL(12, 0)"),
        ("DECIMAL(38, 38)", "DECIMAL(38, 38)"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("TIME", "TIME(0)"),
        ("TIMESTAMP", "TIMESTAMP(6)"),
        ("TIMESTAMP(3) WITHOUT TIME ZONE", "TIMESTAMP(3)"),
        ("TIMESTAMP WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(6)"),
        ("TIMESTAMP(9) WITH LOCAL TIME ZONE NOT NULL", "TIMESTAMP_LTZ(9) NOT NULL"),
        ("TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(3)"),
        ("INT ARRAY", "ARRAY<INT>"),
        ("INT NOT NULL ARRAY NOT NULL", "ARRAY<INT NOT NULL> NOT NULL"),
        ("ARRAY<ARRAY<INT>>", "ARRAY<ARRAY<INT>>"),
        ("MAP<STRING, ARRAY<ROW<a INT>>>", "MAP<STRING, ARRAY<ROW<`a` INT>>>"),
        ("INT MULTISET", "MULTISET<INT>"),
        ("MULTISET<STRING>", "MULTISET<STRING>"),
        ("ROW<a INT, b STRING COMMENT 'x'>", "ROW<`a` INT, `b` STRING>"),
        ("ROW<a INT 'x', `b c` STRING NOT NULL 'y'>", "ROW<`a` INT, `b c` STRING NOT NULL>"),
        ("ROW(a INT, b ROW(c INT))", "ROW<`a` INT, `b` ROW<`c` INT>>"),
        ("ROW<>", "ROW<>"),
    ] {
        round_trip(text, expected);
    }
    for (text, expected) in [
        ("INTERVAL DAY TO SECOND(3)", "INTERVAL SECOND(3)"),
        ("INTERVAL YEAR TO MONTH", "INTERVAL MONTH"),
        ("INTERVAL DAY(4)", "INTERVAL SECOND(3)"),
    ] {
        assert_eq!(parse_type(text).expect(text).to_string(), expected);
    }
    for text in [
        "DECIMAL(39)",
        "DECIMAL(3, 4)",
        "TIMESTAMP(10)",
        "CHAR(0)",
        "FOO",
        "ROW<a INT, a INT>",
        "INTERVAL MONTH TO DAY",
        "ARRAY<INT",
    ] {
        assert!(parse_type(text).is_err(), "{text}");
    }
}

#[test]
fn create_table() {
    let Statement::CreateTable(table) = one(
        "CREATE TEMPORARY TABLE IF NOT EXISTS c.d.t (
            a BIGINT NOT NULL COMMENT 'key', b ROW<x INT, y ARRAY<STRING>>, c AS CAST(b.x AS MULTISET<INT>),
            d TIMESTAMP(3) METADATA FROM 'timestamp' VIRTUAL, `watermark` STRING, e AS PROCTIME(),
            WATERMARK FOR b.ts AS d - INTERVAL '5' SECOND,
            CONSTRAINT pk PRIMARY KEY (a, e) NOT ENFORCED
         ) COMMENT 'it''s' DISTRIBUTED BY HASH(a) INTO 3 BUCKETS PARTITIONED BY (a) WITH ('k' = 'v', 'l' = '') LIKE s (INCLUDING ALL EXCLUDING OPTIONS)",
    ) else {
        panic!()
    };
    assert_eq!(table.name.to_string(), "c.d.t");
    assert!(table.if_not_exists && table.temporary);
    assert_eq!(table.columns.len(), 6);
    assert!(
        matches!(&table.columns[2].kind, ColumnKind::Computed(Expr::Cast { data_type, .. }) if data_type.to_string().contains("MULTISET<INT>"))
    );
    assert!(
        matches!(&table.columns[3].kind, ColumnKind::Metadata { key: Some(key), is_virtual: true, .. } if key == "timestamp")
    );
    assert_eq!(table.columns[4].name.value, "watermark");
    let (column, expression) = table.watermark.expect("watermark");
    assert_eq!((column.len(), expression.to_string()), (2, "d - INTERVAL '5' SECOND".to_owned()));
    assert_eq!(table.primary_key.len(), 2);
    assert_eq!(table.options, [("k".into(), "v".into()), ("l".into(), String::new())]);
    assert_eq!(table.comment.as_deref(), Some("it's"));
    assert_eq!(table.like.expect("like").1, ["INCLUDING ALL", "EXCLUDING OPTIONS"]);

    let Statement::CreateTable(table) = one("CREATE TABLE t WITH ('a'='b') AS SELECT 1") else { panic!() };
    assert!(table.columns.is_empty() && table.query.is_some());
    assert!(error("CREATE TABLE t (a INT PRIMARY KEY)").contains("NOT ENFORCED"));
}

#[test]
fn other_statements() {
    assert!(matches!(one("SET 'a.b' = 'c'"), Statement::Set(Some((k, Some(v)))) if k == "a.b" && v == "c"));
    assert!(matches!(one("SET a.b-c = 10 s"), Statement::Set(Some((k, Some(v)))) if k == "a.b-c" && v == "10 s"));
    assert!(matches!(one("set"), Statement::Set(None)));
    assert!(matches!(one("RESET 'x'"), Statement::Reset(Some(k)) if k == "x"));
    assert!(matches!(one("DESC t"), Statement::Describe(_)));
    assert!(matches!(one("SHOW TABLES NOT LIKE 'a%'"), Statement::Show(Show::Tables(f)) if f.negated));
    assert!(matches!(one("SHOW COLUMNS IN a.b ILIKE 'x'"), Statement::Show(Show::Columns(_, f)) if f.case_insensitive));
    assert!(matches!(one("USE CATALOG c"), Statement::Use { catalog: true, .. }));
    assert!(
        matches!(one("DROP TEMPORARY VIEW IF EXISTS v"), Statement::Drop(d) if d.view && d.if_exists && d.temporary)
    );
    assert!(
        matches!(one("CREATE VIEW v (a, b) COMMENT 'x' AS SELECT 1, 2"), Statement::CreateView(v) if v.columns.len() == 2)
    );
    assert!(
        matches!(one("EXPLAIN ESTIMATED_COST, CHANGELOG_MODE SELECT 1"), Statement::Explain { details, .. } if details.len() == 2)
    );
    assert!(
        matches!(one("EXPLAIN PLAN FOR INSERT INTO t SELECT 1"), Statement::Explain { statement, .. } if matches!(*statement, Statement::Insert(_)))
    );
    assert!(
        matches!(one("EXPLAIN STATEMENT SET BEGIN INSERT INTO t SELECT 1; END"), Statement::Explain { statement, .. } if matches!(*statement, Statement::StatementSet(_)))
    );
    assert!(matches!(one("EXECUTE INSERT INTO t (a, b) SELECT 1, 2"), Statement::Insert(i) if i.columns.len() == 2));
    assert!(matches!(one("INSERT INTO t (SELECT 1)"), Statement::Insert(i) if i.columns.is_empty()));
    let Statement::Insert(insert) =
        one("INSERT OVERWRITE t /*+ OPTIONS('a'='b') */ PARTITION (d = 'x') (a) VALUES (1), (2)")
    else {
        panic!()
    };
    assert!(insert.overwrite && insert.partition.len() == 1 && insert.options == [("a".into(), "b".into())]);
    assert!(
        matches!(one("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1; INSERT INTO u SELECT ';'; END;"), Statement::StatementSet(m) if m.len() == 2)
    );
    assert!(
        matches!(one("BEGIN STATEMENT SET; INSERT INTO t SELECT 1; -- END;\n END;"), Statement::StatementSet(m) if m.len() == 1)
    );
}

#[test]
fn queries() {
    for text in [
        "SELECT * FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY)) GROUP BY window_start",
        "SELECT * FROM TABLE(TUMBLE(DATA => TABLE a.b.flights, TIMECOL => DESCRIPTOR(dep), SIZE => INTERVAL '10' MINUTES, OFFSET => INTERVAL '1' HOUR)) AS t",
        "SELECT * FROM TABLE(SESSION(TABLE f PARTITION BY (a, b), DESCRIPTOR(dep), INTERVAL '12' HOUR))",
        "SELECT TRY_CAST(a AS TIMESTAMP_LTZ(3)), CAST(x AS ROW<a INT, b MAP<STRING, ARRAY<INT>>>) FROM t",
        "SELECT INTERVAL '1:30' HOUR TO MINUTE, INTERVAL -'1' DAY, INTERVAL '1.5' SECOND(2, 3), INTERVAL '1 2:3:4' DAY(3) TO SECOND(3)",
        "SELECT DATE '2020-01-01', TIME '10:00:00', TIMESTAMP '2020-01-01 00:00:00.123', X'0AF', U&'\\00e9', _UTF8'x', 1e3, .5, 1.",
        "SELECT MAP['a', 1]['a'], ARRAY[1, 2][1], ROW(1, 'a'), t.r.f.g, r.arr[1].x FROM t",
        "SELECT EXTRACT(DOW FROM d), FLOOR(d TO HOUR), CEIL(d TO DAY), CEILING(1.5), POSITION('a' IN b), SUBSTRING(s FROM 1 FOR 2), TRIM(BOTH ' ' FROM s), TRIM(LEADING FROM s), TRIM('x' FROM s), TRIM(s), OVERLAY(s PLACING 'x' FROM 2) FROM t",
        "SELECT COUNT(*) FILTER (WHERE a > 1), COUNT(DISTINCT b), SUM(c) FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (x, y)",
        "SELECT a FROM t /*+ OPTIONS('x'='y', 'z'='1') */ AS u WHERE b IN (1, 2) AND c NOT BETWEEN 1 AND 2 OR d LIKE 'x#_' ESCAPE '#'",
        "SELECT TIMESTAMPDIFF(DAY, a, b), TIMESTAMPADD(HOUR, 1, a), CURRENT_TIMESTAMP, LOCALTIME, NOW(), PROCTIME() FROM t",
        "SELECT IF(a, b, c), LEFT(s, 2), a IS NOT DISTINCT FROM b, a IS NOT TRUE, a % 2, s || 'x' FROM t",
        "WITH a AS (SELECT 1 AS x), b (y) AS (SELECT 2) SELECT * FROM a, b UNION ALL (SELECT 1, 2) ORDER BY 1 LIMIT 3",
        "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC), SUM(x) OVER w FROM t WINDOW w AS (PARTITION BY a ORDER BY b RANGE BETWEEN INTERVAL '6' HOUR PRECEDING AND CURRENT ROW)",
        "SELECT a FROM t JOIN u FOR SYSTEM_TIME AS OF t.p ON t.x = u.x",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY a ORDER BY b MEASURES FIRST(A.b) AS c ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW PATTERN (A B{3,}? C) DEFINE B AS B.d > 30)",
        "SELECT é, `a``b`, EXPR$0 FROM `t t` -- comment ; '\n WHERE /* ; */ 'it''s; ' = s",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(x, y)",
        "VALUES (1), (2)",
        "SELECT /*+ STATE_TTL('t'='1d') */ a FROM t",
    ] {
        assert!(matches!(one(text), Statement::Query(_)), "{text}");
    }
    let Statement::Query(query) = one("SELECT U&'\\00e9', 'a'\n'b', _UTF8'x'") else { panic!() };
    assert_eq!(query.to_string(), "SELECT 'é', 'ab', 'x'");
    let Statement::Query(query) = one("SELECT * FROM t /*+ OPTIONS('a'='b') */ x") else { panic!() };
    let SetExpr::Select(select) = *query.body else { panic!() };
    assert_eq!(select.from[0].to_string(), "t(OPTIONS('a' = 'b')) x");
}

/// Failed before: each row had to stand in parentheses.
#[test]
fn rows_of_one_value_need_no_parentheses() {
    for (text, expected) in [
        ("VALUES 1, 2, 2", "VALUES (1), (2), (2)"),
        ("SELECT a FROM (VALUES 1, (2), f(3, 4)) AS t(a), u", "SELECT a FROM (VALUES (1), (2), (f(3, 4))) AS t (a), u"),
        ("VALUES 'a' || 'b', ARRAY[1, 2][1], -3 + (4)", "VALUES ('a' || 'b'), (ARRAY[1, 2][1]), (-3 + (4))"),
        ("VALUES 1 UNION ALL VALUES 2, 3 ORDER BY 1, 2", "VALUES (1) UNION ALL VALUES (2), (3) ORDER BY 1, 2"),
        (
            "SELECT a FROM t WHERE a IN (VALUES 1, 3) OR b IN (1, 2)",
            "SELECT a FROM t WHERE a IN (VALUES (1), (3)) OR b IN (1, 2)",
        ),
        ("VALUES (1, 2), (3, 4)", "VALUES (1, 2), (3, 4)"),
        ("SELECT `VALUES`, a FROM t", "SELECT `VALUES`, a FROM t"),
    ] {
        let Statement::Query(query) = one(text) else { panic!("{text}") };
        assert_eq!(query.to_string(), expected);
    }
    assert!(matches!(one("INSERT INTO t VALUES 1, 2"), Statement::Insert(_)));
    // As in Flink, a parenthesis where a row begins is the row's.
    for text in [
        "VALUES (1) + 2",
        "VALUES (1, 2) = (1, 2)",
        "VALUES 1,",
        "VALUES ,1",
        "VALUES",
        "VALUES *",
        "VALUES SELECT 1",
        "VALUES 1 AS a",
    ] {
        error(text);
    }
    assert_eq!(error("VALUES 1,\n 2 3"), "SQL parse failed. Encountered \"3\" at line 2, column 4.\nWas expecting: )");
}

#[test]
fn positions() {
    assert_eq!(
        error("SELECT 1;\n\n  SELECT * FORM flights;"),
        "SQL parse failed. Encountered \"FORM\" at line 3, column 12.\nWas expecting: the end of the statement; did you mean \
         'FROM'?"
    );
    assert!(
        error("CREATE TABLE x (a INTT) WITH ('connector' = 'print')")
            .ends_with("expecting: a type; did you mean 'INT'?")
    );
    // Before, only types were likened to those that there are.
    for (text, near) in [
        ("SELEC 1", "SET or RESET; did you mean 'SELECT'?"),
        ("isnert INTO t VALUES (1)", "SET or RESET; did you mean 'INSERT'?"),
        ("SHWO TABLES", "SET or RESET; did you mean 'SHOW'?"),
        ("EXPLAIN SELCT 1", "SET or RESET; did you mean 'SELECT'?"),
        ("SHOW TABELS", "CURRENT DATABASE; did you mean 'TABLES'?"),
        ("SHOW CREATE TABEL t", "TABLE or VIEW; did you mean 'TABLE'?"),
        ("SHOW CURRENT DATABSE", "CATALOG or DATABASE; did you mean 'DATABASE'?"),
        ("CREATE TABEL t (a INT)", "TABLE or VIEW; did you mean 'TABLE'?"),
        ("DROP VEW v", "TABLE or VIEW; did you mean 'VIEW'?"),
    ] {
        assert!(error(text).ends_with(near), "{}", error(text));
    }
    assert!(error("`SELEC` 1").ends_with("SET or RESET"));
    assert!(error("SELECT a FROM\nt WHERE").contains("Encountered \"<EOF>\" at line 2, column 8."));
    assert!(error("SELECT \"x\"").contains("line 1, column 8"));
    assert!(error("SELECT 'x").contains("line 1, column 8"));
    assert!(error("CREATE TABLE t (a FOO)").contains("Encountered \"FOO\" at line 1, column 19."));
    assert!(error("ALTER x").contains("Encountered \"ALTER\" at line 1, column 1."));
    let found: Vec<_> =
        split("  SELECT 1 ;\n/* x */ -- y\n SELECT 2 -- z\n;;").iter().map(|s| (s.text.clone(), s.location)).collect();
    assert_eq!(
        found,
        [
            ("SELECT 1".to_owned(), Location { line: 1, column: 3 }),
            ("SELECT 2 -- z".to_owned(), Location { line: 3, column: 2 })
        ]
    );
}

/// Failed before where a statement was complete: what followed was left out without a word.
#[test]
fn what_is_open_at_the_end_of_a_script_is_an_error() {
    let comment = "Unexpected EOF while in a multi-line comment";
    for (text, line, column, why) in [
        ("/* a", 1, 1, comment),
        ("SELECT 1;\n /* INSERT INTO t SELECT 1;\nSELECT 2;", 2, 2, comment),
        ("SELECT 1; -- ;\n/**/ /*/ INSERT INTO t SELECT 1;", 2, 6, comment),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1; END;\n/* x", 2, 1, comment),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1;\nEND /* x;", 1, 1, comment),
        ("SELECT 1; /*+ a; SELECT 2;", 1, 11, comment),
        ("SELECT 1; 'a; SELECT 2;", 1, 11, "Unterminated string literal"),
        ("SELECT 1; `a; SELECT 2;", 1, 11, "Expected close delimiter '`' before EOF"),
    ] {
        let last = split(text).pop().unwrap();
        assert_eq!(last.location, Location { line, column }, "{text}");
        assert!(!last.terminated && text.ends_with(&last.text), "{text}");
        let told = parse_statement(&last).unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
    }
    // One that has an end is none, and neither is one to the end of the line.
    assert_eq!(split("SELECT 1; /* a; */ -- b; /* c").len(), 1);
}

#[test]
fn an_input_at_a_prompt_says_what_it_waits_for() {
    use Unfinished::{Comment, Name, Set, Statement, Text};
    for (input, waits_for) in [
        ("", None),
        ("-- x", None),
        ("SELECT 1; ", None),
        ("SELECT ';';", None),
        ("SELECT 1", Some(Statement)),
        ("SELECT 1 -- it's;", Some(Statement)),
        ("SELECT 'it''s", Some(Text)),
        ("SELECT ';", Some(Text)),
        ("SELECT `a;", Some(Name)),
        ("SELECT 1 /* ;", Some(Comment)),
        ("SELECT 1; /* ;", Some(Comment)),
        ("SELECT /*+ OPTIONS('a'='b') ;", Some(Comment)),
        ("EXECUTE STATEMENT SET BEGIN\nINSERT INTO t SELECT 1;", Some(Set)),
        ("EXECUTE STATEMENT SET BEGIN\nINSERT INTO t SELECT 1;\nEND;", None),
        ("BEGIN STATEMENT SET;", None),
        ("BEGIN STATEMENT SET; INSERT INTO t SELECT 1;", None),
    ] {
        assert_eq!(unfinished(input), waits_for, "{input}");
    }
}

#[test]
fn a_prompt_is_given_the_statements_of_a_set_one_by_one() {
    let text = "BEGIN STATEMENT SET; INSERT INTO t SELECT 1;\nend -- now\n; EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 2; END;";
    let found = split_input(text);
    let marks: Vec<_> = found.iter().map(set_mark).collect();
    assert_eq!(marks, [Some(SetMark::Begin), None, Some(SetMark::End), None]);
    assert_eq!(found[3].text, "EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 2; END");
    assert_eq!(split(text).len(), 2);
    for other in ["BEGIN STATEMENT SET INSERT INTO t SELECT 1;", "END x;", "BEGIN;"] {
        assert_eq!(split_input(other).iter().find_map(set_mark), None, "{other}");
    }
}

/// Before, all of it was in the message.
#[test]
fn an_error_quotes_the_beginning_of_a_long_token() {
    let long = "x".repeat(1 << 20);
    for text in [format!("ALTER{long} x;"), format!("CREATE TABLE t (a {long})")] {
        let told = error(&text);
        assert!(told.len() < 2000 && told.contains("more bytes"), "{} bytes", told.len());
    }
}

/// Before, a table's name could be as long as a statement, and it is in the names of tasks.
#[test]
fn a_name_has_a_length_as_in_flink() {
    let name = "\u{e4}".repeat(256);
    for text in ["CREATE TABLE `{}` (a INT)", "SELECT `{}` FROM t", "SELECT 1 AS `{}`"] {
        assert!(parse(&text.replace("{}", &name)).is_ok(), "{text}");
        let told = error(&text.replace("{}", &format!("{name}x")));
        let limit = "must be less than or equal to 256 characters, at line 1, column";
        assert!(told.contains("Length of identifier '\u{e4}") && told.contains(limit), "{told}");
    }
    // Each of these is two for Java.
    assert!(error(&format!("SELECT 1 AS `{}`", "\u{1f600}".repeat(129))).contains("Length of identifier"));
    assert!(parse(&format!("SELECT '{}'", "x".repeat(257))).is_ok());
}

/// What Flink has is no syntax error.
#[test]
fn statements_that_do_not_run_here_say_so_and_where() {
    for (text, expected) in [
        ("SELECT 1;\n  ADD JAR 'x.jar';", "Not supported yet. At line 2, column 3: ADD JAR: no Java code runs here"),
        (
            "CREATE FUNCTION f AS 'a.B' USING JAR 'x.jar'",
            "At line 1, column 1: CREATE FUNCTION: no Java or Python code",
        ),
        ("create temporary system function f AS 'a.B'", "CREATE TEMPORARY SYSTEM FUNCTION: "),
        ("ALTER TABLE t RENAME TO u", "ALTER TABLE: "),
        ("CREATE OR REPLACE TABLE t (a INT)", "CREATE OR REPLACE: "),
        ("SHOW FULL MODULES", "SHOW FULL MODULES: "),
        ("DESCRIBE FUNCTION f", "DESCRIBE FUNCTION: "),
        ("UPDATE t SET a = 1", "UPDATE: "),
        ("CALL p()", "At line 1, column 1: CALL"),
        ("SELECT 5 BETWEEN SYMMETRIC 9 AND 1", "At line 1, column 18: BETWEEN SYMMETRIC: write x BETWEEN a AND b OR"),
    ] {
        let found = error(text);
        assert!(found.contains("Not supported yet. ") && found.contains(expected), "{text}: {found}");
    }
    assert!(matches!(one("DESCRIBE model"), Statement::Describe(_)), "a table may be called so");
    assert!(matches!(one("DESC catalog.d.t;"), Statement::Describe(_)));
    assert!(error("SHOW NOTHING").starts_with("SQL parse failed. Encountered \"NOTHING\" at line 1, column 6."));
}

#[test]
fn reserved_words_are_no_names_unless_they_are_quoted() {
    for text in [
        "CREATE TABLE t (a INT, order INT)",
        "CREATE TABLE t (a INT, VALUE STRING)",
        "CREATE TABLE user (a INT)",
        "CREATE TABLE d.user (a INT)",
        "CREATE TABLE t (r ROW<a INT, end INT>)",
        "CREATE VIEW v (start) AS SELECT 1",
        "INSERT INTO t (date) SELECT 1",
        "DESCRIBE table",
    ] {
        assert!(error(text).contains("Was expecting: a name (a reserved word is one in `back ticks`)"), "{text}");
    }
    assert!(error("CREATE TABLE t (a INT,\n comment STRING)").contains("Encountered \"comment\" at line 2, column 2."));
    one("CREATE TABLE `user` (`order` INT, key INT, type STRING, name STRING, r ROW<`end` INT>)");
}

/// Failed before: the word was taken for a name, and what stands behind it was called wrong.
#[test]
fn a_word_that_begins_no_expression_is_the_mistake() {
    for (text, word, column) in [
        ("SELECT a, FROM (VALUES (1)) AS t(a)", "FROM", 11),
        ("SELECT a, from t", "from", 11),
        ("SELECT FROM t", "FROM", 8),
        ("SELECT WHERE(1)", "WHERE", 8),
        ("SELECT a FROM t WHERE AND a", "AND", 23),
        ("SELECT a FROM t GROUP BY HAVING a > 1", "HAVING", 26),
        ("SELECT CASE WHEN THEN 1 END", "THEN", 18),
        ("SELECT a + FROM t", "FROM", 12),
    ] {
        let expected = format!(
            "SQL parse failed. Encountered \"{word}\" at line 1, column {column}.\nWas expecting: an expression (a \
             reserved word is a name in `back ticks`)"
        );
        assert_eq!(error(text), expected, "{text}");
    }
    for (text, expected) in [
        ("SELECT CASE WHEN a = 1 thn 1 END FROM t", "Encountered \"thn\" at line 1, column 24.\nWas expecting: THEN"),
        ("SELECT CASE WHEN a = 1 THEN 2 FROM t", "Encountered \"FROM\" at line 1, column 31.\nWas expecting: END"),
    ] {
        assert_eq!(error(text), format!("SQL parse failed. {expected}"), "{text}");
    }
    for text in [
        "SELECT `from`, t.`where`, `limit` + 1 FROM t",
        "SELECT TRIM(BOTH FROM a), EXTRACT(YEAR FROM d), a IS DISTINCT FROM b FROM t",
        "SELECT CASE a WHEN 1 THEN 2 ELSE 3 END, COUNT(*) FILTER (WHERE a > 1) FROM t GROUP BY a HAVING a > 1",
        "SELECT a FROM t UNION ALL SELECT b FROM u WHERE b = 1 OR NOT b = 2 AND b IS NULL",
    ] {
        one(text);
    }
}

/// Failed before: only the end of the statement was expected.
#[test]
fn a_misspelt_clause_is_likened_to_those_that_there_are() {
    for (text, end) in [
        ("SELECT a FORM t", "did you mean 'FROM' with 'FORM'?"),
        ("SELECT * FORM t", "did you mean 'FROM'?"),
        ("SELECT a FROM t AS t WHER a = 1", "did you mean 'WHERE'?"),
        ("SELECT a FROM t wher a = 1", "did you mean 'WHERE' with 'wher'?"),
        ("SELECT a FROM t gruop BY a", "did you mean 'GROUP' with 'gruop'?"),
        ("SELECT a FROM t unoin ALL SELECT b FROM u", "did you mean 'UNION' with 'unoin'?"),
        ("SELECT a b c FROM t", "the end of the statement"),
        ("SELECT a FROM t `wher` a = 1", "the end of the statement"),
        ("SELECT a FROM orders)", "the end of the statement"),
    ] {
        assert!(error(text).ends_with(end), "{text}: {}", error(text));
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(error(&deep).contains("nest deeper"));
    assert!(error(&format!("SELECT 1{}", "+1".repeat(20_001))).contains("in a row"));
    crate::on_deep_stack(|| assert!(parse(&format!("SELECT 1{}", "+1".repeat(20_000))).is_ok())).unwrap();
    assert!(
        error(&format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(1_000), ">".repeat(1_000)))
            .contains("32 types within each other")
    );
}

/// Before, each of these took longer than anybody waits: what does not fit was read again for each level that it stands in.
#[test]
fn what_does_not_fit_is_not_read_again_and_again() {
    let start = std::time::Instant::now();
    let words = ["POSITION(", "SUBSTRING(", "OVERLAY(", "FLOOR(", "CEIL(", "CONVERT(", "INTERVAL(", "ARRAY["];
    let others = ["ARRAY(", "NOT (", "CURRENT_TIMESTAMP(", "a.", "a[1].", "f(x => ", "a IN ((SELECT a FROM t WHERE "];
    let mut texts: Vec<String> = words.map(|open| format!("SELECT {}];", open.repeat(24))).to_vec();
    texts.extend(others.map(|open| format!("SELECT {}(1 + 1) FROM t;", open.repeat(100))));
    for open in ["(", "((SELECT * FROM ", "((SELECT a FROM ", "(UPDATE NATURAL JOIN ", "(SELECT JOIN ((SELECT 1 FROM "]
    {
        texts.push(format!("SELECT * FROM {}];", open.repeat(80)));
    }
    // These fit, one way or another.
    texts.push(format!("SELECT {}1{};", "ARRAY[".repeat(249), "]".repeat(249)));
    texts.push(format!("SELECT {}1{};", "FLOOR(".repeat(30), ", b)".repeat(30)));
    texts.push(format!("SELECT {}1{};", "POSITION(".repeat(30), ", b)".repeat(30)));
    texts.push(format!("SELECT * FROM {}t{};", "((SELECT * FROM ".repeat(60), ") AS a)".repeat(60)));
    texts.push(format!("SELECT {}1;", "ARRAY<".repeat(19_000)));
    for text in texts {
        crate::on_deep_stack(|| drop(parse(&text))).unwrap();
        assert!(start.elapsed().as_secs() < 100, "{text:.80}");
    }
}

#[test]
fn what_people_nest_is_read_and_a_mistake_within_it_is_told() {
    let nested =
        |open: &str, close: &str, depth| format!("SELECT {}a{} FROM t", open.repeat(depth), close.repeat(depth));
    for (open, close, depth) in [
        ("ARRAY[", "]", 100),
        ("SUBSTRING(", " FROM 1 FOR 2)", 60),
        ("POSITION('a' IN ", ")", 60),
        ("OVERLAY(", " PLACING 'x' FROM 2)", 60),
        ("FLOOR(", " TO DAY)", 60),
        ("CASE WHEN b THEN 1 ELSE ", " END", 60),
        ("(", ")", 60),
    ] {
        let text = nested(open, close, depth);
        crate::on_deep_stack(|| assert!(parse(&text).is_ok(), "{text}")).unwrap();
    }
    for depth in [1, 10] {
        let text = format!("SELECT * FROM {}t{}", "((SELECT * FROM ".repeat(depth), ") AS a)".repeat(depth));
        crate::on_deep_stack(|| assert!(parse(&text).is_ok(), "{text}")).unwrap();
    }
    crate::on_deep_stack(|| {
        assert!(parse(&format!("SELECT * FROM {}t{}", "(".repeat(100), ")".repeat(100))).is_ok());
        let text = error(&format!("SELECT {}];", "SUBSTRING(".repeat(6)));
        assert!(text.contains("Encountered \"]\" at line 1, column 68"), "{text}");
        let text = error(&format!("SELECT {}];", "POSITION(".repeat(24)));
        assert!(text.contains("It was followed up to line 1, column 22"), "{text}");
        let text = error(&format!("SELECT * FROM {}t", "((SELECT * FROM ".repeat(60)));
        assert!(text.contains("Queries in several parentheses"), "{text}");
        let text = error(&format!("SELECT {}1{};", "ARRAY[".repeat(249), "]".repeat(249)));
        assert!(text.contains("nest deeper than 250"), "{text}");
    })
    .unwrap();
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = parse_type(&text);
    }

    #[test]
    fn shuffled_words_never_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "SELECT", "FROM", "t", "a", "(", ")", ",", ";", "'x'", "'", "`", "CAST", "AS", "INT", "ROW", "<", ">", "ARRAY", "[", "]", "INTERVAL",
        "DAY", "TO", "SECOND", "TABLE", "TUMBLE", "DESCRIPTOR", "=>", "CREATE", "WITH", "=", "/*+ OPTIONS(", "*/", "--", "\n", "BEGIN", "STATEMENT",
        "SET", "END", "INSERT", "INTO", "VALUES", "1", "1.5e3", ".", "*", "GROUP", "BY", "CASE", "WHEN", "U&'\\", "X'", "MAP", "WATERMARK", "FOR",
        "EXPLAIN", "JOIN", "ON", "NOT", "NULL", "-", "||", "UNION", "ALL", "EXTRACT", "OVER", "MATCH_RECOGNIZE", "PATTERN", "DATE", "TIMESTAMP",
    ]), 0..40)) {
        let _ = parse(&words.join(" "));
    }
}
