//! Multi-row statements: one text per count of rows, made once, and the values bound to it.
//!
//! A statement costs some 75 µs through sqlx whatever it holds, so a group of changes goes in as few of them as possible.
//! Counts of rows are taken from a short list, so that a table has few texts and each engine keeps them prepared.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{AnyConnection, Arguments, AssertSqlSafe};

use super::error::CommitError;

/// The most rows of one statement. With the widest table (22 columns) this stays under SQLite's 32,766 values and under
/// PostgreSQL's 65,535.
const MOST_ROWS: usize = 256;

/// Rounds of at most so many rows wait for others: beyond, the combinations of lengths would be too many to stay prepared, and
/// to prepare one anew would cost more than the round to the engine that it saves.
const MOST_ROWS_THAT_WAIT: usize = 4;

/// What waits is sent when its text has grown to this.
const LONGEST_WAITING_TEXT: usize = 8192;

/// A statement over rows of values: `head VALUES ($1, $2), ($3, $4) tail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ManyRows {
    /// Up to and including `VALUES`.
    pub(super) head: &'static str,
    /// Values per row.
    pub(super) width: usize,
    /// What follows the rows.
    pub(super) tail: &'static str,
}

impl ManyRows {
    /// The one table that it writes to; it reads from no other.
    fn table(&self) -> &'static str {
        let mut words = self.head.split_whitespace();
        match words.next() {
            Some("UPDATE") => words.next(),
            // INSERT INTO, DELETE FROM
            _ => words.nth(1),
        }
        .unwrap_or_default()
    }

    /// The text for `rows` rows.
    pub(super) fn text(&self, rows: usize, placeholders: Placeholders) -> String {
        let mut text = String::with_capacity(self.head.len() + self.tail.len() + rows * self.width * 6);
        text.push_str(self.head);
        for row in 0..rows {
            text.push_str(if row == 0 { " (" } else { ", (" });
            for column in 0..self.width {
                if column > 0 {
                    text.push_str(", ");
                }
                match placeholders {
                    Placeholders::Bare => text.push('?'),
                    Placeholders::Numbered => {
                        text.push('$');
                        text.push_str(&(row * self.width + column + 1).to_string());
                    }
                }
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }
}

/// How the values of many rows are written. The order is the same; but SQLite looks a numbered one up by name among all the
/// others each time it is bound, which for a hundred rows costs more than writing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholders {
    /// `?`
    Bare,
    /// `$1`
    Numbered,
}

/// The statements of a transaction: their texts, made once, and the small ones that wait to go out together. Each round to
/// the engine costs more than a row, and where values are bare several statements may share one.
#[derive(Debug)]
pub(super) struct Script {
    placeholders: Placeholders,
    /// By the whole statement: several may begin alike.
    made: HashMap<(ManyRows, usize), Arc<str>>,
    waiting: String,
    /// The tables that what waits writes to.
    waiting_tables: Vec<&'static str>,
    /// The beginning of the transaction is part of what waits.
    is_begun_late: bool,
    values: Values,
}

impl Script {
    pub(super) fn new(placeholders: Placeholders) -> Self {
        Self {
            placeholders,
            made: HashMap::new(),
            waiting: String::new(),
            waiting_tables: Vec::new(),
            is_begun_late: false,
            values: Values::default(),
        }
    }

    /// Begins a transaction together with its first statements: only these, [`run`] and [`run_returning`], may use the
    /// connection until then. See [`super::backend::Backend::begin_if_ours`].
    pub(super) fn begin_late(&mut self, begin: &'static str, epoch: i64) {
        self.waiting.push_str(begin);
        self.values.int(epoch);
        self.is_begun_late = true;
    }

    fn text(&mut self, statement: &ManyRows, rows: usize) -> Arc<str> {
        let text = || statement.text(rows, self.placeholders).into();
        Arc::clone(self.made.entry((*statement, rows)).or_insert_with(text))
    }

    /// Forgets what waits: the transaction that it was for has failed.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.waiting_tables.clear();
        self.is_begun_late = false;
        self.values = Values::default();
    }

    /// Sends what waits.
    async fn flush(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.waiting);
        self.waiting_tables.clear();
        self.is_begun_late = false;
        let arguments = std::mem::take(&mut self.values).into_arguments()?;
        sqlx::query_with(AssertSqlSafe(text), arguments).execute(connection).await.map(|_| ())
    }

    /// Sends what waits, and the end of the transaction.
    pub(super) async fn commit(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self.waiting.is_empty() {
            return sqlx::query("COMMIT").execute(connection).await.map(|_| ());
        }
        self.waiting.push_str("; COMMIT");
        self.flush(connection).await
    }

    /// Whether a round of so many rows may wait for others.
    fn may_wait(&self, rows: usize) -> bool {
        match self.placeholders {
            Placeholders::Bare => rows <= MOST_ROWS_THAT_WAIT && self.waiting.len() < LONGEST_WAITING_TEXT,
            Placeholders::Numbered => false,
        }
    }

    /// Adds a round to what waits.
    fn add<R>(&mut self, statement: &ManyRows, rows: &[R], bind: &impl Fn(&R, &mut Values)) {
        let text = self.text(statement, rows.len());
        if !self.waiting.is_empty() {
            self.waiting.push_str("; ");
        }
        self.waiting.push_str(&text);
        self.waiting_tables.push(statement.table());
        for row in rows {
            bind(row, &mut self.values);
        }
    }
}

/// Values bound to one statement.
#[derive(Default)]
pub(super) struct Values {
    arguments: AnyArguments,
    error: Option<sqlx::error::BoxDynError>,
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.arguments.len())
    }
}

impl Values {
    pub(super) fn with_room_for(values: usize) -> Self {
        let mut made = Self::default();
        made.arguments.reserve(values, 0);
        made
    }

    fn add<'t, T: sqlx::Encode<'t, sqlx::Any> + sqlx::Type<sqlx::Any>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert(error);
        }
        self
    }

    pub(super) fn text(&mut self, value: impl Into<String>) -> &mut Self {
        self.add::<String>(value.into())
    }

    pub(super) fn text_or_null(&mut self, value: Option<impl Into<String>>) -> &mut Self {
        self.add::<Option<String>>(value.map(Into::into))
    }

    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        self.add(value)
    }

    pub(super) fn int_or_null(&mut self, value: Option<i64>) -> &mut Self {
        self.add(value)
    }

    /// A count; one beyond what the store can hold is held to the greatest it can.
    pub(super) fn count(&mut self, value: u64) -> &mut Self {
        self.add(i64::try_from(value).unwrap_or(i64::MAX))
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.add(value)
    }

    /// The arguments, or the first value that could not be encoded.
    pub(super) fn into_arguments(self) -> Result<AnyArguments, sqlx::Error> {
        match self.error {
            None => Ok(self.arguments),
            Some(error) => Err(sqlx::Error::Encode(error)),
        }
    }
}

/// Runs a statement over all `rows`, in as few rounds as their count allows. The last rounds may wait for
/// [`Script::commit`]; the order of the statements on a table is kept.
pub(super) async fn run<R>(
    connection: &mut AnyConnection,
    script: &mut Script,
    statement: &ManyRows,
    rows: &[R],
    bind: impl Fn(&R, &mut Values),
) -> Result<(), CommitError> {
    for round in Rounds(rows) {
        if script.may_wait(round.len()) {
            script.add(statement, round, &bind);
        } else if script.is_begun_late && script.waiting_tables.is_empty() {
            // Only the beginning: with small rounds beside it the texts would be too many ([`MOST_ROWS_THAT_WAIT`]).
            script.add(statement, round, &bind);
            script.flush(connection).await.map_err(CommitError::from_engine)?;
        } else {
            if script.is_begun_late || script.waiting_tables.contains(&statement.table()) {
                script.flush(connection).await.map_err(CommitError::from_engine)?;
            }
            let arguments = bound(statement, round, &bind)?;
            let query = sqlx::query_with(AssertSqlSafe(script.text(statement, round.len())), arguments);
            query.execute(&mut *connection).await.map_err(CommitError::from_engine)?;
        }
    }
    Ok(())
}

/// Like [`run`], for a statement that ends in `RETURNING`.
pub(super) async fn run_returning<R>(
    connection: &mut AnyConnection,
    script: &mut Script,
    statement: &ManyRows,
    rows: &[R],
    bind: impl Fn(&R, &mut Values),
) -> Result<Vec<AnyRow>, CommitError> {
    let mut returned = Vec::new();
    if rows.is_empty() {
        return Ok(returned);
    }
    script.flush(connection).await.map_err(CommitError::from_engine)?;
    for round in Rounds(rows) {
        let arguments = bound(statement, round, &bind)?;
        let query = sqlx::query_with(AssertSqlSafe(script.text(statement, round.len())), arguments);
        returned.extend(query.fetch_all(&mut *connection).await.map_err(CommitError::from_engine)?);
    }
    Ok(returned)
}

fn bound<R>(statement: &ManyRows, rows: &[R], bind: impl Fn(&R, &mut Values)) -> Result<AnyArguments, CommitError> {
    let mut values = Values::with_room_for(rows.len() * statement.width);
    for row in rows {
        bind(row, &mut values);
    }
    values.into_arguments().map_err(CommitError::from_engine)
}

/// Cuts rows into slices whose lengths are few enough to stay prepared: up to 8 any, then in steps of an eighth to a quarter,
/// so that 100 rows are 96 and 4.
struct Rounds<'a, R>(&'a [R]);

impl<'a, R> Iterator for Rounds<'a, R> {
    type Item = &'a [R];

    fn next(&mut self) -> Option<&'a [R]> {
        let magnitude = self.0.len().checked_ilog2()?;
        let step = 1 << magnitude.saturating_sub(2);
        let (round, later) = self.0.split_at((self.0.len() / step * step).min(MOST_ROWS));
        self.0 = later;
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_count_of_rows_is_cut_into_few_rounds_of_few_lengths() {
        let mut lengths = std::collections::BTreeSet::new();
        for count in 0..2000 {
            let rows = vec![(); count];
            let rounds: Vec<usize> = Rounds(&rows).map(<[()]>::len).collect();
            assert_eq!(rounds.iter().sum::<usize>(), count);
            assert!(rounds.len() <= count / MOST_ROWS + 4, "{count}: {rounds:?}");
            assert!(rounds.iter().all(|length| *length <= MOST_ROWS));
            lengths.extend(rounds);
        }
        assert!(lengths.len() <= 28, "{lengths:?}");
    }

    #[test]
    fn a_statement_names_its_table() {
        for (head, table) in [
            ("INSERT INTO events (tenant) VALUES", "events"),
            ("UPDATE shifts SET version_to = 1 FROM (VALUES", "shifts"),
            ("DELETE FROM agents WHERE (tenant, id) IN (VALUES", "agents"),
        ] {
            assert_eq!(ManyRows { head, width: 1, tail: "" }.table(), table);
        }
    }

    #[test]
    fn statements_that_begin_alike_are_kept_apart() {
        let one = ManyRows { head: "UPDATE t SET a = 1 FROM (VALUES", width: 1, tail: ") AS v WHERE t.b = v.column1" };
        let other = ManyRows { tail: ") AS v WHERE t.c = v.column1", ..one };
        let mut script = Script::new(Placeholders::Bare);
        for statement in [&one, &other, &one] {
            assert_eq!(*script.text(statement, 1), statement.text(1, Placeholders::Bare));
        }
    }

    #[test]
    fn values_are_numbered_through_all_rows() {
        let statement = ManyRows { head: "INSERT INTO t (a, b) VALUES", width: 2, tail: "ON CONFLICT DO NOTHING" };
        for (placeholders, values) in
            [(Placeholders::Numbered, "($1, $2), ($3, $4)"), (Placeholders::Bare, "(?, ?), (?, ?)")]
        {
            let text = format!("INSERT INTO t (a, b) VALUES {values} ON CONFLICT DO NOTHING");
            assert_eq!(statement.text(2, placeholders), text);
        }
    }
}
