//! `sql-client`: Flink SQL, interactively or from a file.
use std::process::ExitCode;

fn main() -> ExitCode {
    wiesel_client::sql::main()
}
