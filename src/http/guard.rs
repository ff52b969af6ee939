//! Protection around every route: no page of another site can act on behalf of a signed-in user, and our pages run no
//! code that is not ours.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::auth::{ConnectionInfo, ProxyIdentity, TransportSecurity, request_token};
use super::problem::{Code, Problem};
use super::state::ApiState;

/// The content security policy: only files served here, no inline code, and no embedding in frames.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Headers added to every response that does not set them itself. `Referrer-Policy` is not `no-referrer`, because
/// browsers would then send `Origin: null` with our own forms.
const HEADERS: [(HeaderName, HeaderValue); 8] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ),
];

const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Adds the headers that every response has.
pub(super) async fn add_headers(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_tls = ConnectionInfo::from_parts(&parts, state.tokens.borrow().proxy()).transport == TransportSecurity::Tls;
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    if is_tls {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(STRICT_TRANSPORT);
    }
    response
}

/// Rejects changes requested by a page of another site with credentials that the browser adds by itself: a cookie, or
/// the sign-in at a proxy.
pub(super) async fn reject_cross_site(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        && !parts.headers.contains_key(header::UPGRADE);
    if !is_safe {
        let connection = ConnectionInfo::from_parts(&parts, state.tokens.borrow().proxy());
        if let Some(reason) = cross_site_reason(&parts.headers, &connection) {
            return Err(Problem::from_code(Code::CrossSite, reason));
        }
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Returns why a request for a change may come from another site, or `None` if it does not.
fn cross_site_reason(headers: &HeaderMap, connection: &ConnectionInfo) -> Option<&'static str> {
    let has_token = request_token(headers).is_some();
    let has_identity = matches!(connection.proxy_identity, ProxyIdentity::User { .. });
    // A page of another site cannot set such a header without permission, and no site has it.
    if has_token && !has_identity {
        return None;
    }
    if let Some(site) = headers.get(FETCH_SITE) {
        let ours = site == "same-origin" || site == "none";
        return (!ours).then_some("the browser says that a page of another site asks for this");
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let ours = origin.to_str().is_ok_and(|origin| is_own_origin(origin, connection));
        return (!ours).then_some("the `Origin` of this request is another site than the one that it goes to");
    }
    let sent_by_browser = headers.contains_key(header::COOKIE) || has_identity;
    (sent_by_browser && !has_token)
        .then_some("with a cookie or by a proxy, what changes something takes a `Sec-Fetch-Site` or an `Origin` header")
}

fn is_own_origin(origin: &str, connection: &ConnectionInfo) -> bool {
    let scheme = if connection.transport == TransportSecurity::Tls { "https://" } else { "http://" };
    let host = connection.host.as_deref().unwrap_or_default();
    origin.strip_prefix(scheme).is_some_and(|named| !named.is_empty() && named.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection_info(line: TransportSecurity, host: &str, identity: ProxyIdentity) -> ConnectionInfo {
        ConnectionInfo { source: None, transport: line, host: Some(host.to_owned()), proxy_identity: identity }
    }

    fn is_refused(arrival: &ConnectionInfo, headers: &[(&'static str, &'static str)]) -> bool {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        cross_site_reason(&headers, arrival).is_some()
    }

    #[test]
    fn what_a_browser_adds_by_itself_counts_for_our_own_pages_alone() {
        let tls = connection_info(TransportSecurity::Tls, "keeper.example", ProxyIdentity::None);
        let here = connection_info(TransportSecurity::Loopback { port: 8080 }, "127.0.0.1:8080", ProxyIdentity::None);
        let cookie = ("cookie", "__Host-shiftkeeper=x");
        for (arrival, headers, expected) in [
            (&tls, &[cookie, ("sec-fetch-site", "same-origin")][..], false),
            (&tls, &[cookie, ("sec-fetch-site", "none")], false),
            (&tls, &[cookie, ("sec-fetch-site", "same-site")], true),
            (&tls, &[cookie, ("sec-fetch-site", "cross-site")], true),
            (&tls, &[cookie, ("sec-fetch-site", "cross-site"), ("origin", "https://keeper.example")], true),
            (&tls, &[cookie, ("origin", "https://keeper.example")], false),
            (&tls, &[cookie, ("origin", "http://keeper.example")], true),
            (&tls, &[cookie, ("origin", "https://keeper.example.evil.example")], true),
            (&tls, &[cookie, ("origin", "https://keeper.example:8443")], true),
            (&tls, &[cookie, ("origin", "null")], true),
            (&tls, &[cookie], true),
            (&here, &[cookie, ("origin", "http://127.0.0.1:8080")], false),
            (&here, &[cookie, ("origin", "http://127.0.0.1:9090")], true),
            (&here, &[], false),
            (&here, &[("sec-fetch-site", "cross-site")], true),
            (&tls, &[cookie, ("authorization", "Bearer 0123456789abcdef")], false),
            (&tls, &[("authorization", "Bearer x"), ("sec-fetch-site", "cross-site")], false),
            (&tls, &[cookie, ("authorization", "Basic eDp5"), ("sec-fetch-site", "cross-site")], true),
        ] {
            assert_eq!(is_refused(arrival, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_proxys_sign_in_is_sent_by_browsers_also_with_a_token_of_the_proxy() {
        let somebody = ProxyIdentity::User { user: "ann".into(), groups: vec![] };
        let proxied = connection_info(TransportSecurity::Tls, "keeper.example", somebody);
        let token = ("authorization", "Bearer of-the-proxy");
        for (headers, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[token, ("sec-fetch-site", "cross-site")], true),
            (&[token, ("origin", "https://evil.example")], true),
            (&[token], false),
        ] {
            assert_eq!(is_refused(&proxied, headers), expected, "{headers:?}");
        }
    }
}
