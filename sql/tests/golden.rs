//! Plans every golden script: its queries' columns must be those that Apache Flink gave, queries that Flink refuses must be
//! refused, and every expression must be one that can be evaluated.
use std::fs;
use std::path::{Path, PathBuf};

use wiesel_common::config::Configuration;
use wiesel_expressions::expression::{Expression, Node, supports};
use wiesel_proto::operator_spec::Kind;
use wiesel_sql::parser;
use wiesel_sql::session::{ExecuteOptions, Outcome, Session};

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the golden scripts")
        .map(|entry| entry.expect("an entry").path())
        .flat_map(|path| if path.is_dir() && !path.ends_with("data") { scripts(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    found.sort();
    found
}

/// Functions in the job graph that nothing evaluates.
fn unknown_functions(graph: &wiesel_proto::JobGraph) -> Vec<String> {
    let mut unknown = Vec::new();
    for operator in graph.vertices.iter().flat_map(|vertex| &vertex.operators) {
        let Some(Kind::Calc(calc)) = &operator.kind else { continue };
        for message in calc.condition.iter().chain(&calc.projection) {
            Expression::try_from(message).expect("a well-formed expression").visit(&mut |e| {
                if let Node::Call { function, .. } = &e.node
                    && !supports(function)
                    && !unknown.contains(function)
                {
                    unknown.push(function.clone());
                }
            });
        }
    }
    unknown
}

/// Whether a statement has an answer of its own among those recorded; VALUES and TABLE have none.
fn is_numbered(text: &str) -> bool {
    let upper = text.trim_start().to_uppercase();
    ["SELECT", "WITH", "("].iter().any(|start| upper.starts_with(start))
}

#[test]
fn golden_scripts_plan_as_flink_types_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sql");
    let data = root.join("data").canonicalize().expect("the data folder");
    let temporary = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    let mut queries = 0;
    for path in scripts(&root) {
        let name = path.strip_prefix(&root).expect("below the root").display().to_string();
        let script = fs::read_to_string(&path).expect("a script");
        let script = script.replace("${DATA}", &data.display().to_string());
        let script = script.replace("${TMP}", &temporary.path().display().to_string());
        let Ok(expected) = fs::read_to_string(path.with_extension("expected")) else { continue };
        let mut answers = expected.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        let mut session = Session::new(Configuration::default());
        for text in parser::split(&script) {
            let numbered = is_numbered(&text.text);
            let outcome = parser::parse_statement(&text)
                .and_then(|statement| session.execute(&statement, &ExecuteOptions::default()));
            if !numbered {
                if let Err(e) = outcome {
                    wrong.push(format!("{name}: {}\n  {e}", text.text));
                }
                continue;
            }
            queries += 1;
            let Some(answer) = answers.next() else { continue };
            match (outcome, answer["error"].as_str()) {
                (Ok(Outcome::Query(job)), None) => {
                    let found: Vec<[String; 2]> =
                        job.fields.iter().map(|field| [field.name.clone(), field.data_type.to_string()]).collect();
                    let flinks: Vec<[String; 2]> = serde_json::from_value(answer["columns"].clone()).expect("columns");
                    if found != flinks {
                        wrong.push(format!("{name}: {}\n  {found:?}\n  Flink: {flinks:?}", text.text));
                    }
                    let unknown = unknown_functions(&job.graph);
                    if !unknown.is_empty() {
                        wrong.push(format!("{name}: {}\n  nothing evaluates {unknown:?}", text.text));
                    }
                }
                (Err(e), None) => wrong.push(format!("{name}: {}\n  {e}\n  Flink accepts it", text.text)),
                // Flink may fail only when the job runs.
                (_, Some(_)) => {}
                (Ok(other), None) => wrong.push(format!("{name}: {}\n  {other:?}", text.text)),
            }
        }
    }
    assert!(queries > 100, "{queries} queries");
    assert!(wrong.is_empty(), "{} of {queries} differ:\n{}", wrong.len(), wrong.join("\n"));
}
