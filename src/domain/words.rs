//! How messages count: a number and its noun, in the singular for one and in the plural otherwise.
//!
//! For messages to people alone; what machines read has a name and a number of its own.

use std::fmt::Display;

/// `1 agent`, `2 agents`, `0 entries`. The noun comes in the singular and may have words before it: `more fault`.
pub fn count<N: Display + PartialEq + From<u8> + Copy>(number: N, noun: &str) -> String {
    if number == N::from(1) {
        return format!("{number} {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {noun}s"),
    }
}

/// So many names of many are told.
const TOLD: usize = 5;

/// `u_1`, `u_1 and u_2`, `u_1, u_2, u_3, u_4, u_5 and 3 more`: the first few of many names.
pub fn names<T: Display>(all: &[T]) -> String {
    let told: Vec<String> = all.iter().take(TOLD).map(ToString::to_string).collect();
    match (told.as_slice(), all.len() - told.len()) {
        (_, more @ 1..) => format!("{} and {more} more", told.join(", ")),
        ([before @ .., last], 0) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        (_, 0) => told.join(", "),
    }
}

/// The known name that a misspelt one was most likely meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Jaro-Winkler likeness from which two names are taken for the same word misspelt; below it, suggestions mislead.
const LIKE_ENOUGH: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::{count, names, nearest};

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let known = ["requests_per_minute", "urgent_reserve", "base_url"];
        assert_eq!(nearest("request_per_minute", known), Some("requests_per_minute"));
        assert_eq!(nearest("BASE_URI", known), Some("base_url"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn of_many_names_the_first_are_told_and_the_rest_counted() {
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        for (number, told) in [
            (0, ""),
            (1, "a"),
            (2, "a and b"),
            (5, "a, b, c, d and e"),
            (6, "a, b, c, d, e and 1 more"),
            (7, "a, b, c, d, e and 2 more"),
        ] {
            assert_eq!(names(&many[..number]), told);
        }
    }

    #[test]
    fn one_is_singular_and_everything_else_is_plural() {
        let counted = [
            count(0_usize, "agent"),
            count(1_u64, "agent"),
            count(2_i64, "agent"),
            count(1_u32, "audit entry"),
            count(12_usize, "audit entry"),
            count(7_i32, "day"),
            count(1_usize, "more fault"),
        ];
        assert_eq!(
            counted,
            ["0 agents", "1 agent", "2 agents", "1 audit entry", "12 audit entries", "7 days", "1 more fault"]
        );
    }
}
