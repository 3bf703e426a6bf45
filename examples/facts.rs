//! Prints the facts that are read from a log, for work on signatures: `cargo run --example facts -- LOG`.

#![allow(clippy::print_stdout)]

use oomdoc::envelope::Envelope;
use oomdoc::recognise::Recogniser;
use oomdoc::record::Assembler;
use oomdoc::signatures::Table;

fn main() -> std::io::Result<()> {
    let text = std::fs::read(std::env::args().nth(1).unwrap_or_default())?;
    let table = Table::new(Vec::new());
    let (mut envelope, mut assembler, mut recogniser) = (Envelope::new(), Assembler::default(), Recogniser::new(&table));
    let (mut lines, mut records, mut facts) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in (1..).zip(String::from_utf8_lossy(&text).split('\n')) {
        envelope.push(number, line, &mut lines);
    }
    envelope.finish(&mut lines);
    for line in lines {
        assembler.push(line, &mut records);
    }
    assembler.finish(&mut records);
    for record in &records {
        println!(
            "{}-{} {:?} {:?} {:?} exceptions {}",
            record.first_line,
            record.last_line,
            record.level,
            record.format,
            record.rank,
            record.exceptions.len()
        );
        recogniser.record(record, &mut facts);
        for fact in facts.drain(..) {
            println!(
                "    {:?} {} {:?} stage {:?} {:?} {:?}",
                fact.kind,
                fact.rule,
                fact.strength,
                fact.stage,
                fact.attributes,
                fact.place.text.lines().next()
            );
        }
    }
    Ok(())
}
