//! Child processes under control, and any command as an agent of Enki.
//!
//! [`Spawn`] describes a child process: program, input, environment, limits, log. [`Spawn::start`] gives a [`Child`],
//! whose events end with [`ChildEvent::Ended`] once its whole process tree is dead and reaped. [`CommandAgent`] makes any
//! executable an agent by it.
//!
//! Unix only. The full guarantee (every descendant is found and killed, whatever session it moved to) needs Linux and a
//! `/proc`; elsewhere only the process group is killed, and silence is told from output alone.

mod child;
mod cleaner;
mod clock;
mod command_agent;
mod command_config;
mod descent;
mod ended;
mod env;
mod feed;
mod files;
mod hunt;
mod keeper;
mod limits;
mod live;
mod log;
mod marker;
mod pool;
mod procfs;
mod sandbox;
mod sieve;
mod spawn;
#[cfg(target_os = "linux")]
pub mod supervise;
mod text;

pub use child::Child;
pub use command_agent::CommandAgent;
pub use command_config::CommandAgentConfig;
pub use descent::{Descent, descent};
pub use ended::{Cause, Containment, Ended, Status};
pub use env::{ALLOWED, BaseEnv, is_reserved};
pub use feed::{ChildEvent, Feed, Stream};
pub use hunt::{Hunted, kill_marked, marked, reap_orphans};
pub use limits::ChildLimits;
pub use log::LogLimits;
pub use marker::{InvalidMarker, Marker, PROJECT_MARKER, RUN_MARKER};
pub use sandbox::{Confinement, Held, Network, Places, Probe, Sandbox, SandboxLevel, reach_of};
pub use spawn::{Polite, Spawn, SpawnError, SpawnFailure};
pub use text::clean_line;
