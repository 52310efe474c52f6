//! The routing table: every route with the rule of who may call it.
//!
//! [`Table::add`] is the only way to make a route, and it takes a [`Guard`]: a route without a rule cannot be written.
//! The rule also goes into the OpenAPI document, and [`Table::rules`] is what the test walks.

use axum::middleware::{from_fn, from_fn_with_state};
use http::Method;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::answers;
use super::guard;
use super::idempotency;
use super::shell::Shell;
use crate::service::access::Permission;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Anybody: liveness and readiness.
    Open,
    /// Whoever holds the one-time secret that is part of the address, the query or a cookie.
    OneTime,
    /// A key with this permission.
    Key(Permission),
    /// A key with this permission, or the session of the subject in the path.
    KeyOrSubject(Permission),
    /// Any key, or a browser that signed in by a one-time link.
    AnyKey,
}

/// One route and its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: String,
    /// Who may call it.
    pub guard: Guard,
}

/// Routes being collected.
pub struct Table {
    router: OpenApiRouter<Shell>,
    rules: Vec<Rule>,
}

impl Table {
    /// An empty table.
    pub fn new(api: utoipa::openapi::OpenApi) -> Self {
        Table { router: OpenApiRouter::with_openapi(api), rules: Vec::new() }
    }

    /// Adds what `utoipa_axum::routes!` makes of one handler.
    #[must_use]
    pub fn add(self, guard: Guard, routes: UtoipaMethodRouter<Shell>) -> Self {
        self.insert(guard, routes, false)
    }

    /// As [`Table::add`], for a POST that creates: it honours `Idempotency-Key`.
    #[must_use]
    pub fn creating(self, guard: Guard, (schemas, mut paths, methods): UtoipaMethodRouter<Shell>) -> Self {
        for item in paths.paths.values_mut() {
            if let Some(operation) = &mut item.post {
                let key = ParameterBuilder::new().name("idempotency-key").parameter_in(ParameterIn::Header);
                let text = Object::builder().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
                let key = key
                    .schema(Some(text.pattern(Some("^[!-~]+$"))))
                    .description(Some("Repeated with the same request, it gets the first answer again, for 24 hours"));
                operation.parameters.get_or_insert_default().push(key.build().into());
            }
        }
        let methods = methods.route_layer(from_fn(idempotency::once));
        self.insert(guard, (schemas, paths, methods), true)
    }

    fn insert(mut self, guard: Guard, (schemas, mut paths, methods): UtoipaMethodRouter<Shell>, creates: bool) -> Self {
        for (path, item) in &mut paths.paths {
            let operations = [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::PATCH, &mut item.patch),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                document(operation, guard);
                answers::document(operation, guard, creates);
                self.rules.push(Rule { method, path: path.clone(), guard });
            }
        }
        let methods = methods.route_layer(from_fn_with_state(guard, guard::check));
        Table { router: self.router.routes((schemas, paths, methods)), ..self }
    }

    /// The router, the OpenAPI document and the rules.
    pub fn finish(self) -> Finished {
        let (router, api) = self.router.split_for_parts();
        Finished { router, api, rules: self.rules }
    }
}

/// A table that is complete.
pub struct Finished {
    /// Serves.
    pub router: axum::Router<Shell>,
    /// Describes.
    pub api: utoipa::openapi::OpenApi,
    /// Says who may.
    pub rules: Vec<Rule>,
}

/// Writes the rule into the document.
fn document(operation: &mut Operation, guard: Guard) {
    let bearer = || vec![SecurityRequirement::new::<_, [&str; 0], &str>("bearer", [])];
    let (sentence, security) = match guard {
        Guard::Open => ("Needs no key.".to_owned(), Vec::new()),
        Guard::OneTime => ("Guarded by its own one-time secret; needs no key.".to_owned(), Vec::new()),
        Guard::Key(permission) => (format!("Needs the permission `{permission}`."), bearer()),
        Guard::KeyOrSubject(permission) => {
            (format!("Needs the permission `{permission}`, or a session of this subject."), bearer())
        }
        Guard::AnyKey => ("Needs a key, whatever its permissions.".to_owned(), bearer()),
    };
    let said = operation.description.take().unwrap_or_default();
    operation.description = Some(if said.is_empty() { sentence } else { format!("{said}\n\n{sentence}") });
    operation.security = Some(security);
}
