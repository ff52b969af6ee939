//! A mistake in the text of a rule, as `rules check` and `rules replay` print it.

use serde::Serialize;

use crate::domain::rules::rule::rule_text::LineDiagnostic;

/// A mistake in a rule, and its place.
#[derive(Serialize, Debug, PartialEq, Eq)]
pub(super) struct RuleDiagnostic {
    /// The file, or the tenant and the rule in the store.
    place: String,
    #[serde(flatten)]
    diagnostic: LineDiagnostic,
}

impl RuleDiagnostic {
    /// Returns mistakes with their place.
    pub(super) fn all_at(place: &str, diagnostics: Vec<LineDiagnostic>) -> impl Iterator<Item = Self> {
        diagnostics.into_iter().map(|diagnostic| Self { place: place.to_owned(), diagnostic })
    }

    /// Formats the mistake as one line: place, line, field and message.
    pub(super) fn summary_line(&self) -> String {
        let LineDiagnostic { line, field, message } = &self.diagnostic;
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        format!("{}:{line}: {field}{message}", self.place)
    }
}
