//! The whole table of bad inputs: 94 rows, each shown at the binary, or held by tests that are named and looked for.
//!
//! What is shown here runs the real program, real git and the real store, one call after the other, and its code and first
//! words are a snapshot. What needs more than a call (agents, hostile trees, a full disk, another process) stands where it
//! is at home; its row names the tests, and a name that is in no source fails this one.

mod here;

use here::Bench;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One row of the table.
struct Row {
    number: u32,
    area: &'static str,
    input: &'static str,
    /// Shows it at the binary.
    here: Option<fn(&mut Bench)>,
    /// Tests that hold it, as `file: name name ...`.
    by: &'static [&'static str],
}

const fn here(number: u32, area: &'static str, input: &'static str, show: fn(&mut Bench)) -> Row {
    Row { number, area, input, here: Some(show), by: &[] }
}

const fn by(number: u32, area: &'static str, input: &'static str, by: &'static [&'static str]) -> Row {
    Row { number, area, input, here: None, by }
}

impl Row {
    const fn and(mut self, by: &'static [&'static str]) -> Self {
        self.by = by;
        self
    }
}

#[test]
fn every_row_is_shown_here_or_held_by_a_test_that_there_is() {
    let shown = shown();
    let (mut table, mut wrong) = (String::new(), Vec::new());
    for row in ROWS {
        let _ = writeln!(table, "{:>2} {:<6} {}", row.number, row.area, row.input);
        if let Some((seen, not_so)) = shown.get(&row.number) {
            table.push_str(seen);
            wrong.extend_from_slice(not_so);
        }
        for tests in row.by {
            let (file, names) = tests.split_once(": ").expect("a file, then names");
            for name in names.split_whitespace() {
                assert_test(row.number, file, name);
                let _ = writeln!(table, "   held by {file} {name}");
            }
        }
    }
    let tests: usize = ROWS.iter().flat_map(|row| row.by).map(|tests| tests.split_whitespace().count() - 1).sum();
    println!("{table}\n{} rows: {} shown at the binary, {tests} tests that hold them", ROWS.len(), shown.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    insta::assert_snapshot!(table);
}

/// What the rows show that are shown here: four at a time, since some of them wait for something.
fn shown() -> BTreeMap<u32, (String, Vec<String>)> {
    let (next, shown) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = ROWS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(show) = row.here else { continue };
                    let mut bench = Bench::new(row.number);
                    show(&mut bench);
                    shown.lock().unwrap().insert(row.number, bench.seen());
                }
            });
        }
    });
    shown.into_inner().unwrap()
}

#[test]
fn the_table_has_each_row_once_and_in_order() {
    assert_eq!(ROWS.iter().map(|row| row.number).collect::<Vec<_>>(), (1..=94).collect::<Vec<_>>());
    for row in ROWS {
        assert!(row.here.is_some() || !row.by.is_empty(), "row {} is held by nothing", row.number);
    }
    let areas: BTreeSet<_> = ROWS.iter().map(|row| row.area).collect();
    assert_eq!(
        areas.into_iter().collect::<Vec<_>>(),
        ["CLI", "MCP", "agent", "config", "env", "git", "lib", "plan", "store"]
    );
}

/// A name is that of a test, not of a helper, and what is ignored holds nothing.
fn assert_test(row: u32, file: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("row {row}: {file}: {e}"));
    assert!(is_test(&text, name), "row {row}: {file} has no test {name}");
}

fn is_test(text: &str, name: &str) -> bool {
    let mut attributes = Vec::new();
    for line in text.lines().map(str::trim) {
        let head = line.strip_prefix("pub ").unwrap_or(line);
        let function = head.strip_prefix("async ").unwrap_or(head).strip_prefix("fn ");
        match function.and_then(|rest| rest.strip_prefix(name)) {
            // A rule of a suite is a test of every backend.
            Some(rest) if rest.starts_with("(fixture: &impl ") => return true,
            Some(rest) if rest.starts_with('(') => {
                let test = |a: &&str| a.starts_with("#[test]") || a.starts_with("#[tokio::test");
                return attributes.iter().any(test) && !attributes.iter().any(|a| a.starts_with("#[ignore"));
            }
            _ if line.starts_with("#[") || line.starts_with("///") => attributes.push(line),
            _ => attributes.clear(),
        }
    }
    // The tests of a property are named inside its macro.
    text.contains("proptest! {") && text.contains(&format!("fn {name}("))
}

#[test]
fn helpers_ignored_tests_and_names_in_texts_are_no_tests() {
    let text = "#[test]\nfn one() {}\n\nfn two() {}\n#[test]\n#[ignore]\nfn three() {}\n// fn four() {\nfn one_more() {}\n\
                pub async fn five(fixture: &impl StoreFixture) {}\n#[tokio::test]\nasync fn six() {}\n";
    let tests: Vec<_> =
        ["one", "two", "three", "four", "one_more", "five", "six"].into_iter().filter(|n| is_test(text, n)).collect();
    assert_eq!(tests, ["one", "five", "six"]);
}

const ROWS: &[Row] = &[
    here(1, "CLI", "unknown subcommand or flag", here::unknown_words)
        .and(&["enki-cli/tests/cli/bad_calls.rs: bad_input_1_unknown_commands_and_flags_name_the_nearest"]),
    here(2, "CLI", "run outside a git repository", here::outside)
        .and(&["enki-cli/tests/cli/bad_calls.rs: bad_input_2_and_3_outside_a_repository_nothing_is_made"]),
    here(3, "CLI", "bare repository, unborn HEAD", here::no_project),
    here(4, "CLI", "detached HEAD, no --target", here::detached),
    here(5, "CLI", "--target -x, --target --upload-pack=sh", here::targets_like_options)
        .and(&["enki-core/src/branch.rs: names_that_git_would_take_for_something_else_are_refused"]),
    here(6, "CLI", "--target missing branch, tag, remote-only", here::targets_that_are_none)
        .and(&["enki-vcs-git/tests/it/project.rs: a_branch_that_is_not_there_comes_with_candidates"]),
    here(7, "CLI", "target checked out and dirty", here::dirty)
        .and(&["enki-cli/tests/cli/keep.rs: a_dirty_checkout_is_left_alone_and_once_it_is_clean_the_rest_lands"]),
    here(8, "CLI", "--jobs 0, -1, 1e9, NaN", here::numbers),
    here(9, "CLI", "stdout closed", here::reader_gone)
        .and(&["enki-cli/tests/cli/runs.rs: bad_input_9_a_run_goes_on_when_its_reader_goes_away"]),
    by(10, "CLI", "Ctrl-C once, twice", &[
        "enki-cli/tests/cli/runs.rs: bad_input_10_one_interrupt_lets_what_runs_end bad_input_10_a_second_interrupt_stops_what_runs",
    ]),
    by(11, "CLI", "SIGTERM, SIGHUP", &[
        "enki-cli/tests/cli/runs.rs: bad_input_11_other_signals_end_as_one_interrupt",
        "enki-cli/tests/cli/leftovers.rs: ended_by_a_signal_it_leaves_nothing_and_the_work_goes_on",
    ]),
    here(12, "CLI", "non-UTF-8 path, working directory deleted", here::odd_places)
        .and(&["enki-vcs-git/tests/it/project.rs: a_path_that_is_no_utf_8_or_full_of_signs_works"]),
    here(13, "CLI", "HOME unset, TMPDIR not writable", here::no_home),
    here(14, "CLI", "cancel unknown id, finished id", here::cancels),
    by(15, "CLI", "clean or prune with unmerged work", &[
        "enki-cli/tests/cli/keep.rs: bad_input_15_unmerged_work_goes_only_by_name_and_is_archived_first",
        "enki-vcs-git/tests/it/keep.rs: what_may_not_go_stays_also_when_it_is_freed_by_mistake",
    ]),
    by(16, "CLI", "second `enki run` in the project", &["enki-cli/tests/cli/runs.rs: bad_input_16_a_second_run_names_the_first"]),
    here(17, "plan", "empty file, [], no steps", here::no_steps)
        .and(&["enki-cli/tests/cli/bad_plans.rs: bad_input_17_nothing_to_do"]),
    here(18, "plan", "invalid JSON, TOML, YAML", here::syntax)
        .and(&["enki-cli/tests/cli/bad_plans.rs: bad_input_18_syntax bad_input_18_bytes_that_are_no_text"]),
    here(19, "plan", "byte-order mark, CRLF, tabs", here::marks),
    here(20, "plan", "duplicate key, duplicate step id", here::twice)
        .and(&["enki-cli/tests/cli/bad_plans.rs: bad_input_20_given_twice"]),
    here(21, "plan", "ids that are no ids", here::ids)
        .and(&["enki-core/src/id.rs: step_ids_outside_the_pattern_are_refused"]),
    here(22, "plan", "ids that differ by case or Unicode form only", here::ids_alike),
    here(23, "plan", "needs an unknown id, itself, a cycle", here::needs)
        .and(&["enki-core/src/plan/mod.rs: a_cycle_is_refused_with_its_path"]),
    here(24, "plan", "100,000 steps, chain 10,000 deep", here::many_steps)
        .and(&["enki-cli/tests/cli/bad_plans.rs: bad_input_24_too_many_steps"]),
    here(25, "plan", "100 MB, nesting 1e5, YAML alias bomb", here::large)
        .and(&["enki-cli/tests/cli/bad_plans.rs: bad_input_25_too_large_or_too_deep"]),
    here(26, "plan", "unknown field, typo", here::fields),
    here(27, "plan", "unknown tier or role, wrong type, negative timeout, 1e308", here::values)
        .and(&["enki-cli/tests/cli/bad_plans.rs: bad_input_27_values_that_do_not_fit"]),
    by(28, "plan", "title with escape codes, newlines, Co-authored-by", &[
        "enki-cli/tests/cli/bad_plans.rs: bad_input_28_titles_cannot_draw_on_the_screen",
        "enki-vcs-git/tests/it/refinery.rs: trailers_cannot_be_forged",
        "enki-vcs-git/src/git/message.rs: trailers_of_a_plan_are_text",
    ]),
    by(29, "plan", "add steps to what ended, or on a failed step", &["enki-cli/tests/cli/runs.rs: bad_input_29_steps_that_cannot_be_added"]),
    by(30, "plan", "same idempotency key, same and other body", &[
        "enki-cli/tests/cli/runs.rs: bad_input_30_the_same_request_with_another_plan",
        "enki-mcp/tests/server/creates.rs: the_same_request_is_the_same_execution_and_another_plan_is_refused",
    ]),
    here(31, "config", "file missing", here::no_configuration),
    here(32, "config", "unreadable, a directory, a symlink that leaves the project", here::no_files)
        .and(&["enki-cli/tests/cli/bad_calls.rs: bad_input_32_files_that_are_none"]),
    here(33, "config", "gate command empty, not found, not executable", here::checks)
        .and(&["enki-cli/src/config/check_command.rs: bad_input_33_a_check_that_cannot_start_is_refused_at_start"]),
    by(34, "config", "a worker changes gate script, .enki/*, .claude/*, .mcp.json", &[
        "enki-cli/tests/cli/isolation.rs: a_change_of_what_the_check_runs_is_refused_unless_the_person_allows_it",
        "enki-vcs-git/tests/it/capture.rs: content_against_the_policy_is_refused_with_rule_and_path",
    ]),
    here(35, "config", "the repository's own settings grant trust", here::trust)
        .and(&["enki-cli/tests/cli/trust.rs: nothing_that_a_repository_brings_runs_or_is_trusted_for_a_coordinator_a_worker_or_a_reviewer"]),
    here(36, "config", "max_rounds 0; a lease under three beats, which cannot be set", here::no_lease)
        .and(&["enki-cli/tests/cli/bad_calls.rs: bad_input_36_values_that_do_not_fit"]),
    here(37, "config", "a secret written in the file", here::secret),
    by(38, "MCP", "not JSON, a batch, no id, id of wrong type", &[
        "enki-cli/tests/cli/bad_frames.rs: bad_input_38_what_is_no_request_is_answered_and_the_server_lives",
        "enki-mcp/tests/server/protocol.rs: bad_input_38_what_is_no_message_is_answered_and_the_server_lives",
    ]),
    by(39, "MCP", "50 MB line, no newline, invalid UTF-8, half a frame", &[
        "enki-cli/tests/cli/bad_frames.rs: bad_input_39_a_line_of_50_mb_is_refused_without_being_kept bad_input_39_half_a_message_and_the_end_is_a_clean_exit",
    ]),
    by(40, "MCP", "unknown method or tool, extra or missing arguments", &[
        "enki-mcp/tests/server/protocol.rs: unknown_tools_methods_and_arguments_are_errors_of_the_protocol",
    ]),
    here(41, "MCP", "call before initialize, second initialize, a call without one", here::handshakes)
        .and(&[
            "enki-mcp/tests/server/roles.rs: nothing_is_called_before_the_handshake",
            "enki-mcp/tests/server/protocol.rs: a_client_of_the_revision_without_initialize_is_served bad_input_41_a_session_begins_once_and_nothing_is_called_before bad_input_41_an_initialize_that_is_not_answered_yet_is_not_sent_twice",
        ]),
    by(42, "MCP", "worker calls a coordinator's tool", &[
        "enki-cli/tests/cli/calls.rs: bad_input_42_a_refused_call_is_recorded_where_a_person_sees_it",
        "enki-mcp/tests/server/roles.rs: every_tool_for_every_role_in_every_state",
    ]),
    by(43, "MCP", "worker reports for another task, finished attempt, old epoch", &[
        "enki-mcp/tests/server/roles.rs: every_tool_for_every_role_in_every_state a_token_is_the_attempts_alone",
        "enki-core/tests/machines/rules/attempts.rs: a_late_report_of_an_old_attempt_is_refused_and_counted",
    ]),
    by(44, "MCP", "forged, absent, expired token; role claimed in arguments", &[
        "enki-cli/tests/cli/bad_frames.rs: bad_input_44_at_the_socket_no_token_opens_anything_and_a_long_line_ends_the_connection",
        "enki-mcp/tests/server/roles.rs: a_role_in_the_arguments_gives_nothing a_token_is_the_attempts_alone",
    ]),
    by(45, "MCP", "same call id again, 10,000 calls a second", &[
        "enki-cli/tests/cli/bad_frames.rs: bad_input_45_a_flood_is_slowed_down_and_the_same_call_is_done_once",
        "enki-mcp/tests/server/protocol.rs: bad_input_45_the_same_call_again_has_the_same_answer bad_input_45_too_many_calls_are_refused_until_a_time_that_is_told",
    ]),
    by(46, "MCP", "path argument ../, absolute, symlink, /proc/self/root, NUL, file://", &[
        "enki-mcp/tests/server/edits.rs: bad_input_46_a_path_that_is_not_beneath_the_workspace_is_refused",
        "enki-cli/tests/cli/calls.rs: bad_input_46_an_agent_edits_its_files_and_none_beyond_its_workspace",
    ]),
    by(47, "MCP", "client gone in mid-call", &["enki-cli/tests/cli/bad_frames.rs: bad_input_47_a_client_that_is_gone_in_mid_call_leaves_all_of_it_or_nothing"]),
    here(48, "store", "locked by another process beyond the timeout", here::locked_store)
        .and(&["enki-store-sqlite/tests/it/bad_inputs.rs: a_store_that_stays_locked_is_busy_and_named"]),
    by(49, "store", "disk full at any statement", &[
        "enki-store-sqlite/tests/it/bad_inputs.rs: a_full_disk_leaves_the_former_state_and_the_store_goes_on_when_there_is_space a_full_file_system_is_full_and_space_that_comes_back_is_used",
        "enki-cli/tests/cli/ahead.rs: a_full_disk_is_waited_for_and_said",
    ]),
    by(50, "store", "read-only file, directory, mount", &["enki-store-sqlite/tests/it/bad_inputs.rs: a_read_only_file_or_folder_is_refused_for_writing_and_can_be_read"]),
    here(51, "store", "truncated, random bytes, not SQLite, 0 bytes with a -wal", here::no_store)
        .and(&["enki-store-sqlite/tests/it/bad_inputs.rs: what_is_no_store_is_refused_and_left_as_it_is a_store_that_is_gone_is_not_made_anew_over_its_wal"]),
    here(52, "store", "newer schema, foreign application id", here::foreign_store)
        .and(&["enki-store-sqlite/tests/it/bad_inputs.rs: a_newer_or_foreign_file_is_refused_and_unchanged"]),
    here(53, "store", "-wal or -shm deleted under a live process, file replaced", here::store_in_use)
        .and(&[
            "enki-store-sqlite/tests/it/bad_inputs.rs: a_replaced_or_deleted_file_is_found_at_the_next_beat_and_nothing_is_written_any_more",
            "enki-cli/tests/crash/troubles.rs: a_store_that_is_taken_away_stops_the_run_and_keeps_the_work",
        ]),
    // Not at the binary: no test can mount a file system of these kinds without a server for it.
    by(54, "store", "NFS, sshfs, unsafe overlay, cloud folder", &["enki-store-sqlite/src/file_system.rs: network_file_systems_are_refused_and_local_ones_are_not"]),
    here(55, "store", "event row checksum wrong, unknown event kind", here::edited_row)
        .and(&[
            "enki-store-sqlite/tests/it/damage.rs: an_edited_event_is_named a_lost_event_is_named an_event_that_was_added_is_found",
            "enki-core/src/record/mod.rs: an_unknown_major_is_refused_by_name",
            "enki-testkit/tests/driver.rs: a_log_of_a_newer_minor_format_is_not_written",
        ]),
    by(56, "store", "clock at 1970, 2106, rows backwards", &[
        "enki-store-sqlite/tests/it/bad_inputs.rs: order_is_by_sequence_whatever_the_clock_says",
        "enki-core/src/memory.rs: the_newest_submission_is_listed_first_whatever_the_clock_says",
    ]),
    here(57, "git", "missing, not executable, too old", here::no_git)
        .and(&["enki-vcs-git/tests/it/project.rs: a_missing_or_old_git_is_named", "enki-vcs-git/src/project/discover.rs: only_versions_without_the_fixes_are_warned_about"]),
    here(58, "git", "dubious ownership", here::foreign_owner)
        .and(&["enki-vcs-git/tests/it/project.rs: the_persons_own_git_decides_whether_the_owner_is_trusted"]),
    by(59, "git", "stale index.lock, main.lock, HEAD.lock", &[
        "enki-vcs-git/tests/it/publish.rs: a_lock_that_stays_is_named_with_its_age_and_one_that_goes_is_waited_for an_index_that_somebody_holds_blocks_the_landing",
        "enki-vcs-git/tests/it/killed.rs: a_lock_that_a_dead_git_of_ours_left_is_removed_whatever_it_holds a_lock_that_may_be_anothers_stays",
    ]),
    by(60, "git", "person moves the target during a merge", &[
        "enki-core/tests/machines/rules/merging.rs: a_target_that_moves_is_followed_and_the_change_built_anew",
        "enki-vcs-git/tests/it/publish.rs: a_target_that_moved_or_is_gone_is_left_where_it_is",
    ]),
    by(61, "git", "target deleted or reset after the merge", &[
        "enki-core/tests/machines/queue/order.rs: what_was_on_the_target_and_was_taken_away_is_not_published_a_second_time",
        "enki-vcs-git/tests/it/publish.rs: inspection_tells_whether_the_target_was_there",
    ]),
    by(62, "git", "unrelated history, orphan, merge commits, empty difference, tag as tip", &[
        "enki-vcs-git/tests/it/capture.rs: no_difference_is_no_change commits_of_the_agent_are_captured_as_files",
        "enki-vcs-git/tests/it/hostile/mod.rs: whatever_an_agent_plants_is_not_run_and_its_outcome_has_a_name",
    ]),
    by(63, "git", "conflict of each kind", &["enki-vcs-git/tests/it/refinery.rs: every_kind_of_conflict_is_a_value_with_its_files"]),
    by(64, "git", "tree with .git, .GIT, git~1, .., backslash, duplicates", &[
        "enki-vcs-git/tests/it/refinery.rs: a_tree_with_a_git_folder_never_comes_into_the_persons_repository",
        "enki-vcs-git/src/isolation/scan.rs: names_that_mean_dot_git_somewhere_are_found",
        "enki-vcs-git/tests/it/hostile/mod.rs: whatever_an_agent_plants_is_not_run_and_its_outcome_has_a_name",
    ]),
    by(65, "git", "symlink to / or outside added", &[
        "enki-vcs-git/src/isolation/scan.rs: links_that_leave_the_tree_are_found",
        "enki-vcs-git/tests/it/capture.rs: content_against_the_policy_is_refused_with_rule_and_path",
    ]),
    by(66, "git", "new or changed submodule, .gitmodules, nested repository", &[
        "enki-vcs-git/tests/it/capture.rs: a_nested_repository_is_refused_and_the_files_beside_it_are_kept",
        "enki-vcs-git/tests/it/kinds.rs: a_step_that_changes_a_submodule_is_refused",
        "enki-vcs-git/tests/it/workspaces.rs: submodules_of_the_base_are_left_alone",
    ]),
    by(67, "git", ".gitattributes with filter, merge or diff driver", &["enki-vcs-git/tests/it/hostile/mod.rs: whatever_an_agent_plants_is_not_run_and_its_outcome_has_a_name"]),
    by(68, "git", "hooks, fsmonitor, pager, alias, ... in the workspace's config", &["enki-vcs-git/tests/it/safety.rs: nothing_that_a_workspace_configures_is_run hooks_of_the_project_are_off_when_refs_move"]),
    by(69, "git", "agent points its .git elsewhere, alternates, replace refs, grafts", &[
        "enki-vcs-git/tests/it/capture.rs: a_git_dir_that_points_elsewhere_is_refused_and_never_followed",
        "enki-vcs-git/tests/it/hostile/mod.rs: whatever_an_agent_plants_is_not_run_and_its_outcome_has_a_name",
    ]),
    here(70, "git", "branch collision, name over 200 bytes", here::long_branch)
        .and(&["enki-vcs-git/tests/it/refinery.rs: a_target_that_is_missing_or_a_branch_in_the_way_is_named"]),
    by(71, "git", "5 GB file, 1e6 files, names that differ by case", &[
        "enki-vcs-git/tests/it/capture.rs: content_against_the_policy_is_refused_with_rule_and_path",
        "enki-vcs-git/tests/it/hostile/mod.rs: whatever_an_agent_plants_is_not_run_and_its_outcome_has_a_name",
    ]),
    by(72, "git", "missing object, partial clone, shallow, SHA-256, reftable, sparse, LFS", &[
        "enki-vcs-git/tests/it/kinds.rs: sha_256_works reftable_works a_shallow_clone_works a_sparse_checkout_works_and_stays_sparse files_of_a_large_file_store_are_pointers_for_agents_and_contents_for_the_person a_partial_clone_that_has_what_the_target_needs_works a_partial_clone_that_lacks_files_of_the_target_is_refused_by_name what_cannot_be_a_project_is_refused_by_name",
    ]),
    by(73, "git", "no user name or email, gpgsign, commit template", &["enki-vcs-git/tests/it/project.rs: no_name_no_signing_key_and_a_commit_template_do_not_matter"]),
    here(74, "git", "GIT_DIR, GIT_WORK_TREE, GIT_INDEX_FILE, GIT_CONFIG_* set", here::variables_of_git)
        .and(&["enki-vcs-git/tests/it/project.rs: the_callers_git_variables_are_dropped"]),
    by(75, "git", "git gc --prune=now at the same time", &[
        "enki-vcs-git/tests/it/publish.rs: a_gc_at_the_same_time_takes_nothing_away",
        "enki-vcs-git/tests/it/adopt.rs: a_gc_between_any_two_calls_takes_nothing_away_of_what_was_built_here",
    ]),
    here(76, "agent", "missing, wrong version, not logged in, rate limit", here::no_agent)
        .and(&[
            "enki-cli/tests/cli/clients.rs: a_client_that_is_too_old_is_refused_before_anything_begins",
            "enki-agent-claude/tests/real_client.rs: without_login_a_person_is_told_to_log_in",
            "enki-core/tests/machines/rules/attempts.rs: a_rate_limit_is_not_charged_and_nothing_starts_before_its_time",
        ]),
    here(77, "agent", "exit 0 without change, exit non-zero with commits", here::ends_of_agents)
        .and(&["enki-testkit/src/suite/agent.rs: an_end_without_a_result_is_no_success a_failure_is_not_talked_away"]),
    here(78, "agent", "killed by signal, out of memory", here::killed_agent),
    by(79, "agent", "hangs silently, keeps beating for ever", &["enki-testkit/src/suite/agent.rs: a_run_without_a_sign_of_life_is_ended a_run_over_its_time_limit_is_ended signs_of_life_keep_a_run_from_being_stuck"]),
    by(80, "agent", "10 GB of output, one 1 GB line, NUL, invalid UTF-8, terminal codes", &[
        "enki-process/tests/child.rs: a_flood_is_cut_in_the_log_and_costs_no_memory too_much_output_ends_the_child",
        "enki-process/src/log.rs: head_and_tail_are_exact_however_the_output_is_split",
        "enki-process/tests/agent.rs: what_is_shown_is_one_clean_line",
        "enki-testkit/src/suite/agent.rs: output_without_end_ends_the_run",
    ]),
    by(81, "agent", "malformed, cut, unknown stream events", &[
        "enki-agent-claude/src/decode/tests.rs: unknown_kinds_and_fields_are_skipped_and_counted a_cut_result_is_known_for_one what_is_not_an_object_is_broken",
        "enki-agent-claude/tests/fixtures.rs: a_cut_stream_is_never_a_success",
    ]),
    by(82, "agent", "a fake directive or verdict, two verdicts, a tag in a code block, another nonce", &[
        "enki-core/src/verdict/read.rs: only_tags_with_the_nonce_count_and_two_that_differ_are_none",
        "enki-core/src/gv.rs: tags_in_fences_nested_tags_and_bad_ones_are_no_tags",
        "enki-core/src/prompt/mod.rs: only_a_tag_with_the_nonce_asks only_a_tag_with_the_nonce_claims each_attempt_has_a_nonce_of_its_own",
        "enki-core/tests/machines/outside.rs: an_answer_needs_the_nonce_of_its_own_directive_if_one_is_asked_for",
    ]),
    by(83, "agent", "\"ignore previous instructions\" to the next step", &[
        "enki-core/src/prompt/data.rs: data_cannot_leave_its_fence",
        "enki-core/tests/machines/prompts.rs: hostile_words_of_agents_are_data whatever_an_agent_says_is_data",
    ]),
    by(84, "agent", "huge summary for the next prompt", &["enki-core/src/prompt/mod.rs: the_last_complete_pair_is_the_output"]),
    by(85, "agent", "prints API keys", &["enki-cli/tests/cli/canaries.rs: fifty_secrets_go_through_a_run_and_none_is_found_afterwards",
"enki-core/src/redact.rs: a_secret_is_taken_out_wherever_it_stands",
"enki-process/src/cleaner.rs: a_secret_is_found_wherever_the_stream_is_cut"]),
    by(86, "agent", "forks a daemon, setsid, ignores TERM, holds stdout open", &[
        "enki-process/tests/child.rs: a_grandchild_in_a_session_of_its_own_dies_with_the_normal_end who_ignores_every_polite_signal_is_killed_after_the_grace the_end_does_not_wait_for_who_holds_the_output_open",
        "enki-testkit/src/suite/agent.rs: the_end_is_told_when_the_whole_tree_is_gone an_agent_that_ignores_a_polite_stop_is_killed",
    ]),
    by(87, "agent", "fills disk or inodes, fork bomb, 1e5 descriptors", &[
        "enki-cli/tests/cli/ahead.rs: a_full_disk_is_waited_for_and_said",
        "enki-cli/tests/crash/troubles.rs: a_full_disk_stops_a_run_that_goes_on_once_there_is_space",
        "enki-vcs-git/tests/it/pool.rs: below_the_floor_of_free_space_nothing_is_begun_and_the_pool_goes_first",
        "enki-process/tests/child.rs: a_tree_that_forks_all_the_time_dies",
    ]),
    by(88, "agent", "deletes its workspace, chmod 000, undeletable names", &[
        "enki-vcs-git/tests/it/capture.rs: a_workspace_that_was_deleted_is_lost_and_can_be_made_again",
        "enki-vcs-git/tests/it/workspaces.rs: a_folder_without_rights_can_be_taken_over",
        "enki-vcs-git/src/workspaces/sweep.rs: what_is_removed_leads_nowhere folders_deeper_than_there_are_descriptors_are_removed",
    ]),
    by(89, "agent", "writes to the main checkout, another workspace, the store", &[
        "enki-vcs-git/tests/it/hostile/drift.rs: settings_of_the_repository_that_change_fail_the_attempt_and_its_work_is_kept what_an_agent_made_fails_it_wherever_it_turns_up_in_the_persons_repository",
        "enki-cli/tests/cli/isolation.rs: an_attempt_that_plants_a_hook_in_the_persons_repository_fails_loudly_and_nothing_of_it_lands",
        "enki-store-sqlite/tests/it/damage.rs: an_edited_event_is_named",
    ]),
    by(90, "agent", "reviewer edits code, worker writes its review, review of another commit", &[
        "enki-core/tests/machines/rules/reviews.rs: a_verdict_of_an_attempt_that_is_no_review_counts_for_nothing",
        "enki-testkit/src/suite/workspace.rs: what_a_review_changed_is_found_out_and_dropped",
        "enki-cli/tests/cli/claude.rs: a_reviewer_that_edits_all_the_same_has_judged_nothing",
    ]),
    by(91, "agent", "result after its lease is lost or after cancel", &[
        "enki-core/tests/machines/rules/attempts.rs: a_late_report_of_an_old_attempt_is_refused_and_counted",
        "enki-testkit/src/suite/store.rs: an_expired_lease_is_taken_over_and_the_old_one_is_fenced",
        "enki-cli/tests/cli/leftovers.rs: what_is_cancelled_leaves_nothing",
    ]),
    by(92, "env", "laptop sleeps 8 h, time jump, holder's pid reused", &[
        "enki-cli/tests/cli/runs.rs: the_lock_of_a_dead_process_is_waited_for a_killed_orchestrator_is_taken_up_at_once",
        "enki-core/src/dispatcher/services.rs: a_clock_that_is_set_back_brings_no_wait_again_that_was_answered",
        "enki-testkit/tests/simulation.rs: hundreds_of_histories_keep_every_promise",
    ]),
    here(93, "env", "EMFILE, ENOMEM at spawn, no /proc, no user namespaces", here::few_descriptors)
        .and(&["enki-process/tests/child.rs: a_program_that_cannot_run_is_named_with_the_reason"]),
    by(94, "lib", "an embedder's trait panics, never returns, is called after shutdown", &[
        "enki-testkit/tests/driver.rs: a_memory_that_fails_or_panics_fails_no_run",
"enki-testkit/tests/embedders.rs: a_backend_that_panics_or_never_returns_costs_its_own_step_alone",
    ]),
];
