//! Rows of a result, their canonical text, and the hash over them.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// What one bucket brought for one combination of dimensions.
#[derive(Clone, PartialEq, Debug)]
pub struct ResultRow {
    /// Where its bucket begins.
    pub at: UtcMicros,
    /// The value of each dimension, in the query's order; none where the platform has none.
    pub dimensions: Vec<Option<Arc<str>>>,
    /// The value of each metric, in the query's order and finite; none where the platform has none.
    pub metrics: Vec<Option<f64>>,
}

/// Some rows of a result, as the platform pages it.
#[derive(Clone, PartialEq, Debug)]
pub struct ResultPage {
    /// The place of the first row in the whole result, as the platform says it, or else as it was asked for.
    pub offset: u64,
    /// How many rows the whole result has, where the platform says it.
    pub promised: Option<u64>,
    /// The rows.
    pub rows: Vec<ResultRow>,
}

impl ResultRow {
    /// The order of rows in a result: by time, then by dimensions. Two rows of a result are never equal in it.
    pub fn order(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at).then_with(|| self.dimensions.cmp(&other.dimensions))
    }

    /// The row as canonical JSON (RFC 8785): `{"at":…,"dimensions":[…],"metrics":[…]}`.
    pub fn canonical(&self) -> String {
        let dimensions: Vec<Option<&str>> = self.dimensions.iter().map(Option::as_deref).collect();
        jcs(&json!({ "at": self.at, "dimensions": dimensions, "metrics": self.metrics }))
    }

    /// Reads what [`Self::canonical`] wrote, each number to its last digit. None where the text is something else.
    pub fn from_canonical(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written<'t> {
            at: UtcMicros,
            dimensions: Vec<Option<Arc<str>>>,
            // `serde_json` itself may miss a number's last digit.
            #[serde(borrow)]
            metrics: Vec<Option<&'t RawValue>>,
        }
        let Written { at, dimensions, metrics } = serde_json::from_str(text).ok()?;
        let number = |raw: &RawValue| raw.get().parse::<f64>().ok().filter(|number| number.is_finite());
        let metrics = metrics.into_iter().map(|raw| raw.map_or(Some(None), |raw| number(raw).map(Some)));
        Some(Self { at, dimensions, metrics: metrics.collect::<Option<_>>()? })
    }
}

/// The canonical SHA-256 of a result: over `{"query":…,"rows":[…]}` as RFC 8785 JSON, from the [question] and the canonical texts
/// of its rows in their order.
///
/// [question]: super::AggregationQuery::question
pub fn digest_of(question: &str, rows: impl IntoIterator<Item = impl AsRef<str>>) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"{\"query\":");
    hash.update(question);
    hash.update(b",\"rows\":[");
    for (place, row) in rows.into_iter().enumerate() {
        if place > 0 {
            hash.update(b",");
        }
        hash.update(row.as_ref());
    }
    hash.update(b"]}");
    Hash(hash.finalize().into())
}

/// RFC 8785 text. A value has no number that JSON cannot write, so that there is always one; its own text stands for the type.
pub(super) fn jcs(value: &Value) -> String {
    serde_jcs::to_string(value).unwrap_or_else(|_| value.to_string())
}
