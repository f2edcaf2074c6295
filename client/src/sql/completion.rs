//! What Tab offers, when Enter runs what was typed, and what stands at the beginning of a line that goes on.
use std::borrow::Cow;
use std::collections::BTreeMap;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use wiesel_common::config::honoured_keys;
use wiesel_common::config::options::{checkpointing, job, restart, state};
use wiesel_sql::catalog::{Catalog, fields_of};
use wiesel_sql::parser::Unfinished;
use wiesel_sql::session::is_of_processes;
use wiesel_sql::{functions, parser, planner};

use super::keyboard::GoesOn;
use super::script::own;
use super::settings::RESULT_MODE;

#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "ALL", "AND", "ARRAY", "AS", "BEGIN", "BETWEEN", "BIGINT", "BOOLEAN", "BY", "BYTES", "CASE", "CAST", "CATALOG",
    "CATALOGS", "CHANGELOG_MODE", "CLEAR", "COLUMNS", "CONSTRAINT", "COUNT", "CREATE", "CURRENT", "DATABASE",
    "DATABASES", "DATE", "DECIMAL", "DESCRIBE", "DESCRIPTOR", "DISTINCT", "DOUBLE", "DRAIN", "DROP", "ELSE", "END",
    "ENFORCED", "ESTIMATED_COST", "EXECUTE", "EXISTS", "EXIT", "EXPLAIN", "FALSE", "FILTER", "FLOAT", "FROM",
    "FUNCTIONS", "GROUP", "HAVING", "HELP", "ILIKE", "IN", "INSERT", "INT", "INTERVAL", "INTO", "IS", "JOB", "JOBS",
    "KEY", "LIKE", "MAP", "METADATA", "NOT", "NULL", "ON", "OPTIONS", "OR", "PARTITIONED", "PLAN", "PRIMARY", "QUIT",
    "RESET", "ROW", "SAVEPOINT", "SELECT", "SET", "SHOW", "SMALLINT", "STATEMENT", "STOP", "STRING", "TABLE",
    "TABLES", "TEMPORARY", "THEN", "TIME", "TIMESTAMP", "TIMESTAMP_LTZ", "TINYINT", "TRUE", "TUMBLE", "UNION", "USE",
    "VALUES", "VARCHAR", "VIEW", "VIEWS", "WATERMARK", "WHEN", "WHERE", "WITH",
];

/// What can follow the words that a statement begins with, where it is only some words.
const FOLLOWS: &[(&[&str], &[&str])] = &[
    (&["BEGIN"], &["STATEMENT"]),
    (&["BEGIN", "STATEMENT"], &["SET"]),
    (&["CREATE"], &["TABLE", "TEMPORARY", "VIEW"]),
    (&["CREATE", "TEMPORARY"], &["TABLE", "VIEW"]),
    (&["DROP"], &["TABLE", "TEMPORARY", "VIEW"]),
    (&["DROP", "TEMPORARY"], &["TABLE", "VIEW"]),
    (&["EXECUTE"], &["INSERT", "STATEMENT"]),
    (&["EXECUTE", "STATEMENT"], &["SET"]),
    (&["EXECUTE", "STATEMENT", "SET"], &["BEGIN"]),
    (&["INSERT"], &["INTO"]),
    (&["SHOW"], &["CATALOGS", "COLUMNS", "CREATE", "CURRENT", "DATABASES", "FUNCTIONS", "JOBS", "TABLES", "VIEWS"]),
    (&["SHOW", "CREATE"], &["TABLE", "VIEW"]),
    (&["SHOW", "CURRENT"], &["CATALOG", "DATABASE"]),
    (&["STOP"], &["JOB"]),
];

/// Behind these stands the name of a table or view.
const BEFORE_RELATION: [&str; 6] = ["DESC", "DESCRIBE", "FROM", "INTO", "TABLE", "VIEW"];

/// The words that can follow what a statement begins with; none: names and expressions can, too.
fn followers(before: &str) -> Option<&'static [&'static str]> {
    let statement = before.rsplit(';').next().unwrap_or(before);
    // The longest of the table has three.
    let words: Vec<&str> = statement.split_whitespace().take(4).collect();
    let same = |of: &[&str]| {
        of.len() == words.len() && of.iter().zip(&words).all(|(one, other)| one.eq_ignore_ascii_case(other))
    };
    FOLLOWS.iter().find(|(of, _)| same(of)).map(|(_, words)| *words)
}

/// Whether a table or view is named next. What CREATE names is not there yet.
fn names_relation(before: &str) -> bool {
    let statement = before.rsplit(';').next().unwrap_or(before).trim();
    let last = statement.rsplit(|c| !is_part(c)).next().unwrap_or_default();
    let is_new = begins(statement, "CREATE") && statement.split_whitespace().count() <= 3;
    !is_new && BEFORE_RELATION.iter().any(|word| word.eq_ignore_ascii_case(last))
}

/// Functions that are called without parentheses.
const NILADIC: [&str; 5] = ["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"];

const SWITCH: &[&str] = &["true", "false"];

/// The values of keys that have few, beside those that the planner reads.
const CHOICES: &[(&str, &[&str])] = &[
    (checkpointing::AFTER_TASKS_FINISH.key(), SWITCH),
    (checkpointing::RETENTION.key(), RETENTION),
    (checkpointing::INCREMENTAL.key(), SWITCH),
    (checkpointing::MODE.key(), &["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
    (checkpointing::STORAGE.key(), &["filesystem", "jobmanager"]),
    (checkpointing::UNALIGNED.key(), SWITCH),
    (checkpointing::CLAIM_MODE.key(), &["CLAIM", "NO_CLAIM"]),
    (checkpointing::IGNORE_UNCLAIMED_STATE.key(), SWITCH),
    (restart::TYPE.key(), &["none", "fixed-delay", "failure-rate", "exponential-delay"]),
    (RESULT_MODE.key(), &["table", "changelog", "tableau"]),
    (state::BACKEND.key(), &["hashmap", "rocksdb"]),
    (job::DML_SYNC.key(), SWITCH),
];

const RETENTION: &[&str] = &["DELETE_ON_CANCELLATION", "RETAIN_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS"];

/// The values that a key can have, if they are few.
fn values_of(key: &str) -> &'static [&'static str] {
    let mut all = CHOICES.iter().chain(planner::CHOICES);
    all.find(|(known, _)| *known == key).map_or(&[] as &[&str], |(_, values)| *values)
}

/// Helps the editor of the prompt.
#[derive(Helper)]
pub(super) struct SqlHelper {
    /// Tables and views, each with its columns.
    objects: Vec<(String, Vec<String>)>,
    /// Told when Enter continues a statement.
    goes_on: Option<GoesOn>,
}

impl SqlHelper {
    /// With the names of the current database.
    pub fn new(catalog: &Catalog, goes_on: Option<GoesOn>) -> Self {
        let objects = catalog.list(catalog.current_catalog(), catalog.current_database()).into_iter();
        let with_columns = objects.map(|(name, object)| {
            let columns = fields_of(&object).into_iter().map(|field| field.name).collect();
            (name, columns)
        });
        Self { objects: with_columns.collect(), goes_on }
    }

    /// Tables and views that begin so.
    fn relations(&self, word: &str, quoted: bool) -> Vec<Pair> {
        let fitting = self.objects.iter().map(|(name, _)| name).filter(|name| begins(name, word));
        fitting.map(|name| Pair { display: name.clone(), replacement: written(name, quoted) }).collect()
    }

    /// Words, functions, tables and columns that begin so. Columns are those of the tables that the statement names, of all if
    /// it names none. `quoted`: within a back tick.
    fn names(&self, line: &str, word: &str, quoted: bool) -> Vec<Pair> {
        let mut found = BTreeMap::new();
        let mut offer = |shown: &str, replacement: String| {
            if begins(shown, word) {
                found.entry(replacement).or_insert_with(|| shown.to_owned());
            }
        };
        if !quoted {
            for function in functions::names() {
                offer(function, if NILADIC.contains(&function) { function.to_owned() } else { format!("{function}(") });
            }
            for keyword in KEYWORDS.iter().copied().filter(|keyword| !functions::names().any(|name| name == *keyword)) {
                offer(keyword, keyword.to_owned());
            }
        }
        let is_named = |name: &str| line.split(|c| !is_part(c)).any(|part| part == name);
        let any = self.objects.iter().any(|(name, _)| is_named(name));
        for (name, columns) in &self.objects {
            offer(name, written(name, quoted));
            if is_named(name) || !any {
                columns.iter().for_each(|column| offer(column, written(column, quoted)));
            }
        }
        found.into_iter().map(|(replacement, display)| Pair { display, replacement }).collect()
    }
}

/// A name as it is put into the statement. `quoted`: within a back tick.
fn written(name: &str, quoted: bool) -> String {
    if quoted { format!("{name}`") } else { parser::as_written(name) }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether a name begins with this, in whatever case.
fn begins(name: &str, word: &str) -> bool {
    name.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word))
}

/// What follows SET or RESET, if that is what the statement before the cursor is.
fn setting(before: &str) -> Option<&str> {
    let statement = before.rsplit(';').next().unwrap_or(before).trim_start();
    let rest =
        ["SET", "RESET"].iter().find_map(|word| statement.get(word.len()..).filter(|_| begins(statement, word)))?;
    rest.starts_with(|c: char| c.is_whitespace() || c == '\'').then(|| rest.trim_start())
}

/// Keys that change something where they are set, or behind `=` the values of one. With how much of it is typed.
fn settings(setting: &str) -> (&str, Vec<Pair>) {
    let (typed, all): (&str, Vec<&str>) = match setting.split_once('=') {
        None => (setting, honoured_keys().filter(|key| !is_of_processes(key)).collect()),
        Some((key, value)) => {
            let key = key.trim().trim_matches('\'');
            (value.trim_start(), values_of(key).to_vec())
        }
    };
    let word = typed.trim_start_matches('\'');
    let end = if word.len() < typed.len() { "'" } else { "" };
    let fitting = all.into_iter().filter(|name| begins(name, word));
    (word, fitting.map(|name| Pair { display: name.to_owned(), replacement: format!("{name}{end}") }).collect())
}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..position];
        if let Some(setting) = setting(before) {
            let (word, found) = settings(setting);
            return Ok((position - word.len(), found));
        }
        let start = before.char_indices().rev().find(|(_, c)| !is_part(*c)).map_or(0, |(at, c)| at + c.len_utf8());
        let (word, quoted) = (&before[start..], before[..start].ends_with('`'));
        if let Some(words) = followers(&before[..start]) {
            let fitting = words.iter().filter(|name| begins(name, word));
            let pair = |name: &&str| Pair { display: (*name).to_owned(), replacement: (*name).to_owned() };
            return Ok((start, fitting.map(pair).collect()));
        }
        if names_relation(before[..start].trim_end_matches('`')) {
            let found = self.relations(word, quoted);
            // EXTRACT(YEAR FROM c) has a column there.
            if !found.is_empty() {
                return Ok((start, found));
            }
        }
        if word.is_empty() {
            return Ok((start, Vec::new()));
        }
        Ok((start, self.names(line, word, quoted)))
    }
}

impl Validator for SqlHelper {
    /// Enter continues a statement until it ends with a semicolon outside quotes and comments.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        if is_whole(context.input()) {
            return Ok(ValidationResult::Valid(None));
        }
        if let Some(goes_on) = &self.goes_on {
            goes_on.say();
        }
        Ok(ValidationResult::Incomplete)
    }
}

/// Whether Enter runs what was typed: nothing, or statements of which the last ends with a semicolon or is a word of the
/// client's own.
fn is_whole(input: &str) -> bool {
    parser::unfinished(input).is_none()
        || parser::split_input(input).last().is_some_and(|last| own(&last.text).is_some())
}

/// Stands on a line that goes on with a statement until something is typed there. It is no part of the statement.
pub(super) struct Continuation(&'static str);

impl Hint for Continuation {
    fn display(&self) -> &str {
        self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for SqlHelper {
    type Hint = Continuation;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<Continuation> {
        let begins_line = position == line.len() && line.ends_with('\n');
        (begins_line && !is_whole(line)).then(|| Continuation(continuation(line)))
    }
}

/// What an input that is not complete waits for.
fn continuation(input: &str) -> &'static str {
    match parser::unfinished(input) {
        Some(Unfinished::Text) => "> a text is open, goes on until '",
        Some(Unfinished::Name) => "> a name is open, goes on until `",
        Some(Unfinished::Comment) => "> a comment is open, goes on until */",
        Some(Unfinished::Set) => "> statement set: goes on until END;",
        Some(Unfinished::Statement) | None => "> goes on until ;",
    }
}

impl Highlighter for SqlHelper {
    /// Fainter than what was typed.
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}

#[cfg(test)]
mod tests {
    use rustyline::history::{History as _, MemHistory};

    use super::*;

    #[test]
    fn enter_runs_whole_statements_and_the_clients_own_words() {
        for whole in [
            "",
            "SELECT 1;",
            "quit",
            "QUIT;",
            "exit",
            "\\q",
            "help",
            " clear ",
            "SELECT ';';",
            "SELECT 1;\nhelp",
            "BEGIN STATEMENT SET;",
        ] {
            assert!(is_whole(whole), "{whole}");
        }
        for part in ["SELECT 1", "SELECT 'a;", "quit SELECT", "SELECT 1 -- ;"] {
            assert!(!is_whole(part), "{part}");
        }
    }

    fn helper() -> SqlHelper {
        let object = |name: &str, columns: &[&str]| {
            (name.to_owned(), columns.iter().map(|column| (*column).to_owned()).collect())
        };
        SqlHelper {
            objects: vec![
                object("flights", &["carrier", "departure", "order", "two words"]),
                object("größe", &["carat"]),
            ],
            goes_on: None,
        }
    }

    fn complete(line: &str) -> (usize, Vec<String>) {
        let history = MemHistory::new();
        assert_eq!(history.len(), 0);
        let (start, pairs) = helper().complete(line, line.len(), &Context::new(&history)).unwrap();
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn words_names_columns_and_functions_are_completed_in_any_case() {
        for (line, start, expected) in [
            ("sel", 0, vec!["SELECT"]),
            ("SELECT fl", 7, vec!["FLOAT", "FLOOR(", "flights"]),
            ("SELECT grö", 7, vec!["größe"]),
            ("SELECT é(", 10, vec![]),
            ("SELECT conc", 7, vec!["CONCAT(", "CONCAT_WS("]),
            ("SELECT current_t", 7, vec!["CURRENT_TIME", "CURRENT_TIMESTAMP"]),
            // Of the tables that the statement names, else of all.
            ("SELECT carr", 7, vec!["carrier"]),
            ("SELECT cara", 7, vec!["carat"]),
            ("SELECT 1 FROM flights WHERE cara", 28, vec![]),
            ("SELECT flights.dep", 15, vec!["departure"]),
            ("SELECT ord", 7, vec!["`order`"]),
            ("SELECT two", 7, vec!["`two words`"]),
            ("SELECT `two", 8, vec!["two words`"]),
        ] {
            let found = complete(line);
            assert_eq!(found, (start, expected.into_iter().map(str::to_owned).collect()), "{line}");
        }
    }

    /// SHOW T offered TAN, TRIM and TUMBLE.
    #[test]
    fn only_what_can_follow_is_offered_where_that_is_some_words() {
        for (line, start, expected) in [
            ("SHOW T", 5, vec!["TABLES"]),
            ("SELECT 1; show\n c", 16, vec!["CATALOGS", "COLUMNS", "CREATE", "CURRENT"]),
            ("SHOW CREATE ", 12, vec!["TABLE", "VIEW"]),
            ("SHOW CURRENT d", 13, vec!["DATABASE"]),
            ("DROP TEMPORARY fl", 15, vec![]),
            ("SHOW COLUMNS FROM fl", 18, vec!["flights"]),
            ("DESCRIBE fl", 9, vec!["flights"]),
        ] {
            let found = complete(line);
            assert_eq!(found, (start, expected.into_iter().map(str::to_owned).collect()), "{line}");
        }
        for (words, followers) in FOLLOWS {
            for word in words.iter().chain(*followers) {
                assert!(KEYWORDS.contains(word), "{word}");
            }
        }
    }

    /// Failed before: nothing was offered behind `FROM `, and functions were behind `FROM fl`.
    #[test]
    fn tables_are_offered_where_one_is_named() {
        let all = || vec!["flights", "größe"];
        for (line, start, expected) in [
            ("SELECT * FROM ", 14, all()),
            ("SELECT * FROM FL", 14, vec!["flights"]),
            ("SELECT * FROM\n", 14, all()),
            ("SELECT * FROM `fl", 15, vec!["flights`"]),
            ("insert into g", 12, vec!["größe"]),
            ("DROP TABLE ", 11, all()),
            ("SHOW CREATE VIEW ", 17, all()),
            ("SELECT 1; desc ", 15, all()),
            ("SELECT * FROM TABLE(TUMBLE(TABLE ", 33, all()),
            ("CREATE VIEW v AS SELECT * FROM ", 31, all()),
            // What is no table, or a new one.
            ("SELECT EXTRACT(YEAR FROM dep", 25, vec!["departure"]),
            ("SELECT * FROM (", 15, vec![]),
            ("SELECT ", 7, vec![]),
            ("SELECT * FROM flights ", 22, vec![]),
            ("CREATE TABLE ", 13, vec![]),
            ("CREATE TEMPORARY VIEW ", 22, vec![]),
        ] {
            let found = complete(line);
            assert_eq!(found, (start, expected.into_iter().map(str::to_owned).collect()), "{line}");
        }
    }

    #[test]
    fn keys_and_values_of_settings_are_completed() {
        for (line, start, expected) in [
            ("SET 'sql-client.execution.r", 5, vec!["sql-client.execution.result-mode'"]),
            ("SELECT 1; set table.dml-s", 14, vec!["table.dml-sync"]),
            ("RESET 'table.exec.sink.type", 7, vec!["table.exec.sink.type-length-enforcer'"]),
            ("SET 'sql-client.execution.result-mode' = 'ta", 42, vec!["table'", "tableau'"]),
            ("SET table.dml-sync=f", 19, vec!["false"]),
            ("SET 'table.exec.sink.nested-constraint-enforcer' = '", 52, vec!["IGNORE'"]),
            ("SET 'no.such.key' = ", 20, vec![]),
            // Failed before: keys were offered of which SET says that they have no effect.
            ("SET 'table.exec.mini-batch.e", 5, vec![]),
            ("SET 'rest.po", 5, vec![]),
        ] {
            let found = complete(line);
            assert_eq!(found, (start, expected.into_iter().map(str::to_owned).collect()), "{line}");
        }
        for (key, values) in CHOICES.iter().chain(planner::CHOICES) {
            assert!(honoured_keys().any(|known| known == *key) && !is_of_processes(key), "{key}");
            assert_eq!(values_of(key), *values, "{key} stands there twice");
        }
        assert_eq!(setting("SETTLE x"), None);
        assert_eq!(setting("SELECT 1"), None);
    }

    #[test]
    fn the_values_that_are_offered_are_those_that_are_read() {
        use wiesel_common::config::{ConfigOption, ConfigValue};

        fn read<T: ConfigValue>(option: &ConfigOption<T>) -> (&'static str, String) {
            (option.key(), T::parse("").err().expect("nothing is no value"))
        }
        for (key, expected) in [
            read(&checkpointing::MODE),
            read(&checkpointing::RETENTION),
            read(&checkpointing::STORAGE),
            read(&checkpointing::CLAIM_MODE),
            read(&restart::TYPE),
            read(&state::BACKEND),
        ] {
            assert_eq!(format!("expected one of {}", values_of(key).join(", ")), expected, "{key}");
        }
    }

    #[test]
    fn a_line_that_goes_on_says_what_it_waits_for() {
        let history = MemHistory::new();
        let hint = |line: &str| {
            let hint = helper().hint(line, line.len(), &Context::new(&history));
            hint.map(|hint| (hint.display().to_owned(), hint.completion().is_none()))
        };
        assert_eq!(hint("SELECT 1\n"), Some(("> goes on until ;".to_owned(), true)));
        assert_eq!(hint("SELECT 1"), None, "nothing while something is typed");
        assert_eq!(hint("SELECT 1\nFROM"), None);
        assert_eq!(hint("SELECT 1;\n"), None);
        // "> goes on until ;" stood behind the semicolon that was in the text.
        for (line, open) in [
            ("SELECT 'unterminated;\n", "> a text is open, goes on until '"),
            ("SELECT `a;\n", "> a name is open, goes on until `"),
            ("SELECT 1 /* a;\n", "> a comment is open, goes on until */"),
            ("EXECUTE STATEMENT SET BEGIN\nINSERT INTO t SELECT 1;\n", "> statement set: goes on until END;"),
        ] {
            assert_eq!(hint(line), Some((open.to_owned(), true)));
        }
        assert_eq!(hint("BEGIN STATEMENT SET;\n"), None, "its statements come one by one");
    }
}
