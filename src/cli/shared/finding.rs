//! What a check found, as data, and how a list of findings is printed and ends the process.

use serde::Serialize;
use serde_json::json;

use super::exit::Exit;
use super::output::{Output, print, print_json};
use crate::domain::words::count;

/// How it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, and wants a look.
    Warning,
    /// Does not work.
    Wrong,
    /// Not looked at.
    Skipped,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What it belongs to, as in `platform acme`.
    pub group: String,
    /// What it is, as in `token`; with its group it names the finding.
    pub id: String,
    /// How it is.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// What to do; none where nothing has to be done.
    pub advice: Option<String>,
}

/// The findings of one group, as they come.
#[derive(Debug)]
pub struct Group {
    name: String,
    findings: Vec<Finding>,
}

impl Group {
    /// Nothing was looked at yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), findings: Vec::new() }
    }

    /// As it should be.
    pub fn ok(&mut self, id: impl Into<String>, detail: impl Into<String>) {
        self.push(id.into(), Status::Ok, detail.into(), None);
    }

    /// Works, and wants a look.
    pub fn warning(&mut self, id: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) {
        self.push(id.into(), Status::Warning, detail.into(), Some(advice.into()));
    }

    /// Does not work.
    pub fn wrong(&mut self, id: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) {
        self.push(id.into(), Status::Wrong, detail.into(), Some(advice.into()));
    }

    /// Was not looked at, and why.
    pub fn skipped(&mut self, id: impl Into<String>, why: impl Into<String>) {
        self.push(id.into(), Status::Skipped, why.into(), None);
    }

    fn push(&mut self, id: String, status: Status, detail: String, advice: Option<String>) {
        self.findings.push(Finding { group: self.name.clone(), id, status, detail, advice });
    }

    /// What was found.
    pub fn done(self) -> Vec<Finding> {
        self.findings
    }
}

/// Prints findings; gives the end of the process: 0, or 4 when something is wrong.
pub fn report(findings: &[Finding], output: Output) -> anyhow::Result<Exit> {
    let sound = findings.iter().all(|finding| finding.status != Status::Wrong);
    match output {
        Output::Json => print_json(&json!({ "ok": sound, "checks": findings }))?,
        Output::Table => print(text(findings))?,
    }
    Ok(if sound { Exit::Done } else { Exit::Problems })
}

/// A line for each finding, by group, and what to do below those that want something; the sum at the end.
fn text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    let mut group = "";
    for finding in findings {
        if finding.group != group {
            group = &finding.group;
            lines.push(group.to_owned());
        }
        lines.push(format!("  {:<8} {}: {}", finding.status.word(), finding.id, finding.detail));
        lines.extend(finding.advice.iter().map(|advice| format!("           -> {advice}")));
    }
    let many = |status| findings.iter().filter(|finding| finding.status == status).count();
    let wrong = many(Status::Wrong);
    let sum = if wrong == 0 { "nothing is wrong".to_owned() } else { format!("{} to mend", count(wrong, "thing")) };
    lines.push(format!("{sum}; {}, {} skipped", count(many(Status::Warning), "warning"), many(Status::Skipped)));
    lines.join("\n")
}

/// Bytes as people read them.
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
    fn findings_are_told_by_group_with_what_to_do() {
        let mut group = Group::new("disk");
        group.ok("store", "3.0 GiB free");
        group.wrong("backups", "1.0 MiB free", "free some");
        let mut findings = group.done();
        let mut group = Group::new("webhooks");
        group.skipped("wfm", "not asked: --offline");
        findings.extend(group.done());
        insta::assert_snapshot!(text(&findings), @r"
        disk
          ok       store: 3.0 GiB free
          WRONG    backups: 1.0 MiB free
                   -> free some
        webhooks
          skipped  wfm: not asked: --offline
        1 thing to mend; 0 warnings, 1 skipped
        ");
        assert_eq!(report(&findings, Output::Json).expect("printed"), Exit::Problems);
        assert_eq!(report(&findings[..1], Output::Json).expect("printed"), Exit::Done);
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit_that_fits() {
        let told = [0, 1023, 1024, 1536, 5 << 20, (1 << 30) + (1 << 29)].map(bytes_text);
        assert_eq!(told, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "1.5 GiB"]);
    }
}
