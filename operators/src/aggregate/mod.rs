//! Aggregate functions over groups.
//!
//! A group is a dense number ([`keys`] gives it out); an aggregate function keeps its accumulators in columns that are
//! indexed by group, and handles a batch of rows in one call. [`Aggregates`] is all functions of one operator.
//!
//! Each function whose accumulator is a fixed number of columns can be split into a local and a global part:
//! [`accumulator_types`] says which columns cross between them. Each function, without exception, can save and load what it
//! keeps of a group, bit for bit: [`state_types`] says in which columns.
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};
use wiesel_proto as proto;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeptBack, KeyedBackend, SnapshotOptions};

use self::distinct::Distinct;
use self::keeps_rows::{KeepsRows, RowsRequest};
use self::keys::KeyStore;
use self::spill::{Keeping, KeyedBatch};
use crate::operator::{Error, Result};
use crate::state::write_back::Backend;

mod avg;
mod bitmap_agg;
mod collect;
mod count;
mod counted_rows;
mod distinct;
mod distinct_ages;
mod first_last;
mod json_agg;
mod keeps_rows;
mod kept;
pub(crate) mod key_bytes;
pub mod keys;
mod list_agg;
mod min_max;
mod min_max_retract;
pub(crate) mod nested;
mod number_hasher;
mod numbered_rows;
mod percentile;
mod physical;
mod saved;
pub(crate) mod spill;
mod sum;
#[cfg(test)]
mod tests;
mod values;
mod variance;

pub use physical::{physical_type, to_logical, to_physical};

/// Rows that go into groups.
pub struct Rows<'a> {
    /// The group of each row.
    pub groups: &'a [u32],
    /// The columns of the function's arguments.
    pub arguments: &'a [ArrayRef],
    /// Rows that take part; none: all.
    pub selected: Option<&'a BooleanBuffer>,
    /// +1 for a row that is added, -1 for one that is taken back; none: all are added.
    pub weights: Option<&'a [i8]>,
}

impl Rows<'_> {
    /// The rows that take part and whose arguments are not null; none: all.
    fn not_null(&self) -> Option<BooleanBuffer> {
        let selected = self.selected.map(|selected| NullBuffer::new(selected.clone()));
        let valid = self.arguments.iter().fold(selected, |valid, argument| {
            NullBuffer::union(valid.as_ref(), argument.logical_nulls().filter(|nulls| nulls.null_count() > 0).as_ref())
        });
        valid.map(NullBuffer::into_inner)
    }

    /// Calls `step(row, group, weight)` for each row that takes part.
    fn for_each(&self, step: impl FnMut(usize, usize, i64)) {
        self.visit(self.selected.cloned(), step);
    }

    /// Calls `step(row, group, weight)` for each row that takes part and whose arguments are not null.
    #[inline]
    fn for_each_not_null(&self, step: impl FnMut(usize, usize, i64)) {
        self.visit(self.not_null(), step);
    }

    /// The rows that take part, of groups for which this is true and of the others.
    fn parted(&self, is_one: impl Fn(u32) -> bool) -> (BooleanBuffer, BooleanBuffer) {
        let of_those: BooleanBuffer = self.groups.iter().map(|group| is_one(*group)).collect();
        let others = !&of_those;
        let taking_part = |part: BooleanBuffer| match self.selected {
            Some(selected) => selected & &part,
            None => part,
        };
        (taking_part(of_those), taking_part(others))
    }

    #[inline]
    fn visit(&self, rows: Option<BooleanBuffer>, mut step: impl FnMut(usize, usize, i64)) {
        match (rows, self.weights) {
            (None, None) => self.groups.iter().enumerate().for_each(|(row, group)| step(row, *group as usize, 1)),
            (None, Some(weights)) => {
                let rows = self.groups.iter().zip(weights).enumerate();
                rows.for_each(|(row, (group, weight))| step(row, *group as usize, i64::from(*weight)));
            }
            (Some(valid), weights) => valid.set_indices().for_each(|row| {
                let weight = weights.map_or(1, |weights| i64::from(weights[row]));
                step(row, self.groups[row] as usize, weight);
            }),
        }
    }
}

/// The accumulators of one aggregate function for all groups.
pub trait Accumulators: Send {
    /// Makes room for groups below this number; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Empties groups.
    fn reset(&mut self, groups: &[u32]);

    /// Adds rows to their groups or takes them back.
    fn update(&mut self, rows: &Rows<'_>) -> Result<()>;

    /// As [`Accumulators::update`], where the function may keep rows of its groups.
    fn update_keyed(&mut self, rows: &Rows<'_>, keyed: &KeyedBatch<'_>) -> Result<()> {
        let _ = keyed;
        self.update(rows)
    }

    /// Adds the content of each source group to the target group at the same position; sources stay as they are.
    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        let state = self.state(sources)?;
        self.merge(targets, &state)
    }

    /// The columns of the groups' accumulators, as [`accumulator_types`] gives them.
    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let _ = groups;
        Err(not_splittable())
    }

    /// Adds accumulators, one a row, to the groups.
    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let _ = (groups, state);
        Err(not_splittable())
    }

    /// All that is kept of the groups, one a row, in the columns that [`state_types`] gives.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Makes empty groups what they were when they were saved, bit for bit.
    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()>;

    /// How many bytes of columns a group takes.
    fn width(&self) -> usize;

    /// How many bytes all groups take besides, roughly.
    fn heap(&self) -> usize {
        0
    }

    /// How many bytes of that are in the results of the groups: of functions that put together what they are given.
    fn result_heap(&self) -> usize {
        0
    }

    /// The results of groups.
    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Whether results depend on the order in which values come.
    fn minds_order(&self) -> bool {
        true
    }

    /// Whether taking back all rows of a group leaves exactly an empty group. Sums of floating point numbers do not.
    fn retracts_exactly(&self) -> bool {
        true
    }

    /// The function as one that may keep rows of its groups, if it is.
    fn keeps_rows(&self) -> Option<&dyn KeepsRows> {
        None
    }

    /// The same, to change them.
    fn keeps_rows_mut(&mut self) -> Option<&mut dyn KeepsRows> {
        None
    }
}

fn not_splittable() -> Error {
    Error::Plan("the aggregate function cannot be split into a local and a global part".into())
}

/// The aggregate functions that are known, by the names of job graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Count,
    Sum,
    Sum0,
    Avg,
    Min,
    Max,
    FirstValue,
    LastValue,
    ListAgg,
    ArrayAgg,
    Collect,
    /// `JSON_OBJECTAGG` and `JSON_ARRAYAGG`.
    Json(json_agg::Shape),
    Percentile,
    /// `BITMAP_…_AGG`.
    Bitmap(bitmap_agg::Shape),
    Variance {
        sample: bool,
        root: bool,
    },
}

impl Function {
    fn of(call: &proto::AggregateCall) -> Result<Self> {
        match call.function.as_str() {
            "COUNT" => Ok(Self::Count),
            "SUM" => Ok(Self::Sum),
            "SUM0" | "$SUM0" => Ok(Self::Sum0),
            "AVG" => Ok(Self::Avg),
            "MIN" => Ok(Self::Min),
            "MAX" => Ok(Self::Max),
            "FIRST_VALUE" => Ok(Self::FirstValue),
            "LAST_VALUE" => Ok(Self::LastValue),
            "LISTAGG" => Ok(Self::ListAgg),
            "ARRAY_AGG" => Ok(Self::ArrayAgg),
            "COLLECT" => Ok(Self::Collect),
            "JSON_OBJECTAGG_NULL_ON_NULL" => Ok(Self::Json(json_agg::Shape { object: true, absent_on_null: false })),
            "JSON_OBJECTAGG_ABSENT_ON_NULL" => Ok(Self::Json(json_agg::Shape { object: true, absent_on_null: true })),
            "JSON_ARRAYAGG_NULL_ON_NULL" => Ok(Self::Json(json_agg::Shape { object: false, absent_on_null: false })),
            "JSON_ARRAYAGG_ABSENT_ON_NULL" => Ok(Self::Json(json_agg::Shape { object: false, absent_on_null: true })),
            "PERCENTILE" => Ok(Self::Percentile),
            "VAR_POP" => Ok(Self::Variance { sample: false, root: false }),
            "VAR_SAMP" | "VARIANCE" => Ok(Self::Variance { sample: true, root: false }),
            "STDDEV_POP" => Ok(Self::Variance { sample: false, root: true }),
            "STDDEV_SAMP" | "STDDEV" => Ok(Self::Variance { sample: true, root: true }),
            other => match bitmap_agg::Shape::of(other) {
                Some(shape) => Ok(Self::Bitmap(shape)),
                None => Err(Error::Plan(format!("aggregate function {other} is not supported"))),
            },
        }
    }

    /// What it keeps of a group has a fixed size: beside it, the values of DISTINCT are what grows.
    fn is_small(self) -> bool {
        matches!(self, Self::Count | Self::Sum | Self::Sum0 | Self::Avg | Self::Variance { .. })
    }

    /// What rows it may keep of groups, if what it keeps of one grows.
    fn rows_kept(self, distinct: bool, retract: bool) -> Option<RowsKept> {
        match self {
            _ if distinct && self.minds_duplicates() => self.is_small().then_some(RowsKept::Distinct),
            Self::Min | Self::Max if retract => Some(RowsKept::Best),
            Self::ListAgg | Self::ArrayAgg | Self::Collect => Some(RowsKept::All),
            _ => None,
        }
    }

    /// MIN and MAX are the same with and without DISTINCT.
    fn minds_duplicates(self) -> bool {
        !matches!(self, Self::Min | Self::Max)
    }
}

/// What rows a function keeps of a group, and which of them must be at hand when its result is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowsKept {
    /// Of the values of a DISTINCT, those that a batch brings or takes back.
    Distinct,
    /// Of the values of a MIN or MAX of changes, those that a batch brings or takes back, and few beside them.
    Best,
    /// All: the result is made of them.
    All,
}

impl RowsKept {
    /// A part of them is at hand, which needs memory beside the groups.
    fn is_in_part(self) -> bool {
        self != Self::All
    }
}

fn result_type(call: &proto::AggregateCall) -> Result<LogicalType> {
    let message = call.r#type.as_ref().ok_or_else(|| Error::Plan(format!("{} without a type", call.function)))?;
    LogicalType::try_from(message).map_err(|e| Error::Plan(e.to_string()))
}

fn argument_type(call: &proto::AggregateCall, input: &[RowField]) -> Result<LogicalType> {
    let column = call.arguments.first().and_then(|column| input.get(*column as usize));
    let column = column.ok_or_else(|| Error::Plan(format!("{} without a valid argument", call.function)))?;
    Ok(column.data_type.clone())
}

/// The types of the columns that hold a function's accumulator; none if no fixed number of columns can.
///
/// # Errors
/// The function is not known, or its call is malformed.
pub fn accumulator_types(call: &proto::AggregateCall, input: &[RowField]) -> Result<Option<Vec<LogicalType>>> {
    let function = Function::of(call)?;
    if call.distinct && function.minds_duplicates() {
        return Ok(None);
    }
    let bigint = || TypeKind::Bigint.not_null();
    Ok(Some(match function {
        Function::Count => vec![bigint()],
        Function::Sum | Function::Sum0 => vec![result_type(call)?.with_nullable(true)],
        Function::Avg => vec![avg::sum_type(&argument_type(call, input)?)?.nullable(), bigint()],
        Function::Min | Function::Max => vec![argument_type(call, input)?.with_nullable(true)],
        _ => return Ok(None),
    }))
}

/// The types of the columns in which what a function keeps of a group is saved; `retract` if rows can be taken back.
///
/// # Errors
/// The function is not known, or its call is malformed.
pub fn state_types(call: &proto::AggregateCall, input: &[RowField], retract: bool) -> Result<Vec<LogicalType>> {
    let function = Function::of(call)?;
    let bigint = || TypeKind::Bigint.not_null();
    let argument = || argument_type(call, input).map(|argument| argument.with_nullable(true));
    let plain = match function {
        Function::Count => vec![bigint()],
        Function::Sum | Function::Sum0 => vec![result_type(call)?.with_nullable(true), bigint()],
        Function::Avg => vec![avg::sum_type(&argument()?)?.nullable(), bigint()],
        Function::Min | Function::Max if retract => vec![saved::list_type([argument()?, bigint()])],
        Function::Min | Function::Max => vec![argument()?],
        Function::FirstValue | Function::LastValue => vec![saved::list_type([argument()?])],
        Function::ListAgg if retract => {
            vec![saved::list_type([TypeKind::string().nullable(), TypeKind::string().nullable()])]
        }
        Function::ListAgg => vec![TypeKind::string().nullable()],
        Function::ArrayAgg | Function::Collect => vec![saved::list_type([argument()?, TypeKind::Int.not_null()])],
        Function::Json(_) => vec![saved::list_type([TypeKind::string().nullable(), TypeKind::Int.not_null()])],
        Function::Percentile => percentile::state_types(),
        Function::Bitmap(_) => bitmap_agg::state_types(retract),
        Function::Variance { .. } => vec![bigint(), TypeKind::Double.not_null(), TypeKind::Double.not_null()],
    };
    if !(call.distinct && function.minds_duplicates()) {
        return Ok(plain);
    }
    let values = call.arguments.iter().map(|column| match input.get(*column as usize) {
        Some(field) => Ok(field.data_type.clone()),
        None => Err(Error::Plan(format!("{}: there is no column {column}", call.function))),
    });
    let values = values.chain([Ok(bigint())]).collect::<Result<Vec<_>>>()?;
    Ok([saved::list_type(values)].into_iter().chain(plain).collect())
}

/// Builds the accumulators of one call over rows of `input`.
fn accumulators(call: &proto::AggregateCall, input: &[RowField], retract: bool) -> Result<Box<dyn Accumulators>> {
    let function = Function::of(call)?;
    let result = result_type(call)?.kind.to_arrow();
    let argument = || Ok::<_, Error>(argument_type(call, input)?.kind.to_arrow());
    let plain = match function {
        Function::Count => Box::<count::Count>::default(),
        Function::Sum if retract => sum::build(&result, sum::Of::UpdatedRows)?,
        Function::Sum => sum::build(&result, sum::Of::Rows)?,
        Function::Sum0 => sum::build(&result, sum::Of::RowsAndZero)?,
        Function::Avg => avg::build(&argument()?, &result)?,
        Function::Min if retract => min_max_retract::build(&argument()?, true)?,
        Function::Max if retract => min_max_retract::build(&argument()?, false)?,
        Function::Min => min_max::build(&argument()?, true)?,
        Function::Max => min_max::build(&argument()?, false)?,
        Function::FirstValue => Box::new(first_last::FirstLast::new(&argument()?, true, retract)?),
        Function::LastValue => Box::new(first_last::FirstLast::new(&argument()?, false, retract)?),
        Function::ListAgg => Box::new(list_agg::ListAgg::new(retract)),
        Function::ArrayAgg | Function::Collect => Box::new(collect::Collect::new(&argument()?, &result)?),
        Function::Json(shape) => Box::new(json_agg::JsonAgg::new(shape)?),
        Function::Percentile => Box::new(percentile::Percentile::new(&result)?),
        Function::Bitmap(shape) => Box::new(bitmap_agg::BitmapAgg::new(shape, retract)),
        Function::Variance { sample, root } => Box::new(variance::Variance::new(&result, sample, root)),
    };
    if call.distinct && function.minds_duplicates() {
        let types = call.arguments.iter().map(|column| match input.get(*column as usize) {
            Some(field) => Ok(field.data_type.kind.to_arrow()),
            None => Err(Error::Plan(format!("{}: there is no column {column}", call.function))),
        });
        let nulls = function == Function::ArrayAgg;
        return Ok(Box::new(distinct::Distinct::new(plain, types.collect::<Result<_>>()?, nulls)?));
    }
    Ok(plain)
}

struct Call {
    arguments: Vec<usize>,
    filter: Option<usize>,
    /// How many columns the accumulator has; 0 if it cannot be split.
    columns: usize,
    /// In which columns it is saved.
    saved: Vec<LogicalType>,
    accumulators: Box<dyn Accumulators>,
}

/// All aggregate functions of one operator.
pub struct Aggregates {
    calls: Vec<Call>,
    specification: Vec<proto::AggregateCall>,
    input: Vec<RowField>,
    retract: bool,
    /// Milliseconds after which each value of a DISTINCT expires by itself; 0: with its group.
    ttl: i64,
}

impl Aggregates {
    /// Of these calls over rows of `input`; `retract` if rows can be taken back.
    ///
    /// # Errors
    /// A function is not known, does not take its argument's type, or refers to a column that is not there.
    pub fn new(calls: &[proto::AggregateCall], input: &[RowField], retract: bool) -> Result<Self> {
        let known = |column: &u32| match input.get(*column as usize) {
            Some(_) => Ok(*column as usize),
            None => Err(Error::Plan(format!("an aggregate refers to column {column} of {}", input.len()))),
        };
        let specification = calls.to_vec();
        let calls = calls.iter().map(|call| {
            let arguments = call.arguments.iter().map(known).collect::<Result<_>>()?;
            let filter = call.filter.as_ref().map(known).transpose()?;
            if filter.is_some_and(|column| input[column].data_type.kind != TypeKind::Boolean) {
                return Err(Error::Plan(format!("the filter of {} is not a BOOLEAN", call.function)));
            }
            let columns = accumulator_types(call, input)?.map_or(0, |types| types.len());
            let saved = state_types(call, input, retract)?;
            Ok(Call { arguments, filter, columns, saved, accumulators: accumulators(call, input, retract)? })
        });
        Ok(Self { calls: calls.collect::<Result<_>>()?, specification, input: input.to_vec(), retract, ttl: 0 })
    }

    /// The same functions without any group.
    pub fn afresh(&self) -> Result<Self> {
        Ok(Self::new(&self.specification, &self.input, self.retract)?.with_ttl(self.ttl))
    }

    /// With a time to live in milliseconds, if it is more than 0: as in Flink each value of a DISTINCT has its own.
    pub(crate) fn with_ttl(mut self, ttl: i64) -> Self {
        self.ttl = ttl;
        if ttl > 0 {
            self.distinct_mut().for_each(|distinct| distinct.expire_after(ttl));
        }
        self
    }

    /// The time of what comes next, where there is a time to live. It must not go back.
    pub(crate) fn set_time(&mut self, now: i64) {
        self.distinct_mut().for_each(|distinct| distinct.set_time(now));
    }

    /// Makes room for groups below this number.
    pub fn resize(&mut self, groups: usize) {
        self.calls.iter_mut().for_each(|call| call.accumulators.resize(groups));
    }

    /// Empties groups.
    pub fn reset(&mut self, groups: &[u32]) {
        self.calls.iter_mut().for_each(|call| call.accumulators.reset(groups));
    }

    /// Adds rows to their groups, or takes them back where the weight is negative.
    pub fn update(
        &mut self,
        records: &RecordBatch,
        groups: &[u32],
        selected: Option<&BooleanBuffer>,
        weights: Option<&[i8]>,
    ) -> Result<()> {
        self.update_with(records, groups, (selected, weights), None)
    }

    /// As [`Aggregates::update`], where functions may keep rows of their groups ([`Aggregates::open_rows`]).
    pub(crate) fn update_keyed(
        &mut self,
        records: &RecordBatch,
        groups: &[u32],
        selected: Option<&BooleanBuffer>,
        weights: Option<&[i8]>,
        keyed: &KeyedBatch<'_>,
    ) -> Result<()> {
        self.update_with(records, groups, (selected, weights), Some(keyed))
    }

    fn update_with(
        &mut self,
        records: &RecordBatch,
        groups: &[u32],
        (selected, weights): (Option<&BooleanBuffer>, Option<&[i8]>),
        keyed: Option<&KeyedBatch<'_>>,
    ) -> Result<()> {
        for call in &mut self.calls {
            let arguments: Vec<ArrayRef> =
                call.arguments.iter().map(|column| records.column(*column).clone()).collect();
            let filtered = call.filter.map(|column| {
                let filter = records.column(column).as_boolean();
                let passed = match filter.nulls() {
                    Some(nulls) => filter.values() & nulls.inner(),
                    None => filter.values().clone(),
                };
                selected.map_or(passed.clone(), |selected| selected & &passed)
            });
            let selected = filtered.as_ref().or(selected);
            let rows = Rows { groups, arguments: &arguments, selected, weights };
            match keyed {
                Some(keyed) => call.accumulators.update_keyed(&rows, keyed)?,
                None => call.accumulators.update(&rows)?,
            }
        }
        Ok(())
    }

    /// What rows each function may keep of its groups: where keys are in namespaces, or values expire, only DISTINCT can. Rows of
    /// others have neither, so that those of one key in several namespaces would be the same.
    fn rows_kept(&self, namespaces: bool) -> impl Iterator<Item = Option<RowsKept>> {
        let (retract, distinct_alone) = (self.retract, namespaces || self.ttl > 0);
        self.specification.iter().map(move |call| {
            let kept = Function::of(call).ok()?.rows_kept(call.distinct, retract)?;
            (kept == RowsKept::Distinct || !distinct_alone).then_some(kept)
        })
    }

    /// How many functions keep rows of which a part is at hand, and need memory for that. `namespaces`: keys are in some.
    pub(crate) fn row_caches(&self, namespaces: bool) -> usize {
        self.rows_kept(namespaces).filter(|kept| kept.is_some_and(RowsKept::is_in_part)).count()
    }

    /// Opens the tables of functions that may keep rows of their groups: from now on groups that have much keep it there.
    /// `budgets` are those of [`Aggregates::row_caches`]. `namespaces`: keys are in some.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub(crate) fn open_rows(
        &mut self,
        backend: &mut dyn KeyedBackend,
        key: &[LogicalType],
        max_parallelism: u32,
        budgets: impl IntoIterator<Item = CacheShare>,
        namespaces: bool,
    ) -> Result<()> {
        let once = !self.retract && (namespaces || self.ttl > 0);
        let keeping = Keeping { namespaces, ttl: self.ttl, once };
        let (kept, mut budgets) = (self.rows_kept(namespaces).collect::<Vec<_>>(), budgets.into_iter());
        for (at, kept) in kept.into_iter().enumerate() {
            let Some(kept) = kept else { continue };
            let call = &mut self.calls[at];
            let arguments: Vec<LogicalType> =
                call.arguments.iter().map(|column| self.input[*column].data_type.clone()).collect();
            let budget = kept.is_in_part().then(|| budgets.next()).flatten();
            if let Some(function) = call.accumulators.keeps_rows_mut() {
                let request = RowsRequest { at, key, arguments: &arguments, max_parallelism, budget, keeping };
                function.open_rows(backend, request)?;
            }
        }
        Ok(())
    }

    /// Goes on with the tables of others, which are the same functions.
    pub(crate) fn take_rows(&mut self, others: &mut Self) {
        for (call, other) in self.calls.iter_mut().zip(&mut others.calls) {
            let (function, other) = (call.accumulators.keeps_rows_mut(), other.accumulators.keeps_rows_mut());
            if let (Some(function), Some(other)) = (function, other) {
                function.take_rows(other);
            }
        }
    }

    fn with_rows(&mut self) -> impl Iterator<Item = &mut dyn KeepsRows> {
        self.calls.iter_mut().filter_map(|call| call.accumulators.keeps_rows_mut())
    }

    /// Reads the rows that groups need, which have just been loaded.
    pub(crate) fn load_rows(&mut self, keyed: &KeyedBatch<'_>) -> Result<()> {
        self.with_rows().try_for_each(|function| function.load_rows(keyed))
    }

    /// Makes rows of what those of these groups keep that have much. A batch has touched them, and is done.
    pub(crate) fn spill(&mut self, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        self.with_rows().try_for_each(|function| function.spill(keys, groups))
    }

    /// The same, where keys are in namespaces: by group that of its key. Returns the groups that now have rows, function after
    /// function.
    pub(crate) fn spill_in(&mut self, keys: &KeyStore, namespaces: &[i64], groups: &[u32]) -> Result<Vec<u32>> {
        let mut spilled = Vec::new();
        for distinct in self.distinct_mut() {
            spilled.extend(distinct.spill_in(keys, namespaces, groups)?);
        }
        Ok(spilled)
    }

    /// Writes rows that changed and are not at hand any more when their groups are not.
    pub(crate) fn flush_rows(&mut self, backend: &mut Backend, keys: &KeyStore) -> Result<()> {
        self.with_rows().try_for_each(|function| function.flush_rows(backend, keys))
    }

    /// Takes out the rows of groups, which are about to be emptied.
    pub(crate) fn clear_rows(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        self.with_rows().try_for_each(|function| function.clear_rows(backend, keys, groups))
    }

    fn distinct_mut(&mut self) -> impl Iterator<Item = &mut Distinct> {
        self.calls.iter_mut().filter_map(|call| call.accumulators.keeps_rows_mut()?.distinct_mut())
    }

    /// Takes out all rows of a namespace; tables have some of it in these key groups at most.
    pub(crate) fn drop_rows(&mut self, backend: &mut Backend, namespace: i64, key_groups: &[u16]) -> Result<()> {
        self.distinct_mut().try_for_each(|distinct| distinct.drop_namespace(backend, namespace, key_groups))
    }

    /// Drops rows from memory that have expired.
    pub(crate) fn expire_rows(&mut self, now: i64) {
        self.distinct_mut().for_each(|distinct| distinct.expire_rows(now));
    }

    /// Whether tables may have rows that are not at hand.
    pub(crate) fn may_have_rows(&self) -> bool {
        let mut distinct = self.calls.iter().filter_map(|call| call.accumulators.keeps_rows()?.distinct());
        distinct.any(Distinct::may_have_rows)
    }

    /// Drops rows from memory if they take too much.
    pub(crate) fn trim_rows(&mut self, backend: &mut Backend) -> Result<()> {
        self.with_rows().try_for_each(|function| function.trim_rows(backend))
    }

    /// For a snapshot: writes the rows that changed. Returns what is kept back instead.
    pub(crate) fn write_rows(
        &mut self,
        backend: &mut Backend,
        keys: &KeyStore,
        options: &SnapshotOptions,
    ) -> Result<Vec<KeptBack>> {
        self.flush_rows(backend, keys)?;
        let mut kept_back = Vec::new();
        for function in self.with_rows() {
            kept_back.extend(function.write_rows(backend, options)?);
        }
        Ok(kept_back)
    }

    /// How many bytes the rows take that are at hand beside what functions have of their groups.
    pub(crate) fn rows_size(&self) -> usize {
        let functions = self.calls.iter().filter_map(|call| call.accumulators.keeps_rows());
        functions.map(|function| function.rows_size()).sum()
    }

    /// Adds the content of each source group to the target group at the same position.
    pub fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        self.calls.iter_mut().try_for_each(|call| call.accumulators.merge_groups(targets, sources))
    }

    /// The same, where groups may have rows, with their keys in namespaces: by group that of its key. Once all are added,
    /// [`Aggregates::merge_rows`] makes the targets' results.
    pub(crate) fn merge_groups_in(&mut self, targets: &[u32], sources: &[u32], namespaces: &[i64]) -> Result<()> {
        self.distinct_mut().for_each(|distinct| distinct.note_merged(targets, sources, namespaces));
        self.merge_groups(targets, sources)
    }

    /// See [`Aggregates::merge_groups_in`]: reads the rows, a part at a time. The targets have their results then, and are not to be
    /// changed or saved.
    pub(crate) fn merge_rows(&mut self, backend: &mut Backend, keys: &KeyStore) -> Result<()> {
        self.distinct_mut().try_for_each(|distinct| distinct.merge_rows(backend, keys))
    }

    /// The columns of the groups' accumulators, function after function.
    pub fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let states = self.calls.iter().map(|call| call.accumulators.state(groups)).collect::<Result<Vec<_>>>()?;
        Ok(states.into_iter().flatten().collect())
    }

    /// Adds accumulators to groups: the columns that [`Aggregates::state`] gave.
    pub fn merge(&mut self, groups: &[u32], mut state: &[ArrayRef]) -> Result<()> {
        for call in &mut self.calls {
            let Some((columns, rest)) = state.split_at_checked(call.columns) else {
                return Err(Error::Plan("accumulators have too few columns".into()));
            };
            call.accumulators.merge(groups, columns)?;
            state = rest;
        }
        Ok(())
    }

    /// The types of the columns of [`Aggregates::save`].
    pub fn saved_types(&self) -> impl Iterator<Item = &LogicalType> {
        self.calls.iter().flat_map(|call| &call.saved)
    }

    /// All that is kept of the groups, one a row, function after function.
    pub fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let saved = self.calls.iter().map(|call| call.accumulators.save(groups)).collect::<Result<Vec<_>>>()?;
        Ok(saved.into_iter().flatten().collect())
    }

    /// Makes empty groups what they were when they were saved.
    pub fn load(&mut self, groups: &[u32], mut saved: &[ArrayRef]) -> Result<()> {
        for call in &mut self.calls {
            let Some((columns, rest)) = saved.split_at_checked(call.saved.len()) else {
                return Err(Error::Plan("saved accumulators have too few columns".into()));
            };
            call.accumulators.load(groups, columns)?;
            saved = rest;
        }
        Ok(())
    }

    /// How many bytes of columns a group takes.
    pub fn width(&self) -> usize {
        self.calls.iter().map(|call| call.accumulators.width()).sum()
    }

    /// How many bytes all groups take besides, roughly.
    pub fn heap(&self) -> usize {
        self.calls.iter().map(|call| call.accumulators.heap()).sum()
    }

    /// How many bytes of that are in results that may be long.
    pub fn result_heap(&self) -> usize {
        self.calls.iter().map(|call| call.accumulators.result_heap()).sum()
    }

    /// The results of groups, a column a function.
    pub fn evaluate(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.calls.iter().map(|call| call.accumulators.evaluate(groups)).collect()
    }

    /// Whether taking back all rows of a group leaves exactly an empty group.
    pub fn retract_exactly(&self) -> bool {
        self.calls.iter().all(|call| call.accumulators.retracts_exactly())
    }
}
