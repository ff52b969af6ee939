//! Rows of a result, their canonical text, and the hash over them.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// The values of one bucket for one combination of dimensions.
#[derive(Clone, PartialEq, Debug)]
pub struct ResultRow {
    /// The start of the bucket.
    pub at: UtcMicros,
    /// The value of each dimension, in the query's order; `None` where the platform has none.
    pub dimensions: Vec<Option<Arc<str>>>,
    /// The value of each metric, finite and in the query's order; `None` where the platform has none.
    pub metrics: Vec<Option<f64>>,
}

/// One page of a result.
#[derive(Clone, PartialEq, Debug)]
pub struct ResultPage {
    /// The position of the first row in the whole result, as given by the platform or else as requested.
    pub offset: u64,
    /// The number of rows in the whole result, if the platform gives it.
    pub promised: Option<u64>,
    /// The rows.
    pub rows: Vec<ResultRow>,
}

impl ResultRow {
    /// Compares rows by time and then by dimensions. No two rows of a result are equal.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at).then_with(|| self.dimensions.cmp(&other.dimensions))
    }

    /// Returns the row as canonical JSON (RFC 8785): `{"at":…,"dimensions":[…],"metrics":[…]}`.
    pub fn to_canonical(&self) -> String {
        let dimensions: Vec<Option<&str>> = self.dimensions.iter().map(Option::as_deref).collect();
        canonical_json(&json!({ "at": self.at, "dimensions": dimensions, "metrics": self.metrics }))
    }

    /// Reads a row from a text that [`Self::to_canonical`] returned, with exact numbers; `None` for any other text.
    pub fn from_canonical(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct CanonicalRow<'t> {
            at: UtcMicros,
            dimensions: Vec<Option<Arc<str>>>,
            // `serde_json` itself may get a number's last digit wrong.
            #[serde(borrow)]
            metrics: Vec<Option<&'t RawValue>>,
        }
        let CanonicalRow { at, dimensions, metrics } = serde_json::from_str(text).ok()?;
        let number = |raw: &RawValue| raw.get().parse::<f64>().ok().filter(|number| number.is_finite());
        let metrics = metrics.into_iter().map(|raw| raw.map_or(Some(None), |raw| number(raw).map(Some)));
        Some(Self { at, dimensions, metrics: metrics.collect::<Option<_>>()? })
    }
}

/// Returns the canonical SHA-256 of a result: the hash of `{"query":…,"rows":[…]}` as RFC 8785 JSON, from the [request]
/// and the canonical texts of its rows in order.
///
/// [request]: super::AggregationQuery::canonical_request
pub fn result_digest(canonical_request: &str, rows: impl IntoIterator<Item = impl AsRef<str>>) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"{\"query\":");
    hash.update(canonical_request);
    hash.update(b",\"rows\":[");
    for (index, row) in rows.into_iter().enumerate() {
        if index > 0 {
            hash.update(b",");
        }
        hash.update(row.as_ref());
    }
    hash.update(b"]}");
    Hash(hash.finalize().into())
}

/// Returns RFC 8785 text. Every `Value` has one; the value's own text is a fallback that the types require.
pub(super) fn canonical_json(value: &Value) -> String {
    serde_jcs::to_string(value).unwrap_or_else(|_| value.to_string())
}
