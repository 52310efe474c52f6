//! The widget's script: one file that pages of the application load (docs/widget.md).
//!
//! It is put together here of a few that can be read each for itself. Nothing of a person is in it.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::http::openapi::tag;

/// One scope for all parts, so that a page sees the two elements and nothing else. The style holds no backtick, no dollar and
/// no backslash, as the test below checks.
const SCRIPT: &str = concat!(
    "// Evergrant's widget: <evergrant-connections> and <evergrant-banner>. How to use it: docs/widget.md.\n",
    "(() => {\n\"use strict\";\n",
    include_str!("../../../widget/words.js"),
    include_str!("../../../widget/feed.js"),
    "const STYLE = `\n",
    include_str!("../../../widget/style.css"),
    "`;\n",
    include_str!("../../../widget/rows.js"),
    include_str!("../../../widget/views.js"),
    include_str!("../../../widget/elements.js"),
    "})();\n"
);

static ETAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SCRIPT.as_bytes());
    let short = digest.as_ref().get(..16).unwrap_or_default();
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(short));
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"widget\""))
});

/// The widget
///
/// Defines `<evergrant-connections>` and `<evergrant-banner>` in the page that loads it, as a classic script or as a module.
#[utoipa::path(get, path = "/widget.js", tag = tag::SUBJECTS,
    params(("if-none-match" = Option<String>, Header, description = "The `etag` of the script that the browser has")),
    responses((status = 200, description = "A script", body = String, content_type = "text/javascript"), (status = 304, description = "It is still the same")))]
pub async fn script(headers: HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    let known = known.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
    let is_current = known.into_iter().any(|tag| tag == "*" || tag.as_bytes() == ETAG.as_bytes());
    let mut answer = if is_current {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"))], SCRIPT).into_response()
    };
    let said = answer.headers_mut();
    said.insert(header::ETAG, ETAG.clone());
    said.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=86400, stale-while-revalidate=604800"),
    );
    // Pages of any origin may load it, also as a module and with `integrity`, which browsers fetch by the rules of CORS.
    said.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let anybody = HeaderValue::from_static("cross-origin");
    said.insert(HeaderName::from_static("cross-origin-resource-policy"), anybody);
    answer
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_style_can_stand_between_backticks() {
        let style = include_str!("../../../widget/style.css");
        assert!(!style.contains(['`', '$', '\\']));
    }
}
