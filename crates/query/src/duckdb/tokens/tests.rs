//! DuckDB and pudato read the same in a text, or it is refused.

use super::{Token, is_strange, tokens};
use crate::duckdb::{parse, statements};
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces in which lexers differ; none of them does any harm.
const PIECES: [&str; 44] = [
    "SELECT 1",
    "SELECT",
    "VALUES (1)",
    "FROM range(2)",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\t",
    ";",
    "; ",
    "--",
    "-- x",
    "/*",
    "*/",
    "/**/",
    "'",
    "''",
    "\"",
    "\"\"",
    "$$",
    "$a$",
    "$1",
    "$",
    "e'",
    "E'\\'",
    "x'",
    "b'",
    "\\",
    "\\'",
    "`",
    "#",
    "[",
    "]",
    "{",
    "(",
    ")",
    "1e5",
    "0x1F",
    "1_0",
    ".5",
    "a$b",
    "\u{a0}",
    "\u{b}",
];

/// A comment, or a space.
fn blank() -> impl Strategy<Value = String> {
    let junk = "[a-z'\";$\\\\/ -]{0,6}";
    prop_oneof![
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        (junk, "\n|\r|\r\n").prop_map(|(junk, end)| format!("--{junk}{end}")),
        junk.prop_map(|junk| format!("/*{}*/", junk.replace(['/', '*'], "+"))),
        junk.prop_map(|junk| format!("/* /*{}*/ */", junk.replace(['/', '*'], "+"))),
    ]
}

/// A value whose text could end too early, or too late.
fn value() -> impl Strategy<Value = String> {
    let junk = || "[a-z'\";$\\\\\n\r/*-]{0,8}";
    prop_oneof![
        junk().prop_map(|junk| format!("'{}'", junk.replace('\'', "''"))),
        junk().prop_map(|junk| format!("e'{}'", junk.replace('\\', "\\\\").replace('\'', "\\'"))),
        junk().prop_map(|junk| format!("$x${}$x$", junk.replace('$', "+"))),
        junk().prop_map(|junk| format!("$${}$$", junk.replace('$', "+"))),
        junk().prop_map(|junk| format!("1 AS \"n{}\"", junk.replace('"', "\"\""))),
        Just("x'41'".to_owned()),
        Just("1e5".to_owned()),
        Just("0x1F".to_owned()),
        Just("[1, 2]".to_owned()),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    (blank(), value(), blank(), value())
        .prop_map(|(first, one, second, two)| format!("{first}SELECT {one}{second}, {two}"))
}

/// What pudato reads as statements DuckDB reads as the same statements, or it is refused.
fn agrees(sql: &str) -> Result<bool, TestCaseError> {
    let Ok(own) = statements::split(sql) else {
        return Ok(false);
    };
    let Ok(count) = parse::count(sql) else {
        return Ok(false);
    };
    prop_assert_eq!(count, own.len() as u64, "{:?}: {:?}", sql, own);
    for statement in own {
        prop_assert_eq!(parse::count(statement.sql), Ok(1), "{:?}", statement.sql);
    }
    Ok(true)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn pieces_in_any_order_are_the_same_statements_for_both() {
    proptest!(config(4_000), |(pieces in vec(proptest::sample::select(&PIECES[..]), 1..12))| {
        agrees(&pieces.concat())?;
    });
}

#[test]
fn whole_statements_are_the_same_for_both() {
    proptest!(config(1_000), |(statements in vec(statement(), 1..4), end in ";?[ \n]?")| {
        let sql = statements.join(";") + &end;
        prop_assert!(agrees(&sql)?, "{:?} is refused", sql);
    });
}

#[test]
fn a_text_has_the_same_value_for_both() {
    let connection = duckdb::Connection::open_in_memory().expect("memory");
    let spaces =
        "[\u{a0}\u{2000}\u{200b}\u{202f}\u{205f}\u{2060}\u{3000}\u{feff} a';$\\\\\n-]{0,6}";
    let junk = prop_oneof!["\\PC{0,8}[a-z'\";$\\\\\n\r\t-]{0,8}", spaces];
    let first = prop_oneof![
        "[a-z$]{1,4}".prop_map(|name| format!("1 AS n{name}")),
        value()
    ];
    proptest!(config(3_000), |(junk in junk, before in blank(), first in first, after in blank())| {
        let sql = format!("{before}SELECT {first}{after}, '{}'", junk.replace('\'', "''"));
        let tokens = match tokens(&sql) {
            Ok(tokens) => tokens,
            Err(text) => {
                prop_assert!(text.contains("as a space, though it is quoted"), "{:?}: {}", sql, text);
                return Ok(());
            }
        };
        let own = &tokens.last().expect("a text").token;
        prop_assert_eq!(own, &Token::Text(junk.clone()));
        let found: String = connection.query_row(&sql, [], |row| row.get(1)).expect("a text");
        prop_assert_eq!(found, junk, "{:?}", sql);
    });
    // Where nothing leads DuckDB astray, what is quoted is taken as it is.
    assert!(tokens("SELECT 'a\u{a0}b' /* no quote */ -- it's").is_ok());
    assert!(tokens("/* it's */ SELECT 'a\u{a0}b'").is_err());
    assert!(tokens("/* it's */ SELECT 'ab'").is_ok());
    // DuckDB overlooks the end of a text between dollars that is empty.
    assert!(tokens("SELECT $$$$, '$$''\u{3000}'").is_err());
    assert!(tokens("SELECT $a$$a$, '\u{3000}'").is_err());
    assert!(tokens("SELECT $$ $$, '$$''\u{3000}'").is_ok());
}

#[test]
fn what_looks_like_a_space_stands_in_quotes_only() {
    for c in ('\u{1}'..='\u{ffff}').filter(|c| is_strange(*c)) {
        for sql in [
            format!("SELECT{c}1"),
            format!("SELECT 1{c}"),
            format!("{c}SELECT 1"),
        ] {
            let text = tokens(&sql).expect_err("refused");
            assert!(text.contains(&format!("U+{:04X}", u32::from(c))), "{text}");
        }
        assert!(
            tokens(&format!("SELECT 'a{c}' AS \"b{c}\"")).is_ok(),
            "{c:?}"
        );
    }
    // DuckDB takes no other character for a space.
    for c in ('\u{80}'..='\u{ffff}').filter(|c| !is_strange(*c)) {
        assert!(parse::count(&format!("SELECT{c}1")).is_err(), "{c:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (sql, word) in [
        ("SELECT u&'a'", "U&"),
        ("SELECT U&\"a\"", "U&"),
        ("SELECT e'a'\n'b'", "one string"),
        ("SELECT 'a", "no end"),
        ("SELECT \"a", "no end"),
        ("SELECT $a$ $b$", "no end"),
        ("SELECT 1 /* /* */", "no end"),
        ("SELECT 1 -- a\u{b}", "U+000B"),
        (&format!("SELECT {}1", "(".repeat(201)), "at most 200"),
    ] {
        let text = tokens(sql).expect_err("refused");
        assert!(text.contains(word) && text.contains("line 1"), "{text}");
    }
}
