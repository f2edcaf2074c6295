//! What planning a script for somebody may cost, where each statement of it is within its bounds.
//!
//! Parser, analyser and planner have no value in common that could carry it, and none of them leaves the thread that it is called
//! on: so it is the thread's.
use std::cell::RefCell;
use std::collections::HashMap;

use wiesel_expressions::expression::Expression;
use wiesel_expressions::functions::ConstantPattern;

use crate::error::{Error, Result};

/// Bytes of a script that a JobManager is given to plan, at most.
pub const MAX_UPLOAD_BYTES: usize = 2 << 20;
/// What the constant regular expressions of a script may cost, see [`ConstantPattern::cost`]: a few seconds.
const MAX_PATTERN_COST: usize = 200_000;

struct Script {
    wanted: Box<dyn Fn() -> Result<(), String>>,
    /// Why patterns are refused, if they are. Each is compiled once.
    refusals: HashMap<ConstantPattern, Option<String>>,
    pattern_cost: usize,
}

thread_local! {
    /// The script that this thread works at.
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

/// Puts back what the thread worked at before, also if the work panics.
struct Before(Option<Script>);

impl Drop for Before {
    fn drop(&mut self) {
        SCRIPT.set(self.0.take());
    }
}

/// Does work with SQL, on this thread, for as long as it is wanted: `wanted` is asked often, within statements too, and once it
/// says why not, parsing and planning fail with [`Error::Abandoned`].
pub fn while_wanted<T>(wanted: impl Fn() -> Result<(), String> + 'static, work: impl FnOnce() -> T) -> T {
    let script = Script { wanted: Box::new(wanted), refusals: HashMap::new(), pattern_cost: 0 };
    let _before = Before(SCRIPT.replace(Some(script)));
    work()
}

/// Whether the work of this thread still is: see [`while_wanted`].
///
/// # Errors
/// [`Error::Abandoned`].
pub fn still_wanted() -> Result<()> {
    SCRIPT.with_borrow(|script| match script {
        Some(script) => (script.wanted)().map_err(Error::Abandoned),
        None => Ok(()),
    })
}

/// Why a call cannot be run for its constant regular expressions, though Flink would run it.
///
/// # Errors
/// The work is not wanted any more, or those of the script cost too much.
pub(crate) fn refusal_of_patterns(name: &str, operands: &[Expression]) -> Result<Option<String>> {
    for pattern in ConstantPattern::of_call(name, operands) {
        if let Some(reason) = refusal(pattern)? {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

fn refusal(pattern: ConstantPattern) -> Result<Option<String>> {
    still_wanted()?;
    let known = SCRIPT.with_borrow(|script| script.as_ref().and_then(|script| script.refusals.get(&pattern).cloned()));
    if let Some(refusal) = known {
        return Ok(refusal);
    }
    let cost = SCRIPT.with_borrow_mut(|script| {
        script.as_mut().map_or(0, |script| {
            script.pattern_cost = script.pattern_cost.saturating_add(pattern.cost());
            script.pattern_cost
        })
    });
    if cost > MAX_PATTERN_COST {
        let message = format!(
            "The constant regular expressions of a script may have {MAX_PATTERN_COST} parts together, each counted as often as \
             repetitions such as {{1,90}} repeat it. Use fewer of them or smaller counts, or split the script."
        );
        return Err(Error::unsupported(message, None));
    }
    let refusal = pattern.refusal();
    SCRIPT.with_borrow_mut(|script| {
        if let Some(script) = script {
            script.refusals.insert(pattern, refusal.clone());
        }
    });
    Ok(refusal)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use wiesel_common::config::Configuration;

    use super::*;
    use crate::session::{ExecuteOptions, Session};

    fn plan(text: &str) -> Result<()> {
        let mut session = Session::new(Configuration::default());
        for statement in session.parse(text)? {
            session.execute(&statement, &ExecuteOptions::default())?;
        }
        Ok(())
    }

    /// `SELECT` of so many columns, each of an expression with another number.
    fn select(columns: usize, expression: impl Fn(usize) -> String) -> String {
        let columns: Vec<String> = (0..columns).map(|n| format!("{} AS c{n}", expression(n))).collect();
        format!("SELECT {}", columns.join(", "))
    }

    /// Before, a statement that was begun was planned to its end.
    #[test]
    fn what_nobody_wants_any_more_ends_within_a_statement() {
        let text = select(300, |n| format!("'a' SIMILAR TO 'a{n}'"));
        // After so many questions, be it in the parser, the analyser or the planner.
        for most in [0, 1, 100, 500, 1_000, 1_500] {
            let asked = Rc::new(Cell::new(0));
            let count = Rc::clone(&asked);
            let wanted = move || {
                count.set(count.get() + 1);
                if count.get() > most { Err("gone".to_owned()) } else { Ok(()) }
            };
            assert_eq!(while_wanted(wanted, || plan(&text)), Err(Error::Abandoned("gone".to_owned())), "{most}");
            assert!(asked.get() <= most + 310, "{} questions", asked.get());
        }
        assert_eq!(plan(&text), Ok(()), "the thread works for nobody in particular again");
    }

    /// Before, 7 KB of patterns took a thread for minutes.
    #[test]
    fn patterns_of_a_script_have_a_budget() {
        let different = select(250, |n| format!("'a' SIMILAR TO 'a{{1,999}}{n}'"));
        let refused = while_wanted(|| Ok(()), || plan(&different)).unwrap_err();
        assert!(refused.message().contains("200000 parts together"), "{refused}");
        let few = select(20, |n| format!("'a' SIMILAR TO 'a{{1,999}}{n}'"));
        assert_eq!(while_wanted(|| Ok(()), || plan(&few)), Ok(()));
        let alike = select(250, |_| "'a' SIMILAR TO 'a{1,999}'".to_owned());
        assert_eq!(while_wanted(|| Ok(()), || plan(&alike)), Ok(()), "each is counted once");
        let scripts = "SELECT 'a' SIMILAR TO 'a{1,999}'; ".repeat(3);
        assert_eq!(while_wanted(|| Ok(()), || plan(&scripts)), Ok(()));
    }
}
