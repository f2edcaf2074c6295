//! Regular expressions that each row brings along.
use arrow::array::StringViewArray;

use super::*;

/// The function of columns of texts.
fn evaluated(function: &str, columns: &[&[Option<&str>]], kind: TypeKind) -> Result<ArrayRef, Error> {
    let string = || TypeKind::string().nullable();
    let operands = (0..columns.len()).map(|index| Expression::input(index, string())).collect();
    let fields: Vec<Field> =
        (0..columns.len()).map(|index| Field::new(format!("c{index}"), string().kind.to_arrow(), true)).collect();
    let arrays: Vec<ArrayRef> =
        columns.iter().map(|texts| Arc::new(StringViewArray::from_iter(texts.iter().copied())) as ArrayRef).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    let call = Expression::call(function, operands, kind.nullable());
    Ok(Projection::compile(&[call], &schema, &context("UTC"))?.evaluate(&batch)?.remove(0))
}

fn error(function: &str, texts: &[&str], kind: TypeKind) -> Error {
    let columns: Vec<[Option<&str>; 1]> = texts.iter().map(|text| [Some(*text)]).collect();
    let columns: Vec<&[Option<&str>]> = columns.iter().map(|column| column.as_slice()).collect();
    evaluated(function, &columns, kind).err().unwrap_or_else(|| panic!("{function} of {texts:?} gave something"))
}

fn map() -> TypeKind {
    TypeKind::Map(Box::new(TypeKind::string().not_null()), Box::new(TypeKind::string().nullable()))
}

/// Before, the running job failed: only constants were taken.
#[test]
fn the_delimiters_of_a_map_may_be_columns() {
    let rows = [
        (Some("a=1,b=2"), Some(","), Some("="), Some("a=1 b=2")),
        (Some("a:1;b:2"), Some("[;,]"), Some(":"), Some("a=1 b=2")),
        (Some("a:1;b"), Some("[;,]"), Some(":"), Some("a=1 b=NULL")),
        (Some("a"), None, Some("="), None),
        (Some("a"), Some(","), None, None),
        (None, Some(","), Some("="), None),
        (Some(""), Some("["), Some("("), Some("")),
        (Some(",,"), Some(","), Some("("), Some("")),
    ];
    let texts = rows.map(|row| row.0);
    let found = evaluated("STR_TO_MAP", &[&texts, &rows.map(|row| row.1), &rows.map(|row| row.2)], map()).unwrap();
    let maps = found.as_map();
    for (row, (text, .., expected)) in rows.iter().enumerate() {
        let given = maps.is_valid(row).then(|| {
            let entries = maps.value(row);
            let (keys, values) = (entries.column(0).as_string_view(), entries.column(1).as_string_view());
            let value = |at: usize| if values.is_valid(at) { values.value(at) } else { "NULL" };
            let pairs: Vec<String> = (0..keys.len()).map(|at| format!("{}={}", keys.value(at), value(at))).collect();
            pairs.join(" ")
        });
        assert_eq!(given.as_deref(), *expected, "{text:?} in row {row}");
    }
}

/// Before, it did not say which argument of which function.
#[test]
fn a_pattern_of_a_row_is_named_with_its_place() {
    for (texts, argument) in [(["a", "[", "="], 2), (["a", ",", "["], 3)] {
        let error = error("STR_TO_MAP", &texts, map());
        let said = error.to_string();
        let named = format!("the regular expression '[' (argument {argument} of STR_TO_MAP) is malformed");
        assert!(said.starts_with(&named), "{said}");
        assert!(matches!(error, Error::Data { class: "java.util.regex.PatternSyntaxException", .. }), "{error:?}");
    }
    let list = TypeKind::Array(Box::new(TypeKind::string().nullable()));
    let (string, int) = (TypeKind::string(), TypeKind::Int);
    for (function, texts, kind) in [
        ("REGEXP", vec!["aa", r"(a)\2"], TypeKind::Boolean),
        ("REGEXP_EXTRACT", vec!["aa", r"(a)\2"], string.clone()),
        ("REGEXP_EXTRACT_ALL", vec!["aa", r"(a)\2"], list),
        ("REGEXP_REPLACE", vec!["aa", r"(a)\2", "b"], string.clone()),
        ("REGEXP_COUNT", vec!["aa", r"(a)\2"], int.clone()),
        ("REGEXP_INSTR", vec!["aa", r"(a)\2"], int.clone()),
        ("REGEXP_SUBSTR", vec!["aa", r"(a)\2"], string.clone()),
        ("STR_TO_MAP", vec!["aa", r"(a)\2", "="], map()),
    ] {
        let said = error(function, &texts, kind).to_string();
        let named = format!(r"the regular expression '(a)\2' (argument 2 of {function}) cannot be used: ");
        assert!(said.starts_with(&named), "{said}");
    }
    let similar = |pattern: &str| error("SIMILAR", &["aa", pattern], TypeKind::Boolean).to_string();
    assert!(similar("(?=a)+").starts_with("the pattern '(?=a)+' of SIMILAR TO cannot be used: "));
    assert_eq!(similar("("), "Invalid pattern '(' of SIMILAR TO");
    // As in Flink these give null.
    let malformed = evaluated("REGEXP_COUNT", &[&[Some("a")], &[Some("[")]], int).unwrap();
    assert!(malformed.is_null(0));
}
