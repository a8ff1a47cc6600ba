//! Two results side by side: every number in both, and the difference of the second.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::table::{number, render};

/// Prints the table.
pub fn print(a: &Path, b: &Path) -> Result<()> {
    print!("{}", table(&read(a)?, &read(b)?));
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no result", path.display()))
}

fn table(a: &Value, b: &Value) -> String {
    let mut numbers = Vec::new();
    flatten(String::new(), a, &mut numbers);
    let mut rows = vec![["number", "a", "b", "change"].map(str::to_owned).to_vec()];
    for (path, before) in numbers {
        let Some(after) = b.pointer(&path).and_then(Value::as_f64) else { continue };
        let change = if before == after {
            String::new()
        } else if before == 0.0 {
            "new".to_owned()
        } else {
            format!("{:+.1} %", (after / before - 1.0) * 100.0)
        };
        rows.push(vec![path.trim_start_matches('/').replace('/', " "), number(before), number(after), change]);
    }
    render(&rows)
}

/// Collects all numbers with their JSON pointers; lists are left out.
fn flatten(path: String, value: &Value, numbers: &mut Vec<(String, f64)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                flatten(format!("{path}/{escaped}"), value, numbers);
            }
        }
        Value::Number(number) => numbers.extend(number.as_f64().map(|number| (path, number))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn common_numbers_are_compared() {
        let a = json!({"latency_ms": {"ack": {"p50": 2.0}}, "only_here": 1, "top": [1], "same": 3});
        let b = json!({"latency_ms": {"ack": {"p50": 1.0}}, "same": 3});
        let table = table(&a, &b);
        assert!(table.contains("latency_ms ack p50  2.00  1.00  -50.0 %"), "{table}");
        assert!(table.contains("same") && !table.contains("only_here") && !table.contains("top"), "{table}");
    }
}
