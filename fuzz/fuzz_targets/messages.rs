//! The bodies of messages: commands, results, events, envelopes and claims.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    pudato_protocol::fuzzing::body(body);
    pudato_messaging::fuzzing::body(body);
});
