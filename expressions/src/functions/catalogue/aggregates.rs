//! Aggregate functions: the analyser makes an operator of them, which keeps their accumulators.
use super::{Evaluation, Function, Written, special};

const fn aggregate(name: &'static str, forms: &'static [&'static str], gives: &'static str) -> Function {
    Function::new(name, Written::Aggregate { forms, gives }, Evaluation::Rewritten).lenient()
}

/// What functions of all rows' values give.
const AVERAGE: &str = "as the argument, DECIMAL with at least six digits after its point";
const ARGUMENT: &str = "as the argument";
const BITMAP: &str = "`BITMAP`, may be NULL";
const CARDINALITY: &str = "`BIGINT`, may be NULL";

pub(super) const FUNCTIONS: &[Function] = &[
    aggregate("COUNT", &["COUNT(*)", "COUNT([DISTINCT] any)"], "`BIGINT NOT NULL`"),
    aggregate(
        "APPROX_COUNT_DISTINCT",
        &["APPROX_COUNT_DISTINCT(any)"],
        "`BIGINT NOT NULL` in batch mode; refused in streaming mode, as in Flink",
    ),
    aggregate("SUM", &["SUM([DISTINCT] number)"], "as the argument, DECIMAL with 38 digits"),
    aggregate("SUM0", &["SUM0([DISTINCT] number)"], "as SUM, 0 where that is NULL"),
    aggregate("AVG", &["AVG([DISTINCT] number)"], AVERAGE),
    aggregate("MIN", &["MIN(comparable)"], ARGUMENT),
    aggregate("MAX", &["MAX(comparable)"], ARGUMENT),
    aggregate("STDDEV_POP", &["STDDEV_POP([DISTINCT] number)"], AVERAGE),
    aggregate("STDDEV_SAMP", &["STDDEV_SAMP([DISTINCT] number)"], AVERAGE).aliases(&["STDDEV"]),
    aggregate("VAR_POP", &["VAR_POP([DISTINCT] number)"], AVERAGE),
    aggregate("VAR_SAMP", &["VAR_SAMP([DISTINCT] number)"], AVERAGE).aliases(&["VARIANCE"]),
    aggregate("COLLECT", &["COLLECT([DISTINCT] any)"], "`MULTISET` of the argument, `NOT NULL`"),
    aggregate("LISTAGG", &["LISTAGG([DISTINCT] text)", "LISTAGG([DISTINCT] text, text)"], "as the first argument"),
    aggregate("FIRST_VALUE", &["FIRST_VALUE([DISTINCT] any)"], ARGUMENT),
    aggregate("LAST_VALUE", &["LAST_VALUE([DISTINCT] any)"], ARGUMENT),
    aggregate("ARRAY_AGG", &["ARRAY_AGG([DISTINCT] any [{IGNORE | RESPECT} NULLS])"], "`ARRAY` of the argument"),
    aggregate(
        "PERCENTILE",
        &[
            "PERCENTILE([DISTINCT] number, number)",
            "PERCENTILE([DISTINCT] number, array of number)",
            "PERCENTILE([DISTINCT] number, {number | array of number}, integer)",
        ],
        "`DOUBLE`, may be NULL; of an array `ARRAY<DOUBLE>`",
    ),
    aggregate(
        "JSON_OBJECTAGG",
        &["JSON_OBJECTAGG([KEY] text VALUE any [{NULL | ABSENT} ON NULL])"],
        "`VARCHAR(2000) NOT NULL`",
    ),
    aggregate("JSON_ARRAYAGG", &["JSON_ARRAYAGG(any [{NULL | ABSENT} ON NULL])"], "`VARCHAR(2000) NOT NULL`"),
    aggregate("BITMAP_BUILD_AGG", &["BITMAP_BUILD_AGG([DISTINCT] integer)"], BITMAP),
    aggregate("BITMAP_BUILD_CARDINALITY_AGG", &["BITMAP_BUILD_CARDINALITY_AGG([DISTINCT] integer)"], CARDINALITY),
    aggregate("BITMAP_AND_AGG", &["BITMAP_AND_AGG(bitmap)"], BITMAP),
    aggregate("BITMAP_AND_CARDINALITY_AGG", &["BITMAP_AND_CARDINALITY_AGG(bitmap)"], CARDINALITY),
    aggregate("BITMAP_OR_AGG", &["BITMAP_OR_AGG(bitmap)"], BITMAP),
    aggregate("BITMAP_OR_CARDINALITY_AGG", &["BITMAP_OR_CARDINALITY_AGG(bitmap)"], CARDINALITY),
    aggregate("BITMAP_XOR_AGG", &["BITMAP_XOR_AGG(bitmap)"], BITMAP),
    aggregate("BITMAP_XOR_CARDINALITY_AGG", &["BITMAP_XOR_CARDINALITY_AGG(bitmap)"], CARDINALITY),
    special("GROUPING", &["GROUPING(key, ...)"], Evaluation::Rewritten).lenient(),
    special("GROUPING_ID", &["GROUPING_ID(key, ...)"], Evaluation::Rewritten).lenient(),
    special("GROUP_ID", &["GROUP_ID()"], Evaluation::Rewritten).lenient(),
];
