//! Reads the activity of skills, which are the queues of this platform too.

use crate::domain::ids::{QueueId, SkillId};
use crate::domain::live::figures::{QueueFigures, SkillFigures, Unit};
use crate::platform::client::ApiReply;
use crate::platform::error::Failure;
use crate::platform::figures::{FiguresRead, ListedQueue, ShareUnit, figure_value};
use crate::platform::snapshot::SnapshotFault;
use crate::platform::text;

use super::lists::parse;
use super::wire::{Page, Scalar, SkillRow, parse_instant};

/// Reads the figures of those of these skills that are in the answer. There is no estimate of waits.
pub(super) fn read_skills(
    reply: &ApiReply,
    requested: &[SkillId],
    secrets: &[&str],
) -> Result<FiguresRead<SkillFigures>, Failure> {
    let ids: Vec<&str> = requested.iter().map(SkillId::as_str).collect();
    read(reply, &ids, secrets, |place, row| {
        let values = SkillFigures {
            name: row.name(),
            contacts_queued: row.count("queueCount", &row.row.queued),
            contacts_active: row.count("contactsActive", &row.row.active),
            longest_queue_duration_s: row.longest_wait_s(),
            service_level_ppm: row.figure("serviceLevel", &row.row.service_level, Unit::Ppm),
            agents_available: row.count("agentsAvailable", &row.row.available),
            agents_staffed: row.count("agentsLoggedIn", &row.row.logged_in),
            agents_on_contact: row.count("agentsWorking", &row.row.working),
            agents_in_acw: row.count("agentsACW", &row.row.in_acw),
            ..SkillFigures::unknown(requested[place].clone())
        };
        values.without_idle_service_level()
    })
}

/// Reads the figures of those of these queues that are in the answer. There is no average of waits.
pub(super) fn read_queues(
    reply: &ApiReply,
    requested: &[QueueId],
    secrets: &[&str],
) -> Result<FiguresRead<QueueFigures>, Failure> {
    let ids: Vec<&str> = requested.iter().map(QueueId::as_str).collect();
    read(reply, &ids, secrets, |place, row| {
        let working = row.count("agentsWorking", &row.row.working);
        let in_acw = row.count("agentsACW", &row.row.in_acw);
        let values = QueueFigures {
            name: row.name(),
            agents_logged_on: row.count("agentsLoggedIn", &row.row.logged_in),
            agents_available: row.count("agentsAvailable", &row.row.available),
            agents_busy: working.zip(in_acw).map(|(working, in_acw)| working + in_acw),
            calls_waiting: row.count("queueCount", &row.row.queued),
            service_level_ppm: row.figure("serviceLevel", &row.row.service_level, Unit::Ppm),
            ..QueueFigures::unknown(requested[place].clone())
        };
        values.without_idle_service_level()
    })
}

/// Reads the list of skills as queues.
pub(super) fn read_queue_list(reply: &ApiReply, secrets: &[&str]) -> Result<Vec<ListedQueue>, Failure> {
    let mut repaired = String::new();
    let page: Page<'_, SkillRow<'_>> = parse(reply, &mut repaired, "a list of skills", secrets)?;
    let rows = page.rows.unwrap_or_default();
    let active = rows.iter().filter_map(|row| row.0.as_ref()).filter(|row| row.is_active.flag() != Some(false));
    let listed = active.filter_map(|row| {
        let name = row.name.text().map(|name| text::truncated(name).as_ref().into());
        Some(ListedQueue { id: QueueId::new(row.skill_id.id()?), name })
    });
    Ok(listed.collect())
}

/// A row, with the faults that were found in it.
struct FiguresRow<'r, 'a> {
    row: &'r SkillRow<'a>,
    faults: std::cell::RefCell<Vec<&'static str>>,
}

impl FiguresRow<'_, '_> {
    fn name(&self) -> Option<std::sync::Arc<str>> {
        self.row.name.text().map(|name| text::truncated(name).as_ref().into())
    }

    fn count(&self, field: &'static str, value: &Scalar<'_>) -> Option<u64> {
        self.figure(field, value, Unit::Count)
    }

    /// Returns a figure; `None` if the platform gives none, or one that is impossible.
    fn figure(&self, field: &'static str, value: &Scalar<'_>, unit: Unit) -> Option<u64> {
        if *value == Scalar::Null {
            return None;
        }
        let figure = value.number().and_then(|number| figure_value(number, unit, ShareUnit::Percent));
        if figure.is_none() {
            self.faults.borrow_mut().push(field);
        }
        figure
    }

    /// Returns for how long the contact that waits longest has waited.
    fn longest_wait_s(&self) -> Option<u64> {
        if self.row.queued.integer() == Some(0) {
            return Some(0);
        }
        let instant = |value: &Scalar<'_>| value.text().and_then(parse_instant);
        let wait = instant(&self.row.server_time)?.since(instant(&self.row.earliest)?);
        Some(wait.as_secs().min(Unit::Seconds.max_value()))
    }
}

/// Reads the rows of the requested skills. The answer lists all skills.
fn read<T>(
    reply: &ApiReply,
    requested: &[&str],
    secrets: &[&str],
    convert: impl Fn(usize, &FiguresRow<'_, '_>) -> T,
) -> Result<FiguresRead<T>, Failure> {
    let mut repaired = String::new();
    let page: Page<'_, SkillRow<'_>> = parse(reply, &mut repaired, "the activity of skills", secrets)?;
    let mut read = FiguresRead::default();
    let mut seen = vec![false; requested.len()];
    for (number, row) in page.rows.unwrap_or_default().iter().enumerate() {
        let Some((row, id)) = row.0.as_ref().and_then(|row| Some((row, row.skill_id.id()?))) else {
            read.add_diagnostic(number, None, SnapshotFault::Unreadable);
            continue;
        };
        let Some(place) = requested.iter().position(|asked| **asked == *id) else { continue };
        if std::mem::replace(&mut seen[place], true) {
            read.add_diagnostic(number, Some(&id), SnapshotFault::Duplicate);
            continue;
        }
        let row = FiguresRow { row, faults: std::cell::RefCell::default() };
        read.figures.push(convert(place, &row));
        for field in row.faults.into_inner() {
            read.add_diagnostic(number, Some(&id), SnapshotFault::BadField(field));
        }
    }
    Ok(read)
}
