//! A result that takes the whole screen and changes as the query runs: the table it is now, or the changes to it.
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEventKind, KeyModifiers, poll, read,
};
use crossterm::{cursor, execute, terminal};
use wiesel_sql::session::QueryJob;

use super::fetch::{Fetched, QueryRun, Row};
use super::format::{counted, cut};
use super::grid::{Grid, Room};
use super::settings::ResultMode;
use crate::cli::Failure;
use crate::progress::LOOK;
use crate::terminal::{other_screen, unread};

/// How many rows a result keeps; older ones are dropped (`sql-client.execution.max-table-result.rows`).
const MAX_ROWS: usize = 1_000_000;
/// How long one look for rows or keys waits.
const TICK: Duration = Duration::from_millis(100);

/// Shows a query until it is left with `q`; a query that still runs is cancelled then. What was typed before, is pasted
/// meanwhile or was typed right behind the `q` is not meant for the view: it is added to `typed_ahead`.
pub(super) async fn show(
    mut run: QueryRun,
    query: &QueryJob,
    mode: ResultMode,
    max_width: usize,
    typed_ahead: &mut String,
) -> Result<(), Failure> {
    let mut view = View::new(query, mode, max_width);
    let outcome = view.on_screen(&mut run).await;
    typed_ahead.push_str(&view.set_aside);
    match &outcome {
        Ok(()) => println!("[INFO] Result retrieval {}.", if view.ended { "completed" } else { "cancelled" }),
        // What else ended it is told by the error: the user has not cancelled it.
        Err(_) => run.abandon().await,
    }
    outcome
}

/// The terminal in raw mode on its other screen, restored when dropped.
struct Screen;

impl Screen {
    fn open() -> Result<Self, Failure> {
        // From here on the terminal is put right again whatever fails.
        let screen = Self;
        crate::terminal::change(|| {
            terminal::enable_raw_mode()?;
            other_screen(true);
            execute!(stdout(), terminal::EnterAlternateScreen, cursor::Hide, EnableBracketedPaste)
        })?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to restore. A panic has been reported on the main screen already.
        if other_screen(false) {
            let _ = execute!(stdout(), DisableBracketedPaste, cursor::Show, terminal::LeaveAlternateScreen);
        }
        let _ = terminal::disable_raw_mode();
    }
}

struct View {
    grid: Grid,
    mode: ResultMode,
    rows: Vec<Row>,
    /// Changes seen in all.
    changes: u64,
    began: Instant,
    /// How long the query has run.
    took: Duration,
    /// What the job waits for, and when it was asked after that; not any more once there are rows.
    waits: Option<String>,
    asked: Instant,
    ended: bool,
    dirty: bool,
    /// Keys that are not meant for the view.
    set_aside: String,
}

impl View {
    fn new(query: &QueryJob, mode: ResultMode, max_width: usize) -> Self {
        let grid = Grid::new(&query.fields, mode == ResultMode::Changelog, max_width);
        let now = Instant::now();
        Self {
            grid,
            mode,
            rows: Vec::new(),
            changes: 0,
            began: now,
            took: Duration::ZERO,
            waits: None,
            asked: now,
            ended: false,
            dirty: true,
            set_aside: String::new(),
        }
    }

    /// Shows the query until it is left; then the terminal is as it was before.
    async fn on_screen(&mut self, run: &mut QueryRun) -> Result<(), Failure> {
        let _screen = Screen::open()?;
        // Not with the keys of the view: of many it sees the first thousand only, until there are more.
        self.set_aside.push_str(&unread());
        let outcome = self.run(run).await;
        // Where the terminal is gone nothing more is typed.
        let _ = self.set_keys_aside();
        outcome
    }

    /// Keeps the keys that there are for the prompt.
    fn set_keys_aside(&mut self) -> Result<(), Failure> {
        while poll(Duration::ZERO)? {
            type_again(&mut self.set_aside, read()?);
        }
        Ok(())
    }

    async fn run(&mut self, run: &mut QueryRun) -> Result<(), Failure> {
        loop {
            if !self.ended {
                match run.next(TICK).await? {
                    Fetched::Rows(rows) => rows.into_iter().for_each(|row| self.add(row)),
                    Fetched::Restarted => self.rows.clear(),
                    Fetched::End => self.ended = true,
                }
                self.took = self.began.elapsed();
                self.look_for_slots(run).await;
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

    /// While nothing comes: does the job run at all?
    async fn look_for_slots(&mut self, run: &QueryRun) {
        if self.changes > 0 {
            self.waits = None;
        } else if self.asked.elapsed() >= LOOK {
            self.waits = run.waits_for_slots().await;
            self.asked = Instant::now();
        }
    }

    /// How the query is.
    fn state(&self) -> &str {
        if self.ended { "finished" } else { self.waits.as_deref().unwrap_or("running") }
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
            let key = match read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => key,
                Event::Paste(text) => {
                    self.set_aside.push_str(&text);
                    continue;
                }
                _ => continue,
            };
            if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
                return Ok(true);
            }
            if self.grid.press(key.code, &self.rows, room()?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn draw(&mut self, job: impl std::fmt::Display) -> Result<(), Failure> {
        let room = room()?;
        let lines = self.grid.lines(&self.rows, room);
        let status = format!(
            "{}, {}, {} s, {}{}, job {job}",
            counted(self.rows.len() as u64, "row"),
            counted(self.changes, "change"),
            self.took.as_secs(),
            self.state(),
            self.grid.part(room),
        );
        let mut out = stdout().lock();
        execute!(out, cursor::MoveTo(0, 0))?;
        write!(out, "{}\x1b[K\r\n", cut(&status, room.columns))?;
        for line in lines {
            let text = cut(&line.text, room.columns);
            match line.marked {
                true => write!(out, "\x1b[7m{text}\x1b[0m\x1b[K\r\n")?,
                false => write!(out, "{text}\x1b[K\r\n")?,
            }
        }
        write!(out, "\x1b[J{}", cut(self.grid.help(), room.columns))?;
        Ok(out.flush()?)
    }
}

/// Adds to a text what was typed, as a terminal does that edits a line by itself.
fn type_again(text: &mut String, event: Event) {
    let key = match event {
        Event::Paste(pasted) => return text.push_str(&pasted),
        Event::Key(key) if key.kind == KeyEventKind::Press => key,
        _ => return,
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter => text.push('\n'),
        // A line feed: Enter before the terminal gave keys one by one.
        KeyCode::Char('j') if control => text.push('\n'),
        KeyCode::Char('c') if control => text.clear(),
        KeyCode::Char(c) if !control && !key.modifiers.contains(KeyModifiers::ALT) => text.push(c),
        KeyCode::Tab => text.push(' '),
        KeyCode::Backspace => {
            text.pop();
        }
        _ => {}
    }
}

/// What the screen has for rows: all but the three lines above them and the one below.
fn room() -> Result<Room, Failure> {
    let (columns, lines) = terminal::size()?;
    Ok(Room { columns: usize::from(columns), rows: usize::from(lines).saturating_sub(4).max(1) })
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_that_came_too_early_are_text_for_the_prompt() {
        let mut text = String::new();
        let key = |code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        let control = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
        let keys = [key(KeyCode::Char('x')), control('c'), key(KeyCode::Char('q')), key(KeyCode::Char('u'))];
        keys.into_iter().for_each(|event| type_again(&mut text, event));
        type_again(&mut text, key(KeyCode::Backspace));
        type_again(&mut text, Event::Paste("uit;\n".to_owned()));
        for event in [key(KeyCode::Up), Event::FocusGained, key(KeyCode::Enter), control('j')] {
            type_again(&mut text, event);
        }
        assert_eq!(text, "quit;\n\n\n");
    }
}
