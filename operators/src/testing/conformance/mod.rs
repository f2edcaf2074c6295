//! Conformance of operators with state: whatever happens to a job, its results are those of a run to which nothing happens.
//!
//! Producers read splits, run what is chained to them, and send rows by key group to the subtasks of the operator, each over a
//! channel of its own; a subtask combines the watermarks of its channels in a real valve. Which element moves next, when
//! barriers are sent, how far they overtake, and when the job starts again, with how many subtasks and on which back end, is
//! drawn at random ([`plan`]). [`checkpoint`] deals out what was in flight as the TaskManager does it. Two things are compared:
//!
//! - always, what came out with what comes out of operators that have one key group each and are told the same, without a
//!   checkpoint ([`reference`]); rows may be late, before a restore and after it;
//! - where no row is late and the order of a key's rows does not depend on who reads faster, what came out, folded, with a run
//!   of one subtask over all rows. With barriers that are not aligned (at least once), that no row is missing.
//!
//! `WIESEL_CONFORMANCE_CASES` runs of each operator are tried, from the seed `WIESEL_CONFORMANCE_SEED` on; a failure says its
//! seed and the smallest plan that still fails.
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestError, TestRng, TestRunner};

use crate::operator::{Operator, OperatorContext};

mod checkpoint;
mod cluster;
mod exchange;
pub mod plan;
pub mod probe;
mod reference;
pub mod zoned;

/// Runs of each operator, if nothing else is said.
const CASES: u64 = 24;

/// Milliseconds for making a failure smaller.
const SHRINKING: u32 = 60_000;

/// Builds an operator in a subtask.
pub type Build = Box<dyn Fn(&OperatorContext) -> Box<dyn Operator>>;

/// An operator that is put through the model.
pub struct Subject {
    /// The operator.
    pub build: Build,
    /// What producers run before the exchange.
    pub local: Option<Build>,
    /// The positions of the key's columns in what is sent over the exchange.
    pub keys: Vec<usize>,
    /// Rows are taken back, too.
    pub changelog: bool,
    /// Results follow from the rows of a key in their order, not from the clock.
    pub timeless: bool,
    /// The column that counts the rows of a result.
    pub counts: Option<usize>,
    /// The last column is the end of the window of a result: no watermark may be behind it.
    pub windows: bool,
    /// Tables that have nothing left at the end.
    pub emptied: &'static [&'static str],
}

/// Puts an operator through the model.
pub fn conforms(subject: &Subject) {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let first: u64 = number("WIESEL_CONFORMANCE_SEED", 0);
    for seed in first..first + number("WIESEL_CONFORMANCE_CASES", CASES) {
        if let Err(failure) = try_seed(subject, seed) {
            panic!("WIESEL_CONFORMANCE_SEED={seed}: {failure}");
        }
    }
}

/// One run; a failure is made as small as it can be.
fn try_seed(subject: &Subject, seed: u64) -> Result<(), String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases: 1, failure_persistence: None, max_shrink_time: SHRINKING, ..Config::default() };
    let run = |plan: plan::Plan| -> TestCaseResult { cluster::run(subject, &plan) };
    match TestRunner::new_with_rng(config, random).run(&plan::plans(subject.changelog), run) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, plan)) => Err(format!("{reason}\n{plan:#?}")),
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
    }
}
