//! Removal of an agent's id and name from rows, table by table, without I/O.
//!
//! Text about this agent alone is removed; in text about several agents, the id and name are replaced.

use serde_json::Value;

use crate::domain::agents::erasure::{ERASED_TEXT, TextEraser};
use crate::store::{WipedRow, WipedTable};

/// The fields of stored responses that hold text typed by people.
const TYPED_FIELDS: [&str; 5] = ["note", "below_floor", "reason", "why", "ended_why"];

/// Returns the cleaned row; `None` if it need not change.
pub(super) fn clean_row(eraser: &TextEraser, table: WipedTable, row: &WipedRow) -> Option<WipedRow> {
    if !row.may_name_agent {
        return None;
    }
    let is_own_row = row.agent.as_ref() == Some(eraser.agent());
    let agent = if is_own_row { Some(eraser.stand_in().clone()) } else { row.agent.clone() };
    let clean_plain =
        |text: &Option<String>| text.as_ref().map(|text| eraser.clean(text).unwrap_or_else(|| text.clone()));
    let clean_json =
        |text: &Option<String>| text.as_ref().map(|text| eraser.clean_json(text).unwrap_or_else(|| text.clone()));
    let [one, two, three] = &row.texts;
    let texts = match table {
        // The explanation of an agent's change may contain text about the agent.
        WipedTable::Transitions if is_own_row => [clean_json(one), None, Some(Value::Null.to_string())],
        WipedTable::Transitions | WipedTable::AnalyticsRuns => [clean_json(one), clean_plain(two), clean_json(three)],
        WipedTable::ReportRuns => [clean_json(one), clean_plain(two), None],
        WipedTable::IdempotencyKeys => [clean_json(one).map(|answer| clean_response(&answer)), None, None],
        WipedTable::ChangeSets | WipedTable::RuleVersions | WipedTable::Events | WipedTable::AnalyticsRows => {
            [clean_json(one), None, None]
        }
        WipedTable::Calls
        | WipedTable::Findings
        | WipedTable::Exceptions
        | WipedTable::ChangeSetAgents
        | WipedTable::Jobs
        | WipedTable::JobRuns
        | WipedTable::RuleEditions
        | WipedTable::ScheduleVersions
        | WipedTable::Deliveries
        | WipedTable::DeliveryAttempts => [clean_plain(one), clean_plain(two), clean_plain(three)],
    };
    let cleaned = WipedRow { key: row.key.clone(), may_name_agent: true, agent, texts };
    (cleaned != *row).then_some(cleaned)
}

/// Cleans a stored response that names the agent, and removes all text typed by people.
fn clean_response(answer: &str) -> String {
    let Ok(mut value) = serde_json::from_str(answer) else { return ERASED_TEXT.to_owned() };
    remove_typed_fields(&mut value);
    // A parsed value can always be serialized.
    serde_json::to_string(&value).unwrap_or_default()
}

fn remove_typed_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if TYPED_FIELDS.contains(&name.as_str()) => ERASED_TEXT.clone_into(text),
                    value => remove_typed_fields(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(remove_typed_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the body of a bulk change without text typed by people; `None` if it need not change.
pub(super) fn clean_change_set_body(body: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(body).ok()?;
    let fields = value.as_object_mut()?;
    let mut changed = false;
    if let Some(note) = fields.get_mut("note").filter(|note| !note.is_null()) {
        *note = Value::Null;
        changed = true;
    }
    if let Some(why) = fields.get_mut("below_floor").filter(|why| why.as_str().is_some_and(|why| why != ERASED_TEXT)) {
        *why = Value::from(ERASED_TEXT);
        changed = true;
    }
    // A parsed value can always be serialized.
    changed.then(|| serde_json::to_string(&value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::KeyPart;

    fn row(agent: Option<&str>, texts: [Option<&str>; 3]) -> WipedRow {
        WipedRow {
            key: vec![KeyPart::Number(1)],
            may_name_agent: true,
            agent: agent.map(Into::into),
            texts: texts.map(|text| text.map(str::to_owned)),
        }
    }

    #[test]
    fn what_is_about_the_agent_loses_its_words_and_what_is_about_others_the_mentions() {
        let eraser = TextEraser::new("u_1".into(), Some("Zoë Quux".into()), "erased-1".into());
        let own =
            row(Some("u_1"), [Some(r#"{"Failed":{"error":"/u_1: 404"}}"#), Some("ill again"), Some(r#"{"for_s":1}"#)]);
        let cleaned_row = clean_row(&eraser, WipedTable::Transitions, &own).expect("changed");
        assert_eq!(
            cleaned_row,
            row(Some("erased-1"), [Some(r#"{"Failed":{"error":"/erased-1: 404"}}"#), None, Some("null")])
        );
        let other = row(Some("u_2"), [Some("{}"), Some("for Zoë Quux"), Some("null")]);
        let cleaned_row = clean_row(&eraser, WipedTable::Transitions, &other).expect("changed");
        assert_eq!(cleaned_row, row(Some("u_2"), [Some("{}"), Some("for erased-1"), Some("null")]));
        let like = row(Some("u_2"), [Some("{}"), Some("u_10"), Some("null")]);
        assert_eq!(clean_row(&eraser, WipedTable::Transitions, &like), None);
        let event = row(Some("u_1"), [Some(r#"{"data":{"userId":"u_1","sequence":1}}"#), None, None]);
        let cleaned_row = clean_row(&eraser, WipedTable::Events, &event).expect("changed");
        assert_eq!(cleaned_row.agent, Some("erased-1".into()));
        assert!(cleaned_row.texts[0].as_deref().is_some_and(|body| body.contains(r#""userId":"erased-1""#)));
    }

    #[test]
    fn a_set_loses_its_words_once() {
        let body = json!({"to": "Ready", "note": "ill", "below_floor": "a storm"}).to_string();
        let without = clean_change_set_body(&body).expect("changed");
        assert_eq!(
            serde_json::from_str::<Value>(&without).expect("JSON"),
            json!({"to": "Ready", "note": null, "below_floor": "erased"})
        );
        assert_eq!(clean_change_set_body(&without), None);
    }
}
