//! What comes behind a query as a whole: ORDER BY, then LIMIT.
use sqlparser::ast::Query;

use super::places::start_of;
use crate::error::{Error, Result};
use crate::rel::Rel;

/// ORDER BY.
pub(super) fn order_by(rows: Rel, query: &Query) -> Result<Rel> {
    match &query.order_by {
        Some(order) => {
            Err(Error::unsupported("ORDER BY is not supported", start_of(order).or_else(|| start_of(query))))
        }
        None => Ok(rows),
    }
}

/// LIMIT, OFFSET and FETCH.
pub(super) fn limit(rows: Rel, query: &Query) -> Result<Rel> {
    if query.limit_clause.is_some() || query.fetch.is_some() {
        let place = query.limit_clause.as_ref().and_then(start_of).or_else(|| start_of(query));
        return Err(Error::unsupported("LIMIT, OFFSET and FETCH are not supported", place));
    }
    Ok(rows)
}
