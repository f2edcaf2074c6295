//! Which rows go to which consumer.
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use wiesel_common::keygroup;

use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

/// How a partition spreads its rows over its consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// To the only consumer.
    Forward,
    /// By the key group of the named columns, in order. The hash does not travel with the rows: consumers find their keys by another
    /// one, because all that they get has the few values of this one that fall into their key groups.
    Hash {
        /// Positions of the columns.
        keys: Vec<usize>,
        /// How many key groups.
        max_parallelism: u32,
    },
    /// In turn over all consumers.
    Rebalance,
    /// In turn over the consumers that belong to this producer.
    Rescale,
    /// To every consumer.
    Broadcast,
    /// To the first consumer.
    Global,
}

/// Takes batches apart by key group: one hash a row, a counting sort, one `take` a column for all consumers, then slices.
pub struct HashSelector {
    keys: Vec<usize>,
    max_parallelism: u32,
    /// The consumer of each key group.
    targets: Vec<u32>,
    consumers: usize,
    schema: SchemaRef,
    // Scratch.
    row_targets: Vec<u32>,
    starts: Vec<usize>,
}

impl HashSelector {
    /// For batches of `schema`.
    ///
    /// # Errors
    /// If a key is no column, or if there are no key groups or too many: room is made for each.
    pub fn new(keys: Vec<usize>, max_parallelism: u32, consumers: usize, schema: &SchemaRef) -> Result<Self> {
        if let Some(key) = keys.iter().find(|key| **key >= schema.fields().len()) {
            return Err(Error::Partition(format!("key column {key} of {} columns", schema.fields().len()).into()));
        }
        let most = keygroup::UPPER_BOUND_MAX_PARALLELISM;
        if !(1..=most).contains(&max_parallelism) {
            let message = format!("a maximum parallelism of {max_parallelism}: expected 1 to {most}");
            return Err(Error::Partition(message.into()));
        }
        let targets =
            (0..max_parallelism).map(|group| keygroup::subtask(group, consumers as u32, max_parallelism)).collect();
        Ok(Self {
            keys,
            max_parallelism,
            targets,
            consumers,
            schema: schema.clone(),
            row_targets: Vec::new(),
            starts: Vec::new(),
        })
    }

    /// The rows for each consumer that gets any, in the order in which they came.
    ///
    /// # Errors
    /// If a key is of a type that cannot be hashed.
    pub fn select(
        &mut self,
        batch: &RecordBatch,
        mut emit: impl FnMut(usize, RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let rows = batch.num_rows();
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| batch.column(*key).clone()).collect();
        let hashes = keygroup::hash_columns(&keys, rows).map_err(|error| Error::Partition(error.to_string().into()))?;

        self.row_targets.clear();
        self.row_targets
            .extend(hashes.iter().map(|hash| self.targets[keygroup::key_group(*hash, self.max_parallelism) as usize]));
        self.starts.clear();
        self.starts.resize(self.consumers + 1, 0);
        for target in &self.row_targets {
            self.starts[*target as usize + 1] += 1;
        }
        if let Some(only) = self.starts[1..].iter().position(|count| *count == rows) {
            return emit(only, self.batch(batch.columns().to_vec(), rows)?);
        }
        for consumer in 0..self.consumers {
            self.starts[consumer + 1] += self.starts[consumer];
        }
        let order = self.scatter(rows);
        let columns = batch.columns().iter().map(|column| take(column, &order, None)).collect::<Result<Vec<_>, _>>()?;
        let sorted = self.batch(columns, rows)?;
        // `scatter` moved each start to the end of its consumer's rows.
        let mut start = 0;
        for consumer in 0..self.consumers {
            let end = self.starts[consumer];
            if end > start {
                emit(consumer, sorted.slice(start, end - start))?;
            }
            start = end;
        }
        Ok(())
    }

    /// The rows sorted by consumer, stably.
    fn scatter(&mut self, rows: usize) -> UInt32Array {
        let mut order = vec![0_u32; rows];
        for (row, target) in self.row_targets.iter().enumerate() {
            let at = &mut self.starts[*target as usize];
            order[*at] = row as u32;
            *at += 1;
        }
        order.into()
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// Deals batches out in turn. Large ones are cut so that every consumer gets a share.
#[derive(Debug)]
pub struct RoundRobin {
    next: usize,
    consumers: usize,
}

/// Rows that are not cut any further.
const MIN_SHARE: usize = 1024;

impl RoundRobin {
    /// Starts at a consumer that differs between producers.
    pub fn new(producer: u32, consumers: usize) -> Self {
        Self { next: producer as usize % consumers.max(1), consumers }
    }

    /// Calls `emit` with each share.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn select(&mut self, batch: RecordBatch, mut emit: impl FnMut(usize, RecordBatch) -> Result<()>) -> Result<()> {
        let rows = batch.num_rows();
        let shares = (rows / MIN_SHARE).clamp(1, self.consumers);
        for share in 0..shares {
            let (start, end) = (rows * share / shares, rows * (share + 1) / shares);
            let target = self.next;
            self.next = (self.next + 1) % self.consumers;
            emit(target, if shares == 1 { batch.clone() } else { batch.slice(start, end - start) })?;
        }
        Ok(())
    }
}
