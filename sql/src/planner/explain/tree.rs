//! Trees as text: `+- ` before the last child, `:- ` before the others.

/// Adds a line.
pub(super) fn line(lines: &mut String, prefix: &str, text: &str) {
    lines.push_str(prefix);
    lines.push_str(text);
    lines.push('\n');
}

/// Writes a child: `write` gets what stands before its own line and before the lines below it.
pub(super) fn child(lines: &mut String, prefix: &str, last: bool, write: impl FnOnce(&mut String, &str, &str)) {
    let (own, below) = if last { ("+- ", "   ") } else { (":- ", ":  ") };
    write(lines, &format!("{prefix}{own}"), &format!("{prefix}{below}"));
}
