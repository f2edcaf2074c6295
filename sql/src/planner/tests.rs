//! Plans of relations built by hand: what the analyser would give.
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_common::ScalarValue;
use wiesel_common::config::Configuration;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind, schema_from_proto};
use wiesel_proto as proto;

use super::expressions::field;
use super::*;
use crate::catalog::{ObjectIdentifier, ResolvedColumn, ResolvedColumnKind};
use crate::rel::{
    Aggregate, LogicalAggregate, LogicalProject, LogicalTableScan, LogicalUnion, LogicalWatermarkAssigner,
    LogicalWindowTableFunction, RelNode, Window,
};
use crate::rex::Expression;

mod properties;
mod two_inputs;

fn configuration(pairs: &[(&str, &str)]) -> Configuration {
    let mut configuration = Configuration::default();
    configuration.set("parallelism.default", "2");
    pairs.iter().for_each(|(key, value)| configuration.set(*key, *value));
    configuration
}

fn context() -> Context {
    Context::new(&configuration(&[]), Zone::UTC).unwrap()
}

fn table(name: &str, physical: Vec<RowField>, options: &[(&str, &str)]) -> Arc<ResolvedTable> {
    let column = |(index, field): (usize, &RowField)| ResolvedColumn {
        field: field.clone(),
        kind: ResolvedColumnKind::Physical(index),
        comment: None,
        text: None,
    };
    Arc::new(ResolvedTable {
        identifier: ObjectIdentifier {
            catalog: "default_catalog".into(),
            database: "default_database".into(),
            object: name.into(),
        },
        columns: physical.iter().enumerate().map(column).collect(),
        physical,
        metadata: Vec::new(),
        watermark: None,
        watermark_text: None,
        primary_key: vec![],
        partition_keys: vec![],
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        comment: None,
    })
}

fn string() -> LogicalType {
    TypeKind::string().nullable()
}

fn int() -> LogicalType {
    TypeKind::Int.nullable()
}

fn bigint() -> LogicalType {
    TypeKind::Bigint.not_null()
}

fn rowtime() -> LogicalType {
    TypeKind::Timestamp(3, TimeAttribute::Rowtime).nullable()
}

fn flights() -> Rel {
    let fields = vec![
        RowField::new("dep", TypeKind::Timestamp(3, TimeAttribute::Regular).nullable()),
        RowField::new("carrier", string()),
        RowField::new("flight", int()),
        RowField::new("origin", string()),
        RowField::new("dep_delay", int()),
    ];
    let options = [("connector", "filesystem"), ("path", "/data/flights.csv"), ("format", "csv")];
    let table = table("flights", fields.clone(), &options);
    let scan = Rel { node: RelNode::Scan(LogicalTableScan { table }), fields: fields.clone() };
    let mut fields = fields;
    fields[0].data_type = rowtime();
    let minute = Expression::literal(
        ScalarValue::DurationMillisecond(Some(-60_000)),
        TypeKind::IntervalDayTime("MINUTE".into()).not_null(),
    );
    let watermark = Expression::call(
        "TIMESTAMP_ADD",
        vec![Expression::input(0, scan.fields[0].data_type.clone()), minute],
        TypeKind::Timestamp(3, TimeAttribute::Regular).nullable(),
    );
    Rel {
        node: RelNode::WatermarkAssigner(LogicalWatermarkAssigner { input: Box::new(scan), rowtime: 0, watermark }),
        fields,
    }
}

fn project(input: Rel, columns: &[(&str, Expression)]) -> Rel {
    let fields = columns.iter().map(|(name, e)| RowField::new(*name, e.data_type.clone())).collect();
    let expressions = columns.iter().map(|(_, e)| e.clone()).collect();
    Rel { node: RelNode::Project(LogicalProject { input: Box::new(input), expressions }), fields }
}

fn column(rel: &Rel, name: &str) -> Expression {
    let index = rel.fields.iter().position(|field| field.name == name).unwrap();
    Expression::input(index, rel.fields[index].data_type.clone())
}

fn pick(rel: Rel, names: &[&str]) -> Rel {
    let columns: Vec<_> = names.iter().map(|name| (*name, column(&rel, name))).collect();
    project(rel, &columns)
}

fn count() -> Aggregate {
    Aggregate { function: "COUNT".into(), arguments: vec![], distinct: false, filter: None, data_type: bigint() }
}

fn group(input: Rel, keys: usize, aggregates: &[(&str, Aggregate)]) -> Rel {
    let mut fields: Vec<RowField> = input.fields[..keys].to_vec();
    fields.extend(aggregates.iter().map(|(name, a)| RowField::new(*name, a.data_type.clone())));
    let aggregates = aggregates.iter().map(|(_, a)| a.clone()).collect();
    Rel {
        node: RelNode::Aggregate(LogicalAggregate { input: Box::new(input), keys: (0..keys).collect(), aggregates }),
        fields,
    }
}

fn compare(function: &str, left: Expression, right: i32) -> Expression {
    let literal = Expression::literal(ScalarValue::Int32(Some(right)), TypeKind::Int.not_null());
    Expression::call(function, vec![left, literal], TypeKind::Boolean.nullable())
}

fn tumble(input: Rel, time: usize, size: i64) -> Rel {
    let mut fields = input.fields.clone();
    let timestamp = TypeKind::Timestamp(3, TimeAttribute::Regular).not_null();
    fields.push(RowField::new("window_start", timestamp.clone()));
    fields.push(RowField::new("window_end", timestamp));
    fields.push(RowField::new("window_time", TypeKind::Timestamp(3, TimeAttribute::Rowtime).not_null()));
    let window = Window { kind: proto::WindowKind::Tumble, size, slide: size, offset: 0, time };
    Rel { node: RelNode::WindowTableFunction(LogicalWindowTableFunction { input: Box::new(input), window }), fields }
}

fn physical_plan(rel: Rel) -> String {
    let plan = plan(vec![(rel.clone(), End::None)], &context()).unwrap();
    let text = explain::explain(&[(rel, End::None)], &plan, true);
    let from = text.find("== Optimized Physical Plan ==\n").unwrap() + 30;
    let to = text.find("\n== Optimized Execution Plan ==").unwrap();
    text[from..to].to_owned()
}

fn graph_of(queries: Vec<(Rel, End)>, context: &Context) -> proto::JobGraph {
    let plan = plan(queries, context).unwrap();
    let graph = job_graph(&plan, "test".into(), BTreeMap::new(), context).unwrap().graph;
    check_graph(&graph);
    graph
}

/// What holds for every job graph.
pub(crate) fn check_graph(graph: &proto::JobGraph) {
    let mut uids = Vec::new();
    for (index, vertex) in graph.vertices.iter().enumerate() {
        assert!(vertex.parallelism > 0);
        assert_eq!(vertex.id.len(), 16);
        let inputs = graph.edges.iter().filter(|edge| edge.target as usize == index).count();
        let source = matches!(vertex.operators[0].kind, Some(proto::operator_spec::Kind::Source(_)));
        assert_eq!(inputs == 0, source, "{}", vertex.name);
        for pair in vertex.operators.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            assert_eq!(input_of(after), before.output, "{} -> {}", before.name, after.name);
        }
        for operator in &vertex.operators {
            assert!(!uids.contains(&operator.uid), "{} shares its uid", operator.name);
            uids.push(operator.uid.clone());
            schema_from_proto(operator.output.as_ref()).unwrap();
        }
    }
    for edge in &graph.edges {
        assert!(edge.source < edge.target, "edges go forward");
        let producer = graph.vertices[edge.source as usize].operators.last().unwrap();
        let consumer = &graph.vertices[edge.target as usize];
        assert_eq!(edge.schema, producer.output);
        assert_eq!(edge.changelog, producer.output_changelog);
        assert_eq!(input_of(&consumer.operators[0]), edge.schema, "{}", consumer.name);
        let width = edge.schema.as_ref().unwrap().fields.len() as u32;
        assert!(edge.keys.iter().all(|key| *key < width));
        assert_eq!(edge.partitioner() == proto::Partitioner::Hash, !edge.keys.is_empty());
        if edge.partitioner() == proto::Partitioner::Forward {
            assert_eq!(graph.vertices[edge.source as usize].parallelism, consumer.parallelism);
        }
        if edge.partitioner() == proto::Partitioner::Global {
            // Changes without a key: all go to one of the subtasks.
            assert!(consumer.parallelism == 1 || edge.changelog, "{}", consumer.name);
        }
    }
}

/// What an operator expects; for the last phase of a window, what the first one gives.
fn input_of(operator: &proto::OperatorSpec) -> Option<proto::Schema> {
    use proto::operator_spec::Kind;
    match operator.kind.clone()? {
        Kind::Source(_) => None,
        Kind::Calc(spec) => spec.input,
        Kind::WatermarkAssigner(spec) => spec.input,
        Kind::GroupAggregate(spec) => spec.input,
        Kind::WindowAggregate(spec) if spec.phase() == proto::WindowPhase::Final => {
            let fields = wiesel_operators::window_aggregate::local_output(&spec).unwrap();
            Some(wiesel_expressions::types::schema_to_proto(&fields))
        }
        Kind::WindowAggregate(spec) => spec.input,
        Kind::WindowTableFunction(spec) => spec.input,
        Kind::Sink(spec) => spec.input,
        Kind::CollectSink(spec) => spec.input,
    }
}

#[test]
fn a_group_of_a_group_is_retracted() {
    let inner = group(pick(flights(), &["carrier", "origin"]), 2, &[("n", count())]);
    let outer = group(pick(inner, &["n"]), 1, &[("routes", count())]);
    assert_eq!(
        physical_plan(outer),
        "\
GroupAggregate(groupBy=[n], select=[n, COUNT_RETRACT(*) AS routes], changelogMode=[I,UA,D])
+- Exchange(distribution=[hash[n]], changelogMode=[I,UB,UA])
   +- Calc(select=[n], changelogMode=[I,UB,UA])
      +- GroupAggregate(groupBy=[carrier, origin], select=[carrier, origin, COUNT(*) AS n], changelogMode=[I,UB,UA])
         +- Exchange(distribution=[hash[carrier, origin]], changelogMode=[I])
            +- Calc(select=[carrier, origin], changelogMode=[I])
               +- WatermarkAssigner(rowtime=[dep], watermark=[-(dep, 60000:INTERVAL MINUTE)], changelogMode=[I])
                  +- TableSourceScan(table=[[default_catalog, default_database, flights, project=[dep, carrier, origin], metadata=[]]], fields=[dep, carrier, origin], changelogMode=[I])
"
    );
}

#[test]
fn a_filter_over_groups_needs_the_row_before() {
    let groups = group(pick(flights(), &["carrier"]), 1, &[("n", count())]);
    let condition = compare(">", column(&groups, "n"), 1000);
    let rel = optimize::filter(groups, Some(condition));
    let text = physical_plan(rel);
    assert!(text.starts_with("Calc(select=[carrier, n], where=[>(n, 1000)], changelogMode=[I,UB,UA])"), "{text}");
}

#[test]
fn a_filter_on_keys_goes_below_the_group() {
    let groups = group(pick(flights(), &["flight"]), 1, &[("n", count())]);
    let condition = compare("=", column(&groups, "flight"), 7);
    let text = physical_plan(optimize::filter(groups, Some(condition)));
    assert!(text.starts_with("GroupAggregate"), "{text}");
    assert!(text.contains("Calc(select=[flight], where=[=(flight, 7)]"), "{text}");
}

#[test]
fn groups_by_window_run_in_two_phases() {
    let windows = tumble(flights(), 0, 86_400_000);
    let grouped = group(pick(windows, &["window_start", "window_end", "carrier"]), 3, &[("n", count())]);
    let rel = pick(grouped, &["window_start", "carrier", "n"]);
    assert_eq!(
        physical_plan(rel.clone()),
        "\
Calc(select=[window_start, carrier, n], changelogMode=[I])
+- GlobalWindowAggregate(groupBy=[carrier], window=[TUMBLE(slice_end=[$slice_end], size=[1 d])], select=[carrier, COUNT(count1$0) AS n, start('w$) AS window_start, end('w$) AS window_end], changelogMode=[I])
   +- Exchange(distribution=[hash[carrier]], changelogMode=[I])
      +- LocalWindowAggregate(groupBy=[carrier], window=[TUMBLE(time_col=[dep], size=[1 d])], select=[carrier, COUNT(*) AS count1$0, slice_end('w$) AS $slice_end], changelogMode=[I])
         +- Calc(select=[carrier, dep], changelogMode=[I])
            +- WatermarkAssigner(rowtime=[dep], watermark=[-(dep, 60000:INTERVAL MINUTE)], changelogMode=[I])
               +- TableSourceScan(table=[[default_catalog, default_database, flights, project=[dep, carrier], metadata=[]]], fields=[dep, carrier], changelogMode=[I])
"
    );
    let graph = graph_of(vec![(rel, End::Collect)], &context());
    let names: Vec<_> = graph.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Source: flights[1] -> WatermarkAssigner[2] -> Calc[3] -> LocalWindowAggregate[4]",
            "GlobalWindowAggregate[6] -> Calc[7]",
            "Sink: Collect table sink"
        ]
    );
    assert_eq!(graph.edges[0].keys, [0]);
    assert!(graph.bounded);
}

#[test]
fn windows_without_both_bounds_are_plain_groups() {
    let windows = tumble(flights(), 0, 86_400_000);
    let grouped = group(pick(windows, &["window_start", "carrier"]), 2, &[("n", count())]);
    let text = physical_plan(grouped);
    assert!(text.starts_with("GroupAggregate(groupBy=[window_start, carrier]"), "{text}");
    assert!(text.contains("WindowTableFunction(window=[TUMBLE(time_col=[dep], size=[1 d])]"), "{text}");
}

#[test]
fn one_phase_where_asked_for_or_needed() {
    let rel = |distinct: bool| {
        let mut calls = count();
        calls.distinct = distinct;
        calls.arguments = vec![2];
        let windows = tumble(flights(), 0, 1000);
        group(pick(windows, &["window_start", "window_end", "carrier"]), 2, &[("n", calls)])
    };
    let text = physical_plan(rel(true));
    assert!(text.contains("WindowAggregate(window=[TUMBLE(time_col=[dep], size=[1 s])]"), "{text}");
    assert!(text.contains("+- Exchange(distribution=[single]"), "{text}");
    assert!(!text.contains("LocalWindowAggregate"), "{text}");
    let one = Context::new(&configuration(&[("table.optimizer.agg-phase-strategy", "ONE_PHASE")]), Zone::UTC).unwrap();
    let graph = graph_of(vec![(rel(false), End::Collect)], &one);
    assert!(graph.vertices.iter().all(|vertex| !vertex.name.contains("Local")));
}

#[test]
fn a_union_reads_a_table_once() {
    let side = |name: &str| {
        let groups = group(pick(flights(), &[name]), 1, &[("n", count())]);
        project(
            groups.clone(),
            &[("x", Expression::input(0, groups.fields[0].data_type.clone())), ("n", column(&groups, "n"))],
        )
    };
    let fields = side("carrier").fields;
    let union = Rel { node: RelNode::Union(LogicalUnion { inputs: vec![side("carrier"), side("origin")] }), fields };
    let graph = graph_of(vec![(union, End::Collect)], &context());
    let sources = graph.vertices.iter().filter(|vertex| vertex.name.starts_with("Source: flights[1]")).count();
    assert_eq!(sources, 1);
    let into_sink: Vec<_> =
        graph.edges.iter().filter(|edge| edge.target as usize == graph.vertices.len() - 1).collect();
    assert_eq!(into_sink.len(), 2);
    assert!(into_sink.iter().all(|edge| edge.changelog && edge.target_input == 0));
}

#[test]
fn a_union_with_itself_keeps_its_edges_apart() {
    let side = || pick(flights(), &["carrier"]);
    let union = Rel { node: RelNode::Union(LogicalUnion { inputs: vec![side(), side()] }), fields: side().fields };
    let graph = graph_of(vec![(union, End::Collect)], &context());
    let mut pairs: Vec<_> = graph.edges.iter().map(|edge| (edge.source, edge.target)).collect();
    pairs.dedup();
    assert_eq!(pairs.len(), graph.edges.len());
}

/// Failed before: operators were compared by a text in which a null and an empty text, and lists of one and of two texts, are
/// alike. So a member of the union gave the rows of another.
#[test]
fn constants_that_only_look_alike_are_not_shared() {
    let list = |texts: &[Option<&str>]| {
        let texts: Vec<_> = texts.iter().map(|text| ScalarValue::Utf8View(text.map(str::to_owned))).collect();
        let list = ScalarValue::new_list_nullable(&texts, &arrow::datatypes::DataType::Utf8View);
        Expression::literal(ScalarValue::List(list), TypeKind::Array(Box::new(string())).not_null())
    };
    let lists =
        [list(&[Some(""), None]), list(&[None, Some("")]), list(&[Some("a, b")]), list(&[Some("a"), Some("b")])];
    let sides: Vec<Rel> = lists.iter().map(|list| project(flights(), &[("texts", list.clone())])).collect();
    let fields = sides[0].fields.clone();
    let union = Rel { node: RelNode::Union(LogicalUnion { inputs: sides }), fields };
    let graph = graph_of(vec![(union, End::Collect)], &context());
    let operators = graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let projections: Vec<_> = operators
        .filter_map(|operator| match &operator.kind {
            Some(proto::operator_spec::Kind::Calc(calc)) => Some(calc.projection.clone()),
            _ => None,
        })
        .collect();
    let expected: Vec<Vec<proto::Expression>> =
        lists.iter().map(|list| vec![crate::rex::lowering::message(list).unwrap()]).collect();
    assert!(expected.iter().all(|list| projections.contains(list)), "{projections:?}");
}

#[test]
fn fields_of_rows_are_read_alone() {
    let time = || TypeKind::Timestamp(3, TimeAttribute::Regular).nullable();
    let row = |fields: &[(&str, LogicalType)]| {
        TypeKind::Row(fields.iter().map(|(name, t)| RowField::new(*name, t.clone())).collect()).nullable()
    };
    let long = || TypeKind::Bigint.nullable();
    let person = [
        ("id", long()),
        ("name", string()),
        ("emailAddress", string()),
        ("creditCard", string()),
        ("city", string()),
        ("state", string()),
        ("dateTime", time()),
        ("extra", string()),
    ];
    let auction = [
        ("id", long()),
        ("itemName", string()),
        ("description", string()),
        ("initialBid", long()),
        ("reserve", long()),
        ("dateTime", time()),
        ("expires", time()),
        ("seller", long()),
        ("category", long()),
        ("extra", string()),
    ];
    let bid = [
        ("auction", long()),
        ("bidder", long()),
        ("price", long()),
        ("channel", string()),
        ("url", string()),
        ("dateTime", time()),
        ("extra", string()),
    ];
    let fields = vec![
        RowField::new("event_type", int()),
        RowField::new("person", row(&person)),
        RowField::new("auction", row(&auction)),
        RowField::new("bid", row(&bid)),
    ];
    let nexmark = table("nexmark", fields.clone(), &[("connector", "nexmark")]);
    let scan = Rel { node: RelNode::Scan(LogicalTableScan { table: nexmark }), fields };
    let at = |rel: &Rel, name: &str, index| field(column(rel, name), index);
    let condition = compare("=", column(&scan, "event_type"), 2);
    let bids = optimize::filter(scan, Some(condition));
    let rel = project(
        bids.clone(),
        &[("auction", at(&bids, "bid", 0)), ("at", at(&bids, "bid", 5)), ("person_at", at(&bids, "person", 6))],
    );
    let graph = graph_of(vec![(rel, End::Collect)], &context());
    let Some(proto::operator_spec::Kind::Source(source)) = &graph.vertices[0].operators[0].kind else { panic!() };
    let paths: Vec<_> = source.projection.iter().map(|path| path.indexes.clone()).collect();
    assert_eq!(paths, [vec![0], vec![1, 6], vec![3, 0], vec![3, 5]]);
}

#[test]
fn what_never_passes_is_not_read() {
    let never = Expression::literal(ScalarValue::Boolean(Some(false)), TypeKind::Boolean.not_null());
    let rel = group(optimize::filter(flights(), Some(never)), 0, &[("n", count())]);
    assert_eq!(physical_plan(rel), "Values(type=[RecordType(BIGINT n)], tuples=[[{ 0:BIGINT }]], changelogMode=[I])\n");
}

/// Failed before: some column of the table was read, and a value of it that cannot be read failed a query that asks for none.
#[test]
fn to_count_rows_no_column_is_read() {
    let scan = || {
        let fields = vec![RowField::new("id", int()), RowField::new("name", string())];
        let options = [("connector", "filesystem"), ("path", "/data/t.csv"), ("format", "csv")];
        Rel { node: RelNode::Scan(LogicalTableScan { table: table("t", fields.clone(), &options) }), fields }
    };
    let read = "TableSourceScan(table=[[default_catalog, default_database, t, project=[], metadata=[]]], fields=[], changelogMode=[I])";
    let counted = physical_plan(group(project(scan(), &[]), 0, &[("n", count())]));
    assert!(counted.contains("+- Calc(select=[0 AS ZERO], changelogMode=[I])") && counted.contains(read), "{counted}");
    let fields = scan().fields;
    let union =
        Rel { node: RelNode::Union(LogicalUnion { inputs: vec![pick(scan(), &["id", "name"]), scan()] }), fields };
    let counted = physical_plan(group(project(union, &[]), 0, &[("n", count())]));
    assert!(counted.contains(read), "{counted}");
    let one = Expression::literal(ScalarValue::Int32(Some(1)), TypeKind::Int.not_null());
    let graph = graph_of(vec![(project(scan(), &[("one", one)]), End::Collect)], &context());
    let Some(proto::operator_spec::Kind::Source(source)) = &graph.vertices[0].operators[0].kind else { panic!() };
    assert!(source.projection.is_empty());
}

#[test]
fn sinks_for_inserts_refuse_changes() {
    let sink = table(
        "fs",
        vec![RowField::new("carrier", string()), RowField::new("n", bigint())],
        &[("connector", "filesystem"), ("path", "/tmp/out"), ("format", "csv")],
    );
    let groups = group(pick(flights(), &["carrier"]), 1, &[("EXPR$1", count())]);
    let error = plan(vec![(groups, End::Table(sink))], &context()).unwrap_err();
    assert_eq!(
        error.message(),
        "Table sink 'default_catalog.default_database.fs' doesn't support consuming update changes which is produced by node \
         GroupAggregate(groupBy=[carrier], select=[carrier, COUNT(*) AS EXPR$1])"
    );
}

#[test]
fn ids_come_from_what_a_query_does() {
    let rel = || group(pick(flights(), &["carrier"]), 1, &[("n", count())]);
    let first = graph_of(vec![(rel(), End::Collect)], &context());
    let second = graph_of(vec![(rel(), End::Collect)], &context());
    let ids = |graph: &proto::JobGraph| graph.vertices.iter().map(|vertex| vertex.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&second));
    assert_ne!(first.job_id, second.job_id);
    let other = graph_of(vec![(group(pick(flights(), &["origin"]), 1, &[("n", count())]), End::Collect)], &context());
    assert_ne!(ids(&first)[0], ids(&other)[0]);
}

#[test]
fn what_can_be_chosen_is_read_and_nothing_else() {
    for (key, values) in CHOICES {
        for value in *values {
            assert!(Context::new(&configuration(&[(*key, *value)]), Zone::UTC).is_ok(), "{key}: {value}");
        }
        let error = Context::new(&configuration(&[(*key, "OTHER")]), Zone::UTC).err().unwrap();
        assert!(error.to_string().contains(*key), "{error}");
    }
}

#[test]
fn batch_mode_is_refused() {
    let error = Context::new(&configuration(&[("execution.runtime-mode", "batch")]), Zone::UTC).err().unwrap();
    assert!(error.to_string().contains("execution.runtime-mode"), "{error}");
}
