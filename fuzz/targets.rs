//! What the fuzz targets run. Each takes any bytes and panics where a promise is broken. `fuzz_targets` hands them to
//! libFuzzer; `tests/fuzz.rs` runs the same over seeds and over the corpus that was kept, on stable Rust.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use oomdoc::analysis::Analyzer;
use oomdoc::envelope::Envelope;
use oomdoc::extract::{allocator, arguments, payload, tables};
use oomdoc::memory::catalogue::{self, UserCatalogue};
use oomdoc::memory::device::ask;
use oomdoc::memory::estimate::{self, CacheFormat, Engine, Setup, Version, formats};
use oomdoc::memory::{Bytes, Device, Dtype, Model};
use oomdoc::post_mortem::{Evidence, Role};
use oomdoc::redact::{redact, redact_report};
use oomdoc::remedies::command::{Change, Command, Form, Launch, Piece, Shell, Trust, Word, quote, split};
use oomdoc::remedies::flags::Circumstances;
use oomdoc::report::{self, Format, Style, fit};
use oomdoc::signatures::{SIGNATURES, Table, compile, parse_rules, parse_size};
use oomdoc::source::live::Follow;
use oomdoc::source::{Reader, SourceError};
use oomdoc::watch::{Notice, Watcher};
use oomdoc::{Options, PostMortem, record, time};
use pulldown_cmark::{Event, Options as Extensions, Parser, Tag};
use regex::bytes::Regex;

/// What a target does with an input.
type Body = fn(&[u8]);

/// Name and body of each target.
pub const TARGETS: &[(&str, Body)] = &[
    ("source", source),
    ("gate", gate),
    ("records", records),
    ("messages", messages),
    ("patterns", patterns),
    ("dumps", dumps),
    ("command", command),
    ("quoting", quoting),
    ("secrets", secrets),
    ("reports", reports),
    ("model_files", model_files),
    ("catalogue", user_catalogue),
    ("rules", rules),
    ("fit", fits),
    ("ledger", ledger),
    ("watch", watch),
    ("follow", follow),
    ("pipeline", pipeline),
];

/// Runs a target.
///
/// # Panics
/// Where a promise is broken; also when there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let Some((_, body)) = TARGETS.iter().find(|(target, _)| *target == name) else { panic!("there is no target {name}") };
    body(data);
}

// ------------------------------------------------------------------------------------------------------------- what helps

/// Takes numbers from the front of an input; the rest is text.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// A number of any size, the extremes among them.
    fn number(&mut self) -> u64 {
        match self.byte() {
            0 => 0,
            255 => u64::MAX,
            254 => 1 << self.byte().min(63),
            253 => u64::from(u32::MAX),
            n if n < 128 => u64::from(n) * 256 + u64::from(self.byte()),
            _ => (0..8).fold(0, |sum, _| sum << 8 | u64::from(self.byte())),
        }
    }

    /// The text up to the next NUL byte.
    fn text(&mut self) -> String {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = &self.0[(end + 1).min(self.0.len())..];
        text
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

/// Gives no more at a time than it was told, with an interruption now and then.
struct Pieces {
    bytes: io::Cursor<Vec<u8>>,
    most: usize,
    reads: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads % 16 == 7 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = into.len().min(self.most);
        self.bytes.read(&mut into[..most])
    }
}

fn in_pieces(bytes: &[u8], most: u8) -> Result<Reader, SourceError> {
    Reader::from_read(Box::new(Pieces { bytes: io::Cursor::new(bytes.to_vec()), most: usize::from(most).max(1), reads: 0 }))
}

fn analyzer() -> &'static Analyzer<'static> {
    static OPTIONS: LazyLock<Options> = LazyLock::new(Options::default);
    static ANALYZER: LazyLock<Analyzer<'static>> = LazyLock::new(|| Analyzer::new(&OPTIONS));
    &ANALYZER
}

fn render(report: &PostMortem, format: Format, style: &Style) -> String {
    let mut out = Vec::new();
    report::write(format, &[report.clone().into()], style, &mut out).expect("memory can be written to");
    String::from_utf8(out).expect("reports are UTF-8")
}

/// A secret of each kind, and what of it must never be seen.
const SECRETS: &[(&str, &str)] = &[
    ("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", "qTzWvYbRkLmPdXcNsFgHjKaQwErTyUiOpZ"),
    ("sk-proj-Zk3mQ9vT7xLpR2wN8bYcD4fGhJ6sAeUi", "Zk3mQ9vT7xLpR2wN8bYcD4fGhJ6sAeUi"),
    ("ghp_R4nD0mV4lu3Th4tN0b0dyKn0wsAtA11xyzQ", "R4nD0mV4lu3Th4tN0b0dyKn0wsAtA11xyzQ"),
    ("AKIAQX7MZB4KTR2WPLUJ", "QX7MZB4KTR2WPLUJ"),
    ("Authorization: Bearer mF9zB5f4K1JqMxTq", "mF9zB5f4K1JqMxTq"),
    ("https://user:Zw8kPq3rLm@hub.example/x", "Zw8kPq3rLm"),
    ("api_key=Vb7nMk2pQx9sTd4w", "Vb7nMk2pQx9sTd4w"),
    ("nvapi-Xy7Kq2mPz9Lw4Rt8Vb3Nc6Jd1Hs5Gf0A", "Xy7Kq2mPz9Lw4Rt8Vb3Nc6Jd1Hs5Gf0A"),
];

/// Puts secrets for the bytes 1 to 8, each a word of its own.
fn with_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (c as usize).checked_sub(1).and_then(|at| SECRETS.get(at)) {
            Some((secret, _)) => {
                out.push(' ');
                out.push_str(secret);
                out.push(' ');
            }
            None => out.push(c),
        }
    }
    out
}

/// True when a part of a secret can be read.
fn shows_a_secret(text: &str) -> bool {
    SECRETS.iter().any(|(_, body)| text.contains(&body[..10]) || text.contains(&body[body.len() - 10..]))
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// What holds of every report in every format.
fn check_report(report: &PostMortem) {
    for incident in &report.incidents {
        assert!((0.0..=1.0).contains(&incident.confidence), "{}", incident.confidence);
        assert!(incident.evidence.iter().all(|piece| piece.line >= 1));
    }
    for device in &report.memory.devices {
        let sum: u128 = device.components.iter().map(|part| u128::from(part.bytes)).sum();
        // What is printed is rounded.
        assert!(device.total_bytes.is_none_or(|total| sum <= u128::from(total) * 201 / 200), "the parts exceed the device: {device:?}");
    }
    let style = Style::default();
    for format in [Format::Text, Format::Markdown, Format::Json, Format::Ndjson, Format::Html] {
        let text = render(report, format, &style);
        let bad = text.chars().find(|&c| c.is_control() && c != '\n' || is_hidden(c));
        assert_eq!(bad, None, "in {format:?}");
        match format {
            Format::Markdown => check_markdown(&text),
            Format::Html => check_html(&text),
            Format::Json => {
                let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(value["source"]["name"].as_str(), Some(report.source.name.as_str()));
            }
            Format::Ndjson => assert_eq!(text.lines().count(), 1),
            Format::Text => {}
        }
    }
    for (width, color, unicode) in [(40, true, true), (120, false, false)] {
        let text = render(report, Format::Text, &Style { width, color, unicode });
        let sequences = text.split('\u{1b}').skip(1);
        for sequence in sequences {
            let end = sequence.find(|c: char| !c.is_ascii_digit() && !matches!(c, ';' | '['));
            assert!(sequence.starts_with('[') && end.is_some_and(|end| sequence[end..].starts_with('m')), "{sequence:?}");
        }
        assert!(color || !text.contains('\u{1b}'));
        assert!(unicode || text.is_ascii(), "{text:?}");
    }
}

/// Nothing in it is active: no link, no image, no HTML, no footnote.
fn check_markdown(text: &str) {
    let extensions = Extensions::ENABLE_TABLES | Extensions::ENABLE_STRIKETHROUGH | Extensions::ENABLE_FOOTNOTES;
    for event in Parser::new_ext(text, extensions) {
        let is_active = matches!(
            event,
            Event::Html(_)
                | Event::InlineHtml(_)
                | Event::FootnoteReference(_)
                | Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::FootnoteDefinition(_) | Tag::Strikethrough)
        );
        assert!(!is_active, "{event:?} in\n{text}");
    }
}

/// Its elements are those of the page's own template, and none has an attribute that could run or fetch anything.
fn check_html(page: &str) {
    const ELEMENTS: &[&str] = &[
        "!doctype",
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "h3",
        "p",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "a",
        "article",
        "code",
        "br",
        "figure",
        "figcaption",
        "span",
        "i",
        "pre",
        "ol",
        "ul",
        "li",
        "strong",
        "footer",
    ];
    const ATTRIBUTES: &[&str] = &[
        "html",
        "lang",
        "charset",
        "name",
        "content",
        "http-equiv",
        "scope",
        "class",
        "id",
        "href",
        "role",
        "style",
        "title",
        "start",
        "aria-label",
        "aria-hidden",
    ];
    let body = page.find("</style>").expect("the page has a style");
    for tag in page[body..].split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag that ends");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        assert!(ELEMENTS.contains(&name), "<{tag}>");
        // Outside of quotes there are only names of attributes.
        for (at, outside) in tag.split('"').enumerate().filter(|(at, _)| at % 2 == 0) {
            let words = if at == 0 { outside.trim_start_matches('/').strip_prefix(name).unwrap_or(outside) } else { outside };
            for attribute in words.split_whitespace() {
                assert!(ATTRIBUTES.contains(&attribute.trim_end_matches('=')), "<{tag}>");
            }
        }
        assert!(!tag.contains("href=") || tag.contains("href=\"#log-"), "<{tag}>");
    }
}

// ------------------------------------------------------------------------------------------------------------- the way in

/// Lines of any bytes, packed or not: the same, however little is read at a time.
pub fn source(data: &[u8]) {
    // A small input may unpack to very much.
    const MOST: u64 = 4 << 20;
    let mut choices = Choices(data);
    let most = choices.byte();
    // Number, length and a sum of each line; and whether not all was read.
    type Lines = (Vec<(u64, usize, u64)>, bool);
    let read = |reader: Result<Reader, SourceError>| -> Result<Lines, String> {
        let mut reader = reader.map_err(|error| error.to_string())?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().map_err(|error| error.to_string())? {
            assert!(!line.bytes.contains(&b'\n') && !line.bytes.contains(&0));
            let sum = line.bytes.iter().fold(7_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
            lines.push((line.number, line.bytes.len(), sum));
            if reader.bytes_read() > MOST {
                return Ok((Vec::new(), true));
            }
        }
        Ok((lines, !reader.problems().is_empty()))
    };
    let whole = read(Reader::from_bytes(choices.0));
    let pieces = read(in_pieces(choices.0, most));
    if let Ok((lines, is_partial)) = &whole {
        assert!(lines.iter().zip(1..).all(|(line, number)| line.0 == number));
        // What can be got out of damaged data depends on how much of them a decoder has seen.
        if *is_partial {
            return;
        }
    }
    assert_eq!(whole, pieces);
}

/// What passes the gate are lines of the log, in their order, and what is sought is among them.
pub fn gate(data: &[u8]) {
    const SOUGHT: &str = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.";
    // What comes first is read whole.
    const HEAD_LINES: u64 = 5;
    static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| format!("{}\n", "a calm line ".repeat(21_000)).repeat(5).into_bytes());
    let mut choices = Choices(data);
    let most = choices.byte();
    let log: Vec<u8> = choices.0.iter().flat_map(|&byte| if byte == 1 { SOUGHT.as_bytes().to_vec() } else { vec![byte] }).collect();
    let log = [HEAD.as_slice(), &log].concat();
    let pass = |reader: Result<Reader, SourceError>| {
        let mut reader = reader.expect("text comes first");
        let mut gate = analyzer().gate();
        let mut seen: Vec<(u64, Vec<u8>)> = Vec::new();
        gate.run(&mut reader, |number, line| seen.push((number, line.to_vec()))).expect("memory can be read");
        gate.finish(&reader, |number, line| seen.push((number, line.to_vec())));
        seen
    };
    let seen = pass(Reader::from_bytes(log.clone()));
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "out of order");
    let tail = &log[HEAD.len()..];
    let mut lines: Vec<Vec<u8>> = tail.split(|&byte| byte == b'\n').map(|line| line.iter().copied().filter(|&byte| byte != 0).collect()).collect();
    if tail.is_empty() || tail.ends_with(b"\n") {
        lines.pop();
    }
    for (number, line) in seen.iter().filter(|(number, _)| *number > HEAD_LINES) {
        assert_eq!(&lines[usize::try_from(number - HEAD_LINES).expect("a line's number") - 1], line, "line {number}");
    }
    let found = |number: u64| seen.binary_search_by_key(&number, |line| line.0).is_ok();
    let sought = |line: &[u8]| line.windows(SOUGHT.len()).any(|part| part == SOUGHT.as_bytes());
    // A needle that is everywhere is noise.
    if lines.len() < 500 {
        for (number, line) in (HEAD_LINES + 1..).zip(&lines) {
            assert!(!sought(line) || found(number), "line {number} is not read");
        }
    }
    assert!(found(HEAD_LINES + lines.len() as u64), "the last line is not read");
    if most > 0 {
        assert_eq!(seen, pass(Reader::from_read(Box::new(Pieces { bytes: io::Cursor::new(log), most: usize::from(most) * 100, reads: 0 }))));
    }
}

/// Wrappers come off, messages and tracebacks are put together; lines stay where they were.
pub fn records(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut envelope = Envelope::new();
    let mut assembler = record::Assembler::default();
    let (mut lines, mut records) = (Vec::new(), Vec::new());
    let mut last = 0;
    for (number, line) in (1..).zip(text.split('\n')) {
        last = number;
        envelope.push(number, line, &mut lines);
    }
    envelope.finish(&mut lines);
    for line in lines {
        assert!(1 <= line.number && line.number <= line.last_number && line.last_number <= last);
        assembler.push(line, &mut records);
    }
    assembler.finish(&mut records);
    for record in &records {
        assert!(1 <= record.first_line && record.first_line <= record.last_line && record.last_line <= last);
        let texts = record.exceptions.iter().map(|exception| &exception.text).chain([&record.message]);
        for text in texts {
            let flat = text.flat();
            assert!(!flat.text.contains('\n') && flat.line_at(flat.text.len()) <= text.lines.len());
            assert!(text.lines.iter().all(|(number, _)| (1..=last).contains(number)));
        }
        if let Some(stamp) = &record.stamp {
            time::iso(stamp, Some(2025));
        }
    }
}

/// What is read of one message.
pub fn messages(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let whole = |(from, to): (usize, usize)| text.get(from..to).is_some();
    for found in allocator::parse_all(&text) {
        assert!(whole(found.span));
        allocator::identify_self(&found);
    }
    assert!(payload::quoted(&text).ranges.into_iter().all(whole));
    tables::smi(&text);
    tables::memory_summaries(&text);
    if let Some((stamp, length)) = time::leading_stamp(&text) {
        assert!(text.is_char_boundary(length));
        time::iso(&stamp, None);
        time::Timeline::new(None).offset_ms(&stamp);
    }
    time::epoch_stamp(&text);
    parse_size(&text, Some("GiB"), false);
    parse_size(&text, None, true);
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(Vec::new()));
    for hit in TABLE.hits(&text, |_| true) {
        assert!(hit.start <= hit.end && hit.end <= text.len());
    }
}

/// A compiled pattern finds what the regular expression finds that it was made of.
pub fn patterns(data: &[u8]) {
    static REGEXES: LazyLock<Vec<OnceLock<Regex>>> = LazyLock::new(|| SIGNATURES.iter().map(|_| OnceLock::new()).collect());
    let mut choices = Choices(data);
    let at = (usize::from(choices.byte()) << 8 | usize::from(choices.byte())) % SIGNATURES.len();
    let (Some(pattern), Some(program)) = (&SIGNATURES[at].pattern, &SIGNATURES[at].program) else { return };
    let text = choices.0;
    if !program.is_for(text) {
        return;
    }
    let regex = REGEXES[at].get_or_init(|| compile(pattern).expect("it compiles"));
    let by_regex = regex.captures(text).map(|found| {
        let groups = regex.capture_names().zip(found.iter()).enumerate().filter(|(number, (name, _))| *number == 0 || name.is_some());
        groups.filter_map(|(_, (name, group))| group.map(|group| (name.unwrap_or(""), group.start(), group.end()))).collect::<Vec<_>>()
    });
    assert_eq!(program.groups_in(text), by_regex, "{}", SIGNATURES[at].id);
}

/// Dumps of arguments in every grammar.
pub fn dumps(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let grammars =
        [arguments::tgi_args, arguments::namespace, arguments::python_dict, arguments::vllm_config, arguments::server_args, arguments::shell_command];
    for read in grammars {
        if let Some(found) = read(&text) {
            arguments::deployment(&found);
            assert!(found.values.len() <= 4000, "{} values", found.values.len());
        }
    }
}

// ------------------------------------------------------------------------------------------------------------- commands

/// A printed command is one line of words for a shell and for another tokenizer, and reads back as itself.
fn check_command(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' || is_hidden(c)), "{text:?}");
    let words = shlex::split(&text.replace("\\\n", "")).unwrap_or_else(|| panic!("another tokenizer refuses {text}"));
    let own: Vec<String> = split(text).unwrap_or_else(|problem| panic!("{problem}: {text}")).iter().map(Word::plain).collect();
    assert_eq!(own, words, "{text}");
}

/// Commands and the files that start containers, read, changed and printed.
pub fn command(data: &[u8]) {
    let mut choices = Choices(data);
    let kind = choices.byte();
    let changes: Vec<Change> = (0..choices.byte() % 3)
        .map(|_| {
            let flags = ["--max-model-len", "--quantize", "model", "image", "--shm-size", "HF_HOME", "--enforce-eager", "--ctx-size", "--x"];
            let flag = choices.of(&flags).to_owned();
            Change { flag, from: None, to: Some(choices.text()).filter(|to| to != "-") }
        })
        .collect();
    let text = choices.rest();
    let read = match kind % 5 {
        0 => Command::read(&text, Trust::User),
        1 => Command::read(&text, Trust::Log),
        2 => Command::given(&Launch::Compose(text)),
        3 => Command::given(&Launch::Manifest(text)),
        _ => Command::given(&Launch::Inspect(text)),
    };
    let Ok(command) = read else { return };
    command.to_arguments();
    command.needs_set();
    let circumstances = Circumstances { heads: Some(32), ..Circumstances::default() };
    let _ = command.write(&changes, Shell::PowerShell, &circumstances);
    let Ok(printed) = command.write(&changes, Shell::Sh, &circumstances) else { return };
    if command.form != Form::Shell {
        return;
    }
    check_command(&printed.text);
    let again = Command::read(&printed.text, Trust::User).unwrap_or_else(|problem| panic!("{problem}: {}", printed.text));
    if changes.is_empty() {
        assert_eq!(again.print(Shell::Sh, &circumstances).ok().as_ref(), Some(&printed.text));
    }
}

/// Any word is one word when it is read back.
pub fn quoting(data: &[u8]) {
    let mut choices = Choices(data);
    let mut pieces = Vec::new();
    let mut meant = String::new();
    for _ in 0..=choices.byte() % 4 {
        if choices.byte() % 3 == 0 {
            let name = choices.of(&["HOME", "PWD", "HF_TOKEN", "A1"]);
            meant += &format!("${name}");
            pieces.push(Piece::Variable(name.to_owned()));
        } else {
            let text = choices.text();
            meant += &text;
            pieces.push(Piece::Text(text));
        }
    }
    let word = Word(pieces);
    let written = quote(&word, Shell::Sh).expect("a shell can write anything");
    let read = split(&format!("x {written} y")).unwrap_or_else(|problem| panic!("{problem}: {written}"));
    assert_eq!(read.iter().map(Word::plain).collect::<Vec<_>>(), ["x", word.plain().as_str(), "y"], "{written}");
    if !word.has_variable() {
        assert_eq!(shlex::split(&format!("x {written} y")), Some(vec!["x".to_owned(), meant, "y".to_owned()]));
    }
    if let Ok(written) = quote(&word, Shell::PowerShell) {
        let inside = written.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        assert!(inside.is_none_or(|inside| !inside.replace("''", "").contains('\'')), "{written}");
    }
}

// ------------------------------------------------------------------------------------------------------------- reports

/// Secrets are masked wherever they stand, and masking what is masked changes nothing.
pub fn secrets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if shows_a_secret(&text) {
        return;
    }
    let text = with_secrets(&text);
    let (masked, count) = redact(&text);
    assert!(!shows_a_secret(&masked), "{masked}");
    assert_eq!(count > 0, masked != text);
    let at = data.first().map_or(0, |&byte| usize::from(byte) * text.len() / 256);
    let (before, behind) = (oomdoc::redact::cut_before(&text, at), oomdoc::redact::cut_behind(&text, at));
    assert!(before <= at && text.is_char_boundary(before) && text.is_char_boundary(behind));
}

/// A report with any text in every field.
pub fn reports(data: &[u8]) {
    static PLAIN: LazyLock<PostMortem> = LazyLock::new(|| {
        let log = "INFO 03-20 10:00:00 [api_server.py:1043] vLLM API server version 0.8.5\n\
            INFO 03-20 10:00:01 [config.py:209] non-default args: {'model': 'acme/owl-7b', 'dtype': 'half', 'max_model_len': 8192}\n\
            torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 97.88 MiB is free.\n";
        analyzer().run(Reader::from_bytes(log).expect("a log"), "log").expect("a report")
    });
    if shows_a_secret(&String::from_utf8_lossy(data)) {
        return;
    }
    let mut report = PLAIN.clone();
    let mut choices = Choices(data);
    let mut text = || with_secrets(&choices.text());
    report.source.name = text();
    report.source.problems = vec![text()];
    report.would_settle = Some(text());
    for incident in &mut report.incidents {
        incident.headline = text();
        incident.explanation = text();
        for at in 0..3 {
            let role = [Role::Cause, Role::Context, Role::Symptom][at];
            incident.evidence.push(Evidence { line: 7, last_line: None, time: Some(text()), role, rule: "rule".into(), text: text(), decisive: at });
        }
        for remedy in &mut incident.remedies {
            (remedy.title, remedy.rationale, remedy.tradeoff) = (text(), text(), text());
            remedy.command = Some(text());
            remedy.changes.push(Change { flag: text(), from: Some(text()), to: Some(text()) });
        }
    }
    let deployment = &mut report.deployment;
    (deployment.engine_version, deployment.model, deployment.dtype) = (Some(text()), Some(text()), Some(text()));
    deployment.arguments = BTreeMap::from([(text(), serde_json::Value::String(text())), (text(), serde_json::json!([text(), { text(): text() }]))]);
    for device in &mut deployment.devices {
        device.name = Some(text());
    }
    for event in &mut report.timeline {
        event.clock = Some(text());
        event.text = text();
    }
    redact_report(&mut report);
    check_report(&report);
    for format in [Format::Text, Format::Markdown, Format::Json, Format::Html] {
        let text = render(&report, format, &Style::default());
        assert!(!shows_a_secret(&text), "{format:?}: {text}");
    }
}

// ------------------------------------------------------------------------------------------------------------- memory

/// A folder of this process, in memory where there is such a place.
fn folder() -> &'static Path {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let shared = PathBuf::from("/dev/shm");
        let made = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        made.expect("a folder for temporary files")
    });
    FOLDER.path()
}

fn estimates(model: &Model, device: &Device, setup: &Setup) {
    let estimate = estimate::estimate(model, device, setup);
    assert!(estimate.probability.is_none_or(|p| (0.0..=1.0).contains(&p)), "{:?}", estimate.probability);
    let _ = estimate::check(model, device, &estimate.plan);
    let fit =
        fit::Fit { model, device, estimate, largest: estimate::largest(model, device, setup), changes: estimate::changes(model, device, setup) };
    assert!(fit::json(&fit).is_object());
    let mut text = Vec::new();
    fit::write(&fit, &Style::default(), &mut text).expect("memory can be written to");
}

/// Headers of model files, and what an estimate makes of them.
pub fn model_files(data: &[u8]) {
    let mut choices = Choices(data);
    let name = choices.of(&["config.json", "model.safetensors", "model.safetensors.index.json", "model.gguf"]);
    let engine = choices.of(&Engine::ALL);
    let path = folder().join("model");
    fs::create_dir_all(&path).expect("a folder");
    let file = path.join(name);
    fs::write(&file, choices.0).expect("a file");
    let model = Model::open(&file);
    fs::remove_file(&file).expect("the file is there");
    let Ok(model) = model else { return };
    estimates(&model, &Device::of_size("24 GiB", Bytes::gib(24)), &Setup::new(engine));
}

/// A user's own entries, names of models and devices, what drivers print.
pub fn user_catalogue(data: &[u8]) {
    let mut choices = Choices(data);
    let name = choices.text();
    let _ = Device::find(&name);
    let _ = Model::given(&name);
    let _ = name.parse::<Bytes>();
    let _ = (Dtype::parse(&name), CacheFormat::parse(&name), Version::find(&name), formats::named(&name));
    let text = choices.rest();
    ask::nvidia_smi(&text);
    ask::rocm_smi(&text);
    let user = UserCatalogue::parse(&text, Path::new("models.toml")).unwrap_or_default();
    if let Ok(model) = Model::find(&name, &user) {
        estimates(&model, &Device::of_size("24 GiB", Bytes::gib(24)), &Setup::new(Engine::Vllm));
    }
}

/// Any figures in a setup.
pub fn fits(data: &[u8]) {
    let mut choices = Choices(data);
    let pick = |choices: &mut Choices<'_>, count: usize| (usize::from(choices.byte()) << 8 | usize::from(choices.byte())) % count;
    let row = &catalogue::rows()[pick(&mut choices, catalogue::rows().len())];
    let device = choices.of(&["RTX 4090", "H100", "A100 80GB", "T4", "V100", "MI300X", "M2 Max 64GB", "1g.10gb", "RTX 5090", "?"]);
    let device = Device::find(device).unwrap_or_else(|_| Device::of_size("given", Bytes(choices.number())));
    let mut some = |mask: u8, by: u8| (mask & by != 0).then(|| choices.number());
    let engine = Engine::ALL[data.len() % Engine::ALL.len()];
    let mask = data.first().copied().unwrap_or(0);
    let setup = Setup {
        max_model_len: some(mask, 1),
        max_num_seqs: some(mask, 2),
        max_num_batched_tokens: some(mask, 4),
        tensor_parallel: some(mask, 8).unwrap_or(1).max(1),
        pipeline_parallel: some(mask, 16).unwrap_or(1).max(1),
        fraction: some(mask, 32).map(|n| n as f64 / 65_536.0),
        eager: mask & 64 != 0,
        ..Setup::new(engine)
    };
    let word = choices.text();
    let quantization = formats::named(&word);
    let model = if mask & 128 != 0 { Model::of_size("given", choices.number(), 0.0, oomdoc::memory::Origin::Given) } else { row.model("acme/x") };
    estimates(&model, &device, &Setup { quantization, cache: CacheFormat::parse(&word), version: Version::find(&word), ..setup });
}

// ------------------------------------------------------------------------------------------------------------- whole logs

fn analyzed(options: &Options, log: &[u8]) -> Option<PostMortem> {
    let analyzer = Analyzer::new(options);
    let report = analyzer.run(Reader::from_bytes(log).ok()?, "log").ok()?;
    Some(report)
}

/// A user's own rules, and a log that they are applied to.
pub fn rules(data: &[u8]) {
    let mut choices = Choices(data);
    let log = choices.text();
    let Ok(rules) = parse_rules("own", &choices.rest()) else { return };
    let log = format!("INFO a log\n{log}\nERROR FrobnicatorError: the frobnicator is gone\n");
    if let Some(report) = analyzed(&Options { rules, ..Options::default() }, log.as_bytes()) {
        check_report(&report);
    }
}

/// Any figures in what engines print of memory: no part is longer than its device.
pub fn ledger(data: &[u8]) {
    const LINES: &[&str] = &[
        "INFO 03-20 10:00:00 [api_server.py:1043] vLLM API server version 0.8.5",
        "INFO 03-20 10:00:01 [config.py:209] non-default args: {'model': 'meta-llama/Llama-3.1-8B-Instruct', 'max_model_len': #}",
        "INFO 03-20 10:00:02 [gpu_model_runner.py:1347] Model loading took #.# GiB and 12.1 seconds",
        "INFO 03-20 10:00:03 [gpu_worker.py:255] Available KV cache memory: -#.# GiB",
        "INFO 03-20 10:00:04 [kv_cache_utils.py:634] GPU KV cache size: #,# tokens",
        "INFO 03-20 10:00:05 [worker.py:267] the current vLLM instance can use total_gpu_memory (#.#GiB) x gpu_memory_utilization (0.#) = #.#GiB",
        "INFO 03-20 10:00:05 [worker.py:267] model weights take #.#GiB; non_torch_memory takes #.#GiB; PyTorch activation peak memory takes #.#GiB; the rest of the memory reserved for KV Cache is #.#GiB.",
        "INFO 03-20 10:00:06 [gpu_model_runner.py:2019] Graph capturing finished in # secs, took #.# GiB",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate #.# GiB. GPU # has a total capacity of #.# GiB of which #.# MiB is free. Process # has #.# GiB memory in use. Including non-PyTorch memory, this process has #.# GiB memory in use. Of the allocated memory #.# GiB is allocated by PyTorch, with #.# GiB allocated in private pools (e.g., CUDA Graphs), and #.# GiB is reserved by PyTorch but unallocated.",
        "RuntimeError: CUDA out of memory. Tried to allocate #.# EiB (GPU #; #.# GiB total capacity; #.# GiB already allocated; #.# GiB free; #.# GiB reserved in total by PyTorch)",
        "ValueError: To serve at least one request with the models's max seq len (#), (#.# GiB KV cache is needed, which is larger than the available KV cache memory (#.# GiB).",
        "Traceback (most recent call last):\n  File \"/usr/lib/python3.12/site-packages/vllm/v1/worker/gpu_model_runner.py\", line #, in profile_run\n    x = f(x)",
        "[2025-03-20 10:00:00 TP0] Load weight end. type=LlamaForCausalLM, dtype=torch.float16, avail mem=#.# GB, mem usage=#.# GB.",
        "[2025-03-20 10:00:01 TP0] KV Cache is allocated. #tokens: #, K size: #.# GB, V size: #.# GB",
        "2025-03-20T10:00:00.000000Z  INFO text_generation_launcher: Args { model_id: \"acme/owl-7b\", max_batch_prefill_tokens: Some(#), max_total_tokens: Some(#) }",
        "RuntimeError: Not enough memory to handle # prefill tokens. You need to decrease `--max-batch-prefill-tokens`",
        "llm_load_tensors: CUDA0 buffer size = #.# MiB",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating #.# MiB on device #: cudaMalloc failed: out of memory",
        "[Thu Mar 20 10:00:05 2025] Out of memory: Killed process # (python3) total-vm:#kB, anon-rss:#kB, file-rss:#kB, shmem-rss:#kB",
    ];
    let mut choices = Choices(data);
    let mut log = String::new();
    while !choices.0.is_empty() && log.len() < 20_000 {
        for (at, part) in choices.of(LINES).split('#').enumerate() {
            if at > 0 {
                log += &match choices.byte() {
                    0 => choices.text(),
                    n if n < 200 => n.to_string(),
                    _ => choices.number().to_string(),
                };
            }
            log += part;
        }
        log.push('\n');
    }
    if let Ok(report) = Reader::from_bytes(log).and_then(|reader| analyzer().run(reader, "log")) {
        check_report(&report);
    }
}

/// A log as it comes: some of it, a pause, more of it.
struct Coming {
    chunks: Vec<Vec<u8>>,
    waits: Arc<AtomicBool>,
}

impl Read for Coming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.waits.swap(false, Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(chunk) = self.chunks.last_mut() else { return Ok(0) };
        let count = chunk.as_slice().read(into)?;
        chunk.drain(..count);
        if chunk.is_empty() {
            self.chunks.pop();
            self.waits.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }
}

/// A log that is watched while it grows: each byte of the input that is a bell is a pause, as long as the byte after it says.
pub fn watch(data: &[u8]) {
    let mut chunks: Vec<Vec<u8>> = data.split_inclusive(|&byte| byte == 7).map(<[u8]>::to_vec).collect();
    chunks.retain(|chunk| !chunk.is_empty());
    let pauses: Vec<u64> = chunks.iter().map(|chunk| u64::from(chunk[0])).collect();
    chunks.reverse();
    let Ok(mut reader) = Reader::live("log", Box::new(Coming { chunks, waits: Arc::default() })) else { return };
    let mut now = Instant::now();
    let mut watcher = Watcher::new(analyzer(), "log".into(), 1, Duration::from_millis(500), false, now);
    let mut notices = Vec::new();
    for pause in pauses.into_iter().chain([30; 3]) {
        watcher.poll(&mut reader, now, &mut notices).expect("memory can be read");
        now += Duration::from_millis(pause * 20);
    }
    let mut causes: Vec<&str> = Vec::new();
    for notice in notices {
        match notice {
            Notice::Incident(report) => {
                causes.extend(report.incidents.iter().map(|incident| incident.cause));
                check_report(&report);
            }
            Notice::Warning(warning) => assert!(warning.evidence.iter().all(|piece| piece.line >= 1)),
        }
    }
    let totals = watcher.totals();
    assert!(causes.iter().all(|cause| totals.get(cause).is_some_and(|total| total.times > 0)), "{causes:?} {totals:?}");
}

/// A file that is written, cut, moved and replaced while it is followed: what was written is read, once.
pub fn follow(data: &[u8]) {
    let mut choices = Choices(data);
    let path = folder().join("server.log");
    let old = folder().join("server.log.1");
    let _ = fs::remove_file(&path);
    let mut follow = Follow::new(&path, Arc::default());
    let (mut written, mut seen) = (Vec::new(), Vec::new());
    let mut read = |seen: &mut Vec<u8>| {
        let mut buffer = [0; 64];
        loop {
            match follow.read(&mut buffer) {
                Ok(0) => panic!("nobody said that it ends"),
                Ok(count) => seen.extend_from_slice(&buffer[..count]),
                Err(error) => return assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    };
    for number in 0..choices.byte() % 32 {
        let operation = choices.byte();
        match operation % 5 {
            // Cut only when all was read, or what was not is lost; and to nothing, as `copytruncate` does.
            0 => {
                read(&mut seen);
                if path.exists() {
                    fs::write(&path, "").expect("a file");
                    read(&mut seen);
                }
            }
            // Moved away after it was read.
            1 => {
                read(&mut seen);
                let _ = fs::rename(&path, &old);
            }
            2 => read(&mut seen),
            _ => {
                let line = format!("line {number} {}\n", "x".repeat(usize::from(operation)));
                let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).expect("a file");
                file.write_all(line.as_bytes()).expect("room");
                written.extend_from_slice(line.as_bytes());
            }
        }
    }
    read(&mut seen);
    assert_eq!(String::from_utf8_lossy(&seen), String::from_utf8_lossy(&written));
}

/// A whole log: every format, secrets masked, the same bytes however it is read.
pub fn pipeline(data: &[u8]) {
    let mut choices = Choices(data);
    let most = choices.byte();
    let log = choices.rest();
    if shows_a_secret(&log) {
        return;
    }
    let log = with_secrets(&log);
    let run = |reader: Result<Reader, SourceError>| analyzer().run(reader.ok()?, "log").ok();
    // Bytes that are no text are read too.
    if let Some(report) = run(Reader::from_bytes(choices.0)) {
        check_report(&report);
    }
    let Some(report) = run(Reader::from_bytes(log.clone())) else { return };
    check_report(&report);
    for format in [Format::Text, Format::Markdown, Format::Html, Format::Json] {
        let text = render(&report, format, &Style::default());
        assert!(!shows_a_secret(&text), "{format:?}: {text}");
    }
    let again = run(in_pieces(log.as_bytes(), most)).expect("it was read before");
    assert_eq!(render(&report, Format::Json, &Style::default()), render(&again, Format::Json, &Style::default()));
}
