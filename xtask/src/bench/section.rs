//! What a part of the benchmarks found out: the figures that have a target, and the text and tables of its section.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::target::{Figure, number};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    pub title: String,
    pub figures: Vec<Figure>,
    /// Runs in which not everything arrived once and in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    pub blocks: Vec<Block>,
    /// File names and contents of the plots, which the text shows.
    #[serde(skip)]
    pub plots: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    Text(String),
    Table { heads: Vec<String>, rows: Vec<Vec<String>> },
}

impl Section {
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub fn table(&mut self, heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        self.blocks.push(Block::Table { heads, rows: rows.into_iter().collect() });
    }

    /// Notes if something was lost, doubled or swapped in a run.
    pub fn check(&mut self, name: &str, result: &Value) {
        if result["ok"] != true {
            self.faults.push(format!("{name}: `{}` `{}`", result["verification"], result["failures"]));
        }
    }
}

/// A number of a result in a table.
pub fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}
