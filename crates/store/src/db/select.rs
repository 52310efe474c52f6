//! Statements with conditions that may be there or not, put together from fixed parts; what varies is always a value.

use std::collections::BTreeSet;

use evergrant_core::id::IntegrationName;

use super::sql::{Row, Sql};
use super::value::{ToValue, Value};
use crate::error::StoreError;

/// A statement that is being put together.
pub(crate) struct Select<'a> {
    text: String,
    values: Vec<Value<'a>>,
    conditions: usize,
}

impl<'a> Select<'a> {
    /// Begins with the columns and the tables.
    pub fn from(text: &'static str) -> Self {
        Select { text: text.to_owned(), values: Vec::new(), conditions: 0 }
    }

    /// A condition in which `#` stands for the value.
    pub fn and(&mut self, condition: &'static str, value: &'a (impl ToValue + ?Sized)) {
        self.values.push(value.to_value());
        let number = format!("?{}", self.values.len());
        self.push(&condition.replace('#', &number));
    }

    /// A condition without a value.
    pub fn and_plain(&mut self, condition: &'static str) {
        self.push(condition);
    }

    /// That a column is one of these names; none of them fits nothing.
    pub fn and_in(&mut self, column: &'static str, names: &'a BTreeSet<IntegrationName>) {
        let first = self.values.len() + 1;
        self.values.extend(names.iter().map(ToValue::to_value));
        let numbers: Vec<String> = (first..=self.values.len()).map(|number| format!("?{number}")).collect();
        self.push(&if numbers.is_empty() {
            "1 = 0".to_owned()
        } else {
            format!("{column} IN ({})", numbers.join(", "))
        });
    }

    /// Reads at most `limit` rows.
    pub fn run<T>(
        mut self,
        sql: &Sql<'_>,
        order: &'static str,
        limit: usize,
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.values.push(Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
        let text = format!("{} {order} LIMIT ?{}", self.text, self.values.len());
        sql.all_of(&text, &self.values, read)
    }

    fn push(&mut self, condition: &str) {
        self.text.push_str(if self.conditions == 0 { " WHERE " } else { " AND " });
        self.text.push_str(condition);
        self.conditions += 1;
    }
}
