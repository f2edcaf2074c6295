//! What sinks get: the rows of a query under the names that the table has for them.
use wiesel_proto::operator_spec::Kind;

use super::*;

const TABLES: &str = "
    CREATE TABLE src (a INT, b STRING, c ROW<d INT, e STRING>) WITH ('connector' = 'datagen');
    CREATE TABLE timed (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
    CREATE TABLE first_sink (x INT, y STRING, z ROW<d INT, e STRING>) WITH ('connector' = 'blackhole');
    CREATE TABLE other_sink (b INT, a STRING, c ROW<d INT, e STRING>) WITH ('connector' = 'blackhole');
    CREATE TABLE times (x INT, began TIMESTAMP(3)) WITH ('connector' = 'blackhole');
    CREATE VIEW renamed (k, l, m) AS SELECT * FROM src;
";

/// The columns of all sinks of an INSERT or a statement set.
fn written(statement: &str) -> Vec<Vec<String>> {
    let mut session = session();
    let Outcome::Insert(job) = run(&mut session, &format!("{TABLES}{statement}")).unwrap() else {
        panic!("{statement}")
    };
    check_graph(&job.graph);
    let operators = job.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let sinks = operators.filter_map(|operator| match &operator.kind {
        Some(Kind::Sink(spec)) => spec.input.as_ref(),
        _ => None,
    });
    sinks.map(|input| input.fields.iter().map(|field| field.name.clone()).collect()).collect()
}

/// Failed before: files had the names of the table that was read, where a query was no more than its rows, or some of them. With
/// these names in another order, values came under the name of another column.
#[test]
fn columns_are_called_what_the_sink_calls_them() {
    for query in [
        "SELECT * FROM src",
        "SELECT * FROM src AS s (k, l, m)",
        "SELECT * FROM src WHERE a > 1",
        "SELECT * FROM (SELECT * FROM src WHERE a > 1) WHERE b <> 'x'",
        "SELECT * FROM renamed",
        "SELECT * FROM renamed WHERE m.d = 1",
        "SELECT a, b, c FROM src",
        "SELECT a + 1, UPPER(b), c FROM src",
        "SELECT DISTINCT * FROM src",
        "SELECT DISTINCT * FROM src WHERE a > 1",
        "SELECT * FROM src UNION ALL SELECT * FROM src WHERE a > 1",
        "SELECT * FROM src WHERE FALSE",
        "VALUES (1, 'a', ROW(1, 'a'))",
    ] {
        for (sink, columns) in [("first_sink", ["x", "y", "z"]), ("other_sink", ["b", "a", "c"])] {
            assert_eq!(written(&format!("INSERT INTO {sink} {query}")), [columns], "{sink}: {query}");
        }
        let both = format!(
            "EXECUTE STATEMENT SET BEGIN INSERT INTO first_sink {query}; INSERT INTO other_sink SELECT * FROM src; INSERT INTO other_sink {query}; END;"
        );
        let mut all = written(&both);
        all.sort();
        assert_eq!(all, [["b", "a", "c"], ["b", "a", "c"], ["x", "y", "z"]], "{query}");
    }
    for query in ["SELECT * FROM timed", "SELECT * FROM timed WHERE a > 1"] {
        assert_eq!(written(&format!("INSERT INTO times {query}")), [["x", "began"]], "{query}");
    }
}

/// Failed before: EXPLAIN showed a plan that no job could have.
#[test]
fn a_partition_is_a_value_that_can_be_computed() {
    let mut session = session();
    let table = "CREATE TABLE parts (a INT, p BIGINT) PARTITIONED BY (p)
        WITH ('connector' = 'filesystem', 'path' = '/d', 'format' = 'csv')";
    run(&mut session, &format!("{TABLES}{table}")).unwrap();
    for statement in ["", "EXPLAIN "] {
        let insert = |value: &str| format!("{statement}INSERT INTO parts PARTITION (p = {value}) SELECT a FROM src");
        run(&mut session, &insert("CAST(1 AS BIGINT)")).unwrap();
        assert_eq!(fails(&mut session, &insert("COUNT(*) OVER ()")), "COUNT with OVER is not supported");
    }
}
