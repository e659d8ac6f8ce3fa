/// One test per promise of the suite, each on a fresh [`Bench`](crate::conformance::Bench): `$bench` is a function that
/// answers one and may be async. The caller needs `tokio` with `macros` and `rt` among its dependencies.
#[macro_export]
macro_rules! conformance_tests {
    ($bench:expr) => {
        $crate::each_promise! { (test $bench) }
    };
    (test ($bench:expr) $($theme:ident: $($name:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $name() {
                let bench = ($bench)().await;
                $crate::conformance::$theme::$name(&bench).await;
            }
        )+)+
    };
    (futures ($bench:expr) $($theme:ident: $($name:ident)+;)+) => {
        {
            let mut futures: Vec<(&'static str, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>)> = Vec::new();
            $($(
                let bench = ($bench)();
                futures.push((stringify!($name), Box::pin(async move {
                    $crate::conformance::$theme::$name(&bench).await;
                })));
            )+)+
            futures
        }
    };
    (names () $($theme:ident: $($name:ident)+;)+) => {
        &[$($((stringify!($theme), stringify!($name)),)+)+]
    };
}

/// The one list of the suite's functions. The list at the end grows with each of them; a test holds it complete.
#[doc(hidden)]
#[macro_export]
macro_rules! each_promise {
    (($what:ident $($argument:expr)?)) => {
        $crate::conformance_tests! {
            $what ($($argument)?)
            send_receive: an_empty_queue_answers_nothing_and_no_error a_message_arrives_byte_for_byte an_empty_body_is_refused_and_nothing_is_queued characters_that_cannot_travel_are_refused a_body_of_the_limit_is_accepted_and_one_byte_more_is_refused attributes_count_towards_the_limit more_attributes_than_the_limit_are_refused a_receive_for_none_or_for_more_than_ten_is_refused a_wait_of_more_than_twenty_seconds_is_refused;
            waiting: a_waiting_receive_returns_what_is_there_without_waiting_for_more a_waiting_receive_wakes_when_a_message_arrives a_waiting_receive_answers_nothing_after_its_wait one_message_goes_to_one_of_two_waiting_receives a_waiting_receive_returns_a_message_whose_lease_ends_meanwhile a_waiting_receive_wakes_when_a_message_is_given_back a_cancelled_receive_leases_nothing_for_longer_than_the_timeout;
            visibility: a_received_message_is_absent_until_its_timeout_and_then_has_a_new_receipt a_queue_without_a_timeout_hands_a_message_out_again_at_once a_lease_that_is_renewed_in_time_is_never_handed_to_another a_message_given_back_is_visible_at_once_and_its_next_lease_is_the_queues a_message_given_back_for_later_is_absent_until_then a_lease_can_be_renewed_after_its_end_while_nobody_else_received a_lease_of_more_than_twelve_hours_in_total_is_refused a_deleted_message_cannot_be_renewed_or_given_back a_receipt_that_nobody_wrote_cannot_be_renewed a_lost_lease_cannot_be_renewed_or_given_back what_is_in_hand_is_renewed_together_with_its_requests what_is_in_hand_is_renewed_after_its_end_while_nobody_took_it;
            delete: a_deleted_message_does_not_come_back a_lease_deletes_after_its_end_while_nobody_else_received a_lost_lease_leaves_the_delivery_of_its_new_holder_alone deleting_a_deleted_message_again_is_no_error a_receipt_that_nobody_wrote_cannot_delete one_bad_receipt_in_a_batch_fails_alone a_lease_of_another_queue_is_refused;
            dead_letters: attempts_count_the_receives_and_the_first_receive_keeps_its_time a_message_received_too_often_moves_with_its_id a_moved_message_keeps_body_attributes_age_and_count two_allowed_receives_are_two_attempts a_poison_message_does_not_hold_up_the_others a_message_deleted_in_time_never_reaches_the_dead_letter_queue a_poison_message_ends_at_the_last_queue_of_a_chain a_message_given_up_moves_with_its_bytes_and_the_reason a_queue_without_a_dead_letter_queue_keeps_its_message a_lost_lease_cannot_give_a_message_up a_message_stays_when_its_sender_cannot_be_told an_attempt_whose_holder_lives_on_is_not_counted a_late_holder_takes_its_message_back_after_the_last_attempt;
            delay_and_counters: a_scheduled_message_is_absent_until_its_delay_is_over a_delay_over_the_limit_is_refused one_bad_entry_of_a_schedule_fails_alone a_message_without_delay_passes_the_delay_of_its_queue a_waiting_receive_wakes_when_a_delay_is_over a_purge_takes_visible_leased_and_delayed_messages a_lease_of_a_purged_message_deletes_without_error the_counters_of_a_queue_sum_to_its_messages;
            batch: a_batch_of_none_or_too_many_is_refused_and_nothing_is_queued a_batch_over_the_size_limit_is_refused_and_nothing_is_queued one_illegal_entry_of_ten_fails_alone_and_in_its_place a_batch_is_answered_in_the_order_of_its_messages a_receive_returns_no_more_than_it_was_asked_for;
            topology: declaring_the_same_again_keeps_the_queue_and_its_messages declaring_a_queue_with_other_attributes_is_refused concurrent_declarations_give_one_queue bad_names_are_refused every_verb_of_an_unknown_queue_or_topic_says_so a_dead_letter_queue_must_exist_elsewhere_and_allow_a_receive subscribing_twice_is_once_and_with_another_filter_is_refused a_subscription_needs_its_topic_and_its_queue;
            topics: a_message_that_no_queue_hears_is_accepted_and_dropped each_subscribed_queue_gets_a_copy_of_its_own a_filter_passes_only_what_it_names a_queue_hears_every_topic_it_subscribes_to;
            consumer_contract: a_message_whose_handler_failed_comes_back_after_its_timeout_and_not_after_success only_the_failed_message_of_a_batch_comes_back raw_and_enveloped_bodies_are_read_as_the_same_message a_message_over_the_limit_travels_as_a_claim;
            settlement: a_settlement_publishes_schedules_keeps_the_answer_and_deletes the_answer_of_a_settlement_is_given_when_the_request_comes_again a_lost_lease_settles_nothing settling_twice_publishes_once a_settlement_that_is_refused_leaves_its_message one_refused_settlement_of_a_batch_fails_alone a_settlement_after_the_end_of_its_lease_counts_while_nobody_else_received;
            idempotency: a_request_that_runs_is_busy_for_others_and_not_for_its_owner a_request_that_was_answered_is_answered_the_same_again a_request_whose_owner_is_gone_is_the_next_ones_after_the_lease an_owner_that_lost_its_request_keeps_and_frees_nothing an_abandoned_request_may_run_again_at_once an_answered_request_cannot_be_abandoned the_same_key_with_another_payload_is_a_mismatch keys_of_different_services_never_meet one_of_many_concurrent_begins_runs a_request_may_be_leased_for_ever a_request_that_was_not_begun_is_answered_once a_request_that_runs_is_not_answered_by_another many_answers_are_kept_together requests_that_run_are_renewed_together old_requests_are_forgotten_and_not_those_that_run;
            operations: browsing_shows_the_oldest_messages_and_changes_nothing looking_again_and_again_is_no_attempt messages_are_found_by_an_attribute_on_any_queue replayed_messages_return_to_their_own_sources replayed_messages_go_to_the_queue_that_is_named a_replay_without_a_way_back_moves_nothing a_replay_from_an_ordinary_queue_is_refused a_lease_on_a_replayed_message_is_lost a_purge_by_ids_takes_only_what_it_names a_message_moved_by_the_broker_is_explained_once what_nobody_explained_is_found_behind_what_was only_what_the_broker_moved_is_explained;
        }
    };
}

/// Every function of the suite: its theme, which is its module, and its name.
pub const PROMISES: &[(&str, &str)] = crate::each_promise! { (names) };

#[cfg(test)]
mod tests {
    use super::PROMISES;

    #[test]
    fn every_function_of_the_suite_is_in_the_list() {
        let sources = [
            ("send_receive", include_str!("send_receive.rs")),
            ("waiting", include_str!("waiting.rs")),
            ("visibility", include_str!("visibility.rs")),
            ("delete", include_str!("delete.rs")),
            ("dead_letters", include_str!("dead_letters.rs")),
            ("delay_and_counters", include_str!("delay_and_counters.rs")),
            ("batch", include_str!("batch.rs")),
            ("topology", include_str!("topology.rs")),
            ("topics", include_str!("topics.rs")),
            ("consumer_contract", include_str!("consumer_contract.rs")),
            ("settlement", include_str!("settlement.rs")),
            ("idempotency", include_str!("idempotency.rs")),
            ("operations", include_str!("operations.rs")),
        ];
        for (theme, source) in sources {
            let written = source.split("pub async fn ").skip(1);
            let written: Vec<_> = written.filter_map(|text| text.split('(').next()).collect();
            let listed = PROMISES.iter().filter(|(of, _)| *of == theme);
            let listed: Vec<_> = listed.map(|(_, name)| *name).collect();
            assert_eq!(written, listed, "{theme}");
        }
    }
}
