//! Reads what is left of an agent being erased: rows to move, pages to search, and notes.

use sqlx::any::AnyRow;

use super::erasing::{ENTRIES, EXCEPTIONS_NAMING_AGENT, KeyKind, NOTES, bind_key};
use crate::domain::agents::erasure::TextEraser;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, ExceptionId, SubjectId, TenantId};
use crate::store::batch::{PAGE_LIMIT, Values};
use crate::store::cells::Cells;
use crate::store::erasure::{KeyPart, MovedTable, WipedRow, WipedTable};
use crate::store::error::ReadError;
use crate::store::reader::Reader;

/// The number of rows on one searched page.
const PAGE_ROWS: i64 = 2000;

/// Returns a key that sorts before every key.
fn lowest_key(kinds: &[KeyKind]) -> Vec<KeyPart> {
    let least = |kind: &KeyKind| match kind {
        KeyKind::Text => KeyPart::Text(String::new()),
        KeyKind::Number => KeyPart::Number(-1),
    };
    kinds.iter().map(least).collect()
}

/// Returns a pattern for texts that contain `needle`, also as text in JSON; empty for an empty `needle`.
fn pattern(needle: &str) -> String {
    let mut pattern = String::from("%");
    for c in needle.chars() {
        match c {
            // JSON may escape these.
            '"' | '\\' | '/' => pattern.push('%'),
            c if c.is_control() => pattern.push('%'),
            '%' | '_' | '!' => pattern.extend(['!', c]),
            c => pattern.push(c),
        }
    }
    pattern.push('%');
    pattern
}

impl Reader {
    /// Returns the number of an agent's rows in the next slice of a table; 0 if none is left.
    pub async fn rows_left_to_move(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        table: MovedTable,
    ) -> Result<u64, ReadError> {
        let values = Values::of(tenant).text(agent.as_str());
        let left = self.read_row(table.statements().0, values, |row| Cells::new("agents", row).number("total")).await?;
        Ok(left.unwrap_or_default())
    }

    /// Returns the rows after a key, or from the first one, in the order of the key; empty at the end. Texts are
    /// included only for rows that name the agent or may do so.
    pub async fn page_to_wipe(
        &self,
        tenant: &TenantId,
        table: WipedTable,
        after: Option<&[KeyPart]>,
        wiper: &TextEraser,
    ) -> Result<Vec<WipedRow>, ReadError> {
        let (statement, kinds) = (table.statements().0, table.key_kinds());
        let values = bind_key(Values::of(tenant), after.unwrap_or(&lowest_key(kinds)));
        let values = bind_wiper(values, wiper.agent().as_str(), wiper);
        self.read_rows(statement, values, |row| wiped_row(&Cells::new("erasures", row), kinds)).await
    }

    /// Returns the audit entries in the same way, by number, with the bodies of those that are about a subject or
    /// contain the id or name.
    pub async fn entries_to_wipe(
        &self,
        tenant: &TenantId,
        after: u64,
        subject: SubjectId,
        wiper: &TextEraser,
    ) -> Result<Vec<WipedRow>, ReadError> {
        let values = bind_wiper(Values::of(tenant).count(after), &subject.to_string(), wiper);
        self.read_rows(ENTRIES, values, |row| wiped_row(&Cells::new("audit_entries", row), &[KeyKind::Number])).await
    }

    /// Returns the notes after a hash, or from the first one, in the order of the hashes; empty at the end.
    pub async fn notes_after(&self, tenant: &TenantId, after: Option<Hash>) -> Result<Vec<(Hash, String)>, ReadError> {
        let after: &[u8] = after.as_ref().map_or(&[], |hash| &hash.0);
        self.read_rows(NOTES, Values::of(tenant).bytes(after).page(PAGE_LIMIT), |row| {
            let cells = Cells::new("notes", row);
            Ok((cells.hash("hash")?, cells.text("text")?.to_owned()))
        })
        .await
    }

    /// Returns the exceptions that name this agent and no other.
    pub async fn exceptions_naming_only(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
    ) -> Result<Vec<ExceptionId>, ReadError> {
        let values = Values::of(tenant).text(agent.as_str());
        let named_alone = |row: &AnyRow| {
            let cells = Cells::new("exception_agents", row);
            (cells.int("named")? == 1).then(|| cells.parsed("exception")).transpose()
        };
        Ok(self.read_rows(EXCEPTIONS_NAMING_AGENT, values, named_alone).await?.into_iter().flatten().collect())
    }
}

fn bind_wiper(values: Values, agent: &str, wiper: &TextEraser) -> Values {
    values
        .text(agent)
        .text(pattern(wiper.agent().as_str()))
        // Without a name to search for, only an empty text matches.
        .text(wiper.name().map(pattern).unwrap_or_default())
        .int(PAGE_ROWS)
}

fn wiped_row(cells: &Cells<'_>, kinds: &[KeyKind]) -> Result<WipedRow, ReadError> {
    let mut key = Vec::with_capacity(kinds.len());
    for (kind, column) in kinds.iter().zip(["k1", "k2", "k3"]) {
        key.push(match kind {
            KeyKind::Text => KeyPart::Text(cells.text(column)?.to_owned()),
            KeyKind::Number => KeyPart::Number(cells.int(column)?),
        });
    }
    let text = |column| Ok::<_, ReadError>(cells.text_or_null(column)?.map(str::to_owned));
    Ok(WipedRow {
        key,
        may_name_agent: cells.int("hit")? != 0,
        agent: cells.text_or_null("agent")?.map(AgentId::new),
        texts: [text("text1")?, text("text2")?, text("text3")?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_the_text_alone_however_json_writes_it() {
        for (needle, expected) in
            [("u_1", "%u!_1%"), ("50%", "%50!%%"), ("a\"b\\c/d", "%a%b%c%d%"), ("Zoë", "%Zoë%"), ("!", "%!!%")]
        {
            assert_eq!(pattern(needle), expected);
        }
    }
}
