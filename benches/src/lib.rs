//! What the benchmarks measure, and what they measure it against. A figure is a ratio of two of these in one run.

pub mod baseline;
pub mod decoding;
pub mod durable;
pub mod landing;
pub mod life;
pub mod merges;
pub mod notes;
pub mod overlays;
pub mod plans;
pub mod repository;
pub mod verdicts;
pub mod workspaces;
