//! What the worker hears from the engine's process, and the other way round.
#![no_main]

/// Arrow answers some bytes with a panic, which pudato takes for an error; any other panic ends the fuzzer, as it does by default.
fn all_but_arrows() {
    let by_default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        if !["/arrow-", "/flatbuffers-"]
            .iter()
            .any(|name| file.contains(name))
        {
            by_default(panic);
        }
    }));
}

libfuzzer_sys::fuzz_target!(
    init: all_but_arrows(),
    |bytes: &[u8]| pudato_query::duckdb::fuzzing::frames(bytes)
);
