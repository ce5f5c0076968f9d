//! One `#[test]` per case, so that the failures of a backend are named one by one. `docs/writing-a-backend.md` is the guide.

/// Expands to one test for each rule of [`TaskStore`](enki_core::store::TaskStore).
///
/// The argument is an expression of a [`StoreFixture`](crate::suite::store::StoreFixture), evaluated once per test.
#[macro_export]
macro_rules! task_store_conformance {
    ($fixture:expr) => {
        $crate::__cases! { store, StoreFixture, $fixture;
            append_then_load_gives_the_events_back
            events_keep_their_order_over_appends
            load_after_a_version_gives_only_what_is_newer
            an_unknown_log_is_empty
            logs_of_different_kinds_are_apart
            versions_come_in_the_order_of_the_batch
            an_append_at_a_stale_version_is_refused
            a_refused_batch_writes_nothing
            epochs_grow_with_each_lease
            a_held_lease_is_refused_with_its_holder
            an_expired_lease_is_taken_over_and_the_old_one_is_fenced
            two_openers_share_leases_and_logs
            a_renewed_lease_lasts_longer
            release_is_idempotent_and_takes_nothing_from_others
            a_released_lease_is_refused
            scopes_are_apart
            list_gives_the_newest_first
            list_keeps_its_limit
            list_filters_by_open_request_and_fingerprint
            a_summary_is_replaced_in_the_same_append
            find_takes_a_prefix_of_either_kind
            find_takes_a_full_internal_id
            find_refuses_what_is_no_prefix
            find_lists_everything_an_ambiguous_prefix_may_mean
            a_duplicate_short_id_is_refused
            a_duplicate_task_id_is_refused
            everything_survives_a_restart
            concurrent_appends_to_different_logs_all_land
            of_concurrent_appends_at_one_version_exactly_one_lands
            of_concurrent_holders_exactly_one_gets_the_lease
            large_events_come_back_whole
        }
    };
}

/// Expands to one test for each rule of [`AgentRunner`](enki_core::agent::AgentRunner).
///
/// The argument is an expression of a [`AgentFixture`](crate::suite::agent::AgentFixture), evaluated once per test.
#[macro_export]
macro_rules! agent_runner_conformance {
    ($fixture:expr) => {
        $crate::__cases! { agent, AgentFixture, $fixture;
            a_run_that_ends_well_gives_its_final_message
            text_comes_in_order_before_the_end
            a_failure_is_not_talked_away
            an_end_without_a_result_is_no_success
            stop_ends_an_agent
            an_agent_that_ignores_a_polite_stop_is_killed
            stop_is_idempotent
            a_run_over_its_time_limit_is_ended
            a_run_without_a_sign_of_life_is_ended
            signs_of_life_keep_a_run_from_being_stuck
            next_is_cancel_safe
            two_runs_side_by_side_do_not_mix
            two_agents_of_one_attempt_never_live_at_once
            the_end_is_told_when_the_whole_tree_is_gone
            the_final_message_is_capped
            output_without_end_ends_the_run
            the_environment_is_an_allow_list
            the_working_directory_is_the_workspace
            an_agent_that_cannot_start_is_an_error
            attach_finds_nothing_where_nothing_lives
            attach_gives_the_living_agent_or_leaves_nothing
        }
    };
}

/// Expands to one test for each rule of [`WorkspaceProvider`](enki_core::workspace::WorkspaceProvider).
///
/// The argument is an expression of a [`WorkspaceFixture`](crate::suite::workspace::WorkspaceFixture), evaluated once per test.
#[macro_export]
macro_rules! workspace_conformance {
    ($fixture:expr) => {
        $crate::__cases! { workspace, WorkspaceFixture, $fixture;
            a_fresh_workspace_has_the_files_of_its_base
            the_same_spec_again_gives_the_same_workspace
            workspaces_are_apart
            a_captured_change_is_a_kept_commit_on_its_base
            files_that_equal_the_base_are_no_change
            the_same_capture_again_gives_the_same_commit
            a_fix_goes_on_where_the_work_was_captured
            a_fix_that_changes_nothing_keeps_the_captured_work
            continuing_gives_the_captured_files_even_if_the_folder_was_left_dirty
            a_fresh_start_keeps_what_was_captured_before
            a_fresh_start_at_a_newer_base_has_its_files
            an_artifact_reaches_the_project_and_its_dependents
            an_artifact_that_is_missing_or_empty_is_none
            an_artifact_step_that_changed_source_is_found_out
            what_a_review_changed_is_found_out_and_dropped
            a_conflict_is_laid_out_with_markers
            a_conflict_with_markers_left_is_unresolved
            a_resolved_conflict_is_a_change_on_the_new_base
            a_resolution_that_goes_beyond_the_conflict_is_unresolved
            unmerged_work_is_not_removed
            merged_work_is_removed
            list_names_task_and_captured_commit
        }
    };
}

/// Expands to one test for each rule of [`Refinery`](enki_core::refinery::Refinery).
///
/// The argument is an expression of a [`RefineryFixture`](crate::suite::refinery::RefineryFixture), evaluated once per test.
#[macro_export]
macro_rules! refinery_conformance {
    ($fixture:expr) => {
        $crate::__cases! { refinery, RefineryFixture, $fixture;
            open_starts_the_branch_at_the_targets_head
            open_again_gives_the_first_base
            open_of_a_missing_target_is_an_error
            an_imported_change_is_kept
            a_step_becomes_one_commit_on_the_base
            building_is_deterministic
            a_change_merges_with_a_base_that_moved
            several_changes_become_one_candidate
            each_change_of_a_batch_has_its_own_commit
            a_predicted_conflict_is_one
            a_conflict_names_the_change_and_the_files
            what_is_there_already_is_empty
            building_nothing_gives_the_base_itself
            a_gate_passes_or_fails
            a_gate_sees_exactly_the_candidates_files
            a_gate_over_its_time_limit_has_timed_out
            a_gate_killed_from_outside_is_unknown
            publishing_twice_is_publishing_once
            a_target_that_moved_is_left_alone
            of_two_candidates_on_one_base_one_is_published
            inspect_tells_whether_the_candidate_is_on_the_target
            inspect_tells_whether_the_candidate_was_ever_there
            a_landing_that_can_be_a_fast_forward_is_the_same_commit
            a_landing_on_a_target_that_went_on_is_a_merge
            a_landing_that_clashes_names_the_files
            what_has_landed_already_is_an_empty_landing
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($suite:ident, $fixture_trait:ident, $fixture:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                use $crate::suite::$suite::{self, $fixture_trait as _};
                let fixture = $fixture;
                $crate::suite::put_to(stringify!($case), fixture.skips(), || fixture.run($suite::$case(&fixture)));
            }
        )*

        #[test]
        fn what_is_skipped_is_a_rule() {
            use $crate::suite::$suite::$fixture_trait as _;
            $crate::suite::assert_known(($fixture).skips(), &[$(stringify!($case)),*]);
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "no rule of this suite: [\"an_old_name\"]")]
    fn a_skip_of_what_is_no_rule_is_found_out() {
        crate::suite::assert_known(&[("a_rule", "why"), ("an_old_name", "why")], &["a_rule", "another"]);
    }

    /// A case that nobody lists would never run.
    #[test]
    fn every_case_of_a_suite_is_in_its_macro() {
        let macros = include_str!("macros.rs");
        let suites = [
            ("store", include_str!("suite/store.rs")),
            ("agent", include_str!("suite/agent.rs")),
            ("workspace", include_str!("suite/workspace.rs")),
            ("refinery", include_str!("suite/refinery.rs")),
        ];
        for (suite, source) in suites {
            let head = format!("__cases! {{ {suite},");
            let list = macros.split(&head).nth(1).and_then(|rest| rest.split('}').next()).expect("a macro per suite");
            let listed: Vec<&str> = list.split_whitespace().collect();
            let cases = source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split(['(', '<']).next());
            let missing: Vec<&str> = cases.filter(|case| !listed.contains(case)).collect();
            assert!(missing.is_empty(), "not listed for {suite}: {missing:?}");
        }
    }
}
