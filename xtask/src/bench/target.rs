//! The target figures, and if they were reached.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtLeast,
    AtMost,
}

/// A measured figure and its target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub unit: String,
    pub bound: Bound,
    pub target: f64,
    /// `None` if it could not be measured here.
    pub value: Option<f64>,
}

impl Figure {
    pub fn at_most(name: &str, value: Option<f64>, target: f64, unit: &str) -> Self {
        Self::new(name, value, Bound::AtMost, target, unit)
    }

    pub fn at_least(name: &str, value: Option<f64>, target: f64, unit: &str) -> Self {
        Self::new(name, value, Bound::AtLeast, target, unit)
    }

    fn new(name: &str, value: Option<f64>, bound: Bound, target: f64, unit: &str) -> Self {
        // JSON has no NaN.
        let value = value.filter(|value| value.is_finite());
        Self { name: name.to_owned(), unit: unit.to_owned(), bound, target, value }
    }

    /// Returns `met`, or by how much the target was missed.
    pub fn verdict(&self) -> String {
        let Some(value) = self.value else { return "not measured".to_owned() };
        let off = value / self.target;
        match self.bound {
            Bound::AtMost if value <= self.target => "met".to_owned(),
            Bound::AtLeast if value >= self.target => "met".to_owned(),
            Bound::AtMost => format!("missed: {off:.2} times as much"),
            Bound::AtLeast => format!("missed: {:.0} % of it", off * 100.0),
        }
    }

    pub fn shown_value(&self) -> String {
        self.value.map_or("–".to_owned(), |value| format!("{} {}", number(value), self.unit).trim_end().to_owned())
    }

    pub fn shown_target(&self) -> String {
        let sign = if self.bound == Bound::AtMost { "≤" } else { "≥" };
        format!("{sign} {} {}", number(self.target), self.unit).trim_end().to_owned()
    }
}

/// Returns a number of a result, by its JSON pointer.
pub fn at(result: &Value, pointer: &str) -> Option<f64> {
    result.pointer(pointer).and_then(Value::as_f64)
}

/// Returns the median, of an even number the higher one; `None` of nothing.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Formats a number with about three significant digits, thousands separated.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if decimals > 0 {
        return text;
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{sign}{}", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_say_by_how_much() {
        assert_eq!(Figure::at_most("a", Some(1.0), 1.1, "ms").verdict(), "met");
        assert_eq!(Figure::at_most("a", Some(2.2), 1.1, "ms").verdict(), "missed: 2.00 times as much");
        assert_eq!(Figure::at_least("a", Some(7_500.0), 15_000.0, "/s").verdict(), "missed: 50 % of it");
        assert_eq!(Figure::at_least("a", None, 1.0, "").verdict(), "not measured");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [1_234_567.0, 0.0, 0.0123, 3.456, 12.34, 999.9].map(number);
        assert_eq!(shown, ["1,234,567", "0", "0.0123", "3.46", "12.3", "1,000"]);
    }
}
