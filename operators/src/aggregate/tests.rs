//! The functions that keep values or moments, as Apache Flink gave them.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use proptest::prelude::*;
use wiesel_expressions::expression::MAX_VALUE_BYTES;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind, to_arrow_schema};
use wiesel_proto as proto;

use super::keys::{KeyIndex, KeyStore};
use super::{Aggregates, RowsKept};
use crate::element::Batch;
use crate::testing::{batch, call, fields, rows_text};

fn input() -> Vec<RowField> {
    fields(&[
        ("i", TypeKind::Bigint.nullable()),
        ("s", TypeKind::string().nullable()),
        ("d", TypeKind::Double.nullable()),
        ("p", TypeKind::string().nullable()),
    ])
}

/// Of each row the integer also as text, as double, and a separator.
fn rows(values: &[Option<i64>]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(values.to_vec())),
        Arc::new(values.iter().map(|value| value.map(|value| value.to_string())).collect::<StringViewArray>()),
        Arc::new(values.iter().map(|value| value.map(|value| value as f64)).collect::<Float64Array>()),
        Arc::new(StringViewArray::from(vec!["|"; values.len()])),
    ];
    batch(&input(), columns).records
}

fn results(aggregates: &Aggregates, calls: &[proto::AggregateCall], groups: &[u32]) -> Vec<String> {
    let output = calls
        .iter()
        .map(|call| RowField::new(call.name.clone(), LogicalType::try_from(call.r#type.as_ref().unwrap()).unwrap()));
    let schema = to_arrow_schema(&output.collect::<Vec<_>>());
    let columns = aggregates.evaluate(groups).unwrap();
    rows_text(&Batch::insert_only(RecordBatch::try_new(schema, columns).unwrap()))
}

fn keeping_calls() -> Vec<proto::AggregateCall> {
    let bigint = || TypeKind::Bigint.nullable();
    let array = || TypeKind::Array(Box::new(bigint())).nullable();
    let distinct = |call| proto::AggregateCall { distinct: true, ..call };
    vec![
        call("FIRST_VALUE", &[0], bigint()),
        call("LAST_VALUE", &[0], bigint()),
        call("LISTAGG", &[1], TypeKind::string().nullable()),
        call("LISTAGG", &[1, 3], TypeKind::string().nullable()),
        distinct(call("LISTAGG", &[1], TypeKind::string().nullable())),
        call("ARRAY_AGG", &[0], array()),
        distinct(call("ARRAY_AGG", &[0], array())),
        call("COLLECT", &[0], TypeKind::Multiset(Box::new(bigint())).not_null()),
    ]
}

#[test]
fn functions_that_keep_values() {
    for retract in [false, true] {
        let calls = keeping_calls();
        let mut aggregates = Aggregates::new(&calls, &input(), retract).unwrap();
        aggregates.resize(2);
        let empty = "+I[null, null, null, null, null, null, null, {}]";
        assert_eq!(results(&aggregates, &calls, &[0]), [empty]);
        aggregates.update(&rows(&[Some(1), Some(2), Some(1), None]), &[0; 4], None, None).unwrap();
        let expected = "+I[1, 1, 1,2,1, 1|2|1, 1,2, [1, 2, 1, null], [1, 2, null], {1: 2, 2: 1}]";
        assert_eq!(results(&aggregates, &calls, &[1, 0]), [empty, expected]);
        aggregates.reset(&[0]);
        assert_eq!(results(&aggregates, &calls, &[0]), [empty]);
    }
}

#[test]
fn kept_values_are_taken_back_first_come_first() {
    let calls = keeping_calls();
    let mut aggregates = Aggregates::new(&calls, &input(), true).unwrap();
    aggregates.resize(1);
    let values = [Some(1), Some(2), Some(1), None, Some(1), None, Some(9)];
    aggregates.update(&rows(&values), &[0; 7], None, Some(&[1, 1, 1, 1, -1, -1, -1])).unwrap();
    let expected = "+I[2, 1, 2,1, 2|1, 1,2, [2, 1], [1, 2], {2: 1, 1: 1, 9: -1}]";
    let text = results(&aggregates, &calls, &[0]);
    assert_eq!(text[0].replace("{1: 1, 2: 1, 9: -1}", "{2: 1, 1: 1, 9: -1}"), expected);
}

/// Of more values than are looked through one by one: through a save in the middle, and into another group.
#[test]
fn many_kept_values_are_taken_back_first_come_first() {
    let bigint = || TypeKind::Bigint.nullable();
    let calls = [
        call("ARRAY_AGG", &[0], TypeKind::Array(Box::new(bigint())).nullable()),
        call("COLLECT", &[0], TypeKind::Multiset(Box::new(bigint())).not_null()),
        call("FIRST_VALUE", &[0], bigint()),
        call("LAST_VALUE", &[0], bigint()),
        call("LISTAGG", &[1], TypeKind::string().nullable()),
    ];
    let mut aggregates = Aggregates::new(&calls, &input(), true).unwrap();
    aggregates.resize(1);
    let added: Vec<i64> = (0..200).map(|number| number * 7 % 60).collect();
    let back: Vec<i64> = (0..150).map(|number| number * 11 % 60).collect();
    let values = |values: &[i64]| rows(&values.iter().copied().map(Some).collect::<Vec<_>>());
    let (first, second) = back.split_at(75);
    aggregates.update(&values(&added), &[0; 200], None, Some(&[1; 200])).unwrap();
    aggregates.update(&values(first), &[0; 75], None, Some(&[-1; 75])).unwrap();
    let saved = aggregates.save(&[0]).unwrap();
    let mut loaded = aggregates.afresh().unwrap();
    loaded.resize(2);
    loaded.load(&[0], &saved).unwrap();
    loaded.merge_groups(&[1], &[0]).unwrap();
    loaded.update(&values(second), &[1; 75], None, Some(&[-1; 75])).unwrap();

    let mut list = added;
    for value in back {
        if let Some(at) = list.iter().position(|known| *known == value) {
            list.remove(at);
        }
    }
    let texts: Vec<String> = list.iter().map(i64::to_string).collect();
    let text = &results(&loaded, &calls, &[1])[0];
    assert!(text.starts_with(&format!("+I[[{}], {{", texts.join(", "))), "{text}");
    let (oldest, newest) = (&texts[0], &texts[texts.len() - 1]);
    assert!(text.ends_with(&format!("}}, {oldest}, {newest}, {}]", texts.join(","))), "{text}");
    for value in &list {
        let copies = list.iter().filter(|other| *other == value).count();
        assert!(text.contains(&format!("{value}: {copies}")), "{value} {copies}: {text}");
    }
    assert_eq!(text.matches(": ").count(), list.iter().collect::<std::collections::BTreeSet<_>>().len(), "{text}");
    loaded.reset(&[0, 1]);
    assert_eq!(loaded.heap(), 0, "all that is counted is given back");
}

#[test]
fn variances_are_those_of_flink() {
    let double = TypeKind::Double.nullable();
    let bigint = TypeKind::Bigint.nullable();
    let names = ["VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"];
    let mut calls: Vec<_> = names.iter().map(|name| call(name, &[0], bigint.clone())).collect();
    calls.extend(names.iter().map(|name| call(name, &[2], double.clone())));
    let mut aggregates = Aggregates::new(&calls, &input(), true).unwrap();
    aggregates.resize(1);
    assert_eq!(results(&aggregates, &calls, &[0]), ["+I[null, null, null, null, null, null, null, null]"]);
    aggregates.update(&rows(&[Some(1)]), &[0], None, None).unwrap();
    assert_eq!(results(&aggregates, &calls, &[0]), ["+I[0, null, 0, null, 0.0, null, 0.0, null]"]);
    let values = [Some(1), Some(1), None, Some(3), Some(8), Some(100)];
    aggregates.update(&rows(&values), &[0; 6], None, None).unwrap();
    let text = results(&aggregates, &calls, &[0]);
    assert!(text[0].starts_with("+I[1318, 1582, 36, 39, "), "{text:?}");
}

#[test]
fn variances_of_fractions_are_those_of_flink() {
    let double = TypeKind::Double.nullable();
    let names = ["VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"];
    let calls: Vec<_> = names.iter().map(|name| call(name, &[2], double.clone())).collect();
    let mut aggregates = Aggregates::new(&calls, &input(), false).unwrap();
    aggregates.resize(1);
    let doubles = Float64Array::from(vec![f64::from(1.1f32), 1.7, 3.9]);
    let mut columns = rows(&[None; 3]).columns().to_vec();
    columns[2] = Arc::new(doubles);
    aggregates.update(&batch(&input(), columns).records, &[0; 3], None, None).unwrap();
    let expected = "+I[1.4488888708750405, 2.1733333063125606, 1.2036979982018083, 1.4742229500019868]";
    assert_eq!(results(&aggregates, &calls, &[0]), [expected]);
}

/// They were null.
#[test]
fn variances_of_what_is_no_number_are_none() {
    let double = TypeKind::Double.nullable();
    let names = ["VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"];
    let calls: Vec<_> = names.iter().map(|name| call(name, &[2], double.clone())).collect();
    for (values, expected) in [
        (vec![1.0, f64::NAN, 3.0], "+I[NaN, NaN, NaN, NaN]"),
        (vec![f64::INFINITY, 1.0], "+I[NaN, NaN, NaN, NaN]"),
        (vec![f64::NEG_INFINITY], "+I[NaN, null, NaN, null]"),
        (vec![1e200, -1e200], "+I[inf, inf, inf, inf]"),
    ] {
        let mut aggregates = Aggregates::new(&calls, &input(), false).unwrap();
        aggregates.resize(1);
        let mut columns = rows(&vec![None; values.len()]).columns().to_vec();
        columns[2] = Arc::new(Float64Array::from(values.clone()));
        aggregates.update(&batch(&input(), columns).records, &vec![0; values.len()], None, None).unwrap();
        assert_eq!(results(&aggregates, &calls, &[0]), [expected], "{values:?}");
    }
}

/// It was 0.0. Where rows can be taken back, Flink begins with zero.
#[test]
fn the_sum_of_negative_zeros_is_negative() {
    let double = TypeKind::Double.nullable();
    let calls = ["SUM", "SUM0", "AVG"].map(|name| call(name, &[2], double.clone()));
    for (retract, expected) in [(false, "+I[-0.0, 0.0, 0.0]"), (true, "+I[0.0, 0.0, 0.0]")] {
        let mut aggregates = Aggregates::new(&calls, &input(), retract).unwrap();
        aggregates.resize(3);
        let mut columns = rows(&[None; 4]).columns().to_vec();
        columns[2] = Arc::new(Float64Array::from(vec![-0.0, -0.0, -0.0, 0.0]));
        aggregates.update(&batch(&input(), columns).records, &[0, 0, 1, 1], None, None).unwrap();
        let text = results(&aggregates, &calls, &[0, 1, 2]);
        assert_eq!(text, [expected, "+I[0.0, 0.0, 0.0]", "+I[null, 0.0, null]"]);
        aggregates.reset(&[0]);
        aggregates.merge_groups(&[2], &[0]).unwrap();
        assert_eq!(results(&aggregates, &calls, &[2]), ["+I[null, 0.0, null]"]);
    }
}

#[test]
fn variances_of_decimals_have_the_digits_of_a_double() {
    let decimal = TypeKind::Decimal(38, 18).nullable();
    let input = [RowField::new("v", decimal.clone())];
    let names = ["VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"];
    let calls: Vec<_> = names.iter().map(|name| call(name, &[0], decimal.clone())).collect();
    let mut aggregates = Aggregates::new(&calls, &input, false).unwrap();
    aggregates.resize(2);
    let values = [0, 1, 1, i128::pow(10, 19), -i128::pow(10, 19)].map(|value| value * i128::pow(10, 18));
    let values = arrow::array::Decimal128Array::from(values.to_vec()).with_precision_and_scale(38, 18).unwrap();
    let records = batch(&input, vec![Arc::new(values)]).records;
    aggregates.update(&records, &[0, 0, 0, 1, 1], None, None).unwrap();
    // No digits behind those that tell a double from its neighbours; what a decimal cannot hold is null.
    let expected = "+I[0.222222222222222240, 0.333333333333333370, 0.471404520791031700, 0.577350269189625800]";
    assert_eq!(results(&aggregates, &calls, &[0]), [expected]);
    let expected = "+I[null, null, 10000000000000000000.000000000000000000, 14142135623730950000.000000000000000000]";
    assert_eq!(results(&aggregates, &calls, &[1]), [expected]);
}

#[test]
fn keys_can_be_forgotten_and_their_numbers_used_again() {
    let key = |values: &[Option<&str>]| vec![Arc::new(values.iter().copied().collect::<StringViewArray>()) as ArrayRef];
    let (mut store, mut index) =
        (KeyStore::new(vec![arrow::datatypes::DataType::Utf8View]).unwrap(), KeyIndex::default());
    let mut groups = Vec::new();
    store.load(&key(&[Some("a"), None, Some("b"), Some("a")])).unwrap();
    store.assign(&mut index, 0..4, &mut groups);
    assert_eq!(groups, [0, 1, 2, 0]);
    store.forget(&mut index, 1);
    store.release(&[1]);
    groups.clear();
    store.load(&key(&[Some("c"), Some("a"), None])).unwrap();
    store.assign(&mut index, 0..3, &mut groups);
    assert_eq!(groups, [1, 0, 3]);
    let columns = store.columns(&[3, 2, 1, 0]).unwrap();
    assert_eq!(columns, key(&[None, Some("b"), Some("c"), Some("a")]));
    assert_eq!((store.len(), index.len()), (4, 4));
}

#[test]
fn nested_keys_keep_their_exact_type() {
    use arrow::array::{Int32Builder, ListBuilder, MapBuilder, StringViewBuilder};
    let item = arrow::datatypes::Field::new("item", arrow::datatypes::DataType::Int32, false);
    let mut lists = ListBuilder::new(Int32Builder::new()).with_field(item);
    let mut maps = MapBuilder::new(None, StringViewBuilder::new(), Int32Builder::new());
    for (number, text) in [(1, "a"), (2, "b"), (1, "a")] {
        lists.append_value([Some(number), Some(7)]);
        maps.keys().append_value(text);
        maps.values().append_value(number);
        maps.append(true).unwrap();
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(lists.finish()), Arc::new(maps.finish())];
    let types = columns.iter().map(|column| column.data_type().clone()).collect();
    let mut store = KeyStore::new(types).unwrap();
    let (mut index, mut groups) = (KeyIndex::default(), Vec::new());
    store.load(&columns).unwrap();
    store.assign(&mut index, 0..3, &mut groups);
    assert_eq!(groups, [0, 1, 0]);
    assert_eq!(store.columns(&groups).unwrap(), columns);
}

#[test]
fn booleans_group_too() {
    let keys: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]));
    let mut store = KeyStore::new(vec![arrow::datatypes::DataType::Boolean]).unwrap();
    let (mut index, mut groups) = (KeyIndex::default(), Vec::new());
    store.load(std::slice::from_ref(&keys)).unwrap();
    store.assign(&mut index, 0..5, &mut groups);
    assert_eq!(groups, [0, 1, 2, 0, 1]);
    assert_eq!(store.columns(&groups).unwrap(), [keys]);
}

proptest! {
    /// Whatever comes and goes: equal keys have equal numbers, and each number gives back its key.
    #[test]
    fn numbers_and_keys_agree(
        steps in prop::collection::vec((prop::option::weighted(0.9, -5..20i64), any::<bool>()), 0..300),
        wide in any::<bool>(),
    ) {
        let bigint = arrow::datatypes::DataType::Int64;
        let mut store = KeyStore::new(if wide { vec![bigint.clone(), bigint] } else { vec![bigint] }).unwrap();
        let mut index = KeyIndex::default();
        let mut known: std::collections::BTreeMap<Option<i64>, u32> = Default::default();
        for (key, forget) in steps {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![key]));
            let columns = vec![column; if wide { 2 } else { 1 }];
            let mut groups = Vec::new();
            store.load(&columns).unwrap();
            store.assign(&mut index, 0..1, &mut groups);
            let group = *known.entry(key).or_insert(groups[0]);
            prop_assert_eq!(group, groups[0]);
            prop_assert_eq!(store.columns(&groups).unwrap(), columns);
            if forget {
                store.forget(&mut index, group);
                store.release(&[group]);
                known.remove(&key);
            }
            let mut numbers: Vec<u32> = known.values().copied().collect();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), known.len());
            prop_assert_eq!((store.len(), index.len()), (known.len(), known.len()));
        }
    }
}

#[test]
fn what_is_kept_of_a_group_can_be_saved_and_loaded() {
    let double = TypeKind::Double.nullable();
    for retract in [false, true] {
        let mut calls = keeping_calls();
        calls.extend(["SUM", "AVG", "MIN", "MAX", "STDDEV_POP"].map(|name| call(name, &[2], double.clone())));
        calls.push(proto::AggregateCall { distinct: true, ..call("SUM", &[2], double.clone()) });
        let mut aggregates = Aggregates::new(&calls, &input(), retract).unwrap();
        aggregates.resize(2);
        aggregates.update(&rows(&[Some(1), Some(2), Some(1), None]), &[0, 0, 1, 0], None, None).unwrap();
        let saved = aggregates.save(&[1, 0]).unwrap();
        let types: Vec<_> = aggregates.saved_types().map(|saved| saved.kind.to_arrow()).collect();
        assert_eq!(saved.iter().map(|column| column.data_type().clone()).collect::<Vec<_>>(), types);
        let mut loaded = aggregates.afresh().unwrap();
        loaded.resize(8);
        loaded.load(&[5, 3], &saved).unwrap();
        assert_eq!(results(&loaded, &calls, &[3, 5]), results(&aggregates, &calls, &[0, 1]));
        // What was loaded goes on like what was not.
        let more = rows(&[Some(7), Some(1)]);
        loaded.update(&more, &[5, 3], None, None).unwrap();
        aggregates.update(&more, &[1, 0], None, None).unwrap();
        assert_eq!(results(&loaded, &calls, &[3, 5]), results(&aggregates, &calls, &[0, 1]));
        assert!(loaded.heap() > 0 && loaded.width() > 0);
        loaded.reset(&[3, 5]);
        assert_eq!(loaded.heap(), aggregates.afresh().unwrap().heap(), "all that is counted is given back");
    }
}

/// Failed before: what ARRAY_AGG and COLLECT put together grew for as long as there was memory, and then once more in the result.
#[test]
fn what_is_collected_has_the_limit_of_a_value() {
    const LENGTH: usize = 20 << 20;
    let text = || TypeKind::string().nullable();
    let input = fields(&[("s", text())]);
    let texts = |letters: &str| {
        let texts = letters.chars().map(|letter| Some(letter.to_string().repeat(LENGTH)));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter(texts));
        batch(&input, vec![texts]).records
    };
    let list = call("ARRAY_AGG", &[0], TypeKind::Array(Box::new(text())).nullable());
    let calls = [
        (false, list.clone()),
        (true, list.clone()),
        (false, proto::AggregateCall { distinct: true, ..list }),
        (false, call("COLLECT", &[0], TypeKind::Multiset(Box::new(text())).not_null())),
        (false, call("LISTAGG", &[0], text())),
        // Before, its texts were counted only for the result.
        (true, call("LISTAGG", &[0], text())),
    ];
    for (retract, call) in calls {
        let name = format!("{} {retract} {}", call.function, call.distinct);
        let is_distinct = call.distinct;
        let mut aggregates = Aggregates::new(&[call], &input, retract).unwrap();
        aggregates.resize(2);
        aggregates.update(&texts("abc"), &[0; 3], None, None).unwrap();
        aggregates.update(&texts("d"), &[1], None, None).unwrap();
        assert_eq!(aggregates.evaluate(&[0]).unwrap()[0].len(), 1, "{name}");
        let heap = aggregates.heap();
        assert!(heap > 4 * LENGTH && aggregates.result_heap() > 4 * LENGTH, "{name}: {heap}");
        let refused = [
            aggregates.update(&texts("e"), &[0], None, None).unwrap_err().to_string(),
            aggregates.merge_groups(&[1], &[0]).unwrap_err().to_string(),
        ];
        for refused in refused {
            assert!(refused.contains(&format!("at most {MAX_VALUE_BYTES}")), "{name}: {refused}");
        }
        // Nothing was taken of what was too much; DISTINCT has noted the value before.
        assert!(is_distinct || aggregates.heap() == heap, "{name}");
    }
}

/// Failed before: where rows can be taken back, LISTAGG kept texts of no length for as long as there was memory.
#[test]
fn texts_of_no_length_count_where_rows_can_be_taken_back() {
    let text = || TypeKind::string().nullable();
    let input = fields(&[("s", text()), ("separator", text())]);
    let texts = |rows: usize| {
        let empty: ArrayRef = Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n("", rows)));
        batch(&input, vec![empty.clone(), empty]).records
    };
    let most = MAX_VALUE_BYTES / size_of::<u128>();
    let mut aggregates = Aggregates::new(&[call("LISTAGG", &[0, 1], text())], &input, true).unwrap();
    aggregates.resize(1);
    let full = texts(most);
    aggregates.update(&full, &vec![0; most], None, None).unwrap();
    // One more is too much, and fits where one was taken back.
    let one = texts(1);
    aggregates.update(&one, &[0], None, Some(&[-1])).unwrap();
    aggregates.update(&one, &[0], None, None).unwrap();
    let refused = aggregates.update(&one, &[0], None, None).unwrap_err().to_string();
    assert!(refused.contains(&format!("at most {MAX_VALUE_BYTES}")), "{refused}");
    assert_eq!(aggregates.evaluate(&[0]).unwrap()[0].as_string_view().value(0), "");
}

/// Rows of other functions have neither a namespace nor a time of their own.
#[test]
fn where_keys_are_in_namespaces_or_values_expire_only_those_of_distinct_are_rows() {
    let mut calls = keeping_calls();
    let bigint = || TypeKind::Bigint.nullable();
    calls.extend([call("MIN", &[0], bigint()), call("MAX", &[0], bigint())]);
    let distinct_sum = proto::AggregateCall { distinct: true, ..call("SUM", &[0], bigint()) };
    calls.push(distinct_sum);
    for retract in [false, true] {
        for (ttl, namespaces) in [(0, false), (0, true), (1000, false), (1000, true)] {
            let aggregates = Aggregates::new(&calls, &input(), retract).unwrap().with_ttl(ttl);
            let kept = aggregates.rows_kept(namespaces).enumerate();
            let kept: Vec<(usize, RowsKept)> = kept.filter_map(|(at, kept)| Some((at, kept?))).collect();
            let all = [2, 3, 5, 7].map(|at| (at, RowsKept::All)).into_iter();
            let best = [8, 9].map(|at| (at, RowsKept::Best)).into_iter();
            let with_others = ttl == 0 && !namespaces;
            let others = all.chain(best.filter(|_| retract)).filter(|_| with_others);
            let expected: Vec<(usize, RowsKept)> = others.chain([(10, RowsKept::Distinct)]).collect();
            assert_eq!(kept, expected, "{retract} {ttl} {namespaces}");
            let caches = expected.iter().filter(|(_, kept)| *kept != RowsKept::All).count();
            assert_eq!(aggregates.row_caches(namespaces), caches);
        }
    }
}
