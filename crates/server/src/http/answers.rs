//! What a route may answer besides its own: refusals that come of its guard, its address, its query and its body.
//!
//! They are told once, as components of the OpenAPI document, and each operation points at those that can come of what it
//! takes: a property-based tester holds the service to the list.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{Components, ContentBuilder, Header, Ref, RefOr, Response, ResponseBuilder};

use super::table::Guard;

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

/// A refusal that many routes share: status, name of the component, what it says.
struct Shared(&'static str, &'static str, &'static str);

const UNREADABLE: Shared = Shared("400", "Unreadable", "The body is not JSON, broke off or came too slowly");
const UNAUTHENTICATED: Shared = Shared("401", "Unauthenticated", "There is no key, or none that counts");
const FORBIDDEN: Shared = Shared("403", "Forbidden", "The key lacks the permission; `permission` names it");
const NOT_FOUND: Shared = Shared("404", "NotFound", "There is no such thing, or none that this key sees");
const REPEATED: Shared =
    Shared("409", "Repeated", "The `idempotency-key` stands for another request, or one under way");
const TOO_LARGE: Shared = Shared("413", "TooLarge", "The body is over 256 KiB");
const ADDRESS_TOO_LONG: Shared = Shared("414", "AddressTooLong", "The address is over 8 KiB");
const NOT_ACCEPTED: Shared = Shared("422", "NotAccepted", "A field is unknown, missing or wrong; `field` names it");
const HEADERS_TOO_LARGE: Shared = Shared("431", "HeadersTooLarge", "The headers are over 32 KiB");
const INTERNAL: Shared = Shared("500", "Internal", "A fault of the service: the log has its cause under `request_id`");
const AWAY: Shared = Shared("503", "Away", "The storage is away; come again after `retry_after` seconds");

const ALL: [Shared; 11] = [
    UNREADABLE,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    REPEATED,
    TOO_LARGE,
    ADDRESS_TOO_LONG,
    NOT_ACCEPTED,
    HEADERS_TOO_LARGE,
    INTERNAL,
    AWAY,
];

/// Puts the shared refusals among the components.
pub fn components(components: &mut Components) {
    for Shared(status, name, what) in ALL {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
        let mut response = ResponseBuilder::new().description(what).content(PROBLEM, content).build();
        headers(status, &mut response);
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
}

/// Says in the document all that an operation may answer. `creates`: it honours `idempotency-key`.
pub fn document(operation: &mut Operation, guard: Guard, creates: bool) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let problem = response.content.get(JSON).is_some_and(is_problem);
        if let Some(content) = problem.then(|| response.content.shift_remove(JSON)).flatten() {
            response.content.insert(PROBLEM.to_owned(), content);
        }
        headers(status, response);
    }
    for Shared(status, name, what) in shared(operation, guard, creates) {
        let mut response = Ref::from_response_name(name);
        response.description = what.to_owned();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::Ref(response));
    }
}

fn shared(operation: &Operation, guard: Guard, creates: bool) -> Vec<Shared> {
    let has = |place: ParameterIn| {
        operation.parameters.iter().flatten().any(|one| matches!(one, RefOr::T(one) if one.parameter_in == place))
    };
    let addressed = has(ParameterIn::Path);
    let asked = has(ParameterIn::Query) || has(ParameterIn::Header);
    let body = operation.request_body.is_some();
    let mut list = vec![ADDRESS_TOO_LONG, HEADERS_TOO_LARGE];
    let mut add = |when: bool, more: [Option<Shared>; 3]| {
        if when {
            list.extend(more.into_iter().flatten());
        }
    };
    let keyed = !matches!(guard, Guard::Open | Guard::OneTime);
    add(keyed, [Some(UNAUTHENTICATED), Some(INTERNAL), Some(AWAY)]);
    add(matches!(guard, Guard::Key(_) | Guard::KeyOrSubject(_)), [Some(FORBIDDEN), None, None]);
    add(keyed && addressed, [Some(NOT_FOUND), None, None]);
    add(keyed && asked, [Some(NOT_ACCEPTED), None, None]);
    add(keyed && body, [Some(UNREADABLE), Some(TOO_LARGE), Some(NOT_ACCEPTED)]);
    add(creates, [Some(REPEATED), Some(TOO_LARGE), Some(NOT_ACCEPTED)]);
    list
}

fn is_problem(content: &RefOr<utoipa::openapi::Content>) -> bool {
    let RefOr::T(content) = content else { return false };
    matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location.ends_with("/ProblemBody"))
}

fn headers(status: &str, response: &mut Response) {
    let header = |kind: Type, what: &str| -> RefOr<Header> {
        RefOr::T(HeaderBuilder::new().schema(Some(Object::builder().schema_type(kind))).description(Some(what)).build())
    };
    let mut add = |name: &str, header| response.headers.insert(name.to_owned(), header);
    add("x-request-id", header(Type::String, "The caller's own, or one that was made"));
    if status == "401" {
        add("www-authenticate", header(Type::String, "`Bearer`"));
    }
    if ["429", "502", "503"].contains(&status) {
        add("retry-after", header(Type::Integer, "In how many seconds it makes sense to come again"));
    }
}
