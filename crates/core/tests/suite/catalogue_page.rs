//! The page that describes the fields of an entry describes all of them, and no others.

use std::collections::BTreeSet;

use evergrant_core::catalogue::Catalogue;

const PAGE: &str = include_str!("../../../../docs/catalogue.md");

/// The names in the first column of the tables of a part of the page.
fn described(part: &str) -> BTreeSet<&str> {
    let cells = part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    cells.flat_map(|(names, _)| names.split(", ").map(|name| name.trim_matches('`'))).collect()
}

#[test]
fn every_field_of_an_entry_is_described_and_nothing_else() {
    let (fields, tables) = PAGE.split_once("\n## Tables\n").expect("the page has a part about tables");
    for (table, known) in Catalogue::fields() {
        let part = match table {
            "" => fields,
            // The numbers of the policy have a page of their own.
            "policy" => continue,
            table => {
                let (_, part) = tables.split_once(&format!("\n### {table}\n")).expect(table);
                part.split("\n### ").next().unwrap_or_default()
            }
        };
        let known: BTreeSet<&str> = known.into_iter().collect();
        assert_eq!(described(part), known, "the fields of {}", if table.is_empty() { "an entry" } else { table });
    }
}
