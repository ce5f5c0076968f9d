//! The examples run, and end as they say.

#[path = "../examples/custom_agent.rs"]
mod custom_agent;
#[path = "../examples/machine_only.rs"]
mod machine_only;
#[path = "../examples/review_loop.rs"]
mod review_loop;

#[test]
fn machine_only_needs_no_runtime() {
    machine_only::main().unwrap();
}

#[test]
fn custom_agent_drives_a_plan_to_its_end() {
    custom_agent::main().unwrap();
}

#[test]
fn review_loop_passes_after_two_fixes() {
    review_loop::main().unwrap();
}
