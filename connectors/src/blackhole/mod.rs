//! `blackhole`: takes rows and forgets them.
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Operator, Result as TaskResult};
use wiesel_proto as proto;

use crate::connector::{ChangelogMode, Connector, SinkDescription, TableDescription, check_options};
use crate::options::Result;

/// The connector.
pub(crate) struct Blackhole;

impl Connector for Blackhole {
    fn identifier(&self) -> &'static str {
        "blackhole"
    }

    fn describe_sink(&self, table: &TableDescription) -> Option<Result<SinkDescription>> {
        let description = SinkDescription { parallelism: None, changelog: ChangelogMode::Upsert, metadata: Vec::new() };
        Some(check_options(table, self.identifier(), &[]).map(|()| description))
    }

    fn sink(&self, _spec: &proto::SinkSpec, _uid: &[u8], _formats: &dyn BulkFormats) -> TaskResult<Box<dyn Operator>> {
        Ok(Box::new(BlackholeSink))
    }
}

/// The sink.
pub struct BlackholeSink;

impl Operator for BlackholeSink {
    fn process(&mut self, _input: usize, _batch: Batch, _out: &mut dyn Collector) -> TaskResult<()> {
        Ok(())
    }
}
