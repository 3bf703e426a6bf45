//! What each stage of a run costs, and the whole of it: `cargo bench`.

#![allow(missing_docs, clippy::unwrap_used)]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use oomdoc::analysis::{Analyzer, Options};
use oomdoc::envelope::{Envelope, Line};
use oomdoc::recognise::Recogniser;
use oomdoc::record::{Assembler, Record};
use oomdoc::signatures::Table;
use oomdoc::source::Reader;

/// A log of some 200 lines that ends in a failure.
const SMALL: &str = include_str!("../fixtures/weight-oom/seed-002-vllm-0.11.0-unquantized-linear/input.log");

fn main() {
    divan::main();
}

fn lines() -> Vec<Line> {
    let mut envelope = Envelope::new();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(SMALL.lines()) {
        envelope.push(number, line, &mut lines);
    }
    envelope.finish(&mut lines);
    lines
}

fn records() -> Vec<Record> {
    let mut assembler = Assembler::default();
    let mut records = Vec::new();
    for line in lines() {
        assembler.push(line, &mut records);
    }
    assembler.finish(&mut records);
    records
}

/// A busy server's log: access lines, metrics and requests, in which nothing fails.
fn serving(bytes: usize) -> Vec<u8> {
    let mut log = String::with_capacity(bytes + 1024);
    let mut n = 0;
    while log.len() < bytes {
        n += 1;
        match n % 8 {
            0 => log.push_str(&format!("INFO 03-14 09:26:53 [loggers.py:111] Engine 000: Avg prompt throughput: {n}.0 tokens/s, Avg generation throughput: 87.3 tokens/s, Running: 4 reqs, Waiting: 0 reqs, GPU KV cache usage: 12.5%, Prefix cache hit rate: 41.0%\n")),
            1 => log.push_str(&format!("INFO 03-14 09:26:54 [logger.py:39] Received request chatcmpl-{n}: prompt: 'Explain how a tide gauge works, and list some places that have had one for long.', params: SamplingParams(n=1, temperature=0.7, top_p=0.95), prompt_token_ids: None, lora_request: None.\n")),
            2 => log.push_str(&format!("INFO 03-14 09:26:54 [async_llm.py:271] Added request chatcmpl-{n}.\n")),
            _ => log.push_str(&format!("INFO:     10.0.3.17:{} - \"POST /v1/chat/completions HTTP/1.1\" 200 OK\n", 40_000 + n % 20_000)),
        }
    }
    log.into_bytes()
}

#[divan::bench]
fn source(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_str(SMALL)).bench(|| {
        let mut reader = Reader::from_bytes(SMALL).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            black_box(line);
        }
    });
}

#[divan::bench]
fn envelope(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_str(SMALL)).bench(lines);
}

#[divan::bench]
fn record(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_str(SMALL)).with_inputs(lines).bench_values(|lines| {
        let mut assembler = Assembler::default();
        let mut records = Vec::new();
        lines.into_iter().for_each(|line| assembler.push(line, &mut records));
        assembler.finish(&mut records);
        records
    });
}

#[divan::bench]
fn recognise(bencher: Bencher<'_, '_>) {
    let table = Table::new(Vec::new());
    bencher.counter(BytesCount::of_str(SMALL)).with_inputs(records).bench_values(|records| {
        let mut recogniser = Recogniser::new(&table);
        let mut facts = Vec::new();
        records.iter().for_each(|record| recogniser.record(record, &mut facts));
        facts
    });
}

/// The whole of a short run, with tables that were not used before.
#[divan::bench]
fn whole(bencher: Bencher<'_, '_>) {
    let options = Options::default();
    bencher.counter(BytesCount::of_str(SMALL)).bench(|| Analyzer::new(&options).run(Reader::from_bytes(SMALL).unwrap(), "-").unwrap());
}

/// A large log, of which the gate passes over nearly all.
#[divan::bench(sample_count = 10)]
fn large(bencher: Bencher<'_, '_>) {
    let options = Options::default();
    let analyzer = Analyzer::new(&options);
    let log = serving(64 << 20);
    let input = || Reader::from_bytes(log.clone()).unwrap();
    bencher.counter(BytesCount::new(log.len())).with_inputs(input).bench_values(|reader| analyzer.run(reader, "-").unwrap());
}
