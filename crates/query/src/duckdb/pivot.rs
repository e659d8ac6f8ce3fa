//! Handles PIVOT without a list of values. DuckDB makes two statements of it: one that finds the values in the data, and the query.
//!
//! DuckDB shows no plan for these. The query reads the same with any list of values, so a list is inserted to make the plan.

use super::parse;
use super::tokens::{Placed, Token, tokens};
use crate::engine::EngineError;

/// The query with a list of values in each PIVOT that has none. It is planned but never run.
///
/// # Errors
/// `Invalid`: it is unclear where a list belongs.
pub(super) fn with_values(sql: &str) -> Result<String, EngineError> {
    let tokens = tokens(sql).map_err(EngineError::Invalid)?;
    let mut places: Vec<usize> = (0..tokens.len())
        .filter(|n| is_word(&tokens[*n], &["PIVOT", "PIVOT_WIDER"]))
        .flat_map(|n| missing(&tokens[n + 1..]))
        .collect();
    places.sort_unstable();
    places.dedup();
    let mut listed = sql.to_owned();
    for place in places.into_iter().rev() {
        listed.insert_str(place, " IN ('x')");
    }
    // DuckDB itself decides whether every PIVOT now has a list.
    if parse::count(&listed) == Ok(1) {
        return Ok(listed);
    }
    Err(EngineError::Invalid(format!(
        "payload.sql: pudato cannot find out what this PIVOT reads; {ADVICE}"
    )))
}

/// The advice for a PIVOT that cannot be analysed.
pub(super) const ADVICE: &str = "list its values, e.g. PIVOT t ON a IN ('x', 'y')";

/// The places of missing lists after the word PIVOT: at the end of each expression between ON and the clause that follows.
fn missing(tokens: &[Placed]) -> Vec<usize> {
    let (mut depth, mut on, mut end) = (0_i32, None, tokens.len());
    for (n, placed) in tokens.iter().enumerate() {
        depth += nesting(placed);
        if depth < 0 || (depth == 0 && is_word(placed, &["USING", "GROUP", "ORDER", "LIMIT"])) {
            end = n;
            break;
        }
        if depth == 0 && is_word(placed, &["ON"]) {
            on = Some(n);
        }
    }
    let Some(on) = on else {
        return Vec::new();
    };
    let (mut depth, mut has_list, mut places) = (0, false, Vec::new());
    let mut last = None;
    for placed in &tokens[on + 1..end] {
        depth += nesting(placed);
        if depth == 0 && placed.token == Token::Symbol(',') {
            places.extend(last.filter(|_| !has_list));
            has_list = false;
            continue;
        }
        has_list |= depth == 0 && is_word(placed, &["IN"]);
        last = Some(placed.range.end);
    }
    places.extend(last.filter(|_| !has_list));
    places
}

fn nesting(placed: &Placed) -> i32 {
    match placed.token {
        Token::Symbol('(' | '[' | '{') => 1,
        Token::Symbol(')' | ']' | '}') => -1,
        _ => 0,
    }
}

fn is_word(placed: &Placed, words: &[&str]) -> bool {
    let is = |word: &String| words.iter().any(|other| word.eq_ignore_ascii_case(other));
    matches!(&placed.token, Token::Word(word) if is(word))
}

#[cfg(test)]
mod tests {
    use super::with_values;

    #[test]
    fn every_pivot_gets_a_list() {
        for (sql, listed) in [
            (
                "PIVOT t ON a USING sum(b)",
                "PIVOT t ON a IN ('x') USING sum(b)",
            ),
            (
                "PIVOT (FROM t) ON a, lower(b || ',') GROUP BY c",
                "PIVOT (FROM t) ON a IN ('x'), lower(b || ',') IN ('x') GROUP BY c",
            ),
            (
                "SELECT * FROM (PIVOT t JOIN u ON t.a = u.a ON b IN ('y'), c) ORDER BY 1",
                "SELECT * FROM (PIVOT t JOIN u ON t.a = u.a ON b IN ('y'), c IN ('x')) ORDER BY 1",
            ),
        ] {
            assert_eq!(with_values(sql).as_deref(), Ok(listed));
        }
        let text = with_values("PIVOT t JOIN u USING (a) ON b").expect_err("not understood");
        assert!(text.to_string().contains("list its values"), "{text}");
    }
}
