//! The SQL parser and planner: any text is a job graph or an error.
use std::path::Path;
use std::time::Duration;

use wiesel_common::config::Configuration;
use wiesel_fuzz::{Target, corpus};
use wiesel_jobmanager::dispatcher::validate;
use wiesel_sql::parser;
use wiesel_sql::session::{ExecuteOptions, Outcome, Session};

/// What scripts are made of, and what they are nested with.
pub(super) const WORDS: &[&str] = &[
    "SELECT ",
    " FROM t ",
    " WHERE ",
    " GROUP BY ",
    " HAVING ",
    " UNION ALL ",
    " JOIN t ON ",
    "WITH x AS (",
    "CREATE VIEW v AS ",
    "CREATE TABLE t (a INT, s STRING) WITH ('connector' = 'datagen');\n",
    "CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');\n",
    "INSERT INTO t ",
    "EXPLAIN ",
    "EXECUTE STATEMENT SET BEGIN ",
    "END;",
    "SET 'parallelism.default' = '",
    "DESCRIBE ",
    "VALUES (",
    "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
    "HOP(",
    "CAST(",
    " AS DECIMAL(38, 18))",
    " AS ROW<a ARRAY<MAP<STRING, INT>>>)",
    "CASE WHEN ",
    " THEN ",
    " ELSE ",
    " END",
    "POSITION(",
    "SUBSTRING(",
    "OVERLAY(",
    "FLOOR(",
    "CEIL(",
    "EXTRACT(",
    "TRIM(",
    "ARRAY[",
    "MAP[",
    "ROW(",
    "INTERVAL '1' ",
    "TIMESTAMP '2024-01-01 00:00:00'",
    "REPEAT('x', 400000000)",
    "LPAD('x', 2147483647, 'y')",
    "REGEXP_EXTRACT(s, '",
    " BETWEEN 1 AND ",
    " IN (",
    " NOT ",
    " LIKE '%' ESCAPE '",
    " IS NOT DISTINCT FROM ",
    " OVER (PARTITION BY ",
    "1e308",
    "9223372036854775808",
    "U&'\\0000'",
    "/*",
    "*/",
    "--",
    "/*+ OPTIONS('a'='b') */",
    "`",
    "'",
    "(",
    ")",
    "]",
    ",",
    ";",
    " + ",
    " || ",
    "\u{feff}",
];

/// The scripts of the golden tests.
pub(super) fn scripts() -> Vec<Vec<u8>> {
    corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sql"), ".sql")
}

fn run(script: &str) -> bool {
    let mut session = Session::new(Configuration::default());
    let mut taken = false;
    parser::unfinished(script);
    parser::split_input(script);
    for text in parser::split(script) {
        // As a client does: what fails changes nothing, the next one is another's.
        let Ok(statement) = parser::parse_statement(&text) else { continue };
        match session.execute(&statement, &ExecuteOptions::default()) {
            Ok(Outcome::Insert(job)) => taken |= validate(&mut job.graph.clone()).is_ok(),
            Ok(Outcome::Query(job)) => taken |= validate(&mut job.graph.clone()).is_ok(),
            _ => {}
        }
    }
    taken
}

#[test]
fn sql() {
    let target = Target {
        // What a compiler made that optimises nothing plans slowly.
        time: Duration::from_secs(20),
        memory: 1 << 30,
        stack: 1 << 30,
        words: WORDS,
        ..Target::new("sql")
    };
    target.run(scripts(), |input| run(&String::from_utf8_lossy(input)));
}
