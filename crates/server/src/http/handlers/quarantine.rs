//! The operator's word that a restored or copied database counts.

use axum::Json;
use axum::extract::State;
use evergrant_store::Quarantine;

use super::Answer;
use crate::http::dto::{Adopt, Adopted, ProblemBody, QuarantineView, Standing};
use crate::http::openapi::tag;
use crate::http::shell::Shell;
use crate::http::strict;
use crate::service::access::Caller;
use crate::service::quarantine::{Adoption, Stands};

/// Adopt a restored or copied database
///
/// Until then live access tokens are handed out and nothing is sent to any provider. Answers that the journal alone holds are
/// brought in first. A connection whose refresh token has been spent since becomes `needs_reauth`, so that it is not sent
/// a second time; `dry_run` only says which. Never adopt a copy while the original goes on refreshing.
#[utoipa::path(post, path = "/v1/quarantine/adopt", tag = tag::OPERATION, request_body = Adopt,
    responses((status = 200, description = "What was done; or that there is nothing to adopt", body = Adopted), (status = 404, description = "The key sees some integrations only", body = ProblemBody),
              (status = 503, description = "Storage is away; the quarantine goes on", body = ProblemBody)))]
pub async fn adopt(
    State(shell): State<Shell>,
    caller: Caller,
    strict::Json(order): strict::Json<Adopt>,
) -> Answer<Json<Adopted>> {
    let service = shell.service();
    let adoption = service.adopt(&caller, order.dry_run, order.last_ran).await?;
    Ok(Json(shown(adoption, service.store.quarantine().is_some())))
}

/// Why nothing is spent.
pub(super) fn view(quarantine: Quarantine) -> QuarantineView {
    let Quarantine { cause, taken_at, journal_is_whole } = quarantine;
    QuarantineView { cause: cause.as_str().to_owned(), taken_at, journal_is_whole }
}

fn shown(adoption: Adoption, quarantined: bool) -> Adopted {
    let one = |one: Stands| Standing {
        connection_id: one.connection,
        integration: one.integration,
        subject: one.subject,
        standing: one.standing.as_str().to_owned(),
    };
    Adopted {
        quarantined,
        quarantine: adoption.quarantine.map(view),
        counts: adoption.counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect(),
        connections: adoption.each.into_iter().map(one).collect(),
        unknown_connections: adoption.unknown,
        lost_connects: adoption.connects,
    }
}
