//! What a measurement prints with `--json`, and what two sides of it say together.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The figures of one run, each with its unit.
pub type Figures = BTreeMap<String, (f64, String)>;

/// Reads the lines of a run; other lines than figures are left out.
///
/// # Errors
/// There is no figure.
pub fn read(printed: &str) -> Result<Figures, String> {
    let figure = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let name = line["name"].as_str()?.to_owned();
        let unit = line["unit"].as_str()?.to_owned();
        Some((name, (line["value"].as_f64()?, unit)))
    };
    let figures: Figures = printed.lines().filter_map(figure).collect();
    match figures.is_empty() {
        true => Err("the measurement printed no figure".into()),
        false => Ok(figures),
    }
}

/// One figure on both sides: the medians of all runs, and the median of the ratios within the pairs.
#[derive(Debug, PartialEq)]
struct Compared {
    name: String,
    unit: String,
    base: f64,
    new: f64,
    ratio: f64,
}

/// Prints them, as lines for machines or as a table.
///
/// # Errors
/// Both sides have no figure in common.
pub fn print(pairs: &[(Figures, Figures)], is_json: bool) -> Result<(), String> {
    let (compared, alone) = compared(pairs);
    let is_empty = compared.is_empty();
    if !is_json {
        let head = ["figure", "base", "new", "new/base"];
        println!(
            "{:<32} {:>12} {:>12} {:>9}",
            head[0], head[1], head[2], head[3]
        );
    }
    for figure in compared {
        let Compared {
            name,
            unit,
            base,
            new,
            ratio,
        } = figure;
        if is_json {
            let name = format!("compare.{name}_ratio");
            let rounded = (ratio * 10_000.0).round() / 10_000.0;
            let line =
                json!({"name": name, "value": rounded, "unit": "ratio", "base": base, "new": new});
            println!("{line}");
        } else {
            println!("{name:<32} {base:>12.3} {new:>12.3} {ratio:>9.3} {unit}");
        }
    }
    for name in alone {
        eprintln!("xtask: {name} cannot be compared: a side has no value for it, or the base is 0");
    }
    match is_empty {
        true => Err("no figure of the two sides can be compared".into()),
        false => Ok(()),
    }
}

/// The figures that every run of both sides has, and the names of the others.
fn compared(pairs: &[(Figures, Figures)]) -> (Vec<Compared>, Vec<String>) {
    let runs = || pairs.iter().flat_map(|(base, new)| [base, new]);
    let mut units: BTreeMap<&String, &String> = BTreeMap::new();
    for (name, (_, unit)) in runs().flatten() {
        units.insert(name, unit);
    }
    let (mut all, mut alone) = (Vec::new(), Vec::new());
    for (name, unit) in units {
        let values = pairs
            .iter()
            .map(|(base, new)| Some((base.get(name)?.0, new.get(name)?.0)));
        let values: Option<Vec<(f64, f64)>> = values.collect();
        let values = values.filter(|values| values.iter().all(|(base, _)| *base != 0.0));
        let Some(values) = values else {
            alone.push(name.clone());
            continue;
        };
        let of = |value: fn(&(f64, f64)) -> f64| median(values.iter().map(value).collect());
        all.push(Compared {
            name: name.clone(),
            unit: unit.clone(),
            base: of(|(base, _)| *base),
            new: of(|(_, new)| *new),
            ratio: of(|(base, new)| new / base),
        });
    }
    (all, alone)
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Compared, compared, print, read};

    #[test]
    fn medians_are_of_the_runs_and_of_the_ratios_within_pairs() {
        let run = |value: f64| {
            let line = format!("noise\n{{\"name\":\"e2e.s\",\"value\":{value},\"unit\":\"s\"}}\n");
            read(&line).expect("a figure")
        };
        // The machine becomes slower and slower; the ratio does not.
        let mut pairs = vec![
            (run(1.0), run(2.0)),
            (run(10.0), run(20.0)),
            (run(100.0), run(50.0)),
        ];
        let expected = Compared {
            name: "e2e.s".into(),
            unit: "s".into(),
            base: 10.0,
            new: 20.0,
            ratio: 2.0,
        };
        assert_eq!(compared(&pairs), (vec![expected], vec![]));
        // A figure that one side lacks is named and not guessed.
        pairs[1].1.insert("new.only".into(), (1.0, "s".into()));
        pairs[0].0.insert("zero".into(), (0.0, "s".into()));
        let (all, alone) = compared(&pairs);
        assert_eq!(all.len(), 1);
        assert_eq!(alone, ["new.only", "zero"]);
        assert!(read("no figure\n").is_err());
        assert_eq!(print(&pairs, true), Ok(()));
        pairs[2].0.clear();
        assert!(print(&pairs, true).is_err(), "nothing to compare");
    }
}
