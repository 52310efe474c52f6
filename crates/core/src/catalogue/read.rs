//! Reads catalogue files: strictly, and with the line of whatever is wrong.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::error::{EntryError, Wrong};
use super::{check, inherit, kinds, names};
use crate::id::ProviderId;
use crate::policy::PolicyOverrides;
use crate::provider::{AfterGrant, Also, Provider, Rule, SecondExchange, SignedClaims};

/// A file that is TOML with known fields of the right types.
struct File<'t> {
    name: &'t str,
    text: &'t str,
    places: DeTable<'t>,
    table: toml::Table,
}

/// An entry that was read.
pub(super) struct Read {
    pub(super) id: ProviderId,
    pub(super) entry: Provider,
    /// The entry that its family begins with; itself, where it extends none.
    pub(super) head: ProviderId,
}

/// The entries of a set of files that can be used, and what is wrong with the others.
pub(super) fn all<'t>(
    files: impl IntoIterator<Item = (&'t str, &'t str)>,
    private_networks: bool,
) -> (Vec<Read>, Vec<EntryError>) {
    let (mut read, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, text) in files {
        match open(name, text) {
            Ok((id, file)) => {
                if read.insert(id, file).is_some() {
                    errors.push(EntryError {
                        file: name.to_owned(),
                        line: 1,
                        field: String::new(),
                        wrong: Wrong::Twice,
                    });
                }
            }
            Err(wrong) => errors.extend(wrong),
        }
    }
    let mut entries = Vec::new();
    for (id, file) in &read {
        match entry(id, file, &read, private_networks) {
            Ok(entry) => entries.push(Read { head: head(id, &read), id: id.clone(), entry }),
            Err(wrong) => errors.push(wrong),
        }
    }
    (entries, errors)
}

/// The entry that a family begins with. Circles have been refused before.
fn head(id: &ProviderId, all: &BTreeMap<ProviderId, File<'_>>) -> ProviderId {
    let parent = all.get(id).and_then(|file| file.table.get("extends")?.as_str()?.parse().ok());
    parent.map_or_else(|| id.clone(), |parent| head(&parent, all))
}

fn open<'t>(name: &'t str, text: &'t str) -> Result<(ProviderId, File<'t>), Vec<EntryError>> {
    let wrong = |line, wrong| vec![EntryError { file: name.to_owned(), line, field: String::new(), wrong }];
    let id = name.strip_suffix(".toml").and_then(|id| id.parse().ok()).ok_or_else(|| wrong(1, Wrong::FileName))?;
    let syntax = |why: toml::de::Error| {
        wrong(why.span().map_or(1, |span| line(text, span.start)), Wrong::Syntax(why.message().to_owned()))
    };
    let places = DeTable::parse(text).map_err(syntax)?.into_inner();
    let table = text.parse().map_err(syntax)?;
    let file = File { name, text, places, table };
    let unknown = file.unknown_fields();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    match toml::from_str::<Provider>(text) {
        Ok(_) => Ok((id, file)),
        Err(why) => {
            let at = why.span().map_or(0, |span| span.start);
            Err(vec![file.error(&path_at(&file.places, at), line(text, at), Wrong::Type(why.message().to_owned()))])
        }
    }
}

/// The whole entry of a file: inherited and checked.
fn entry(
    id: &ProviderId,
    file: &File<'_>,
    all: &BTreeMap<ProviderId, File<'_>>,
    private_networks: bool,
) -> Result<Provider, EntryError> {
    let table = whole(id, file, all, &mut vec![id.clone()])?;
    let at_top = |wrong| file.error("", 1, wrong);
    let mut entry: Provider =
        table.try_into().map_err(|why: toml::de::Error| at_top(Wrong::Type(why.message().to_owned())))?;
    entry.id = Some(id.clone());
    entry.extends = None;
    kinds::settle(&mut entry);
    check::check_file(&entry, private_networks).map_err(|fault| {
        let line = file.line_of(&fault.field);
        file.error(&fault.field, line, Wrong::Value { expected: fault.expected })
    })?;
    Ok(entry)
}

fn whole(
    id: &ProviderId,
    file: &File<'_>,
    all: &BTreeMap<ProviderId, File<'_>>,
    above: &mut Vec<ProviderId>,
) -> Result<toml::Table, EntryError> {
    let Some(parent) = file.table.get("extends").and_then(toml::Value::as_str) else {
        return Ok(file.table.clone());
    };
    let wrong = |wrong| file.error("extends", file.line_of("extends"), wrong);
    let parent_id: ProviderId = parent.parse().map_err(|_| wrong(Wrong::UnknownParent))?;
    let parent = all.get(&parent_id).ok_or_else(|| wrong(Wrong::UnknownParent))?;
    if above.contains(&parent_id) {
        return Err(wrong(Wrong::Circle));
    }
    above.push(id.clone());
    above.push(parent_id.clone());
    Ok(inherit::file(file.table.clone(), &whole(&parent_id, parent, all, above)?))
}

impl File<'_> {
    fn error(&self, field: &str, line: usize, wrong: Wrong) -> EntryError {
        EntryError { file: self.name.to_owned(), line, field: field.to_owned(), wrong }
    }

    /// Fields that no entry, rule or policy has.
    fn unknown_fields(&self) -> Vec<EntryError> {
        let mut errors = self.unknown_in(&self.places, "", names::of::<Provider>());
        for (table, known) in [("policy", PolicyOverrides::NAMES), ("second_exchange", names::of::<SecondExchange>())] {
            if let Some(inner) = self.places.get(table).and_then(|value| value.get_ref().as_table()) {
                errors.extend(self.unknown_in(inner, &format!("{table}."), known));
            }
        }
        for field in ["client_assertion", "signed_secret", "assertion"] {
            if let Some(signed) = self.places.get(field).and_then(|value| value.get_ref().as_table()) {
                errors.extend(self.unknown_in(signed, &format!("{field}."), names::of::<SignedClaims>()));
            }
        }
        let lists =
            [("rules", names::of::<Rule>()), ("after_grant", names::of::<AfterGrant>()), ("also", names::of::<Also>())];
        for (list, known) in lists {
            let items = self.places.get(list).and_then(|value| value.get_ref().as_array());
            for (at, item) in items.into_iter().flatten().enumerate() {
                if let Some(item) = item.get_ref().as_table() {
                    errors.extend(self.unknown_in(item, &format!("{list}[{at}]."), known));
                }
            }
        }
        errors
    }

    fn unknown_in(&self, table: &DeTable<'_>, path: &str, known: &'static [&'static str]) -> Vec<EntryError> {
        let unknown = table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        unknown
            .map(|(key, _)| {
                let nearest = names::nearest(key.get_ref(), known);
                let line = line(self.text, key.span().start);
                self.error(&format!("{path}{}", key.get_ref()), line, Wrong::UnknownField { nearest })
            })
            .collect()
    }

    /// The line of a field, or the first one where the field is inherited or missing.
    fn line_of(&self, path: &str) -> usize {
        let mut steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
        let Some(first) = steps.next() else { return 1 };
        let Some((key, value)) = self.places.iter().find(|(key, _)| key.get_ref() == first) else { return 1 };
        let mut at = key.span().start;
        let mut value = value.get_ref();
        for step in steps {
            let (inner_at, inner) = match value {
                DeValue::Table(table) => match table.iter().find(|(key, _)| key.get_ref() == step) {
                    Some((key, inner)) => (key.span().start, inner.get_ref()),
                    None => break,
                },
                DeValue::Array(items) => match step.parse::<usize>().ok().and_then(|step| items.get(step)) {
                    Some(inner) => (inner.span().start, inner.get_ref()),
                    None => break,
                },
                _ => break,
            };
            (at, value) = (inner_at, inner);
        }
        line(self.text, at)
    }
}

/// The path to the innermost value that covers a position.
fn path_at(table: &DeTable<'_>, position: usize) -> String {
    for (key, value) in table {
        if !value.span().contains(&position) && !key.span().contains(&position) {
            continue;
        }
        let inner = match value.get_ref() {
            DeValue::Table(table) => path_at(table, position),
            DeValue::Array(items) => {
                let found = items.iter().enumerate().find(|(_, item)| item.span().contains(&position));
                return match found {
                    Some((at, item)) => {
                        let inner = item.get_ref().as_table().map(|table| path_at(table, position)).unwrap_or_default();
                        let dot = if inner.is_empty() { "" } else { "." };
                        format!("{}[{at}]{dot}{inner}", key.get_ref())
                    }
                    None => key.get_ref().to_string(),
                };
            }
            _ => String::new(),
        };
        let dot = if inner.is_empty() { "" } else { "." };
        return format!("{}{dot}{inner}", key.get_ref());
    }
    String::new()
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
