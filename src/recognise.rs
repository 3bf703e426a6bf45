//! From records to facts: signatures on messages and exceptions, frame rules on tracebacks, and what is left out.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::case::{complete, deployment};
use crate::envelope::{Level, OriginId};
use crate::extract;
use crate::extract::payload::Payload;
use crate::facts::{Attributes, Fact, FactKind, Place, Stage, Strength};
use crate::pairs::Pairs;
use crate::post_mortem::Figures;
use crate::record::header::{Format, trailing_rank};
use crate::record::traceback::{Exception, Frame, is_status, message_of};
use crate::record::{Flat, Record, Text};
use crate::redact::{cut_before, cut_behind};
use crate::signatures::{FRAMES, FrameRule, Hit, Parser, Signature, Table, format};

/// Bytes of a text that are searched: its beginning and its end.
const SEARCHED: usize = 64 * 1024;
/// Bytes of a text that are kept as evidence.
const KEPT: usize = 6 * 1024;
/// Lines that a help text or an unclosed quotation may swallow.
const MAX_SWALLOWED: u32 = 3000;

/// Equal messages in a row, or equal phrases in one, that are conspicuous.
const REPETITIONS: u32 = 6;

/// Lines of one table beyond this number are left out.
const MAX_TABLE_LINES: usize = 200;
/// A longer line is no row of a table.
const MAX_TABLE_COLUMNS: usize = 512;

/// Turns records into facts.
pub struct Recogniser<'t> {
    table: &'t Table,
    /// Records read so far.
    records: u64,
    swallowing: BTreeMap<OriginId, Swallowing>,
    /// The last message of each origin and how often it came in a row.
    last: BTreeMap<OriginId, (u64, u32)>,
    /// The lines of a table that is being printed.
    table_lines: BTreeMap<OriginId, Vec<String>>,
}

/// Why the lines of an origin are left out at present.
#[derive(Debug, Clone, Copy)]
struct Swallowing {
    what: Swallowed,
    left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swallowed {
    /// A prompt or answer that goes on over several lines.
    Payload,
    /// A help text, up to the line that names the error.
    Help,
}

impl<'t> Recogniser<'t> {
    /// A recogniser on a table of signatures.
    pub fn new(table: &'t Table) -> Self {
        Recogniser { table, records: 0, swallowing: BTreeMap::new(), last: BTreeMap::new(), table_lines: BTreeMap::new() }
    }

    /// Adds the facts of a record to `out`.
    pub fn record(&mut self, record: &Record, out: &mut Vec<Fact>) {
        self.records += 1;
        if self.is_swallowed(record) {
            let usage = record.message.lines.first().and_then(|(_, text)| engine_of_usage(text));
            if let Some(engine) = usage {
                let context = Context { record, number: self.records, by_form: false, demoted: false, stage: None, engine: Some(engine) };
                out.push(context.fact(FactKind::Context, "usage", Strength::Exact, Some(engine)));
            }
            return;
        }
        if self.is_of_a_table(record, out) {
            return;
        }
        let first_new = out.len();
        let mut by_form = is_failure_by_form(record);
        let mut demoted = record.level.is_some_and(|level| level < Level::Error);

        let mut message = record.message.flat();
        clip(&mut message.text);
        if record.exceptions.is_empty() && names_a_way_out(&message.text) {
            (by_form, demoted) = (false, true);
        }
        // What counts only in a failure is not tried on anything else, and broad rules only where no other speaks.
        let wanted = move |s: &Signature| !is_broad(s) && (by_form || !s.weak && !s.needs_failure);
        let mut hits = self.table.hits(&message.text, wanted);
        if let Some(blanked) = self.without_payload(&message.text, &hits, record) {
            message.text = blanked;
            hits = self.table.hits(&message.text, wanted);
        }
        // Some programs tell at INFO that something failed: that is one, and broad rules may say why.
        if demoted && hits.iter().any(|hit| only_tells(hit.signature)) {
            (by_form, demoted) = (true, false);
        }
        let benign = hits.iter().any(|hit| hit.signature.exclusive && hit.signature.fact == FactKind::Benign);
        if hits.iter().any(|hit| hit.signature.exclusive) {
            hits.retain(|hit| hit.signature.exclusive);
        }
        let embedded = if by_form { crate::raised::embedded_frames(&message.text) } else { Vec::new() };
        let stages = record.exceptions.iter().map(|e| e.frames.as_slice()).chain([embedded.as_slice()]);
        let stage = stages.filter_map(stage_of).max_by_key(|&(priority, ..)| priority);
        let engine = record.exceptions.iter().find_map(|e| engine_of(&e.frames));
        let context = Context { record, number: self.records, by_form, demoted, stage, engine };

        let mut units: Vec<(Flat, Vec<Hit<'_>>, Option<&Exception>)> = Vec::new();
        if !record.message.is_blank() {
            units.push((message, hits, None));
        }
        if !benign {
            for exception in &record.exceptions {
                let mut flat = exception.text.flat();
                if let Some(assertion) = bare_assertion(exception) {
                    // A bare assertion says in its source line what did not hold.
                    flat.text.push_str(": ");
                    flat.text.push_str(assertion);
                }
                clip(&mut flat.text);
                let hits = self.table.hits(&flat.text, wanted);
                units.push((flat, hits, Some(exception)));
            }
        }
        let is_exact = |hit: &Hit<'_>| {
            let s = hit.signature;
            !s.weak && (by_form || !s.needs_failure) && s.fact.is_failure() && !only_tells(s)
        };
        let any_exact = units.iter().any(|(_, hits, _)| hits.iter().any(is_exact));
        for (part, (flat, hits, exception)) in (0..).zip(units) {
            let first = out.len();
            context.facts_of_text(self.table, &flat, hits, exception, any_exact, out);
            for fact in &mut out[first..] {
                fact.place.part = part;
            }
        }
        if is_interrupted(record) {
            let mut fact = context.fact(FactKind::StopSignal, "terminal-interrupt", Strength::Exact, None);
            fact.attributes.insert("signal".into(), "2".into());
            fact.place.text = Arc::from(kept(&record.message.joined()));
            out.push(fact);
        }
        // Only what a model or a script printed: an engine that waits, or refuses many, says the same thing over and over too.
        let is_output = record.format.is_none() && record.level.is_none() && out.len() == first_new
            || out[first_new..].iter().any(|fact| fact.kind == FactKind::Payload);
        if self.repeats(record) && is_output {
            let mut fact = context.fact(FactKind::Context, "repetition", Strength::Exact, None);
            fact.place.text = Arc::from(kept(&record.message.joined()));
            out.push(fact);
        }
        if let Some(format) = record.format
            && let Some(engine) = engine_of_format(format, record.logger.as_deref())
            && out.len() == first_new
        {
            // The form alone tells the engine; one such fact for each origin is enough, the case keeps no more.
            out.push(context.fact(FactKind::Context, "format", Strength::Form, Some(engine)));
        }
    }

    /// Collects the lines of boxes (nvidia-smi, memory summaries) and reads them when their last line was printed.
    fn is_of_a_table(&mut self, record: &Record, out: &mut Vec<Fact>) -> bool {
        let row = match record.message.lines.as_slice() {
            [(_, text)] if record.exceptions.is_empty() && is_table_row(text) => Some(text.clone()),
            _ => None,
        };
        match row {
            Some(row) => {
                let lines = self.table_lines.entry(record.origin).or_default();
                if lines.len() < MAX_TABLE_LINES {
                    lines.push(row);
                }
                true
            }
            None => {
                if let Some(lines) = self.table_lines.remove(&record.origin) {
                    extract::facts_of_table(&lines.join("\n"), record.first_line.saturating_sub(1), record.origin, out);
                }
                false
            }
        }
    }

    /// Reads the tables that the log's end has cut off.
    pub fn finish(&mut self, last_line: u64, out: &mut Vec<Fact>) {
        for (origin, lines) in std::mem::take(&mut self.table_lines) {
            extract::facts_of_table(&lines.join("\n"), last_line, origin, out);
        }
    }

    fn is_swallowed(&mut self, record: &Record) -> bool {
        let text = record.message.lines.first().map_or("", |(_, text)| text.as_str());
        let starts_help = record.format.is_none() && (text.starts_with("usage: ") || text.starts_with("Usage: "));
        if starts_help {
            self.swallowing.insert(record.origin, Swallowing { what: Swallowed::Help, left: MAX_SWALLOWED });
        }
        let Some(state) = self.swallowing.get_mut(&record.origin) else { return false };
        let names_the_error = |text: &str| text.contains(": error: ") || text.starts_with("error: ") || text.starts_with("Error: ");
        let ends = match state.what {
            Swallowed::Payload => record.format.is_some(),
            Swallowed::Help => {
                record.format.is_some() || !record.exceptions.is_empty() || record.message.lines.iter().any(|(_, text)| names_the_error(text))
            }
        };
        state.left = state.left.saturating_sub(1);
        if ends && !starts_help || state.left == 0 {
            self.swallowing.remove(&record.origin);
            return false;
        }
        true
    }

    /// True for the message that makes a series of equal ones conspicuous, and for one that repeats a phrase in itself.
    fn repeats(&mut self, record: &Record) -> bool {
        let [(_, text)] = record.message.lines.as_slice() else { return false };
        if text.len() < 20 {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        let (last, times) = self.last.entry(record.origin).or_insert((hash, 0));
        *times = if *last == hash { times.saturating_add(1) } else { 1 };
        *last = hash;
        *times == REPETITIONS || repeats_itself(text)
    }

    /// The text with what users sent blanked out, if there is any.
    fn without_payload(&mut self, flat: &str, hits: &[Hit<'_>], record: &Record) -> Option<String> {
        let Payload { mut ranges, mut is_open } = extract::payload::quoted(flat);
        for hit in hits.iter().filter(|hit| hit.signature.fact == FactKind::Payload) {
            ranges.push(hit.payload.unwrap_or((hit.end, flat.len())));
            // Every line of these two has a header of its own; `Output: results/` of a script opens nothing.
            let writer = record.format.and_then(|format| engine_of_format(format, record.logger.as_deref()));
            let is_own = !matches!(&*hit.signature.software, "tgi" | "vllm") || writer == Some(&*hit.signature.software);
            is_open |= hit.signature.open && is_own;
        }
        if is_open && record.format.is_some() {
            self.swallowing.insert(record.origin, Swallowing { what: Swallowed::Payload, left: MAX_SWALLOWED });
        }
        if ranges.is_empty() {
            return None;
        }
        let mut bytes = flat.as_bytes().to_vec();
        for (start, end) in ranges {
            if let Some(range) = bytes.get_mut(start..end) {
                range.fill(b' ');
            }
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What all facts of one record share.
struct Context<'r> {
    record: &'r Record,
    /// Its place among the records of the log.
    number: u64,
    by_form: bool,
    demoted: bool,
    stage: Option<(i8, usize, Stage)>,
    engine: Option<&'static str>,
}

impl Context<'_> {
    fn facts_of_text<'t>(
        &self,
        table: &'t Table,
        flat: &Flat,
        mut hits: Vec<Hit<'t>>,
        exception: Option<&Exception>,
        any_exact: bool,
        out: &mut Vec<Fact>,
    ) {
        let first_new = out.len();
        let mut failures: Vec<Fact> = Vec::new();
        let mut guesses: Vec<Fact> = Vec::new();
        let mut is_explained = false;
        let speaks = |hit: &Hit<'_>| {
            let s = hit.signature;
            !s.weak
                && !s.needs_failure
                && matches!(s.fact, FactKind::Symptom | FactKind::Hint | FactKind::Retry | FactKind::StopSignal | FactKind::ProcessExit)
        };
        let any_exact = any_exact || hits.iter().any(speaks);
        let is_settled = any_exact || exception.is_none() && hits.iter().any(|hit| hit.signature.exclusive);
        if self.by_form && !is_settled {
            hits.extend(table.hits(&flat.text, is_broad));
            hits.sort_by_key(|hit| hit.start);
        }
        for hit in hits {
            let s = hit.signature;
            let gated = (s.weak || s.needs_failure) && !self.by_form || s.weak && any_exact;
            if gated || s.fact == FactKind::Payload {
                continue;
            }
            if s.fact == FactKind::Benign {
                is_explained = true;
                continue;
            }
            let Some(mut fact) = self.fact_of_hit(flat, &hit, exception) else { continue };
            let failure = fact.kind.is_failure();
            if failure && self.demoted && !s.any_level {
                fact.hints = Some(fact.kind);
                fact.kind = FactKind::Hint;
                fact.strength = Strength::Demoted;
                // Who goes on to call it a warning did not end of it.
                fact.ends = None;
            }
            if s.weak && fact.kind.is_failure() {
                guesses.push(fact);
                continue;
            }
            // What names a model or a device, or says only that something failed, does not say why.
            is_explained |= !matches!(fact.kind, FactKind::Context | FactKind::Device) && !only_tells(s);
            if fact.kind.is_failure() {
                failures.push(fact);
            } else {
                out.push(fact);
            }
        }
        let is_told = !failures.is_empty();
        // An engine's sentence about what memory was for may quote the allocator's: it has those figures too.
        let quoted = failures.iter().find(|fact| fact.kind == FactKind::OutOfMemory).map(|fact| fact.figures.clone()).unwrap_or_default();
        failures.iter_mut().filter(|fact| fact.kind.says_what_for()).for_each(|fact| complete(&mut fact.figures, &quoted));
        // One text has one meaning: the hit with the highest priority, then the one that reads the most figures.
        failures.sort_by_key(|fact| std::cmp::Reverse((fact.priority, fact.figures.known(), fact.kind.says_what_for())));
        // Of each server's table the best; which of them speaks of this program is known when the engine is.
        let mut spoken: Vec<Arc<str>> = Vec::new();
        for failure in failures {
            let table: Arc<str> = if deployment::is_of_a_server(&failure.software) { failure.software.clone() } else { Arc::from("") };
            if !spoken.contains(&table) {
                spoken.push(table);
                out.insert(first_new + spoken.len() - 1, failure);
            }
        }
        // Guesses of one software each: which of them counts is known when the engine is.
        guesses.sort_by_key(|fact| std::cmp::Reverse(fact.priority));
        let mut guessed: Vec<Arc<str>> = Vec::new();
        for guess in guesses {
            if !is_explained && !guessed.contains(&guess.software) {
                guessed.push(guess.software.clone());
                out.push(guess);
            }
        }
        if !is_explained
            && !is_told
            && self.by_form
            && !any_exact
            && let Some(fact) = self.unrecognised(exception)
        {
            out.push(fact);
        }
    }

    fn fact_of_hit(&self, flat: &Flat, hit: &Hit<'_>, exception: Option<&Exception>) -> Option<Fact> {
        let s = hit.signature;
        let strength = if s.weak { Strength::Weak } else { Strength::Exact };
        let mut fact = self.fact(s.fact, &s.id, strength, s.engine.as_deref());
        fact.software = Arc::from(s.software.as_ref());
        fact.stage = s.stage;
        fact.stage_is_proven = s.stage.is_some();
        fact.ends = s.ends;
        fact.event = s.event.as_deref().map(Arc::from);
        fact.hints = s.hints;
        fact.priority = s.priority;
        fact.figures = hit.figures.clone();
        fact.attributes = hit.attributes.clone();
        fact.cause = s.cause.as_deref().map(Arc::from);
        self.place(&mut fact, flat, (hit.start, hit.anchor, hit.end), exception);
        if let Some(parser) = s.parser {
            parse(parser, &flat.text, hit.start, &self.record.message, &mut fact)?;
        }
        // A message that quotes the exception behind it means what that means.
        if let Some(cause) = exception.or_else(|| self.record.exceptions.iter().find(|cause| is_quoted(cause, &flat.text))) {
            let kind = refined(&fact, cause, self.record);
            if kind != fact.kind && fact.kind == FactKind::HubFetch {
                fact.stage = None;
            }
            if kind != fact.kind && kind == FactKind::Dependency {
                fact.attributes.insert("mismatch".into(), "versions".to_owned());
            }
            fact.kind = kind;
            crate::raised::settle(&mut fact, cause);
            if let Some(frame) = cause.frames.last().filter(|_| fact.kind == FactKind::Internal) {
                fact.attributes.insert("frame".into(), format!("{} ({})", frame.function, module_of(&frame.path)));
            }
        }
        if let Some(exception) = exception
            && let Some(model) = exception.frames.iter().find_map(|frame| model_in_code(&frame.code))
        {
            fact.attributes.entry("model".into()).or_insert_with(|| model.to_owned());
        }
        if fact.stage.is_none() {
            let own = exception.and_then(|e| stage_of(&e.frames)).or(self.stage);
            self.stage_by_frames(&mut fact, own);
        }
        Some(fact)
    }

    /// Frames of a negative priority only tell the stage where the marks do not.
    fn stage_by_frames(&self, fact: &mut Fact, told: Option<(i8, usize, Stage)>) {
        if let Some((priority, _, stage)) = told {
            fact.stage = Some(stage);
            fact.stage_is_proven = priority >= 0;
        }
    }

    fn place(&self, fact: &mut Fact, flat: &Flat, (start, anchor, end): (usize, usize, usize), exception: Option<&Exception>) {
        let (first, last) = (flat.line_at(start), flat.line_at(end.saturating_sub(1)));
        let text = match exception {
            Some(exception) => {
                fact.is_exception = true;
                fact.is_uncaught = is_uncaught(self.record);
                // What decides is often said below the line that names the class, as pydantic does.
                if first > 0 { exception.text.part(first, last) } else { exception.text.clone() }
            }
            None if self.record.message.lines.len() <= 12 => self.record.message.clone(),
            None => self.record.message.part(first, last),
        };
        let is_part = exception.is_some() || self.record.message.lines.len() > 12;
        if let (Some(first), Some(last)) = (text.lines.first(), text.lines.last()) {
            fact.place.first_line = first.0;
            fact.place.last_line = last.0;
        }
        let shown = match exception.and_then(|e| e.frames.last().filter(|_| !e.is_complete)) {
            Some(frame) => format!("  File \"{}\", line {}, in {}\n    {}", frame.path, frame.line, frame.function, frame.code),
            None => text.joined(),
        };
        let whole = exception.map_or(&self.record.message, |e| &e.text);
        fact.rank = fact.rank.or_else(|| whole.lines.last().and_then(|(_, line)| trailing_rank(line)).map(|(rank, _)| rank));
        // Counted from the first line that is shown.
        // The word that led to the pattern may stand outside of what it matched.
        let row = flat.line_at(anchor).clamp(first, last) - if is_part { first } else { 0 };
        fact.place.decisive = telling(&shown, row);
        fact.place.text = Arc::from(kept(&shown));
    }

    /// A failure of which only the form is known.
    fn unrecognised(&self, exception: Option<&Exception>) -> Option<Fact> {
        let (kind, rule) = match exception {
            Some(exception) if !exception.is_complete => (FactKind::Failure, "incomplete-traceback"),
            Some(exception) => {
                let name = exception.class.rsplit('.').next().unwrap_or("");
                match name {
                    "SystemExit" | "CancelledError" | "GeneratorExit" | "BrokenPipeError" => (FactKind::Symptom, "unrecognised-exception"),
                    "AssertionError"
                    | "KeyError"
                    | "IndexError"
                    | "AttributeError"
                    | "TypeError"
                    | "ZeroDivisionError"
                    | "UnboundLocalError"
                    | "NameError"
                    | "RecursionError"
                    | "NotImplementedError"
                    | "InternalError"
                    | "InternalServerError" => (FactKind::Internal, "unrecognised-exception"),
                    _ => (FactKind::Failure, "unrecognised-exception"),
                }
            }
            None => (FactKind::Failure, "unrecognised-error"),
        };
        let kind = if self.demoted { return None } else { kind };
        let mut fact = self.fact(kind, rule, Strength::Form, None);
        let flat = exception.map_or_else(|| self.record.message.flat(), |e| e.text.flat());
        self.place(&mut fact, &flat, (0, 0, flat.text.len()), exception);
        let own = exception.and_then(|e| stage_of(&e.frames)).or(self.stage);
        self.stage_by_frames(&mut fact, own);
        if let Some(exception) = exception {
            fact.attributes.insert("class".into(), exception.class.clone());
            if let Some(frame) = exception.frames.last() {
                fact.attributes.insert("frame".into(), format!("{}:{} in {}", frame.path, frame.line, frame.function));
            }
        }
        Some(fact)
    }

    fn fact(&self, kind: FactKind, rule: &str, strength: Strength, engine: Option<&str>) -> Fact {
        let record = self.record;
        Fact {
            kind,
            rule: Arc::from(rule),
            software: Arc::from(""),
            engine: self.engine.or(engine).filter(|engine| !engine.is_empty()).map(Arc::from),
            stage: None,
            stage_is_proven: false,
            ends: None,
            event: None,
            hints: None,
            strength,
            priority: 0,
            figures: Figures::default(),
            attributes: Attributes::new(),
            cause: None,
            arguments: None,
            repeats: u64::from(record.repeated.max(1)),
            left_out: 0,
            rank: record.rank,
            is_exception: false,
            is_uncaught: false,
            place: Place {
                first_line: record.first_line,
                last_line: record.last_line,
                origin: record.origin,
                record: self.number,
                part: 0,
                stamp: record.stamp.clone(),
                level: record.level,
                text: Arc::from(""),
                decisive: 0,
            },
        }
    }
}

/// Lets a grammar read the message; `None` when it turns out not to be one.
fn parse(parser: Parser, flat: &str, start: usize, message: &Text, fact: &mut Fact) -> Option<()> {
    use extract::arguments as args;
    let raw = || message.joined();
    let arguments = match parser {
        Parser::Allocator => {
            extract::fill_from_allocator(fact, flat);
            return Some(());
        }
        Parser::TgiArgs => args::tgi_args(&raw()),
        Parser::Namespace => args::namespace(&raw()),
        Parser::PythonDict => args::python_dict(&raw()),
        Parser::VllmConfig => args::vllm_config(&raw()),
        Parser::ServerArgs => args::server_args(&raw()),
        Parser::ShellCommand => args::shell_command(&flat[start..]),
    }?;
    extract::fill_from_arguments(fact, arguments);
    Some(())
}

/// What only the frames tell: memory that was to be pinned is the host's, a full device under shared memory is
/// /dev/shm, memory that is refused to the very first call on a device was taken by others.
fn refined(fact: &Fact, exception: &Exception, record: &Record) -> FactKind {
    let frames = exception.frames.as_slice();
    let within = |frames: &[Frame], names: &[&str]| {
        frames.iter().any(|f| names.iter().any(|name| f.function.contains(name) || f.code.contains(name) || f.path.contains(name)))
    };
    let innermost = &frames[frames.len().saturating_sub(3)..];
    match fact.kind {
        FactKind::OutOfMemory if within(innermost, &["pin_memory(", "pin_memory=True", "_pin_memory", "cudaHostAlloc", "cudaHostRegister"]) => {
            FactKind::HostMemory
        }
        FactKind::OutOfMemory if within(frames, &["_utils/pin_memory.py"]) => FactKind::HostMemory,
        FactKind::OutOfMemory if fact.word("pool") == Some("driver") && within(innermost, &["_lazy_init", "_cuda_init"]) => FactKind::DeviceOccupied,
        // What a sleeping server gave back, others have taken since.
        FactKind::OutOfMemory if within(frames, &["wake_up", "resume_memory_occupation"]) => FactKind::DeviceOccupied,
        FactKind::DiskFull if within(innermost, &["multiprocessing/shared_memory", "multiprocessing/synchronize", "posix_shm", "/dev/shm"]) => {
            FactKind::SharedMemory
        }
        // A name or a call that fails while a package is being imported was written for other versions; what the package
        // checks there itself is said by other exceptions.
        FactKind::Argument | FactKind::Internal if fact.strength == Strength::Weak && does_not_fit(exception) => FactKind::Dependency,
        FactKind::Argument | FactKind::Internal if fact.strength == Strength::Weak && lacks_what_is_asked(exception) => FactKind::Dependency,
        // Where only code of the user's own calls itself wrongly, no package is to blame.
        FactKind::Dependency | FactKind::Argument
            if fact.strength == Strength::Weak
                && exception.is("TypeError")
                && (is_own(exception) && is_foreign(record) && !makes_a_librarys(exception) || is_short_of_arguments(exception)) =>
        {
            FactKind::Internal
        }
        // A connection, a file and a name that have nothing to do with a model are the program's own business.
        FactKind::HubFetch if fact.strength == Strength::Weak && is_of_a_client(exception) && is_foreign(record) => FactKind::Symptom,
        FactKind::WeightsInvalid if fact.strength == Strength::Weak && exception.is("JSONDecodeError") && is_foreign(record) => FactKind::Internal,
        FactKind::Architecture if fact.strength == Strength::Weak && exception.is("KeyError") && is_foreign(record) => FactKind::Internal,
        kind => kind,
    }
}

/// True if a text holds what an exception says, and that is more than a word or two.
fn is_quoted(exception: &Exception, text: &str) -> bool {
    let line = exception.text.lines.first().map_or("", |(_, line)| line);
    let said = line.strip_prefix(exception.class.as_str()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or("").trim();
    said.len() > 20 && text.contains(said)
}

/// True for an exception of a library that makes requests.
fn is_of_a_client(exception: &Exception) -> bool {
    let clients = ["httpx", "httpcore", "requests", "urllib3", "urllib", "http", "aiohttp", "openai", "anthropic", "ollama"];
    exception.class.split_once('.').is_some_and(|(package, _)| clients.contains(&package))
}

/// True for a traceback none of whose frames is of a library or an engine that finds, fetches or reads models.
fn is_foreign(record: &Record) -> bool {
    let of_models = [
        "huggingface",
        "hf_",
        "transformers",
        "tokenizers",
        "diffusers",
        "datasets",
        "modelscope",
        "accelerate",
        "peft",
        "torch",
        "safetensors",
        "vllm",
        "sglang",
        "text_generation",
        "lmdeploy",
        "tensorrt",
        "deepspeed",
        "llama_cpp",
        "gguf",
        "unsloth",
        "bitsandbytes",
        "download",
    ];
    let mut frames = record.exceptions.iter().flat_map(|exception| &exception.frames).peekable();
    frames.peek().is_some()
        && frames.all(|frame| {
            // What stands before the packages names users and their environments.
            let path =
                ["site-packages/", "dist-packages/"].iter().find_map(|place| frame.path.split_once(place)).map_or(&*frame.path, |(_, path)| path);
            !of_models.iter().any(|name| path.contains(name) || frame.function.contains(name))
        })
}

/// True for code of a package that another package's version does not suit: it failed as its module was imported.
fn does_not_fit(exception: &Exception) -> bool {
    let class = exception.class.rsplit('.').next().unwrap_or("");
    let is_of_a_version = matches!(class, "TypeError" | "AttributeError" | "NameError" | "ImportError" | "ModuleNotFoundError" | "SyntaxError");
    is_of_a_version && exception.frames.last().is_some_and(|frame| frame.function == "<module>" && is_installed(frame))
}

/// True where one package asks an object of transformers for what its version does not have.
fn lacks_what_is_asked(exception: &Exception) -> bool {
    let is_of_transformers = |frame: &Frame| module_of(&frame.path).starts_with("transformers/");
    match exception.frames.as_slice() {
        [.., asking, asked] if exception.is("AttributeError") => {
            asked.function == "__getattr__" && is_of_transformers(asked) && is_installed(asking) && !is_of_transformers(asking)
        }
        _ => false,
    }
}

/// True for a frame of a package that was installed.
fn is_installed(frame: &Frame) -> bool {
    ["site-packages/", "dist-packages/", "site-packages\\", "dist-packages\\"].iter().any(|place| frame.path.contains(place))
}

/// True for an exception none of whose frames is of an installed package.
fn is_own(exception: &Exception) -> bool {
    !exception.frames.is_empty() && !exception.frames.iter().any(is_installed)
}

/// True for a call with too few arguments of which no frame tells whose it was.
fn is_short_of_arguments(exception: &Exception) -> bool {
    exception.frames.is_empty() && exception.text.lines.first().is_some_and(|(_, line)| line.contains("required positional argument"))
}

/// True for arguments that the constructor of a library's class does not know: it refuses them before it has a frame of
/// its own, so that only the caller's are there.
fn makes_a_librarys(exception: &Exception) -> bool {
    let said = exception.text.lines.first().map_or("", |(_, line)| line.as_str());
    let class = said.strip_prefix("TypeError: ").and_then(|said| said.split_once(".__init__() got an unexpected keyword")).map(|(class, _)| class);
    let of_libraries = ["Trainer", "Arguments", "Config", "Pipeline", "Tokenizer", "Processor", "Model", "ForCausalLM", "LLM", "Params"];
    class.is_some_and(|class| of_libraries.iter().any(|ending| class.ends_with(ending)))
}

/// True for a traceback without a word before it that leads out of the program's first frame: no logger wrote it, and
/// nobody between there and the failure caught it. In a notebook a failure ends a cell.
fn is_uncaught(record: &Record) -> bool {
    let outermost = record.exceptions.last().and_then(|exception| exception.frames.first());
    record.format.is_none()
        && record.level.is_none()
        && record.message.is_blank()
        && outermost.is_some_and(|frame| {
            let is_cell = ["ipykernel", "<ipython", "Cell In"].iter().any(|name| frame.path.contains(name));
            (frame.function == "<module>" || frame.function == "_run_module_as_main") && !is_cell
        })
}

/// The model that a source line of a traceback names as a literal: `from_pretrained("acme/owl-7b", …)`, `LLM(model="…")`.
fn model_in_code(code: &str) -> Option<&str> {
    let call =
        ["from_pretrained(", "LLM(", "pipeline(", "LLM.from_", "Llama(", "SentenceTransformer("].iter().find_map(|call| code.split_once(call))?.1;
    let literal = |text: &str| -> Option<(usize, usize)> {
        let open = text.find(['"', '\''])?;
        let quote = text.as_bytes()[open];
        let close = text[open + 1..].bytes().position(|b| b == quote)?;
        Some((open + 1, open + 1 + close))
    };
    let named = ["model=", "pretrained_model_name_or_path=", "model_path="].iter().find_map(|name| call.split_once(name)).map(|(_, rest)| rest);
    let rest = match named {
        Some(rest) if rest.starts_with(['"', '\'']) => rest,
        None if call.starts_with(['"', '\'']) => call,
        _ => return None,
    };
    let (start, end) = literal(rest)?;
    let model = &rest[start..end];
    (model.contains('/') || code.contains("from_pretrained(")).then_some(model).filter(|model| !model.is_empty() && !model.contains(' '))
}

/// A source file as its package names it: what stands before the package says only where it was installed.
fn module_of(path: &str) -> &str {
    ["site-packages/", "dist-packages/"].iter().find_map(|folder| path.split_once(folder)).map_or(path, |(_, module)| module)
}

/// True for a message that tells at any level that something failed, and quotes what failed without knowing it.
fn only_tells(signature: &Signature) -> bool {
    signature.fact == FactKind::Failure && signature.any_level
}

/// Whether a signature can wait until it is known that no other speaks.
fn is_broad(signature: &Signature) -> bool {
    signature.weak && !signature.exclusive && !matches!(signature.fact, FactKind::Payload | FactKind::Benign)
}

/// True when level, exception or wording say that this record is a failure.
fn is_failure_by_form(record: &Record) -> bool {
    if let Some(level) = record.level {
        return level >= Level::Error;
    }
    if !record.exceptions.is_empty() {
        return true;
    }
    record.message.lines.iter().take(3).any(|(_, line)| {
        let line = line.trim_start();
        const STARTS: &[&str] = &[
            "Error",
            "error:",
            "ERROR",
            "FATAL",
            "fatal:",
            "Fatal",
            "panic:",
            "terminate called",
            "Aborted",
            "Killed",
            "Segmentation fault",
            "Bus error",
            "Illegal instruction",
            "E: ",
            "docker: Error",
            "[ERROR]",
            "[error]",
            "CRITICAL",
            "Failed to",
            "failed to",
            "!!! Exception",
        ];
        STARTS.iter().any(|start| line.starts_with(start))
            || line.contains(" panicked at ")
            || line.contains(": error: ")
            || line.contains(": error ")
            || line.contains("ERROR:")
            || line.contains("error loading model")
            || line.contains(": failed to ")
    })
}

/// True for a message that says in the same breath what is done instead (`Failed to import owl. Using sdpa.`), or when
/// something would fail, and for a source line that would raise something.
fn names_a_way_out(text: &str) -> bool {
    let source = text.trim_start_matches(['+', '-', ' ']);
    if ["If you ", "if you ", "In case of ", "raise ", "except ", "throw "].iter().any(|start| source.starts_with(start)) {
        return true;
    }
    const SAID: &[&str] = &[
        "falling back",
        "Falling back",
        "falls back",
        "fall back to",
        "; using ",
        ". Using ",
        ". using ",
        ", using ",
        "will be used instead",
        "will use ",
        "continuing without",
        "Continuing without",
        "retrying with",
        "Retrying with",
        "trying with fallback",
    ];
    SAID.iter().any(|said| text.contains(said))
}

/// The stage that frames tell: the rule with the highest priority, the innermost frame among equals.
fn stage_of(frames: &[Frame]) -> Option<(i8, usize, Stage)> {
    let mut best: Option<(i8, usize, Stage)> = None;
    for (depth, frame) in frames.iter().enumerate() {
        let name = format::name_bit(&frame.function);
        let path = Pairs::of(&frame.path);
        for rule in FRAMES.iter().filter(|rule| rule.names & name != 0) {
            let may_be = best.is_none_or(|(priority, ..)| rule.priority >= priority) && rule.path.as_ref().is_none_or(|part| path.may_hold(part));
            if may_be && applies(rule, frame) {
                best = Some((rule.priority, depth, rule.stage));
            }
        }
    }
    best
}

fn applies(rule: &FrameRule, frame: &Frame) -> bool {
    // The name of the function first: it is quickest to compare.
    (rule.functions.is_empty() || rule.functions.iter().any(|f| f == frame.function.as_str()))
        && rule.path.as_ref().is_none_or(|path| holds(&frame.path, path))
        && rule.code.as_ref().is_none_or(|code| holds(&frame.code, code))
}

/// `contains` for short texts, which takes no time to get ready.
fn holds(text: &str, part: &str) -> bool {
    let Some((&first, rest)) = part.as_bytes().split_first() else { return true };
    let mut left = text.as_bytes();
    while let Some(at) = memchr::memchr(first, left) {
        left = &left[at + 1..];
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

/// The outermost engine that the frames name.
fn engine_of(frames: &[Frame]) -> Option<&'static str> {
    const PATHS: &[(&str, &str)] = &[
        ("text_generation_server/", "tgi"),
        ("/sglang/", "sglang"),
        ("/vllm/", "vllm"),
        ("/lmdeploy/", "lmdeploy"),
        ("/tensorrt_llm/", "tensorrt-llm"),
        ("/llama_cpp/", "llama.cpp"),
        ("/deepspeed/", "deepspeed"),
        ("/transformers/", "transformers"),
        ("/diffusers/", "other"),
        ("/bitsandbytes/", "bitsandbytes"),
        ("/accelerate/", "accelerate"),
        ("/torch/", "pytorch"),
    ];
    PATHS.iter().find(|(part, _)| frames.iter().any(|frame| frame.path.contains(part))).map(|&(_, engine)| engine)
}

fn engine_of_format(format: Format, logger: Option<&str>) -> Option<&'static str> {
    match format {
        Format::Vllm => Some("vllm"),
        Format::Sglang => Some("sglang"),
        Format::LlamaCpp => Some("llama.cpp"),
        Format::Tracing if logger.is_some_and(|l| l.starts_with("text_generation")) => Some("tgi"),
        Format::TensorRt => Some("tensorrt-llm"),
        _ => None,
    }
}

/// True when the end of a long text was said many times over before.
fn repeats_itself(text: &str) -> bool {
    let Some((cut, _)) = text.char_indices().rev().nth(40).filter(|_| text.len() > 600) else { return false };
    let phrase = text[cut..].trim_matches(['"', '\'', ' ', '.']);
    phrase.len() > 24 && phrase.contains(' ') && text.matches(phrase).count() >= REPETITIONS as usize
}

/// True for the `^C` that a terminal shows for Ctrl-C: alone, or behind the dots or the bar that show progress.
fn is_interrupted(record: &Record) -> bool {
    let before = record.message.lines.last().and_then(|(_, line)| line.trim_end().strip_suffix("^C"));
    record.format.is_none() && before.is_some_and(|text| text.contains("%|") || text.bytes().all(|b| matches!(b, b'.' | b' ' | b'^' | b'C')))
}

/// True for a line of a box as nvidia-smi and memory summaries draw it; `+ command` is a shell's trace.
fn is_table_row(text: &str) -> bool {
    let text = text.trim_start();
    text.len() <= MAX_TABLE_COLUMNS && text.starts_with('|') && text.ends_with('|')
        || text.len() <= MAX_TABLE_COLUMNS && (text.starts_with("+-") || text.starts_with("+="))
}

/// The source line of an assertion without a message.
fn bare_assertion(exception: &Exception) -> Option<&str> {
    let is_bare = exception.class == "AssertionError" && exception.text.lines.len() == 1 && exception.text.lines[0].1.trim() == "AssertionError";
    exception.frames.last().map(|frame| frame.code.as_str()).filter(|code| is_bare && code.starts_with("assert "))
}

/// The engine whose program a help text is of.
fn engine_of_usage(text: &str) -> Option<&'static str> {
    const PROGRAMS: &[(&str, &str)] = &[
        ("text-generation-", "tgi"),
        ("sglang", "sglang"),
        ("launch_server", "sglang"),
        ("vllm", "vllm"),
        ("api_server.py", "vllm"),
        ("llama-", "llama.cpp"),
        ("llama_", "llama.cpp"),
        ("ollama", "ollama"),
        ("lmdeploy", "lmdeploy"),
        ("trtllm-", "tensorrt-llm"),
        ("deepspeed", "deepspeed"),
        ("accelerate", "accelerate"),
    ];
    let program = text.strip_prefix("usage: ").or_else(|| text.strip_prefix("Usage: "))?;
    PROGRAMS.iter().find(|(name, _)| program.split_whitespace().take(3).any(|word| word.starts_with(name))).map(|&(_, engine)| engine)
}

/// Cuts the middle out of a text that is longer than what is searched.
fn clip(text: &mut String) {
    if text.len() > SEARCHED {
        *text = without_middle(text, SEARCHED);
    }
}

/// Which line of a message says what happened, when a signature found its words in the line `found`: what only introduces
/// it (`1 validation error for ModelConfig`, the bare name of an exception) is passed over.
fn telling(text: &str, found: usize) -> usize {
    let introduces = |line: &str| {
        let said = message_of(line);
        said.is_empty()
            || said.starts_with("terminate called after throwing")
            || is_status(said)
            || said.contains(" validation error") && said.contains(" for ")
            || said.contains(" panicked at ") && said.ends_with(':')
    };
    text.lines().enumerate().skip(found).find(|(_, line)| !introduces(line)).map_or(found, |(row, _)| row)
}

fn kept(text: &str) -> String {
    if text.len() <= KEPT { text.to_owned() } else { without_middle(text, KEPT) }
}

/// The ends of a text that is longer than so many bytes.
fn without_middle(text: &str, size: usize) -> String {
    let (head, tail) = (cut_before(text, size * 3 / 4), cut_behind(text, text.len() - size / 4));
    format!("{} … {}", &text[..head], &text[tail..])
}
