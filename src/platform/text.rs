//! Cleaning of the platform's texts before they are kept: valid Unicode, and no longer than a limit.
//!
//! JSON can spell half of a surrogate pair (`"\ud800"`), which no Rust string can hold. One such escape in a name must
//! not cost the row, and a name of a megabyte must not reach the store. So names are repaired and shortened. Ids are
//! taken unchanged or refused, since two long ids could become equal when shortened.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The maximum number of characters in a name or an id.
pub const MAX_TEXT_CHARS: usize = 256;

/// Returns a name in the form in which it is kept: at most [`MAX_TEXT_CHARS`] characters, ending in an ellipsis if it
/// was shortened. NUL is replaced by U+FFFD, as PostgreSQL cannot store it.
pub fn truncated(text: &str) -> Cow<'_, str> {
    if is_short(text) && !has_nul(text) {
        return Cow::Borrowed(text);
    }
    let end = match text.char_indices().nth(MAX_TEXT_CHARS) {
        None => text.len(),
        Some(_) => text.char_indices().nth(MAX_TEXT_CHARS - 1).map_or(text.len(), |(end, _)| end),
    };
    let mut shortened = text[..end].replace('\0', "\u{fffd}");
    if end < text.len() {
        shortened.push('…');
    }
    Cow::Owned(shortened)
}

/// Returns whether a text can be an id: not empty, at most [`MAX_TEXT_CHARS`] characters, and without NUL.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && is_short(text) && !has_nul(text)
}

/// Returns an id from an answer, which may be a string or a number.
pub fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if is_id(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

fn is_short(text: &str) -> bool {
    text.len() <= MAX_TEXT_CHARS || text.chars().nth(MAX_TEXT_CHARS).is_none()
}

/// Parses JSON, and if that fails, tries once more with its texts repaired.
pub fn parse_lenient<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok().or_else(|| serde_json::from_str(&repair(json)?).ok())
}

/// Returns the JSON with U+FFFD in place of unpaired surrogates and invalid UTF-8. `None` if it has neither, so that
/// parsing again would fail too.
pub fn repair(json: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(json);
    let was_utf8 = matches!(text, Cow::Borrowed(_));
    let mut bytes = text.into_owned().into_bytes();
    let halves = replace_lone_surrogates(&mut bytes);
    if was_utf8 && halves == 0 {
        return None;
    }
    String::from_utf8(bytes).ok()
}

/// Overwrites each escape of an unpaired surrogate with `\ufffd`, which has the same length. Returns how many there
/// were.
fn replace_lone_surrogates(json: &mut [u8]) -> usize {
    let (mut at, mut found) = (0, 0);
    while let Some(next) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += next;
        // After any other escape, no part of it can be mistaken for the start of another one.
        at += match (code_unit(&json[at..]), json.get(at + 6..).and_then(code_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                json[at..at + 6].copy_from_slice(br"\ufffd");
                found += 1;
                6
            }
            (_, _) => 2,
        };
        at = at.min(json.len());
    }
    found
}

/// Returns the code unit of an escape such as `\u00e9` at the start of the text.
fn code_unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(br"\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some((unit << 4) | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_name_is_cut_at_a_character_and_an_id_is_not_cut() {
        let longest = "é".repeat(MAX_TEXT_CHARS);
        assert!(matches!(truncated(&longest), Cow::Borrowed(text) if text == longest) && is_id(&longest));
        let longer = format!("{longest}é");
        assert_eq!(truncated(&longer), format!("{}…", "é".repeat(MAX_TEXT_CHARS - 1)));
        assert!(!is_id(&longer) && !is_id(""));
        assert_eq!(truncated("a\0b"), "a\u{fffd}b");
        assert!(!is_id("a\0b"));
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        for (json, whole) in [
            (r#""\ud800""#, Some("\u{fffd}")),
            (r#""a\uDFFFb""#, Some("a\u{fffd}b")),
            (r#""\ud83d\ud83d\ude00""#, Some("\u{fffd}\u{1f600}")),
            (r#""\ud83d\n\ude00""#, Some("\u{fffd}\n\u{fffd}")),
            (r#""\\ud800\ud800""#, Some("\\ud800\u{fffd}")),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud800""#, None),
            (r#""\u00e9""#, None),
            (r#""\ud8""#, None),
            (r#""\"#, None),
        ] {
            let text = repair(json.as_bytes());
            let read = text.map(|text| serde_json::from_str::<String>(&text).expect("a text"));
            assert_eq!(read.as_deref(), whole, "{json}");
        }
        assert_eq!(repair(b"\"a\xFF\"").as_deref(), Some("\"a\u{fffd}\""));
    }

    proptest! {
        /// Whatever escapes a text has, it can be read when it is mended, or could be read before.
        #[test]
        fn any_escapes_can_be_read(
            parts in proptest::collection::vec(
                prop_oneof![
                    "[0-9a-fA-F]{4}".prop_map(|digits| format!(r"\u{digits}")),
                    "[dD][89a-fA-F][0-9a-f]{2}".prop_map(|digits| format!(r"\u{digits}")),
                    r#"\\["\\/bfnrt]"#,
                    "[a-z €]{0,3}",
                ],
                0..12,
            ),
        ) {
            let json = format!("\"{}\"", parts.concat());
            let readable = repair(json.as_bytes()).unwrap_or(json);
            prop_assert!(serde_json::from_str::<Value>(&readable).is_ok(), "{readable}");
        }
    }
}
