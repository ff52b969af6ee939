//! Figures that can be recomputed, and the writers that hand them out. Reads the store, decides nothing, writes no store.

pub mod compliance;
pub mod sheet;
pub mod trend;
