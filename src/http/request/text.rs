//! Checks of texts that people type.

use crate::http::problem::Problem;

/// Returns an error if a text is too long; `name` is its key in the request.
pub(in crate::http) fn check_length(name: &str, text: Option<&str>, max_chars: usize) -> Result<(), Problem> {
    if text.is_some_and(|text| text.chars().count() > max_chars) {
        return Err(Problem::bad_request(format!("{name}: at most {max_chars} characters")));
    }
    Ok(())
}
