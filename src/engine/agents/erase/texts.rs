//! What becomes of a row that names the agent, table by table. Pure.
//!
//! What was typed about the agent alone goes whole; in what is about several, id and name are replaced where they stand.

use serde_json::Value;

use crate::domain::agents::erasure::{ERASED, Wiper};
use crate::store::{Wiped, WipedRow};

/// Where answers have what people typed.
const TYPED: [&str; 5] = ["note", "below_floor", "reason", "why", "ended_why"];

/// The row as it is to be; `None` where it stays as it is.
pub(super) fn cleaned(wiper: &Wiper, table: Wiped, row: &WipedRow) -> Option<WipedRow> {
    if !row.hit {
        return None;
    }
    let is_theirs = row.agent.as_ref() == Some(wiper.agent());
    let agent = if is_theirs { Some(wiper.stand_in().clone()) } else { row.agent.clone() };
    let plain = |text: &Option<String>| text.as_ref().map(|text| wiper.clean(text).unwrap_or_else(|| text.clone()));
    let json = |text: &Option<String>| text.as_ref().map(|text| wiper.clean_json(text).unwrap_or_else(|| text.clone()));
    let [one, two, three] = &row.texts;
    let texts = match table {
        // The facts that an agent's change was made for may hold words about the agent.
        Wiped::Transitions if is_theirs => [json(one), None, Some(Value::Null.to_string())],
        Wiped::Transitions | Wiped::AnalyticsRuns => [json(one), plain(two), json(three)],
        Wiped::ReportRuns => [json(one), plain(two), None],
        Wiped::Answers => [json(one).map(|answer| without_typed(&answer)), None, None],
        Wiped::ChangeSets | Wiped::RuleVersions | Wiped::Events | Wiped::AnalyticsRows => [json(one), None, None],
        Wiped::Calls
        | Wiped::Findings
        | Wiped::Exceptions
        | Wiped::ChangeSetAgents
        | Wiped::Jobs
        | Wiped::JobRuns
        | Wiped::RuleEditions
        | Wiped::ScheduleVersions
        | Wiped::Deliveries
        | Wiped::DeliveryAttempts => [plain(one), plain(two), plain(three)],
    };
    let cleaned = WipedRow { key: row.key.clone(), hit: true, agent, texts };
    (cleaned != *row).then_some(cleaned)
}

/// An answer that names the agent, without what people typed wherever it stands.
fn without_typed(answer: &str) -> String {
    let Ok(mut value) = serde_json::from_str(answer) else { return ERASED.to_owned() };
    forget_typed(&mut value);
    // A value that was read can be written.
    serde_json::to_string(&value).unwrap_or_default()
}

fn forget_typed(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if TYPED.contains(&name.as_str()) => ERASED.clone_into(text),
                    value => forget_typed(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget_typed),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The body of a bulk change without the words that people typed.
pub(super) fn without_words(body: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(body).ok()?;
    let fields = value.as_object_mut()?;
    let mut changed = false;
    if let Some(note) = fields.get_mut("note").filter(|note| !note.is_null()) {
        *note = Value::Null;
        changed = true;
    }
    if let Some(why) = fields.get_mut("below_floor").filter(|why| why.as_str().is_some_and(|why| why != ERASED)) {
        *why = Value::from(ERASED);
        changed = true;
    }
    // A value that was read can be written.
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
            hit: true,
            agent: agent.map(Into::into),
            texts: texts.map(|text| text.map(str::to_owned)),
        }
    }

    #[test]
    fn what_is_about_the_agent_loses_its_words_and_what_is_about_others_the_mentions() {
        let wiper = Wiper::new("u_1".into(), Some("Zoë Quux".into()), "erased-1".into());
        let own =
            row(Some("u_1"), [Some(r#"{"Failed":{"error":"/u_1: 404"}}"#), Some("ill again"), Some(r#"{"for_s":1}"#)]);
        let cleaned_row = cleaned(&wiper, Wiped::Transitions, &own).expect("changed");
        assert_eq!(
            cleaned_row,
            row(Some("erased-1"), [Some(r#"{"Failed":{"error":"/erased-1: 404"}}"#), None, Some("null")])
        );
        let other = row(Some("u_2"), [Some("{}"), Some("for Zoë Quux"), Some("null")]);
        let cleaned_row = cleaned(&wiper, Wiped::Transitions, &other).expect("changed");
        assert_eq!(cleaned_row, row(Some("u_2"), [Some("{}"), Some("for erased-1"), Some("null")]));
        let like = row(Some("u_2"), [Some("{}"), Some("u_10"), Some("null")]);
        assert_eq!(cleaned(&wiper, Wiped::Transitions, &like), None);
        let event = row(Some("u_1"), [Some(r#"{"data":{"userId":"u_1","sequence":1}}"#), None, None]);
        let cleaned_row = cleaned(&wiper, Wiped::Events, &event).expect("changed");
        assert_eq!(cleaned_row.agent, Some("erased-1".into()));
        assert!(cleaned_row.texts[0].as_deref().is_some_and(|body| body.contains(r#""userId":"erased-1""#)));
    }

    #[test]
    fn a_set_loses_its_words_once() {
        let body = json!({"to": "Ready", "note": "ill", "below_floor": "a storm"}).to_string();
        let without = without_words(&body).expect("changed");
        assert_eq!(
            serde_json::from_str::<Value>(&without).expect("JSON"),
            json!({"to": "Ready", "note": null, "below_floor": "erased"})
        );
        assert_eq!(without_words(&without), None);
    }
}
