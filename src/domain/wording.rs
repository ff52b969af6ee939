//! Numbers and names in messages for people, and `named_enum!` for the names that machines read.

use std::borrow::Cow;
use std::fmt::Display;

/// Declares an enum with a name for each variant, as in files, answers and the store, and with `ALL`, `name`, `from_name`
/// and `Display`.
macro_rules! named_enum {
    (
        $(#[$attribute:meta])*
        pub enum $enum:ident {
            $($(#[$variant_attribute:meta])* $variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$attribute])*
        pub enum $enum {
            $($(#[$variant_attribute])* $variant,)+
        }

        impl $enum {
            /// Every variant, in the order of their declaration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns the name in files, answers and the store.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns the variant with this name, or `None` if there is none.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|known| known.name() == name)
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use named_enum;

/// Formats a number with its noun: `1 agent`, `2 agents`, `0 entries`. Pass the noun in the singular; words may precede
/// it, as in `more fault`.
pub fn count_with_noun<N: Display + PartialEq + From<u8> + Copy>(number: N, noun: &str) -> String {
    if number == N::from(1) {
        return format!("{number} {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {noun}s"),
    }
}

/// Escapes text that a spreadsheet would take for a formula: text that begins with `=`, `+`, `-`, `@`, a tab or a
/// carriage return gets a leading apostrophe (OWASP, "CSV Injection").
pub fn escape_formula(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Reverses [`escape_formula`]. Text that originally began with such an apostrophe loses it.
pub fn unescape_formula(field: &str) -> &str {
    field.strip_prefix('\'').filter(|text| escape_formula(text) != *text).unwrap_or(field)
}

/// How many names [`list_names`] shows.
const MAX_NAMES_SHOWN: usize = 5;

/// Lists the first few of many names: `u_1`, `u_1 and u_2`, `u_1, u_2, u_3, u_4, u_5 and 3 more`.
pub fn list_names<T: Display>(all: &[T]) -> String {
    let listed: Vec<String> = all.iter().take(MAX_NAMES_SHOWN).map(ToString::to_string).collect();
    match (listed.as_slice(), all.len() - listed.len()) {
        (_, more @ 1..) => format!("{} and {more} more", listed.join(", ")),
        ([before @ .., last], 0) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        (_, 0) => listed.join(", "),
    }
}

/// Returns the known name that a misspelt one most likely stands for, or `None` if none is similar enough.
pub fn closest_name<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The smallest Jaro-Winkler similarity for a suggestion; less similar names would mislead.
const MIN_SIMILARITY: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::{closest_name, count_with_noun, escape_formula, list_names, unescape_formula};

    #[test]
    fn text_that_was_escaped_for_a_spreadsheet_reads_as_it_was() {
        for text in ["=1+1", "-1", "\tx", "plain", "", "it's", "'quoted'"] {
            assert_eq!(unescape_formula(&escape_formula(text)), text);
        }
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let known = ["requests_per_minute", "urgent_reserve", "base_url"];
        assert_eq!(closest_name("request_per_minute", known), Some("requests_per_minute"));
        assert_eq!(closest_name("BASE_URI", known), Some("base_url"));
        assert_eq!(closest_name("colour", known), None);
    }

    #[test]
    fn of_many_names_the_first_are_listed_and_the_rest_counted() {
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        for (number, expected) in [
            (0, ""),
            (1, "a"),
            (2, "a and b"),
            (5, "a, b, c, d and e"),
            (6, "a, b, c, d, e and 1 more"),
            (7, "a, b, c, d, e and 2 more"),
        ] {
            assert_eq!(list_names(&many[..number]), expected);
        }
    }

    #[test]
    fn one_is_singular_and_everything_else_is_plural() {
        let counted = [
            count_with_noun(0_usize, "agent"),
            count_with_noun(1_u64, "agent"),
            count_with_noun(2_i64, "agent"),
            count_with_noun(1_u32, "audit entry"),
            count_with_noun(12_usize, "audit entry"),
            count_with_noun(7_i32, "day"),
            count_with_noun(1_usize, "more fault"),
        ];
        assert_eq!(
            counted,
            ["0 agents", "1 agent", "2 agents", "1 audit entry", "12 audit entries", "7 days", "1 more fault"]
        );
    }
}
