//! A savepoint finds the state of an operator again after edits that do not concern it.
use std::collections::BTreeSet;

use super::*;
use wiesel_proto::operator_spec::Kind;

mod pinned;

const TABLES: &str = "
    CREATE TABLE orders (id BIGINT, customer STRING, price DECIMAL(10, 2), place ROW<city STRING, zip INT>, ts TIMESTAMP(3),
        WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
    CREATE TABLE `returns` (id BIGINT, customer STRING, ts TIMESTAMP(3)) WITH ('connector' = 'datagen');
    CREATE TABLE by_customer (customer STRING, n BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE longer (customer STRING, n BIGINT, again STRING) WITH ('connector' = 'blackhole');
    CREATE TABLE by_city (city STRING, n BIGINT, total DECIMAL(38, 2)) WITH ('connector' = 'blackhole');
    CREATE TABLE by_minute (began TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE by_hour (customer STRING, began TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE returned (customer STRING, n BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE copy (id BIGINT, customer STRING) WITH ('connector' = 'blackhole');
";

const BY_CUSTOMER: &str =
    "INSERT INTO by_customer SELECT customer, COUNT(*) FROM orders WHERE id > 5 AND price > 1 GROUP BY customer";
const BY_CITY: &str =
    "INSERT INTO by_city SELECT o.place.city, COUNT(*), SUM(price) FROM orders AS o GROUP BY o.place.city";
const BY_MINUTE: &str = "INSERT INTO by_minute SELECT window_start, COUNT(*)
    FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end";
const BY_HOUR: &str = "INSERT INTO by_hour SELECT customer, window_start, COUNT(DISTINCT id)
    FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' HOUR))
    GROUP BY customer, window_start, window_end";
const RETURNED: &str = "INSERT INTO returned SELECT customer, COUNT(*) FROM `returns` GROUP BY customer";
const COPY: &str = "INSERT INTO copy SELECT id, customer FROM orders WHERE id > 7";
const ALL: [&str; 6] = [BY_CUSTOMER, BY_CITY, BY_MINUTE, BY_HOUR, RETURNED, COPY];

fn graph(settings: &str, tables: &str, inserts: &[&str]) -> proto::JobGraph {
    let mut session = session();
    let statements: String = inserts.iter().map(|insert| format!("{insert};\n")).collect();
    let script = format!("{settings}{tables}EXECUTE STATEMENT SET BEGIN\n{statements}END;");
    let Outcome::Insert(job) = run(&mut session, &script).unwrap() else { panic!("no job") };
    check_graph(&job.graph);
    job.graph
}

/// The operators with state: what they are, and their uids.
fn stateful(graph: &proto::JobGraph) -> BTreeSet<(&'static str, String)> {
    let kind = |operator: &proto::OperatorSpec| match operator.kind.as_ref()? {
        Kind::Source(_) => Some("source"),
        Kind::GroupAggregate(_) => Some("group"),
        Kind::WindowAggregate(spec) if spec.phase() != proto::WindowPhase::Local => Some("window"),
        Kind::Sink(_) => Some("sink"),
        _ => None,
    };
    let operators = graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let hexadecimal = |uid: &[u8]| uid.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    operators.filter_map(|operator| Some((kind(operator)?, hexadecimal(&operator.uid)))).collect()
}

fn of(inserts: &[&str]) -> BTreeSet<(&'static str, String)> {
    stateful(&graph("", TABLES, inserts))
}

fn kinds(operators: &BTreeSet<(&'static str, String)>) -> Vec<&'static str> {
    operators.iter().map(|(kind, _)| *kind).collect()
}

/// What two jobs have in common.
fn common(one: &[&str], other: &[&str]) -> Vec<&'static str> {
    kinds(&of(one).intersection(&of(other)).cloned().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any statements in any order: each has the operators that it has alone.
    #[test]
    fn statements_do_not_change_each_other(
        statements in prop::sample::subsequence(ALL.to_vec(), 1..=6).prop_shuffle(),
    ) {
        let mut alone = BTreeSet::new();
        statements.iter().for_each(|statement| alone.extend(of(&[*statement])));
        prop_assert_eq!(of(&statements), alone);
    }
}

#[test]
fn names_order_of_conditions_and_views_do_not_matter() {
    let edits = [
        "INSERT INTO by_customer SELECT customer AS c, COUNT(*) AS k FROM orders AS o WHERE id > 5 AND price > 1 GROUP BY customer",
        "INSERT INTO by_customer SELECT customer, COUNT(*) FROM orders WHERE price > 1 AND id > 5 GROUP BY customer",
        "INSERT INTO by_customer SELECT c, COUNT(*) FROM (SELECT id, price, customer AS c FROM orders WHERE id > 5) WHERE price > 1 GROUP BY c",
    ];
    for edit in edits {
        assert_eq!(of(&[BY_CUSTOMER]), of(&[edit]), "{edit}");
    }
}

/// Before, each answer about a job and each message that deployed it repeated the whole of an expression.
#[test]
fn what_is_shown_of_an_operator_has_a_length_and_its_uid_is_of_all_of_it() {
    let insert = |end: &str| {
        let key = format!("customer || '{}{end}'", "x".repeat(200_000));
        format!("INSERT INTO by_customer SELECT {key}, COUNT(*) FROM orders GROUP BY {key}")
    };
    let (one, other) = (graph("", TABLES, &[&insert("1")]), graph("", TABLES, &[&insert("2")]));
    let shown = |graph: &proto::JobGraph| -> Vec<String> {
        graph.vertices.iter().map(|vertex| vertex.description.clone()).collect()
    };
    assert_eq!(shown(&one), shown(&other));
    assert!(shown(&one).iter().all(|description| description.len() < 40_000));
    assert!(shown(&one).iter().any(|description| description.contains(" more bytes)")));
    assert_ne!(stateful(&one), stateful(&other));
}

#[test]
fn what_a_query_does_with_results_does_not_matter_to_the_aggregate() {
    let longer = "INSERT INTO longer SELECT customer, COUNT(*) + 1, UPPER(customer) FROM orders
        WHERE id > 5 AND price > 1 GROUP BY customer";
    assert_eq!(common(&[BY_CUSTOMER], &[longer]), ["group", "source"]);
}

#[test]
fn columns_that_a_table_gets_do_not_matter() {
    let tables = TABLES.replace("orders (id BIGINT,", "orders (note STRING, id BIGINT, more ROW<a INT, b INT>,");
    for statement in ALL {
        assert_eq!(stateful(&graph("", &tables, &[statement])), of(&[statement]), "{statement}");
    }
}

#[test]
fn the_number_of_phases_does_not_matter() {
    let one = "SET 'table.optimizer.agg-phase-strategy' = 'ONE_PHASE';";
    assert_eq!(stateful(&graph(one, TABLES, &[BY_MINUTE])), of(&[BY_MINUTE]));
}

/// A checkpoint's metadata is by vertex, too.
#[test]
fn a_vertex_with_keyed_state_stays_what_it_is() {
    let longer = "INSERT INTO longer SELECT customer, COUNT(*) + 1, UPPER(customer) FROM orders
        WHERE id > 5 AND price > 1 GROUP BY customer";
    let keyed = |statement: &str| {
        let graph = graph("", TABLES, &[statement]);
        let is_keyed = |vertex: &&proto::JobVertex| matches!(vertex.operators[0].kind, Some(Kind::GroupAggregate(_)));
        graph.vertices.iter().find(is_keyed).unwrap().id.clone()
    };
    assert_eq!(keyed(BY_CUSTOMER), keyed(longer));
    assert_ne!(keyed(BY_CUSTOMER), keyed(BY_CITY));
}

#[test]
fn the_time_to_live_and_the_parallelism_do_not_matter() {
    let settings = "SET 'table.exec.state.ttl' = '1 h'; SET 'parallelism.default' = '7';";
    assert_eq!(stateful(&graph(settings, TABLES, &ALL)), of(&ALL));
}

#[test]
fn another_key_function_condition_window_or_table_is_another_operator() {
    let edits = [
        (
            "INSERT INTO by_customer SELECT UPPER(customer), COUNT(*) FROM orders WHERE id > 5 AND price > 1 GROUP BY UPPER(customer)",
            BY_CUSTOMER,
        ),
        (
            "INSERT INTO by_customer SELECT customer, COUNT(id) FROM orders WHERE id > 5 AND price > 1 GROUP BY customer",
            BY_CUSTOMER,
        ),
        (
            "INSERT INTO by_customer SELECT customer, COUNT(DISTINCT id) FROM orders WHERE id > 5 AND price > 1 GROUP BY customer",
            BY_CUSTOMER,
        ),
        (
            "INSERT INTO by_customer SELECT customer, COUNT(*) FILTER (WHERE id > 9) FROM orders WHERE id > 5 AND price > 1 GROUP BY customer",
            BY_CUSTOMER,
        ),
        (
            "INSERT INTO by_customer SELECT customer, COUNT(*) FROM orders WHERE id > 6 AND price > 1 GROUP BY customer",
            BY_CUSTOMER,
        ),
        ("INSERT INTO by_customer SELECT customer, COUNT(*) FROM `returns` GROUP BY customer", BY_CUSTOMER),
        (
            "INSERT INTO by_minute SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end",
            BY_MINUTE,
        ),
    ];
    for (edit, statement) in edits {
        let common = common(&[edit], &[statement]);
        assert!(!common.contains(&"group") && !common.contains(&"window"), "{edit}: {common:?}");
    }
}

#[test]
fn operators_that_are_alike_are_told_apart_by_where_their_results_go() {
    let settings = "SET 'table.optimizer.reuse-sub-plan-enabled' = 'false';";
    let other =
        "INSERT INTO returned SELECT customer, COUNT(*) FROM orders WHERE id > 5 AND price > 1 GROUP BY customer";
    let both = stateful(&graph(settings, TABLES, &[BY_CUSTOMER, other]));
    assert_eq!(kinds(&both), ["group", "group", "sink", "sink", "source", "source"]);
    assert_eq!(both, stateful(&graph(settings, TABLES, &[other, BY_CUSTOMER])));
    assert_eq!(
        both,
        stateful(&graph(settings, TABLES, &[RETURNED, other, BY_MINUTE, BY_CUSTOMER]))
            .intersection(&both)
            .cloned()
            .collect()
    );
    // The same statement twice: nothing tells them apart, and nothing needs to.
    let twice = stateful(&graph(settings, TABLES, &[BY_CUSTOMER, BY_CUSTOMER]));
    assert_eq!(kinds(&twice), ["group", "group", "sink", "sink", "source", "source"]);
}
