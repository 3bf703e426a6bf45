#![allow(clippy::unwrap_used)]

use super::*;
use crate::envelope::Envelope;

fn records(log: &str) -> Vec<Record> {
    let mut envelope = Envelope::new();
    let mut assembler = Assembler::default();
    let (mut lines, mut out) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(log.lines()) {
        envelope.push(number, line, &mut lines);
    }
    envelope.finish(&mut lines);
    for line in lines {
        assembler.push(line, &mut out);
    }
    assembler.finish(&mut out);
    out.sort_by_key(|record| record.first_line);
    out
}

fn spans(log: &str) -> Vec<(u64, u64)> {
    records(log).iter().map(|record| (record.first_line, record.last_line)).collect()
}

#[test]
fn a_warning_takes_its_source_line_and_no_progress_bar() {
    let log = "/opt/lib/memory.py:391: UserWarning: expandable_segments not supported (Triggered internally at a.h:28.)\n\
               \x20 return func(\n\
               Loading checkpoint shards:  50%|█████     | 1/2 [00:07<00:07,  7.34s/it]\n\
               \x20 0%|          | 0/900 [00:00<?, ?it/s]\n\
               step 1\n";
    assert_eq!(spans(log), [(1, 2), (3, 3), (4, 4), (5, 5)]);
}

#[test]
fn an_open_bracket_holds_few_lines_that_are_not_indented() {
    let dump = format!("config = {{\n{}}}\nnext\n", "    'a': 1,\n".repeat(60));
    assert_eq!(spans(&dump), [(1, 62), (63, 63)]);
    let never_closed = format!("now calling f(\n{}", "a line of the program\n".repeat(20));
    assert_eq!(spans(&never_closed)[..2], [(1, 7), (8, 8)]);
}

#[test]
fn lines_behind_a_native_message_are_of_its_rank() {
    let log = "INFO 04-27 17:00:57 [model_runner.py:949] Loading model weights took 27.8083 GB\n\
               [rank5]:[W427 17:10:59.487294155 compiler_depend.ts:57] Warning: EZ9999: Inner Error!\n\
               \x20       TraceBack (most recent call last):\n\
               \x20      rtStreamSynchronize execute failed\n";
    let records = records(log);
    assert_eq!(records.iter().map(|r| (r.first_line, r.last_line)).collect::<Vec<_>>(), [(1, 1), (2, 4)]);
    assert_eq!((records[1].format, records[1].level), (Some(Format::C10), Some(Level::Warn)));
}

#[test]
fn paths_of_windows_are_read_with_slashes() {
    let log = "Traceback (most recent call last):\n  File \"C:\\lib\\transformers\\auto_factory.py\", line 3, in load\n    x()\nValueError: x\n";
    assert_eq!(records(log)[0].exceptions[0].frames[0].path, "C:/lib/transformers/auto_factory.py");
}

#[test]
fn what_is_open_is_bounded() {
    let line = format!("(Worker{{}} pid={{}}) ERROR {}", "x".repeat(100_000));
    let log: String = (0..400).map(|n| format!("{}\n", line.replace("{}", &n.to_string()))).collect();
    let mut envelope = Envelope::new();
    let mut assembler = Assembler::default();
    let (mut lines, mut out) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(log.lines()) {
        envelope.push(number, line, &mut lines);
        for line in lines.drain(..) {
            assembler.push(line, &mut out);
        }
        let open: usize = assembler.open.values().map(|open| open.bytes).sum();
        assert_eq!(open, assembler.held);
        assert!(open <= MAX_OPEN + 200_000);
    }
    assembler.finish(&mut out);
    assert_eq!(out.len(), 400);
    let chain = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nValueError: x\n\nThe above exception was the direct cause of the following exception:\n\n".repeat(500);
    assert!(records(&chain)[0].exceptions.len() <= MAX_EXCEPTIONS);
}

#[test]
fn a_hit_is_found_in_its_line() {
    let text = Text { lines: vec![(7, "ValidationError: 1 error".into()), (7, String::new()), (7, "  Value error, too long".into())] };
    let flat = text.flat();
    let at = flat.text.find("too long").unwrap();
    assert_eq!((flat.line_at(0), flat.line_at(at)), (0, 2));
    assert_eq!(text.part(2, 2).joined(), "  Value error, too long");
}
