/// What holds a line of docs/design/conformance.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Functions of the suite, so every backend.
    Suite,
    /// A test of the backend itself: the line speaks of its files, processes or counters.
    Backend,
    /// Nothing, and the note says why.
    LeftOut,
}

/// A line of docs/design/conformance.md that the ports or the embedded fabric have to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub number: u32,
    /// Who holds it.
    pub coverage: Coverage,
    /// The suite's functions, as `theme::name`.
    pub promises: &'static [&'static str],
    /// What of it is not held, why, or where else it is.
    pub note: &'static str,
}

macro_rules! lines {
    ($($number:literal $coverage:ident [$($theme:ident::$name:ident),*] $note:literal;)+) => {
        /// What holds each line of docs/design/conformance.md; lines that only the adapter of a cloud can keep are not in it.
        ///
        /// | line | held by | functions | note |
        /// |---|---|---|---|
        $(#[doc = concat!(
            "| ", $number, " | ", stringify!($coverage), " | ",
            $("[`", stringify!($name), "`](super::", stringify!($theme), "::", stringify!($name), ") ",)*
            "| ", $note, " |"
        )])+
        pub const LINES: &[Line] = &[$(Line {
            number: $number,
            coverage: Coverage::$coverage,
            promises: &[$(concat!(stringify!($theme), "::", stringify!($name))),*],
            note: $note,
        }),+];
    };
}

lines! {
    1 Suite [send_receive::an_empty_queue_answers_nothing_and_no_error, waiting::a_waiting_receive_answers_nothing_after_its_wait] "";
    2 Suite [send_receive::a_message_arrives_byte_for_byte] "The port carries no MD5; ids may differ between topic and queue.";
    3 Suite [send_receive::an_empty_body_is_refused_and_nothing_is_queued] "";
    4 Suite [send_receive::characters_that_cannot_travel_are_refused] "";
    5 Suite [send_receive::a_body_of_the_limit_is_accepted_and_one_byte_more_is_refused] "";
    6 Suite [send_receive::attributes_count_towards_the_limit] "";
    7 Suite [send_receive::more_attributes_than_the_limit_are_refused] "";
    8 Suite [send_receive::a_receive_for_none_or_for_more_than_ten_is_refused] "";
    9 Suite [send_receive::a_wait_of_more_than_twenty_seconds_is_refused] "A negative wait cannot be written.";
    10 Suite [waiting::a_waiting_receive_returns_what_is_there_without_waiting_for_more] "";
    11 Suite [waiting::a_waiting_receive_wakes_when_a_message_arrives, waiting::a_waiting_receive_wakes_when_a_message_is_given_back] "";
    12 Suite [waiting::one_message_goes_to_one_of_two_waiting_receives] "";
    13 Suite [waiting::a_waiting_receive_returns_a_message_whose_lease_ends_meanwhile] "";
    14 Suite [waiting::a_cancelled_receive_leases_nothing_for_longer_than_the_timeout] "";
    15 LeftOut [] "Queues have no wait of their own; each receive says how long it waits.";
    16 Suite [visibility::a_received_message_is_absent_until_its_timeout_and_then_has_a_new_receipt] "";
    17 Suite [visibility::a_queue_without_a_timeout_hands_a_message_out_again_at_once] "The timeout is the queue's.";
    18 LeftOut [] "A receive has no timeout of its own: not every cloud can choose it there.";
    19 Suite [visibility::a_lease_that_is_renewed_in_time_is_never_handed_to_another] "";
    20 Suite [visibility::a_message_given_back_is_visible_at_once_and_its_next_lease_is_the_queues, visibility::a_message_given_back_for_later_is_absent_until_then] "";
    21 Suite [visibility::a_lease_can_be_renewed_after_its_end_while_nobody_else_received] "";
    22 Suite [visibility::a_lease_of_more_than_twelve_hours_in_total_is_refused] "";
    23 Suite [visibility::a_deleted_message_cannot_be_renewed_or_given_back] "";
    24 Suite [visibility::a_receipt_that_nobody_wrote_cannot_be_renewed] "";
    25 Suite [delete::a_deleted_message_does_not_come_back] "";
    26 Suite [delete::a_lease_deletes_after_its_end_while_nobody_else_received] "";
    27 Suite [delete::a_lost_lease_leaves_the_delivery_of_its_new_holder_alone, visibility::a_lost_lease_cannot_be_renewed_or_given_back] "";
    28 Suite [delete::deleting_a_deleted_message_again_is_no_error] "";
    29 Suite [delete::a_receipt_that_nobody_wrote_cannot_delete, delete::a_lease_of_another_queue_is_refused] "";
    30 LeftOut [] "Entries have no ids, answers stand in their order; a lease cannot be copied into a batch twice.";
    31 Suite [delete::one_bad_receipt_in_a_batch_fails_alone] "";
    33 Suite [dead_letters::attempts_count_the_receives_and_the_first_receive_keeps_its_time] "";
    34 Suite [dead_letters::a_message_received_too_often_moves_with_its_id] "";
    35 Suite [dead_letters::a_moved_message_keeps_body_attributes_age_and_count] "";
    36 Suite [dead_letters::two_allowed_receives_are_two_attempts] "";
    37 Suite [topology::a_dead_letter_queue_must_exist_elsewhere_and_allow_a_receive] "A count that is no number cannot be written.";
    38 Suite [dead_letters::a_message_deleted_in_time_never_reaches_the_dead_letter_queue] "";
    39 Suite [dead_letters::a_poison_message_ends_at_the_last_queue_of_a_chain, topology::a_dead_letter_queue_must_exist_elsewhere_and_allow_a_receive] "";
    40 Suite [operations::replayed_messages_return_to_their_own_sources, operations::replayed_messages_go_to_the_queue_that_is_named] "";
    41 Suite [operations::a_replay_without_a_way_back_moves_nothing, operations::a_replay_from_an_ordinary_queue_is_refused] "A replay is one call, so no second one can meet it running; queues are not deleted.";
    42 LeftOut [] "A replay is cancelled by ending who asked for it; what was not moved by then stays.";
    43 Suite [delay_and_counters::a_scheduled_message_is_absent_until_its_delay_is_over, delay_and_counters::a_delay_over_the_limit_is_refused] "";
    44 Suite [delay_and_counters::a_message_without_delay_passes_the_delay_of_its_queue] "";
    46 Suite [dead_letters::a_moved_message_keeps_body_attributes_age_and_count] "Retention is not on the port; the age that it would count from is kept.";
    47 Suite [delay_and_counters::a_purge_takes_visible_leased_and_delayed_messages] "";
    49 Suite [delay_and_counters::the_counters_of_a_queue_sum_to_its_messages] "";
    50 Suite [batch::a_batch_of_none_or_too_many_is_refused_and_nothing_is_queued] "";
    51 Suite [batch::one_illegal_entry_of_ten_fails_alone_and_in_its_place, delay_and_counters::one_bad_entry_of_a_schedule_fails_alone] "";
    52 LeftOut [] "Entries have no ids; an adapter that needs them makes its own.";
    53 Suite [topology::declaring_the_same_again_keeps_the_queue_and_its_messages, topology::declaring_a_queue_with_other_attributes_is_refused, topology::concurrent_declarations_give_one_queue] "";
    54 Suite [topology::bad_names_are_refused] "";
    55 Suite [topology::every_verb_of_an_unknown_queue_or_topic_says_so] "";
    56 Suite [topics::a_message_that_no_queue_hears_is_accepted_and_dropped] "The count is no verb of the port; the embedded backends test theirs.";
    57 Suite [topics::each_subscribed_queue_gets_a_copy_of_its_own] "";
    58 Suite [consumer_contract::raw_and_enveloped_bodies_are_read_as_the_same_message] "The embedded fabric delivers raw; what is tested is that both forms are read.";
    59 Suite [consumer_contract::raw_and_enveloped_bodies_are_read_as_the_same_message] "There is no switch to throw; both forms stand on one queue.";
    60 Suite [send_receive::an_empty_body_is_refused_and_nothing_is_queued] "";
    61 Suite [topology::subscribing_twice_is_once_and_with_another_filter_is_refused] "";
    62 Suite [batch::a_batch_of_none_or_too_many_is_refused_and_nothing_is_queued, batch::a_batch_over_the_size_limit_is_refused_and_nothing_is_queued] "Entries have no ids that could be the same.";
    63 LeftOut [] "Queues are not deleted, so a subscription needs no dead-letter queue.";
    67 Suite [topics::a_filter_passes_only_what_it_names] "";
    69 Suite [consumer_contract::a_message_whose_handler_failed_comes_back_after_its_timeout_and_not_after_success] "";
    70 Suite [consumer_contract::only_the_failed_message_of_a_batch_comes_back] "What is reported is the loop's; here: only the failed one returns.";
    73 Suite [consumer_contract::raw_and_enveloped_bodies_are_read_as_the_same_message] "";
    74 Suite [consumer_contract::a_message_over_the_limit_travels_as_a_claim] "";
    75 Backend [] "tests/local_durability";
    76 Backend [] "tests/local_durability";
    77 Backend [] "tests/local_durability";
    78 Backend [] "tests/local_durability, with line 81: a receive that cannot be written is rolled back.";
    79 Backend [] "tests/local_durability";
    80 Backend [] "tests/local_clock.rs";
    81 Backend [] "tests/local_durability";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::PROMISES;

    /// Lines that only the adapter of AWS can keep; its own tests hold them.
    const ADAPTER_ONLY: [u32; 9] = [32, 45, 48, 64, 65, 66, 68, 71, 72];

    #[test]
    fn no_line_of_the_behaviours_is_forgotten() {
        let all = (1..=81).filter(|number| !ADAPTER_ONLY.contains(number));
        let numbers: Vec<u32> = LINES.iter().map(|line| line.number).collect();
        assert_eq!(numbers, all.collect::<Vec<_>>());
    }

    /// The page that lists them.
    const PAGE: &str = include_str!("../../../../docs/design/conformance.md");

    #[test]
    fn the_page_of_the_behaviours_has_every_line_once_and_in_order() {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| "));
        let rows = rows.filter_map(|row| row.split_once(" | "));
        let numbered = rows.filter_map(|(number, text)| Some((number.parse().ok()?, text)));
        let rows: Vec<(u32, &str)> = numbered.collect();
        let numbers: Vec<u32> = rows.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=81).collect::<Vec<_>>());
        for (number, text) in rows {
            let is_adapters = text.starts_with("*adapter:*");
            assert_eq!(ADAPTER_ONLY.contains(&number), is_adapters, "{number}");
            let is_embedded = text.starts_with("*embedded:*");
            let of_backend = |line: &Line| line.coverage == Coverage::Backend;
            let line = LINES.iter().find(|line| line.number == number);
            assert_eq!(line.is_some_and(of_backend), is_embedded, "{number}");
        }
    }

    #[test]
    fn every_line_names_functions_that_exist_or_says_why_not() {
        let known: Vec<_> = PROMISES
            .iter()
            .map(|(theme, name)| format!("{theme}::{name}"))
            .collect();
        for line in LINES {
            match line.coverage {
                Coverage::Suite => assert!(!line.promises.is_empty(), "{line:?}"),
                Coverage::Backend | Coverage::LeftOut => assert!(!line.note.is_empty(), "{line:?}"),
            }
            for promise in line.promises {
                assert!(known.iter().any(|it| it == promise), "{promise}");
            }
        }
    }
}
