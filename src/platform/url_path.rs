//! URLs below a base, with ids as path segments that cannot change the path.

use reqwest::Url;

use super::error::Failure;

/// Returns the URL of `path` and then `ids` below `base`, whose path counts as a folder with or without a trailing
/// slash. Each id becomes one percent-encoded segment; an id that cannot be a segment is refused.
pub fn join_path(base: &Url, path: &str, ids: &[&str]) -> Result<Url, Failure> {
    let cannot = |what: &str| Failure::Unsupported { what: format!("be asked: {what}") };
    if let Some(bad) = ids.iter().find(|id| matches!(**id, "" | "." | "..") || id.chars().any(char::is_control)) {
        return Err(cannot(&format!("{bad:?} cannot be part of a URL")));
    }
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| cannot("the base URL is not one that paths can be below of"))?
        .pop_if_empty()
        .extend(path.split('/').filter(|segment| !segment.is_empty()))
        .extend(ids);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_below_the_base_with_or_without_its_slash() {
        for base in ["http://127.0.0.1:8/na1", "http://127.0.0.1:8/na1/"] {
            let url = join_path(&base.parse().expect("valid"), "/api/v2/users/", &["u_1", "state"]).expect("valid");
            assert_eq!(url.as_str(), "http://127.0.0.1:8/na1/api/v2/users/u_1/state");
        }
    }

    #[test]
    fn an_id_stays_one_segment() {
        let base: Url = "http://127.0.0.1:8".parse().expect("valid");
        let path = |id| join_path(&base, "/users", &[id]).map(|url| url.path().to_owned());
        assert_eq!(path("a/b?c#d%2e"), Ok("/users/a%2Fb%3Fc%23d%252e".to_owned()));
        for bad in ["", ".", "..", "u\n1"] {
            assert!(matches!(path(bad), Err(Failure::Unsupported { .. })), "{bad:?}");
        }
    }
}
