//! Functions of arrays and maps.
use super::Argument::{Any, Array, Map};
use super::Gives::{First, Kind, Of};
use super::result_type::{INT, contains, element, keys, values};
use super::{BEHIND_FIRST, Function, function};
use crate::functions::{collections, constructors};

pub(super) const FUNCTIONS: &[Function] = &[
    function("CARDINALITY", &[&[Array], &[Map]], Kind(INT), constructors::cardinality),
    function("ELEMENT", &[&[Array]], Of(element, "the type of an element"), constructors::element),
    function("ARRAY_CONTAINS", &[&[Array, Any]], Of(contains, "BOOLEAN"), collections::find)
        .lenient()
        .untyped_null(BEHIND_FIRST),
    function("ARRAY_DISTINCT", &[&[Array]], First, collections::select),
    function("ARRAY_REVERSE", &[&[Array]], First, collections::select),
    function("MAP_KEYS", &[&[Map]], Of(keys, "ARRAY of keys"), collections::map_parts),
    function("MAP_VALUES", &[&[Map]], Of(values, "ARRAY of values"), collections::map_parts),
];
