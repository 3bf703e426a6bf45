//! Every signature's examples are recognised by it, and none of its counter-examples is taken for its failure.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use oomdoc::envelope::Envelope;
use oomdoc::facts::{Fact, FactKind};
use oomdoc::recognise::Recogniser;
use oomdoc::record::{Assembler, Record};
use oomdoc::signatures::{SIGNATURES, Table, compile, format};

fn files() -> Vec<(String, format::File)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/signatures");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), toml::from_str(&fs::read_to_string(path).unwrap()).unwrap())).collect()
}

fn records(text: &str) -> Vec<Record> {
    let mut envelope = Envelope::new();
    let mut assembler = Assembler::default();
    let (mut lines, mut records) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.split('\n')) {
        envelope.push(number, line, &mut lines);
    }
    envelope.finish(&mut lines);
    for line in lines {
        assembler.push(line, &mut records);
    }
    assembler.finish(&mut records);
    records
}

fn is_hit(table: &Table, records: &[Record], id: &str) -> bool {
    let hit = |text: &str| table.hits(text, |_| true).iter().any(|hit| hit.signature.id == id);
    records.iter().any(|record| hit(&record.message.flat().text) || record.exceptions.iter().any(|e| hit(&e.text.flat().text)))
}

fn facts(table: &Table, records: &[Record]) -> Vec<Fact> {
    let mut recogniser = Recogniser::new(table);
    let mut facts = Vec::new();
    for record in records {
        recogniser.record(record, &mut facts);
    }
    facts
}

#[test]
fn ids_are_unique_and_patterns_compile() {
    let mut ids = BTreeSet::new();
    for signature in SIGNATURES {
        assert!(ids.insert(&signature.id), "{} is not unique", signature.id);
        assert!(!signature.anchors.is_empty(), "{} has no anchor", signature.id);
        for anchor in signature.anchors.iter() {
            assert!(anchor.len() >= 4, "{}: the anchor {anchor:?} is too short", signature.id);
        }
        if let Some(pattern) = &signature.pattern {
            assert!(compile(pattern).is_some(), "{}: {pattern}", signature.id);
        }
    }
}

#[test]
fn every_example_is_recognised() {
    let table = Table::new(Vec::new());
    let mut wrong = Vec::new();
    for (path, file) in files() {
        for entry in &file.signature {
            if entry.example.all().is_empty() || entry.counter.all().is_empty() {
                wrong.push(format!("{path}: {}: it needs an example and a counter-example", entry.id));
            }
            for example in entry.example.all() {
                if !is_hit(&table, &records(example), &entry.id) {
                    wrong.push(format!("{path}: {}: not recognised: {example}", entry.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} examples:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_counter_example_counts() {
    let table = Table::new(Vec::new());
    let mut wrong = Vec::new();
    for (path, file) in files() {
        for entry in &file.signature {
            for counter in entry.counter.all() {
                let facts = facts(&table, &records(counter));
                let counts = facts.iter().any(|fact| *fact.rule == *entry.id && (fact.kind != FactKind::Hint || entry.fact == "hint"));
                if counts {
                    wrong.push(format!("{path}: {}: it counts: {counter}", entry.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} counter-examples:\n{}", wrong.len(), wrong.join("\n"));
}
