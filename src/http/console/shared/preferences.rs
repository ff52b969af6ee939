//! The preferences of a browser: light or dark, and which time zone. They are kept in cookies without secrets, so that
//! a page is right when first shown; without scripts, links set them.

use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::request::query::is_local_path;

/// The cookie for `light` or `dark`; without it the system decides.
pub(in crate::http::console) const THEME_COOKIE: &str = "shiftkeeper_theme";
/// The cookie for `viewer` or `agent`.
pub(in crate::http::console) const ZONE_COOKIE: &str = "shiftkeeper_zone";
/// The cookie for the browser's time zone, which a module sets.
pub(in crate::http::console) const TZ_COOKIE: &str = "shiftkeeper_tz";

/// The possible choices for each cookie; the first is the same as no choice.
const CHOICES: [(&str, &str, &[&str]); 2] =
    [("theme", THEME_COOKIE, &["system", "light", "dark"]), ("zone", ZONE_COOKIE, &["viewer", "agent"])];

/// The longest value that is read, in bytes.
const MAX_VALUE_BYTES: usize = 64;

/// Returns the decoded value of a cookie.
pub(in crate::http::console) fn cookie_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, value)| *key == name && value.len() <= MAX_VALUE_BYTES)?;
    // A cookie's value has no `&`, so it can be decoded as one pair of a form.
    url::form_urlencoded::parse(value.as_bytes()).next().map(|(decoded, _)| decoded.into_owned())
}

/// Returns the chosen theme; empty if the system decides.
pub(in crate::http) fn theme(headers: &HeaderMap) -> &'static str {
    match cookie_value(headers, THEME_COOKIE).as_deref() {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "",
    }
}

/// `GET /preferences?theme=dark&next=/…`: sets the cookies and redirects back.
pub(in crate::http) async fn set_preferences(RawQuery(query): RawQuery) -> Response {
    let mut headers = HeaderMap::new();
    let mut next = "/".to_owned();
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key == "next" && is_local_path(&value) {
            next = value.into_owned();
        } else if let Some((_, cookie, known)) = CHOICES.iter().find(|(choice, _, _)| *choice == key)
            && let Some(value) = known.iter().find(|known| **known == value)
        {
            let text = format!("{cookie}={value}; Path=/; Max-Age=31536000; SameSite=Lax");
            if let Ok(text) = HeaderValue::try_from(text) {
                headers.append(header::SET_COOKIE, text);
            }
        }
    }
    let next = HeaderValue::try_from(next).unwrap_or(HeaderValue::from_static("/"));
    headers.insert(header::LOCATION, next);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn request_preferences(query: &str) -> (String, Vec<String>) {
        let response = set_preferences(RawQuery(Some(query.to_owned()))).await;
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        let cookies = response.headers().get_all(header::SET_COOKIE).iter().map(text).collect();
        (text(&response.headers()[header::LOCATION]), cookies)
    }

    #[tokio::test]
    async fn only_known_choices_are_set_and_the_way_back_stays_here() {
        let (next, cookies) = request_preferences("theme=dark&zone=agent&next=%2Frules%3Ftenant%3Dacme").await;
        assert_eq!(next, "/rules?tenant=acme");
        assert!(cookies[0].starts_with("shiftkeeper_theme=dark;"), "{cookies:?}");
        assert!(cookies[1].starts_with("shiftkeeper_zone=agent;"), "{cookies:?}");
        for elsewhere in ["//evil.example", "/%5Cevil.example", "https://evil.example", "/a%0Ab", ""] {
            let (next, cookies) = request_preferences(&format!("theme=%22&zone=x%3B&next={elsewhere}")).await;
            assert_eq!((next.as_str(), cookies), ("/", vec![]), "{elsewhere}");
        }
    }
}
