//! What groups and windows are made of.
use std::collections::BTreeSet;

use super::digest::{Digest, Id};
use super::rows::{Identity, Rows};
use crate::rel::{Aggregate, Window};

/// What groups are made of, in the order in which state has it.
pub(crate) fn groups(digest: Digest, input: &Identity, keys: &[usize], aggregates: &[Aggregate]) -> Digest {
    let digest = digest.id(input.rows.id()).ids(keys.iter().map(|key| input.columns[*key]));
    digest.ids(aggregates.iter().map(|aggregate| call(aggregate, input)))
}

/// A row for each combination of keys, in whatever order they stand.
pub(crate) fn grouped(digest: Digest, input: &Identity, keys: &[usize]) -> Digest {
    let keys: BTreeSet<Id> = keys.iter().map(|key| input.columns[*key]).collect();
    digest.id(input.rows.id()).ids(keys)
}

/// The keys and the results of groups.
pub(crate) fn aggregated(rows: Id, input: &Identity, keys: &[usize], aggregates: &[Aggregate]) -> Identity {
    let keys = keys.iter().map(|key| Digest::new("key").id(rows).id(input.columns[*key]).finish());
    let results = aggregates.iter().map(|aggregate| Digest::new("of").id(rows).id(call(aggregate, input)).finish());
    Identity { rows: Rows::all(rows), columns: keys.chain(results).collect() }
}

/// A call of an aggregate function.
fn call(aggregate: &Aggregate, input: &Identity) -> Id {
    let digest = Digest::new("call").text(&aggregate.function).number(i64::from(aggregate.distinct));
    let digest = digest.ids(aggregate.arguments.iter().map(|argument| input.columns[*argument]));
    let digest = digest.ids(aggregate.filter.iter().map(|filter| input.columns[*filter]));
    digest.text(&aggregate.data_type.kind.to_string()).finish()
}

/// The windows into which rows are cut.
pub(crate) fn windows(input: &Identity, window: &Window, event_time: bool) -> Id {
    let lengths = [window.size, window.slide, window.offset, i64::from(event_time)];
    let digest = Digest::new(window.kind.as_str_name()).id(input.columns[window.time]);
    lengths.into_iter().fold(digest, Digest::number).finish()
}
