//! The keys that the SQL client itself reads.
use wiesel_common::config::{ConfigError, ConfigOption, Configuration, KeyProblem};
use wiesel_sql::ast::Statement;

use crate::cli::problems_where_set;

wiesel_common::config_enum! {
    /// How a result is shown.
    pub(super) enum ResultMode {
        /// On the whole screen, as the table it is now.
        Table = "TABLE",
        /// On the whole screen, as the changes to it.
        Changelog = "CHANGELOG",
        /// Printed, row by row.
        Tableau = "TABLEAU",
    }
}

/// How the prompt shows results.
pub(super) const RESULT_MODE: ConfigOption<ResultMode> =
    ConfigOption::new("sql-client.execution.result-mode").default("TABLE");
/// How many characters of a text a column shows.
pub(super) const MAX_COLUMN_WIDTH: ConfigOption<usize> = ConfigOption::new("table.display.max-column-width")
    .default("30")
    .fallback(&["sql-client.display.max-column-width"]);

/// What a statement would SET, alone; none: it is no such statement.
pub(super) fn setting(statement: &Statement) -> Option<Configuration> {
    match statement {
        Statement::Set(Some((key, Some(value)))) => Some([(key.clone(), value.clone())].into_iter().collect()),
        _ => None,
    }
}

/// Refuses a bad value of a key that the client itself reads; what is doubtful about the key otherwise.
pub(super) fn check(setting: &Configuration) -> Result<Vec<KeyProblem>, ConfigError> {
    setting.get(&RESULT_MODE)?;
    setting.get(&MAX_COLUMN_WIDTH)?;
    Ok(problems_where_set(setting))
}

/// What is doubtful about the key of a RESET that changes nothing.
pub(super) fn problems_of_reset(statement: &Statement, current: &Configuration) -> Vec<KeyProblem> {
    match statement {
        Statement::Reset(Some(key)) if current.get_raw(key).is_none() => {
            [(key.clone(), String::new())].into_iter().collect::<Configuration>().key_problems()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use wiesel_sql::parser;

    use super::*;

    fn checked(text: &str) -> Option<Result<Vec<String>, String>> {
        let statement = parser::parse(text).unwrap().remove(0).statement;
        let said = |problems: Vec<KeyProblem>| problems.iter().map(ToString::to_string).collect();
        setting(&statement).map(|setting| check(&setting).map(said).map_err(|error| error.to_string()))
    }

    /// A mode that there is not was taken, and each SELECT refused after it.
    #[test]
    fn a_bad_value_is_refused_where_it_is_set() {
        for (key, value) in [
            ("sql-client.execution.result-mode", "tablo"),
            ("table.display.max-column-width", "wide"),
            ("sql-client.display.max-column-width", "-1"),
        ] {
            let error = checked(&format!("SET '{key}' = '{value}'")).unwrap().unwrap_err();
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
        for fine in
            ["SET 'sql-client.execution.result-mode' = 'tableau'", "SET 'table.display.max-column-width' = '10'"]
        {
            assert_eq!(checked(fine), Some(Ok(Vec::new())));
        }
        assert_eq!((checked("SET"), checked("SET 'foo'"), checked("RESET 'foo'")), (None, None, None));
    }

    /// They were set without a word.
    #[test]
    fn a_key_that_is_misspelt_or_does_nothing_is_told() {
        for (key, words) in [
            ("execution.checkpointing.intervall", "did you mean 'execution.checkpointing.interval'?"),
            ("foo.bar", "unknown configuration key 'foo.bar'"),
            ("table.exec.mini-batch.enabled", "has no effect"),
            ("sql-client.display.max-column-width", "use 'table.display.max-column-width'"),
            // Failed before: nothing was said of these.
            ("rest.port", "'rest.port' has no effect once the processes run"),
            ("taskmanager.numberOfTaskSlots", "has no effect once the processes run"),
            ("jobmanager.memory.process.size", "has no effect once the processes run"),
            ("taskmanager.numberOfTaskSlot", "did you mean 'taskmanager.numberOfTaskSlots'?"),
        ] {
            let said = checked(&format!("SET '{key}' = '1'")).unwrap().unwrap();
            assert!(said.len() == 1 && said[0].contains(words), "{said:?}");
        }
    }

    /// Before, such a RESET succeeded without a word.
    #[test]
    fn a_key_that_is_misspelt_is_told_where_it_is_reset() {
        let current: Configuration = [("foo.bar".to_owned(), "1".to_owned())].into_iter().collect();
        let said = |text: &str| {
            let statement = parser::parse(text).unwrap().remove(0).statement;
            problems_of_reset(&statement, &current).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let said_of_mode = said("RESET 'sql-client.execution.result-moda'");
        assert_eq!(said_of_mode.len(), 1);
        assert!(said_of_mode[0].ends_with("; did you mean 'sql-client.execution.result-mode'?"), "{said_of_mode:?}");
        assert!(said("RESET 'no.such'")[0].contains("unknown configuration key 'no.such'"));
        // It is set, and so is reset.
        assert_eq!(said("RESET 'foo.bar'"), Vec::<String>::new());
        for fine in ["RESET", "RESET 'table.local-time-zone'", "SET 'no.such' = '1'"] {
            assert_eq!(said(fine), Vec::<String>::new(), "{fine}");
        }
    }

    /// Only the former key worked.
    #[test]
    fn the_width_of_columns_has_two_names_of_which_the_newer_goes_first() {
        let width = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            pairs.collect::<Configuration>().get(&MAX_COLUMN_WIDTH)
        };
        let (now, former) = ("table.display.max-column-width", "sql-client.display.max-column-width");
        assert_eq!(width(&[]), Ok(30));
        assert_eq!(width(&[(former, "40")]), Ok(40));
        assert_eq!(width(&[(former, "40"), (now, "10")]), Ok(10));
    }
}
