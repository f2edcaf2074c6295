//! Conditions and conversion.
use super::{ANYWHERE, Evaluation, Function, special};
use crate::cast;
use crate::expression::conditional;
use crate::functions::comparing;

pub(super) const FUNCTIONS: &[Function] = &[
    special("COALESCE", &["COALESCE(any, ...)"], Evaluation::Lazy).lenient().untyped_null(ANYWHERE),
    special("IFNULL", &["IFNULL(any, any)"], Evaluation::Lazy).lenient().untyped_null(ANYWHERE),
    special("NULLIF", &["NULLIF(any, any)"], Evaluation::Kernel(conditional::nullif)).lenient().untyped_null(ANYWHERE),
    special("IF", &["IF(condition, any, any)"], Evaluation::Lazy).lenient(),
    special("GREATEST", &["GREATEST(any, ...)"], Evaluation::Kernel(comparing::extreme)),
    special("LEAST", &["LEAST(any, ...)"], Evaluation::Kernel(comparing::extreme)),
    special("CAST", &["CAST(any AS type)"], Evaluation::Kernel(cast::build)),
    special("TYPEOF", &["TYPEOF(any)", "TYPEOF(any, boolean)"], Evaluation::Rewritten)
        .lenient()
        .untyped_null(|index, _| index == 0),
    special("CURRENT_DATABASE", &["CURRENT_DATABASE()"], Evaluation::Rewritten),
    special("TRY_CAST", &["TRY_CAST(any AS type)"], Evaluation::Kernel(cast::build)),
];
