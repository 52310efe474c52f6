//! Plays a person's browser in tests: keeps cookies, shows each redirect, reads a page's forms and submits them.
//!
//! Cookies are kept for each host, whatever the port, as real browsers do; `SameSite` is not modelled, because everything
//! is on loopback. It runs no script, which is how the pages of the product and of the judge must work anyway.

use bytes::Bytes;
use http::Method;
use url::Url;

use crate::html::{Form, forms};
use crate::http::{Http, HttpError, Reply, loopback};

/// How many redirects are followed before it is called a loop.
const MAX_REDIRECTS: usize = 20;

/// A browser with its cookies.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    cookies: Vec<Cookie>,
    strangers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// A page, or a redirect that was not followed.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it is.
    pub url: Url,
    /// The answer.
    pub reply: Reply,
    /// The addresses that redirected here, oldest first.
    pub trail: Vec<Url>,
}

impl Page {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.reply.status
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.reply.text()
    }

    /// Where a redirect leads, if it is one.
    #[must_use]
    pub fn location(&self) -> Option<Url> {
        let redirect = (300..400).contains(&self.reply.status);
        let location = self.reply.headers.get("location").filter(|_| redirect)?;
        self.url.join(location.to_str().ok()?).ok()
    }

    /// A parameter of the address that a redirect leads to, or else of the page's own.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let url = self.location().unwrap_or_else(|| self.url.clone());
        url.query_pairs().find(|(of, _)| of == name).map(|(_, value)| value.into_owned())
    }

    /// The forms of the page.
    #[must_use]
    pub fn forms(&self) -> Vec<Form> {
        forms(&self.text())
    }

    /// The only form of the page, or the first.
    ///
    /// # Errors
    /// When there is none.
    pub fn form(&self) -> Result<Form, HttpError> {
        let none = || HttpError::Content(format!("no form on {} ({}): {}", self.url, self.status(), self.text()));
        self.forms().into_iter().next().ok_or_else(none)
    }
}

impl Browser {
    /// A browser without a past.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Redirects to addresses that begin so are shown and not followed: for an application that nobody runs.
    #[must_use]
    pub fn stop_before(mut self, prefix: &str) -> Self {
        self.strangers.push(prefix.to_owned());
        self
    }

    /// The value of a cookie, if it is kept for this host.
    #[must_use]
    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.cookies
            .iter()
            .find(|cookie| cookie.host == host && cookie.name == name)
            .map(|cookie| cookie.value.as_str())
    }

    /// Forgets all cookies.
    pub fn forget(&mut self) {
        self.cookies.clear();
    }

    /// Opens an address and shows what comes, a redirect too.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn open(&mut self, url: &str) -> Result<Page, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::Address(url.to_owned()))?;
        self.request(Method::GET, url, None, Bytes::new()).await
    }

    /// Opens an address and follows where it leads, up to a page or an address that it must stop before.
    ///
    /// # Errors
    /// When an answer does not come whole, or the redirects go round in circles.
    pub async fn visit(&mut self, url: &str) -> Result<Page, HttpError> {
        let page = self.open(url).await?;
        self.follow(page).await
    }

    /// Follows a redirect, and the next, up to a page.
    ///
    /// # Errors
    /// As [`Browser::visit`].
    pub async fn follow(&mut self, mut page: Page) -> Result<Page, HttpError> {
        for _ in 0..MAX_REDIRECTS {
            let Some(next) = page.location().filter(|next| self.goes_to(next)) else { return Ok(page) };
            let mut trail = std::mem::take(&mut page.trail);
            trail.push(page.url.clone());
            let from = page.url.clone();
            page = self.request(Method::GET, next, Some(&from), Bytes::new()).await?;
            page.trail = trail;
        }
        Err(HttpError::Content(format!("more than {MAX_REDIRECTS} redirects, the last at {}", page.url)))
    }

    /// Submits a form of a page and shows what comes, a redirect too.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn submit(&mut self, page: &Page, form: &Form) -> Result<Page, HttpError> {
        let mut url = page.url.join(&form.action).map_err(|_| HttpError::Address(form.action.clone()))?;
        let fields = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        if form.method == Method::POST {
            return self.request(Method::POST, url, Some(&page.url), fields.into()).await;
        }
        url.set_query(Some(&fields));
        self.request(Method::GET, url, Some(&page.url), Bytes::new()).await
    }

    /// Submits a form and follows where it leads.
    ///
    /// # Errors
    /// As [`Browser::visit`].
    pub async fn press(&mut self, page: &Page, form: &Form) -> Result<Page, HttpError> {
        let answer = self.submit(page, form).await?;
        self.follow(answer).await
    }

    fn goes_to(&self, next: &Url) -> bool {
        loopback(next.as_str()).is_some() && !self.strangers.iter().any(|prefix| next.as_str().starts_with(prefix))
    }

    async fn request(&mut self, method: Method, url: Url, from: Option<&Url>, body: Bytes) -> Result<Page, HttpError> {
        let mut http = Http::new("")
            .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", site(from, &url));
        if let Some(from) = from.filter(|_| method == Method::POST) {
            http = http.header("origin", &from.origin().ascii_serialization());
        }
        if let Some(cookies) = self.cookies_for(&url) {
            http = http.header("cookie", &cookies);
        }
        let kind = (method == Method::POST).then_some("application/x-www-form-urlencoded");
        let reply = http.send(method, url.as_str(), kind, body).await?;
        self.keep_cookies(&url, &reply);
        Ok(Page { url, reply, trail: Vec::new() })
    }

    fn cookies_for(&self, url: &Url) -> Option<String> {
        let host = url.host_str()?;
        let fits = |cookie: &&Cookie| {
            let path = cookie.path.trim_end_matches('/');
            let rest = url.path().strip_prefix(path);
            cookie.host == host && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let pairs: Vec<String> =
            self.cookies.iter().filter(fits).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn keep_cookies(&mut self, url: &Url, reply: &Reply) {
        for line in reply.headers.get_all("set-cookie") {
            let Some((cookie, gone)) = line.to_str().ok().and_then(|line| parse_cookie(url, line)) else { continue };
            self.cookies.retain(|old| (&old.host, &old.path, &old.name) != (&cookie.host, &cookie.path, &cookie.name));
            if !gone {
                self.cookies.push(cookie);
            }
        }
    }
}

/// A cookie and whether it is being removed; `None` for one that a browser would refuse on plain http.
fn parse_cookie(url: &Url, line: &str) -> Option<(Cookie, bool)> {
    let mut parts = line.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    // The default path of RFC 6265 §5.1.4: the folder of the request's path.
    let folder = url.path().rfind('/').map_or("/", |at| &url.path()[..at.max(1)]);
    let (mut path, mut gone, mut secure) = (folder, false, false);
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key.to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => path = value,
            "max-age" => gone = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            "expires" => gone |= value.contains(" 1970 "),
            "secure" => secure = true,
            _ => {}
        }
    }
    let host = url.host_str()?.to_owned();
    let cookie = Cookie { host, path: path.to_owned(), name: name.to_owned(), value: value.to_owned() };
    (!secure).then_some((cookie, gone))
}

/// What `Sec-Fetch-Site` says: ports do not make another site.
fn site(from: Option<&Url>, to: &Url) -> &'static str {
    match from {
        None => "none",
        Some(from) if from.origin() == to.origin() => "same-origin",
        Some(from) if from.host_str() == to.host_str() => "same-site",
        Some(_) => "cross-site",
    }
}
