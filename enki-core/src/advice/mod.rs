//! Help with plans: what kind of work one is, what in it is likely to go wrong, what can run side by side, recipes that
//! shape it, and who should do a step. Pure functions of a plan; none of them refuses anything.
//!
//! ```
//! use enki_core::advice::{Waves, classify_plan, lint::lint};
//! use enki_core::plan::{Plan, PlanLimits};
//! use enki_core::spec::PlanSpec;
//!
//! let spec: PlanSpec = serde_json::from_value(serde_json::json!({"steps": [
//!     {"id": "types", "title": "Add profile types", "done_when": "cargo check passes",
//!      "description": "Create src/profile.rs with Profile and ProfileUpdate."},
//!     {"id": "routes", "title": "Add profile routes", "done_when": "cargo test routes passes",
//!      "description": "Add GET and PUT /profile in src/routes.rs using ProfileUpdate."},
//! ]})).unwrap();
//! assert_eq!(classify_plan(&spec).class.as_str(), "feature");
//!
//! // The second step uses what the first one makes, but does not wait for it: both would start at once.
//! let warnings = lint(&spec, &Default::default());
//! assert_eq!(warnings.iter().map(|w| (w.step, w.rule.as_str())).collect::<Vec<_>>(), [(1, "types-before-use")]);
//! let plan = Plan::build(&spec, &PlanLimits::default(), &Default::default()).unwrap();
//! assert_eq!(Waves::of(&plan).width(), 2);
//! ```

pub mod approval;
pub mod assign;
mod classify;
pub mod lint;
pub mod recipe;
mod waves;
mod words;

pub use classify::{Class, Classification, Parallelism, classify, classify_plan};
pub use waves::{Edge, Waves, layers};
