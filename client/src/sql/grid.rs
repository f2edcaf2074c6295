//! A result on the screen: its rows below each other, or one of them alone, a line a column. Which part of it is seen follows
//! from the keys that were pressed.
use crossterm::event::KeyCode;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use wiesel_expressions::types::RowField;

use super::executor::with_kind;
use super::fetch::Row;
use super::format::{NULL, Table, fit, plain};

/// What the screen has for rows.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub columns: usize,
    pub rows: usize,
}

/// A line of the screen.
pub(super) struct Line {
    pub text: String,
    /// It is that of the row that the keys are at.
    pub marked: bool,
}

/// What is seen of a result.
pub(super) struct Grid {
    names: Vec<String>,
    /// How wide each column has been so far; none gets narrower while the result changes.
    widths: Vec<usize>,
    /// Rows have their kind in front.
    op: bool,
    /// A column is wider only where there is room left.
    max_width: usize,
    /// The row that the keys are at; none: the last one, whichever comes.
    selected: Option<usize>,
    /// The first row on the screen.
    top: usize,
    /// The first column on the screen.
    left: usize,
    open: Option<OpenRow>,
}

/// A row that has the screen to itself, as it was when it was opened.
struct OpenRow {
    cells: Vec<Option<String>>,
    number: usize,
    /// The first line on the screen.
    top: usize,
    /// Its lines on a screen so wide.
    lines: Option<(usize, Vec<String>)>,
}

impl Grid {
    /// The grid of a query with these columns.
    pub fn new(fields: &[RowField], op: bool, max_width: usize) -> Self {
        let kind = op.then(|| "op".to_owned());
        let names: Vec<String> = kind.into_iter().chain(fields.iter().map(|field| plain(&field.name))).collect();
        let widths = names.iter().map(|name| name.width()).collect();
        let max_width = max_width.max(NULL.len());
        Self { names, widths, op, max_width, selected: None, top: 0, left: 0, open: None }
    }

    /// Handles a key. True: the user leaves the result.
    pub fn press(&mut self, key: KeyCode, rows: &[Row], room: Room) -> bool {
        if let Some(open) = &mut self.open {
            match key {
                KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | 'Q') => self.open = None,
                key => open.top = moved(open.top, key, room.rows).unwrap_or(open.top),
            }
            return false;
        }
        match key {
            KeyCode::Esc | KeyCode::Char('q' | 'Q') => return true,
            KeyCode::Enter => self.open_row(rows),
            KeyCode::Left => self.left = self.left.saturating_sub(1),
            KeyCode::Right => {
                let last = self.shown(room.columns).last().map(|(column, _)| column + 1);
                if last < Some(self.names.len()) {
                    self.left += 1;
                }
            }
            key => {
                let last = rows.len().saturating_sub(1);
                if let Some(next) = moved(self.selected.unwrap_or(last).min(last), key, room.rows) {
                    self.selected = (next <= last).then_some(next);
                }
            }
        }
        false
    }

    /// Which columns are seen, where that is not all.
    pub fn part(&self, room: Room) -> String {
        let shown = self.shown(room.columns);
        match (&self.open, shown.as_slice()) {
            (None, [(first, _), .., (last, _)]) if shown.len() < self.names.len() => {
                format!(", columns {}-{} of {}", first + 1, last + 1, self.names.len())
            }
            (None, [(only, _)]) if self.names.len() > 1 => format!(", column {} of {}", only + 1, self.names.len()),
            _ => String::new(),
        }
    }

    /// What the keys do.
    pub fn help(&self) -> &'static str {
        match self.open {
            Some(_) => "Q back   Up/Down PgUp/PgDn Home/End scroll",
            None => "Q quit   Up/Down PgUp/PgDn Home/End rows   Left/Right columns   Enter a row",
        }
    }

    /// The lines of the screen, those of the header included.
    pub fn lines(&mut self, rows: &[Row], room: Room) -> Vec<Line> {
        if self.open.is_some() { self.lines_of_row(room) } else { self.lines_of_rows(rows, room) }
    }

    fn lines_of_rows(&mut self, rows: &[Row], room: Room) -> Vec<Line> {
        let last_top = rows.len().saturating_sub(room.rows);
        let selected = self.selected.map(|row| row.min(rows.len().saturating_sub(1)));
        self.top = match selected {
            None => last_top,
            Some(row) => self.top.clamp((row + 1).saturating_sub(room.rows), row).min(last_top),
        };
        let page: Vec<_> = rows.iter().skip(self.top).take(room.rows).map(|row| cells(row, self.op)).collect();
        for row in &page {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(plain(cell.unwrap_or(NULL)).width());
            }
        }
        let shown = self.shown(room.columns);
        let headers = shown.iter().map(|(column, _)| self.names[*column].clone()).collect();
        let table = Table::of(headers, shown.iter().map(|(_, width)| *width).collect());
        let mut lines = vec![line(table.header()), line(table.rule())];
        for (number, row) in page.iter().enumerate() {
            let row: Vec<_> = shown.iter().map(|(column, _)| row.get(*column).copied().flatten()).collect();
            lines.push(Line { text: table.line(&row), marked: selected == Some(self.top + number) });
        }
        lines
    }

    /// The columns from the leftmost on that have room, with their widths. Room that is left goes to those that are cut.
    fn shown(&self, room: usize) -> Vec<(usize, usize)> {
        let mut used = 1;
        let mut shown: Vec<(usize, usize)> = Vec::new();
        for (column, width) in self.widths.iter().enumerate().skip(self.left) {
            let width = (*width).min(self.max_width);
            if used + width + 3 > room && !shown.is_empty() {
                break;
            }
            used += width + 3;
            shown.push((column, width));
        }
        for (column, width) in &mut shown {
            let more = (self.widths[*column] - *width).min(room.saturating_sub(used));
            *width += more;
            used += more;
        }
        shown
    }

    fn open_row(&mut self, rows: &[Row]) {
        let last = rows.len().saturating_sub(1);
        let number = self.selected.unwrap_or(last).min(last);
        if let Some(row) = rows.get(number) {
            let cells = cells(row, self.op).into_iter().map(|cell| cell.map(str::to_owned)).collect();
            self.open = Some(OpenRow { cells, number: number + 1, top: 0, lines: None });
        }
    }

    fn lines_of_row(&mut self, room: Room) -> Vec<Line> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let wrapped = match open.lines.take() {
            Some((columns, lines)) if columns == room.columns => lines,
            _ => lines_of_cells(&self.names, &open.cells, room.columns),
        };
        open.top = open.top.min(wrapped.len().saturating_sub(room.rows));
        let mut lines = vec![line(format!("Row {}", open.number)), line(String::new())];
        lines.extend(wrapped.iter().skip(open.top).take(room.rows).cloned().map(line));
        open.lines = Some((room.columns, wrapped));
        lines
    }
}

fn line(text: String) -> Line {
    Line { text, marked: false }
}

/// The values of a row as they are seen.
fn cells(row: &Row, op: bool) -> Vec<Option<&str>> {
    let mut cells = with_kind(row);
    if !op {
        cells.remove(0);
    }
    cells
}

/// Where a key leads from a place; none: it does not concern places.
fn moved(from: usize, key: KeyCode, page: usize) -> Option<usize> {
    Some(match key {
        KeyCode::Up => from.saturating_sub(1),
        KeyCode::Down => from.saturating_add(1),
        KeyCode::PageUp => from.saturating_sub(page),
        KeyCode::PageDown => from.saturating_add(page),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => usize::MAX,
        _ => return None,
    })
}

/// Names and whole values, the latter on as many lines as they need.
fn lines_of_cells(names: &[String], cells: &[Option<String>], columns: usize) -> Vec<String> {
    let label = names.iter().map(|name| name.width()).max().unwrap_or(0).min(columns / 3);
    let mut lines = Vec::new();
    for (name, cell) in names.iter().zip(cells) {
        let name = fit(name, label);
        let mut before = format!("{name}{}: ", " ".repeat(label.saturating_sub(name.width())));
        for piece in wrapped(cell.as_deref().unwrap_or(NULL), columns.saturating_sub(label + 2)) {
            lines.push(format!("{before}{piece}"));
            before = " ".repeat(label + 2);
        }
    }
    lines
}

/// A text in pieces that are as wide as there is room; its own lines are kept apart.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    for line in text.split('\n') {
        let mut piece = String::new();
        let mut used = 0;
        for c in plain(line).chars() {
            let width = c.width().unwrap_or(0);
            if used + width > room && !piece.is_empty() {
                pieces.push(std::mem::take(&mut piece));
                used = 0;
            }
            piece.push(c);
            used += width;
        }
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use wiesel_expressions::row_kind::RowKind;
    use wiesel_expressions::types::TypeKind;

    use super::*;

    fn grid(names: &[&str], op: bool) -> Grid {
        let fields: Vec<_> = names.iter().map(|name| RowField::new(*name, TypeKind::string().nullable())).collect();
        Grid::new(&fields, op, 10)
    }

    fn row(cells: &[&str]) -> Row {
        Row { kind: RowKind::Insert, cells: cells.iter().map(|cell| Some((*cell).to_owned())).collect() }
    }

    fn texts(grid: &mut Grid, rows: &[Row], room: Room) -> Vec<String> {
        grid.lines(rows, room).into_iter().map(|line| line.text).collect()
    }

    fn marked(grid: &mut Grid, rows: &[Row], room: Room) -> Option<String> {
        grid.lines(rows, room).into_iter().find(|line| line.marked).map(|line| line.text)
    }

    /// Failed before: what did not fit on the screen could not be seen, and a value of 12 characters was cut beside free room.
    #[test]
    fn columns_are_as_wide_as_their_values_and_those_without_room_are_a_key_away() {
        let mut grid = grid(&["a", "text", "c"], false);
        let rows = [row(&["1", "a dozen chars", "x"]), row(&["2", "b", "y"])];
        let wide = Room { columns: 30, rows: 5 };
        let all = ["| a |          text | c |", "+---+---------------+---+", "| 1 | a dozen chars | x |"];
        assert_eq!(texts(&mut grid, &rows, wide)[..3], all);
        assert_eq!(grid.part(wide), "");
        assert!(!grid.press(KeyCode::Right, &rows, wide));
        assert_eq!(texts(&mut grid, &rows, wide)[..3], all, "nothing is hidden");

        let narrow = Room { columns: 18, rows: 5 };
        assert_eq!(texts(&mut grid, &rows, narrow)[2], "| 1 | a dozen... |");
        assert_eq!(grid.part(narrow), ", columns 1-2 of 3");
        grid.press(KeyCode::Right, &rows, narrow);
        assert_eq!(texts(&mut grid, &rows, narrow)[2], "| a dozen... | x |");
        grid.press(KeyCode::Right, &rows, narrow);
        assert_eq!(grid.part(narrow), ", columns 2-3 of 3", "the last one is there");
        grid.press(KeyCode::Left, &rows, narrow);
        assert_eq!(grid.part(narrow), ", columns 1-2 of 3");
        assert_eq!(grid.part(Room { columns: 6, rows: 5 }), ", column 1 of 3");
    }

    #[test]
    fn a_row_can_be_opened_and_shows_all_of_its_values() {
        let mut grid = grid(&["k", "text"], true);
        let long = "0123456789".repeat(4);
        let rows = [row(&["1", "x"]), row(&["2", &long])];
        let room = Room { columns: 30, rows: 3 };
        grid.press(KeyCode::Enter, &rows, room);
        assert_eq!(
            texts(&mut grid, &rows, room),
            ["Row 2", "", "op  : +I", "k   : 2", "text: 012345678901234567890123"],
            "the last row, for none is selected"
        );
        assert!(!grid.press(KeyCode::End, &rows, room));
        assert!(!grid.press(KeyCode::Down, &rows, room));
        // The row stays as it is, whatever becomes of the result.
        assert_eq!(texts(&mut grid, &[], room)[4], "      4567890123456789");
        assert!(!grid.press(KeyCode::Char('q'), &rows, room), "back to the rows");
        assert!(texts(&mut grid, &rows, room)[0].starts_with("| op | k |"));
        assert!(grid.press(KeyCode::Char('q'), &rows, room));
    }

    #[test]
    fn keys_move_from_row_to_row_and_the_end_is_followed() {
        let mut grid = grid(&["n"], false);
        let mut rows: Vec<Row> = (1..=9).map(|n| row(&[&n.to_string()])).collect();
        let room = Room { columns: 20, rows: 4 };
        assert_eq!(texts(&mut grid, &rows, room)[2..], ["| 6 |", "| 7 |", "| 8 |", "| 9 |"]);
        assert_eq!(marked(&mut grid, &rows, room), None);
        grid.press(KeyCode::Up, &rows, room);
        assert_eq!(marked(&mut grid, &rows, room).as_deref(), Some("| 8 |"));
        grid.press(KeyCode::PageUp, &rows, room);
        assert_eq!(texts(&mut grid, &rows, room)[2..], ["| 4 |", "| 5 |", "| 6 |", "| 7 |"]);
        rows.push(row(&["10"]));
        assert_eq!(marked(&mut grid, &rows, room).as_deref(), Some("| 4 |"), "it stays where it is");
        rows.truncate(2);
        assert_eq!(marked(&mut grid, &rows, room).as_deref(), Some("| 2 |"));
        grid.press(KeyCode::Home, &rows, room);
        assert_eq!(marked(&mut grid, &rows, room).as_deref(), Some("| 1 |"));
        grid.press(KeyCode::End, &rows, room);
        assert_eq!(marked(&mut grid, &rows, room), None, "the end again");
        grid.press(KeyCode::Up, &[], room);
        assert_eq!(texts(&mut grid, &[], room).len(), 2);
    }

    #[test]
    fn texts_are_wrapped_by_the_room_that_they_take() {
        assert_eq!(wrapped("abcde", 2), ["ab", "cd", "e"]);
        assert_eq!(wrapped("漢字x\n\ty", 4), ["漢字", "x", " y"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("ab", 0), ["a", "b"]);
    }
}
