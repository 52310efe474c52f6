//! A person's browser: headless Chromium, which sees the pages as people do.
//!
//! [`Browser`] does what a person does: it opens addresses, presses and fills in what a screen reader would name so, and
//! reads. It also does what a person cannot: it turns scripts off, takes pictures and asks axe-core what would keep people
//! from using the page.

mod axe;
mod choosing;
mod connecting;
mod driver;
mod failing;
mod mine;
mod person;
mod story;

pub use person::Browser;

/// Presses on to the provider on the page that is shown, and agrees there as this person (`Alice Arden alice@example.com`).
pub async fn agree_as(browser: &Browser, person: &str) {
    browser.press("Continue").await;
    browser.press(person).await;
    browser.press("Allow").await;
}
