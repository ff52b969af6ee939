//! Multi-row statements: one cached text for each number of rows, and the values bound to it.
//!
//! A statement costs some 75 µs through sqlx whatever it contains, so a group of changes is written in as few of them
//! as possible. Numbers of rows come from a short list, so that a table has few texts and the engine keeps them
//! prepared.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Row};

use super::error::CommitError;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The maximum number of rows on one page of a list.
pub const PAGE_LIMIT: u32 = 500;

/// The maximum number of rows in one statement. With the widest table (22 columns) this stays below SQLite's limit of
/// 32,766 values and PostgreSQL's of 65,535.
const MAX_ROWS: usize = 256;

/// The maximum number of rows in a deferred statement. With more, there would be too many combinations of lengths to
/// keep prepared, and preparing one costs more than the saved round trip.
const MAX_DEFERRED_ROWS: usize = 4;

/// Deferred statements are sent once their text has this length, in bytes.
const MAX_DEFERRED_TEXT_LEN: usize = 8192;

/// A statement over rows of values: `head VALUES ($1, $2), ($3, $4) tail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ManyRows {
    /// The text up to and including `VALUES`.
    pub(super) head: &'static str,
    /// The number of values per row.
    pub(super) width: usize,
    /// The text after the rows.
    pub(super) tail: &'static str,
}

impl ManyRows {
    /// Returns the one table that it writes to; it reads no other.
    fn table(&self) -> &'static str {
        let mut parts = self.head.split_whitespace();
        match parts.next() {
            Some("UPDATE") => parts.next(),
            // INSERT INTO, DELETE FROM
            _ => parts.nth(1),
        }
        .unwrap_or_default()
    }

    /// Returns the text for `rows` rows.
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

/// The style of placeholders. The order of values is the same, but SQLite looks up a numbered one by name among all
/// others each time it is bound, which for a hundred rows costs more than writing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholders {
    /// `?`
    Bare,
    /// `$1`
    Numbered,
}

/// The statements of a transaction: their cached texts, and the deferred ones, which are sent together. A round trip to
/// the engine costs more than a row, and with bare placeholders several statements can share one.
#[derive(Debug)]
pub(super) struct Script {
    placeholders: Placeholders,
    /// The texts by the whole statement, because several may begin alike.
    texts: HashMap<(ManyRows, usize), Arc<str>>,
    deferred: String,
    /// The tables that the deferred statements write to.
    deferred_tables: Vec<&'static str>,
    /// Whether the beginning of the transaction is deferred.
    has_deferred_begin: bool,
    values: Values,
}

impl Script {
    pub(super) fn new(placeholders: Placeholders) -> Self {
        Self {
            placeholders,
            texts: HashMap::new(),
            deferred: String::new(),
            deferred_tables: Vec::new(),
            has_deferred_begin: false,
            values: Values::default(),
        }
    }

    /// Begins a transaction together with its first statements. Until they are sent, only [`run`] and [`run_returning`]
    /// may use the connection. See [`super::backend::Backend::begin_if_epoch_matches`].
    pub(super) fn defer_begin(&mut self, begin: &'static str, epoch: i64) {
        self.deferred.push_str(begin);
        self.values = std::mem::take(&mut self.values).int(epoch);
        self.has_deferred_begin = true;
    }

    fn text(&mut self, statement: &ManyRows, rows: usize) -> Arc<str> {
        let text = || statement.text(rows, self.placeholders).into();
        Arc::clone(self.texts.entry((*statement, rows)).or_insert_with(text))
    }

    /// Drops the deferred statements of a failed transaction.
    pub(super) fn clear(&mut self) {
        self.deferred.clear();
        self.deferred_tables.clear();
        self.has_deferred_begin = false;
        self.values = Values::default();
    }

    /// Sends the deferred statements.
    async fn flush(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.deferred);
        self.deferred_tables.clear();
        self.has_deferred_begin = false;
        let arguments = std::mem::take(&mut self.values).into_arguments()?;
        sqlx::query_with(AssertSqlSafe(text), arguments).execute(connection).await.map(|_| ())
    }

    /// Sends the deferred statements and commits.
    pub(super) async fn commit(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self.deferred.is_empty() {
            return sqlx::query("COMMIT").execute(connection).await.map(|_| ());
        }
        self.deferred.push_str("; COMMIT");
        self.flush(connection).await
    }

    /// Returns whether a statement with this number of rows can be deferred.
    fn can_defer(&self, rows: usize) -> bool {
        match self.placeholders {
            Placeholders::Bare => rows <= MAX_DEFERRED_ROWS && self.deferred.len() < MAX_DEFERRED_TEXT_LEN,
            Placeholders::Numbered => false,
        }
    }

    /// Adds a deferred statement.
    fn append<R>(&mut self, statement: &ManyRows, rows: &[R], bind: &impl Fn(&R, Values) -> Values) {
        let text = self.text(statement, rows.len());
        if !self.deferred.is_empty() {
            self.deferred.push_str("; ");
        }
        self.deferred.push_str(&text);
        self.deferred_tables.push(statement.table());
        self.values = rows.iter().fold(std::mem::take(&mut self.values), |values, row| bind(row, values));
    }
}

/// The values bound to one statement.
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
    /// Returns the values of a statement about one tenant, which is its first value.
    pub(super) fn of(tenant: &TenantId) -> Self {
        Self::default().text(tenant.as_str())
    }

    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut result = Self::default();
        result.arguments.reserve(capacity, 0);
        result
    }

    fn add<'t, T: sqlx::Encode<'t, sqlx::Any> + sqlx::Type<sqlx::Any>>(mut self, value: T) -> Self {
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert(error);
        }
        self
    }

    pub(super) fn text(self, value: impl Into<String>) -> Self {
        self.add::<String>(value.into())
    }

    pub(super) fn text_or_null(self, value: Option<impl Into<String>>) -> Self {
        self.add::<Option<String>>(value.map(Into::into))
    }

    pub(super) fn int(self, value: i64) -> Self {
        self.add(value)
    }

    pub(super) fn int_or_null(self, value: Option<i64>) -> Self {
        self.add(value)
    }

    /// Adds a count; one above `i64::MAX` is stored as `i64::MAX`.
    pub(super) fn count(self, value: u64) -> Self {
        self.count_or_null(Some(value))
    }

    pub(super) fn count_or_null(self, value: Option<u64>) -> Self {
        self.add(value.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
    }

    pub(super) fn instant(self, value: UtcMicros) -> Self {
        self.add(value.as_micros())
    }

    pub(super) fn instant_or_null(self, value: Option<UtcMicros>) -> Self {
        self.add(value.map(UtcMicros::as_micros))
    }

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        self.add(value)
    }

    /// Adds the number of rows on a page, capped at [`PAGE_LIMIT`].
    pub(super) fn page(self, limit: u32) -> Self {
        self.int(limit.min(PAGE_LIMIT).into())
    }

    /// Adds an id before which a page begins; without one, a text that sorts after every id.
    pub(super) fn before(self, id: Option<impl ToString>) -> Self {
        self.text(id.map_or_else(|| "~".to_owned(), |id| id.to_string()))
    }

    /// Returns the arguments, or the error of the first value that could not be encoded.
    pub(super) fn into_arguments(self) -> Result<AnyArguments, sqlx::Error> {
        match self.error {
            None => Ok(self.arguments),
            Some(error) => Err(sqlx::Error::Encode(error)),
        }
    }
}

/// The writer's open transaction.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a mut AnyConnection,
    pub(super) script: &'a mut Script,
}

/// Runs a statement over all `rows`, in as few round trips as possible. The last ones may be deferred until
/// [`Script::commit`]; the order of statements on a table is kept.
pub(super) async fn run<R>(
    transaction: &mut Transaction<'_>,
    statement: &ManyRows,
    rows: &[R],
    bind: impl Fn(&R, Values) -> Values,
) -> Result<(), CommitError> {
    let Transaction { connection, script } = transaction;
    for round in RowChunks(rows) {
        if script.can_defer(round.len()) {
            script.append(statement, round, &bind);
        } else if script.has_deferred_begin && script.deferred_tables.is_empty() {
            // Only the beginning: combined with further statements there would be too many texts
            // ([`MAX_DEFERRED_ROWS`]).
            script.append(statement, round, &bind);
            script.flush(connection).await.map_err(CommitError::from_engine)?;
        } else {
            if script.has_deferred_begin || script.deferred_tables.contains(&statement.table()) {
                script.flush(connection).await.map_err(CommitError::from_engine)?;
            }
            let arguments = bind_rows(statement, round, &bind)?;
            let query = sqlx::query_with(AssertSqlSafe(script.text(statement, round.len())), arguments);
            query.execute(&mut **connection).await.map_err(CommitError::from_engine)?;
        }
    }
    Ok(())
}

/// Runs a statement like [`run`] and returns the rows of its `RETURNING` clause.
pub(super) async fn run_returning<R>(
    transaction: &mut Transaction<'_>,
    statement: &ManyRows,
    rows: &[R],
    bind: impl Fn(&R, Values) -> Values,
) -> Result<Vec<AnyRow>, CommitError> {
    let mut returned = Vec::new();
    if rows.is_empty() {
        return Ok(returned);
    }
    let Transaction { connection, script } = transaction;
    script.flush(connection).await.map_err(CommitError::from_engine)?;
    for round in RowChunks(rows) {
        let arguments = bind_rows(statement, round, &bind)?;
        let query = sqlx::query_with(AssertSqlSafe(script.text(statement, round.len())), arguments);
        returned.extend(query.fetch_all(&mut **connection).await.map_err(CommitError::from_engine)?);
    }
    Ok(returned)
}

fn bind_rows<R>(
    statement: &ManyRows,
    rows: &[R],
    bind: impl Fn(&R, Values) -> Values,
) -> Result<AnyArguments, CommitError> {
    let values = Values::with_capacity(rows.len() * statement.width);
    rows.iter().fold(values, |values, row| bind(row, values)).into_arguments().map_err(CommitError::from_engine)
}

/// Runs a statement and returns the number of rows that it changed.
pub(super) async fn execute(
    connection: &mut AnyConnection,
    statement: &'static str,
    values: Values,
) -> Result<u64, CommitError> {
    let arguments = values.into_arguments().map_err(CommitError::from_engine)?;
    let done = sqlx::query_with(statement, arguments).execute(connection).await;
    done.map(|done| done.rows_affected()).map_err(CommitError::from_engine)
}

/// Returns the first row of a query, if it has one.
pub(super) async fn fetch_optional(
    connection: &mut AnyConnection,
    statement: &'static str,
    values: Values,
) -> Result<Option<AnyRow>, CommitError> {
    let arguments = values.into_arguments().map_err(CommitError::from_engine)?;
    sqlx::query_with(statement, arguments).fetch_optional(connection).await.map_err(CommitError::from_engine)
}

/// Returns the integer in the first row of a query, or 0 if it has no row.
pub(super) async fn fetch_integer(
    connection: &mut AnyConnection,
    statement: &'static str,
    values: Values,
) -> Result<i64, CommitError> {
    let row = fetch_optional(connection, statement, values).await?;
    row.map_or(Ok(0), |row| row.try_get(0)).map_err(CommitError::from_engine)
}

/// Returns the last item of each key, in the order in which the keys first occur, because a statement may change a row
/// only once.
pub(super) fn last_of_each<'a, T, K: Hash + Eq>(
    items: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
) -> Vec<&'a T> {
    let mut indexes = HashMap::new();
    let mut last: Vec<&T> = Vec::new();
    for item in items {
        match indexes.entry(key(item)) {
            Entry::Occupied(place) => last[*place.get()] = item,
            Entry::Vacant(place) => {
                place.insert(last.len());
                last.push(item);
            }
        }
    }
    last
}

/// Splits rows into slices of few different lengths, so that their statements stay prepared: any length up to 8, then
/// in steps of an eighth to a quarter, so that 100 rows are 96 and 4.
struct RowChunks<'a, R>(&'a [R]);

impl<'a, R> Iterator for RowChunks<'a, R> {
    type Item = &'a [R];

    fn next(&mut self) -> Option<&'a [R]> {
        let magnitude = self.0.len().checked_ilog2()?;
        let step = 1 << magnitude.saturating_sub(2);
        let (round, later) = self.0.split_at((self.0.len() / step * step).min(MAX_ROWS));
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
            let rounds: Vec<usize> = RowChunks(&rows).map(<[()]>::len).collect();
            assert_eq!(rounds.iter().sum::<usize>(), count);
            assert!(rounds.len() <= count / MAX_ROWS + 4, "{count}: {rounds:?}");
            assert!(rounds.iter().all(|length| *length <= MAX_ROWS));
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
