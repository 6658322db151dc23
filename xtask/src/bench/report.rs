//! How results are shown: a table for people, or one JSON document.

use serde_json::{Value, json};

/// Rows of numbers under named columns.
pub(super) struct Report {
    title: String,
    unit: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
    notes: Vec<String>,
}

/// One result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    /// A single figure.
    One(f64),
    /// The least and the middle of several rounds.
    Spread {
        /// Least.
        min: f64,
        /// Middle.
        median: f64,
    },
    /// Not measured.
    None,
}

impl Report {
    /// An empty report.
    pub(super) fn new(title: &str, unit: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { title: title.to_owned(), unit: unit.to_owned(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row, a cell for each column.
    pub(super) fn row(&mut self, name: &str, cells: Vec<Cell>) {
        self.rows.push((name.to_owned(), cells));
    }

    /// Adds a sentence below the table.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Whether there is a row, and none without a figure (tests).
    #[cfg(test)]
    pub(super) fn is_filled(&self) -> bool {
        let is_figure =
            |cell: &Cell| matches!(cell, Cell::One(value) | Cell::Spread { min: value, .. } if value.is_finite());
        !self.rows.is_empty() && self.rows.iter().all(|(_, cells)| cells.iter().any(is_figure))
    }

    /// Prints it.
    pub(super) fn print(&self, as_json: bool) {
        if as_json { println!("{:#}", self.json()) } else { print!("{}", self.text()) }
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(name, cells)| {
            let cells = self.columns.iter().zip(cells).map(|(column, cell)| (column.clone(), cell.json()));
            let values: serde_json::Map<String, Value> = cells.collect();
            json!({ "name": name, "values": values })
        });
        let rows: Vec<Value> = rows.collect();
        json!({ "title": self.title, "unit": self.unit, "rows": rows, "notes": self.notes })
    }

    fn text(&self) -> String {
        let name_width = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let width = self.columns.iter().map(|column| column.chars().count()).max().unwrap_or(0).max(14);
        let line = |name: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("  {cell:>width$}")).collect::<Vec<_>>().concat();
            format!("{name:name_width$}{cells}")
        };
        let mut lines = vec![format!("{} ({})", self.title, self.unit), line("", self.columns.clone())];
        lines.extend(self.rows.iter().map(|(name, cells)| line(name, cells.iter().map(|cell| cell.text()).collect())));
        lines.extend(self.notes.iter().cloned());
        lines.join("\n") + "\n"
    }
}

impl Cell {
    fn json(self) -> Value {
        match self {
            Self::One(value) => json!(value),
            Self::Spread { min, median } => json!({ "min": min, "median": median }),
            Self::None => Value::Null,
        }
    }

    fn text(self) -> String {
        match self {
            Self::One(value) => figure(value),
            Self::Spread { min, median } => format!("{} / {}", figure(min), figure(median)),
            Self::None => "-".to_owned(),
        }
    }
}

/// Three digits are what a shared machine can repeat.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_missing_values_are_dashes() {
        let mut report = Report::new("Cost", "ns", &["1 flow", "16k flows"]);
        report.row("ours", vec![Cell::Spread { min: 6.0, median: 6.25 }, Cell::One(123.4)]);
        report.row("a peer", vec![Cell::None, Cell::One(12.34)]);
        report.note("one CPU");
        let want = "Cost (ns)
                1 flow       16k flows
ours       6.00 / 6.25             123
a peer               -            12.3
one CPU
";
        assert_eq!(report.text(), want);
    }
}
