//! One `#[test]` per case, so that the failures of a backend are named one by one.

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

#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($suite:ident, $fixture_trait:ident, $fixture:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                let fixture = $fixture;
                $crate::suite::$suite::$fixture_trait::run(&fixture, $crate::suite::$suite::$case(&fixture));
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    /// A case that nobody lists would never run.
    #[test]
    fn every_case_of_a_suite_is_in_its_macro() {
        let macros = include_str!("macros.rs");
        let suites = [("store", include_str!("suite/store.rs")), ("agent", include_str!("suite/agent.rs"))];
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
