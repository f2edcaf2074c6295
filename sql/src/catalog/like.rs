//! `LIKE source (INCLUDING …, EXCLUDING …, OVERWRITING …)`.
use wiesel_expressions::types::{TimeAttribute, TypeKind};

use super::{ObjectIdentifier, ResolvedColumn, ResolvedColumnKind, ResolvedTable};
use crate::error::{Error, Result};
use crate::rex::{Expression, Node};

/// What of a table is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Including,
    Excluding,
    Overwriting,
}

/// The strategy for each feature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    constraints: Strategy,
    generated: Strategy,
    metadata: Strategy,
    options: Strategy,
    partitions: Strategy,
    watermarks: Strategy,
}

impl Inherited {
    /// Reads `INCLUDING ALL`, `EXCLUDING OPTIONS` and so on.
    pub(super) fn parse(clauses: &[String]) -> Result<Self> {
        let word = |clause: &String| {
            let (strategy, feature) = clause.split_once(' ').unwrap_or((clause.as_str(), ""));
            let strategy = match strategy {
                "INCLUDING" => Strategy::Including,
                "EXCLUDING" => Strategy::Excluding,
                "OVERWRITING" => Strategy::Overwriting,
                _ => return Err(unknown(clause)),
            };
            Ok((strategy, feature.trim().to_owned(), clause.clone()))
        };
        let clauses = clauses.iter().map(word).collect::<Result<Vec<_>>>()?;
        let all = clauses.iter().find(|(_, feature, _)| feature == "ALL").map(|(strategy, ..)| *strategy);
        let rest = all.unwrap_or(Strategy::Including);
        let mut inherited = Self {
            constraints: rest,
            generated: rest,
            metadata: rest,
            options: all.unwrap_or(Strategy::Overwriting),
            partitions: rest,
            watermarks: rest,
        };
        for (strategy, feature, clause) in clauses {
            match feature.as_str() {
                "ALL" | "DISTRIBUTION" => {}
                "CONSTRAINTS" => inherited.constraints = strategy,
                "GENERATED" => inherited.generated = strategy,
                "METADATA" => inherited.metadata = strategy,
                "OPTIONS" => inherited.options = strategy,
                "PARTITIONS" => inherited.partitions = strategy,
                "WATERMARKS" => inherited.watermarks = strategy,
                _ => return Err(unknown(&clause)),
            }
        }
        Ok(inherited)
    }

    /// No option may be given again.
    pub(super) fn options_must_differ(&self) -> bool {
        self.options == Strategy::Including
    }

    /// Computed columns may take the place of inherited ones.
    pub(super) fn overwrites_generated(&self) -> bool {
        self.generated == Strategy::Overwriting
    }

    /// Metadata columns may take the place of inherited ones.
    pub(super) fn overwrites_metadata(&self) -> bool {
        self.metadata == Strategy::Overwriting
    }
}

fn unknown(clause: &str) -> Error {
    Error::validation(format!("LIKE does not know '{clause}'"), None)
}

/// The beginning of a new table: what it takes over from another.
///
/// # Errors
/// A computed column that is taken over reads a metadata column that is not.
pub(super) fn inherit(
    base: &ResolvedTable,
    inherited: &Inherited,
    identifier: ObjectIdentifier,
) -> Result<ResolvedTable> {
    let keeps = |strategy: Strategy| strategy != Strategy::Excluding;
    let kept: Vec<usize> = (0..base.columns.len())
        .filter(|index| match base.columns[*index].kind {
            ResolvedColumnKind::Physical(_) => true,
            ResolvedColumnKind::Metadata(_) => keeps(inherited.metadata),
            ResolvedColumnKind::Computed(_) => keeps(inherited.generated),
        })
        .collect();
    let place = |old: usize| kept.iter().position(|index| *index == old);
    let watermark =
        base.watermark.as_ref().filter(|_| keeps(inherited.watermarks)).and_then(|(rowtime, expression)| {
            let mut complete = true;
            let moved = expression.map_inputs(&mut |index, data_type| {
                complete &= place(index).is_some();
                Expression::input(place(index).unwrap_or(0), data_type.clone())
            });
            complete.then_some((place(*rowtime)?, moved))
        });
    let mut columns: Vec<_> = kept.iter().map(|index| base.columns[*index].clone()).collect();
    let mut physical = base.physical.clone();
    if !keeps(inherited.metadata) {
        columns.iter().try_for_each(|column| refuse_excluded(base, column))?;
    }
    if watermark.is_none()
        && let Some(rowtime) = base.watermark.as_ref().and_then(|(rowtime, _)| place(*rowtime))
    {
        let kind = &mut columns[rowtime].field.data_type.kind;
        if let TypeKind::Timestamp(_, time) | TypeKind::TimestampLtz(_, time) = kind {
            *time = TimeAttribute::Regular;
        }
    }
    let primary_key = if keeps(inherited.constraints) {
        base.primary_key.iter().filter_map(|index| place(*index)).collect()
    } else {
        for column in &base.primary_key {
            if let ResolvedColumnKind::Physical(index) = base.columns[*column].kind {
                physical[index].data_type.nullable = false;
            }
        }
        Vec::new()
    };
    Ok(ResolvedTable {
        identifier,
        columns,
        physical,
        metadata: if keeps(inherited.metadata) { base.metadata.clone() } else { Vec::new() },
        watermark_text: base.watermark_text.clone().filter(|_| watermark.is_some()),
        watermark,
        primary_key,
        partition_keys: if keeps(inherited.partitions) { base.partition_keys.clone() } else { Vec::new() },
        options: if keeps(inherited.options) { base.options.clone() } else { Default::default() },
        comment: base.comment.clone(),
    })
}

/// Refuses a computed column that reads metadata.
fn refuse_excluded(base: &ResolvedTable, column: &ResolvedColumn) -> Result<()> {
    let ResolvedColumnKind::Computed(expression) = &column.kind else { return Ok(()) };
    let mut read = None;
    inputs(expression, |input| read = read.or(input.checked_sub(base.physical.len())));
    let Some(metadata) = read else { return Ok(()) };
    let (name, missing) = (&column.field.name, &base.metadata[metadata].field.name);
    let message = format!("Invalid expression for computed column '{name}'.\nUnknown identifier '{missing}'");
    Err(Error::validation(message, None))
}

/// The inputs that an expression reads.
pub(super) fn inputs(expression: &Expression, mut each: impl FnMut(usize)) {
    expression.visit(&mut |part| {
        if let Node::Input(index) = part.node {
            each(index);
        }
    });
}
