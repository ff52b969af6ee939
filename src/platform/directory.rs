//! The platform's directory: its teams with their unavailable codes, and its agents.

use std::sync::Arc;

use crate::domain::ids::{AgentId, TeamName};

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPage<T> {
    /// The rows that could be read.
    pub rows: Vec<T>,
    /// The number of rows that were received, which is how many more the next page skips.
    pub received: usize,
    /// The number of rows on all pages, if the platform says so.
    pub total: Option<usize>,
    /// The instant to ask from next time, in the platform's own words.
    pub polled_at: Option<String>,
    /// The number of agents whom the platform does not show to the daemon's user.
    pub hidden: u64,
}

impl<T> ListPage<T> {
    /// Returns how many rows to skip for the next page; `None` after the last one. Without a total, that is an empty
    /// page.
    pub fn next(&self, skipped: usize) -> Option<usize> {
        let seen = skipped + self.received;
        (self.received > 0 && self.total.is_none_or(|total| seen < total)).then_some(seen)
    }
}

/// The most pages of one list.
const MAX_PAGES: usize = 1_000;

/// Reads all pages of a list. `read` gets the number of rows to skip. The instant and the hidden agents are those of the
/// first page, since rows of later pages may be newer. A platform that sends the same page again has no further ones.
pub async fn read_pages<T, E, F>(mut read: impl FnMut(usize) -> F) -> Result<ListPage<T>, E>
where
    T: PartialEq,
    F: Future<Output = Result<ListPage<T>, E>>,
{
    let mut all = read(0).await?;
    let (mut next, mut last_page) = (all.next(0), 0);
    for _ in 1..MAX_PAGES {
        let Some(skipped) = next else { break };
        let page = read(skipped).await?;
        if page.rows == all.rows[last_page..] {
            break;
        }
        next = page.next(skipped);
        last_page = all.rows.len();
        all.received += page.received;
        all.rows.extend(page.rows);
    }
    Ok(all)
}

/// A team of the platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedTeam {
    /// The platform's number.
    pub id: String,
    /// The name.
    pub name: TeamName,
    /// Whether it is in use.
    pub is_active: bool,
}

/// An agent of the platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedAgent {
    /// The id that states and changes use.
    pub id: AgentId,
    /// The id of the agent's user account (a UUID), by which schedules are exported.
    pub user_id: Option<Arc<str>>,
    /// The name with which the agent signs in.
    pub user_name: Option<Arc<str>>,
    /// The name that people see.
    pub name: Option<Arc<str>>,
    /// The team.
    pub team: Option<TeamName>,
    /// The IANA time zone. Other names of zones are left out.
    pub zone: Option<Arc<str>>,
    /// Whether the account is in use.
    pub is_active: bool,
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Reads a list whose pages `page` gives by the number of rows to skip, and returns its rows and the number of reads.
    async fn read(page: impl Fn(usize) -> (Vec<u32>, Option<usize>)) -> (Vec<u32>, usize) {
        let reads = Cell::new(0);
        let all = read_pages(|skip| {
            reads.set(reads.get() + 1);
            let (rows, total) = page(skip);
            let received = rows.len();
            std::future::ready(Ok::<_, ()>(ListPage { rows, received, total, polled_at: None, hidden: 0 }))
        });
        (all.await.expect("pages").rows, reads.get())
    }

    #[tokio::test]
    async fn pages_are_read_to_the_total_or_an_empty_page_and_never_without_end() {
        let list: Vec<u32> = (0..5).collect();
        let page = |skip: usize| list.iter().skip(skip).take(2).copied().collect::<Vec<_>>();
        assert_eq!(read(|skip| (page(skip), Some(5))).await, (list.clone(), 3));
        assert_eq!(
            read(|skip| (page(skip), None)).await,
            (list.clone(), 4),
            "an empty page ends a list without a total"
        );
        assert_eq!(read(|_| (page(0), None)).await, (vec![0, 1], 2), "a platform that ignores what to skip");
        assert_eq!(read(|_| (Vec::new(), Some(5))).await, (Vec::new(), 1));
    }
}
