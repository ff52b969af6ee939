//! The kinds of values: how each is parsed, described in the documentation, and displayed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use reqwest::Url;

use super::diagnostic::{Origin, ValueFault};
use super::tree::{Entry, Node, Value};
use crate::domain::agents::state::AgentState;
use crate::domain::jobs::cron::Pattern;
use crate::domain::time::span;
use crate::domain::time::{UtcMicros, duration_text};
use crate::domain::webhooks::target::Target;

type Parse<T> = Rc<dyn Fn(&Node) -> Result<T, Vec<ValueFault>>>;
type Show<T> = Rc<dyn Fn(&T) -> String>;

/// A kind of value.
pub(in crate::config) struct Kind<T> {
    /// The documentation's name for it.
    pub(in crate::config) name: String,
    /// Parses a value. Errors never contain the value.
    pub(in crate::config) parse: Parse<T>,
    /// Writes a value in TOML notation.
    pub(in crate::config) show: Show<T>,
}

impl<T: 'static> Kind<T> {
    fn new(
        name: impl Into<String>,
        parse: impl Fn(&Node) -> Result<T, ValueFault> + 'static,
        show: impl Fn(&T) -> String + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            parse: Rc::new(move |node| parse(node).map_err(|fault| vec![fault])),
            show: Rc::new(show),
        }
    }

    /// Returns a kind that parses a whole node and can report several faults.
    pub(in crate::config) fn from_node(
        name: &str,
        parse: impl Fn(&Node) -> Result<T, Vec<ValueFault>> + 'static,
        show: impl Fn(&T) -> String + 'static,
    ) -> Self {
        Self { name: name.to_owned(), parse: Rc::new(parse), show: Rc::new(show) }
    }

    /// Returns a kind that parses a text with `convert`, whose error is a [`ValueFault`].
    pub(in crate::config) fn from_text(
        name: &str,
        convert: impl Fn(&str) -> Result<T, ValueFault> + 'static,
        show: impl Fn(&T) -> String + 'static,
    ) -> Self {
        let expected = name.to_owned();
        Self::new(
            name,
            move |node| match &node.value {
                Value::Text(text) => convert(text),
                _ => Err(type_fault(&format!("text ({expected})"), node)),
            },
            show,
        )
    }
}

/// Returns the fault for a value of another type.
pub(in crate::config) fn type_fault(what: &str, node: &Node) -> ValueFault {
    ValueFault::new(format!("expects {what}, not {}", node.kind()))
}

pub(in crate::config) fn quoted(text: &impl fmt::Display) -> String {
    toml::Value::String(text.to_string()).to_string()
}

/// A text that is not empty.
pub(in crate::config) fn text() -> Kind<String> {
    Kind::from_text(
        "text",
        |text| if text.trim().is_empty() { Err(ValueFault::new("must not be empty")) } else { Ok(text.to_owned()) },
        quoted,
    )
}

/// A name for keys, API paths and file names: at most 64 letters, digits, `-`, `_` and `.`.
pub(in crate::config) fn id<T: From<String> + fmt::Display + 'static>() -> Kind<T> {
    Kind::from_text(
        "id",
        |text| {
            if is_id(text) {
                Ok(T::from(text.to_owned()))
            } else {
                Err(ValueFault::new(
                    "must be 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit",
                ))
            }
        },
        quoted,
    )
}

/// Returns whether a text is a valid id of a tenant, token, webhook or rule.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// An integer in a range.
pub(in crate::config) fn integer<T>(range: RangeInclusive<T>) -> Kind<T>
where
    T: TryFrom<i64> + PartialOrd + Copy + fmt::Display + 'static,
{
    let name = format!("integer, {} to {}", range.start(), range.end());
    let parse = move |node: &Node| {
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) if node.origin.is_plain_text() => text.trim().parse().ok(),
            _ => None,
        };
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        match number {
            None => Err(type_fault(&expected, node)),
            Some(number) => T::try_from(number)
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| ValueFault::new(format!("must be {expected}"))),
        }
    };
    Kind::new(name, parse, T::to_string)
}

/// A number with at most two decimals, in hundredths.
pub(in crate::config) fn hundredths(range: RangeInclusive<u32>) -> Kind<u32> {
    fn show(number: u32) -> String {
        let (whole, rest) = (number / 100, number % 100);
        let digits = format!("{rest:02}");
        format!("{whole}.{}", if rest % 10 == 0 { &digits[..1] } else { &digits })
    }
    let limits = format!("{} to {}", show(*range.start()), show(*range.end()));
    let expected = format!("a number from {limits}, with at most two decimal places");
    let parse = move |node: &Node| {
        let number = match &node.value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            Value::Text(text) if node.origin.is_plain_text() => text.trim().parse().ok(),
            _ => None,
        };
        let hundredths = number.ok_or_else(|| type_fault(&expected, node))? * 100.0;
        let is_exact = (hundredths - hundredths.round()).abs() < 1e-6;
        if !is_exact || hundredths.round() < f64::from(*range.start()) || hundredths.round() > f64::from(*range.end()) {
            return Err(ValueFault::new(format!("must be {expected}")));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies within a range of this type"
        )]
        Ok(hundredths.round() as u32)
    };
    Kind::new(format!("number, {limits}"), parse, |number| show(*number))
}

/// `true` or `false`.
pub(in crate::config) fn boolean() -> Kind<bool> {
    let parse = |node: &Node| match &node.value {
        Value::Boolean(answer) => Ok(*answer),
        Value::Text(text) if node.origin.is_plain_text() => {
            text.trim().parse().map_err(|_| ValueFault::new("must be true or false"))
        }
        _ => Err(type_fault("true or false", node)),
    };
    Kind::new("true or false", parse, bool::to_string)
}

/// A duration in a range, as text with units.
pub(in crate::config) fn duration(range: RangeInclusive<Duration>) -> Kind<Duration> {
    let limits = format!("{} to {}", duration_text(*range.start()), duration_text(*range.end()));
    let convert = move |text: &str| {
        let duration = span::parse(text).map_err(|_| {
            ValueFault::new("must be a duration")
                .with_suggestion("write it with units, as in \"30s\", \"5m\" or \"1h30m\"")
        })?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (duration_text(*range.start()), duration_text(*range.end()));
        Err(ValueFault::new(format!("must be between {least} and {most}")))
    };
    Kind::from_text(&format!("duration, {limits}"), convert, |duration| quoted(&duration_text(*duration)))
}

/// An instant in RFC 3339 format.
pub(in crate::config) fn instant() -> Kind<UtcMicros> {
    let convert = |text: &str| {
        text.parse().map_err(|_| {
            ValueFault::new("must be an instant").with_suggestion("write it as in \"2026-10-26T08:00:00Z\"")
        })
    };
    Kind::from_text("instant", convert, quoted)
}

/// One of several words.
pub(in crate::config) fn choice<T: Copy + PartialEq + 'static>(choices: &[(&'static str, T)]) -> Kind<T> {
    let choices: Rc<[(&'static str, T)]> = choices.into();
    let names = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let convert = {
        let (choices, words) = (Rc::clone(&choices), names.clone());
        move |text: &str| match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => Err(ValueFault::new(format!("must be one of {words}"))
                .with_closest(text, choices.iter().map(|(word, _)| *word))),
        }
    };
    let show = move |value: &T| {
        choices.iter().find(|(_, other)| other == value).map_or_else(String::new, |(word, _)| quoted(word))
    };
    Kind::from_text(&format!("one of {names}"), convert, show)
}

/// One of several values that have names.
pub(in crate::config) fn named<T: Copy + PartialEq + 'static>(
    values: &[T],
    name: impl Fn(T) -> &'static str,
) -> Kind<T> {
    choice(&values.iter().map(|value| (name(*value), *value)).collect::<Vec<_>>())
}

/// One of the daemon's agent states, by name.
pub(in crate::config) fn state() -> Kind<AgentState> {
    let convert = |text: &str| {
        AgentState::from_name(text).ok_or_else(|| {
            let names = AgentState::KNOWN.map(|state| state.name().to_owned());
            ValueFault::new(format!("must be one of our states: {}", names.join(", ")))
                .with_closest(text, names.iter().map(String::as_str))
        })
    };
    Kind::from_text("state", convert, quoted)
}

/// An address to listen on, with a port.
pub(in crate::config) fn address() -> Kind<SocketAddr> {
    let convert = |text: &str| {
        text.parse().map_err(|_| {
            ValueFault::new("must be an IP address and a port")
                .with_suggestion("as in \"127.0.0.1:8080\" or \"[::1]:8080\"")
        })
    };
    Kind::from_text("address:port", convert, quoted)
}

/// An `http` or `https` URL without user, password, query and fragment.
pub(in crate::config) fn url() -> Kind<Url> {
    let convert = |text: &str| {
        let url = parse_url(text)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ValueFault::new("must not have a query or fragment"));
        }
        Ok(url)
    };
    Kind::from_text("URL", convert, |url| quoted(&url.as_str().trim_end_matches('/')))
}

/// As [`url()`], with a query, which may hold a key and is not shown.
pub(in crate::config) fn url_with_query() -> Kind<Url> {
    let convert = |text: &str| {
        let url = parse_url(text)?;
        if url.fragment().is_some() { Err(ValueFault::new("must not have a fragment")) } else { Ok(url) }
    };
    let show = |url: &Url| {
        let mut shown = url.clone();
        shown.set_query(url.query().map(|_| "***"));
        quoted(&shown)
    };
    Kind::from_text("URL", convert, show)
}

/// Parses an `http` or `https` URL without user and password.
fn parse_url(text: &str) -> Result<Url, ValueFault> {
    let url = Url::parse(text).map_err(|error| {
        ValueFault::new(format!("is not a URL: {error}")).with_suggestion("as in \"https://na1.example\"")
    })?;
    if !matches!(url.scheme(), "http" | "https") || Target::from_url(&url).is_none() {
        return Err(ValueFault::new("must begin with https:// or http:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let fault = ValueFault::new("must not hold a user or password");
        return Err(fault.with_suggestion("give credentials by their own keys"));
    }
    Ok(url)
}

/// Returns whether a URL points to this machine, judged by its text alone without a DNS lookup.
pub fn is_loopback(url: &Url) -> bool {
    Target::from_url(url).is_some_and(|target| target.is_loopback())
}

/// The path of a URL.
pub(in crate::config) fn path() -> Kind<String> {
    let convert = |text: &str| {
        let sound = text.starts_with('/') && !text.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#'));
        if sound {
            Ok(text.to_owned())
        } else {
            Err(ValueFault::new("must be a path that begins with /, without query"))
        }
    };
    Kind::from_text("path", convert, |path| format!("{path:?}"))
}

/// A list, which is separated by commas in the environment and on the command line.
pub(in crate::config) fn list<T: 'static>(element: Kind<T>) -> Kind<Vec<T>> {
    let Kind { name, parse, show } = element;
    let parse_list = move |node: &Node| {
        let split: Vec<Node>;
        let elements = match &node.value {
            Value::List(elements) => elements,
            Value::Text(text) if node.origin.is_plain_text() => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                split = words.map(|word| Node::text(node.origin.clone(), word)).collect();
                &split
            }
            _ => return Err(vec![type_fault("a list", node)]),
        };
        collect_all(elements.iter().map(|element| (parse(element), element)))
    };
    let show_list =
        move |values: &Vec<T>| format!("[{}]", values.iter().map(|v| show(v)).collect::<Vec<_>>().join(", "));
    Kind { name: format!("list of: {name}"), parse: Rc::new(parse_list), show: Rc::new(show_list) }
}

/// A table that maps names to values.
pub(in crate::config) fn map<K: Ord + 'static, V: 'static>(names: Kind<K>, values: Kind<V>) -> Kind<BTreeMap<K, V>> {
    let name = format!("table of {} = {}", names.name, values.name);
    let (parse_name, parse_value) = (names.parse, values.parse);
    let parse_map = move |node: &Node| {
        let Value::Table(table) = &node.value else { return Err(vec![type_fault("a table", node)]) };
        let pairs = table.iter().map(|(name, Entry { origin, node })| {
            let name = parse_name(&Node::text(origin.clone(), name));
            let value = parse_value(node);
            let pair = match (name, value) {
                (Ok(name), Ok(value)) => Ok((name, value)),
                (Err(faults), Ok(_)) | (Ok(_), Err(faults)) => Err(faults),
                (Err(faults), Err(more)) => Err(faults.into_iter().chain(more).collect()),
            };
            (pair, node)
        });
        collect_all(pairs).map(|pairs| pairs.into_iter().collect())
    };
    let (show_name, show_value) = (names.show, values.show);
    let show_map = move |map: &BTreeMap<K, V>| {
        let pairs: Vec<_> =
            map.iter().map(|(name, value)| format!("{} = {}", show_name(name), show_value(value))).collect();
        if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
    };
    Kind { name, parse: Rc::new(parse_map), show: Rc::new(show_map) }
}

/// Reads each entry of a table with `read`, which returns `None` for a key that is not `known`. Returns the faults.
pub(in crate::config) fn read_entries(
    node: &Node,
    known: &[&str],
    mut read: impl FnMut(&str, &Node) -> Option<Result<(), Vec<ValueFault>>>,
) -> Vec<ValueFault> {
    let Value::Table(table) = &node.value else { return vec![type_fault("a table", node)] };
    let mut faults = Vec::new();
    for (key, entry) in table {
        let result = read(key, &entry.node).unwrap_or_else(|| Err(vec![ValueFault::unknown_key(key, known)]));
        let placed =
            |fault: ValueFault| ValueFault { origin: fault.origin.or_else(|| Some(entry.origin.clone())), ..fault };
        faults.extend(result.err().into_iter().flatten().map(placed));
    }
    faults
}

fn collect_all<'a, T>(
    results: impl Iterator<Item = (Result<T, Vec<ValueFault>>, &'a Node)>,
) -> Result<Vec<T>, Vec<ValueFault>> {
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    for (result, node) in results {
        match result {
            Ok(value) => values.push(value),
            Err(found) => faults.extend(
                found
                    .into_iter()
                    .map(|fault| ValueFault { origin: fault.origin.or_else(|| Some(node.origin.clone())), ..fault }),
            ),
        }
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

/// An IANA time zone, by name.
pub(in crate::config) fn zone() -> Kind<String> {
    let convert = |text: &str| match jiff::tz::TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(ValueFault::new("is not a known IANA time zone").with_suggestion("as in \"Europe/London\"")),
    };
    Kind::from_text("IANA zone", convert, quoted)
}

/// When something is due, as a line of five fields.
pub(in crate::config) fn cron() -> Kind<Pattern> {
    let convert = |text: &str| {
        Pattern::parse(text).map_err(|fault| {
            let position_text =
                fault.position.map_or_else(String::new, |position| format!(" (at character {position} of it)"));
            ValueFault::new(format!("{}{position_text}", fault.problem)).with_suggestion(fault.suggestion)
        })
    };
    Kind::from_text("cron text of five fields", convert, |pattern| format!("{:?}", pattern.as_str()))
}

/// The path of a file, relative to the file of the configuration.
pub(in crate::config) fn file() -> Kind<PathBuf> {
    path_below_file("file")
}

/// The path of a folder, relative to the file of the configuration.
pub(in crate::config) fn folder() -> Kind<PathBuf> {
    path_below_file("folder")
}

fn path_below_file(what: &'static str) -> Kind<PathBuf> {
    let parse = move |node: &Node| match &node.value {
        Value::Text(path) => resolve_path(&node.origin, path),
        _ => Err(type_fault(&format!("the path of a {what}"), node)),
    };
    Kind::new(what, parse, |path| quoted(&path.display()))
}

/// Returns a path that is relative to the file of `origin`.
pub(in crate::config) fn resolve_path(origin: &Origin, path: &str) -> Result<PathBuf, ValueFault> {
    if path.trim().is_empty() { Err(ValueFault::new("must not be empty")) } else { Ok(origin.directory().join(path)) }
}
