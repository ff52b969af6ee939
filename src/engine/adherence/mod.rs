//! Adherence: the days of agents, computed once they have ended.

pub mod adherence_days;
