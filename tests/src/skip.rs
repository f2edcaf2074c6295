//! Tests that this machine cannot run: they say so by name and are counted.
use std::fs::File;
use std::io::Write as _;

/// Says that a test is skipped and why; `make test` lists all of them at its end (`WIESEL_SKIPPED` names the file).
pub fn skip(test: &str, why: &str) {
    let line = format!("{test}: {why}\n");
    eprint!("SKIPPED {line}");
    if let Some(path) = std::env::var_os("WIESEL_SKIPPED").filter(|path| !path.is_empty()) {
        let written =
            File::options().create(true).append(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("the list of skipped tests can be written");
    }
}
