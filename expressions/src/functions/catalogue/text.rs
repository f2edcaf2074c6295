//! Functions of texts, and of bytes as text.
use super::Argument::{Any, Bytes, Int, Long, Number, Text};
use super::Gives::{First, FirstVarying, FirstVaryingNullable, Kind, NotNull, Nullable, Of};
use super::result_type::{BIGINT, BOOLEAN, BYTES, INT, STRING, STRING_MAP, STRINGS, overlaid, translated};
use super::{ANYWHERE, BEHIND_FIRST, Evaluation, Function, function, special, variadic};
use crate::functions::{encoding, printf, random, regexp, splitting, strings, text_tests, url};
use crate::types::TypeKind;

pub(super) const FUNCTIONS: &[Function] = &[
    function("UPPER", &[&[Text]], First, strings::upper),
    function("LOWER", &[&[Text]], First, strings::lower),
    function("CHAR_LENGTH", &[&[Text]], Kind(INT), strings::char_length).aliases(&["CHARACTER_LENGTH"]),
    function("SUBSTRING", &[&[Text, Int], &[Text, Int, Int]], FirstVaryingNullable, strings::substring)
        .aliases(&["SUBSTR"]),
    special("TRIM", &["TRIM([[BOTH | LEADING | TRAILING] [text] FROM] text)"], Evaluation::Kernel(strings::trim)),
    function("LTRIM", &[&[Text], &[Text, Text]], FirstVarying, strings::trim_chars),
    function("RTRIM", &[&[Text], &[Text, Text]], FirstVarying, strings::trim_chars),
    function("BTRIM", &[&[Text], &[Text, Text]], Kind(STRING), strings::trim_chars).untyped_null(ANYWHERE),
    function("REPLACE", &[&[Text, Text, Text]], Kind(STRING), strings::replace),
    function("TRANSLATE", &[&[Text, Text, Text]], Of(translated, "STRING"), strings::translate).lenient(),
    variadic("CONCAT", &[&[Text]], Kind(STRING), strings::concat),
    variadic("CONCAT_WS", &[&[Text, Text]], Kind(STRING), strings::concat_ws).lenient(),
    function("POSITION", &[&[Text, Text]], Kind(INT), strings::position),
    function("INSTR", &[&[Text, Text], &[Text, Text, Int], &[Text, Text, Int, Int]], Kind(INT), strings::instr),
    function("LOCATE", &[&[Text, Text], &[Text, Text, Int]], Kind(INT), strings::position),
    function("LEFT", &[&[Text, Int]], FirstVaryingNullable, strings::left),
    function("RIGHT", &[&[Text, Int]], FirstVaryingNullable, strings::right),
    function("LPAD", &[&[Text, Int, Text]], Kind(STRING), strings::pad),
    function("RPAD", &[&[Text, Int, Text]], Kind(STRING), strings::pad),
    function("REPEAT", &[&[Text, Int]], Kind(STRING), strings::repeat),
    function("REVERSE", &[&[Text]], Nullable(STRING), strings::reverse),
    function("INITCAP", &[&[Text]], First, strings::initcap),
    function(
        "OVERLAY",
        &[&[Text, Text, Int], &[Text, Text, Int, Int]],
        Of(overlaid, "VARCHAR as long as both texts"),
        strings::overlay,
    ),
    function("ASCII", &[&[Text]], Kind(INT), strings::ascii),
    function("CHR", &[&[Long]], Nullable(STRING), strings::chr),
    special("ELT", &["ELT(integer, text, ...)", "ELT(integer, bytes, ...)"], Evaluation::Kernel(strings::elt))
        .lenient()
        .untyped_null(BEHIND_FIRST),
    function("SPLIT_INDEX", &[&[Text, Text, Int], &[Text, Int, Int]], Nullable(STRING), splitting::split_index),
    function("SPLIT", &[&[Text, Text]], Kind(STRINGS), splitting::split).untyped_null(ANYWHERE),
    function("STR_TO_MAP", &[&[Text], &[Text, Text, Text]], Nullable(STRING_MAP), splitting::str_to_map),
    function("REGEXP", &[&[Text, Text]], Kind(BOOLEAN), regexp::regexp),
    function("REGEXP_EXTRACT", &[&[Text, Text], &[Text, Text, Int]], Nullable(STRING), regexp::extract),
    function("REGEXP_REPLACE", &[&[Text, Text, Text]], Kind(STRING), regexp::replace),
    function("REGEXP_COUNT", &[&[Text, Text]], Nullable(INT), regexp::count).untyped_null(ANYWHERE),
    function("REGEXP_INSTR", &[&[Text, Text]], Nullable(INT), regexp::instr).untyped_null(ANYWHERE),
    function("REGEXP_SUBSTR", &[&[Text, Text]], Nullable(STRING), regexp::substr).untyped_null(ANYWHERE),
    function("REGEXP_EXTRACT_ALL", &[&[Text, Text], &[Text, Text, Int]], Nullable(STRINGS), regexp::extract_all)
        .untyped_null(ANYWHERE),
    function("STARTSWITH", &[&[Text, Text], &[Bytes, Bytes]], Kind(BOOLEAN), strings::starts_or_ends)
        .untyped_null(ANYWHERE),
    function("ENDSWITH", &[&[Text, Text], &[Bytes, Bytes]], Kind(BOOLEAN), strings::starts_or_ends)
        .untyped_null(ANYWHERE),
    function("TO_BASE64", &[&[Text]], Kind(STRING), encoding::to_base64),
    function("FROM_BASE64", &[&[Text]], Kind(STRING), encoding::from_base64),
    function("MD5", &[&[Text]], Kind(|| TypeKind::Char(32)), encoding::hash),
    function("SHA1", &[&[Text]], Kind(|| TypeKind::Char(40)), encoding::hash),
    function("SHA224", &[&[Text]], Kind(|| TypeKind::Char(56)), encoding::hash),
    function("SHA256", &[&[Text]], Kind(|| TypeKind::Char(64)), encoding::hash),
    function("SHA384", &[&[Text]], Kind(|| TypeKind::Char(96)), encoding::hash),
    function("SHA512", &[&[Text]], Kind(|| TypeKind::Char(128)), encoding::hash),
    function("SHA2", &[&[Text, Int]], Kind(|| TypeKind::Varchar(128)), encoding::sha2),
    function("PARSE_URL", &[&[Text, Text], &[Text, Text, Text]], Nullable(STRING), url::parse_url),
    function("URL_ENCODE", &[&[Text]], Nullable(STRING), encoding::url_encode).untyped_null(ANYWHERE),
    function("URL_DECODE", &[&[Text]], Nullable(STRING), encoding::url_decode).untyped_null(ANYWHERE),
    variadic("PRINTF", &[&[Text], &[Text, Any]], Nullable(STRING), printf::printf).lenient().untyped_null(ANYWHERE),
    function("ENCODE", &[&[Text, Text]], Kind(BYTES), encoding::encode),
    function("DECODE", &[&[Bytes, Text]], Kind(STRING), encoding::decode),
    function("UUID", &[&[]], NotNull(|| TypeKind::Char(36)), random::uuid).nullary().volatile(),
    function("HEX", &[&[Long], &[Text]], Kind(STRING), encoding::hex),
    function("INET_ATON", &[&[Text]], Nullable(BIGINT), encoding::inet_aton).untyped_null(ANYWHERE),
    function("INET_NTOA", &[&[Long]], Nullable(STRING), encoding::inet_ntoa).untyped_null(ANYWHERE),
    function("IS_ALPHA", &[&[Text], &[Number]], NotNull(BOOLEAN), text_tests::is_kind).lenient(),
    function("IS_DIGIT", &[&[Text], &[Number]], NotNull(BOOLEAN), text_tests::is_kind).lenient(),
    function("IS_DECIMAL", &[&[Text], &[Number]], NotNull(BOOLEAN), text_tests::is_kind).lenient(),
    function("UNHEX", &[&[Text]], Nullable(BYTES), encoding::unhex).untyped_null(ANYWHERE),
];
