//! All routes, each with the rule of who may call it.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa_axum::routes;

use super::conventions::conventions;
use super::handlers::{
    connect, connections, events, flow, integrations, keys, mine, operation, providers, quarantine, subjects, tokens,
    unsubscribe, webhooks, widget,
};
use super::openapi;
use super::origins::{self, Origins};
use super::problem::Problem;
use super::shell::Shell;
use super::table::{Finished, Guard, Rule, Table};
use crate::service::access::Permission::{
    Admin, Connect, ConnectionsRead, ConnectionsWrite, MetricsRead, Notifications, TokensRead,
};

/// The service's front door.
pub fn router(shell: &Shell) -> Router {
    let finished = table();
    shell.publish(&finished.api);
    let origins = Origins::new(shell.widget_origins(), &finished.rules);
    finished
        .router
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .fallback(|| async { Problem::no_route() })
        .layer(from_fn_with_state(origins, origins::answer))
        .layer(from_fn_with_state(shell.clone(), conventions))
        .with_state(shell.clone())
}

/// Who may call what: for the test that walks all routes.
pub fn rules() -> Vec<Rule> {
    table().rules
}

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    table().api
}

fn table() -> Finished {
    Table::new(openapi::base())
        .add(Guard::Key(TokensRead), routes!(tokens::by_id))
        .add(Guard::Key(TokensRead), routes!(tokens::by_subject))
        .creating(Guard::Key(Connect), routes!(connect::create))
        .add(Guard::Key(Connect), routes!(connect::get))
        .add(Guard::Key(Connect), routes!(connect::complete))
        .add(Guard::Key(Connect), routes!(connect::revoke))
        .add(Guard::OneTime, routes!(flow::page))
        .add(Guard::OneTime, routes!(flow::proceed))
        .add(Guard::OneTime, routes!(flow::callback))
        .add(Guard::OneTime, routes!(flow::callback_posted))
        .add(Guard::Key(ConnectionsRead), routes!(connections::list))
        .creating(Guard::Key(ConnectionsWrite), routes!(connections::import))
        .add(Guard::Key(ConnectionsRead), routes!(connections::get))
        .add(Guard::Key(ConnectionsWrite), routes!(connections::change))
        .add(Guard::Key(ConnectionsWrite), routes!(connections::disconnect))
        .add(Guard::Key(ConnectionsWrite), routes!(connections::revoke_links))
        .add(Guard::Key(ConnectionsWrite), routes!(connections::force))
        .add(Guard::Key(ConnectionsWrite), routes!(connections::report))
        .creating(Guard::Key(ConnectionsWrite), routes!(connections::bulk))
        .add(Guard::Key(ConnectionsRead), routes!(connections::job))
        .add(Guard::Key(ConnectionsWrite), routes!(connections::sweep))
        .add(Guard::KeyOrSubject(ConnectionsRead), routes!(subjects::health))
        .add(Guard::KeyOrSubject(ConnectionsWrite), routes!(subjects::refresh))
        .add(Guard::Key(ConnectionsWrite), routes!(subjects::erase))
        .creating(Guard::Key(Connect), routes!(subjects::session))
        .add(Guard::KeyOrSubject(Notifications), routes!(subjects::notifications))
        .add(Guard::KeyOrSubject(Notifications), routes!(subjects::read))
        .add(Guard::KeyOrSubject(Notifications), routes!(subjects::preferences))
        .add(Guard::KeyOrSubject(Notifications), routes!(subjects::set_preferences))
        .add(Guard::KeyOrSubject(Notifications), routes!(subjects::preferences_short))
        .add(Guard::KeyOrSubject(Notifications), routes!(subjects::set_preferences_short))
        .add(Guard::OneTime, routes!(mine::page))
        .add(Guard::OneTime, routes!(mine::reconnect))
        .add(Guard::OneTime, routes!(mine::preferences))
        .add(Guard::OneTime, routes!(mine::set_preferences))
        .add(Guard::OneTime, routes!(unsubscribe::page))
        .add(Guard::OneTime, routes!(unsubscribe::end))
        .add(Guard::Key(Notifications), routes!(webhooks::list))
        .creating(Guard::Key(Notifications), routes!(webhooks::create))
        .add(Guard::Key(Notifications), routes!(webhooks::get))
        .add(Guard::Key(Notifications), routes!(webhooks::change))
        .add(Guard::Key(Notifications), routes!(webhooks::remove))
        .add(Guard::Key(Notifications), routes!(webhooks::rotate))
        .add(Guard::Key(Notifications), routes!(webhooks::deliveries))
        .add(Guard::Key(Notifications), routes!(webhooks::redeliver))
        .add(Guard::Key(ConnectionsRead), routes!(providers::list))
        .add(Guard::Key(ConnectionsRead), routes!(providers::get))
        .add(Guard::Key(ConnectionsRead), routes!(integrations::list))
        .creating(Guard::Key(Admin), routes!(integrations::create))
        .add(Guard::Key(ConnectionsRead), routes!(integrations::get))
        .add(Guard::Key(Admin), routes!(integrations::change))
        .add(Guard::Key(Admin), routes!(integrations::remove))
        .add(Guard::Key(ConnectionsRead), routes!(events::list))
        .add(Guard::Key(MetricsRead), routes!(operation::stats))
        .add(Guard::Key(MetricsRead), routes!(operation::metrics))
        .add(Guard::Key(Admin), routes!(quarantine::adopt))
        .add(Guard::Open, routes!(operation::healthz))
        .add(Guard::Open, routes!(operation::readyz))
        .add(Guard::Open, routes!(widget::script))
        .add(Guard::AnyKey, routes!(operation::openapi))
        .add(Guard::AnyKey, routes!(operation::docs))
        .add(Guard::OneTime, routes!(operation::sign_in))
        .add(Guard::Key(Admin), routes!(keys::list))
        .creating(Guard::Key(Admin), routes!(keys::create))
        .add(Guard::Key(Admin), routes!(keys::revoke))
        .add(Guard::Key(Admin), routes!(keys::audit))
        .add(Guard::Key(Admin), routes!(keys::rotate))
        .finish()
}
