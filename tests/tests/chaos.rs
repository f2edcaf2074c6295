//! Blows from a seeded schedule on real processes: no row is lost, none is doubled. `make chaos` runs each
//! of the two for ten minutes.
use std::sync::Mutex;

use wiesel_tests::chaos::{self, Options, Storage};

/// One after the other: each takes the machine for itself.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn results_are_exact_with_checkpoints_in_files() {
    let _one = ONE.lock();
    chaos::run("results_are_exact_with_checkpoints_in_files", Options::from_environment(Storage::Files));
}

#[test]
fn results_are_exact_with_checkpoints_on_s3() {
    let _one = ONE.lock();
    chaos::run("results_are_exact_with_checkpoints_on_s3", Options::from_environment(Storage::S3));
}
