//! `webhooks events`: the page of `docs/events.md`, generated from the types that are sent, so that the two cannot
//! differ. Needs neither a daemon nor a configuration.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayItems, KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type};
use uuid::Uuid;

use super::super::shared::exit::Exit;
use super::super::shared::output::{Output, print, print_json};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::EventId;
use crate::domain::webhooks::cloud_event::{Envelope, EventMetadata, cloud_event};
use crate::domain::webhooks::event::{Body, Event, EventData, EventKind, schema_of};

/// Options of `webhooks events`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper webhooks events
  shiftkeeper webhooks events --output json")]
pub struct EventsArgs {
    /// The output format: text, or the JSON schema and an example of each event.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Prints the events.
pub fn run(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    match args.output {
        Output::Table => print(page()?)?,
        Output::Json => {
            print_json(&EventsDocument { events: EventKind::ALL.map(EventKindDescription::describe).into() })?;
        }
    }
    Ok(Exit::Done.into())
}

#[derive(Serialize)]
struct EventsDocument {
    events: Vec<EventKindDescription>,
}

#[derive(Serialize)]
struct EventKindDescription {
    kind: &'static str,
    event: String,
    about_agent: bool,
    schema: Object,
    example: EventData,
}

impl EventKindDescription {
    fn describe(kind: EventKind) -> Self {
        let example = kind.example();
        let about_agent = example.about().is_some();
        Self { kind: kind.selector(), event: kind.wire_name(), about_agent, schema: kind.schema(), example }
    }
}

const INTRODUCTION: &str = "# Events

<!-- Generated from the code; do not edit. To renew it:
     cargo run -q -- webhooks events > docs/events.md -->

Shiftkeeper sends these events to your systems. `docs/webhooks.md` describes endpoints, order, signatures and retries.
`shiftkeeper webhooks events --output json` prints a JSON schema of each kind.

Every field of an event is always present; a field without a value is null. New fields may be added, so ignore fields that you
do not know. Instants are RFC 3339 text in UTC, by the daemon's clock.
";

const AGENT_EVENTS_TEXT: &str = "
Events about an agent have `userId` and `sequence`. `sequence` numbers the agent's events of all kinds from 1 without gaps, and
they arrive in this order. Events that are not about an agent arrive in any order.

Some published names have a meaning of their own: `picture` is the live view, a *sight* (as in `newestSightAt`) is an observation,
`reversed` means reverted by the agent, and `told` means that a rule notified people.
";

/// Returns the text of `docs/events.md`.
fn page() -> anyhow::Result<String> {
    let mut page = INTRODUCTION.to_owned();
    let states: Vec<_> = AgentState::KNOWN.iter().map(|state| format!("`{state}`")).collect();
    writeln!(page, "\nThe states are {}.\nAny other state has the platform's own name.", states.join(", "))?;
    page.push_str("\n## Kinds\n\n| `events` selects | `event` in the body | about an agent |\n|---|---|---|\n");
    for kind in EventKind::ALL {
        let about = if kind.example().about().is_some() { "yes" } else { "" };
        writeln!(page, "| [`{0}`](#{1}) | `{2}` | {about} |", kind.selector(), anchor(kind), kind.wire_name())?;
    }
    page.push_str(AGENT_EVENTS_TEXT);
    page.push_str(&body_section()?);
    for kind in EventKind::ALL {
        let schema = kind.schema();
        let when = schema.description.as_deref().map(one_line).unwrap_or_default();
        write!(page, "\n## {}\n\n{when}\n\n{}", kind.selector(), fields_table(&schema))?;
        page.push_str(&example_block(&kind.example())?);
    }
    Ok(page)
}

/// Returns the anchor of a heading, as Markdown hosts generate it.
fn anchor(kind: EventKind) -> String {
    kind.selector().replace('.', "")
}

/// Describes the envelope around the data, in both formats.
fn body_section() -> anyhow::Result<String> {
    let data = EventKind::RuleTold.example();
    let (id, tenant) = (EventId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0002)), "acme".into());
    let event = Event { id, at: "2026-10-26T13:30:00Z".parse()?, tenant, data };
    let guide = serde_json::to_string(&event.body())?;
    let (agent, sequence) = event.data.about().unzip();
    let facts = EventMetadata { id, tenant: &event.tenant, at: event.at, kind: event.data.kind(), agent, sequence };
    let envelope = String::from_utf8(cloud_event(&facts, &guide)?)?;
    let mut text = String::from("\n## The body\n\nWith `format = \"guide\"`, the default:\n\n");
    write!(text, "{}\n    {guide}\n", fields_table(&schema_of::<Body>()))?;
    let cloud =
        "With `format = \"cloudevents\"`, a CloudEvents 1.0 envelope in the structured mode around the same `data`:";
    write!(text, "\n{cloud}\n\n{}\n    {envelope}\n", fields_table(&schema_of::<Envelope>()))?;
    Ok(text)
}

fn fields_table(schema: &Object) -> String {
    let mut table = String::from("| field | is | |\n|---|---|---|\n");
    for (name, property) in &schema.properties {
        let (kind, meaning) = match property {
            RefOr::T(schema) => (type_text(schema), description(schema)),
            RefOr::Ref(_) => (String::new(), ""),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{name}` | {kind} | {} |", one_line(meaning));
    }
    table
}

fn description(schema: &Schema) -> &str {
    match schema {
        Schema::Object(object) => object.description.as_deref(),
        Schema::Array(array) => array.description.as_deref(),
        _ => None,
    }
    .unwrap_or_default()
}

/// Describes the type of a value in words.
fn type_text(schema: &Schema) -> String {
    match schema {
        Schema::Array(array) => match &array.items {
            ArrayItems::RefOrSchema(items) => match &**items {
                RefOr::T(items) => format!("list of {}", type_text(items)),
                RefOr::Ref(_) => "list".to_owned(),
            },
            ArrayItems::False => "list".to_owned(),
        },
        Schema::Object(object) => {
            let (types, nullable) = match &object.schema_type {
                SchemaType::Type(only) => (std::slice::from_ref(only), false),
                SchemaType::Array(types) => (types.as_slice(), types.contains(&Type::Null)),
                SchemaType::AnyValue => (&[][..], false),
            };
            let what = match &object.enum_values {
                Some(values) => choices_text(values),
                None => types.first().map_or("any", |first| type_name(first, object.format.as_ref())).to_owned(),
            };
            if nullable { format!("{what}, or null") } else { what }
        }
        _ => "any".to_owned(),
    }
}

fn choices_text(values: &[Value]) -> String {
    let names: Vec<_> = values.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn type_name(of: &Type, format: Option<&SchemaFormat>) -> &'static str {
    match (of, format) {
        (Type::String, Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))) => "instant",
        (Type::String, Some(SchemaFormat::KnownFormat(KnownFormat::Date))) => "date",
        (Type::String, Some(SchemaFormat::Custom(name))) if name == "uuid" => "UUID",
        (Type::String, _) => "text",
        (Type::Integer, _) => "integer",
        (Type::Number, _) => "number",
        (Type::Boolean, _) => "boolean",
        (Type::Object, _) => "object",
        (Type::Array, _) => "list",
        (Type::Null, _) => "null",
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn example_block(data: &EventData) -> anyhow::Result<String> {
    let mut text = String::from("\n");
    for line in serde_json::to_string_pretty(data)?.lines() {
        writeln!(text, "    {line}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_code() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page().expect("a page"), "docs/events.md is out of date; renew it as its first lines say");
    }

    #[test]
    fn every_field_of_every_kind_is_explained() {
        for kind in EventKind::ALL {
            let schema = kind.schema();
            assert!(schema.description.is_some(), "{}", kind.selector());
            for line in fields_table(&schema).lines().skip(2) {
                let cells: Vec<_> = line.split(" | ").collect();
                assert!(cells.len() == 3 && cells[1] != "any" && cells[2].len() > 4, "{}: {line}", kind.selector());
            }
        }
    }
}
