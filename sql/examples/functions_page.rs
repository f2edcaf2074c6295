//! Prints `docs/functions.md`.
fn main() {
    print!("{}", wiesel_sql::functions::page());
}
