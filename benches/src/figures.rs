//! What was measured.

use serde_json::json;

/// Prints figures as they come.
pub struct Figures {
    json: bool,
}

impl Figures {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// One figure.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str) {
        let value = (value * 1_000.0).round() / 1_000.0;
        if self.json {
            println!("{}", json!({"name": name, "value": value, "unit": unit}));
        } else {
            println!("{name:<28} {value:>12} {unit}");
        }
    }

    /// Something that explains a figure; left out of the lines for machines.
    pub fn note(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// The value below which the share `part` of `values` lies.
pub fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return f64::NAN;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a small list"
    )]
    let index = ((values.len() - 1) as f64 * part).round() as usize;
    values[index]
}
