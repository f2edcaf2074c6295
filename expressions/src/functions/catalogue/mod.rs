//! The catalogue of functions and operators: one entry each says what it is called, what it takes and gives, how it is computed
//! and how a plan shows it.
//!
//! The planner types and explains calls by it, tasks compute them by it, and `SHOW FUNCTIONS` and `docs/functions.md` list it. A
//! file holds the entries of a group. To add a function, write its kernel, add its entry, and print the page anew.
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::Build;
use crate::expression::Expression;

mod aggregates;
mod bitmaps;
mod collections;
mod conditions;
mod json;
mod numbers;
mod operators;
mod result_type;
mod text;
mod time;
mod windows;

pub use result_type::{Gives, varying};

/// What an argument may be; values of some kinds are cast to one that evaluation knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Anything.
    Any,
    /// CHAR, VARCHAR.
    Text,
    /// BINARY, VARBINARY.
    Bytes,
    /// Any number.
    Number,
    /// An integer or a DECIMAL.
    Exact,
    /// An integer, taken as INT.
    Int,
    /// An integer, taken as BIGINT.
    Long,
    /// A number, taken as DOUBLE.
    Double,
    /// TIMESTAMP, TIMESTAMP_LTZ.
    Timestamp,
    /// ARRAY.
    Array,
    /// ARRAY of CHAR or VARCHAR.
    Texts,
    /// ARRAY whose elements have an order.
    Sortable,
    /// MAP.
    Map,
    /// An INT, SMALLINT or TINYINT, taken as INT.
    Index,
    /// BOOLEAN.
    Boolean,
    /// ARRAY of INT, SMALLINT or TINYINT, taken as ARRAY of INT.
    Ints,
    /// BITMAP.
    Bitmap,
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Number => "number",
            Self::Exact => "exact",
            Self::Int | Self::Long | Self::Index => "integer",
            Self::Double => "double",
            Self::Timestamp => "timestamp",
            Self::Array => "array",
            Self::Texts => "array of text",
            Self::Sortable => "array of comparable",
            Self::Map => "map",
            Self::Boolean => "boolean",
            Self::Ints => "array of integer",
            Self::Bitmap => "bitmap",
        })
    }
}

/// What arguments have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Nothing.
    Free,
    /// The second is taken as an element of the first, which is an ARRAY.
    Element,
    /// All are taken as what they have in common.
    Common,
}

/// How a function is called.
#[derive(Clone, Copy)]
pub enum Written {
    /// By its name with arguments in parentheses.
    Call {
        /// What the arguments may be; the first form that takes them counts.
        forms: &'static [&'static [Argument]],
        /// As many arguments as one likes repeat the last of a form.
        variadic: bool,
        /// What it gives.
        gives: Gives,
    },
    /// By its name, but what it takes and gives is the analyser's to say: how it is written, to tell people.
    Special(&'static [&'static str]),
    /// By its name, over the rows of a group: how it is written and what it gives, to tell people.
    Aggregate {
        /// How it is written.
        forms: &'static [&'static str],
        /// What it gives.
        gives: &'static str,
    },
    /// Not by a name: an operator, or what the analyser makes of other syntax.
    Operator,
}

/// Whether equal operands always give equal results, so that a call of constants is a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Determinism {
    /// They do.
    Always,
    /// They do, but without operands it depends on the time.
    WithOperands,
    /// They do not.
    Never,
}

/// How a plan shows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// `NAME(a, b)`.
    Call,
    /// By another name: `-(a)`.
    Named(&'static str),
    /// Between its two operands in an execution plan, before them in others: `(a + b)`, `+(a, b)`.
    Infix(&'static str),
    /// Between all its operands in an execution plan, before them in others: `(a AND b AND c)`, `AND(a, b, c)`.
    Joined(&'static str),
    /// Behind its only operand in an execution plan, before it in others: `a IS NULL`, `IS NULL(a)`.
    Postfix(&'static str),
}

/// How a task computes a call.
#[derive(Clone, Copy)]
pub(crate) enum Evaluation {
    /// By a kernel over all operands.
    Kernel(Build),
    /// It does not evaluate all operands on all rows.
    Lazy,
    /// The analyser puts something else in its place.
    Rewritten,
}

/// Whether a NULL without a type may be the argument at an index, beside these.
pub type TakesUntypedNull = fn(usize, &[Expression]) -> bool;

/// A function or an operator.
#[derive(Clone, Copy)]
pub struct Function {
    /// What plans call it, in capitals; in SQL it has this name too, if it has one.
    pub name: &'static str,
    /// Its other names in SQL.
    pub aliases: &'static [&'static str],
    /// How it is called, and what it takes and gives.
    pub written: Written,
    /// What its arguments have to do with each other.
    pub agreement: Agreement,
    /// Whether equal operands give equal results.
    pub determinism: Determinism,
    /// Null whenever an operand is.
    pub is_strict: bool,
    /// Where Flink infers the type of a NULL from the signature of the function.
    pub takes_untyped_null: TakesUntypedNull,
    /// How a plan shows it.
    pub shown: Shown,
    /// Whether it may have no operands.
    pub(crate) takes_nothing: bool,
    /// It never fails, and to compute it costs less than to find the rows that need it.
    pub(crate) is_cheap: bool,
    pub(crate) evaluation: Evaluation,
}

impl Function {
    const fn new(name: &'static str, written: Written, evaluation: Evaluation) -> Self {
        Self {
            name,
            aliases: &[],
            written,
            agreement: Agreement::Free,
            determinism: Determinism::Always,
            is_strict: true,
            takes_untyped_null: |_, _| false,
            shown: Shown::Call,
            takes_nothing: false,
            is_cheap: false,
            evaluation,
        }
    }

    const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Its second argument is an element of the first.
    const fn of_element(self) -> Self {
        Self { agreement: Agreement::Element, ..self }
    }

    /// Its arguments are of one type.
    const fn of_common_type(self) -> Self {
        Self { agreement: Agreement::Common, ..self }
    }

    /// It may give something else than null where an operand is null.
    const fn lenient(self) -> Self {
        Self { is_strict: false, ..self }
    }

    /// Equal operands may give different results.
    const fn volatile(self) -> Self {
        Self { determinism: Determinism::Never, ..self }
    }

    const fn volatile_without_operands(self) -> Self {
        Self { determinism: Determinism::WithOperands, ..self }
    }

    /// It may have no operands.
    const fn nullary(self) -> Self {
        Self { takes_nothing: true, ..self }
    }

    /// It never fails and costs next to nothing.
    const fn cheap(self) -> Self {
        Self { is_cheap: true, ..self }
    }

    const fn untyped_null(self, takes_untyped_null: TakesUntypedNull) -> Self {
        Self { takes_untyped_null, ..self }
    }

    const fn shown(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    /// Whether SQL can call it by a name.
    pub fn has_name(&self) -> bool {
        !matches!(self.written, Written::Operator)
    }

    /// Its names in SQL.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let named = self.has_name();
        std::iter::once(self.name).chain(self.aliases.iter().copied()).filter(move |_| named)
    }
}

/// A function that is called with arguments, and is null if one of them is.
const fn function(name: &'static str, forms: &'static [&'static [Argument]], gives: Gives, kernel: Build) -> Function {
    Function::new(name, Written::Call { forms, variadic: false, gives }, Evaluation::Kernel(kernel))
}

/// One that takes as many arguments as one likes.
const fn variadic(name: &'static str, forms: &'static [&'static [Argument]], gives: Gives, kernel: Build) -> Function {
    Function::new(name, Written::Call { forms, variadic: true, gives }, Evaluation::Kernel(kernel))
}

/// One whose arguments or types the analyser knows.
const fn special(name: &'static str, forms: &'static [&'static str], evaluation: Evaluation) -> Function {
    Function::new(name, Written::Special(forms), evaluation)
}

/// One that has no name in SQL.
const fn operator(name: &'static str, kernel: Build) -> Function {
    Function::new(name, Written::Operator, Evaluation::Kernel(kernel))
}

/// For a function that takes a NULL without a type as any argument.
const ANYWHERE: TakesUntypedNull = |_, _| true;
/// For one that takes it as any argument but the first.
const BEHIND_FIRST: TakesUntypedNull = |index, _| index > 0;

/// The group of what cannot be called by a name.
pub const OPERATORS: &str = "Operators";

/// All functions, in the groups that people look for them in.
pub const GROUPS: &[(&str, &[Function])] = &[
    ("Text", text::FUNCTIONS),
    ("Numbers", numbers::FUNCTIONS),
    ("Time", time::FUNCTIONS),
    ("Conditions and conversion", conditions::FUNCTIONS),
    ("Collections", collections::FUNCTIONS),
    ("JSON", json::FUNCTIONS),
    ("Bitmaps", bitmaps::FUNCTIONS),
    ("Aggregates", aggregates::FUNCTIONS),
    ("Windows", windows::FUNCTIONS),
    (OPERATORS, operators::FUNCTIONS),
];

/// All functions and operators.
pub fn functions() -> impl Iterator<Item = &'static Function> {
    GROUPS.iter().flat_map(|(_, functions)| *functions)
}

/// The aggregate function that SQL calls by this name, in capitals, by the name that plans have for it.
pub fn aggregate(name: &str) -> Option<&'static str> {
    called(name).filter(|function| matches!(function.written, Written::Aggregate { .. })).map(|function| function.name)
}

/// The function that plans call by this name.
pub fn lookup(name: &str) -> Option<&'static Function> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> =
        LazyLock::new(|| functions().map(|function| (function.name, function)).collect());
    BY_NAME.get(name).copied()
}

/// The function that SQL calls by this name, in capitals.
pub fn called(name: &str) -> Option<&'static Function> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> =
        LazyLock::new(|| functions().flat_map(|function| function.names().map(move |name| (name, function))).collect());
    BY_NAME.get(name).copied()
}
