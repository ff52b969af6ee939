//! The provenance of a report's figures in words, for the sheet Provenance and the foot of a page.

use crate::report::document::Heading;
use crate::report::tally::SectionTally;

/// The program that writes reports, with its version.
pub const PROGRAM: &str = concat!("shiftkeeper ", env!("CARGO_PKG_VERSION"));

/// Returns lines of name and value, in the order in which people read them.
pub fn lines(heading: &Heading, tallies: &[SectionTally]) -> Vec<(String, String)> {
    let request = &heading.request;
    let mut lines = vec![
        ("Report", request.report.to_string()),
        ("Tenant", request.tenant.to_string()),
        ("From", request.from.map_or_else(|| "the beginning".to_owned(), |from| from.to_string())),
        ("To, not included", request.to.to_string()),
        ("Time zone", request.zone.clone()),
        ("Filters", filters(heading)),
        ("Formula", request.variant_name().unwrap_or("the only one").to_owned()),
        ("Made at", heading.made_at.to_string()),
        ("Made by", PROGRAM.to_owned()),
        ("Data until", heading.data_until.map_or_else(|| "nothing is recorded".to_owned(), |at| at.to_string())),
        ("Audit chain", format!("entry {}, hash {}", heading.audit_head.seq, heading.audit_head.hash)),
    ];
    lines.extend(heading.notes.iter().map(|note| ("Note", note.clone())));
    let mut lines: Vec<(String, String)> = lines.into_iter().map(|(what, value)| (what.to_owned(), value)).collect();
    for tally in tallies {
        lines.push((format!("Rows of {}", tally.name), tally.rows.to_string()));
        lines.push((format!("SHA-256 of {}", tally.name), tally.sha256.clone()));
        for empty in &tally.empty {
            lines.push((
                format!("Empty cells of {}.{}", tally.name, empty.column),
                format!("{}: {}", empty.rows, empty.why),
            ));
        }
    }
    lines
}

/// Returns the filters as `name: value`, or `none`.
pub fn filters(heading: &Heading) -> String {
    let value = serde_json::to_value(&heading.request.filters).unwrap_or_default();
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(all) => {
            all.iter().map(|one| one.as_str().unwrap_or_default()).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    let parts: Vec<String> =
        value.as_object().into_iter().flatten().map(|(name, value)| format!("{name}: {}", text(value))).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}
