//! A result that is printed row by row, as it comes.
use std::io::{self, Write};
use std::pin::pin;
use std::time::{Duration, Instant};

use super::executor::with_kind;
use super::fetch::{Fetched, QueryRun, Row};
use super::format::{Table, counted};
use super::interrupts::Interrupts;
use crate::cli::Failure;
use crate::progress::{CTRL_C_CANCELS, Progress};
use crate::rest::RestClient;

/// How long one fetch waits for rows.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// How the printing of a result ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All rows are there.
    Complete,
    /// Ctrl-C cancelled the query.
    Cancelled,
}

/// Prints the rows of a query until it ends, or Ctrl-C cancels it.
pub(super) async fn show(
    client: &RestClient,
    run: &mut QueryRun,
    table: &Table,
    interrupts: &mut Interrupts,
) -> Result<End, Failure> {
    let began = Instant::now();
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n{}\n{}", table.rule(), table.header(), table.rule())?;
    let mut printed = Printed { table, out: &mut out, count: 0 };
    let all = interrupts.unless_any(pin!(print_all(client, run, &mut printed, began))).await;
    let count = printed.count;
    match all {
        Some(done) => done?,
        None => {
            run.cancel().await?;
            writeln!(out, "Query terminated, received a total of {}", rows(count))?;
            return Ok(End::Cancelled);
        }
    }
    if count > 0 {
        writeln!(out, "{}", table.rule())?;
    }
    let seconds = began.elapsed().as_secs_f64();
    writeln!(out, "Received a total of {} ({seconds:.2} seconds)", rows(count))?;
    Ok(End::Complete)
}

/// Prints rows until there are no more.
async fn print_all(
    client: &RestClient,
    run: &mut QueryRun,
    printed: &mut Printed<'_, impl Write>,
    began: Instant,
) -> Result<(), Failure> {
    let mut progress = Progress::new();
    loop {
        let fetched = run.next(MAX_WAIT).await?;
        progress.clear();
        match fetched {
            Fetched::Rows(fetched) => printed.rows(&fetched).await?,
            Fetched::Restarted => printed.restart()?,
            Fetched::End => return Ok(()),
        }
        if printed.count == 0 {
            progress.job(client, run.job(), CTRL_C_CANCELS).await;
        } else {
            progress.rows(&rows(printed.count), began.elapsed(), run.job());
        }
    }
}

/// The rows that are there so far.
struct Printed<'a, W> {
    table: &'a Table,
    out: &'a mut W,
    count: usize,
}

impl<W: Write> Printed<'_, W> {
    /// Prints more rows. Waits behind each: a slow terminal holds up the whole thread with every row, and Ctrl-C must not wait
    /// for the last one.
    async fn rows(&mut self, rows: &[Row]) -> io::Result<()> {
        for row in rows {
            writeln!(self.out, "{}", self.table.line(&with_kind(row)))?;
            self.count += 1;
            tokio::task::yield_now().await;
        }
        self.out.flush()
    }

    /// Rows so far are void.
    fn restart(&mut self) -> io::Result<()> {
        self.count = 0;
        writeln!(self.out, "{}\n[INFO] The job has restarted: its rows follow from the beginning.", self.table.rule())
    }
}

fn rows(count: usize) -> String {
    counted(count as u64, "row")
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};
    use wiesel_expressions::row_kind::RowKind;
    use wiesel_expressions::types::{RowField, TypeKind};

    use super::*;

    /// Somebody presses Ctrl-C while the first line is written.
    #[derive(Default)]
    struct Pressing {
        lines: usize,
    }

    impl Write for Pressing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.lines == 0 {
                kill_process(getpid(), Signal::INT)?;
            }
            self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Before, it was not seen: it was asked for only while rows were fetched.
    #[test]
    fn ctrl_c_while_rows_are_written_is_seen_before_the_last() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let table = Table::streaming(&[RowField::new("n", TypeKind::string().nullable())], true, 30);
        let row = |number: usize| Row { kind: RowKind::Insert, cells: vec![Some(number.to_string())] };
        let all: Vec<Row> = (0..100).map(row).collect();
        let mut out = Pressing::default();
        let (done, count) = runtime.block_on(async {
            let mut interrupts = Interrupts::of_statement().unwrap();
            let mut printed = Printed { table: &table, out: &mut out, count: 0 };
            // Enough for the time that the system may take to hand a signal over.
            let printing = async {
                for _ in 0..100_000 {
                    printed.rows(&all).await?;
                }
                io::Result::Ok(())
            };
            let done = interrupts.unless_any(printing).await;
            (done, printed.count)
        });
        assert!(done.is_none(), "all {count} rows were printed");
        assert_eq!(count, out.lines, "what was printed is counted");
    }
}
