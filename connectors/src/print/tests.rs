use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, ListArray, RecordBatch, StringViewArray};
use arrow::buffer::OffsetBuffer;
use wiesel_expressions::functions::Bitmap;
use wiesel_expressions::row_kind::RowKind;
use wiesel_expressions::types::{TypeKind, to_arrow_schema};

use super::*;

/// Of their Arrow types alone they would be bytes, and a text in which numbers are as they are kept.
#[test]
fn bitmaps_and_variants_are_shown_as_what_they_are() {
    let variants = TypeKind::Array(Box::new(TypeKind::Variant.nullable()));
    let fields = [
        RowField::new("b", TypeKind::Bitmap.nullable()),
        RowField::new("v", TypeKind::Variant.nullable()),
        RowField::new("vs", variants.nullable()),
    ];
    let schema = to_arrow_schema(&fields);
    let mut bitmap = Vec::new();
    Bitmap::of([3, 1]).write(&mut bitmap);
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![r#"{"a":1e2,"b":1.50}"#]));
    let item = TypeKind::Variant.nullable().to_arrow_field("item");
    let list = ListArray::new(Arc::new(item), OffsetBuffer::from_lengths([1]), texts.clone(), None);
    let columns: Vec<ArrayRef> = vec![Arc::new(BinaryViewArray::from_iter_values([bitmap])), texts, Arc::new(list)];
    let records = RecordBatch::try_new(schema, columns).unwrap();
    let mut out = String::new();
    row::write_row(&mut out, RowKind::Insert, &records, &fields, 0);
    assert_eq!(out, r#"+I[{1,3}, {"a":100.0,"b":1.5}, [{"a":100.0,"b":1.5}]]"#);
}

#[test]
fn the_prefix_tells_only_what_matters() {
    assert_eq!(prefix("", 0, 1), "");
    assert_eq!(prefix("", 1, 2), "2> ");
    assert_eq!(prefix("ID", 0, 1), "ID> ");
    assert_eq!(prefix("ID", 0, 2), "ID:1> ");
}
