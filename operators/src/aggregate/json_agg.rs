//! `JSON_ARRAYAGG`: values, which are JSON already, as one array. `JSON_OBJECTAGG`: names and values as one object, each name once.
//! In the order in which rows came; without any an empty array or object.
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field};

use super::collect::Collect;
use super::{Accumulators, Rows, sum::wrong_argument};
use crate::operator::{Error, Result};
use wiesel_expressions::expression::check_value;
use wiesel_expressions::functions::json_text;

/// What is made of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Members of an object, else elements of an array.
    pub object: bool,
    /// A value that is null is left out.
    pub absent_on_null: bool,
}

/// Keeps elements, or members as `"name":value`.
pub(super) struct JsonAgg {
    shape: Shape,
    parts: Box<dyn Accumulators>,
}

impl JsonAgg {
    pub(super) fn new(shape: Shape) -> Result<Self> {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        Ok(Self { shape, parts: Box::new(Collect::new(&DataType::Utf8View, &list)?) })
    }

    /// What is kept of each row: null where nothing is.
    fn parts_of(&self, rows: &Rows<'_>) -> Result<StringViewArray> {
        let text = |at: usize| {
            let column = rows.arguments.get(at).and_then(|column| column.as_string_view_opt());
            column.ok_or_else(|| wrong_argument(rows, &DataType::Utf8View))
        };
        let keys = if self.shape.object { Some(text(0)?) } else { None };
        let values = text(usize::from(self.shape.object))?;
        let mut parts = StringViewBuilder::with_capacity(values.len());
        let mut part = String::new();
        for row in 0..values.len() {
            let is_in = rows.selected.is_none_or(|selected| selected.value(row));
            if is_in && keys.is_some_and(|keys| keys.is_null(row)) {
                return Err(null_name());
            }
            if !is_in || self.shape.absent_on_null && values.is_null(row) {
                parts.append_null();
                continue;
            }
            part.clear();
            if let Some(keys) = keys {
                json_text(keys.value(row), &mut part);
                part.push(':');
            }
            part.push_str(if values.is_valid(row) { values.value(row) } else { "null" });
            check_value(part.len())?;
            parts.append_value(&part);
        }
        Ok(parts.finish())
    }

    fn write(&self, parts: &StringViewArray, json: &mut String) -> Result<()> {
        let (open, close) = if self.shape.object { ('{', '}') } else { ('[', ']') };
        let mut names = HashSet::new();
        json.clear();
        json.push(open);
        for (at, part) in parts.iter().flatten().enumerate() {
            if self.shape.object && !names.insert(quoted_name(part)) {
                return Err(two_of_one_name(quoted_name(part)));
            }
            json.push_str(if at > 0 { "," } else { "" });
            json.push_str(part);
            check_value(json.len())?;
        }
        json.push(close);
        Ok(())
    }
}

fn null_name() -> Error {
    Error::data("org.apache.flink.util.FlinkRuntimeException", "JSON_OBJECTAGG: a name is NULL; leave such rows out")
}

fn two_of_one_name(name: &str) -> Error {
    let message = format!(
        "Key {name} is already present. Duplicate keys are not allowed in JSON_OBJECTAGG. Please ensure that keys are unique."
    );
    Error::data("org.apache.flink.util.FlinkRuntimeException", message)
}

/// The name of a member, with its quotes: within them each quote has a backslash before it.
fn quoted_name(member: &str) -> &str {
    let mut is_escaped = false;
    let end = member.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(member, |end| &member[..end + 2])
}

impl Accumulators for JsonAgg {
    fn resize(&mut self, groups: usize) {
        self.parts.resize(groups);
    }

    fn reset(&mut self, groups: &[u32]) {
        self.parts.reset(groups);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let parts = self.parts_of(rows)?;
        let kept = parts.nulls().map(|nulls| nulls.inner().clone());
        let arguments: [ArrayRef; 1] = [Arc::new(parts)];
        let (groups, weights) = (rows.groups, rows.weights);
        self.parts.update(&Rows { groups, arguments: &arguments, selected: kept.as_ref(), weights })
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        self.parts.merge_groups(targets, sources)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.parts.save(groups)
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        self.parts.load(groups, saved)
    }

    fn width(&self) -> usize {
        self.parts.width()
    }

    fn heap(&self) -> usize {
        self.parts.heap()
    }

    fn result_heap(&self) -> usize {
        self.parts.result_heap()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let lists = self.parts.evaluate(groups)?;
        let lists = lists.as_list::<i32>();
        let texts = lists.values().as_string_view();
        let (mut results, mut json) = (StringViewBuilder::with_capacity(lists.len()), String::new());
        for bounds in lists.value_offsets().windows(2) {
            let (from, to) = (bounds[0] as usize, bounds[1] as usize);
            self.write(&texts.slice(from, to - from), &mut json)?;
            results.append_value(&json);
        }
        Ok(Arc::new(results.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: Shape) -> JsonAgg {
        let mut aggregate = JsonAgg::new(shape).unwrap();
        aggregate.resize(2);
        aggregate
    }

    fn add(aggregate: &mut JsonAgg, columns: &[&[Option<&str>]], groups: &[u32], weights: Option<&[i8]>) -> Result<()> {
        let columns = columns.iter().map(|column| Arc::new(StringViewArray::from(column.to_vec())) as ArrayRef);
        let arguments: Vec<ArrayRef> = columns.collect();
        aggregate.update(&Rows { groups, arguments: &arguments, selected: None, weights })
    }

    fn results(aggregate: &JsonAgg) -> Vec<String> {
        let results = aggregate.evaluate(&[0, 1]).unwrap();
        results.as_string_view().iter().map(|json| json.unwrap().to_owned()).collect()
    }

    #[test]
    fn null_is_there_or_left_out() {
        let values: &[Option<&str>] = &[Some("1"), None, Some("{}")];
        for (absent_on_null, expected) in [(true, "[1,{}]"), (false, "[1,null,{}]")] {
            let mut aggregate = of(Shape { object: false, absent_on_null });
            add(&mut aggregate, &[values], &[0, 0, 0], None).unwrap();
            assert_eq!(results(&aggregate), [expected, "[]"]);
        }
        let names: &[Option<&str>] = &[Some("a\""), Some("b"), Some("")];
        for (absent_on_null, expected) in [(true, r#"{"a\"":1,"":{}}"#), (false, r#"{"a\"":1,"b":null,"":{}}"#)] {
            let mut aggregate = of(Shape { object: true, absent_on_null });
            add(&mut aggregate, &[names, values], &[0, 0, 0], None).unwrap();
            assert_eq!(results(&aggregate), [expected, "{}"]);
            // As in Flink, also where the value would be left out.
            assert!(add(&mut aggregate, &[&[None], &[None]], &[0], None).is_err());
        }
    }

    #[test]
    fn a_name_is_there_once_and_comes_back_when_it_was_taken_away() {
        let mut aggregate = of(Shape { object: true, absent_on_null: false });
        let columns: &[&[Option<&str>]] = &[&[Some("a"), Some("a"), Some("a")], &[Some("1"), Some("1"), Some("2")]];
        add(&mut aggregate, columns, &[0, 0, 0], Some(&[1, -1, 1])).unwrap();
        assert_eq!(results(&aggregate), [r#"{"a":2}"#, "{}"]);
        let saved = aggregate.save(&[0, 1]).unwrap();
        let mut restored = of(Shape { object: true, absent_on_null: false });
        restored.load(&[0, 1], &saved).unwrap();
        assert_eq!(results(&restored), results(&aggregate));
        add(&mut restored, &[&[Some("a")], &[Some("3")]], &[0], None).unwrap();
        let error = restored.evaluate(&[0]).unwrap_err().to_string();
        assert!(error.contains("Key \"a\" is already present."), "{error}");
        let null = add(&mut restored, &[&[None], &[Some("3")]], &[1], None).unwrap_err().to_string();
        assert!(null.contains("a name is NULL"), "{null}");
    }
}
