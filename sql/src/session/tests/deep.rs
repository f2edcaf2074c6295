//! Long chains, deep nesting, and what a hostile script makes of them: a job graph, or an error that says what and where.
use std::fmt::Display;
use std::time::{Duration, Instant};

use prost::Message;
use wiesel_expressions::expression::Expression;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::{Outcome, fails, run, session};
use crate::on_deep_stack;

const TABLES: &str =
    "CREATE TABLE t (a INT, d DECIMAL(10, 2), f DOUBLE, b BOOLEAN, s STRING) WITH ('connector' = 'datagen');
    CREATE TABLE sink (x STRING) WITH ('connector' = 'blackhole');\n";

/// What plans of chains this long may take, with a compiler that optimises nothing and others at work on the machine.
const LIMIT: Duration = Duration::from_secs(20);

fn chain(operand: impl Display, operator: &str, count: usize) -> String {
    vec![operand.to_string(); count].join(operator)
}

/// The graph of `INSERT INTO sink` of this SELECT, as the JobManager gets it and sends it on.
fn planned(select: &str) -> proto::JobGraph {
    on_deep_stack(|| {
        let start = Instant::now();
        let mut session = session();
        let outcome = run(&mut session, &format!("{TABLES}INSERT INTO sink {select};"));
        let Ok(Outcome::Insert(job)) = outcome else { panic!("{outcome:?}") };
        let took = start.elapsed();
        println!("{:.60}: {took:?}", select);
        assert!(took < LIMIT, "{took:?}");
        let request = proto::SubmitTasksRequest { graph: Some(job.graph), ..proto::SubmitTasksRequest::default() };
        proto::SubmitTasksRequest::decode(request.encode_to_vec().as_slice()).unwrap().graph.unwrap()
    })
    .unwrap()
}

fn refused(script: &str) -> String {
    let script = format!("{TABLES}{script}");
    on_deep_stack(|| fails(&mut session(), &script)).unwrap()
}

/// The expressions of all calcs.
fn expressions(graph: &proto::JobGraph) -> Vec<&proto::Expression> {
    let operators = graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let calcs = operators.filter_map(|operator| match &operator.kind {
        Some(Kind::Calc(calc)) => Some(calc),
        _ => None,
    });
    calcs.flat_map(|calc| calc.condition.iter().chain(&calc.projection)).collect()
}

/// Before, a chain of 48 was a message too deep to be read, in the JobManager or at the latest in the TaskManagers.
#[test]
fn chains_of_ten_thousand_operators_are_planned() {
    let count = 10_000;
    let selects = [
        format!("SELECT CAST({} AS STRING) FROM t", chain("a", " + ", count)),
        format!("SELECT CAST({} AS STRING) FROM t", chain("a", " - a + ", count / 2)),
        format!("SELECT CAST({} AS STRING) FROM t", chain("d", " + a + ", count / 2)),
        format!("SELECT CAST({} AS STRING) FROM t", chain("f", " * f / ", count / 2)),
        format!("SELECT {} FROM t", chain("s", " || ", count)),
        format!("SELECT s FROM t WHERE {}", chain("a > 1", " AND b OR ", count / 2)),
        format!("SELECT s FROM t WHERE {}", (0..count).map(|i| format!("a <> {i}")).collect::<Vec<_>>().join(" AND ")),
        format!("SELECT s FROM t WHERE {}", (0..count).map(|i| format!("a = {i}")).collect::<Vec<_>>().join(" OR ")),
        format!("SELECT CAST(b{} AS STRING) FROM t", " IS NOT FALSE".repeat(count)),
    ];
    for select in selects {
        let graph = planned(&select);
        let largest = expressions(&graph).into_iter().map(|expression| expression.nodes.len()).max();
        assert!(largest > Some(count / 4), "{largest:?} nodes: {select:.60}");
        on_deep_stack(|| expressions(&graph).into_iter().for_each(|e| drop(Expression::try_from(e).unwrap()))).unwrap();
    }
}

#[test]
fn lists_and_branches_by_the_ten_thousand_are_planned() {
    let count = 10_000;
    let list = |item: fn(usize) -> String, separator: &str| (0..count).map(item).collect::<Vec<_>>().join(separator);
    planned(&format!("SELECT s FROM t WHERE a IN ({})", list(|i| i.to_string(), ", ")));
    planned(&format!("SELECT s FROM t WHERE f IN ({})", list(|i| format!("{i}e0"), ", ")));
    planned(&format!("SELECT CASE a {} END FROM t", list(|i| format!("WHEN {i} THEN '{i}'"), " ")));
    planned(&format!("SELECT CASE {} END FROM t", list(|i| format!("WHEN a = {i} THEN '{i}'"), " ")));
    planned(&format!("SELECT COALESCE({}) FROM t", chain("s", ", ", count)));
    let graph = planned(&list(|i| format!("SELECT s FROM t WHERE a + 1 - 1 = {i}"), " UNION ALL "));
    assert!(graph.vertices.len() > count, "{}", graph.vertices.len());
    planned(&format!("SELECT * FROM (VALUES {})", list(|i| format!("('{i}')"), ", ")));
}

/// Views over each other become one expression; one that would be too deep stays several.
#[test]
fn views_over_views_do_not_make_an_expression_too_deep() {
    let graph = on_deep_stack(|| {
        let mut session = session();
        let sum = |of: &str| format!("{of}{}", " + 1".repeat(9_000));
        let mut script = format!("{TABLES}CREATE VIEW v0 AS SELECT {} AS x FROM t;", sum("a"));
        for i in 1..12 {
            script.push_str(&format!("CREATE VIEW v{i} AS SELECT {} AS x FROM v{};", sum("x"), i - 1));
        }
        script.push_str("INSERT INTO sink SELECT CAST(x AS STRING) FROM v11;");
        let outcome = run(&mut session, &script);
        let Ok(Outcome::Insert(job)) = outcome else { panic!("{outcome:?}") };
        job.graph
    })
    .unwrap();
    let all = expressions(&graph);
    assert!(all.len() > 1);
    for expression in all {
        assert!(wiesel_expressions::expression::message_depth(expression).unwrap() <= 50_000);
    }
}

#[test]
fn what_is_too_deep_is_an_error_and_nothing_worse() {
    let long = refused(&format!("INSERT INTO sink SELECT CAST({} AS STRING) FROM t;", chain("a", " + ", 1_000_000)));
    assert!(
        long.starts_with("More than 20000 operators in a row at line 3, column ") && long.contains("view"),
        "{long}"
    );
    // The chains around a parenthesis count, too.
    let nested = format!("{}1{}", format!("{}(", "1 + ".repeat(200)).repeat(200), ")".repeat(200));
    let nested = refused(&format!("INSERT INTO sink SELECT CAST({nested} AS STRING) FROM t;"));
    assert!(nested.starts_with("More than 20000 operators in a row"), "{nested}");
    let unions = refused(&format!("INSERT INTO sink {};", chain("SELECT s, a FROM t", " UNION ALL ", 30_000)));
    assert!(unions.starts_with("More than 20000 operators in a row"), "{unions}");
    for (open, close) in
        [("(", ")"), ("ABS(", ")"), ("CASE WHEN b THEN ", " END"), ("NOT ", ""), ("- ", ""), ("a[", "]")]
    {
        for depth in [300, 100_000] {
            let expression = format!("{}a{}", open.repeat(depth), close.repeat(depth));
            let message = refused(&format!("INSERT INTO sink SELECT {expression} FROM t;"));
            assert!(message.contains("nest deeper than") || message.contains("in a row"), "{open}: {message}");
        }
        // Whatever comes of what is less deep, it comes soon.
        let start = Instant::now();
        let expression = format!("{}a{}", open.repeat(200), close.repeat(200));
        let script = format!("{TABLES}INSERT INTO sink SELECT {expression} FROM t;");
        on_deep_stack(|| drop(run(&mut session(), &script))).unwrap();
        assert!(start.elapsed() < LIMIT, "{open}: {:?}", start.elapsed());
    }
    let subqueries = |depth: usize| format!("{}t{}", "(SELECT * FROM ".repeat(depth), ")".repeat(depth));
    let message = refused(&format!("INSERT INTO sink SELECT * FROM {};", subqueries(100_000)));
    assert!(message.contains("nest deeper than"), "{message}");
    let message = refused(&format!(
        "CREATE TABLE x (a {}INT{}) WITH ('connector' = 'datagen');",
        "ARRAY<".repeat(50),
        ">".repeat(50)
    ));
    assert!(message.contains("at most 32 types within each other"), "{message}");
    let message =
        refused(&format!("CREATE TABLE x (a INT{}) WITH ('connector' = 'datagen');", " ARRAY".repeat(100_000)));
    assert!(message.contains("at most 32 types within each other"), "{message}");
    let message =
        refused(&format!("INSERT INTO sink SELECT CAST({}a{} AS STRING) FROM t;", "ARRAY[".repeat(40), "]".repeat(40)));
    assert!(message.contains("types within each other") || message.contains("Cast"), "{message}");
}

/// What is short and stands for very much.
#[test]
fn what_multiplies_is_an_error_before_it_takes_the_memory() {
    let doubling: String = (1..64)
        .map(|i| format!("CREATE VIEW v{i} AS SELECT * FROM v{0} UNION ALL SELECT * FROM v{0};", i - 1))
        .collect();
    let message =
        refused(&format!("CREATE VIEW v0 AS SELECT s FROM t; {doubling} INSERT INTO sink SELECT * FROM v63;"));
    assert!(message.contains("stand for more than 10000 queries at 'v"), "{message}");
    let with: Vec<String> =
        (1..64).map(|i| format!("v{i} AS (SELECT * FROM v{0} UNION ALL SELECT * FROM v{0})", i - 1)).collect();
    let message =
        refused(&format!("INSERT INTO sink WITH v0 AS (SELECT s FROM t), {} SELECT * FROM v63;", with.join(", ")));
    assert!(message.contains("stand for more than 10000 queries at 'v"), "{message}");
    let over: String =
        (1..300).map(|i| format!("CREATE VIEW v{i} AS SELECT s FROM v{} WHERE a > {i};", i - 1)).collect();
    let message =
        refused(&format!("CREATE VIEW v0 AS SELECT s, a FROM t; {}", over.replace("SELECT s", "SELECT s, a")));
    assert!(message.contains("Views stand within more than 200 others"), "{message}");
    let between = format!("{}a BETWEEN 1 AND 2){}", "(".repeat(60), " BETWEEN b AND b)".repeat(59));
    let message = refused(&format!("INSERT INTO sink SELECT s FROM t WHERE {between};"));
    assert!(message.contains("BETWEEN") && message.contains("500000"), "{message}");
}

/// Failed before: each name was compared with each column of each query around it.
#[test]
fn names_are_found_through_many_queries_soon() {
    let (columns, queries, names) = (4_000, 60, 20_000);
    let wide: Vec<String> = (0..columns).map(|i| format!("c{i} INT")).collect();
    let mut condition = format!("1 IN ({})", chain("a", ", ", names));
    for _ in 0..queries {
        condition = format!("EXISTS (SELECT 1 FROM wide WHERE {condition})");
    }
    let start = Instant::now();
    let message = refused(&format!(
        "CREATE TABLE wide ({}) WITH ('connector' = 'datagen'); INSERT INTO sink SELECT s FROM t WHERE {condition};",
        wide.join(", ")
    ));
    assert_eq!(message, "A subquery within an expression is not supported");
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}
