use super::*;

fn compile(source: &str) -> Regexp {
    match Regexp::compile(source, name_of(source)) {
        Ok(Some(regex)) => regex,
        Ok(None) => panic!("{source} is malformed"),
        Err(error) => panic!("{error}"),
    }
}

fn replaced(source: &str, text: &str, with: &str) -> String {
    let (mut out, mut rest) = (String::new(), 0);
    let each = compile(source).each(text, |span| {
        out.push_str(&text[rest..span.start]);
        out.push_str(with);
        rest = span.end;
        Ok(())
    });
    each.unwrap();
    out + &text[rest..]
}

/// All matches with a group by the engine of Java's semantics.
fn found_by<'t>(java: &Java, text: &'t str, group: usize) -> Vec<(Range<usize>, Option<&'t str>)> {
    let mut all = Vec::new();
    let each = java.each(text, group, |found| {
        all.push((found.span, found.group));
        Ok(true)
    });
    each.unwrap();
    all
}

/// What Flink answered.
#[test]
fn patterns_replace_as_java_does() {
    for (source, text, with, expected) in [
        ("a(?=A)", "aAbB-cC dD", ".", ".AbB-cC dD"),
        ("a(?!A)", "aAbB-cC dD", ".", "aAbB-cC dD"),
        ("(?<!a)B", "aAbB-cC dD", ".", "aAb.-cC dD"),
        (r"(.)\1", "  padded\t", ".", ".pa.ed\t"),
        ("(?>a|aA)B", "aAbB-cC dD", ".", "aAbB-cC dD"),
        (r"\Qk1=\E", "k1=v1,k2=v2,k3", ".", ".v1,k2=v2,k3"),
        (r"\h", "  padded\t", ".", "..padded."),
        (r"\R", "line1\nline2", ".", "line1.line2"),
        (r"\p{Upper}", "Straße İstanbul", ".", ".traße İstanbul"),
        (r"\p{javaLowerCase}", "Straße İstanbul", ".", "S..... İ......."),
        (r"\p{javaLowerCase}", "e\u{301}é", ".", ".\u{301}."),
        (r"[\P{javaUpperCase}&&[^ ]]+", "Straße ISTANBUL", ".", "S. ISTANBUL"),
        (r"\\p\{javaDigit\}|\p{javaDigit}", "\\p{javaDigit} 7", ".", ". ."),
        (r"\Q\p{javaDigit}\E", "7 \\p{javaDigit}", ".", "7 ."),
        (r"[\w&&[^k]]", "k1=v1,k2=v2,k3", ".", "k.=..,k.=..,k."),
        (r"\x41", "aAbB", ".", "a.bB"),
        (r"\u0041", "aAbB", ".", "a.bB"),
        (r"\w", "Straße İstanbul", "w", "wwwwßw İwwwwwww"),
        (r"(?U)\w", "Straße İstanbul", "w", "wwwwww wwwwwwww"),
        (r"(?U)\w", "e\u{301}é", "w", "www"),
        (r"\d", "line1\nline2", "n", "linen\nlinen"),
        ("(?<n>a)A", "aAbB", "${n}", "${n}bB"),
        ("a*", "aaa", "x", "xx"),
        ("", "abc", "-", "-a-b-c-"),
        ("line$", "line\n", "x", "x\n"),
        (r"\bcat\b", "cat concat cat", "x", "x concat x"),
        ("(?i)K", "kK\u{212A}", "x", "xx\u{212A}"),
        (r"a++b", "aab", "x", "x"),
        (".", "a\u{85}b", "x", "x\u{85}x"),
    ] {
        assert_eq!(replaced(source, text, with), expected, "{source} in {text:?}");
    }
}

#[test]
fn groups_are_those_of_java() {
    for (source, text, group, expected) in [
        ("(?i)(AB)", "aAbB", 1, Some("Ab")),
        ("(?s)1.l", "line1\nline2", 0, Some("1\nl")),
        ("(?m)^line2$", "line1\nline2", 0, Some("line2")),
        ("line$", "line1\nline2", 0, None),
        ("k2=([^,]*)", "k1=v1,k2=v2,k3", 1, Some("v2")),
        ("(&|^)channel_id=([^&]*)", "a?b&channel_id=12&x", 2, Some("12")),
        (r"(?=(\w+))", "-abc", 1, Some("abc")),
        // Whether an empty group took part.
        ("(?:(x*)|(y))(?=a)", "a", 1, Some("")),
        ("(?:(x*)|(y))(?=a)", "a", 2, None),
        ("(?:(x*)|(y))(?=a)", "a", 3, None),
        ("(x)?(?=a|$)", "", 1, None),
        ("(x*)(?=a|$)", "", 1, Some("")),
        ("(?x)(x)? # nothing", "a", 1, None),
        (r"a(?=b)(x)?\Qb", "ab", 1, None),
    ] {
        assert_eq!(compile(source).group(text, group, None).unwrap(), expected, "{source} in {text:?}");
    }
}

#[test]
fn all_matches_have_their_groups() {
    let mut found = Vec::new();
    let each = compile(r"(?<=,|^)(\d)?(?=,|$)").each_group("1,,22,3", 1, |group| {
        found.push(group);
        Ok(())
    });
    each.unwrap();
    assert_eq!(found, [Some("1"), None, Some("3")]);
}

#[test]
fn both_engines_agree_where_the_fast_one_is_taken() {
    let texts = [
        "",
        "a",
        "abc",
        "aXb",
        "foo bar-baz",
        "12.5",
        "a\nb",
        "a\n",
        "a\r\n",
        "é😀b",
        "k=v&k2=v2",
        "aaab",
        "_K\u{212A}",
    ];
    for source in [
        "a",
        "a|b",
        "(a)(b)?",
        "a+?b",
        "[a-z]+",
        "[^a-z]",
        r"\d+(\.\d+)?",
        r"\w+",
        r"[\s\S]b",
        "^a",
        "b$",
        r"a\Z",
        "(?i)[a-k]",
        "(?s)a.b",
        "a(?s:.*)b|a.b",
        "a.b",
        "(?:ab?)+",
        r"\bb",
        "x*",
        "([^=]*)=([^&]*)",
        r"[\w.-]+",
        r"\p{Alpha}",
        r"\Qa\E+",
        "a{2,3}?",
        "",
        "(?i)",
    ] {
        let fast = scan::fast(source).unwrap_or_else(|| panic!("{source} is not fast"));
        let java = Java::compile(source, &name_of(source)).unwrap().unwrap();
        let both = compile(source);
        for text in texts {
            let expected: Vec<_> = found_by(&java, text, 0).into_iter().map(|(span, _)| span).collect();
            let mut found = Vec::new();
            both.each(text, |span| {
                found.push(span);
                Ok(())
            })
            .unwrap();
            assert_eq!(found, expected, "{source} in {text:?}");
            for group in 1..fast.regex.captures_len() {
                let expected = java.first(text, group).unwrap().and_then(|found| found.group);
                assert_eq!(both.group(text, group, None).unwrap(), expected, "{source} in {text:?}");
            }
        }
    }
}

#[test]
fn the_fast_engine_is_not_given_what_it_reads_differently() {
    for source in [
        r"\R",
        r"\h",
        "(?U)a",
        "(?m)^a",
        "(?x)a b",
        "(?=a)",
        r"(a)\1",
        "a++",
        "a**",
        "(a*)*",
        "[a&&b]",
        "[a[b]]",
        r"\p{L}",
        r"\B",
        r"\x41",
        "(?<n>a)(?<n>b)",
        "a{3,2}",
        "😀",
        "[]a]",
        "a||b",
        "(?i)\\p{Lower}",
        "[a-\u{FFFF}]",
        "a{2000}",
        "^*",
    ] {
        assert!(scan::fast(source).is_none(), "{source}");
    }
}

#[test]
fn what_is_no_pattern_and_what_cannot_be_used_differ() {
    for source in ["[", "(", "a**", "*a", "a)", "(?P<n>a)", r"\p{Nonsense}"] {
        assert!(Regexp::compile(source, name_of(source)).unwrap().is_none(), "{source}");
    }
    for (source, reason) in [
        (r"\p{InGreek}", "blocks of Unicode"),
        (r"\N{LATIN SMALL LETTER A}", "characters by name"),
        (r"(a)\2", "a group that the pattern does not have"),
        ("(?=(a))*", "a quantifier of a look-around"),
        // It is no pattern in Java either; the engine does not say what is wrong.
        ("[b-a]", "cannot be used"),
    ] {
        match Regexp::compile(source, name_of(source)) {
            Err(Error::Plan(message)) => assert!(message.contains(reason), "{message}"),
            Ok(_) => panic!("{source} was taken"),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(Regexp::compile(&"a".repeat(MAX_PATTERN + 1), name_of("a")).is_err());
}

/// It was to end in an error of the task, not in a wrong answer or in hours.
#[test]
fn a_search_without_end_is_an_error() {
    let error = compile(r"(?i)(a*)*b\1").is_match(&"a".repeat(64)).unwrap_err();
    assert!(error.to_string().contains("1000000 steps"), "{error}");
}

#[test]
fn texts_are_split_as_java_splits_them() {
    let split = |source: &str, text: &str| compile(source).split(text).unwrap().join("|");
    assert_eq!(split(",", "a,b,,"), "a|b");
    assert_eq!(split(",", ",a"), "|a");
    assert_eq!(split("", "abc"), "a|b|c");
    assert_eq!(split("(?=b)", "abb"), "a|b|b");
    assert_eq!(split(",", "abc"), "abc");
    assert_eq!(compile("=").split_once("a=b=c").unwrap(), ("a", Some("b=c")));
    assert_eq!(compile("=").split_once("a").unwrap(), ("a", None));
    assert_eq!(compile("").split_once("ab").unwrap(), ("a", Some("b")));
}

/// Failed before: a search for all matches takes the square of the text, and nothing ended it.
#[test]
fn a_search_for_all_matches_ends_with_the_task() {
    let (plain, group) = (compile(".*[^A-Z]|[A-Z]"), compile("(.)"));
    let text = "A".repeat(1000);
    let mut count = 0;
    let mut each = || {
        plain.each(&text, |_| {
            count += 1;
            Ok(())
        })
    };
    each().unwrap();
    {
        let _told = wiesel_common::ending::register(std::sync::Arc::new(true.into()));
        assert!(matches!(each(), Err(Error::Cancelled)));
        assert!(matches!(group.each_group(&text, 1, |_| Ok(())), Err(Error::Cancelled)));
        assert!(matches!(Regexp::compile("a", name_of("a")), Err(Error::Cancelled)));
    }
    assert!(count < 1100, "{count}");
}

/// Failed before: a look-ahead at each place of 30 MB, which takes no steps of backtracking, went on for hours.
#[test]
fn backtracking_has_a_longest_text() {
    let error = compile("(?=a*c)a").is_match(&"a".repeat((512 << 10) + 1)).unwrap_err();
    assert!(error.to_string().contains("met a text of 524289 bytes"), "{error}");
    assert!(compile("(?=b)b").is_match(&"ab".repeat(256 << 10)).unwrap());
}

/// Failed before: it was one call of the engine over the whole text for all matches, which nothing ended, and which looked through
/// the whole text at each match.
#[test]
fn backtracking_ends_between_matches() {
    let text = "a1".repeat(50_000);
    for source in ["a(?=1)", "(?=a1+)a", r"(\w)(?=\w)", "(?!2)"] {
        let java = Java::compile(source, &name_of(source)).unwrap().unwrap();
        let told = std::cell::RefCell::new(None);
        let mut count = 0;
        let each = java.each(&text[..40_000], 0, |_| {
            count += 1;
            if count == 3 {
                *told.borrow_mut() = Some(wiesel_common::ending::register(std::sync::Arc::new(true.into())));
            }
            Ok(true)
        });
        assert!(matches!(each, Err(Error::Cancelled)), "{source}");
        assert!(count <= PIECE_AND_MORE, "{source}: {count}");
    }
    // Neither has a longest text: pieces of it are searched.
    let mut count = 0;
    compile("a(?=1)")
        .each(&text, |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(count, 50_000);
    assert!(compile("a1(?!a)").is_match(&text).unwrap());
    assert!(!compile("a(?!1)").is_match(&"a1".repeat(300 << 10)).unwrap());
}

/// More than the matches of one piece of the text.
const PIECE_AND_MORE: usize = 2000;

/// What is found piece by piece is what one call finds in the whole text.
#[test]
fn pieces_of_a_text_have_the_matches_of_the_whole() {
    let texts = [
        "a1b😀\r\n,,k=v ".repeat(120),
        "é1".repeat(600),
        format!("{}b{}b", "a".repeat(1023), "a".repeat(500)),
        format!("{}\r\n", "a\r\n".repeat(450)),
    ];
    for source in [
        "(?=a)",
        "a(?=1)",
        r"(\w)(?=\w)",
        "a{2,60}(?=b)",
        "(?>a{0,40})(b)?",
        "a*(?=b)",
        r"(.)\1",
        "(?=(b?))",
        r"\R",
        "a++",
        "(?m)a$",
        r"[^a]{1,3}(?![a-z&&[^c]])",
        "",
    ] {
        let java = Java::compile(source, &name_of(source)).unwrap().unwrap();
        for text in &texts {
            for group in 0..=java.group_count() {
                let mut whole = Vec::new();
                for found in java.search(text, group, true).unwrap() {
                    whole.push((found.span, found.group));
                }
                assert_eq!(found_by(&java, text, group), whole, "{source}, group {group}");
                let first = java.first(text, group).unwrap().map(|found| (found.span, found.group));
                assert_eq!(first, whole.into_iter().next(), "{source}, group {group}");
            }
        }
    }
}

/// Failed before: a text of any length was searched for a pattern of any size, which takes the one times the other at worst.
#[test]
fn a_large_pattern_has_a_longest_text() {
    let text = "a".repeat(1 << 20);
    let large = compile("(a{1,100}){1,50}b");
    let error = large.is_match(&text).unwrap_err().to_string();
    assert!(error.contains("met a text of 1048576 bytes") && error.contains("smaller counts"), "{error}");
    assert!(large.find(&text).is_err() && large.group(&text, 1, None).is_err());
    assert!(large.each(&text, |_| Ok(())).is_err() && large.each_group(&text, 1, |_| Ok(())).is_err());
    assert!(large.is_match(&format!("{}b", "a".repeat(500))).unwrap());
    assert!(!compile("a.*b").is_match(&"a".repeat(2 << 20)).unwrap());
    assert!(compile(r"\d+").is_match(&format!("{}1", "a".repeat(12 << 20))).unwrap());
}

/// Failed before: the empty pattern was searched by backtracking, which looked through the whole text at each of its matches.
#[test]
fn the_empty_pattern_is_fast() {
    let regex = compile("");
    assert!(regex.fast.is_some());
    let mut count = 0;
    regex
        .each(&"é😀".repeat(50_000), |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(count, 100_001);
    assert_eq!(regex.find("ab").unwrap(), Some(0..0));
    assert_eq!(regex.group("ab", 0, None).unwrap(), Some(""));
    assert_eq!(regex.split_once(&"a".repeat(1 << 20)).unwrap().0, "a");
}

/// Failed before: 3,000 constant patterns of twenty letters each were gigabytes.
#[test]
fn the_constant_patterns_of_an_operator_have_a_size() {
    let patterns = Compiled::default();
    let large =
        |number: usize| Regexp::compile_constant(&format!("(a{{1,900}}){{1,9}}{number}"), name_of("a"), &patterns);
    let mut kept: Vec<_> = (0..).map(large).take_while(|compiled| compiled.is_ok()).collect();
    assert!((10..1000).contains(&kept.len()), "{}", kept.len());
    assert!(large(0).err().unwrap().to_string().contains("use fewer"));
    kept.truncate(5);
    assert!(large(0).is_ok(), "what is not there any more does not count");
    drop(kept);
    let small = |number: usize| Regexp::compile_constant(&format!("^a{number}$"), name_of("a"), &patterns);
    let small: Vec<_> = (0..5000).map(small).collect();
    assert!(small.iter().all(Result::is_ok));
}
