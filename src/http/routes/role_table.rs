//! Writes `docs/routes.md`, which role may use which route, from the table of routes.

use std::fmt::Write as _;

use super::list_routes;
use super::route::AccessRequirement;
use crate::domain::access::rights::{Right, Role};

const INTRODUCTION: &str = "\
# Which role may use which route

<!-- Written from the code (src/http/routes.rs); a test compares. To renew it:
     cargo run -- check --routes > docs/routes.md -->

Every route has a row, and the router is made of the rows: a route that is not here does not exist. Beside the right, a request has to
be about a tenant, and for somebody who is bound to teams about agents, within reach ([rights.md](rights.md)). A token of
`[[server.tokens]]` and one with rights by name go by the column `takes`.

";

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
    let _ = writeln!(page, "\n| route | takes | {} |\n|---|---|{}", roles.join(" | "), "---|".repeat(roles.len()));
    let mut rows: Vec<_> = list_routes().into_iter().map(|route| (route.path, route.method, route.access)).collect();
    rows.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    for (path, method, access) in rows {
        let (takes, may): (&str, Vec<&str>) = match access {
            AccessRequirement::Public => ("nothing", Role::ALL.iter().map(|_| "✓").collect()),
            AccessRequirement::SignedIn => ("to be known", Role::ALL.iter().map(|_| "✓").collect()),
            AccessRequirement::Right(right) => {
                (right.name(), Role::ALL.iter().map(|role| if role.has_right(right) { "✓" } else { "" }).collect())
            }
        };
        let _ = writeln!(page, "| `{} {path}` | {takes} | {} |", method.unwrap_or("page"), may.join(" | "));
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
