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
        let suites = [("store", include_str!("suite/store.rs"))];
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
