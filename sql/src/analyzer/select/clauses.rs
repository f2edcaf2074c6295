//! The clauses of a SELECT that are not there.
use sqlparser::ast::{Distinct, Select};

use super::super::places::{place_of, start_of_select};
use crate::error::{Error, Result};

/// Refuses them.
pub(super) fn refuse_unsupported(select: &Select) -> Result<()> {
    let place = start_of_select(select);
    let refused = |what: &str| Err(Error::unsupported(format!("{what} is not supported"), place));
    if matches!(select.distinct, Some(Distinct::On(_))) {
        return refused("DISTINCT ON");
    }
    if select.from.is_empty() && (select.selection.is_some() || select.having.is_some()) {
        let clause = if select.selection.is_some() { "WHERE" } else { "HAVING" };
        let at = select.selection.as_ref().or(select.having.as_ref()).and_then(place_of).or(place);
        let at = at.map(|place| place.start);
        let where_ = at.map_or_else(String::new, |at| format!(" at {at}"));
        let message =
            format!("Incorrect syntax near the keyword '{clause}'{where_}: it needs a FROM clause before it.");
        return Err(Error::Parse { message, location: at });
    }
    if select.top.is_some() {
        return refused("TOP");
    }
    if select.into.is_some() {
        return refused("SELECT INTO");
    }
    if select.qualify.is_some() {
        return refused("QUALIFY");
    }
    let hive = !select.lateral_views.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty();
    if hive || select.prewhere.is_some() || !select.connect_by.is_empty() {
        return refused("This clause of SELECT");
    }
    Ok(())
}
