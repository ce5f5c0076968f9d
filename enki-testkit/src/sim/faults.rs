//! Which faults a history has, and how often.

use super::rng::Rng;

/// How often each fault comes, in a thousand chances of it. Drawn per history: each is absent in half of them, so that
/// histories differ in kind and not only in detail.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is named after its fault")]
pub struct Faults {
    pub duplicate_report: u64,
    pub crash_before_append: u64,
    pub crash_after_append: u64,
    pub crash_while_starting: u64,
    pub crash_any_time: u64,
    /// Of the crashes, those that take the last move of a branch with them.
    pub power_loss: u64,
    pub takeover: u64,
    pub lost_answer: u64,
    pub late_report_after_stop: u64,
    pub agent_failure: u64,
    pub agent_breaks_the_gate: u64,
    pub agent_touches_shared_files: u64,
    pub reviewer_unhappy: u64,
    pub gate_flake: u64,
    pub person_moves_target: u64,
    pub person_resets_target: u64,
    pub person_deletes_target: u64,
    pub person_breaks_target: u64,
    pub target_checked_out: u64,
    pub clock_jump: u64,
    pub commands: u64,
    pub slow_backend: u64,
}

impl Faults {
    /// The name of each.
    pub const NAMES: [&str; 22] = [
        "duplicate_report",
        "crash_before_append",
        "crash_after_append",
        "crash_while_starting",
        "crash_any_time",
        "power_loss",
        "takeover",
        "lost_answer",
        "late_report_after_stop",
        "agent_failure",
        "agent_breaks_the_gate",
        "agent_touches_shared_files",
        "reviewer_unhappy",
        "gate_flake",
        "person_moves_target",
        "person_resets_target",
        "person_deletes_target",
        "person_breaks_target",
        "target_checked_out",
        "clock_jump",
        "commands",
        "slow_backend",
    ];

    /// How often that one comes; `None` if there is none of that name.
    pub fn by_name(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "duplicate_report" => &mut self.duplicate_report,
            "crash_before_append" => &mut self.crash_before_append,
            "crash_after_append" => &mut self.crash_after_append,
            "crash_while_starting" => &mut self.crash_while_starting,
            "crash_any_time" => &mut self.crash_any_time,
            "power_loss" => &mut self.power_loss,
            "takeover" => &mut self.takeover,
            "lost_answer" => &mut self.lost_answer,
            "late_report_after_stop" => &mut self.late_report_after_stop,
            "agent_failure" => &mut self.agent_failure,
            "agent_breaks_the_gate" => &mut self.agent_breaks_the_gate,
            "agent_touches_shared_files" => &mut self.agent_touches_shared_files,
            "reviewer_unhappy" => &mut self.reviewer_unhappy,
            "gate_flake" => &mut self.gate_flake,
            "person_moves_target" => &mut self.person_moves_target,
            "person_resets_target" => &mut self.person_resets_target,
            "person_deletes_target" => &mut self.person_deletes_target,
            "person_breaks_target" => &mut self.person_breaks_target,
            "target_checked_out" => &mut self.target_checked_out,
            "clock_jump" => &mut self.clock_jump,
            "commands" => &mut self.commands,
            "slow_backend" => &mut self.slow_backend,
            _ => return None,
        })
    }

    /// The faults of one history.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let mut at_most = |most: u64| if rng.chance(500) { 1 + rng.below(most) } else { 0 };
        Self {
            duplicate_report: at_most(300),
            crash_before_append: at_most(30),
            crash_after_append: at_most(30),
            crash_while_starting: at_most(30),
            crash_any_time: at_most(300),
            power_loss: at_most(500),
            takeover: at_most(200),
            lost_answer: at_most(200),
            late_report_after_stop: at_most(1000),
            agent_failure: at_most(300),
            agent_breaks_the_gate: at_most(300),
            agent_touches_shared_files: at_most(500),
            reviewer_unhappy: at_most(500),
            gate_flake: at_most(300),
            person_moves_target: at_most(500),
            person_resets_target: at_most(100),
            person_deletes_target: at_most(50),
            person_breaks_target: at_most(50),
            target_checked_out: at_most(100),
            clock_jump: at_most(200),
            commands: at_most(700),
            slow_backend: at_most(200),
        }
    }

    /// None at all: how a history heals.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}
