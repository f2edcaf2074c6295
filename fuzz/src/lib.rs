//! Hostile and careless input: what comes from outside is changed at random, and whoever reads it may refuse it, but neither
//! panic nor go on for ever nor take memory beyond a bound.
//!
//! - [`Target`]: what is tried, and with how much it must make do;
//! - [`allocator`]: counts what the thread that reads has allocated;
//! - [`mutation`]: how inputs are changed.
//!
//! The targets are tests, in `tests/`, over the seeds in `corpus/` and the scripts and data of the golden tests. `make test` runs
//! a few hundred inputs of each, always the same; `make fuzz` runs each for as long as `WIESEL_FUZZ_SECONDS` says, with a seed
//! that it prints. `WIESEL_FUZZ_SEED` makes it the same run again, `WIESEL_FUZZ_INPUT` (a file) a single input. What failed goes
//! into `corpus/` once it is mended.
//!
//! Both bounds of time, that of an input and `WIESEL_FUZZ_SECONDS`, are CPU time, of the thread that reads the input and the one
//! that makes it: on a busy machine neither is an input called too slow nor are fewer tried. It is not the process's CPU time,
//! since targets run beside each other in one; what threads of the code under test compute is therefore not counted. Ten times
//! as much may pass on the wall, for inputs that make the code wait for ever, or compute elsewhere.
#![allow(clippy::disallowed_methods, reason = "an input runs on a thread of its own, so that its stack has a bound")]
pub mod allocator;
pub mod mutation;
mod smallest;
mod target;

pub use allocator::Counting;
pub use target::{Target, corpus};
