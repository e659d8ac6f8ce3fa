//! Finds the paths in Rust source by its tokens, and what a `use` makes of them.

/// A path as it stands, e.g. `pudato_runtime::registry::Walk`.
#[derive(Debug, PartialEq)]
pub struct Found {
    pub path: Vec<String>,
    /// What a `pub use` calls it for other crates.
    pub exported_as: Option<String>,
}

/// Every path of two segments or more, and every leaf of each `use`. A module of tests at the end of a file is left out.
pub fn paths(source: &str) -> Vec<Found> {
    let tokens = tokens(source);
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if token(at) == "use" {
            let is_public = at > 0 && token(at - 1) == "pub";
            at = tree(&tokens, at + 1, &[], is_public, &mut found);
        } else if is_name(token(at)) && token(at + 1) == "::" {
            let mut path = vec![token(at).to_owned()];
            while token(at + 1) == "::" && is_name(token(at + 2)) {
                path.push(token(at + 2).to_owned());
                at += 2;
            }
            found.push(Found {
                path,
                exported_as: None,
            });
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one branch of a `use` from `at` on; returns where it ends.
fn tree(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    is_public: bool,
    found: &mut Vec<Found>,
) -> usize {
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut path = before.to_vec();
    while at < tokens.len() {
        match token(at) {
            "::" => {
                at += 1;
                continue;
            }
            "{" => {
                at += 1;
                while at < tokens.len() && token(at) != "}" {
                    at = tree(tokens, at, &path, is_public, found);
                    at += usize::from(token(at) == ",");
                }
                return at + 1;
            }
            "self" if path.len() > before.len() || !before.is_empty() => at += 1,
            name if is_name(name) || name == "*" => {
                path.push(name.to_owned());
                at += 1;
            }
            _ => break,
        }
        if token(at) != "::" {
            break;
        }
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if token(at) == "as" {
        name = token(at + 1).to_owned();
        at += 2;
    }
    found.push(Found {
        path,
        exported_as: is_public.then_some(name),
    });
    at
}

fn is_name(token: &str) -> bool {
    let is_word = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    is_word && token != "as"
}

/// Words and signs; without comments, texts and the tests at the end.
fn tokens(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod ").next();
    let chars: Vec<char> = source.unwrap_or_default().chars().collect();
    let char = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        match char(at) {
            '/' if char(at + 1) == '/' => {
                while at < chars.len() && char(at) != '\n' {
                    at += 1;
                }
            }
            'r' if matches!(char(at + 1), '"' | '#') && raw_text(&chars, at).is_some() => {
                at = raw_text(&chars, at).unwrap_or(at + 1);
            }
            '"' => {
                at += 1;
                while at < chars.len() && char(at) != '"' {
                    at += 1 + usize::from(char(at) == '\\');
                }
                at += 1;
            }
            // A character, unlike a lifetime, ends with a quote as well.
            '\'' if char(at + 1) == '\\' || char(at + 2) == '\'' => {
                at += 2 + usize::from(char(at + 1) == '\\');
                while at < chars.len() && char(at) != '\'' {
                    at += 1;
                }
                at += 1;
            }
            ':' if char(at + 1) == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                let word = chars[at..].iter();
                let word: String = word
                    .take_while(|c| c.is_alphanumeric() || **c == '_')
                    .collect();
                at += word.chars().count();
                tokens.push(word);
            }
            c if c.is_whitespace() => at += 1,
            c => {
                tokens.push(c.to_string());
                at += 1;
            }
        }
    }
    tokens
}

/// Where the raw text that begins at `at` ends.
fn raw_text(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let begin = at + 1 + hashes;
    if chars.get(begin) != Some(&'"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let rest: String = chars[begin + 1..].iter().collect();
    let length = rest.split(&end).next()?.chars().count();
    Some(begin + 1 + length + end.chars().count())
}

#[test]
fn paths_are_found_however_they_are_written() {
    let source = r##"
        pub use pudato_a::{b::{self, C as D}, e::*};
        use super::f; // pudato_no::x
        pub(crate) use pudato_g::H;
        fn i<'a>(x: &'a str) -> pudato_j::K { pudato_l::m::<u8>("pudato_no::y", '"', r#"pudato_no::"z"#) }
        #[cfg(test)]
mod tests { use pudato_no::w; }
    "##;
    let found = paths(source);
    let shown = found.iter().map(|found| {
        let name = found.exported_as.as_ref();
        let name = name.map_or(String::new(), |name| format!(" as {name}"));
        format!("{}{name}", found.path.join("::"))
    });
    let shown: Vec<String> = shown.collect();
    assert_eq!(
        shown,
        [
            "pudato_a::b as b",
            "pudato_a::b::C as D",
            "pudato_a::e::* as *",
            "super::f",
            "pudato_g::H",
            "pudato_j::K",
            "pudato_l::m",
        ]
    );
}
