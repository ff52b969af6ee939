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

#[cfg(test)]
mod tests {
    use super::count;

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
