//! Text for people: columns that line up, and values that cannot disturb a terminal.
//!
//! Names and messages come from providers and from other people's users. A control character in one could move the
//! cursor, retitle the window or forge a line, so none is ever printed.

use std::borrow::Cow;

use serde_json::Value;

/// A text without control characters and without those that change the direction of what follows.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let unsafe_char = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(unsafe_char) { Cow::Owned(text.replace(unsafe_char, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A value of a document as one cell: nothing for null, words joined for a list.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text).into_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        // Seconds may have fractions; most have none.
        Value::Number(number) => {
            number.as_f64().filter(|_| number.is_f64()).map_or(number.to_string(), |n| n.to_string())
        }
        other => plain(&other.to_string()).into_owned(),
    }
}

/// A table under construction.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Table { rows: vec![headings.iter().map(|heading| heading.to_uppercase()).collect()] }
    }

    /// A table of a document's `items`: a heading and a JSON pointer for each column.
    pub(super) fn of_items(document: &Value, columns: &[(&str, &str)]) -> Self {
        let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
        let mut table = Table::new(&headings);
        for item in document["items"].as_array().into_iter().flatten() {
            table.row(columns.iter().map(|(_, pointer)| item.pointer(pointer).map(cell).unwrap_or_default()));
        }
        table
    }

    /// One more row.
    pub(super) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether it has headings and nothing below them.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table as text, or `nothing` when it has no rows.
    pub(super) fn or(self, nothing: &str) -> String {
        if self.is_empty() { format!("{nothing}\n") } else { self.text() }
    }

    /// The table as text.
    pub(super) fn text(self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The fields of a document that say something, one a line: `name  value`; those named in `first` before the others.
pub(super) fn fields(document: &Value, first: &[&str]) -> String {
    let mut table = Table { rows: Vec::new() };
    collect("", document, &mut table);
    let place = |row: &Vec<String>| {
        let name = row.first().map_or("", |name| name.split('.').next().unwrap_or(name));
        first.iter().position(|listed| *listed == name).unwrap_or(first.len())
    };
    table.rows.sort_by_key(place);
    table.text()
}

fn collect(prefix: &str, value: &Value, table: &mut Table) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = if prefix.is_empty() { plain(name).into_owned() } else { format!("{prefix}.{}", plain(name)) };
        let nested = value.as_array().is_some_and(|items| items.iter().any(Value::is_object));
        match value {
            Value::Object(_) => collect(&name, value, table),
            Value::Array(items) if nested => {
                for (index, item) in items.iter().enumerate() {
                    collect(&format!("{name}.{index}"), item, table);
                }
            }
            _ => {
                let text = cell(value);
                if !text.is_empty() {
                    table.row([name, text]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_control_characters_do_not_get_through() {
        let document = json!({"items": [
            {"id": "con_1", "account": {"name": "Al\u{1b}[2Jice"}, "scopes": ["a", "b"]},
            {"id": "con_22", "account": null, "scopes": []},
        ]});
        let table = Table::of_items(&document, &[("id", "/id"), ("name", "/account/name"), ("scopes", "/scopes")]);
        assert_eq!(table.text(), "ID      NAME       SCOPES\ncon_1   Al\u{fffd}[2Jice  a b\ncon_22\n");
    }

    #[test]
    fn a_document_is_shown_field_by_field_without_what_is_empty() {
        let document = json!({"id": "x", "none": null, "account": {"id": "7"}, "secrets": [{"expires_at": "t"}]});
        assert_eq!(
            fields(&document, &["id"]),
            "id                    x\naccount.id            7\nsecrets.0.expires_at  t\n"
        );
    }
}
