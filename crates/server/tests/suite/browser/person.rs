//! What a person does with a browser, and what only a test does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use serde_json::{Value, json};

use super::axe;
use super::driver::Driver;
use crate::waiting::{LONG, wait_for};

/// Everything that is shown and can be used, also inside open shadow roots.
const USABLE: &str = "
const found = [];
const walk = root => {
    for (const one of root.querySelectorAll('*')) {
        if (one.matches('a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button]')
            && one.getClientRects().length > 0) found.push(one);
        if (one.shadowRoot) walk(one.shadowRoot);
    }
};
walk(document);
return found;
";

/// All text that is shown, also inside open shadow roots.
const SHOWN: &str = "
const parts = document.body ? [document.body.innerText] : [];
const walk = root => {
    for (const one of root.querySelectorAll('*')) {
        if (one.shadowRoot) { for (const child of one.shadowRoot.children) parts.push(child.innerText || ''); walk(one.shadowRoot); }
    }
};
walk(document);
return parts.join('\\n');
";

/// WebDriver's name for a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser in the hands of one person: its own cookies, one window.
pub struct Browser {
    driver: Driver,
    scripts: AtomicBool,
}

impl Browser {
    /// Starts one, in English, with scripts on, as large as a desk's.
    pub async fn start() -> Self {
        Browser::of_language("en").await
    }

    /// The same for a person who prefers another language (`de`).
    pub async fn of_language(language: &str) -> Self {
        Browser { driver: Driver::start(language).await, scripts: AtomicBool::new(true) }
    }

    /// Starts one that runs no scripts of pages.
    pub async fn without_scripts() -> Self {
        let browser = Browser::start().await;
        browser.set_scripts(false).await;
        browser
    }

    /// Opens an address. One that nobody answers is no failure: the browser stands at it.
    pub async fn open(&self, address: &str) {
        if let Err(said) = self.driver.try_post("/url", &json!({ "url": address })).await {
            assert!(said.contains("net::ERR_"), "{address}: {said}");
        }
    }

    /// Where it is now.
    pub async fn address(&self) -> String {
        self.driver.get("/url").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until it stands at an address that begins so; the whole of it.
    pub async fn arrives(&self, beginning: &str) -> String {
        wait_for(LONG, &format!("the browser at {beginning}"), async || {
            Some(self.address().await).filter(|address| address.starts_with(beginning))
        })
        .await
    }

    /// The page's title.
    pub async fn title(&self) -> String {
        self.driver.get("/title").await.as_str().unwrap_or_default().to_owned()
    }

    /// All text that is shown.
    pub async fn text(&self) -> String {
        self.run(SHOWN, &[]).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this is shown; all text.
    pub async fn shows(&self, words: &str) -> String {
        wait_for(LONG, &format!("“{words}” on the page"), async || {
            // Between two pages there is none to ask.
            let shown = self.try_run(SHOWN, &[]).await.ok()?;
            shown.as_str().filter(|text| text.contains(words)).map(str::to_owned)
        })
        .await
    }

    /// Presses what a screen reader calls so: a button, a link, a box, a choice.
    pub async fn press(&self, name: &str) {
        let element = self.named(name).await;
        self.driver.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Writes into the field that a screen reader calls so, in the place of what stood there.
    pub async fn fill(&self, name: &str, text: &str) {
        let element = self.named(name).await;
        self.driver.post(&format!("/element/{element}/clear"), json!({})).await;
        self.driver.post(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Chooses from the list that a screen reader calls so.
    pub async fn select(&self, name: &str, choice: &str) {
        let element = self.named(name).await;
        let script = "const at = [...arguments[0].options].find(one => one.label === arguments[1]); at.selected = true; \
                      return at.label;";
        let chosen = self.run(script, &[json!({ ELEMENT: element }), json!(choice)]).await;
        assert_eq!(chosen, choice, "{name}");
    }

    /// Whether the box or choice that a screen reader calls so is ticked.
    pub async fn is_ticked(&self, name: &str) -> bool {
        let element = self.named(name).await;
        self.driver.get(&format!("/element/{element}/selected")).await == true
    }

    /// Whether something that can be used is called so, now.
    pub async fn has(&self, name: &str) -> bool {
        self.names().await.iter().any(|(found, _)| found == name)
    }

    /// Presses keys on whatever has the focus, as WebDriver names them (`\u{E004}` is Tab, `\u{E007}` Enter).
    pub async fn keys(&self, keys: &str) {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let all: Vec<Value> = keys.chars().flat_map(press).collect();
        self.driver.post("/actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": all }] })).await;
    }

    /// What a screen reader calls that which has the focus.
    pub async fn focused(&self) -> String {
        let element = self.driver.get("/element/active").await;
        self.label(&element).await
    }

    /// Runs a script in the page, also where pages' own are off; `return` gives its result.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.try_run(script, arguments).await.expect("the script runs")
    }

    async fn try_run(&self, script: &str, arguments: &[Value]) -> Result<Value, String> {
        self.driver.try_post("/execute/sync", &json!({ "script": script, "args": arguments })).await
    }

    /// Turns the scripts of pages on or off, from now on.
    pub async fn set_scripts(&self, on: bool) {
        self.scripts.store(on, Ordering::Relaxed);
        self.driver.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !on })).await;
    }

    /// As for a person who prefers dark pages, or light ones.
    pub async fn set_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.driver.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// As on the smallest telephone that counts (WCAG 2.2, 1.4.10), or on a desk again.
    pub async fn set_mobile(&self, mobile: bool) {
        let size = if mobile { (320, 640, 2) } else { (1024, 768, 1) };
        let metrics = json!({ "width": size.0, "height": size.1, "deviceScaleFactor": size.2, "mobile": mobile });
        self.driver.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Writes a picture of the whole page to `target/screenshots/<name>.png`.
    pub async fn picture(&self, name: &str) -> PathBuf {
        let options = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.driver.devtools("Page.captureScreenshot", options).await;
        let picture = base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().expect("a picture"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder").join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, picture.expect("base64")).expect("a picture can be written");
        file
    }

    /// Looks at the page as different people do: light and dark, on a desk and on a telephone. Nobody may be kept from using
    /// it, nothing may lie beside the screen, and there is a picture of each: `<name>-light`, `-dark`, `-mobile`.
    pub async fn look(&self, name: &str) {
        for (dark, mobile, how) in [(false, false, "light"), (true, false, "dark"), (false, true, "mobile")] {
            self.set_dark(dark).await;
            self.set_mobile(mobile).await;
            let objections = self.objections().await;
            self.picture(&format!("{name}-{how}")).await;
            assert!(objections.is_empty(), "{name}, {how}: {objections:#?}");
            let wide = "const all = document.documentElement; return all.scrollWidth - all.clientWidth;";
            let beside = self.run(wide, &[]).await.as_i64();
            assert_eq!(beside, Some(0), "{name}, {how}: so many pixels lie beside the screen");
        }
        self.set_mobile(false).await;
    }

    /// What axe-core objects to.
    pub async fn objections(&self) -> Vec<String> {
        let scripts = self.scripts.load(Ordering::Relaxed);
        self.set_scripts(true).await;
        let found = axe::objections(&self.driver).await;
        self.set_scripts(scripts).await;
        found
    }

    /// The element that a screen reader calls so, once there is exactly one.
    async fn named(&self, name: &str) -> String {
        let mut seen = Vec::new();
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            let found: Vec<(String, String)> = self.names().await;
            let mut fitting = found.iter().filter(|(label, _)| label == name);
            if let (Some((_, element)), None) = (fitting.next(), fitting.next()) {
                return element.clone();
            }
            seen.clear();
            seen.extend(found.into_iter().map(|(label, _)| label));
            assert!(tokio::time::Instant::now() < deadline, "not exactly one thing is called “{name}”: {seen:?}");
            crate::waiting::pass(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Everything that can be used, with what a screen reader calls it.
    async fn names(&self) -> Vec<(String, String)> {
        let mut named = Vec::new();
        // Between two pages there is none to ask.
        let found = self.try_run(USABLE, &[]).await.unwrap_or_default();
        for element in found.as_array().into_iter().flatten() {
            let label = self.label(element).await;
            named.push((label, element[ELEMENT].as_str().unwrap_or_default().to_owned()));
        }
        named
    }

    async fn label(&self, element: &Value) -> String {
        let element = element[ELEMENT].as_str().unwrap_or_default();
        let label = self.driver.try_get(&format!("/element/{element}/computedlabel")).await.unwrap_or_default();
        label.as_str().unwrap_or_default().trim().to_owned()
    }
}
