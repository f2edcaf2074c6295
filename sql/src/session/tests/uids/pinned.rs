//! The uids of twenty scripts, as savepoints of users have them.
use super::*;

const MORE_TABLES: &str = "
    CREATE TABLE total (n BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE names (customer STRING) WITH ('connector' = 'blackhole');
    CREATE TABLE extremes (customer STRING, least BIGINT, most BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE counts (k BIGINT, n BIGINT) WITH ('connector' = 'blackhole');
    CREATE TABLE cut (customer STRING, began TIMESTAMP(3)) WITH ('connector' = 'blackhole');
";

/// Statements, and their operators with state.
const PINNED: [(&str, &[&str]); 20] = [
    (
        BY_CUSTOMER,
        &[
            "group 78e558174ad235db94db873c15c6a193",
            "sink 7c3d9a27cb6b88495c8d72aee5170960",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        BY_CITY,
        &[
            "group f8acde2279eda8e744f44d570e12c98f",
            "sink d5e3d4dfc11c8db9a45bfb4c8bb12043",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        BY_MINUTE,
        &[
            "sink 5036a0899b8e4b3d4426ced057395deb",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
            "window 994c9d7aedf8b60da1dad79e18012798",
        ],
    ),
    (
        BY_HOUR,
        &[
            "sink 68aec0ebd7864b9bd717b8bee94c3d46",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
            "window 6af8350685b6152ffa44672c702c3407",
        ],
    ),
    (
        RETURNED,
        &[
            "group 70128fbb34865df33af4ca619a45a8ff",
            "sink c71fc574eca8d5e201d8816b4822e8c6",
            "source 13844190d400ae3889a6e46291f98485",
        ],
    ),
    (COPY, &["sink 275032fc804e5326ef0e564f65cd0f09", "source 2ed583689c9f0c07c0f9ef89246954f6"]),
    (
        "INSERT INTO total SELECT COUNT(*) FROM orders",
        &[
            "group 122b53fd2dbb7edf3e9298ed811e0344",
            "sink 4b366dd7249434ce3fbb6db8fc424d28",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO names SELECT DISTINCT customer FROM orders",
        &[
            "group f4b3c5dc8ac8fb9d269badf7c68431ba",
            "sink 0e8832c7407029e3768f9a70f0c1ea01",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO extremes SELECT customer, MIN(id), MAX(id) FROM orders GROUP BY customer",
        &[
            "group 6a8644c47e7aad28c371c1b78eda1cfe",
            "sink 843d11b0416b14ac9e3d03a0a6d6fd25",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO by_customer SELECT customer, COUNT(DISTINCT id) FILTER (WHERE id > 9) FROM orders GROUP BY customer",
        &[
            "group 241dbc2074bb9caa9bd6f09f3d8656b2",
            "sink 8da0a9c575cb45d3d8c5fe766505c25d",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO returned SELECT customer, COUNT(*) FROM `returns` GROUP BY customer HAVING COUNT(*) > 3",
        &[
            "group 70128fbb34865df33af4ca619a45a8ff",
            "sink 1f238065b1917b436267942d2b7d7d09",
            "source 13844190d400ae3889a6e46291f98485",
        ],
    ),
    (
        "INSERT INTO counts SELECT n, COUNT(*) FROM (SELECT customer, COUNT(*) AS n FROM `returns` GROUP BY customer) GROUP BY n",
        &[
            "group 70128fbb34865df33af4ca619a45a8ff",
            "group c36fc48bb22c139111f270556bd2fce2",
            "sink 35b4c4e8c37ce155e69f46b31e9ce989",
            "source 13844190d400ae3889a6e46291f98485",
        ],
    ),
    (
        "INSERT INTO by_customer SELECT customer, COUNT(*)
        FROM (SELECT customer FROM orders UNION ALL SELECT customer FROM `returns`) GROUP BY customer",
        &[
            "group 0805eacf5a5d70651fbf4ea308265245",
            "sink daeb5bfcd24f2cb7f5232320f0fe9e27",
            "source 13844190d400ae3889a6e46291f98485",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO by_customer SELECT UPPER(customer), COUNT(*) FROM orders GROUP BY UPPER(customer)",
        &[
            "group a05b45a68828708d793e9acd80267694",
            "sink cd80b0d67e55d57cb266b5fd57dfb28b",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO counts SELECT id + id, COUNT(*) FROM orders GROUP BY id + id",
        &[
            "group 909ee4667c8fd64fdb1f9ca29b9e6b00",
            "sink b1fd6172cf07c6c737b32b31aad4502c",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO by_city SELECT o.place.city, COUNT(*), SUM(price) FROM orders AS o
        WHERE o.place.zip > 5 OR customer IS NOT NULL GROUP BY o.place.city",
        &[
            "group 744be4e593a41e04577f6fdbc72f6a80",
            "sink 77510a0bdd05b6a82ea71e2453ebb916",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
        ],
    ),
    (
        "INSERT INTO copy SELECT id, customer FROM orders WHERE customer = 'bob'",
        &["sink e1dcb76c21d0ed79252c19bebd91ac02", "source 2ed583689c9f0c07c0f9ef89246954f6"],
    ),
    (
        "INSERT INTO cut SELECT customer, window_start FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        &["sink f7c55934db6d9a45b4c4c7b0b5c74987", "source 2ed583689c9f0c07c0f9ef89246954f6"],
    ),
    (
        "INSERT INTO by_minute SELECT window_start, COUNT(*)
        FROM TABLE(CUMULATE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' HOUR))
        WHERE id > 5 GROUP BY window_start, window_end",
        &[
            "sink 3a6087703ba0577e259e97ded4ddcd7a",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
            "window 41778c99687736404b4ac5bc55b132b7",
        ],
    ),
    (
        "INSERT INTO by_minute SELECT window_start, COUNT(*)
        FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '15' MINUTE))
        GROUP BY window_start, window_end",
        &[
            "sink 0d3656448baf93007b53d4e9c85bf5aa",
            "source 2ed583689c9f0c07c0f9ef89246954f6",
            "window 3c70477b1cd764361789de09195a36af",
        ],
    ),
];

/// What to do when it fails is in its message.
#[test]
fn uids_of_twenty_scripts_stay_what_they_were() {
    let tables = format!("{TABLES}{MORE_TABLES}");
    let mut changed = String::new();
    for (statement, expected) in PINNED {
        let operators = stateful(&graph("", &tables, &[statement]));
        let found: Vec<String> = operators.iter().map(|(kind, uid)| format!("{kind} {uid}")).collect();
        if found != expected {
            writeln!(changed, "{statement}\n    were {expected:#?}\n    are  {found:#?}").unwrap();
        }
    }
    assert!(
        changed.is_empty(),
        "Savepoints know operators by these uids. With others no job goes on from a savepoint of an earlier version: its start is \
         refused. Find what has changed them: `planner/identity`, `identity` and `uid` of the operators in `planner/operators`, \
         the messages of constants, the names of types and functions, or what an optimisation makes of a condition; and give \
         the operators their uids back. If that cannot be, because operators that differ had one uid, write the new ones here \
         and say in docs/checkpoint-format.md, in the same commit, which operators are refused.\n\n{changed}"
    );
}
