//! A result that takes the whole screen and changes as the query runs: the table it is now, or the changes to it.
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::{cursor, execute, terminal};
use wiesel_sql::session::QueryJob;

use super::executor::{ResultMode, with_kind};
use super::fetch::{Fetched, QueryRun, Row};
use super::format::{Table, cut};
use crate::cli::Failure;

/// How many rows a result keeps; older ones are dropped (`sql-client.execution.max-table-result.rows`).
const MAX_ROWS: usize = 1_000_000;
/// How long one look for rows or keys waits.
const TICK: Duration = Duration::from_millis(100);

/// Shows a query until it is left with `q`; a query that still runs is cancelled then.
pub(super) async fn show(run: QueryRun, query: &QueryJob, mode: ResultMode, max_width: usize) -> Result<(), Failure> {
    let mut view = View::new(query, mode, max_width);
    let screen = Screen::open()?;
    let outcome = view.run(run).await;
    drop(screen);
    match &outcome {
        Ok(()) => println!("[INFO] Result retrieval {}.", if view.ended { "completed" } else { "cancelled" }),
        Err(_) => println!("[INFO] Result retrieval cancelled."),
    }
    outcome
}

/// The terminal in raw mode on its other screen, restored when dropped.
struct Screen;

impl Screen {
    fn open() -> Result<Self, Failure> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to restore.
        let _ = execute!(stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

struct View {
    table: Table,
    mode: ResultMode,
    rows: Vec<Row>,
    /// Changes seen in all.
    changes: u64,
    /// The first row on the screen; none: follow the end.
    top: Option<usize>,
    began: Instant,
    ended: bool,
    dirty: bool,
}

impl View {
    fn new(query: &QueryJob, mode: ResultMode, max_width: usize) -> Self {
        let table = Table::streaming(&query.fields, mode == ResultMode::Changelog, max_width);
        Self { table, mode, rows: Vec::new(), changes: 0, top: None, began: Instant::now(), ended: false, dirty: true }
    }

    async fn run(&mut self, mut run: QueryRun) -> Result<(), Failure> {
        loop {
            if !self.ended {
                match run.next(TICK).await? {
                    Fetched::Rows(rows) => rows.into_iter().for_each(|row| self.add(row)),
                    Fetched::Restarted => self.rows.clear(),
                    Fetched::End => self.ended = true,
                }
                self.dirty = true;
            }
            if self.leave()? {
                return if self.ended { Ok(()) } else { run.cancel().await };
            }
            if self.dirty {
                self.draw(run.job())?;
                self.dirty = false;
            }
        }
    }

    fn add(&mut self, row: Row) {
        self.changes += 1;
        if self.mode == ResultMode::Table && row.kind.weight() < 0 {
            // The newest equal row goes: the same that an update has just put there.
            if let Some(position) = self.rows.iter().rposition(|other| other.cells == row.cells) {
                self.rows.remove(position);
            }
            return;
        }
        self.rows.push(row);
        if self.rows.len() > MAX_ROWS {
            self.rows.drain(..MAX_ROWS / 10);
        }
    }

    /// Handles the keys that were pressed. True: the user leaves.
    fn leave(&mut self) -> Result<bool, Failure> {
        let mut wait = if self.ended { TICK } else { Duration::ZERO };
        while poll(wait)? {
            wait = Duration::ZERO;
            self.dirty = true;
            let Event::Key(key) = read()? else { continue };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            let page = body_height()?;
            let last_top = self.rows.len().saturating_sub(page);
            let top = self.top.unwrap_or(last_top);
            match key.code {
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Ok(true),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(true),
                KeyCode::Up => self.top = Some(top.saturating_sub(1)),
                KeyCode::Down => self.scroll_down(top + 1, last_top),
                KeyCode::PageUp => self.top = Some(top.saturating_sub(page)),
                KeyCode::PageDown => self.scroll_down(top + page, last_top),
                KeyCode::Home | KeyCode::Char('g') => self.top = Some(0),
                KeyCode::End | KeyCode::Char('G') => self.top = None,
                _ => {}
            }
        }
        Ok(false)
    }

    fn scroll_down(&mut self, top: usize, last_top: usize) {
        self.top = (top < last_top).then_some(top);
    }

    fn draw(&self, job: impl std::fmt::Display) -> Result<(), Failure> {
        let (width, _) = terminal::size()?;
        let page = body_height()?;
        let top = self.top.unwrap_or(usize::MAX).min(self.rows.len().saturating_sub(page));
        let mut lines = vec![
            format!(
                "{} rows, {} changes, {} s, {}, job {job}",
                self.rows.len(),
                self.changes,
                self.began.elapsed().as_secs(),
                if self.ended { "finished" } else { "running" },
            ),
            self.table.header(),
            self.table.rule(),
        ];
        for row in self.rows.iter().skip(top).take(page) {
            let mut cells = with_kind(row);
            if self.mode == ResultMode::Table {
                cells.remove(0);
            }
            lines.push(self.table.line(&cells));
        }
        let mut out = stdout().lock();
        execute!(out, cursor::MoveTo(0, 0))?;
        for line in lines {
            write!(out, "{}\x1b[K\r\n", cut(&line, usize::from(width)))?;
        }
        write!(out, "\x1b[JQ quit   Up/Down PgUp/PgDn Home/End scroll")?;
        Ok(out.flush()?)
    }
}

/// Lines for rows: the screen without the three above and the one below.
fn body_height() -> Result<usize, Failure> {
    Ok(usize::from(terminal::size()?.1).saturating_sub(4).max(1))
}
