//! Whether the rows of a relation end.
use super::super::source::describe;
use crate::error::Result;
use crate::rel::{Rel, RelNode};

/// Whether all tables that it reads end.
///
/// # Errors
/// The options of a table, in Flink's words.
pub(crate) fn is_bounded(rel: &Rel) -> Result<bool> {
    match &rel.node {
        RelNode::Scan(scan) => Ok(describe(&scan.table)?.bounded),
        RelNode::Source(source) => Ok(describe(&source.table)?.bounded),
        RelNode::Values(_) => Ok(true),
        RelNode::Project(_)
        | RelNode::Filter(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Aggregate(_)
        | RelNode::WindowTableFunction(_)
        | RelNode::Union(_) => {
            for input in rel.node.relation().inputs() {
                if !is_bounded(input)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}
