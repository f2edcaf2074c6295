//! Queries within expressions and calls over windows of rows: what becomes of them before lowering refuses them.
use super::*;
use crate::rex::{FrameBound, OverCall, Subquery, SubqueryKind};

/// The relation of a query of which not all can be lowered.
fn unchecked(sql: &str) -> Result<Rel> {
    let query = crate::parser::parse_query(sql)?;
    QueryAnalyzer::new(&tables()).query(&query)
}

/// The conditions of a query's filters, the topmost first.
fn conditions(rel: &Rel) -> Vec<&Expression> {
    let below = rel.node.relation().inputs().into_iter().flat_map(conditions);
    match &rel.node {
        RelNode::Filter(filter) => std::iter::once(&filter.condition).chain(below).collect(),
        _ => below.collect(),
    }
}

fn subqueries(expression: &Expression) -> Vec<Subquery> {
    let mut found = Vec::new();
    expression.visit(&mut |part| {
        if let Node::Subquery(subquery) = &part.node {
            found.push(Subquery::clone(subquery));
        }
    });
    found
}

fn only_subquery(rel: &Rel) -> Subquery {
    let mut found: Vec<Subquery> = conditions(rel).into_iter().flat_map(subqueries).collect();
    assert_eq!(found.len(), 1, "{rel:?}");
    found.remove(0)
}

/// The columns in the conditions of a query: how far out, and which.
fn columns_in_conditions(rel: &Rel) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for condition in conditions(rel) {
        condition.visit(&mut |part| match part.node {
            Node::Input(index) => found.push((0, index)),
            Node::Correlated { level, index } => found.push((level, index)),
            _ => {}
        });
    }
    found
}

fn position(column: &str) -> usize {
    let table = table(include_str!("../testdata/table.sql"));
    table.physical.iter().position(|field| field.name == column).expect(column)
}

#[test]
fn a_name_means_a_column_of_the_nearest_query_that_has_it() {
    let (i, bi) = (position("i"), position("bi"));
    for (condition, expected) in [
        ("b.i = a.bi", vec![(0, i), (1, bi)]),
        ("i = bi", vec![(0, i), (0, bi)]),
        ("b.i = 1", vec![(0, i)]),
        ("a.i = a.bi", vec![(1, i), (1, bi)]),
    ] {
        let rel = unchecked(&format!("SELECT 1 FROM t AS a WHERE EXISTS (SELECT 1 FROM t AS b WHERE {condition})"));
        let subquery = only_subquery(&rel.expect(condition));
        assert_eq!(subquery.kind, SubqueryKind::Exists);
        assert_eq!(columns_in_conditions(&subquery.query), expected, "{condition}");
    }
    let innermost = "EXISTS (SELECT 1 FROM t AS b WHERE EXISTS (SELECT 1 FROM t AS c WHERE a.i = b.i AND c.i = 1))";
    let rel = unchecked(&format!("SELECT 1 FROM t AS a WHERE {innermost}")).unwrap();
    let subquery = only_subquery(&only_subquery(&rel).query);
    assert_eq!(columns_in_conditions(&subquery.query), [(2, i), (1, i), (0, i)]);
}

/// Failed before: the columns were those of the query that names it.
#[test]
fn a_query_of_with_means_the_same_wherever_it_is_named() {
    let (i, bi) = (position("i"), position("bi"));
    let with = "WITH w AS (SELECT i FROM t AS b WHERE b.i = a.bi AND EXISTS (SELECT 1 FROM t AS d WHERE d.i = b.i AND d.i = a.i))";
    for (named, level) in [("SELECT 1 FROM w", 1), ("SELECT 1 FROM t AS c WHERE EXISTS (SELECT 1 FROM w)", 2)] {
        let rel = unchecked(&format!("SELECT 1 FROM t AS a WHERE EXISTS ({with} {named})")).unwrap();
        let mut subquery = only_subquery(&rel);
        if level == 2 {
            subquery = only_subquery(&subquery.query);
        }
        assert_eq!(columns_in_conditions(&subquery.query), [(0, i), (level, bi)], "{named}");
        let inner = only_subquery(&subquery.query);
        assert_eq!(columns_in_conditions(&inner.query), [(0, i), (1, i), (0, i), (level + 1, i)], "{named}");
    }
}

/// A query in FROM sees what the query that has it sees around it, and nothing of what stands beside it.
#[test]
fn a_query_in_from_sees_the_queries_around() {
    let i = position("i");
    let inner = "SELECT 1 FROM (SELECT i FROM t AS b WHERE b.i = a.i) AS c";
    let rel = unchecked(&format!("SELECT 1 FROM t AS a WHERE EXISTS ({inner})")).unwrap();
    assert_eq!(columns_in_conditions(&only_subquery(&rel).query), [(0, i), (1, i)]);
    let error = unchecked("SELECT 1 FROM (SELECT i FROM t AS b WHERE b.i = c.i) AS c").unwrap_err();
    assert!(error.message().starts_with("Table 'c' not found"), "{error}");
}

#[test]
fn what_no_query_knows_the_innermost_one_refuses() {
    for (condition, expected) in [
        ("nosuch = 1", "Column 'nosuch' not found in any table"),
        ("nosuch.i = 1", "Table 'nosuch' not found"),
        ("b.nosuch = 1", "Column 'nosuch' not found in table 'b'"),
        // A table of this name is here: it is not looked for further out.
        ("a.bi = 1", "Column 'bi' not found in table 'a'"),
    ] {
        let inner = format!("SELECT 1 FROM (SELECT i FROM t) AS b WHERE {condition}");
        let inner = if condition.starts_with("a.") { inner.replace(" AS b", " AS a") } else { inner };
        let error = unchecked(&format!("SELECT 1 FROM t AS a WHERE EXISTS ({inner})")).unwrap_err();
        assert!(error.message().starts_with(expected), "{condition}: {error}");
    }
}

#[test]
fn queries_within_expressions_have_types() {
    for (sql, kind, data_type) in [
        ("SELECT EXISTS (SELECT i FROM t) FROM t", SubqueryKind::Exists, "BOOLEAN NOT NULL"),
        ("SELECT inn IN (SELECT inn FROM t) FROM t", SubqueryKind::In, "BOOLEAN NOT NULL"),
        ("SELECT inn IN (SELECT i FROM t) FROM t", SubqueryKind::In, "BOOLEAN"),
        ("SELECT (SELECT COUNT(*) FROM t) FROM t", SubqueryKind::Scalar, "BIGINT"),
    ] {
        let rel = unchecked(sql).expect(sql);
        let RelNode::Project(LogicalProject { expressions, .. }) = &rel.node else { panic!("{sql}") };
        assert_eq!(subqueries(&expressions[0])[0].kind, kind, "{sql}");
        assert_eq!(rel.fields[0].data_type.to_string(), data_type, "{sql}");
    }
    let error = unchecked("SELECT (SELECT i, bi FROM t) FROM t").unwrap_err();
    assert_eq!(error.message(), "A query that stands for a value has one column, but this one has 2");
}

fn over_call(sql: &str) -> OverCall {
    let rel = unchecked(sql).expect(sql);
    let RelNode::Project(LogicalProject { mut expressions, .. }) = rel.node else { panic!("{sql}") };
    let Node::Over(call) = expressions.remove(0).node else { panic!("{sql}") };
    *call
}

#[test]
fn a_call_over_rows_has_its_window() {
    let call = over_call(
        "SELECT SUM(DISTINCT i) OVER (PARTITION BY s, b ORDER BY ets DESC ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM t",
    );
    assert_eq!((call.function.as_str(), call.distinct, call.operands.len(), call.partition.len()), ("SUM", true, 1, 2));
    assert!(call.order.len() == 1 && call.order[0].descending);
    let frame = call.frame.expect("a frame");
    assert!(frame.rows && matches!(frame.start, FrameBound::Preceding(Some(_))) && frame.end == FrameBound::CurrentRow);
    let call = over_call("SELECT COUNT(*) OVER (ORDER BY ets RANGE UNBOUNDED PRECEDING) FROM t");
    let frame = call.frame.expect("a frame");
    assert!(!frame.rows && frame.start == FrameBound::Preceding(None) && frame.end == FrameBound::CurrentRow);
    assert!(call.operands.is_empty());
}

/// Columns of an aggregate's arguments are those of the rows, what stands around it is over the groups.
#[test]
fn a_call_over_rows_of_groups_is_over_the_groups() {
    let call = over_call("SELECT MAX(SUM(i)) OVER (PARTITION BY s ORDER BY b) FROM t GROUP BY b, s");
    let inputs = |expressions: &[Expression]| expressions.iter().map(|e| e.node.clone()).collect::<Vec<_>>();
    assert_eq!(inputs(&call.operands), [Node::Input(2)], "the sum stands behind both keys");
    assert_eq!(inputs(&call.partition), [Node::Input(1)]);
    assert_eq!(call.order[0].value.node, Node::Input(0));
}

#[test]
fn what_cannot_be_lowered_is_refused_with_its_place() {
    let tables = tables();
    for (sql, expected) in [
        ("SELECT SUM(i) OVER (ORDER BY ets) FROM t", "column 8 to line 1, column 13: SUM with OVER is not supported"),
        ("SELECT 1, 1 + COUNT(*) OVER (ORDER BY ets) FROM t", "column 15 to line 1, column 22: COUNT with OVER"),
        ("SELECT ROW_NUMBER() OVER (ORDER BY ets) FROM t", "column 8 to line 1, column 19: ROW_NUMBER with OVER"),
        ("SELECT * FROM (SELECT MAX(i) OVER w FROM t WINDOW w AS (ORDER BY ets))", "MAX with OVER is not supported"),
        ("SELECT i FROM t WHERE i IN (SELECT i FROM t)", "line 1, column 23: A subquery within an expression"),
        ("SELECT i FROM t WHERE EXISTS (SELECT i FROM t)", "A subquery within an expression is not supported"),
        ("SELECT i FROM t GROUP BY i HAVING i > (SELECT MAX(i) FROM t)", "A subquery within an expression"),
        ("SELECT i FROM t WHERE i > ALL (SELECT i FROM t)", "A subquery within an expression is not supported"),
    ] {
        let message = message(&tables, sql);
        assert!(message.starts_with("Not supported yet. ") && message.contains(expected), "{sql}: {message}");
    }
    let view = ObjectIdentifier { catalog: "c".into(), database: "d".into(), object: "v".into() };
    let query = crate::parser::parse_query("SELECT SUM(i) OVER (ORDER BY ets) FROM t").unwrap();
    assert!(analyze_view(&tables, &view, &query).unwrap_err().message().contains("OVER"));
    let computed = crate::parser::parse_expression("COUNT(i) OVER (ORDER BY i)").unwrap();
    let fields = [RowField::new("i", TypeKind::Int.nullable())];
    let refused = analyze_expression(&tables, &Configuration::default(), &fields, &computed).unwrap_err();
    assert!(refused.message().contains("COUNT with OVER is not supported"), "{refused}");
}

/// Failed before: these clauses had no effect.
#[test]
fn clauses_of_aggregates_are_refused_where_there_is_none() {
    let tables = tables();
    let windows = |end: &str| format!("SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ets), INTERVAL '5' MINUTE{end})");
    for (sql, expected) in [
        ("SELECT UPPER(DISTINCT s) FROM t".to_owned(), "DISTINCT/ALL not allowed with UPPER function"),
        ("SELECT UPPER(s) WITHIN GROUP (ORDER BY s) FROM t".to_owned(), "WITHIN GROUP is not supported"),
        ("SELECT UPPER(s IGNORE NULLS) FROM t".to_owned(), "UPPER does not take IGNORE NULLS"),
        (windows(" IGNORE NULLS)"), "TUMBLE does not take IGNORE NULLS"),
        (windows(" ORDER BY ets)"), "ORDER BY and the like within TUMBLE are not supported"),
        (windows(") OVER ()"), "TUMBLE with OVER is not supported"),
        (windows(") FILTER (WHERE TRUE)"), "FILTER must not be used with non-aggregate function"),
    ] {
        let message = message(&tables, &sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}
