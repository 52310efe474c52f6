//! Asks axe-core what would keep people from using a page.

use evergrant_testkit::peers;
use serde_json::{Value, json};

use super::driver::Driver;

/// Runs in the page: everything that axe-core objects to, as one line each.
const ASK: &str = "
const done = arguments[arguments.length - 1];
const told = node => `${node.html} — ${node.any.concat(node.all, node.none).map(one => one.message).join('; ')}`;
// Whether a sign that nobody reads has enough contrast cannot be told, and need not be.
const read = node => !node.html.includes('aria-hidden');
const line = (kind, counts) => rule => rule.nodes.filter(counts).map(node => `${kind} ${rule.id} (${rule.help}): ${told(node)}`);
axe.run(document, { resultTypes: ['violations', 'incomplete'] }).then(
    found => done({
        passed: found.passes.length,
        lines: found.violations.flatMap(line('violates', () => true)).concat(found.incomplete.flatMap(line('cannot tell', read))),
    }),
    error => done({ passed: 0, lines: [String(error)] }));
";

/// What axe-core objects to on the page that is shown. The page's own policy does not hold for what a driver runs.
pub async fn objections(driver: &Driver) -> Vec<String> {
    let axe = peers::axe_script().await.expect("axe-core is installed");
    let found = driver.post("/execute/async", json!({ "script": format!("{axe}\n{ASK}"), "args": [] })).await;
    let lines: Vec<String> = found["lines"].as_array().into_iter().flatten().map(Value::to_string).collect();
    assert!(!lines.is_empty() || found["passed"].as_u64() > Some(0), "axe-core looked at nothing: {found}");
    lines
}
