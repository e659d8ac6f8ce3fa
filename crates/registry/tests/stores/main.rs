//! The promises of every store of the registry, tested on each of them.

mod bench;
mod lineage;
mod mismatches;
mod order;
mod outbox;
mod pairs;
mod records;
mod relocate;
mod retention;
mod roles;
mod tables;

/// Runs each promise on SQLite, on a real PostgreSQL, and on PostgreSQL behind a pooler.
macro_rules! promises {
    ($($module:ident: $($promise:ident),+;)+) => {
        mod sqlite {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$module::$promise(&super::bench::Bench::sqlite()).await;
                }
            )+)+
        }
        mod postgres {
            $($(
                #[tokio::test]
                async fn $promise() {
                    if let Some(bench) = super::bench::Bench::postgres(stringify!($promise)) {
                        super::$module::$promise(&bench).await;
                    }
                }
            )+)+
        }
        mod pooled {
            $($(
                #[tokio::test]
                async fn $promise() {
                    if let Some(bench) = super::bench::Bench::pooled(stringify!($promise)) {
                        super::$module::$promise(&bench).await;
                    }
                }
            )+)+
        }
    };
}

promises! {
    order: every_permutation_of_a_retried_step_ends_alike, each_result_gets_its_outcome,
        a_batch_and_one_by_one_are_the_same, two_at_once_apply_each_result_once;
    lineage: upstream_follows_the_run_that_made_what_was_read, downstream_follows_only_what_read_that_version,
        as_of_shows_what_was_known_then, a_cycle_ends_and_a_cut_graph_says_so, a_location_matches_only_itself,
        a_nul_is_refused, a_short_name_is_completed_or_its_candidates_are_listed,
        an_environment_shows_its_own_jobs_alone, a_hub_is_cut_at_the_limit,
        the_row_count_and_the_changed_rows_are_separate,
        a_dataset_without_a_writer_has_the_row_count_of_its_reader,
        a_step_is_called_as_it_was_declared_and_never_by_its_action;
    pairs: outputs_are_made_from_what_their_result_says, what_a_step_read_again_is_its_own,
        what_was_added_stays, what_was_changed_keeps_what_was_there, what_was_replaced_is_gone,
        changes_that_were_recorded_before_keep_what_was_there, spellings_of_a_table_are_one_dataset,
        spellings_that_were_recorded_before_become_one, what_stayed_is_read_again_with_what_was_added, writes_of_one_instant_are_all_shown, a_change_of_rows_reads_the_table_itself, downstream_ends_where_data_was_replaced;
    mismatches: a_finished_step_is_not_flipped_by_another_sender, a_declaration_holds_whatever_came_first,
        the_first_result_establishes_an_undeclared_step, a_step_that_is_sent_again_declares_its_new_id,
        an_update_names_the_right_job, a_time_in_the_future_counts_as_of_now, a_mismatch_is_not_exported_and_is_pruned_in_time,
        an_established_step_outlives_the_result_that_established_it, a_job_that_declared_all_of_its_steps_accepts_no_others,
        a_job_with_steps_left_to_declare_accepts_any_step_that_names_it;
    records: a_job_and_its_steps_are_filled_in_whatever_came_first, jobs_are_found_by_time_and_version_and_come_in_pages, a_job_ends_when_all_expected_steps_did,
        a_step_that_ended_before_it_had_a_job_ends_it,
        an_update_counts_like_a_result, a_large_answer_is_not_read_for_a_steps_lineage, events_are_returned_in_their_order,
        texts_keep_every_character, a_text_too_long_for_an_index_is_refused_by_name;
    outbox: every_result_is_exported_once, a_taken_result_comes_again_until_it_is_marked_exported, each_run_of_a_step_is_exported_as_its_own;
    retention: the_last_write_of_a_dataset_is_never_pruned, a_dry_run_removes_nothing,
        unfinished_and_unexported_results_are_kept, events_are_pruned_from_the_oldest;
    relocate: a_folder_that_moved_keeps_its_lineage, a_rebuilt_step_keeps_the_new_names,
        datasets_are_merged_only_on_request, paths_that_are_not_folders_are_refused;
}
