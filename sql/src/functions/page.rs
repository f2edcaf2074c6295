//! The page on functions in the docs, as the catalogue has them.
use wiesel_expressions::functions::catalogue::{Argument, Determinism, Function, GROUPS, OPERATORS, Written};

const HEAD: &str = "\
# Functions

*This page is what `cargo run -p wiesel-sql --example functions_page` prints from the catalogue of functions. `SHOW FUNCTIONS` has the same names.*

Where NULL is told to be given of NULL, it is whenever an argument is NULL. The other functions say what NULL means to them: `COALESCE` takes
the next argument. A call whose result is not the same each time is made for each row, and not while a statement is planned.
`SOURCE_WATERMARK()` is the whole of a WATERMARK declaration, or refused; no source here gives watermarks, so such a table is for writing.
";

/// The page.
pub fn page() -> String {
    let groups = GROUPS.iter().filter(|(group, _)| *group != OPERATORS);
    let mut page = HEAD.to_owned();
    for (group, functions) in groups {
        page.push_str(&format!("\n## {group}\n\n"));
        page.push_str("| call | result | NULL of NULL | same each time |\n| --- | --- | --- | --- |\n");
        functions.iter().for_each(|function| page.push_str(&row(function)));
    }
    page
}

fn row(function: &Function) -> String {
    let (calls, result): (Vec<String>, String) = match function.written {
        Written::Call { forms, variadic, gives } => {
            let more = if variadic { ", ..." } else { "" };
            let call = |form: &&[Argument]| {
                let arguments: Vec<String> = form.iter().map(ToString::to_string).collect();
                format!("{}({}{more})", function.name, arguments.join(", "))
            };
            (forms.iter().map(call).collect(), gives.to_string())
        }
        Written::Special(forms) => (forms.iter().map(ToString::to_string).collect(), "by the arguments".to_owned()),
        Written::Aggregate { forms, gives } => (forms.iter().map(ToString::to_string).collect(), gives.to_owned()),
        Written::Operator => return String::new(),
    };
    let calls: Vec<String> = calls.iter().map(|call| format!("`{}`", call.replace('|', "\\|"))).collect();
    let aliases: Vec<String> = function.aliases.iter().map(|alias| format!("`{alias}`")).collect();
    let aliases = if aliases.is_empty() { String::new() } else { format!("; also {}", aliases.join(", ")) };
    let is_strict = if function.is_strict { "yes" } else { "no" };
    let is_same = match function.determinism {
        Determinism::Always => "yes",
        Determinism::WithOperands => "with arguments",
        Determinism::Never => "no",
    };
    format!("| {}{aliases} | {result} | {is_strict} | {is_same} |\n", calls.join(", "))
}
