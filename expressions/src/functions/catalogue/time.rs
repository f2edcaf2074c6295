//! Functions of dates and times.
use super::Argument::{Exact, Int, Long, Text, Timestamp};
use super::Gives::{Kind, NotNull, Nullable, Of};
use super::result_type::{BIGINT, DATE, LTZ, PROCTIME, STRING, TIME, TIMESTAMP, to_ltz, watermark};
use super::{Evaluation, Function, function, special};
use crate::expression::Expression;
use crate::functions::{extract, formatting, temporal};
use crate::types::TypeKind;

/// A number of TO_TIMESTAMP_LTZ needs a type, a text does not.
fn takes_no_number(index: usize, operands: &[Expression]) -> bool {
    let is_text = |operand: &Expression| matches!(operand.data_type.kind, TypeKind::Char(_) | TypeKind::Varchar(_));
    index == 0 && operands.get(1).is_none_or(is_text)
}

/// A unit of EXTRACT that is a function of its own.
const fn unit(name: &'static str, forms: &'static [&'static str]) -> Function {
    special(name, forms, Evaluation::Kernel(extract::extract))
}

/// What the clock says.
const fn clock(name: &'static str, gives: super::Gives) -> Function {
    function(name, &[&[]], gives, temporal::clock).nullary().volatile()
}

pub(super) const FUNCTIONS: &[Function] = &[
    function("DATE_FORMAT", &[&[Timestamp, Text], &[Text, Text]], Nullable(STRING), formatting::date_format),
    function("TO_DATE", &[&[Text], &[Text, Text]], Nullable(DATE), formatting::to_date),
    function("TO_TIMESTAMP", &[&[Text], &[Text, Text]], Nullable(TIMESTAMP), formatting::to_timestamp),
    function(
        "TO_TIMESTAMP_LTZ",
        &[&[Exact], &[Exact, Int], &[Text], &[Text, Text], &[Text, Text, Text]],
        Of(to_ltz, "TIMESTAMP_LTZ as precise as is asked for"),
        formatting::to_timestamp_ltz,
    )
    .untyped_null(takes_no_number),
    function("FROM_UNIXTIME", &[&[Long], &[Long, Text]], Nullable(STRING), formatting::from_unixtime),
    function("UNIX_TIMESTAMP", &[&[], &[Text], &[Text, Text]], Kind(BIGINT), formatting::unix_timestamp)
        .nullary()
        .volatile_without_operands(),
    function("CONVERT_TZ", &[&[Text, Text, Text]], Nullable(STRING), formatting::convert_tz),
    unit("EXTRACT", &["EXTRACT(unit FROM datetime)", "EXTRACT(unit FROM interval)"]),
    unit("YEAR", &["YEAR(datetime)"]),
    unit("QUARTER", &["QUARTER(datetime)"]),
    unit("MONTH", &["MONTH(datetime)"]),
    unit("WEEK", &["WEEK(datetime)"]),
    unit("DAYOFYEAR", &["DAYOFYEAR(datetime)"]),
    unit("DAYOFMONTH", &["DAYOFMONTH(datetime)"]),
    unit("DAYOFWEEK", &["DAYOFWEEK(datetime)"]),
    unit("HOUR", &["HOUR(datetime)"]),
    unit("MINUTE", &["MINUTE(datetime)"]),
    unit("SECOND", &["SECOND(datetime)"]),
    special("TIMESTAMPADD", &["TIMESTAMPADD(unit, number, datetime)"], Evaluation::Kernel(temporal::add_units)),
    special("TIMESTAMPDIFF", &["TIMESTAMPDIFF(unit, datetime, datetime)"], Evaluation::Kernel(temporal::count_units)),
    clock("PROCTIME", NotNull(PROCTIME)),
    clock("NOW", NotNull(LTZ)),
    clock("CURRENT_ROW_TIMESTAMP", NotNull(LTZ)),
    clock("CURRENT_TIMESTAMP", NotNull(LTZ)),
    clock("LOCALTIMESTAMP", NotNull(TIMESTAMP)),
    clock("CURRENT_DATE", NotNull(DATE)),
    clock("CURRENT_TIME", NotNull(TIME)),
    clock("LOCALTIME", NotNull(TIME)),
    function(
        "CURRENT_WATERMARK",
        &[&[Timestamp]],
        Of(watermark, "as the rowtime attribute, without being one"),
        temporal::watermark,
    )
    .nullary()
    .lenient()
    .volatile(),
    special("SOURCE_WATERMARK", &["SOURCE_WATERMARK()"], Evaluation::Rewritten).nullary().lenient().volatile(),
];
