//! What texts of the platform must be before anybody keeps them: whole, and no longer than a limit.
//!
//! JSON can spell half of a surrogate pair (`"\ud800"`), which no Rust string holds. One such escape in a name must not cost
//! the row, and a name of a megabyte must not reach the store. Names are therefore mended and cut; ids are taken as they are or
//! not at all, since two ids that differ only behind the cut would become one.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// The most characters of a name, and of an id.
pub const LONGEST_TEXT: usize = 256;

/// A name as it is kept: at most [`LONGEST_TEXT`] characters, the last of them an ellipsis where it was cut. PostgreSQL stores
/// no NUL, so U+FFFD stands in its place.
pub fn kept(text: &str) -> Cow<'_, str> {
    if is_short(text) && !has_nul(text) {
        return Cow::Borrowed(text);
    }
    let end = match text.char_indices().nth(LONGEST_TEXT) {
        None => text.len(),
        Some(_) => text.char_indices().nth(LONGEST_TEXT - 1).map_or(text.len(), |(end, _)| end),
    };
    let mut kept = text[..end].replace('\0', "\u{fffd}");
    if end < text.len() {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// Whether a text can be an id: neither empty nor longer than [`LONGEST_TEXT`] characters, and without a NUL.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && is_short(text) && !has_nul(text)
}

fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

fn is_short(text: &str) -> bool {
    text.len() <= LONGEST_TEXT || text.chars().nth(LONGEST_TEXT).is_none()
}

/// Reads JSON; where that fails, once more with its texts mended.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok().or_else(|| serde_json::from_str(&mended(json)?).ok())
}

/// The same JSON with U+FFFD in the place of half surrogate pairs and of bytes that are not UTF-8. None where it has neither, so
/// that reading it again would fail again.
pub fn mended(json: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(json);
    let was_utf8 = matches!(text, Cow::Borrowed(_));
    let mut bytes = text.into_owned().into_bytes();
    let halves = replace_half_pairs(&mut bytes);
    if was_utf8 && halves == 0 {
        return None;
    }
    String::from_utf8(bytes).ok()
}

/// Writes `\ufffd` over each escape of half a surrogate pair, which is as long; gives how many there were.
fn replace_half_pairs(json: &mut [u8]) -> usize {
    let (mut at, mut found) = (0, 0);
    while let Some(next) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += next;
        // Behind any other escape nothing of it can be taken for the beginning of one.
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

/// What an escape such as `\u00e9` stands for, where one begins here.
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
        let longest = "é".repeat(LONGEST_TEXT);
        assert!(matches!(kept(&longest), Cow::Borrowed(text) if text == longest) && is_id(&longest));
        let longer = format!("{longest}é");
        assert_eq!(kept(&longer), format!("{}…", "é".repeat(LONGEST_TEXT - 1)));
        assert!(!is_id(&longer) && !is_id(""));
        assert_eq!(kept("a\0b"), "a\u{fffd}b");
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
            let text = mended(json.as_bytes());
            let read = text.map(|text| serde_json::from_str::<String>(&text).expect("a text"));
            assert_eq!(read.as_deref(), whole, "{json}");
        }
        assert_eq!(mended(b"\"a\xFF\"").as_deref(), Some("\"a\u{fffd}\""));
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
            let readable = mended(json.as_bytes()).unwrap_or(json);
            prop_assert!(serde_json::from_str::<Value>(&readable).is_ok(), "{readable}");
        }
    }
}
