//! The memory model against the breakdowns that Apache Flink prints (`memory/record.py` records them).
use wiesel_common::config::{ConfigError, Configuration, parse_property};
use wiesel_common::memory::{JobManagerMemory, TaskManagerMemory};

fn breakdown(role: &str, config: &Configuration) -> Result<Vec<String>, ConfigError> {
    match role {
        "tm" => TaskManagerMemory::from_config(config).map(|memory| memory.breakdown()),
        _ => JobManagerMemory::from_config(config).map(|memory| memory.breakdown()),
    }
}

#[test]
fn derives_what_flink_derives() {
    let recorded = include_str!("memory/breakdowns.txt");
    let mut cases = 0;
    for block in recorded.split("case ").filter(|block| !block.is_empty()) {
        let mut lines = block.lines();
        let mut words = lines.next().unwrap().split_whitespace();
        let role = words.next().unwrap();
        let config: Configuration = words.map(|pair| parse_property(pair).unwrap()).collect();
        let want: Vec<&str> = lines.collect();
        match breakdown(role, &config) {
            Ok(got) => assert_eq!(got, want, "{block}"),
            Err(error) => {
                let flinks = want[0].strip_prefix("error ").unwrap_or_else(|| panic!("{error}, but Flink: {block}"));
                // The same finding in Flink's words, as far as they go.
                let start: String = flinks.chars().take_while(|c| *c != '(').collect();
                let same = error.to_string().contains(&start) || flinks.starts_with("Inconsistently");
                assert!(same, "{error}\nFlink: {flinks}");
            }
        }
        cases += 1;
    }
    assert_eq!(cases, include_str!("memory/cases.txt").lines().count());
}
