//! What makes windows in FROM: the analyser makes an operator of it.
use super::{Evaluation, Function, special};

pub(super) const FUNCTIONS: &[Function] = &[
    special("TUMBLE", &["TUMBLE(TABLE t, DESCRIPTOR(column), size [, offset])"], Evaluation::Rewritten),
    special("HOP", &["HOP(TABLE t, DESCRIPTOR(column), slide, size [, offset])"], Evaluation::Rewritten),
    special("CUMULATE", &["CUMULATE(TABLE t, DESCRIPTOR(column), step, size [, offset])"], Evaluation::Rewritten),
    special("DESCRIPTOR", &["DESCRIPTOR(column)"], Evaluation::Rewritten),
];
