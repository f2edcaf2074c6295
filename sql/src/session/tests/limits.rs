//! What short statements may cost: constants that stand for much, and queries whose plans would be out of proportion.
use std::time::{Duration, Instant};

use prost::Message;

use super::{Outcome, fails, run, session};
use crate::on_deep_stack;

const TABLES: &str = "CREATE TABLE t (a INT, s STRING) WITH ('connector' = 'datagen');
    CREATE TABLE sink (x STRING) WITH ('connector' = 'blackhole');\n";

/// What plans of a few thousand operators may take, with a compiler that optimises nothing and others at work on the machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The bytes of the job graph of a script, and how long it took.
fn planned(script: &str) -> (usize, Duration) {
    let script = format!("{TABLES}{script}");
    on_deep_stack(|| {
        let start = Instant::now();
        let graph = match run(&mut session(), &script) {
            Ok(Outcome::Insert(job)) => job.graph,
            Ok(Outcome::Query(job)) => job.graph,
            outcome => panic!("{script:.200}: {outcome:?}"),
        };
        println!("{script:.200}: {:?}", start.elapsed());
        (graph.encoded_len(), start.elapsed())
    })
    .unwrap()
}

fn refused(script: &str) -> String {
    let script = format!("{TABLES}{script}");
    on_deep_stack(|| fails(&mut session(), &script)).unwrap()
}

/// Before, the JobManager computed the text: 2.3 GB.
#[test]
fn constants_that_stand_for_much_are_left_to_the_job() {
    for constant in ["REPEAT('x', 400000000)", "LPAD('x', 400000000, 'ab')", "REPEAT(REPEAT('x', 20000), 20000)"] {
        let (bytes, took) = planned(&format!("INSERT INTO sink SELECT {constant} FROM t;"));
        assert!(bytes < 50_000 && took < LIMIT, "{constant}: {bytes} bytes in {took:?}");
    }
    let many = vec!["REPEAT('x', 16000)"; 1_000].join(", ");
    let (bytes, took) = planned(&format!("SELECT {many} FROM t;"));
    assert!(bytes < 2_000_000 && took < LIMIT, "{bytes} bytes in {took:?}");
    let long = "x".repeat(100_000);
    let many = vec!["x || s"; 1_000].join(" || ");
    let (bytes, took) = planned(&format!("INSERT INTO sink SELECT {many} FROM (SELECT '{long}' AS x, s FROM t);"));
    assert!(bytes < 2_000_000 && took < LIMIT, "{bytes} bytes in {took:?}");
}

/// Before, the first was cubic, the third a power of two.
#[test]
fn planning_is_linear_in_what_is_asked() {
    let list = |item: &dyn Fn(usize) -> String, count: usize| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let nested = |open: &str, close: &str, depth: usize| format!("{}t{}", open.repeat(depth), close.repeat(depth));
    for query in [
        format!("SELECT {} FROM t", list(&|i| format!("SUM(a + {i})"), 3_200)),
        format!("SELECT {} FROM t", list(&|_| "a".to_owned(), 5_000)),
        format!("SELECT {} FROM t", list(&|_| "CURRENT_DATE".to_owned(), 5_000)),
        format!("SELECT a FROM {}", nested("(SELECT a FROM ", " GROUP BY a)", 60)),
        format!("SELECT a FROM {}", nested("(SELECT DISTINCT a FROM ", ")", 60)),
        format!("SELECT a FROM {}", nested("(", ")", 100)),
        format!("SELECT {} FROM t GROUP BY {0}", list(&|i| format!("a + {i}"), 500)),
    ] {
        let (_, took) = planned(&format!("{query};"));
        assert!(took < LIMIT, "{query:.80}: {took:?}");
    }
}

/// Before, each level copied all below it, and nothing of the rows was left for the limit to see: 5 KB of text took 2 GB.
#[test]
fn rows_are_compared_at_the_price_of_their_fields() {
    let row = |depth: usize| format!("{}{}{}", "ROW(".repeat(depth), vec!["a"; 400].join(", "), ")".repeat(depth));
    for operator in ["=", "IS NOT DISTINCT FROM"] {
        let (_, took) = planned(&format!("SELECT s FROM t WHERE {0} {operator} {0};", row(31)));
        assert!(took < LIMIT, "{operator}: {took:?}");
        for depth in [32, 150] {
            let start = Instant::now();
            let message = refused(&format!("SELECT s FROM t WHERE {0} {operator} {0};", row(depth)));
            assert!(message.contains("more than 32 types within each other. Make it flatter."), "{message}");
            assert!(start.elapsed() < LIMIT, "{depth}: {:?}", start.elapsed());
        }
    }
    // At the same depth as where the value stays.
    let message = refused(&format!("SELECT {} FROM t;", row(32)));
    assert!(message.contains("more than 32 types within each other. Make it flatter."), "{message}");
    planned(&format!("INSERT INTO sink SELECT CAST({} AS STRING) FROM t;", row(31)));
    for (open, close) in [("ARRAY[", "]"), ("MAP['k', ", "]")] {
        let value = format!("{}a{}", open.repeat(32), close.repeat(32));
        let message = refused(&format!("SELECT s FROM t WHERE CARDINALITY({value}) = 1;"));
        assert!(message.contains("more than 32 types within each other. Make it flatter."), "{message}");
    }
}

/// Before, 60 of them were two to the power of 60 operands.
#[test]
fn operands_of_nullif_are_counted_twice() {
    let nested = format!("{}a{}", "NULLIF(".repeat(60), ", 1)".repeat(60));
    let message = refused(&format!("SELECT {nested} FROM t;"));
    assert!(message.contains("Operands of NULLIF") && message.contains("500000"), "{message}");
    let (_, took) = planned(&format!("SELECT {}a{} FROM t;", "NULLIF(".repeat(8), ", 1)".repeat(8)));
    assert!(took < LIMIT, "{took:?}");
}

/// Short texts that stand for very much, some of them for nothing that would be left of it.
#[test]
fn plans_out_of_proportion_are_refused() {
    let views = |view: &dyn Fn(usize) -> String| {
        (1..150).map(|i| format!("CREATE VIEW v{i} AS {};", view(i))).collect::<String>()
    };
    let first = "CREATE VIEW v0 AS SELECT s FROM t;";
    let last = "INSERT INTO sink SELECT * FROM v149;";
    for (script, words) in [
        (
            views(&|i| format!("SELECT s FROM v{0} UNION ALL SELECT s FROM v{0}", i - 1)),
            "stand for more than 10000 queries at 'v",
        ),
        (
            views(&|i| format!("WITH x AS (SELECT * FROM v{0}), y AS (SELECT * FROM v{0}) SELECT s FROM t", i - 1)),
            "are too many or too long at 'v",
        ),
        (
            views(&|i| format!("SELECT s FROM {}v{}{}", "(SELECT s FROM ".repeat(100), i - 1, ")".repeat(100))),
            "Queries stand within more than 1000 others",
        ),
        (
            format!(
                "INSERT INTO sink WITH x AS (SELECT '{}' AS s FROM t) {};",
                "x".repeat(100_000),
                vec!["SELECT s FROM x"; 1_000].join(" UNION ALL ")
            ),
            "more than 1000000 columns and parts of expressions at 'x'",
        ),
        (
            format!(
                "CREATE TABLE wide ({}) WITH ('connector' = 'datagen'); INSERT INTO sink {};",
                (0..1_000).map(|i| format!("c{i} STRING")).collect::<Vec<_>>().join(", "),
                vec!["SELECT c0 FROM wide"; 1_000].join(" UNION ALL ")
            ),
            "The tables that are read have more than 500000 columns",
        ),
        (
            format!("SELECT a FROM {}t{};", "(SELECT ROW(a, a) AS a FROM ".repeat(40), ")".repeat(40)),
            "The type of 'a' has more than 20000 fields",
        ),
        (
            format!(
                "CREATE TABLE deep (r ROW<{}>) WITH ('connector' = 'datagen'); SELECT {} FROM deep;",
                (0..10_000).map(|i| format!("f{i} INT")).collect::<Vec<_>>().join(", "),
                (0..10_000).map(|i| format!("r.f{i}")).collect::<Vec<_>>().join(", ")
            ),
            "have more than 1000000 fields",
        ),
        (format!("SELECT {} FROM t;", vec!["a"; 300_000].join(", ")), "The statement has 600002 words and signs"),
        (format!("SELECT {} FROM t;", vec!["a"; 10_001].join(", ")), "A SELECT has 10001 columns, of at most 10000"),
        (
            format!(
                "SELECT a FROM t GROUP BY {};",
                (0..1_001).map(|i| format!("a + {i}")).collect::<Vec<_>>().join(", ")
            ),
            "GROUP BY has more than 1000 keys",
        ),
        (
            format!("EXECUTE STATEMENT SET BEGIN {} END;", "INSERT INTO sink SELECT s FROM t; ".repeat(2_001)),
            "A statement set has 2001 INSERTs, of at most 2000",
        ),
        (
            format!("CREATE TABLE x ({}) WITH ('connector' = 'datagen');", vec!["a INT"; 5_001].join(", ")),
            "has 5001 columns, of at most 5000",
        ),
        // Before, the one was likened to the other.
        (
            format!("CREATE TABLE x ({0}a INT) WITH ('connector' = 'datagen'); SELECT {0}b FROM x;", "x".repeat(250)),
            "not found in any table",
        ),
    ] {
        let start = Instant::now();
        let message = refused(&format!("{first}{script}{last}"));
        println!("{words}: {:?}", start.elapsed());
        assert!(message.contains(words), "{message}");
        assert!(start.elapsed() < LIMIT, "{words}: {:?}", start.elapsed());
    }
}

/// As deep as they may be.
#[test]
fn views_of_nested_queries_are_planned() {
    let nested = |below: &str| format!("{}{below}{}", "(SELECT DISTINCT s FROM ".repeat(100), ")".repeat(100));
    let view = |i: usize| match i {
        0 => format!("CREATE VIEW v0 AS SELECT s FROM {};", nested("t")),
        _ => format!("CREATE VIEW v{i} AS SELECT s FROM {};", nested(&format!("v{}", i - 1))),
    };
    let views: String = (0..9).map(view).collect();
    let (_, took) = planned(&format!("{views} INSERT INTO sink SELECT s FROM v8;"));
    assert!(took < LIMIT * 2, "{took:?}");
}
