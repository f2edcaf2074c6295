//! Structured types, and functions that are there to be refused with Flink's words.
use super::*;

fn types(session: &mut Session, query: &str) -> Vec<String> {
    let view = format!("DROP TEMPORARY VIEW IF EXISTS described; CREATE TEMPORARY VIEW described AS {query}");
    run(session, &view).unwrap_or_else(|error| panic!("{query}: {}", error.message()));
    rows(run(session, "DESCRIBE described").unwrap())
        .into_iter()
        .map(|row| row[1].clone() + nullability(&row))
        .collect()
}

fn nullability(row: &[String]) -> &'static str {
    if row[2] == "FALSE" { " NOT NULL" } else { "" }
}

#[test]
fn objects_have_the_types_that_flink_gives_them() {
    let mut session = session();
    for (query, expected) in [
        (
            "SELECT OBJECT_OF('com.example.User', 'name', 'Bob', 'age', 42)",
            "STRUCTURED<'com.example.User', `name` CHAR(3) NOT NULL, `age` INT NOT NULL>",
        ),
        ("SELECT OBJECT_OF('A', 'a`b', CAST(NULL AS INT))", "STRUCTURED<'A', `a``b` INT>"),
        ("SELECT OBJECT_OF('A')", "STRUCTURED<'A', >"),
        ("SELECT OBJECT_OF('A', 'name', 'Bob').name", "CHAR(3)"),
        ("SELECT OBJECT_OF('A', 'X', 1).x", "INT"),
        ("SELECT o.x.y FROM (SELECT OBJECT_OF('A', 'x', OBJECT_OF('B', 'y', 1)) AS o)", "INT"),
        (
            "SELECT OBJECT_UPDATE(OBJECT_OF('A', 'x', 1, 'y', 2), 'x', 'str')",
            "STRUCTURED<'A', `x` CHAR(3) NOT NULL, `y` INT NOT NULL>",
        ),
        ("SELECT OBJECT_OF('A', 'x', 1) IS NULL", "BOOLEAN NOT NULL"),
        ("SELECT OBJECT_OF('A', 'x', 1) = OBJECT_OF('A', 'x', 2)", "BOOLEAN"),
        ("SELECT CAST(OBJECT_OF('A', 'x', 1) AS ROW<x BIGINT>)", "ROW<`x` BIGINT>"),
        ("SELECT CAST(ROW(1) AS STRUCTURED<'A', x INT>)", "STRUCTURED<'A', `x` INT> NOT NULL"),
        ("SELECT JSON_STRING(OBJECT_OF('A', 'x', 1))", "STRING"),
        ("SELECT ARRAY[OBJECT_OF('A', 'x', 1)]", "ARRAY<STRUCTURED<'A', `x` INT NOT NULL>> NOT NULL"),
    ] {
        assert_eq!(types(&mut session, query), [expected], "{query}");
    }
    let star = "SELECT o.* FROM (SELECT OBJECT_OF('A', 'x', 1, 'y', 'z') AS o)";
    assert_eq!(types(&mut session, star), ["INT", "CHAR(1)"]);
}

#[test]
fn objects_that_cannot_be_are_refused_with_flinks_words() {
    let mut session = session();
    for (call, expected) in [
        ("OBJECT_OF('A', 'name')", "Supported signatures are:\nOBJECT_OF(class name STRING, [STRING, ANY]*...)"),
        ("OBJECT_OF('A', 'x', 1, 'x', 2)", "The field name 'x' at position 4 is repeated."),
        (
            "OBJECT_OF('A', 1, 2)",
            "The field key at position 2 must be a non-nullable character string, but was INT NOT NULL.",
        ),
        (
            "OBJECT_OF('A', CAST('x' AS STRING), 2)",
            "The field key at position 2 must be a non-nullable character string literal.",
        ),
        ("OBJECT_OF('A', 'x', NULL)", "Illegal use of 'NULL'"),
        ("OBJECT_OF('a b', 'x', 1)", "Invalid class name 'a b'. The class name must comply with JVM identifier rules."),
        ("OBJECT_OF('a.class.B', 'x', 1)", "Invalid class name 'a.class.B'."),
        (
            "OBJECT_UPDATE(OBJECT_OF('A', 'x', 1, 'y', 2), 'z', 3)",
            "The field name 'z' at position 2 is not part of the structured type attributes. Available attributes: [x, y].",
        ),
        ("OBJECT_UPDATE(ROW(1), 'x', 3)", "The first argument must be a structured type, but was ROW<"),
        ("OBJECT_OF('A', 'x', 1) = OBJECT_OF('B', 'x', 1)", "Cannot apply '=' to arguments of type"),
        ("OBJECT_OF('A', 'x', 1) < OBJECT_OF('A', 'x', 1)", "Comparable type expected"),
        ("APPROX_COUNT_DISTINCT(1)", "APPROX_COUNT_DISTINCT aggregate function does not support yet for streaming."),
        ("SOURCE_WATERMARK()", "It can only be used as a single expression in a WATERMARK FOR clause"),
    ] {
        let message = fails(&mut session, &format!("SELECT {call} FROM (VALUES 1) AS t (v)"));
        assert!(message.contains(expected), "{call}: {message}");
    }
}

#[test]
fn structured_columns_are_those_of_sinks_that_take_them() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE taken (a STRUCTURED<'com.example.U', n STRING, m INT NOT NULL> NOT NULL, b ROW<x STRUCTURED<'B', y INT>>)
         WITH ('connector' = 'blackhole')",
    )
    .unwrap();
    let described = rows(run(&mut session, "DESCRIBE taken").unwrap());
    assert_eq!(described[0][1], "STRUCTURED<'com.example.U', `n` STRING, `m` INT NOT NULL>");
    let shown = rows(run(&mut session, "SHOW CREATE TABLE taken").unwrap()).concat().concat();
    assert!(shown.contains("  `a` STRUCTURED<'com.example.U', `n` VARCHAR(2147483647), `m` INT NOT NULL> NOT NULL,\n"));
    run(&mut session, &shown.replace("`taken`", "`again`")).unwrap();
    assert_eq!(rows(run(&mut session, "DESCRIBE again").unwrap()), described);
    // By places, as in Flink.
    for value in ["OBJECT_OF('V', 'k', 'Bob', 'l', 1)", "ROW('Bob', 1)"] {
        run(&mut session, &format!("INSERT INTO taken SELECT {value}, CAST(NULL AS ROW<x STRUCTURED<'B', y INT>>)"))
            .unwrap();
    }
    let error = fails(
        &mut session,
        "INSERT INTO taken SELECT OBJECT_OF('V', 'k', 1, 'l', 'x'), CAST(NULL AS ROW<x STRUCTURED<'B', y INT>>)",
    );
    assert!(error.contains("do not match"), "{error}");
    for format in ["json", "csv", "parquet"] {
        let table = format!(
            "CREATE TABLE {format}_files (a STRUCTURED<'A', n INT>) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = '{format}');
             SELECT * FROM {format}_files"
        );
        let error = fails(&mut session, &table);
        assert!(error.contains("STRUCTURED<'A', `n` INT>"), "{format}: {error}");
    }
}

#[test]
fn watermarks_of_sources_can_be_declared_and_not_read() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE timed (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS SOURCE_WATERMARK()) WITH ('connector' = 'datagen');
         CREATE TABLE sink (ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS SOURCE_WATERMARK()) WITH ('connector' = 'blackhole');
         INSERT INTO sink VALUES (TO_TIMESTAMP_LTZ(0, 3))",
    )
    .unwrap();
    let described = rows(run(&mut session, "DESCRIBE timed").unwrap());
    assert_eq!(described[1].join("|"), "ts|TIMESTAMP(3) *ROWTIME*|TRUE|||`SOURCE_WATERMARK`()");
    for query in [
        "SELECT a FROM timed",
        "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start",
    ] {
        let error = run(&mut session, query).unwrap_err();
        assert!(error.message().starts_with("SOURCE_WATERMARK() is a declarative marker function"), "{error}");
        assert!(error.location().is_some(), "{query}");
    }
    let with = "WITH ('connector' = 'datagen')";
    for (watermark, expected) in [
        ("SOURCE_WATERMARK() - INTERVAL '1' SECOND", "It can only be used as a single expression"),
        ("SOURCE_WATERMARK(1)", "No match found for function signature SOURCE_WATERMARK(<NUMERIC>)"),
    ] {
        let error =
            fails(&mut session, &format!("CREATE TABLE bad (ts TIMESTAMP(3), WATERMARK FOR ts AS {watermark}) {with}"));
        assert!(error.contains(expected), "{error}");
    }
}
