//! The main call.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, show};
use crate::http::dto::{ProblemBody, TokenAnswer};
use crate::http::openapi::tag;
use crate::http::shell::Shell;
use crate::http::strict::{InPath, Params};
use crate::service::access::Caller;
use crate::service::error::Refusal;
use crate::service::tokens::Ask;

/// What is asked of the token.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// How many seconds it has to live at least; else it is refreshed first. Default 300.
    min_ttl: Option<u64>,
    /// How many seconds this call waits for a refresh. Default 10, at most 90; the refresh itself goes on.
    wait: Option<u64>,
    /// Whether to read past every cache.
    #[serde(default)]
    #[param(required = false)]
    consistent: bool,
}

/// What is asked of the token, by the application's own words.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WantedOf {
    /// How many seconds it has to live at least; else it is refreshed first. Default 300.
    min_ttl: Option<u64>,
    /// How many seconds this call waits for a refresh. Default 10, at most 90; the refresh itself goes on.
    wait: Option<u64>,
    /// Whether to read past every cache.
    #[serde(default)]
    #[param(required = false)]
    consistent: bool,
    /// Which pair of a grant with several, such as `bot` or `user`. Default: the first, where the subject has it.
    account_kind: Option<String>,
}

impl Wanted {
    fn ask(&self) -> Result<Ask, Refusal> {
        if self.min_ttl.is_some_and(|seconds| seconds > 315_360_000) {
            return Err(Refusal::invalid("min_ttl", "expected at most 315360000 seconds"));
        }
        if self.wait.is_some_and(|seconds| seconds > 90) {
            return Err(Refusal::invalid("wait", "expected at most 90 seconds"));
        }
        let (min_ttl, wait) = (self.min_ttl.map(Duration::from_secs), self.wait.map(Duration::from_secs));
        Ok(Ask { min_ttl, wait, consistent: self.consistent })
    }
}

/// A valid access token
///
/// Ask before each use instead of keeping it. A live token is handed out through every failure but a refused refresh token
/// and a disconnect.
#[utoipa::path(get, path = "/v1/connections/{id}/token", tag = tag::TOKENS, params(("id" = String, Path, description = "The connection"), Wanted),
    responses((status = 200, description = "The token", body = TokenAnswer), (status = 404, description = "No such connection, or not connected", body = ProblemBody),
              (status = 424, description = "Somebody must act: see `action`", body = ProblemBody), (status = 502, description = "The provider's answer brought no token", body = ProblemBody),
              (status = 503, description = "Passing trouble: see `retry_after`", body = ProblemBody)))]
pub async fn by_id(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectionId>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<TokenAnswer>> {
    let service = shell.service();
    let hand_out = service.token(&caller, &id, wanted.ask()?).await?;
    Ok(Json(show::token(hand_out, service.clock.now())))
}

/// A valid access token, by subject and integration
///
/// The same by the application's own words; 409 where the subject has several accounts. Where one grant brought several pairs
/// (a bot's and a user's), the first is meant, unless `account_kind` names another.
#[utoipa::path(get, path = "/v1/subjects/{subject}/integrations/{name}/token", tag = tag::TOKENS,
    params(("subject" = String, Path, description = "The subject"), ("name" = String, Path, description = "The integration"), WantedOf),
    responses((status = 200, description = "The token", body = TokenAnswer), (status = 404, description = "Not connected: see `connect_url`", body = ProblemBody),
              (status = 409, description = "Several accounts fit", body = ProblemBody), (status = 424, description = "Somebody must act: see `action`", body = ProblemBody),
              (status = 502, description = "The provider's answer brought no token", body = ProblemBody), (status = 503, description = "Passing trouble: see `retry_after`", body = ProblemBody)))]
pub async fn by_subject(
    State(shell): State<Shell>,
    caller: Caller,
    InPath((subject, name)): InPath<(SubjectId, IntegrationName)>,
    Params(wanted): Params<WantedOf>,
) -> Answer<Json<TokenAnswer>> {
    let service = shell.service();
    let WantedOf { min_ttl, wait, consistent, account_kind } = wanted;
    let ask = Wanted { min_ttl, wait, consistent }.ask()?;
    let hand_out = service.token_of(&caller, (&subject, account_kind.as_deref()), &name, ask).await?;
    Ok(Json(show::token(hand_out, service.clock.now())))
}
