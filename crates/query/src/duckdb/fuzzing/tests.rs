//! The corpus of the fuzzers, and inputs near it.

use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder(target)).expect("the corpus");
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        std::fs::read(file.expect("a file").path()).expect("read")
    };
    let corpus: Vec<_> = files.map(read).collect();
    assert!(corpus.len() >= 5, "{target}");
    corpus
}

/// Runs inputs that differ a little from the corpus.
fn near(target: &str, cases: u32, run: impl Fn(&[u8])) {
    let corpus = corpus(target);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let index = any::<prop::sample::Index>;
    let put = proptest::collection::vec(any::<u8>(), 0..4);
    proptest!(config, |(which in index(), at in index(), cut in 0..4_usize, put in put)| {
        let mut input = corpus[which.index(corpus.len())].clone();
        let at = at.index(input.len() + 1);
        input.splice(at..(at + cut).min(input.len()), put);
        run(&input);
    });
}

#[test]
fn what_holds_for_every_text_holds_for_the_corpus_of_statements() {
    corpus("statements")
        .iter()
        .for_each(|text| super::sql(text));
    near("statements", 500, super::sql);
}

#[test]
fn what_holds_for_every_source_holds_for_the_corpus() {
    for input in corpus("sources") {
        super::source(&input);
    }
}

#[test]
fn what_holds_for_every_frame_holds_for_the_corpus() {
    corpus("engine_protocol")
        .iter()
        .for_each(|bytes| super::frames(bytes));
    near("engine_protocol", 300, super::frames);
}
