//! Reads the answers about skills and queues. An invalid field or row does not affect the others; an answer that is not
//! a list of rows is malformed.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::ids::{QueueId, SkillId};
use crate::domain::live::figures::{Measure, QUEUE_MEASURES, QueueFigures, SKILL_MEASURES, SkillFigures, Unit};
use crate::platform::client::ApiReply;
use crate::platform::error::Failure;
use crate::platform::figures::{FiguresRead, ListedQueue, ShareUnit, figure_value};
use crate::platform::snapshot::SnapshotFault;
use crate::platform::text::{id_of, truncated};

/// The platform's names of [`SKILL_MEASURES`], in the same order (source: guide 000).
const SKILL_FIELDS: [&str; SKILL_MEASURES.len()] = [
    "contactsQueued",
    "contactsActive",
    "longestQueueDuration",
    "serviceLevel",
    "agentsAvailable",
    "agentsStaffed",
    "agentsOnContact",
    "agentsInACW",
    "currentEstimatedWaitTime",
];

/// The platform's names of [`QUEUE_MEASURES`], in the same order (source: guide 001).
const QUEUE_FIELDS: [&str; QUEUE_MEASURES.len()] =
    ["agentsLoggedOn", "agentsAvailable", "agentsBusy", "callsWaiting", "averageWaitTime", "serviceLevel"];

/// Reads the figures of these skills. A skill without a row is idle, unless there is a row whose skill is unknown.
pub(super) fn parse_skill_figures(
    reply: &ApiReply,
    requested: &[SkillId],
    secrets: &[&str],
) -> Result<FiguresRead<SkillFigures>, Failure> {
    let rows = rows(reply, "skillData", ["skill figures", "skill figures with their skillData"], secrets)?;
    let mut read = FiguresRead::default();
    let ids: Vec<&str> = requested.iter().map(SkillId::as_str).collect();
    let measures = Measures { fields: &SKILL_FIELDS, units: &SKILL_MEASURES, share: ShareUnit::Fraction };
    let (found, all_told) = read_rows(&mut read, &rows, &ids, ("skillId", "skillName"), &measures);
    read.figures = requested
        .iter()
        .zip(found)
        .filter_map(|(id, found)| match found {
            Some((name, values)) => Some(SkillFigures::of(id.clone(), name, values).without_idle_service_level()),
            None => all_told.then(|| SkillFigures::idle(id.clone())),
        })
        .collect();
    Ok(read)
}

/// Reads the figures of those of these queues that are in the answer.
pub(super) fn parse_queue_figures(
    reply: &ApiReply,
    requested: &[QueueId],
    share: ShareUnit,
    secrets: &[&str],
) -> Result<FiguresRead<QueueFigures>, Failure> {
    let rows = rows(reply, "queues", ["queue figures", "queue figures with their queues"], secrets)?;
    let mut read = FiguresRead::default();
    let ids: Vec<&str> = requested.iter().map(QueueId::as_str).collect();
    let measures = Measures { fields: &QUEUE_FIELDS, units: &QUEUE_MEASURES, share };
    let (found, _) = read_rows(&mut read, &rows, &ids, ("queueId", "name"), &measures);
    let present = requested.iter().zip(found).filter_map(|(id, found)| Some((id, found?)));
    read.figures = present
        .map(|(id, (name, values))| QueueFigures::of(id.clone(), name, values).without_idle_service_level())
        .collect();
    Ok(read)
}

/// Reads the list of queues. Rows without an id are left out.
pub(super) fn parse_queue_list(reply: &ApiReply, secrets: &[&str]) -> Result<Vec<ListedQueue>, Failure> {
    let rows = rows(reply, "queues", ["a list of queues"; 2], secrets)?;
    let listed = rows.iter().filter_map(|row| {
        let id = ["queueId", "id"].into_iter().find_map(|key| id_of(row.get(key)?))?;
        Some(ListedQueue { id: QueueId::new(id), name: name_of(row, "name") })
    });
    Ok(listed.collect())
}

/// Returns the rows under a key. The error says what was expected: an object, or the rows in it.
fn rows(reply: &ApiReply, key: &str, [object, list]: [&str; 2], secrets: &[&str]) -> Result<Vec<Value>, Failure> {
    let mut body: Value = reply.parse_object().ok_or_else(|| reply.malformed(object, secrets))?;
    match body.get_mut(key).map(Value::take) {
        Some(Value::Array(rows)) => Ok(rows),
        _ => Err(reply.malformed(list, secrets)),
    }
}

/// How the figures of a kind are read.
struct Measures<'m, const N: usize> {
    fields: &'m [&'static str; N],
    units: &'m [Measure; N],
    share: ShareUnit,
}

type Row<const N: usize> = Option<(Option<Arc<str>>, [Option<u64>; N])>;

/// Reads the rows of the requested skills or queues, and returns whether every row could be assigned.
fn read_rows<T, const N: usize>(
    read: &mut FiguresRead<T>,
    rows: &[Value],
    requested: &[&str],
    (id_key, name_key): (&str, &str),
    measures: &Measures<'_, N>,
) -> (Vec<Row<N>>, bool) {
    let mut found: Vec<Row<N>> = vec![None; requested.len()];
    let mut all_identified = true;
    for (number, row) in rows.iter().enumerate() {
        let Some(id) = row.get(id_key).and_then(id_of) else {
            read.add_diagnostic(number, None, SnapshotFault::Unreadable);
            all_identified = false;
            continue;
        };
        let Some(place) = requested.iter().position(|asked| **asked == id) else {
            read.add_diagnostic(number, Some(&id), SnapshotFault::UnknownAgent);
            continue;
        };
        if found[place].is_some() {
            read.add_diagnostic(number, Some(&id), SnapshotFault::Duplicate);
        }
        let mut values = [None; N];
        for ((value, field), measure) in values.iter_mut().zip(measures.fields).zip(measures.units) {
            match parse_figure(row.get(field), measure.unit, measures.share) {
                Ok(known) => *value = known,
                Err(ImpossibleValue) => read.add_diagnostic(number, Some(&id), SnapshotFault::BadField(field)),
            }
        }
        found[place] = Some((name_of(row, name_key), values));
    }
    (found, all_identified)
}

fn name_of(row: &Value, key: &str) -> Option<Arc<str>> {
    row.get(key).and_then(Value::as_str).filter(|name| !name.is_empty()).map(|name| Arc::from(truncated(name)))
}

/// The error for a value that the figure cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ImpossibleValue;

/// Returns one figure in its own unit, or `None` if the platform gives none.
fn parse_figure(value: Option<&Value>, unit: Unit, share: ShareUnit) -> Result<Option<u64>, ImpossibleValue> {
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_f64().ok_or(ImpossibleValue)?,
    };
    figure_value(number, unit, share).map(Some).ok_or(ImpossibleValue)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::live::figures::PPM;

    #[test]
    fn a_figure_is_read_in_its_unit_or_complained_about() {
        use ShareUnit::{Fraction, Percent};
        for (value, unit, share, expected) in [
            (json!(12), Unit::Count, Fraction, Ok(Some(12))),
            (json!(12.0), Unit::Count, Fraction, Ok(Some(12))),
            (json!(12.5), Unit::Count, Fraction, Err(ImpossibleValue)),
            (json!(-1), Unit::Count, Fraction, Err(ImpossibleValue)),
            (json!("12"), Unit::Count, Fraction, Err(ImpossibleValue)),
            (json!(true), Unit::Count, Fraction, Err(ImpossibleValue)),
            (json!(1e300), Unit::Count, Fraction, Err(ImpossibleValue)),
            (json!(null), Unit::Count, Fraction, Ok(None)),
            (json!(244.6), Unit::Seconds, Fraction, Ok(Some(245))),
            (json!(31_622_401), Unit::Seconds, Fraction, Err(ImpossibleValue)),
            (json!(15_250.4), Unit::Millis, Fraction, Ok(Some(15_250))),
            (json!(0.82), Unit::Ppm, Fraction, Ok(Some(820_000))),
            (json!(1), Unit::Ppm, Fraction, Ok(Some(PPM))),
            (json!(82), Unit::Ppm, Fraction, Err(ImpossibleValue)),
            (json!(82.5), Unit::Ppm, Percent, Ok(Some(825_000))),
            (json!(1), Unit::Ppm, Percent, Ok(Some(10_000))),
            (json!(100.5), Unit::Ppm, Percent, Err(ImpossibleValue)),
            (json!(-0.2), Unit::Ppm, Percent, Err(ImpossibleValue)),
        ] {
            assert_eq!(parse_figure(Some(&value), unit, share), expected, "{value} as {unit:?}, {share:?}");
        }
        assert_eq!(parse_figure(None, Unit::Count, Fraction), Ok(None));
    }
}
