//! Rows as tables of text, as Flink's SQL client draws them.
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use wiesel_expressions::types::{RowField, TypeKind};

/// What stands for null.
pub(super) const NULL: &str = "<NULL>";

/// A table whose columns have fixed widths.
pub(super) struct Table {
    headers: Vec<String>,
    widths: Vec<usize>,
}

impl Table {
    /// A table that grows row by row: widths come from the types. `op` puts the kind of each row in front.
    pub fn streaming(fields: &[RowField], op: bool, max_width: usize) -> Self {
        let mut table = Self { headers: Vec::new(), widths: Vec::new() };
        if op {
            table.headers.push("op".to_owned());
            table.widths.push(2);
        }
        for field in fields {
            let width = type_width(&field.data_type.kind, max_width).max(NULL.len());
            table.widths.push(width.max(field.name.width()));
            table.headers.push(field.name.clone());
        }
        table
    }

    /// A table of columns whose widths are known.
    pub fn of(headers: Vec<String>, widths: Vec<usize>) -> Self {
        Self { headers, widths }
    }

    /// A table around rows that are all there.
    pub fn around(names: Vec<String>, rows: &[Vec<Option<String>>]) -> Self {
        let mut widths: Vec<usize> = names.iter().map(|name| name.width()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                let longest = cell.as_deref().unwrap_or(NULL).lines().map(|line| line.width()).max();
                *width = (*width).max(longest.unwrap_or(0));
            }
        }
        Self { headers: names, widths }
    }

    /// The line above, below and between.
    pub fn rule(&self) -> String {
        self.widths.iter().fold(String::from("+"), |rule, width| rule + &"-".repeat(width + 2) + "+")
    }

    /// The names.
    pub fn header(&self) -> String {
        self.line(&self.headers.iter().map(|header| Some(header.as_str())).collect::<Vec<_>>())
    }

    /// A row; values that are too wide end in `...`.
    pub fn line(&self, cells: &[Option<&str>]) -> String {
        let mut line = String::from("|");
        for (cell, width) in cells.iter().zip(&self.widths) {
            let cell = fit(cell.unwrap_or(NULL), *width);
            let padding = width.saturating_sub(cell.width());
            line.push(' ');
            line.extend(std::iter::repeat_n(' ', padding));
            line.push_str(&cell);
            line.push_str(" |");
        }
        line
    }
}

/// A text on one line: control characters become spaces.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text on one line, which ends in `...` where it is too wide.
pub(super) fn fit(text: &str, width: usize) -> String {
    let text = plain(text);
    if text.width() <= width {
        return text;
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 3 > width {
            break;
        }
        kept.push(c);
    }
    kept + "..."
}

/// As much of a line as fits on a screen of so many columns.
pub(super) fn cut(line: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = line.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    end.map_or(line, |(end, _)| &line[..end])
}

fn type_width(kind: &TypeKind, max_width: usize) -> usize {
    match kind {
        TypeKind::Tinyint => 4,
        TypeKind::Smallint => 6,
        TypeKind::Int => 11,
        TypeKind::Bigint => 20,
        TypeKind::Decimal(precision, _) => usize::from(*precision) + 2,
        TypeKind::Boolean => 5,
        TypeKind::Date => 10,
        TypeKind::Time(0) => 8,
        TypeKind::Time(precision) => usize::from(*precision) + 9,
        TypeKind::Timestamp(0, _) | TypeKind::TimestampLtz(0, _) => 19,
        TypeKind::Timestamp(precision, _) | TypeKind::TimestampLtz(precision, _) => usize::from(*precision) + 20,
        _ => max_width,
    }
}

/// `1 row`, `2 rows`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `1 row in set`, `Empty set`.
pub(super) fn row_count(rows: usize) -> String {
    match rows {
        0 => "Empty set".to_owned(),
        _ => format!("{} in set", counted(rows as u64, "row")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streaming_table_has_the_widths_of_its_types() {
        let fields = [RowField::new("a", TypeKind::Int.nullable()), RowField::new("u", TypeKind::string().nullable())];
        let table = Table::streaming(&fields, true, 30);
        assert_eq!(table.rule(), "+----+-------------+--------------------------------+");
        assert_eq!(table.header(), "| op |           a |                              u |");
        assert_eq!(
            table.line(&[Some("+I"), None, Some("äöü漢字")]),
            "| +I |      <NULL> |                        äöü漢字 |"
        );
        let long = "x".repeat(40);
        assert_eq!(
            table.line(&[Some("-U"), Some("1"), Some(&long)]),
            format!("| -U |           1 | {}... |", "x".repeat(27))
        );
    }

    #[test]
    fn a_line_is_cut_by_the_room_that_it_takes() {
        assert_eq!(cut("| abc |", 4), "| ab");
        assert_eq!(cut("| abc |", 7), "| abc |");
        assert_eq!(cut("漢字x", 4), "漢字");
        assert_eq!(cut("漢字x", 3), "漢");
        assert_eq!(cut("x", 0), "");
    }

    #[test]
    fn a_finished_table_is_as_wide_as_its_values() {
        let rows = vec![vec![Some("t".to_owned())], vec![None]];
        let table = Table::around(vec!["table name".to_owned()], &rows);
        assert_eq!(table.rule(), "+------------+");
        assert_eq!(table.line(&[Some("t")]), "|          t |");
        assert_eq!(row_count(2), "2 rows in set");
        assert_eq!([0, 1, 2].map(|count| counted(count, "change")), ["0 changes", "1 change", "2 changes"]);
    }
}
