//! Functions of BITMAP.
use super::Argument::{Bitmap, Bytes, Ints};
use super::Gives::Kind;
use super::result_type::{BIGINT, BITMAP, BYTES, INTS, STRING};
use super::{ANYWHERE, Function, function};
use crate::functions::bitmap;

pub(super) const FUNCTIONS: &[Function] = &[
    function("BITMAP_BUILD", &[&[Ints]], Kind(BITMAP), bitmap::build).untyped_null(ANYWHERE),
    function("BITMAP_FROM_BYTES", &[&[Bytes]], Kind(BITMAP), bitmap::from_bytes).untyped_null(ANYWHERE),
    function("BITMAP_TO_BYTES", &[&[Bitmap]], Kind(BYTES), bitmap::to_bytes),
    function("BITMAP_TO_ARRAY", &[&[Bitmap]], Kind(INTS), bitmap::to_array),
    function("BITMAP_TO_STRING", &[&[Bitmap]], Kind(STRING), bitmap::to_string),
    function("BITMAP_CARDINALITY", &[&[Bitmap]], Kind(BIGINT), bitmap::cardinality),
    function("BITMAP_AND", &[&[Bitmap, Bitmap]], Kind(BITMAP), bitmap::combine),
    function("BITMAP_OR", &[&[Bitmap, Bitmap]], Kind(BITMAP), bitmap::combine),
    function("BITMAP_XOR", &[&[Bitmap, Bitmap]], Kind(BITMAP), bitmap::combine),
    function("BITMAP_ANDNOT", &[&[Bitmap, Bitmap]], Kind(BITMAP), bitmap::combine),
];
