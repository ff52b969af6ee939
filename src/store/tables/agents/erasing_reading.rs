//! What there is of an agent who is erased: rows that are left to move, pages to look through, notes.

use super::erasing::{ENTRIES, Kind, NAMING, NOTES, bind_key};
use crate::domain::agents::erasure::Wiper;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, ExceptionId, SubjectId, TenantId};
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::erasing::{KeyPart, Moved, Wiped, WipedRow};
use crate::store::error::ReadError;
use crate::store::reader::Reader;

/// Rows of one page that is looked through.
const PAGE: i64 = 2000;

/// Before every key.
fn beginning(kinds: &[Kind]) -> Vec<KeyPart> {
    let least = |kind: &Kind| match kind {
        Kind::Text => KeyPart::Text(String::new()),
        Kind::Number => KeyPart::Number(-1),
    };
    kinds.iter().map(least).collect()
}

/// A pattern for every text that has this in it, also as a text in JSON; nothing for nothing.
fn pattern(needle: &str) -> String {
    let mut pattern = String::from("%");
    for c in needle.chars() {
        match c {
            // JSON may write these in another way.
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
    /// How many rows the next slice of an agent's rows of a table has; 0 when none is left.
    pub async fn left_to_move(&self, tenant: &TenantId, agent: &AgentId, table: Moved) -> Result<u64, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(agent.as_str());
        match self.optional(table.statements().0, values).await? {
            None => Ok(0),
            Some(row) => Cells::of("agents", &row).number("total"),
        }
    }

    /// The rows after a key (from the first, where there is none) in the key's order; empty at the end. What names the agent, or may,
    /// comes with its texts.
    pub async fn page_to_wipe(
        &self,
        tenant: &TenantId,
        table: Wiped,
        after: Option<&[KeyPart]>,
        wiper: &Wiper,
    ) -> Result<Vec<WipedRow>, ReadError> {
        let (statement, kinds) = (table.statements().0, table.key());
        let mut values = Values::default();
        values.text(tenant.as_str());
        bind_key(&mut values, after.unwrap_or(&beginning(kinds)));
        bind_wiper(&mut values, wiper.agent().as_str(), wiper);
        let mut rows = Vec::new();
        self.each(statement, values, |row| {
            rows.push(wiped_row(&Cells::of("erasures", row), kinds)?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The same of the audit chain: its entries by number, with the bodies of those that are about a subject or have id or name in them.
    pub async fn entries_to_wipe(
        &self,
        tenant: &TenantId,
        after: u64,
        subject: SubjectId,
        wiper: &Wiper,
    ) -> Result<Vec<WipedRow>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).count(after);
        bind_wiper(&mut values, &subject.to_string(), wiper);
        let mut rows = Vec::new();
        self.each(ENTRIES, values, |row| {
            rows.push(wiped_row(&Cells::of("audit_entries", row), &[Kind::Number])?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The notes after a hash (from the first, where there is none), in the order of the hashes; empty at the end.
    pub async fn notes_after(&self, tenant: &TenantId, after: Option<Hash>) -> Result<Vec<(Hash, String)>, ReadError> {
        let mut values = Values::default();
        let after: &[u8] = after.as_ref().map_or(&[], |hash| &hash.0);
        values.text(tenant.as_str()).bytes(after).int(crate::store::page(u32::MAX));
        let rows = self.all(NOTES, values).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("notes", row);
                Ok((cells.hash("hash")?, cells.text("text")?.to_owned()))
            })
            .collect()
    }

    /// The exceptions that name an agent and nobody else.
    pub async fn exceptions_of_agent_alone(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
    ) -> Result<Vec<ExceptionId>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(agent.as_str());
        let mut alone = Vec::new();
        for row in &self.all(NAMING, values).await? {
            let cells = Cells::of("exception_agents", row);
            if cells.int("named")? == 1 {
                alone.push(cells.parsed("exception")?);
            }
        }
        Ok(alone)
    }
}

fn bind_wiper(values: &mut Values, agent: &str, wiper: &Wiper) {
    values.text(agent).text(pattern(wiper.agent().as_str()));
    // Where no name is looked for, only what is empty fits.
    values.text(wiper.name().map(pattern).unwrap_or_default()).int(PAGE);
}

fn wiped_row(cells: &Cells<'_>, kinds: &[Kind]) -> Result<WipedRow, ReadError> {
    let mut key = Vec::with_capacity(kinds.len());
    for (kind, column) in kinds.iter().zip(["k1", "k2", "k3"]) {
        key.push(match kind {
            Kind::Text => KeyPart::Text(cells.text(column)?.to_owned()),
            Kind::Number => KeyPart::Number(cells.int(column)?),
        });
    }
    let text = |column| Ok::<_, ReadError>(cells.text_or_null(column)?.map(str::to_owned));
    Ok(WipedRow {
        key,
        hit: cells.int("hit")? != 0,
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
