//! What the targets get from the planner.
use wiesel_common::config::Configuration;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;
use wiesel_sql::error::Error;
use wiesel_sql::session::{ExecuteOptions, Outcome, Session};

/// The graph of each statement of a script that is a job, as far as it can be planned.
pub(super) fn graphs(script: &str) -> Result<Vec<proto::JobGraph>, Error> {
    let mut session = Session::new(Configuration::default());
    let mut graphs = Vec::new();
    for statement in session.parse(script)? {
        match session.execute(&statement, &ExecuteOptions::default())? {
            Outcome::Insert(job) => graphs.push(job.graph),
            Outcome::Query(job) => graphs.push(job.graph),
            _ => {}
        }
    }
    Ok(graphs)
}

/// The source of a table with these columns and options that a query reads whole.
pub(super) fn source(columns: &str, options: &str) -> proto::SourceSpec {
    let script = format!("CREATE TABLE t ({columns}) WITH ({options}); SELECT * FROM t;");
    let graphs = graphs(&script).unwrap_or_else(|error| panic!("{script}: {error}"));
    let operators = graphs.into_iter().flat_map(|graph| graph.vertices).flat_map(|vertex| vertex.operators);
    let mut sources = operators.filter_map(|operator| match operator.kind {
        Some(Kind::Source(source)) => Some(source),
        _ => None,
    });
    sources.next().unwrap_or_else(|| panic!("{script}: no source"))
}
