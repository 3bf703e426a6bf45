//! What makes a run quick must not change what it finds: patterns compiled by the build script, and the gate.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use oomdoc::envelope::Envelope;
use oomdoc::record::Assembler;
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
    // Anchors that stand in healthy lines too: a line that holds one is read when another speaks beside it.
    let table = Table::new(Vec::new());
    let is_needle = |anchor: &str| {
        table.needles().iter().any(|needles| {
            let mut is_found = needles.short.iter().any(|short| anchor.contains(short.as_ref()));
            for shift in 0..4 {
                needles.find(format!("{}{anchor}", &"    "[..shift]).as_bytes(), |_, _| {
                    is_found = true;
                    true
                });
            }
            is_found
        })
    };
    let missing = |entry: &&format::Entry| entry.is_sought() && !entry.anchor.all().iter().any(|anchor| is_needle(anchor));
    let missing: Vec<String> = entries().iter().filter(missing).map(|e| format!("{} {:?}", e.id, e.anchor.all())).collect();
    assert!(missing.len() <= EVERYDAY, "{} signatures that no needle finds:\n{}", missing.len(), missing.join("\n"));
}

/// Signatures whose every anchor stands in healthy lines.
const EVERYDAY: usize = 8;

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
