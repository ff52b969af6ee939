//! Walks the text of a snapshot without building a tree of it.
//!
//! Only the outer object and the array of rows are walked by hand; every key, value and row is read by `serde_json`. That
//! leaves a row that is byte for byte the one of the last snapshot to be stepped over at the speed of a comparison.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Where the text stops being a snapshot, in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BrokenAt(pub(super) usize);

/// A place in a text of JSON.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        // Some servers send a byte-order mark, which JSON does not know.
        let at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { text, at }
    }

    /// The place, in bytes from the start.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Takes one structural character, if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// Takes one structural character that must come next.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), BrokenAt> {
        if self.take(byte) { Ok(()) } else { Err(BrokenAt(self.at)) }
    }

    /// Steps over `text` if it stands here to the letter. It must be one whole object, so that nothing can follow within it.
    pub(super) fn step_over(&mut self, text: &[u8]) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Reads one value; leaves the place where it is when the value does not fit.
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Result<T, BrokenAt> {
        let mut values = serde_json::Deserializer::from_slice(&self.text[self.at..]).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(_)) | None => Err(BrokenAt(self.at)),
        }
    }

    /// Reads one object; leaves the place where it is when there is none that fits. An array is none, although serde would
    /// fill a struct from it, field by field.
    pub(super) fn object<T: Deserialize<'a>>(&mut self) -> Option<T> {
        self.skip_space();
        if self.text.get(self.at) == Some(&b'{') { self.value().ok() } else { None }
    }

    /// Steps over one value of any kind.
    pub(super) fn skip_value(&mut self) -> Result<(), BrokenAt> {
        self.value::<IgnoredAny>().map(drop)
    }

    /// Nothing but space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// Steps over white space.
    pub(super) fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}

/// One row, borrowed from the text where it can be.
#[derive(serde::Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'a> {
    #[serde(borrow, default)]
    pub(super) user_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) user_name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) agent_state: Field<'a>,
    #[serde(borrow, default)]
    pub(super) queue_name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) status_changed_timestamp: Field<'a>,
    #[serde(borrow, default)]
    pub(super) team_name: Field<'a>,
}

/// A field that should be text or null. Anything else is remembered as wrong, and does not spoil the row.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum Field<'a> {
    /// Missing, null, or empty.
    #[default]
    Absent,
    /// A text.
    Text(Cow<'a, str>),
    /// Neither.
    Wrong,
}

impl Field<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Wrong => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or null")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(if text.is_empty() { Field::Absent } else { Field::Text(Cow::Borrowed(text)) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(if text.is_empty() { Field::Absent } else { Field::Text(Cow::Owned(text.to_owned())) })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong)
    }
}
