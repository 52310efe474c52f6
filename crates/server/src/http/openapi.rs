//! What the OpenAPI document says besides the routes.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::answers;

/// The groups of routes, in the order in which they are shown.
pub mod tag {
    /// The main call.
    pub const TOKENS: &str = "Tokens";
    /// Connect sessions and the browser flow.
    pub const CONNECT: &str = "Connecting an account";
    /// Connections.
    pub const CONNECTIONS: &str = "Connections";
    /// One person.
    pub const SUBJECTS: &str = "Subjects";
    /// Telling others.
    pub const NOTIFICATIONS: &str = "Webhooks";
    /// OAuth clients and the catalogue.
    pub const INTEGRATIONS: &str = "Integrations";
    /// Running it.
    pub const OPERATION: &str = "Operation";
    /// Keys and audit.
    pub const ADMIN: &str = "Keys and audit";
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Evergrant",
        description = "Keeps OAuth grants alive: connects accounts, refreshes their tokens and hands out a valid one at any moment.\n\n\
            Every answer carries `x-request-id`. Errors are RFC 9457 `application/problem+json`; program against `code` and \
            `action`, never against the texts. Lists take `limit` (50, at most 500) and `cursor`. `Idempotency-Key` is honoured on \
            POSTs that create.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(super::problem::ProblemBody, super::problem::Action)),
    tags(
        (name = "Tokens"), (name = "Connecting an account"), (name = "Connections"), (name = "Subjects"), (name = "Webhooks"),
        (name = "Integrations"), (name = "Operation"), (name = "Keys and audit"),
    ),
)]
struct Base;

/// The document without routes.
pub fn base() -> utoipa::openapi::OpenApi {
    let mut api = Base::openapi();
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("eg_<environment>_<key id>_<secret><checksum>")
        .build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    answers::components(components);
    api
}
