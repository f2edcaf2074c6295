//! `blackhole`: takes rows and forgets them.
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Operator, Result as TaskResult};

use crate::factory::{ChangelogMode, SinkDescription, TableDescription, check_options};
use crate::options::Result;

/// What the table can do.
pub(crate) fn describe(table: &TableDescription) -> Result<SinkDescription> {
    check_options(table, "blackhole", &[])?;
    Ok(SinkDescription { parallelism: None, changelog: ChangelogMode::Upsert })
}

/// The sink.
pub struct BlackholeSink;

impl Operator for BlackholeSink {
    fn process(&mut self, _input: usize, _batch: Batch, _out: &mut dyn Collector) -> TaskResult<()> {
        Ok(())
    }
}
