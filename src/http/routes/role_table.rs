//! Writes `docs/routes.md`, which role may use which route, from the table of routes.

use std::fmt::Write as _;

use super::list_routes;
use super::route::AccessRequirement;
use crate::domain::access::rights::{Right, Role};

const INTRODUCTION: &str = "\
# Which role may use which route

<!-- Generated from src/http/routes/table.rs; a test compares. To renew it:
     cargo run -- check --routes > docs/routes.md -->

This page lists every route of the daemon. The column *required right* names the right that a request needs: `none` is open to
everyone, and `signed in` is open to every account and token. A role has the rights in the first table. A token with rights by name (in
`[[server.tokens]]`, or created with `token create`) needs the required right itself.

A caller can also be limited to some tenants and teams ([rights](rights.md)). Requests about anything else are answered with 404.

A route marked `page` is a page of the console. A page with `signed in` opens for everyone who is signed in, but shows only what your
rights allow.

";

/// Routes without a required right in the table whose handler checks one, with what the page says about them.
const CHECKED_BY_HANDLER: [(&str, &str); 1] = [("/metrics", "read, unless `metrics = \"open\"`")];

/// Returns the text of `docs/routes.md`.
pub fn role_table_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("| role | rights |\n|---|---|\n");
    for role in Role::ALL {
        let rights: Vec<_> =
            Right::ALL.iter().filter(|right| role.has_right(**right)).map(|right| right.name()).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {role} | {} |", rights.join(", "));
    }
    let roles: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
    let _ =
        writeln!(page, "\n| route | required right | {} |\n|---|---|{}", roles.join(" | "), "---|".repeat(roles.len()));
    let mut rows: Vec<_> = list_routes().into_iter().map(|route| (route.path, route.method, route.access)).collect();
    rows.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    for (path, method, access) in rows {
        let (required, may): (&str, Vec<&str>) = match access {
            AccessRequirement::Public => {
                let checked = CHECKED_BY_HANDLER.iter().find(|(route, _)| *route == path);
                (checked.map_or("none", |(_, required)| required), Role::ALL.iter().map(|_| "✓").collect())
            }
            AccessRequirement::SignedIn => ("signed in", Role::ALL.iter().map(|_| "✓").collect()),
            AccessRequirement::Right(right) => {
                (right.name(), Role::ALL.iter().map(|role| if role.has_right(right) { "✓" } else { "" }).collect())
            }
        };
        let _ = writeln!(page, "| `{} {path}` | {required} | {} |", method.unwrap_or("page"), may.join(" | "));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/routes.md");
        let written = std::fs::read_to_string(path).expect("the page is there");
        assert!(written == role_table_markdown(), "docs/routes.md is out of date; renew it as its first lines say");
    }
}
