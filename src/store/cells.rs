//! Reads values from rows; an invalid value is reported with table, column and the row's key.

use std::str::FromStr;
use std::sync::Arc;

use sqlx::any::AnyRow;
use sqlx::{Row, ValueRef};

use super::error::{Cause, ReadError};
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// One row of a query and its table's name. Keys (tenant first) must be selected before personal data, because messages
/// name a row by its first two columns.
pub(super) struct Cells<'r> {
    table: &'static str,
    row: &'r AnyRow,
}

/// The error of a stored value that is not known.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not known")]
struct UnknownValue(String);

#[derive(Debug, thiserror::Error)]
#[error("{0} is out of range")]
struct OutOfRange(i64);

impl<'r> Cells<'r> {
    pub(super) fn new(table: &'static str, row: &'r AnyRow) -> Self {
        Self { table, row }
    }

    fn key(&self) -> String {
        let part = |index: usize| match self.row.try_get_raw(index) {
            Ok(value) if value.is_null() => "NULL".to_owned(),
            Ok(_) => self
                .row
                .try_get::<String, _>(index)
                .or_else(|_| self.row.try_get::<i64, _>(index).map(|number| number.to_string()))
                .unwrap_or_else(|_| "?".to_owned()),
            Err(_) => "?".to_owned(),
        };
        format!("({}, {})", part(0), part(1))
    }

    pub(super) fn decode_error(&self, column: &'static str, cause: Cause) -> ReadError {
        ReadError::Decode { table: self.table, column, row: self.key(), cause }
    }

    fn get<T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>>(
        &self,
        column: &'static str,
    ) -> Result<T, ReadError> {
        self.row.try_get(column).map_err(|error| self.decode_error(column, Arc::new(error)))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<&'r str, ReadError> {
        self.get(column)
    }

    pub(super) fn text_or_null(&self, column: &'static str) -> Result<Option<&'r str>, ReadError> {
        self.get(column)
    }

    pub(super) fn int(&self, column: &'static str) -> Result<i64, ReadError> {
        self.get(column)
    }

    pub(super) fn int_or_null(&self, column: &'static str) -> Result<Option<i64>, ReadError> {
        self.get(column)
    }

    /// Reads an integer of a narrower or unsigned type.
    pub(super) fn number<N: TryFrom<i64>>(&self, column: &'static str) -> Result<N, ReadError> {
        let wide = self.int(column)?;
        N::try_from(wide).map_err(|_| self.decode_error(column, Arc::new(OutOfRange(wide))))
    }

    /// Reads a count by its index in the row, for many columns of one kind.
    pub(super) fn number_at(&self, index: usize) -> Result<u64, ReadError> {
        self.number_or_null_at(index).map(Option::unwrap_or_default)
    }

    pub(super) fn number_or_null_at(&self, index: usize) -> Result<Option<u64>, ReadError> {
        let wide: Option<i64> =
            self.row.try_get(index).map_err(|error| self.decode_error("one of its counts", Arc::new(error)))?;
        let narrow =
            |wide| u64::try_from(wide).map_err(|_| self.decode_error("one of its counts", Arc::new(OutOfRange(wide))));
        wide.map(narrow).transpose()
    }

    pub(super) fn number_or_null<N: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<N>, ReadError> {
        let Some(wide) = self.int_or_null(column)? else { return Ok(None) };
        N::try_from(wide).map(Some).map_err(|_| self.decode_error(column, Arc::new(OutOfRange(wide))))
    }

    pub(super) fn instant(&self, column: &'static str) -> Result<UtcMicros, ReadError> {
        self.int(column).map(UtcMicros::from_micros)
    }

    pub(super) fn instant_or_null(&self, column: &'static str) -> Result<Option<UtcMicros>, ReadError> {
        Ok(self.int_or_null(column)?.map(UtcMicros::from_micros))
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<&'r [u8], ReadError> {
        self.get(column)
    }

    pub(super) fn hash(&self, column: &'static str) -> Result<Hash, ReadError> {
        let bytes = self.bytes(column)?;
        Hash::from_slice(bytes).ok_or_else(|| {
            self.decode_error(column, Arc::new(UnknownValue(format!("a hash of {} bytes", bytes.len()))))
        })
    }

    /// Reads a text and parses it, for example as an id.
    pub(super) fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<T, ReadError> {
        self.text(column)?.parse().map_err(|error| self.decode_error(column, Arc::new(error)))
    }

    pub(super) fn parsed_or_null<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, ReadError> {
        let Some(text) = self.text_or_null(column)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| self.decode_error(column, Arc::new(error)))
    }

    /// Reads a value of a fixed list.
    pub(super) fn known_value<T>(
        &self,
        column: &'static str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ReadError> {
        let text = self.text(column)?;
        known(text).ok_or_else(|| self.decode_error(column, Arc::new(UnknownValue(text.to_owned()))))
    }

    pub(super) fn known_value_or_null<T>(
        &self,
        column: &'static str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        match self.text_or_null(column)? {
            None => Ok(None),
            Some(_) => self.known_value(column, known).map(Some),
        }
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T, ReadError> {
        serde_json::from_str(self.text(column)?).map_err(|error| self.decode_error(column, Arc::new(error)))
    }
}
