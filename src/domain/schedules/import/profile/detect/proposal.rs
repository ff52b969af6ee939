//! A proposed profile: each key with its value or with the choices, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::Value;

/// The length of a comment line in characters.
const COMMENT_WIDTH: usize = 110;

/// The order in which keys are written.
const ORDER: [&str; 32] = [
    "layout",
    "encoding",
    "delimiter",
    "sheets",
    "skip_sheets",
    "team_from",
    "header_row",
    "header_prefix",
    "skip",
    "columns",
    "agent_key",
    "roster",
    "date_format",
    "year",
    "time_format",
    "decimal",
    "midnight",
    "time_zone",
    "time_zones",
    "agent_zone",
    "offset",
    "shifts",
    "shift_activity",
    "join_at_midnight",
    "duration",
    "repeat",
    "list",
    "cell",
    "work",
    "off",
    "ignore",
    "activities",
];

/// What a person has stated about a file: values by the path of their key below the profile, such as
/// `["columns", "agent"]`.
pub type Answers = BTreeMap<Vec<String>, Value>;

/// What is proposed for a key.
#[derive(Clone, PartialEq, Debug)]
pub enum Choice {
    /// The file shows it, or a person has stated it.
    Certain(Value),
    /// The most likely value, which the file does not prove.
    Doubtful(Value),
    /// A person has to decide; these are the likely values. Reading is refused until then.
    Undecided(Vec<Value>),
}

/// A key of a proposal.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key below the profile, such as `["columns", "agent"]`.
    pub path: Vec<String>,
    /// Its value.
    pub choice: Choice,
    /// Why, as a sentence.
    pub reason: String,
}

impl Entry {
    /// Returns the key as TOML, such as `columns.agent`.
    pub fn key(&self) -> String {
        let part = |part: &String| {
            let is_bare =
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            if is_bare { part.clone() } else { quoted(part) }
        };
        self.path.iter().map(part).collect::<Vec<_>>().join(".")
    }

    /// Returns the value, unless a person has to decide.
    pub fn value(&self) -> Option<&Value> {
        match &self.choice {
            Choice::Certain(value) | Choice::Doubtful(value) => Some(value),
            Choice::Undecided(_) => None,
        }
    }
}

/// A proposed profile.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Proposal {
    /// The keys, in the order in which they are written.
    pub entries: Vec<Entry>,
}

impl Proposal {
    /// Returns the keys that a person has to decide.
    pub fn undecided(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.choice, Choice::Undecided(_)))
    }

    /// Returns the keys that a person should look at.
    pub fn doubtful(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.choice, Choice::Doubtful(_)))
    }

    /// Returns the section of the configuration, in TOML. What is not decided is commented out.
    pub fn to_toml(&self, name: &str) -> String {
        let header = Entry {
            path: ["import", "profiles", name].map(str::to_owned).to_vec(),
            choice: Choice::Undecided(Vec::new()),
            reason: String::new(),
        };
        let mut text = format!("[{}]\n", header.key());
        for entry in &self.entries {
            let mark = match entry.choice {
                Choice::Certain(_) => "",
                Choice::Doubtful(_) => "Doubtful: ",
                Choice::Undecided(_) => "Undecided: ",
            };
            push_comment(&mut text, &format!("{mark}{}", entry.reason));
            let key = entry.key();
            // Writing to a text cannot fail.
            let _ = match &entry.choice {
                Choice::Certain(value) | Choice::Doubtful(value) => writeln!(text, "{key} = {}", inline(value)),
                Choice::Undecided(values) => {
                    values.iter().try_for_each(|value| writeln!(text, "# {key} = {}", inline(value)))
                }
            };
        }
        text
    }
}

/// Returns a value as TOML on one line.
pub fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
    }
}

/// Returns a text as a basic string of TOML, which is a string of JSON, but for one character that JSON does not escape.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// Adds a comment, on several lines if it is long.
fn push_comment(text: &mut String, comment: &str) {
    let mut line = String::from("#");
    let plain: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for word in plain.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > COMMENT_WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// A proposal in the making.
pub(super) struct Draft<'a> {
    answers: &'a Answers,
    pub(super) proposal: Proposal,
}

impl<'a> Draft<'a> {
    pub(super) fn new(answers: &'a Answers) -> Self {
        Self { answers, proposal: Proposal::default() }
    }

    /// Returns what a person has stated for a key.
    pub(super) fn answer(&self, path: &[&str]) -> Option<&'a Value> {
        self.answers.iter().find(|(known, _)| *known == path).map(|(_, value)| value)
    }

    /// Whether a person has stated a key or a part of it.
    pub(super) fn has_answer(&self, key: &str) -> bool {
        self.answers.keys().any(|path| path.first().is_some_and(|first| first == key))
    }

    /// Returns what a person has stated for the parts of a key.
    pub(super) fn answers_below(&self, key: &str) -> impl Iterator<Item = &'a Value> {
        self.answers.iter().filter(move |(path, _)| path.len() > 1 && path[0] == key).map(|(_, value)| value)
    }

    pub(super) fn answer_text(&self, key: &str) -> Option<&'a str> {
        self.answer(&[key]).and_then(Value::as_str)
    }

    pub(super) fn certain(&mut self, path: &[&str], value: impl Into<Value>, reason: impl Into<String>) {
        self.push(path, Choice::Certain(value.into()), reason.into());
    }

    pub(super) fn doubtful(&mut self, path: &[&str], value: impl Into<Value>, reason: impl Into<String>) {
        self.push(path, Choice::Doubtful(value.into()), reason.into());
    }

    pub(super) fn undecided(&mut self, path: &[&str], values: Vec<Value>, reason: impl Into<String>) {
        self.push(path, Choice::Undecided(values), reason.into());
    }

    /// Adds a key, unless a person has stated with an empty answer that the profile goes without it.
    pub(super) fn push(&mut self, path: &[&str], choice: Choice, reason: String) {
        let (choice, reason) = match self.answer(path) {
            Some(answer) if is_empty(answer) => return,
            Some(answer) => (Choice::Certain(answer.clone()), "You stated this.".to_owned()),
            None => (choice, reason),
        };
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.proposal.entries.push(Entry { path, choice, reason });
    }

    /// Adds the answers to keys that the file itself does not ask for.
    pub(super) fn finish(mut self) -> Proposal {
        let entries = &self.proposal.entries;
        let rest = self.answers.iter().filter(|(_, value)| !is_empty(value));
        let rest = rest.filter(|(path, _)| !entries.iter().any(|entry| entry.path == **path));
        let rest: Vec<Entry> = rest
            .map(|(path, value)| Entry {
                path: path.clone(),
                choice: Choice::Certain(value.clone()),
                reason: "You stated this.".to_owned(),
            })
            .collect();
        self.proposal.entries.extend(rest);
        let rank = |entry: &Entry| ORDER.iter().position(|key| entry.path.first().is_some_and(|first| first == key));
        self.proposal.entries.sort_by_key(|entry| rank(entry).unwrap_or(ORDER.len()));
        self.proposal
    }
}

/// Whether an answer is empty, which leaves its key out of the profile.
fn is_empty(answer: &Value) -> bool {
    answer.as_str().is_some_and(str::is_empty)
}

/// Returns a list as a value.
pub(super) fn list<T: Into<Value>>(values: impl IntoIterator<Item = T>) -> Value {
    Value::Array(values.into_iter().map(Into::into).collect())
}

/// Returns an inline table as a value.
pub(super) fn table<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
