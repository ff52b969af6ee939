//! Walks the text of a snapshot without building a tree of it.
//!
//! Only the outer object, the array of rows and plain rows are walked by hand; every other key, value and row is read by
//! `serde_json`. That leaves a row that is byte for byte the one of the last snapshot to be stepped over at the speed of a
//! comparison. A plain row holds nothing but texts without escapes, and nulls; reading one by hand takes a third of the time.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::platform::text::mended;

/// Where the text stops being a snapshot, in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BrokenAt(pub(super) usize);

/// A place in a text of JSON.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    /// The keys of the last plain row, from brace or comma to colon as they stood there, and the places of their fields: rows
    /// are mostly alike.
    keys: Vec<(&'a [u8], Place)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        // Some servers send a byte-order mark, which JSON does not know.
        let at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { text, at, keys: Vec::new() }
    }

    /// The place, in bytes from the start.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Takes one structural character, if it comes next.
    #[inline]
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

    /// Reads a key. One that is no Unicode is mended.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, BrokenAt> {
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(BrokenAt(self.at));
        }
        Ok(match self.field()? {
            Field::Text(text) => text,
            Field::Absent | Field::Wrong => Cow::Borrowed(""),
        })
    }

    /// Reads a text, or whatever stands in its place. One that is no Unicode is mended.
    pub(super) fn field(&mut self) -> Result<Field<'a>, BrokenAt> {
        if let Ok(field) = self.value() {
            return Ok(field);
        }
        let written = self.written()?;
        let mended = mended(written);
        let field = mended.as_deref().and_then(|text| serde_json::from_str::<Field<'_>>(text).ok());
        Ok(field.map_or(Field::Wrong, Field::into_owned))
    }

    /// Reads what should be a row. An array is none, although serde would fill a struct from it, field by field.
    pub(super) fn row(&mut self) -> Result<Read<'a>, BrokenAt> {
        self.skip_space();
        if self.text.get(self.at) != Some(&b'{') {
            self.skip_value()?;
            return Ok(Read::Unreadable { user_id: None });
        }
        let start = self.at;
        if let Some(row) = self.plain_row() {
            return Ok(Read::Row(row));
        }
        self.at = start;
        if let Ok(row) = self.value() {
            return Ok(Read::Row(row));
        }
        let written = self.written()?;
        let mended = mended(written);
        if let Some(row) = mended.as_deref().and_then(|text| serde_json::from_str::<Row<'_>>(text).ok()) {
            return Ok(Read::Row(row.into_owned()));
        }
        let named: Option<Named> = match &mended {
            Some(text) => serde_json::from_str(text).ok(),
            None => serde_json::from_slice(written).ok(),
        };
        Ok(Read::Unreadable { user_id: named.and_then(|named| named.0) })
    }

    /// Steps over one value of any kind; gives it as it is written.
    fn written(&mut self) -> Result<&'a [u8], BrokenAt> {
        self.skip_space();
        let start = self.at;
        self.skip_value()?;
        Ok(&self.text[start..self.at])
    }

    /// Reads an object that begins here: its fields, if all of them are texts without escapes, or null. What is odd in any way
    /// is left to `serde_json`.
    fn plain_row(&mut self) -> Option<Row<'a>> {
        let start = self.at;
        self.at += 1;
        let mut fields: [Option<Range<usize>>; KEYS] = Default::default();
        let mut seen = [false; KEYS];
        for number in 0.. {
            let Place(place) = self.plain_key(number)?;
            let value = if self.takes_null() { start..start } else { self.plain_text()? };
            if let Some(place) = place {
                if std::mem::replace(&mut seen[place], true) {
                    return None;
                }
                fields[place] = Some(value.start - start..value.end - start);
            }
            if !self.take(b',') {
                self.expect(b'}').ok()?;
                break;
            }
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).ok()?;
        let mut fields = fields.into_iter().map(|range| match text.get(range?) {
            None | Some("") => None,
            Some(text) => Some(Cow::Borrowed(text)),
        });
        let mut next = || fields.next().flatten().map_or(Field::Absent, Field::Text);
        Some(Row {
            user_id: next(),
            user_name: next(),
            agent_state: next(),
            queue_name: next(),
            status_changed_timestamp: next(),
            team_name: next(),
        })
    }

    /// Takes a row's key of this number and its colon; gives the place of its field.
    fn plain_key(&mut self, number: usize) -> Option<Place> {
        if let Some((key, place)) = self.keys.get(number)
            && self.text[self.at..].starts_with(key)
        {
            self.at += key.len();
            return Some(*place);
        }
        if number == MOST_PLAIN_KEYS {
            return None;
        }
        let start = self.at;
        let key = self.plain_text()?;
        self.expect(b':').ok()?;
        let place = place_of(&self.text[key]);
        self.keys.truncate(number);
        self.keys.push((&self.text[start..self.at], place));
        Some(place)
    }

    fn takes_null(&mut self) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(b"null");
        self.at += if found { 4 } else { 0 };
        found
    }

    /// Takes a text without escapes; gives where it stands.
    fn plain_text(&mut self) -> Option<Range<usize>> {
        self.expect(b'"').ok()?;
        let start = self.at;
        let end = start + plain_length(&self.text[start..])?;
        self.at = end + 1;
        Some(start..end)
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
    #[inline]
    pub(super) fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}

/// The length of a text up to its closing quote, eight bytes at a time; none when an escape or a control character comes
/// before, or the quote never does.
fn plain_length(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    // The lowest high bit that is set marks the first byte that is below the limit; those above it may mark too many.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let (words, _) = text.as_chunks::<8>();
    for (place, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        let quote_or_escape = below(word ^ (ONES * u64::from(b'"')), 1) | below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = quote_or_escape | below(word, b' ');
        if found != 0 {
            let at = place * 8 + found.trailing_zeros() as usize / 8;
            return (text[at] == b'"').then_some(at);
        }
    }
    let rest = words.len() * 8;
    let at = rest + text[rest..].iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\'))?;
    (text[at] == b'"').then_some(at)
}

/// What stands where a row should.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// One that can be read.
    Row(Row<'a>),
    /// One that cannot, with the agent whom it names.
    Unreadable {
        /// The agent's id, where it names one agent.
        user_id: Option<String>,
    },
}

/// Whom an object names, whatever else is wrong with it; nobody where it names an agent twice.
struct Named(Option<String>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor)
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Named, A::Error> {
        let mut ids = Vec::new();
        while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
            if key == "userId" {
                ids.push(entries.next_value::<Field<'_>>()?.text().map(str::to_owned));
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        let only = ids.pop().flatten();
        Ok(Named(only.filter(|_| ids.is_empty())))
    }
}

/// The place of a key's field in [`Row`]; none for a key that is not read.
#[derive(Clone, Copy, Debug)]
struct Place(Option<usize>);

/// A row with more keys than this is not plain.
const MOST_PLAIN_KEYS: usize = 64;

/// How many keys a row has that are read.
const KEYS: usize = 6;

/// The place of a key's field in [`Row`].
fn place_of(key: &[u8]) -> Place {
    Place(Some(match key {
        b"userId" => 0,
        b"userName" => 1,
        b"agentState" => 2,
        b"queueName" => 3,
        b"statusChangedTimestamp" => 4,
        b"teamName" => 5,
        _ => return Place(None),
    }))
}

/// One row, borrowed from the text where it can be.
#[derive(serde::Deserialize, PartialEq, Eq, Debug)]
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

impl Row<'_> {
    fn into_owned(self) -> Row<'static> {
        let Row { user_id, user_name, agent_state, queue_name, status_changed_timestamp, team_name } = self;
        Row {
            user_id: user_id.into_owned(),
            user_name: user_name.into_owned(),
            agent_state: agent_state.into_owned(),
            queue_name: queue_name.into_owned(),
            status_changed_timestamp: status_changed_timestamp.into_owned(),
            team_name: team_name.into_owned(),
        }
    }
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
    fn into_owned(self) -> Field<'static> {
        match self {
            Self::Text(text) => Field::Text(Cow::Owned(text.into_owned())),
            Self::Absent => Field::Absent,
            Self::Wrong => Field::Wrong,
        }
    }

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plainly(text: &str) -> Option<(Row<'_>, usize)> {
        let mut walk = Walk::new(text.as_bytes());
        walk.plain_row().map(|row| (row, walk.at))
    }

    #[test]
    fn the_usual_row_is_read_by_hand_and_an_odd_one_is_not() {
        let usual =
            r#"{"userId":"u_1","userName":"Jürgen Ö","wrapUpCode":null, "teamName" : "" ,"agentState":"idle"} "#;
        let (row, end) = plainly(usual).expect("plain");
        assert_eq!((row.user_id.text(), row.user_name.text(), end), (Some("u_1"), Some("Jürgen Ö"), usual.len() - 1));
        assert_eq!((&row.team_name, &row.queue_name), (&Field::Absent, &Field::Absent));
        for odd in [
            r"{}",
            r#"{"userId":7}"#,
            r#"{"userId":"u\u005f1"}"#,
            r#"{"userId":"u_1","userId":"u_2"}"#,
            r#"{"user\u0049d":"u_1"}"#,
            r#"{"userId":"u_1",}"#,
            r#"{"userId":"u_1""#,
            r#"{"userId":"u_1"#,
            "{\"userId\":\"u\t1\"}",
            "{\"userId\":\"u_123456789\t\"}",
        ] {
            assert_eq!(plainly(odd).map(|(row, _)| format!("{row:?}")), None, "{odd}");
        }
        assert!(Walk::new(b"{\"userId\":\"\xFF\"}").plain_row().is_none(), "not UTF-8");
    }

    proptest! {
        /// What is read by hand is what `serde_json` reads, up to the same byte.
        #[test]
        fn reading_by_hand_agrees_with_serde(
            fields in proptest::collection::vec((
                prop_oneof![
                    Just("userId"), Just("userName"), Just("agentState"), Just("queueName"),
                    Just("statusChangedTimestamp"), Just("teamName"), Just("wrapUpCode"), Just("u"),
                ],
                prop_oneof![
                    6 => any::<String>().prop_map(|text| format!("{text:?}")),
                    6 => "[ -!#-Z^-~äß€]{0,20}".prop_map(|text| format!("\"{text}\"")),
                    2 => Just("null".to_owned()),
                    1 => prop_oneof![Just("7"), Just("true"), Just("[\"a\"]"), Just("{}"), Just("nul"), Just("\"")].prop_map(str::to_owned),
                ],
                "[ \n\t]{0,2}",
            ), 0..9),
            after in "[ ,}\"a-z]{0,10}",
        ) {
            let fields: Vec<String> =
                fields.iter().map(|(key, value, space)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
            let text = format!("{{{}}}{after}", fields.join(","));
            if let Some((row, end)) = plainly(&text) {
                let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Row<'_>>();
                prop_assert_eq!(row, values.next().expect("a value").expect("a row"));
                prop_assert_eq!(end, values.byte_offset());
            }
        }
    }
}
