//! What stands around every route: no page of another site acts in the name of whoever has signed in, and no page of ours runs what
//! is not ours.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::ApiState;
use super::auth::{Arrival, Identity, Line, brought_token};
use super::problem::{Code, Problem};

/// Nothing but what is served here, nothing written into a page, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Headers of every answer that does not have them already. `Referrer-Policy` is no `no-referrer`: with that, browsers send
/// `Origin: null` with our own forms.
const HEADERS: [(HeaderName, HeaderValue); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
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

/// Adds what every answer has.
pub(super) async fn add_headers(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_tls = Arrival::of(&parts, state.tokens.borrow().proxy()).line == Line::Tls;
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

/// Turns away what a page of another site asks for with what the browser adds by itself: a cookie, or the sign-in at a proxy.
pub(super) async fn refuse_other_sites(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        && !parts.headers.contains_key(header::UPGRADE);
    if !is_safe {
        let arrival = Arrival::of(&parts, state.tokens.borrow().proxy());
        if let Some(why) = from_another_site(&parts.headers, &arrival) {
            return Err(Problem::of(Code::CrossSite, why));
        }
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Why a request that changes something is not one of ours.
fn from_another_site(headers: &HeaderMap, arrival: &Arrival) -> Option<&'static str> {
    let has_token = brought_token(headers).is_some();
    let has_identity = matches!(arrival.identity, Identity::Somebody { .. });
    // No page of another site can give a request such a header without being allowed to, and nobody is.
    if has_token && !has_identity {
        return None;
    }
    if let Some(site) = headers.get(FETCH_SITE) {
        let ours = site == "same-origin" || site == "none";
        return (!ours).then_some("the browser says that a page of another site asks for this");
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let ours = origin.to_str().is_ok_and(|origin| is_own(origin, arrival));
        return (!ours).then_some("the `Origin` of this request is another site than the one that it goes to");
    }
    let by_itself = headers.contains_key(header::COOKIE) || has_identity;
    (by_itself && !has_token)
        .then_some("with a cookie or by a proxy, what changes something takes a `Sec-Fetch-Site` or an `Origin` header")
}

fn is_own(origin: &str, arrival: &Arrival) -> bool {
    let scheme = if arrival.line == Line::Tls { "https://" } else { "http://" };
    let host = arrival.host.as_deref().unwrap_or_default();
    origin.strip_prefix(scheme).is_some_and(|named| !named.is_empty() && named.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(line: Line, host: &str, identity: Identity) -> Arrival {
        Arrival { source: None, line, host: Some(host.to_owned()), identity }
    }

    fn refused(arrival: &Arrival, headers: &[(&'static str, &'static str)]) -> bool {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        from_another_site(&headers, arrival).is_some()
    }

    #[test]
    fn what_a_browser_adds_by_itself_counts_for_our_own_pages_alone() {
        let tls = arrival(Line::Tls, "keeper.example", Identity::None);
        let here = arrival(Line::Loopback { port: 8080 }, "127.0.0.1:8080", Identity::None);
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
            assert_eq!(refused(arrival, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_proxys_sign_in_is_added_by_itself_too_also_beside_a_token_of_the_proxy() {
        let somebody = Identity::Somebody { user: "ann".into(), groups: vec![] };
        let proxied = arrival(Line::Tls, "keeper.example", somebody);
        let token = ("authorization", "Bearer of-the-proxy");
        for (headers, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[token, ("sec-fetch-site", "cross-site")], true),
            (&[token, ("origin", "https://evil.example")], true),
            (&[token], false),
        ] {
            assert_eq!(refused(&proxied, headers), expected, "{headers:?}");
        }
    }
}
