//! Proposes an import profile for a file, with the reason for each choice.
//!
//! What the file proves is stated. What it only suggests is marked as doubtful. What it does not say is left to a person,
//! and no file is read by the profile until that is decided.

mod activities;
mod agents;
mod bare;
mod clock;
mod file;
mod forms;
mod proposal;
mod rows;
mod shifts;
mod table;
mod wide;
mod words;
mod zones;

pub use agents::KnownAgents;
pub use proposal::{Answers, Choice, Entry, Proposal, inline};

use super::super::diagnostic::{ImportDiagnostic, ScheduleImportError};
use super::super::options::ImportOptions;
use super::super::{ImportFormat, calendar, check_size, strip_byte_order_mark};
use proposal::Draft;

/// Proposes a profile for a file. `name` is the name of the file, `known` are the agents whom it can name, and `answers` is
/// what a person has stated. The error says why nothing can be found out.
pub fn detect(
    name: &str,
    bytes: &[u8],
    known: &KnownAgents,
    answers: &Answers,
) -> Result<Proposal, ScheduleImportError> {
    check_size(bytes.len(), &ImportOptions::default())?;
    let mut draft = Draft::new(answers);
    if bytes.trim_ascii().is_empty() {
        return Err(ScheduleImportError::single(ImportDiagnostic::for_file(
            "the file is empty; nothing can be found out from it",
        )));
    }
    if ImportFormat::guess(name, bytes) == ImportFormat::ICalendar {
        calendar_profile(bytes, &mut draft);
        return Ok(draft.finish());
    }
    let sheets = file::read(bytes, &mut draft).map_err(ScheduleImportError::single)?;
    let mut table = table::find(&sheets, &mut draft);
    let is_known = if table.header.is_empty() {
        bare::propose(&mut table, known, &mut draft)
    } else {
        wide::propose(&mut table, &sheets, known, &mut draft)
            || shifts::propose(&mut table, known, &mut draft)
            || rows::propose(&mut table, known, &mut draft)
    };
    if !is_known {
        let reason = "the headings do not show what a row is. See docs/schedules.md, and write the profile by hand.";
        draft.undecided(&["layout"], ["activities", "shifts", "days", "wide"].map(Into::into).to_vec(), reason);
    }
    Ok(draft.finish())
}

/// Proposes the profile of a calendar, which says nearly everything itself.
fn calendar_profile(bytes: &[u8], draft: &mut Draft<'_>) {
    draft.certain(&["layout"], "calendar", "The file is an iCalendar file.");
    let read = |zone: Option<&str>| {
        let options = ImportOptions { default_zone: zone.map(str::to_owned), ..ImportOptions::default() };
        calendar::read(strip_byte_order_mark(bytes), &options)
    };
    if read(None).is_err() && read(Some("UTC")).is_ok() {
        let reason = "the times of some agents have no zone of their own, or are all in UTC.";
        draft.undecided(&["agent_zone"], vec!["Europe/Berlin".into()], reason);
    }
}
