//! `flink`: runs and controls jobs.
use std::process::ExitCode;

fn main() -> ExitCode {
    wiesel_client::cli::main()
}
