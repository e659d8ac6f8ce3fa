//! What every store of the registry promises, on each of them.

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

/// Runs each promise on SQLite, on a real PostgreSQL, and on that behind a pooler.
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
    order: every_permutation_of_a_retried_step_ends_alike, each_result_is_told_what_became_of_it,
        a_batch_and_one_by_one_are_the_same, two_at_once_apply_each_result_once;
    lineage: upstream_follows_the_run_that_made_what_was_read, downstream_follows_only_what_read_that_version,
        as_of_shows_what_was_known_then, a_cycle_ends_and_limits_are_told, a_location_matches_exactly_itself,
        a_nul_is_refused, a_short_name_is_completed_or_its_candidates_are_listed,
        an_environment_shows_its_own_jobs_alone, a_hub_is_cut_where_it_is_told_to_be,
        the_rows_of_a_dataset_and_those_that_were_changed_are_two_things,
        what_nobody_wrote_has_the_rows_that_its_reader_counted,
        a_step_is_called_as_it_was_declared_and_never_by_its_action;
    pairs: outputs_are_made_from_what_their_result_says, what_a_step_read_again_is_its_own,
        what_was_added_stays, what_was_changed_keeps_what_was_there, what_was_replaced_is_gone,
        changes_that_were_recorded_before_keep_what_was_there, spellings_of_a_table_are_one_dataset,
        spellings_that_were_recorded_before_become_one, what_stayed_is_read_again_with_what_was_added, writes_of_one_instant_are_all_shown, a_change_of_rows_reads_the_table_itself, downstream_ends_where_data_was_replaced;
    mismatches: a_finished_step_is_not_flipped_by_another_sender, a_declared_step_is_its_own_whatever_came_first,
        the_first_of_an_undeclared_step_decides_whose_it_is, a_step_that_is_sent_again_declares_its_new_id,
        an_update_names_the_right_job, a_time_in_the_future_counts_as_of_now, a_mismatch_is_not_exported_and_is_pruned_in_time,
        what_a_step_is_outlives_the_result_that_said_so, a_job_that_declared_all_of_its_steps_takes_no_others,
        a_job_that_has_not_declared_all_of_its_steps_takes_whoever_names_it;
    records: a_job_and_its_steps_are_filled_in_whatever_came_first, jobs_are_found_by_time_and_version_and_come_in_pages, a_job_ends_when_all_expected_steps_did,
        a_step_that_ended_before_it_had_a_job_ends_it,
        an_update_counts_like_a_result, a_large_answer_is_not_read_for_a_steps_lineage, events_are_told_in_their_order,
        texts_keep_every_character, what_no_index_holds_is_refused_by_name;
    outbox: every_result_is_told_once, what_is_taken_comes_again_when_nobody_told_it, each_run_of_a_step_is_told_apart;
    retention: the_last_that_wrote_a_dataset_is_never_pruned, a_dry_run_removes_nothing,
        what_is_not_over_or_not_told_is_kept, events_are_pruned_from_the_oldest;
    relocate: a_folder_that_moved_keeps_its_lineage, a_step_that_is_worked_out_anew_keeps_the_new_names,
        datasets_become_one_only_where_somebody_says_so, folders_that_are_none_are_refused;
}
