//! The findings of checks, and how a list of them is printed and decides the exit code.

use serde::Serialize;
use serde_json::json;

use super::exit::Exit;
use super::output::Output;
use crate::domain::wording::count_with_noun;

/// The status of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All is well.
    Ok,
    /// Works, but should be looked at.
    Warning,
    /// Does not work.
    Wrong,
    /// Was not checked.
    Skipped,
}

impl Status {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
            Self::Skipped => "skipped",
        }
    }
}

/// The result of one check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The group, such as `platform acme`.
    pub group: String,
    /// The id, such as `token`, which is unique within the group.
    pub id: String,
    /// The status.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do; `None` if nothing.
    pub advice: Option<String>,
}

/// The findings of one group, in order.
#[derive(Debug)]
pub struct FindingGroup {
    name: String,
    findings: Vec<Finding>,
}

impl FindingGroup {
    /// Creates an empty group.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), findings: Vec::new() }
    }

    /// Adds a finding that all is well.
    pub fn ok(&mut self, id: impl Into<String>, detail: impl Into<String>) {
        self.push(id.into(), Status::Ok, detail.into(), None);
    }

    /// Adds a finding about something that works, but should be looked at.
    pub fn warning(&mut self, id: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) {
        self.push(id.into(), Status::Warning, detail.into(), Some(advice.into()));
    }

    /// Adds a finding about something that does not work.
    pub fn wrong(&mut self, id: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) {
        self.push(id.into(), Status::Wrong, detail.into(), Some(advice.into()));
    }

    /// Adds a finding that was not checked, with the reason.
    pub fn skipped(&mut self, id: impl Into<String>, why: impl Into<String>) {
        self.push(id.into(), Status::Skipped, why.into(), None);
    }

    fn push(&mut self, id: String, status: Status, detail: String, advice: Option<String>) {
        self.findings.push(Finding { group: self.name.clone(), id, status, detail, advice });
    }

    /// Returns the findings.
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// Prints findings. Returns the exit code: 0, or 4 if something is wrong.
pub fn report_findings(findings: &[Finding], output: Output) -> anyhow::Result<Exit> {
    let sound = findings.iter().all(|finding| finding.status != Status::Wrong);
    output.print(&json!({ "ok": sound, "checks": findings }), || findings_text(findings))?;
    Ok(if sound { Exit::Done } else { Exit::Problems })
}

/// Formats a line for each finding by group, with the advice below, and a summary at the end.
fn findings_text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    let mut group = "";
    for finding in findings {
        if finding.group != group {
            group = &finding.group;
            lines.push(group.to_owned());
        }
        lines.push(format!("  {:<8} {}: {}", finding.status.label(), finding.id, finding.detail));
        lines.extend(finding.advice.iter().map(|advice| format!("           -> {advice}")));
    }
    let many = |status| findings.iter().filter(|finding| finding.status == status).count();
    let wrong = many(Status::Wrong);
    let sum =
        if wrong == 0 { "nothing is wrong".to_owned() } else { format!("{} to mend", count_with_noun(wrong, "thing")) };
    lines.push(format!(
        "{sum}; {}, {} skipped",
        count_with_noun(many(Status::Warning), "warning"),
        many(Status::Skipped)
    ));
    lines.join("\n")
}

/// Formats a number of bytes for people.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_reported_by_group_with_advice() {
        let mut group = FindingGroup::new("disk");
        group.ok("store", "3.0 GiB free");
        group.wrong("backups", "1.0 MiB free", "free some");
        let mut findings = group.into_findings();
        let mut group = FindingGroup::new("webhooks");
        group.skipped("wfm", "not asked: --offline");
        findings.extend(group.into_findings());
        insta::assert_snapshot!(findings_text(&findings), @r"
        disk
          ok       store: 3.0 GiB free
          WRONG    backups: 1.0 MiB free
                   -> free some
        webhooks
          skipped  wfm: not asked: --offline
        1 thing to mend; 0 warnings, 1 skipped
        ");
        assert_eq!(report_findings(&findings, Output::Json).expect("printed"), Exit::Problems);
        assert_eq!(report_findings(&findings[..1], Output::Json).expect("printed"), Exit::Done);
    }

    #[test]
    fn bytes_are_shown_in_the_largest_suitable_unit() {
        let texts = [0, 1023, 1024, 1536, 5 << 20, (1 << 30) + (1 << 29)].map(bytes_text);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "1.5 GiB"]);
    }
}
