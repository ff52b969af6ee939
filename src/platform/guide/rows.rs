//! Parses the text of a snapshot without building a tree.
//!
//! Only the outer object, the array of rows and plain rows are parsed by hand; every other key, value and row is read
//! by `serde_json`. This allows skipping rows that are identical to those of the previous snapshot at the speed of a
//! comparison. A plain row contains only strings without escapes and nulls; parsing one by hand takes a third of the
//! time.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::platform::text::repair;

/// The error at which parsing stopped, in bytes from the start of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ParseErrorAt(pub(super) usize);

/// A parser at a position in a JSON text.
#[derive(Debug)]
pub(super) struct RowParser<'a> {
    text: &'a [u8],
    at: usize,
    /// The keys of the last plain row, from brace or comma to colon as they were written, and the index of each one's
    /// field. Rows are mostly alike.
    keys: Vec<(&'a [u8], FieldIndex)>,
}

impl<'a> RowParser<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        // Some servers send a byte-order mark, which JSON does not allow.
        let at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { text, at, keys: Vec::new() }
    }

    /// Returns the position in bytes from the start.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Consumes a structural character if it comes next, and returns whether it did.
    #[inline]
    pub(super) fn take_byte(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// Consumes a structural character that must come next.
    pub(super) fn expect_byte(&mut self, byte: u8) -> Result<(), ParseErrorAt> {
        if self.take_byte(byte) { Ok(()) } else { Err(ParseErrorAt(self.at)) }
    }

    /// Skips `text` if the input continues with exactly it. It must be one whole object, so that the object cannot
    /// continue afterwards.
    pub(super) fn skip_known(&mut self, text: &[u8]) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Reads one value. The position does not change if the value has the wrong type.
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Result<T, ParseErrorAt> {
        let mut values = serde_json::Deserializer::from_slice(&self.text[self.at..]).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(_)) | None => Err(ParseErrorAt(self.at)),
        }
    }

    /// Reads a key. Invalid Unicode is replaced.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, ParseErrorAt> {
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(ParseErrorAt(self.at));
        }
        Ok(match self.field()? {
            Field::Text(text) => text,
            Field::Absent | Field::Invalid => Cow::Borrowed(""),
        })
    }

    /// Reads a string, or whatever is in its place. Invalid Unicode is replaced.
    pub(super) fn field(&mut self) -> Result<Field<'a>, ParseErrorAt> {
        if let Ok(field) = self.value() {
            return Ok(field);
        }
        let raw = self.raw_value()?;
        let repaired = repair(raw);
        let field = repaired.as_deref().and_then(|text| serde_json::from_str::<Field<'_>>(text).ok());
        Ok(field.map_or(Field::Invalid, Field::into_owned))
    }

    /// Reads a row. Arrays are refused, although serde would fill a struct from one field by field.
    pub(super) fn row(&mut self) -> Result<ParsedRow<'a>, ParseErrorAt> {
        self.skip_space();
        if self.text.get(self.at) != Some(&b'{') {
            self.skip_value()?;
            return Ok(ParsedRow::Unreadable { user_id: None });
        }
        let start = self.at;
        if let Some(row) = self.fast_row() {
            return Ok(ParsedRow::Row(row));
        }
        self.at = start;
        if let Ok(row) = self.value() {
            return Ok(ParsedRow::Row(row));
        }
        let raw = self.raw_value()?;
        let repaired = repair(raw);
        if let Some(row) = repaired.as_deref().and_then(|text| serde_json::from_str::<Row<'_>>(text).ok()) {
            return Ok(ParsedRow::Row(row.into_owned()));
        }
        let id_only: Option<FieldName> = match &repaired {
            Some(text) => serde_json::from_str(text).ok(),
            None => serde_json::from_slice(raw).ok(),
        };
        Ok(ParsedRow::Unreadable { user_id: id_only.and_then(|named| named.0) })
    }

    /// Skips one value of any type and returns its text.
    fn raw_value(&mut self) -> Result<&'a [u8], ParseErrorAt> {
        self.skip_space();
        let start = self.at;
        self.skip_value()?;
        Ok(&self.text[start..self.at])
    }

    /// Reads the fields of an object that starts here, if all of them are strings without escapes or null. Anything
    /// unusual is left to `serde_json`.
    fn fast_row(&mut self) -> Option<Row<'a>> {
        let start = self.at;
        self.at += 1;
        let mut fields: [Option<Range<usize>>; FIELD_COUNT] = Default::default();
        let mut found = [false; FIELD_COUNT];
        for number in 0.. {
            let FieldIndex(place) = self.fast_key(number)?;
            let value = if self.takes_null() { start..start } else { self.fast_text()? };
            if let Some(place) = place {
                if std::mem::replace(&mut found[place], true) {
                    return None;
                }
                fields[place] = Some(value.start - start..value.end - start);
            }
            if !self.take_byte(b',') {
                self.expect_byte(b'}').ok()?;
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

    /// Consumes the row's key with this number and its colon, and returns the index of its field.
    fn fast_key(&mut self, number: usize) -> Option<FieldIndex> {
        if let Some((key, place)) = self.keys.get(number)
            && self.text[self.at..].starts_with(key)
        {
            self.at += key.len();
            return Some(*place);
        }
        if number == MAX_FAST_KEYS {
            return None;
        }
        let start = self.at;
        let key = self.fast_text()?;
        self.expect_byte(b':').ok()?;
        let place = field_index(&self.text[key]);
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

    /// Consumes a string without escapes and returns its range.
    fn fast_text(&mut self) -> Option<Range<usize>> {
        self.expect_byte(b'"').ok()?;
        let start = self.at;
        let end = start + plain_text_length(&self.text[start..])?;
        self.at = end + 1;
        Some(start..end)
    }

    /// Skips one value of any type.
    pub(super) fn skip_value(&mut self) -> Result<(), ParseErrorAt> {
        self.value::<IgnoredAny>().map(drop)
    }

    /// Returns whether only white space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// Skips white space.
    #[inline]
    pub(super) fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}

/// Returns the length of a string up to its closing quote, scanning eight bytes at a time. `None` if an escape or a
/// control character comes first, or there is no quote.
fn plain_text_length(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    // The lowest high bit that is set marks the first byte below the limit. Bits above it may mark too many bytes.
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

/// The content of a row's place.
#[derive(Debug)]
pub(super) enum ParsedRow<'a> {
    /// A readable row.
    Row(Row<'a>),
    /// An unreadable row.
    Unreadable {
        /// The agent's id, if the row names exactly one agent.
        user_id: Option<String>,
    },
}

/// The agent that an object names, whatever else is wrong with it. `None` if it names an agent twice.
struct FieldName(Option<String>);

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldNameVisitor)
    }
}

struct FieldNameVisitor;

impl<'de> Visitor<'de> for FieldNameVisitor {
    type Value = FieldName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<FieldName, A::Error> {
        let mut ids = Vec::new();
        while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
            if key == "userId" {
                ids.push(entries.next_value::<Field<'_>>()?.text().map(str::to_owned));
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        let only = ids.pop().flatten();
        Ok(FieldName(only.filter(|_| ids.is_empty())))
    }
}

/// The index of a key's field in [`Row`]; `None` for a key that is ignored.
#[derive(Clone, Copy, Debug)]
struct FieldIndex(Option<usize>);

/// A row with more keys than this does not count as plain.
const MAX_FAST_KEYS: usize = 64;

/// The number of keys of a row that are read.
const FIELD_COUNT: usize = 6;

/// Returns the index of a key's field in [`Row`].
fn field_index(key: &[u8]) -> FieldIndex {
    FieldIndex(Some(match key {
        b"userId" => 0,
        b"userName" => 1,
        b"agentState" => 2,
        b"queueName" => 3,
        b"statusChangedTimestamp" => 4,
        b"teamName" => 5,
        _ => return FieldIndex(None),
    }))
}

/// One row, borrowed from the text where possible.
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

/// A field that should be a string or null. Another type is kept as [`Field::Invalid`] and does not invalidate the row.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum Field<'a> {
    /// Missing, null or empty.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// Another type.
    Invalid,
}

impl Field<'_> {
    fn into_owned(self) -> Field<'static> {
        match self {
            Self::Text(text) => Field::Text(Cow::Owned(text.into_owned())),
            Self::Absent => Field::Absent,
            Self::Invalid => Field::Invalid,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Invalid => None,
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
        Ok(Field::Invalid)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::Invalid)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Invalid)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Invalid)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Invalid)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plainly(text: &str) -> Option<(Row<'_>, usize)> {
        let mut walk = RowParser::new(text.as_bytes());
        walk.fast_row().map(|row| (row, walk.at))
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
        assert!(RowParser::new(b"{\"userId\":\"\xFF\"}").fast_row().is_none(), "not UTF-8");
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
