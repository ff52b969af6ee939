//! The OpenAPI document of all routes and the page that displays it, both served from this binary alone.
//!
//! Handlers describe themselves; what follows from their row in the table (rights, limits, errors) is added here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::Extension;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, Operation, PathItem, Paths};
use utoipa::openapi::response::{Response as Answer, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, Components, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr};
use utoipa_swagger_ui::Config;

use super::api::schedules::export::ScheduleExportFormat;
use super::auth::SECURE_SESSION_COOKIE;
use super::console;
use super::problem::{Code, Problem, ProblemDocument};
use super::routes::limits::RouteKind;
use super::routes::route::AccessRequirement;
use super::state::ApiState;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{
    AgentId, AnalyticsQueryId, AnalyticsRunId, BacktestId, EndpointId, ErasureId, EventId, ExceptionId, FindingId,
    JobId, QueueId, ReasonCode, ReportRunId, RuleId, SkillId, SubjectId, TeamName, TenantId, TransitionId,
};
use crate::domain::time::UtcMicros;

/// The path of the document.
const DOCUMENT_PATH: &str = "/api/v1/openapi.json";

/// The names of the two security schemes: a bearer token, and the session cookie of a signed-in user.
const TOKEN_SCHEME: &str = "token";
const SESSION_SCHEME: &str = "session";

/// The content security policy of the page: only its own files, except that it adds inline styles and images with
/// `data:` addresses.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The groups of routes, with a description of each.
const TAGS: [(&str, &str); 16] = [
    ("agents", "Agents with state, planned activity and adherence, history and timeline."),
    ("shifts", "Schedules: read, replace a day, import a file."),
    ("figures", "Skills and queues, now and in the past."),
    ("skills", "Skills of agents, and staffing floors."),
    ("transitions", "State changes of single agents: request, follow, cancel."),
    ("change sets", "Changes of many agents at once: preview, follow, undo."),
    ("approvals", "Changes that rules propose and a person approves or denies."),
    ("rules", "Rules, their versions, and backtests."),
    ("exceptions", "Approved exceptions: time that is neutral in adherence, with a reason."),
    ("audit", "The audit chain: read, verify, export."),
    ("reports", "Reports as files: request, follow, download."),
    ("analytics", "Queries of the platform's analytics: run, follow, read."),
    ("webhooks", "Webhook endpoints and their deliveries."),
    ("accounts", "Accounts, tokens and sessions."),
    ("daemon", "Tenants, jobs, and the status of the daemon."),
    ("live", "The live view, as a stream."),
];

/// Returns the parts of the document that do not depend on routes.
pub(super) fn base_document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Shiftkeeper")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Shiftkeeper keeps a contact centre's agents in the states that their shifts, breaks and rules require, and \
             records what it did. Instants are RFC 3339 in UTC. Lists accept `limit` and `cursor`; their response has \
             `next`, the cursor of the next page. Requests that change something accept an `Idempotency-Key`, which makes \
             them safe to repeat for one day. Errors are problem documents (RFC 9457) with a stable `code`.",
        ))
        .build();
    let tags = TAGS.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build());
    let mut components = Components::new();
    components.schemas = named_schemas();
    let token = Http::new(HttpAuthScheme::Bearer);
    components.security_schemes.insert(TOKEN_SCHEME.to_owned(), RefOr::T(SecurityScheme::Http(token)));
    let session_description = "The session cookie of a signed-in user. For connections from the same machine without TLS it is named \
                 `shiftkeeper-PORT`. Requests that change something also need the header `Sec-Fetch-Site` or `Origin`, \
                 which browsers send by themselves.";
    let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
        SECURE_SESSION_COOKIE,
        session_description,
    )));
    components.security_schemes.insert(SESSION_SCHEME.to_owned(), RefOr::T(session));
    OpenApiBuilder::new().info(info).tags(Some(tags)).components(Some(components)).build()
}

/// Returns the schemas that only paths and queries refer to, because no body contains them.
fn named_schemas() -> BTreeMap<String, RefOr<Schema>> {
    fn put<T: ToSchema>(all: &mut BTreeMap<String, RefOr<Schema>>) {
        all.insert(T::name().into_owned(), T::schema());
    }
    let mut all = BTreeMap::new();
    put::<ProblemDocument>(&mut all);
    put::<TenantId>(&mut all);
    put::<AgentId>(&mut all);
    put::<TeamName>(&mut all);
    put::<SkillId>(&mut all);
    put::<QueueId>(&mut all);
    put::<JobId>(&mut all);
    put::<RuleId>(&mut all);
    put::<ReasonCode>(&mut all);
    put::<EndpointId>(&mut all);
    put::<EventId>(&mut all);
    put::<SubjectId>(&mut all);
    put::<TransitionId>(&mut all);
    put::<ErasureId>(&mut all);
    put::<ExceptionId>(&mut all);
    put::<FindingId>(&mut all);
    put::<BacktestId>(&mut all);
    put::<ReportRunId>(&mut all);
    put::<AnalyticsQueryId>(&mut all);
    put::<AnalyticsRunId>(&mut all);
    put::<AgentState>(&mut all);
    put::<ScheduleExportFormat>(&mut all);
    put::<UtcMicros>(&mut all);
    all
}

/// Returns the operation of a path for a method.
pub(super) fn operation<'a>(item: &'a PathItem, method: &HttpMethod) -> Option<&'a Operation> {
    match method {
        HttpMethod::Get => item.get.as_ref(),
        HttpMethod::Post => item.post.as_ref(),
        HttpMethod::Put => item.put.as_ref(),
        HttpMethod::Delete => item.delete.as_ref(),
        HttpMethod::Patch => item.patch.as_ref(),
        HttpMethod::Head => item.head.as_ref(),
        HttpMethod::Options => item.options.as_ref(),
        HttpMethod::Trace => item.trace.as_ref(),
    }
}

/// Adds to the operations of a row what follows from the row.
pub(super) fn complete_operations(paths: &mut Paths, access: AccessRequirement, kind: RouteKind, error_codes: &[Code]) {
    // `guard` rejects changes from pages of other sites if the caller is known only by what a browser adds by itself.
    let with_cross_site = [error_codes, &[Code::CrossSite]].concat();
    for item in paths.paths.values_mut() {
        let changes = [&mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        let changes = changes.into_iter().map(|operation| (operation, &*with_cross_site));
        for (operation, error_codes) in [(&mut item.get, error_codes)].into_iter().chain(changes) {
            let Some(operation) = operation else { continue };
            describe_access(operation, access);
            describe_errors(operation, access, kind, error_codes);
        }
    }
}

fn describe_access(operation: &mut Operation, access: AccessRequirement) {
    let rights_text = match access {
        AccessRequirement::Public => {
            operation.security = Some(Vec::new());
            return;
        }
        AccessRequirement::Right(right) => format!("Requires the right `{}`.", right.name()),
        AccessRequirement::SignedIn => "Requires authentication, but no right.".to_owned(),
    };
    let either = [TOKEN_SCHEME, SESSION_SCHEME].map(|scheme| SecurityRequirement::new(scheme, [] as [&str; 0]));
    operation.security = Some(either.into());
    let existing = operation.description.take().filter(|text| !text.is_empty());
    operation.description = Some(existing.map_or(rights_text.clone(), |said| format!("{said}\n\n{rights_text}")));
}

fn describe_errors(operation: &mut Operation, access: AccessRequirement, kind: RouteKind, error_codes: &[Code]) {
    let mut codes: Vec<Code> = vec![Code::Internal];
    match access {
        AccessRequirement::Public => {}
        // A proxy's statement is rejected if the peer is no trusted proxy, if it is made twice, or if it gives no
        // right.
        AccessRequirement::SignedIn | AccessRequirement::Right(_) => {
            codes.extend([Code::Unauthorized, Code::NotPermitted, Code::NotAProxy, Code::BadRequest]);
        }
    }
    if matches!(access, AccessRequirement::Right(_)) {
        codes.push(Code::StoreUnreadable);
    }
    if operation.parameters.as_ref().is_some_and(|all| !all.is_empty()) {
        codes.push(Code::BadRequest);
    }
    if operation.request_body.is_some() {
        codes.extend([Code::BadRequest, Code::BadBody, Code::BodyTooLarge]);
        if kind != RouteKind::Import {
            codes.push(Code::NotJson);
        }
    }
    if kind != RouteKind::Streaming {
        codes.push(Code::RequestTimeout);
    }
    codes.extend(error_codes);
    codes.sort_unstable();
    codes.dedup();
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(code);
        if code == Code::BadBody && kind != RouteKind::Import {
            by_status.entry(422).or_default().push(code);
        }
    }
    for (status, codes) in by_status {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| error_response(&codes).into());
    }
}

/// Returns the description of an error response with one of these codes.
fn error_response(codes: &[Code]) -> Answer {
    let mut description = String::new();
    for code in codes {
        let parted = if description.is_empty() { "" } else { "\n" };
        let _ = write!(description, "{parted}* `{}`: {}", code.name(), code.means());
    }
    let names = codes.iter().map(|code| code.name());
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    let one_of_these = ObjectBuilder::new().property("code", code).required("code");
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(ProblemDocument::name())).item(one_of_these);
    let content = Content::builder().schema(Some(Schema::AllOf(schema.build()))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

/// The document as JSON. The router adds it to requests, because it is made of the table in which [`show`] has a row.
#[derive(Clone, Copy)]
pub(super) struct OpenApiSource(pub(super) &'static LazyLock<Bytes>);

/// Retrieve this document
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "daemon",
    operation_id = "show_document",
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = Object, content_type = "application/json"))
)]
pub(super) async fn show(Extension(OpenApiSource(document)): Extension<OpenApiSource>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Bytes::clone(document)).into_response()
}

/// Returns the page that displays the document, and its files.
pub(super) fn docs_page() -> MethodRouter<ApiState> {
    get(serve_docs_file)
}

/// The page around Swagger UI.
#[derive(Template)]
#[template(path = "shared/api.html")]
struct DocsPage {
    theme: &'static str,
}

async fn serve_docs_file(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    // The page refers to its files by relative addresses.
    let Some(name) = uri.path().strip_prefix("/api/docs/") else {
        return Ok(Redirect::permanent("/api/docs/").into_response());
    };
    let security_headers = [
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    ];
    if name.is_empty() {
        return Ok(
            (security_headers, console::render_page(&DocsPage { theme: console::theme(&headers) })).into_response()
        );
    }
    // The header of the standalone layout would only offer to load another document.
    let config = Config::from(DOCUMENT_PATH).validator_url("none").use_base_layout();
    let asset = utoipa_swagger_ui::serve(name, Arc::new(config)).ok().flatten();
    let asset =
        asset.ok_or_else(|| Problem::from_code(Code::NoSuchPath, format!("nothing is served at {}", uri.path())))?;
    let mut response = (security_headers, Bytes::from(asset.bytes.into_owned())).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(&asset.content_type);
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    if asset.gzpipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::routes::{METHODS, OPENAPI_JSON, list_routes};
    use super::*;

    const REFERENCE: &str = include_str!("../../docs/api.md");
    const CONSOLE: &str = include_str!("../../docs/console.md");

    fn document() -> Value {
        serde_json::from_slice(&OPENAPI_JSON).expect("JSON")
    }

    /// Every value of a document, with its key.
    fn walk<'v>(key: &'v str, value: &'v Value, visit: &mut impl FnMut(&'v str, &'v Value)) {
        visit(key, value);
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(key, value, visit)),
            Value::Array(items) => items.iter().for_each(|value| walk("", value, visit)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_route_of_the_table_is_in_the_document_and_the_other_way_round() {
        let routes: BTreeSet<_> =
            list_routes().into_iter().filter_map(|route| Some((route.path, route.method?.to_lowercase()))).collect();
        let document = document();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, _) in item.as_object().expect("operations") {
                described.insert((path.clone(), method.clone()));
            }
        }
        assert_eq!(routes, described);
        assert_eq!(METHODS.len(), 4);
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        let document = document();
        let (mut names, mut duplicates, mut dangling) = (BTreeSet::new(), Vec::new(), Vec::new());
        walk("", &document, &mut |key, value| match (key, value.as_str()) {
            ("$ref", Some(place)) => {
                let pointer = place.strip_prefix('#').expect("within the document");
                if document.pointer(pointer).is_none() {
                    dangling.push(place.to_owned());
                }
            }
            ("operationId", Some(name)) if !names.insert(name.to_owned()) => duplicates.push(name.to_owned()),
            _ => {}
        });
        assert!(dangling.is_empty(), "{dangling:?}");
        assert!(duplicates.is_empty(), "{duplicates:?}");
    }

    #[test]
    fn the_formats_of_reports_are_those_that_this_build_writes() {
        let format = &document()["components"]["schemas"]["ReportFormat"];
        assert_eq!(
            format["enum"],
            serde_json::json!(crate::domain::reports::report_run::ReportFormat::ALL),
            "{format}"
        );
        assert_eq!(format.to_string().contains("parquet"), cfg!(feature = "parquet"));
    }

    #[test]
    fn a_report_s_file_is_of_a_type_that_is_described() {
        let document = document();
        let types = &document["paths"]["/api/v1/reports/{id}/file"]["get"]["responses"]["200"]["content"];
        for format in crate::domain::reports::report_run::ReportFormat::ALL {
            let media = format.media_type().split(';').next().unwrap_or_default();
            assert!(types.get(media).is_some(), "{format}: {media} is not in {types}");
        }
    }

    #[test]
    fn every_operation_says_what_it_is_takes_and_answers_with() {
        let document = document();
        let tags: Vec<_> = TAGS.iter().map(|(name, _)| *name).collect();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let operation_name = format!("{method} {path}");
                assert!(
                    operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                    "{operation_name} has no summary"
                );
                let tag = operation["tags"][0].as_str().unwrap_or_default();
                assert!(tags.contains(&tag), "{operation_name}: tag {tag:?}");
                assert!(operation["security"].is_array(), "{operation_name} says nothing of rights");
                for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                    assert!(parameters.iter().any(|known| known["name"] == part), "{operation_name}: {part}");
                }
                let answers = operation["responses"].as_object().expect("answers");
                assert!(answers.contains_key("500") && answers.len() > 1, "{operation_name}");
            }
        }
    }

    #[test]
    fn what_changes_something_says_that_other_sites_are_turned_away_and_what_takes_a_right_how_one_is_known() {
        let document = document();
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!(
            (&schemes[SESSION_SCHEME]["in"], &schemes[SESSION_SCHEME]["name"]),
            (&"cookie".into(), &SECURE_SESSION_COOKIE.into()),
            "{schemes}"
        );
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let refused = operation["responses"]["403"]["description"].as_str().unwrap_or_default();
                let changes = method != "get" || path == "/live";
                assert_eq!(refused.contains("cross_site"), changes, "{method} {path}: {refused}");
                let security = operation["security"].as_array().expect("a list");
                let ways: Vec<&String> =
                    security.iter().flat_map(|way| way.as_object().expect("a way").keys()).collect();
                assert!(ways.is_empty() || ways == [TOKEN_SCHEME, SESSION_SCHEME], "{method} {path}: {ways:?}");
            }
        }
    }

    #[test]
    fn the_reference_names_every_place_and_every_code() {
        for route in list_routes() {
            let path = route.path.replace("{file}", "");
            let named = [REFERENCE, CONSOLE].iter().any(|page| page.contains(path.trim_end_matches('/')));
            assert!(named, "neither docs/api.md nor docs/console.md says anything of {path}");
        }
        for code in Code::ALL {
            let status =
                if *code == Code::BadBody { "400, 422".to_owned() } else { code.status().as_u16().to_string() };
            let row = format!("| {status} | `{}` | {} |", code.name(), code.means());
            let listed = REFERENCE.lines().any(|line| line == row);
            assert!(listed, "docs/api.md does not have the error {row}");
        }
    }

    #[tokio::test]
    async fn the_page_is_served_from_here_and_names_no_outside_address() {
        for (path, kind, holds) in [
            ("/api/docs/", "text/html", "swagger-ui"),
            ("/api/docs/swagger-initializer.js", "text/javascript", DOCUMENT_PATH),
            ("/api/docs/swagger-ui.css", "text/css", ".swagger-ui"),
        ] {
            let answer = serve_docs_file(path.parse().expect("a place"), HeaderMap::new()).await.expect("served");
            assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], PAGE_POLICY);
            let found = answer.headers()[header::CONTENT_TYPE].to_str().expect("text").to_owned();
            assert!(found.starts_with(kind), "{path}: {found}");
            let body = axum::body::to_bytes(answer.into_body(), 16 << 20).await.expect("a body");
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains(holds), "{path}");
            if !kind.contains("css") {
                assert!(!text.contains("https://") && !text.contains("http://"), "{path} names an address: {text}");
            }
        }
        let initializer =
            serve_docs_file("/api/docs/swagger-initializer.js".parse().expect("a place"), HeaderMap::new())
                .await
                .expect("served");
        let body = axum::body::to_bytes(initializer.into_body(), 1 << 20).await.expect("a body");
        assert!(String::from_utf8_lossy(&body).contains("\"validatorUrl\": \"none\""), "{body:?}");
        assert!(serve_docs_file("/api/docs/nothing.js".parse().expect("a place"), HeaderMap::new()).await.is_err());
    }
}
