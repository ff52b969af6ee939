//! Reads the answers about skills and queues. A field that is wrong spoils itself alone, a row that is wrong spoils itself alone;
//! an answer that is no list of rows is nonsense.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::ids::{QueueId, SkillId};
use crate::domain::live::figures::{Measure, QUEUE_MEASURES, QueueFigures, SKILL_MEASURES, SkillFigures, Unit};
use crate::platform::client::Reply;
use crate::platform::error::Failure;
use crate::platform::figures::{FiguresRead, ListedQueue, ShareUnit};
use crate::platform::snapshot::Fault;
use crate::platform::text::{is_id, kept};

/// The platform's names of [`SKILL_MEASURES`], in their order (source: guide 000).
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

/// The platform's names of [`QUEUE_MEASURES`], in their order (source: guide 001).
const QUEUE_FIELDS: [&str; QUEUE_MEASURES.len()] =
    ["agentsLoggedOn", "agentsAvailable", "agentsBusy", "callsWaiting", "averageWaitTime", "serviceLevel"];

/// The figures of these skills. One that is left out is idle, unless a row is there of which nobody can say whose it is.
pub(super) fn skills(reply: &Reply, asked: &[SkillId], secrets: &[&str]) -> Result<FiguresRead<SkillFigures>, Failure> {
    let body: Value = parsed(reply, "skill figures", secrets)?;
    let rows = rows(&body, "skillData").ok_or_else(|| reply.nonsense("skill figures with their skillData", secrets))?;
    let mut read = FiguresRead::default();
    let ids: Vec<&str> = asked.iter().map(SkillId::as_str).collect();
    let measures = Measures { fields: &SKILL_FIELDS, units: &SKILL_MEASURES, share: ShareUnit::OfOne };
    let (found, all_told) = told(&mut read, rows, &ids, ("skillId", "skillName"), &measures);
    read.figures = asked
        .iter()
        .zip(found)
        .filter_map(|(id, found)| match found {
            Some((name, values)) => Some(SkillFigures::of(id.clone(), name, values).settled()),
            None => all_told.then(|| SkillFigures::idle(id.clone())),
        })
        .collect();
    Ok(read)
}

/// The figures of these queues, as far as the answer has them.
pub(super) fn queues(
    reply: &Reply,
    asked: &[QueueId],
    share: ShareUnit,
    secrets: &[&str],
) -> Result<FiguresRead<QueueFigures>, Failure> {
    let body: Value = parsed(reply, "queue figures", secrets)?;
    let rows = rows(&body, "queues").ok_or_else(|| reply.nonsense("queue figures with their queues", secrets))?;
    let mut read = FiguresRead::default();
    let ids: Vec<&str> = asked.iter().map(QueueId::as_str).collect();
    let measures = Measures { fields: &QUEUE_FIELDS, units: &QUEUE_MEASURES, share };
    let (found, _) = told(&mut read, rows, &ids, ("queueId", "name"), &measures);
    let shown = asked.iter().zip(found).filter_map(|(id, found)| Some((id, found?)));
    read.figures = shown.map(|(id, (name, values))| QueueFigures::of(id.clone(), name, values).settled()).collect();
    Ok(read)
}

/// The queues that there are. A row without an id is none.
pub(super) fn listed(reply: &Reply, secrets: &[&str]) -> Result<Vec<ListedQueue>, Failure> {
    let body: Value = parsed(reply, "a list of queues", secrets)?;
    let rows = rows(&body, "queues").ok_or_else(|| reply.nonsense("a list of queues", secrets))?;
    let listed = rows.iter().filter_map(|row| {
        let id = id_of(row, "queueId").or_else(|| id_of(row, "id"))?;
        Some(ListedQueue { id: QueueId::new(id), name: name_of(row, "name") })
    });
    Ok(listed.collect())
}

fn parsed(reply: &Reply, expected: &str, secrets: &[&str]) -> Result<Value, Failure> {
    reply.object().ok_or_else(|| reply.nonsense(expected, secrets))
}

fn rows<'v>(body: &'v Value, key: &str) -> Option<&'v [Value]> {
    body.get(key).and_then(Value::as_array).map(Vec::as_slice)
}

/// How the figures of a kind are read.
struct Measures<'m, const N: usize> {
    fields: &'m [&'static str; N],
    units: &'m [Measure; N],
    share: ShareUnit,
}

type Row<const N: usize> = Option<(Option<Arc<str>>, [Option<u64>; N])>;

/// What the rows say of each that was asked about, and whether every row says whose it is.
fn told<T, const N: usize>(
    read: &mut FiguresRead<T>,
    rows: &[Value],
    asked: &[&str],
    (id_key, name_key): (&str, &str),
    measures: &Measures<'_, N>,
) -> (Vec<Row<N>>, bool) {
    let mut found: Vec<Row<N>> = vec![None; asked.len()];
    let mut all_told = true;
    for (number, row) in rows.iter().enumerate() {
        let Some(id) = id_of(row, id_key) else {
            read.complain(number, None, Fault::Unreadable);
            all_told = false;
            continue;
        };
        let Some(place) = asked.iter().position(|asked| **asked == id) else {
            read.complain(number, Some(&id), Fault::Stranger);
            continue;
        };
        if found[place].is_some() {
            read.complain(number, Some(&id), Fault::Duplicate);
        }
        let mut values = [None; N];
        for ((value, field), measure) in values.iter_mut().zip(measures.fields).zip(measures.units) {
            match figure(row.get(field), measure.unit, measures.share) {
                Ok(known) => *value = known,
                Err(CannotBe) => read.complain(number, Some(&id), Fault::BadField(field)),
            }
        }
        found[place] = Some((name_of(row, name_key), values));
    }
    (found, all_told)
}

/// The platform counts skills in numbers and names queues in text; either is the same id.
fn id_of(row: &Value, key: &str) -> Option<String> {
    match row.get(key)? {
        Value::String(text) if is_id(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn name_of(row: &Value, key: &str) -> Option<Arc<str>> {
    row.get(key).and_then(Value::as_str).filter(|name| !name.is_empty()).map(|name| Arc::from(kept(name)))
}

/// A value that the figure cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct CannotBe;

/// One figure in its own unit; none where the platform gives none.
fn figure(value: Option<&Value>, unit: Unit, share: ShareUnit) -> Result<Option<u64>, CannotBe> {
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_f64().ok_or(CannotBe)?,
    };
    let scaled = match (unit, share) {
        (Unit::Count, _) if number.fract() == 0.0 => number,
        (Unit::Count, _) => return Err(CannotBe),
        (Unit::Seconds | Unit::Millis, _) => number.round(),
        (Unit::Ppm, ShareUnit::OfOne) => (number * 1e6).round(),
        (Unit::Ppm, ShareUnit::Percent) => (number * 1e4).round(),
    };
    within(scaled, unit.most()).map(Some).ok_or(CannotBe)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a whole number from 0 to a limit far below 2⁵³"
)]
fn within(number: f64, most: u64) -> Option<u64> {
    (0.0..=most as f64).contains(&number).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::live::figures::PPM;

    #[test]
    fn a_figure_is_read_in_its_unit_or_complained_about() {
        use ShareUnit::{OfOne, Percent};
        for (value, unit, share, expected) in [
            (json!(12), Unit::Count, OfOne, Ok(Some(12))),
            (json!(12.0), Unit::Count, OfOne, Ok(Some(12))),
            (json!(12.5), Unit::Count, OfOne, Err(CannotBe)),
            (json!(-1), Unit::Count, OfOne, Err(CannotBe)),
            (json!("12"), Unit::Count, OfOne, Err(CannotBe)),
            (json!(true), Unit::Count, OfOne, Err(CannotBe)),
            (json!(1e300), Unit::Count, OfOne, Err(CannotBe)),
            (json!(null), Unit::Count, OfOne, Ok(None)),
            (json!(244.6), Unit::Seconds, OfOne, Ok(Some(245))),
            (json!(31_622_401), Unit::Seconds, OfOne, Err(CannotBe)),
            (json!(15_250.4), Unit::Millis, OfOne, Ok(Some(15_250))),
            (json!(0.82), Unit::Ppm, OfOne, Ok(Some(820_000))),
            (json!(1), Unit::Ppm, OfOne, Ok(Some(PPM))),
            (json!(82), Unit::Ppm, OfOne, Err(CannotBe)),
            (json!(82.5), Unit::Ppm, Percent, Ok(Some(825_000))),
            (json!(1), Unit::Ppm, Percent, Ok(Some(10_000))),
            (json!(100.5), Unit::Ppm, Percent, Err(CannotBe)),
            (json!(-0.2), Unit::Ppm, Percent, Err(CannotBe)),
        ] {
            assert_eq!(figure(Some(&value), unit, share), expected, "{value} as {unit:?}, {share:?}");
        }
        assert_eq!(figure(None, Unit::Count, OfOne), Ok(None));
    }
}
