//! Functions of arrays and maps.
use super::Argument::{Any, Array, Boolean, Index, Map, Sortable, Text, Texts};
use super::Gives::{First, Kind, Of};
use super::result_type::{
    INT, STRING, array, contains, element, entries, greatest_element, keys, map_of, values, with_element,
};
use super::{BEHIND_FIRST, Evaluation, Function, function, special, variadic};
use crate::functions::{collections, constructors, structured};

/// An array with one element more.
const LONGER: super::Gives = Of(with_element, "the array, with NULL among its elements if the new one may be NULL");
/// One of the elements.
const ELEMENT: super::Gives = Of(greatest_element, "the type of an element");

pub(super) const FUNCTIONS: &[Function] = &[
    function("CARDINALITY", &[&[Array], &[Map]], Kind(INT), constructors::cardinality),
    function("ELEMENT", &[&[Array]], Of(element, "the type of an element"), constructors::element),
    function("ARRAY_CONTAINS", &[&[Array, Any]], Of(contains, "BOOLEAN"), collections::find)
        .of_element()
        .lenient()
        .untyped_null(BEHIND_FIRST),
    function("ARRAY_POSITION", &[&[Array, Any]], Kind(INT), collections::find).of_element().untyped_null(BEHIND_FIRST),
    function("ARRAY_REMOVE", &[&[Array, Any]], Of(array, "the array"), collections::select)
        .of_element()
        .lenient()
        .untyped_null(BEHIND_FIRST),
    function("ARRAY_APPEND", &[&[Array, Any]], LONGER, collections::combine)
        .of_element()
        .lenient()
        .untyped_null(BEHIND_FIRST),
    function("ARRAY_PREPEND", &[&[Array, Any]], LONGER, collections::combine)
        .of_element()
        .lenient()
        .untyped_null(BEHIND_FIRST),
    variadic("ARRAY_CONCAT", &[&[Array]], First, collections::combine).of_common_type(),
    function("ARRAY_UNION", &[&[Array, Array]], First, collections::combine).of_common_type(),
    function("ARRAY_EXCEPT", &[&[Array, Array]], First, collections::combine).of_common_type(),
    function("ARRAY_INTERSECT", &[&[Array, Array]], First, collections::combine).of_common_type(),
    function("ARRAY_DISTINCT", &[&[Array]], First, collections::select),
    function("ARRAY_REVERSE", &[&[Array]], First, collections::select),
    function(
        "ARRAY_SORT",
        &[&[Sortable], &[Sortable, Boolean], &[Sortable, Boolean, Boolean]],
        First,
        collections::select,
    )
    .untyped_null(BEHIND_FIRST),
    function("ARRAY_SLICE", &[&[Array, Index], &[Array, Index, Index]], First, collections::select)
        .untyped_null(BEHIND_FIRST),
    function("ARRAY_MAX", &[&[Sortable]], ELEMENT, collections::extreme),
    function("ARRAY_MIN", &[&[Sortable]], ELEMENT, collections::extreme),
    function("ARRAY_JOIN", &[&[Texts, Text], &[Texts, Text, Text]], Kind(STRING), collections::join)
        .untyped_null(BEHIND_FIRST),
    function("MAP_KEYS", &[&[Map]], Of(keys, "ARRAY of keys"), collections::map_parts),
    function("MAP_VALUES", &[&[Map]], Of(values, "ARRAY of values"), collections::map_parts),
    function("MAP_ENTRIES", &[&[Map]], Of(entries, "ARRAY of ROW of key and value"), collections::map_parts),
    function("MAP_FROM_ARRAYS", &[&[Array, Array]], Of(map_of, "MAP of the elements"), collections::map_from_arrays),
    variadic("MAP_UNION", &[&[Map]], First, collections::map_union).of_common_type(),
    special("OBJECT_OF", &["OBJECT_OF(class [, name, any]...)"], Evaluation::Kernel(structured::object_of)).lenient(),
    special(
        "OBJECT_UPDATE",
        &["OBJECT_UPDATE(object [, name, any]...)"],
        Evaluation::Kernel(structured::object_update),
    )
    .lenient(),
];
