//! The console's own files: styles, modules and images, embedded in the binary.
//!
//! Their address contains a hash of all files, so that browsers may keep them forever, and modules that import each
//! other always have the same version.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::domain::audit::Hash;
use crate::http::problem::{Code, Problem};

#[derive(RustEmbed)]
#[folder = "src/http/console/assets"]
struct EmbeddedFiles;

/// The number of digits of the hash in addresses, enough that no two versions share one.
const VERSION_DIGITS: usize = 12;

/// The hash of all files, as addresses contain it.
static ASSETS_VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = EmbeddedFiles::iter().collect();
    names.sort();
    let mut all = Vec::new();
    for name in names {
        all.extend_from_slice(name.as_bytes());
        all.extend(EmbeddedFiles::get(&name).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    Hash::of(&all).to_string().chars().take(VERSION_DIGITS).collect()
});

/// Returns the address of one of the console's files.
pub fn asset(name: &str) -> String {
    format!("/assets/{}/{name}", *ASSETS_VERSION)
}

/// `GET /assets/{version}/{name}`. A page from before an upgrade gets the current file, which the browser then does not
/// keep.
pub(in crate::http) async fn serve_asset(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(file) = EmbeddedFiles::get(&name) else {
        return Problem::from_code(Code::NoSuchPath, format!("the console has no file {name}")).into_response();
    };
    let cache_control = if version == *ASSETS_VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name))),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache_control)),
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
        let get = |version: &str, name: &str| serve_asset(Path((version.to_owned(), name.to_owned())));
        let now = get(&ASSETS_VERSION, "console.css").await;
        assert_eq!(now.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
        assert!(now.headers()[header::CACHE_CONTROL].to_str().expect("text").contains("immutable"));
        assert_eq!(get("0", "console.css").await.headers()[header::CACHE_CONTROL], "no-store");
        for outside in ["../mod.rs", "..%2fmod.rs", "/etc/passwd", "none.js"] {
            assert_eq!(get(&ASSETS_VERSION, outside).await.status(), StatusCode::NOT_FOUND, "{outside}");
        }
    }

    #[test]
    fn every_file_has_a_type_that_browsers_take() {
        for name in EmbeddedFiles::iter() {
            assert_ne!(content_type(&name), "application/octet-stream", "{name}");
        }
    }
}
