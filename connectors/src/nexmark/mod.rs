//! `nexmark`: the event stream of the Nexmark benchmark, every draw fixed.
//!
//! - [`generator`]: event numbers to values, one draw at a time.
//! - `columns`: event numbers to Arrow arrays, only for the leaves that the plan asks for.
//! - `reader`: event numbers to batches, at a rate if one is asked for.
//!
//! Invariant: the values of event e depend on e and the options alone, never on which reader makes it, nor on which
//! columns are asked for.
use wiesel_expressions::expression::{Expression, Node};
use wiesel_expressions::types::{RowField, TypeKind, timestamp_unit};
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::operator::{Error, Result as TaskResult};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SplitEnumerator};
use wiesel_proto as proto;

use crate::connector::{Connector, ProjectionSupport, SourceDescription, TableDescription, check_options};
use crate::enumerator::OneSplitEach;
use crate::options::{Options, Result, invalid};

mod columns;
mod filter;
pub mod generator;
mod reader;
#[cfg(test)]
mod tests;

pub use generator::Settings;

const OPTIONS: [&str; 15] = [
    "auction.avg-size",
    "auction.hot-ratio.sellers",
    "auction.proportion",
    "base-time",
    "bid.avg-size",
    "bid.hot-ratio.auctions",
    "bid.hot-ratio.bidders",
    "bid.proportion",
    "events.num",
    "first-event.rate",
    "next-event.rate",
    "person.avg-size",
    "person.proportion",
    "rate.limited",
    "scan.parallelism",
];

/// The four columns of the table and the fields of each ROW.
const PERSON: [(&str, Leaf); 8] = [
    ("id", Leaf::Number),
    ("name", Leaf::Text),
    ("emailAddress", Leaf::Text),
    ("creditCard", Leaf::Text),
    ("city", Leaf::Text),
    ("state", Leaf::Text),
    ("dateTime", Leaf::Time),
    ("extra", Leaf::Text),
];
const AUCTION: [(&str, Leaf); 10] = [
    ("id", Leaf::Number),
    ("itemName", Leaf::Text),
    ("description", Leaf::Text),
    ("initialBid", Leaf::Number),
    ("reserve", Leaf::Number),
    ("dateTime", Leaf::Time),
    ("expires", Leaf::Time),
    ("seller", Leaf::Number),
    ("category", Leaf::Number),
    ("extra", Leaf::Text),
];
const BID: [(&str, Leaf); 7] = [
    ("auction", Leaf::Number),
    ("bidder", Leaf::Number),
    ("price", Leaf::Number),
    ("channel", Leaf::Text),
    ("url", Leaf::Text),
    ("dateTime", Leaf::Time),
    ("extra", Leaf::Text),
];

#[derive(Clone, Copy, PartialEq)]
enum Leaf {
    Number,
    Text,
    Time,
}

/// The connector.
pub(crate) struct Nexmark;

impl Connector for Nexmark {
    fn identifier(&self) -> &'static str {
        "nexmark"
    }

    fn describe_source(&self, table: &TableDescription) -> Option<Result<SourceDescription>> {
        Some(describe(table))
    }

    fn reader(&self, spec: &proto::SourceSpec, _formats: &dyn BulkFormats) -> TaskResult<Box<dyn SourceReader>> {
        reader(spec)
    }

    fn enumerator(&self, spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
        enumerator(spec, context)
    }
}

/// What the table can do.
fn describe(table: &TableDescription) -> Result<SourceDescription> {
    check_options(table, "nexmark", &OPTIONS)?;
    let options = Options::new(&table.options);
    let settings = settings(options)?;
    check_schema(&table.physical)?;
    let parallelism = crate::connector::parallelism(table, "scan.parallelism")?;
    let source = SourceDescription::plain(settings.events != u64::MAX, parallelism, ProjectionSupport::Nested);
    Ok(source.with_filter(|condition| filter::kinds(condition).is_some()))
}

/// The time of the first event. Those of all others are added to it.
fn base_time(options: Options<'_>, default: i64) -> Result<i64> {
    const KEY: &str = "base-time";
    // The years 1 to 9999.
    const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
    match options.number::<i64>(KEY)? {
        Some(time) if !TIMES.contains(&time) => invalid(format!(
            "Option '{KEY}' must be milliseconds since 1970 of a time in the years 1 to 9999, from {} to {}, but was: {time}",
            TIMES.start(),
            TIMES.end()
        )),
        time => Ok(time.unwrap_or(default)),
    }
}

fn settings(options: Options<'_>) -> Result<Settings> {
    let default = Settings::default();
    let positive = |key: &str, default: i64| options.positive(key, default);
    let proportion = |key: &str, default: i64| -> Result<i64> {
        match options.number::<i64>(key)? {
            Some(n) if !(0..=i64::from(i32::MAX)).contains(&n) => {
                invalid(format!("Option '{key}' must be a number from 0 to {}, but was: {n}", i32::MAX))
            }
            n => Ok(n.unwrap_or(default)),
        }
    };
    let size =
        |key: &str, default: i64| -> Result<i64> { Ok(options.size(key)?.map_or(default, |n| n.min(1 << 19) as i64)) };
    let settings = Settings {
        events: options.number::<i64>("events.num")?.filter(|n| *n > 0).map_or(u64::MAX, |n| n as u64),
        rate: positive("first-event.rate", default.rate)?,
        rate_limited: options.boolean("rate.limited", false)?,
        base_time: base_time(options, default.base_time)?,
        persons: proportion("person.proportion", default.persons)?,
        auctions: positive("auction.proportion", default.auctions)?,
        bids: proportion("bid.proportion", default.bids)?,
        person_size: size("person.avg-size", default.person_size)?,
        auction_size: size("auction.avg-size", default.auction_size)?,
        bid_size: size("bid.avg-size", default.bid_size)?,
        hot_auctions: positive("bid.hot-ratio.auctions", default.hot_auctions)?,
        hot_bidders: positive("bid.hot-ratio.bidders", default.hot_bidders)?,
        hot_sellers: positive("auction.hot-ratio.sellers", default.hot_sellers)?,
    };
    positive("next-event.rate", default.rate)?;
    Ok(settings)
}

/// The table must be the one that the generator fills.
fn check_schema(physical: &[RowField]) -> Result<()> {
    let row = |fields: &[(&str, Leaf)], column: Option<&RowField>| match column.map(|column| &column.data_type.kind) {
        Some(TypeKind::Row(found)) => {
            found.len() == fields.len()
                && found.iter().zip(fields).all(|(found, (_, leaf))| match (&found.data_type.kind, leaf) {
                    (TypeKind::Bigint, Leaf::Number) | (TypeKind::Varchar(_) | TypeKind::Char(_), Leaf::Text) => true,
                    (TypeKind::Timestamp(p, _) | TypeKind::TimestampLtz(p, _), Leaf::Time) => {
                        timestamp_unit(*p) == arrow::datatypes::TimeUnit::Millisecond
                    }
                    _ => false,
                })
        }
        _ => false,
    };
    let kind = matches!(physical.first().map(|column| &column.data_type.kind), Some(TypeKind::Int));
    let rows = row(&PERSON, physical.get(1)) && row(&AUCTION, physical.get(2)) && row(&BID, physical.get(3));
    if physical.len() == 4 && kind && rows {
        return Ok(());
    }
    let spell = |fields: &[(&str, Leaf)]| {
        let fields = fields.iter().map(|(name, leaf)| {
            let data_type = match leaf {
                Leaf::Number => "BIGINT",
                Leaf::Text => "VARCHAR",
                Leaf::Time => "TIMESTAMP(3)",
            };
            format!("{name} {data_type}")
        });
        fields.collect::<Vec<_>>().join(", ")
    };
    invalid(format!(
        "The physical columns of a 'nexmark' table must be: event_type INT, person ROW<{}>, auction ROW<{}>, bid ROW<{}>",
        spell(&PERSON),
        spell(&AUCTION),
        spell(&BID)
    ))
}

/// The reader of one subtask.
fn reader(spec: &proto::SourceSpec) -> TaskResult<Box<dyn SourceReader>> {
    let settings = settings(Options::new(&spec.options))?;
    let physical = crate::connector::fields(spec.physical.as_ref())?;
    check_schema(&physical)?;
    let mut kinds = filter::ALL;
    for condition in &spec.filters {
        let condition = Expression::try_from(condition)?;
        let wanted = filter::kinds(&condition).ok_or_else(|| Error::Plan(unsupported_filter(&condition)))?;
        kinds = filter::both(kinds, wanted);
    }
    let plan = columns::Plan::new(&physical, &spec.projection)?;
    Ok(Box::new(reader::NexmarkReader::new(settings, kinds, plan)))
}

fn unsupported_filter(condition: &Expression) -> String {
    match &condition.node {
        Node::Call { function, .. } => format!("nexmark cannot apply a condition of '{function}' itself"),
        _ => "nexmark cannot apply this condition itself".to_owned(),
    }
}

/// Reader i starts at event i and takes every n-th.
fn enumerator(_spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
    let readers = u64::from(context.parallelism);
    let splits = (0..readers).map(|i| reader::encode(i, readers)).collect();
    Ok(Box::new(OneSplitEach::new(context.parallelism, splits)))
}
