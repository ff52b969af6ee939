//! Reads types of the domain that serde can read (rules, adherence) out of the tree, with every mistake at its place. Like the
//! rest of the room it does not repeat values; only what the domain's own checks say is passed on as it is.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::complaint::{Fault, Origin, nearest};
use super::tree::{Entry, Node, Table, Value};

/// Mistakes that are looked for in one value; more of them are a different kind of file.
const MOST_MISTAKES: usize = 50;

/// Reads `node`, or says everything that is wrong with it, each with the path of its key below `node`. After a mistake the key is
/// taken away and the rest is read again, since serde stops at the first one.
pub(super) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Vec<(String, Fault)>> {
    let mut rest = node.clone();
    let mut mistakes: Vec<(String, Fault)> = Vec::new();
    while mistakes.len() < MOST_MISTAKES {
        match T::deserialize(Reading(&rest)) {
            Ok(value) if mistakes.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(Misread { path, fault, missing }) => {
                let gone = missing.is_some_and(|key| {
                    let path = join(&path, key);
                    mistakes.iter().any(|(earlier, _)| *earlier == path)
                });
                if gone {
                    break;
                }
                let taken = take_away(&mut rest, &path);
                let fault = Fault { origin: fault.origin.or_else(|| Some(node.origin.clone())), ..fault };
                mistakes.push((path.join("."), fault));
                if !taken {
                    break;
                }
            }
        }
    }
    Err(mistakes)
}

fn join(path: &[String], key: &str) -> String {
    path.iter().map(String::as_str).chain([key]).collect::<Vec<_>>().join(".")
}

/// Removes the entry at `path`; `false` where there is none to remove.
fn take_away(node: &mut Node, path: &[String]) -> bool {
    let Value::Table(table) = &mut node.value else { return false };
    match path {
        [] => false,
        [key] => table.remove(key).is_some(),
        [key, rest @ ..] => table.get_mut(key).is_some_and(|entry| take_away(&mut entry.node, rest)),
    }
}

/// What serde could not read, and where.
#[derive(Debug)]
struct Misread {
    /// The keys that lead to it.
    path: Vec<String>,
    fault: Fault,
    /// The key, if it is one that is not there.
    missing: Option<&'static str>,
}

impl Misread {
    fn at(mut self, key: &str, origin: &Origin) -> Self {
        self.path.insert(0, key.to_owned());
        self.placed(origin)
    }

    fn placed(mut self, origin: &Origin) -> Self {
        self.fault.origin.get_or_insert_with(|| origin.clone());
        self
    }

    fn of(fault: Fault) -> Self {
        Self { path: Vec::new(), fault, missing: None }
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault.what)
    }
}

impl std::error::Error for Misread {}

impl de::Error for Misread {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(Fault::new(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::of(Fault::new(format!("expects {expected}")))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::of(Fault::new(format!("expects {expected}")))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let fault = Fault::new(format!("must be one of {}", known.join(", ")));
        Self::of(match nearest(variant, known.iter().copied()) {
            Some(known) => fault.advise(format!("did you mean \"{known}\"?")),
            None => fault,
        })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::of(Fault::unknown_key(field, known))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::of(Fault::new(format!("has no {field}"))) }
    }
}

/// A node that serde reads.
struct Reading<'n>(&'n Node);

impl Reading<'_> {
    /// The text of a variable or option that stands for a value of another type.
    fn given_as_text(&self) -> Option<&str> {
        match &self.0.value {
            Value::Text(text) if self.0.origin.is_text_only() => Some(text.trim()),
            _ => None,
        }
    }
}

impl<'de> de::Deserializer<'de> for Reading<'_> {
    type Error = Misread;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        let origin = &self.0.origin;
        match &self.0.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(answer) => visitor.visit_bool(*answer),
            Value::List(nodes) => visitor.visit_seq(Elements(nodes.iter())),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.iter(), current: None }),
        }
        .map_err(|misread| misread.placed(origin))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misread> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misread> {
        let origin = self.0.origin.clone();
        let read = match &self.0.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Table(table) if table.len() == 1 => visitor
                .visit_enum(de::value::MapAccessDeserializer::new(Entries { entries: table.iter(), current: None })),
            Value::Table(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) => {
                Err(Misread::of(Fault::new(format!("expects a {name}: one of {}", variants.join(", ")))))
            }
        };
        read.map_err(|misread| misread.placed(&origin))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match self.given_as_text().and_then(|text| text.parse().ok()) {
            Some(answer) => visitor.visit_bool(answer),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match self.given_as_text().and_then(|text| text.parse().ok()) {
            Some(number) => visitor.visit_i64(number),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match self.given_as_text().and_then(|text| text.parse().ok()) {
            Some(number) => visitor.visit_f64(number),
            None => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 u8 u16 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// The elements of a list.
struct Elements<'n>(std::slice::Iter<'n, Node>);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Misread;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Misread> {
        self.0.next().map(|node| seed.deserialize(Reading(node))).transpose()
    }
}

/// The entries of a table.
struct Entries<'n> {
    entries: std::collections::btree_map::Iter<'n, String, Entry>,
    current: Option<(&'n String, &'n Entry)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misread;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Misread> {
        self.current = self.entries.next();
        let Some((key, entry)) = self.current else { return Ok(None) };
        let text: de::value::StrDeserializer<'_, Misread> = key.as_str().into_deserializer();
        seed.deserialize(text).map(Some).map_err(|misread| misread.at(key, &entry.origin))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Misread> {
        let Some((key, entry)) = self.current.take() else {
            return Err(Misread::of(Fault::new("a value was asked for before its key")));
        };
        seed.deserialize(Reading(&entry.node)).map_err(|misread| misread.at(key, &entry.node.origin))
    }
}

/// A tree as one line of TOML, for showing.
pub(super) fn inline(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(answer) => answer.to_string(),
        Value::List(nodes) => format!("[{}]", nodes.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => inline_table(table),
    }
}

fn inline_table(table: &Table) -> String {
    let pairs: Vec<_> = table.iter().map(|(key, entry)| format!("{key} = {}", inline(&entry.node))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use super::super::tree::parse;
    use super::*;

    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        kind: Option<Colour>,
        limit: u32,
        #[serde(default)]
        shares: BTreeMap<String, Vec<f64>>,
    }

    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Green,
    }

    fn tree(text: &str) -> Node {
        parse(&Arc::from(Path::new("x.toml")), text).root
    }

    #[test]
    fn what_serde_can_read_is_read_from_the_tree() {
        let node = tree("name = \"a\"\nkind = \"green\"\nlimit = 3\nshares = { x = [0.5, 1] }");
        let sample: Sample = read(&node).expect("sound");
        let shares = BTreeMap::from([("x".to_owned(), vec![0.5, 1.0])]);
        assert_eq!(sample, Sample { name: "a".into(), kind: Some(Colour::Green), limit: 3, shares });
        assert_eq!(inline(&node), r#"{ kind = "green", limit = 3, name = "a", shares = { x = [0.5, 1] } }"#);
    }

    #[test]
    fn every_mistake_is_found_and_placed() {
        let node = tree("nam = \"a\"\nkind = \"greeen\"\nlimit = -3\n\n[shares]\nx = [0.5, \"hunter2\"]\n");
        let mistakes = read::<Sample>(&node).expect_err("broken");
        let lines: Vec<_> = mistakes
            .iter()
            .map(|(key, fault)| {
                let place = fault.origin.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{place} {key}: {}; {}", fault.what, fault.suggestion.clone().unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
    x.toml:2:8 kind: must be one of red, green; did you mean "green"?
    x.toml:3:9 limit: expects u32; 
    x.toml:1:1 nam: is not a known key; did you mean "name"?
    x.toml:6:11 shares.x: expects f64; 
    x.toml:1:1 : has no name;
    "#);
    }
}
