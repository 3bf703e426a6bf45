//! What makes a run quick must not change what it finds: patterns compiled by the build script, and the gate.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use oomdoc::envelope::Envelope;
use oomdoc::record::Assembler;
use oomdoc::scan::Gate;
use oomdoc::signatures::{SIGNATURES, Table, compile, format};
use oomdoc::source::Reader;
use oomdoc::{Options, analysis::Analyzer};
use proptest::prelude::*;

fn entries() -> Vec<format::Entry> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/signatures");
    let paths = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.flat_map(|path| toml::from_str::<format::File>(&fs::read_to_string(path).unwrap()).unwrap().signature).collect()
}

/// The flat texts of a log.
fn texts(log: &str) -> Vec<String> {
    let mut envelope = Envelope::new();
    let mut assembler = Assembler::default();
    let (mut lines, mut records) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(log.split('\n')) {
        envelope.push(number, line, &mut lines);
    }
    envelope.finish(&mut lines);
    lines.into_iter().for_each(|line| assembler.push(line, &mut records));
    assembler.finish(&mut records);
    records.iter().flat_map(|r| std::iter::once(r.message.flat().text).chain(r.exceptions.iter().map(|e| e.text.flat().text))).collect()
}

/// What both engines make of a text must be the same.
fn compare(regex: &regex::bytes::Regex, program: &oomdoc::program::Program, text: &str) -> Result<(), String> {
    let by_program = program.groups_in(text.as_bytes());
    let by_regex = regex.captures(text.as_bytes()).map(|found| {
        let groups = regex.capture_names().enumerate().filter(|(number, name)| *number == 0 || name.is_some());
        groups.filter_map(|(number, name)| found.get(number).map(|group| (name.unwrap_or(""), group.start(), group.end()))).collect::<Vec<_>>()
    });
    if by_program == by_regex { Ok(()) } else { Err(format!("{regex}\non {text:?}\nprogram: {by_program:?}\nregex: {by_regex:?}")) }
}

#[test]
fn programs_match_as_the_expressions_do() {
    let entries = entries();
    let texts: BTreeMap<String, Vec<String>> =
        entries.iter().map(|e| (e.id.clone(), e.example.all().iter().chain(e.counter.all()).flat_map(|text| texts(text)).collect())).collect();
    let everything: Vec<&String> = texts.values().flatten().step_by(37).collect();
    for signature in SIGNATURES {
        let Some(pattern) = &signature.pattern else { continue };
        let regex = compile(pattern).unwrap();
        let program = signature.program.unwrap_or_else(|| panic!("{} has no program", signature.id));
        for text in texts[signature.id.as_ref()].iter().chain(everything.iter().copied()) {
            if let Err(difference) = compare(&regex, &program, text) {
                panic!("{}: {difference}", signature.id);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn programs_match_as_the_expressions_do_on_mixtures(pieces in prop::collection::vec((0usize..20_000, 0usize..400, 1usize..60), 1..6), at in 0usize..2000) {
        let entries = entries();
        let examples: Vec<&String> = entries.iter().flat_map(|e| e.example.all().iter().chain(e.counter.all())).collect();
        let mut text = String::new();
        for (number, from, length) in pieces {
            text.extend(examples[number % examples.len()].chars().skip(from).take(length));
        }
        for signature in SIGNATURES.iter().filter(|s| s.pattern.is_some()).skip(at % 900).take(60) {
            let regex = compile(signature.pattern.as_ref().unwrap()).unwrap();
            let compared = compare(&regex, &signature.program.unwrap(), &text);
            prop_assert!(compared.is_ok(), "{}: {}", signature.id, compared.unwrap_err());
        }
    }
}

#[test]
fn what_is_sought_has_a_needle() {
    // Of several anchors one is enough: a line that holds another is read when something speaks beside it.
    let table = Table::new(Vec::new());
    // Each of these would cost a search of its own.
    assert!(table.needles().iter().all(|needles| needles.tiny.is_empty()), "too short: {:?}", table.needles()[0].tiny);
    let is_needle = |anchor: &str| {
        table.needles().iter().any(|needles| {
            let mut is_found = false;
            for shift in 0..4 {
                needles.find(format!("{}{anchor}", &"    "[..shift]).as_bytes(), |_, _| {
                    is_found = true;
                    true
                });
            }
            is_found
        })
    };
    let missing = |entry: &&format::Entry| entry.is_sought() && !entry.anchor.all().iter().chain(entry.needle.all()).any(|text| is_needle(text));
    let missing: Vec<String> = entries().iter().filter(missing).map(|e| format!("{} {:?}", e.id, e.anchor.all())).collect();
    assert!(missing.is_empty(), "{} signatures that no needle finds:\n{}", missing.len(), missing.join("\n"));
}

/// What the gate reads of a log: a part of the bytes beyond the beginning and the end that are read whole.
fn part_that_is_read(log: &str) -> f64 {
    const WHOLE: u64 = (1 << 20) + (256 << 10);
    let table = Table::new(Vec::new());
    let mut gate = Gate::new(table.needles());
    let mut reader = Reader::from_bytes(log).unwrap();
    let mut bytes = 0;
    gate.run(&mut reader, |_, line| bytes += line.len() as u64 + 1).unwrap();
    gate.finish(&reader, |_, line| bytes += line.len() as u64 + 1);
    bytes.saturating_sub(WHOLE) as f64 / (log.len() as u64 - WHOLE) as f64
}

#[test]
fn little_is_read_of_a_large_log() {
    let quiet = |n: usize| match n % 4 {
        0 => format!("INFO:     10.0.3.17:{} - \"POST /v1/chat/completions HTTP/1.1\" 200 OK\n", 40_000 + n % 20_000),
        1 => format!(
            "INFO 03-14 09:26:54 [logger.py:39] Received request chatcmpl-{n}: prompt: 'Say {n} words on tide gauges, and where they stand.', params: SamplingParams(n=1, temperature=0.7), prompt_token_ids: None, lora_request: None.\n"
        ),
        2 => format!(
            "INFO 03-14 09:26:53 [loggers.py:111] Engine 000: Avg prompt throughput: {n}.0 tokens/s, Avg generation throughput: 87.3 tokens/s, Running: 4 reqs, Waiting: 0 reqs, GPU KV cache usage: 12.5%, Prefix cache hit rate: 41.0%\n"
        ),
        _ => format!("DEBUG 03-14 09:26:54 [scheduler.py:{}] request chatcmpl-{n} has {n} tokens computed\n", n % 800),
    };
    let failure = |n: usize| {
        format!("ERROR 03-14 09:26:55 [serving_chat.py:200] Traceback (most recent call last): ValueError: request {n} asks for more than there is\n")
    };
    let healthy: String = (0..80_000).map(quiet).collect();
    assert!(part_that_is_read(&healthy) < 0.003, "of a healthy log {}", part_that_is_read(&healthy));
    // A failure among four thousand lines: with those around it, two in a hundred are read.
    let some: String = (0..80_000).map(|n| if n % 4000 == 0 { failure(n) } else { quiet(n) }).collect();
    assert!(part_that_is_read(&some) < 0.03, "of one with failures {}", part_that_is_read(&some));
    // What is said over and over is sampled.
    let noise: String = (0..120_000).map(failure).collect();
    assert!(part_that_is_read(&noise) < 0.2, "of nothing but failures {}", part_that_is_read(&noise));
}

#[test]
fn many_healthy_lines_change_no_verdict_more_than_a_few_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let healthy: String = (0..16_000)
        .map(|n| match n % 3 {
            0 => format!("INFO:     10.0.3.17:{} - \"POST /v1/chat/completions HTTP/1.1\" 200 OK\n", 40_000 + n),
            1 => format!("INFO:     127.0.0.1:{} - \"GET /metrics HTTP/1.1\" 200 OK\n", 40_000 + n),
            _ => format!("2031-01-01T00:00:00.{:06}Z  INFO text_generation_router::server: router/src/server.rs:322: Success\n", n % 1_000_000),
        })
        .collect();
    let options = Options::default();
    let analyzer = Analyzer::new(&options);
    let mut logs = Vec::new();
    for cause in fs::read_dir(folder).unwrap() {
        let cause = cause.unwrap().path();
        let mut cases: Vec<_> = fs::read_dir(cause).unwrap().map(|case| case.unwrap().path().join("input.log")).filter(|p| p.exists()).collect();
        cases.sort();
        logs.extend(cases.into_iter().step_by(3));
    }
    let causes = |log: String| -> Vec<(&'static str, Option<u64>)> {
        let report = analyzer.run(Reader::from_bytes(log).unwrap(), "-").unwrap();
        report.incidents.iter().map(|incident| (incident.cause, incident.figures.tried_bytes)).collect()
    };
    let mut different = Vec::new();
    for path in &logs {
        let Ok(log) = fs::read_to_string(path) else { continue };
        let few = &healthy[..healthy.match_indices('\n').nth(300).unwrap().0 + 1];
        let whole = causes(format!("{few}{log}\n{few}"));
        let gated = causes(format!("{healthy}{log}\n{healthy}"));
        if whole != gated {
            different.push(format!("{}: {whole:?}, among many healthy lines {gated:?}", path.display()));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), logs.len(), different.join("\n"));
}
