//! The console's own files: styles, modules and pictures, in the binary.
//!
//! Their address holds a hash over all of them, so that a browser may keep them for ever and modules that import each other
//! are always of one version.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::domain::audit::Hash;
use crate::http::problem::{Code, Problem};

#[derive(RustEmbed)]
#[folder = "src/http/console/assets"]
struct Files;

/// Digits of the hash in addresses: enough that two versions never share one.
const DIGITS: usize = 12;

/// The hash over all files, as addresses have it.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Files::iter().collect();
    names.sort();
    let mut all = Vec::new();
    for name in names {
        all.extend_from_slice(name.as_bytes());
        all.extend(Files::get(&name).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    Hash::of(&all).to_string().chars().take(DIGITS).collect()
});

/// The address of one of the console's files.
pub fn asset(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`. A page from before an upgrade gets the file of now, and does not keep it.
pub(in crate::http) async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(file) = Files::get(&name) else {
        return Problem::of(Code::NoSuchPlace, format!("the console has no file {name}")).into_response();
    };
    let keep = if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name))),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    (headers, file.data).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn a_file_of_this_version_is_kept_and_one_of_another_is_not() {
        let get = |version: &str, name: &str| serve(Path((version.to_owned(), name.to_owned())));
        let now = get(&VERSION, "console.css").await;
        assert_eq!(now.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
        assert!(now.headers()[header::CACHE_CONTROL].to_str().expect("text").contains("immutable"));
        assert_eq!(get("0", "console.css").await.headers()[header::CACHE_CONTROL], "no-store");
        for outside in ["../mod.rs", "..%2fmod.rs", "/etc/passwd", "none.js"] {
            assert_eq!(get(&VERSION, outside).await.status(), StatusCode::NOT_FOUND, "{outside}");
        }
    }

    #[test]
    fn every_file_has_a_type_that_browsers_take() {
        for name in Files::iter() {
            assert_ne!(content_type(&name), "application/octet-stream", "{name}");
        }
    }
}
