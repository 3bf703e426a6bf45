//! What wraps a line: container, orchestrator and process prefixes, ANSI, progress bars.
//!
//! Wrappers lie in each other in any order, so they are taken off in turns until nothing more comes off. Those that one
//! line proves (`prefix`, `json`) come off at once. Those that only several lines prove (`weak`) are decided in
//! stages, each with the others behind it. Numbers of physical lines survive whatever happens to the text.

mod clean;
mod document;
mod json;
mod markup;
mod prefix;
mod redraw;
mod stamps;
mod table;
#[cfg(test)]
mod tests;
mod weak;

use std::collections::HashMap;

use document::{Document, Taken};
use prefix::Kind;
use table::Table;
use weak::Weak;

use crate::time::{Stamp, leading_stamp};

/// How many wrappers are taken off one line at most.
const DEEPEST: u8 = 10;
/// How many doubtful prefixes may lie in each other.
const STAGES: usize = 3;
/// How long a line may become by joining its parts.
const LONGEST_JOIN: usize = 1024 * 1024;
/// How many streams may have an unfinished line at a time.
const OPEN_STREAMS: usize = 16;
/// From this length on, an entry without line break was split by the runtime; Docker does so at 16 KiB.
const SPLIT_ENTRY: usize = 8 * 1024;
/// How many origins are told apart; later ones share the last.
const MOST_ORIGINS: usize = 4096;
/// How many names of services and pods are remembered.
const MOST_NAMES: usize = 256;

/// How serious the writer of a line says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `TRACE`.
    Trace,
    /// `DEBUG`.
    Debug,
    /// `INFO`, `NOTICE`, `SUCCESS`.
    Info,
    /// `WARN`, `WARNING`.
    Warn,
    /// `ERROR`.
    Error,
    /// `FATAL`, `CRITICAL`, `PANIC`, `EMERG`, `ALERT`.
    Fatal,
}

/// Which of the writers that share a log a line comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Container, pod, compose service or systemd unit: `web-1`, `pod/vllm-0/server`.
    pub container: Option<String>,
    /// Process as the engine names it: `EngineCore_DP0`, `VllmWorkerProcess`, `RayWorkerWrapper`.
    pub process: Option<String>,
    /// Process id, when the prefix has one.
    pub pid: Option<u32>,
    /// Rank among the ranks of one model: tensor-parallel rank, else local rank.
    pub rank: Option<u32>,
}

/// Index of an [`Origin`] in [`Envelope::origins`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OriginId(pub u32);

/// One line of the program that wrote it, with everything around it taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// 1-based number of the physical line that it begins on.
    pub number: u64,
    /// Number of the physical line that it ends on (partial lines are joined).
    pub last_number: u64,
    /// The text, without wrapper, colours, control characters and line end.
    pub text: String,
    /// Who wrote it.
    pub origin: OriginId,
    /// The first origin of the same container, which stands for the container.
    pub container: OriginId,
    /// The stamp of the innermost wrapper that has one.
    pub stamp: Option<Stamp>,
    /// Level given by a wrapper (JSON loggers).
    pub level: Option<Level>,
    /// Logger, target or source position given by a wrapper (JSON loggers).
    pub logger: Option<String>,
    /// How often the line was folded (`[repeated 3x across cluster]`), else 1.
    pub repeated: u32,
    /// True for the first of the lines that one JSON object carried.
    pub starts_record: bool,
    /// True for the second and later lines of a message that one JSON object carried.
    pub continues_record: bool,
}

/// What the wrappers of a line said so far.
#[derive(Debug, Clone, Default)]
struct Context {
    origin: Origin,
    stamp: Option<Stamp>,
    level: Option<Level>,
    logger: Option<String>,
    repeated: Option<u32>,
    starts_record: bool,
    continues_record: bool,
}

/// A line on its way.
#[derive(Debug, Clone)]
struct Piece {
    number: u64,
    last_number: u64,
    text: String,
    context: Context,
    /// How many wrappers were taken off.
    depth: u8,
}

/// The beginning of a line that a runtime split.
#[derive(Debug)]
struct Partial {
    container: Option<String>,
    stream: String,
    /// How long the last part was.
    last_part: usize,
    /// At which stage it was met.
    stage: usize,
    piece: Piece,
}

/// A prefix that further lines of the message are indented by.
#[derive(Debug)]
struct Journal {
    width: usize,
    /// The line that it was on.
    number: u64,
    context: Context,
}

/// What one turn did to a line.
enum Turn {
    /// Nothing more comes off.
    Done,
    /// Something came off.
    Stripped,
    /// The line became these, in their order.
    Became(Vec<Piece>),
    /// The line is kept until its other parts come, or was nothing but wrapper.
    Kept,
}

/// Takes the wrapping off a log, line by line.
#[derive(Debug, Default)]
pub struct Envelope {
    origins: Vec<Origin>,
    /// For each origin the first one of the same container.
    containers: Vec<OriginId>,
    known_origins: HashMap<Origin, OriginId>,
    last_origin: Option<OriginId>,
    /// Who wrote the last object's message.
    object_origin: Option<OriginId>,
    stages: [Weak; STAGES],
    partials: Vec<Partial>,
    /// Whether Docker's entries end with a line break: collectors cut it off.
    docker_breaks: Option<bool>,
    /// How often a doubtful stamp turned out to be a wrapper's.
    stamped: u32,
    /// The last prefix of a system journal.
    journal: Option<Journal>,
    /// Compose services that were announced or seen.
    services: Vec<String>,
    /// Pods and containers that stern announced or coloured.
    pairs: Vec<(String, String)>,
    /// What stood before lines that began something, and stands before the others too: `server.log:`.
    openers: Vec<(String, String)>,
    /// The shape of a stamp that stood before the program's own.
    outer: Option<String>,
    /// True inside a list that is printed one object a line.
    listed: bool,
    /// The document that the log is in.
    document: Document,
    /// The table that the log is in.
    table: Table,
}

impl Envelope {
    /// One for each log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The origins of the lines so far, at their [`OriginId`].
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Takes a physical line and appends what it settles, which may be nothing yet, or lines before it as well.
    pub fn push(&mut self, number: u64, raw: &str, out: &mut Vec<Line>) {
        let mut piece = Piece { number, last_number: number, text: raw.to_owned(), context: Context::default(), depth: 0 };
        match self.document.push(&piece) {
            Taken::No => {}
            Taken::Kept => return,
            Taken::Lines(pieces) => {
                for piece in pieces {
                    self.unwrap(0, piece, out);
                }
                return;
            }
        }
        if self.table.take(&mut piece) != Some(false) {
            self.unwrap(0, piece, out);
        }
    }

    /// Appends what is still held back.
    pub fn finish(&mut self, out: &mut Vec<Line>) {
        for piece in self.document.finish() {
            self.unwrap(0, piece, out);
        }
        // What comes out of one stage may be held by the next, and an unfinished line may be held anew.
        while !self.partials.is_empty() {
            let partial = self.partials.remove(0);
            self.unwrap(partial.stage, partial.piece, out);
        }
        for stage in 0..STAGES {
            self.release(stage, out);
        }
    }

    /// Takes off what is certain, then hands over to the doubtful.
    fn unwrap(&mut self, stage: usize, mut piece: Piece, out: &mut Vec<Line>) {
        loop {
            if piece.depth >= DEEPEST {
                clean::clean(&mut piece.text);
                break;
            }
            match self.turn(stage, &mut piece) {
                Turn::Done => break,
                Turn::Stripped => piece.depth += 1,
                Turn::Kept => return,
                Turn::Became(pieces) => {
                    for mut one in pieces {
                        one.depth = one.depth.max(piece.depth + 1);
                        self.unwrap(stage, one, out);
                    }
                    return;
                }
            }
        }
        self.doubt(stage, piece, out);
    }

    fn doubt(&mut self, stage: usize, piece: Piece, out: &mut Vec<Line>) {
        let record = piece.context.starts_record || piece.context.continues_record;
        if stage == STAGES || record || piece.depth >= DEEPEST {
            for later in stage..STAGES {
                self.release(later, out);
            }
            self.emit(piece, out);
            return;
        }
        let mut settled = Vec::new();
        self.stages[stage].push(piece, &mut settled);
        self.pass_on(stage, settled, out);
    }

    /// Gives what a stage has settled to those after it.
    fn pass_on(&mut self, stage: usize, settled: Vec<(Piece, bool)>, out: &mut Vec<Line>) {
        for (mut piece, stripped) in settled {
            if stripped {
                piece.depth += 1;
                self.unwrap(stage + 1, piece, out);
            } else {
                // The stages behind this one see only what it stripped, and must not fall behind.
                for later in stage + 1..STAGES {
                    self.release(later, out);
                }
                self.emit(piece, out);
            }
        }
    }

    fn release(&mut self, stage: usize, out: &mut Vec<Line>) {
        let mut settled = Vec::new();
        self.stages[stage].release(&mut settled);
        self.pass_on(stage, settled, out);
    }

    /// Takes off one wrapper.
    fn turn(&mut self, stage: usize, piece: &mut Piece) -> Turn {
        if piece.text.starts_with('\u{1b}')
            && let Some((pod, container, len)) = prefix::coloured_pair(&piece.text)
        {
            piece.context.origin.container = Some(format!("{pod}/{container}"));
            piece.text.drain(..len);
            self.remember_pair(pod, container);
            return Turn::Stripped;
        }
        // A runtime splits a line anywhere, also within a terminal sequence: its parts are cleaned when they are joined.
        if let Some(found) = prefix::cri(&piece.text) {
            return self.prefix(stage, piece, found);
        }
        clean::clean(&mut piece.text);
        if is_fence(&piece.text) || is_transcript(&piece.text) || markup::is_tags(&piece.text) {
            return Turn::Kept;
        }
        let text = piece.text.as_str();
        if self.listed && text == "]" {
            return Turn::Kept;
        }
        if text.starts_with('{')
            && let Some(unwrapped) = json::unwrap(text)
        {
            return self.object(stage, piece, unwrapped);
        }
        if (text.starts_with(['{', '[']) || text.starts_with(",{"))
            && let Some(lines) = json::lines_of_export(text)
        {
            self.listed = true;
            return self.export(stage, piece, lines);
        }
        if markup::unmark(&mut piece.text) {
            return Turn::Stripped;
        }
        let text = piece.text.as_str();
        if let Some(found) = prefix::find(text, self.stamped >= 2) {
            return self.prefix(stage, piece, found);
        }
        if let Some(turn) = self.announced(piece).or_else(|| self.journal_continues(piece)).or_else(|| self.outer_stamp(piece)) {
            return turn;
        }
        if let Some((len, repeated)) = folded(&piece.text) {
            piece.text.truncate(len);
            piece.context.repeated = Some(repeated);
            return Turn::Stripped;
        }
        if let Some(drawn) = redraw::pieces(&piece.text, prefix::is_start) {
            let mut pieces: Vec<Piece> = drawn.into_iter().map(|text| Piece { text, ..piece.clone() }).collect();
            for later in pieces.iter_mut().skip(1) {
                later.context.starts_record = false;
            }
            return Turn::Became(pieces);
        }
        Turn::Done
    }

    fn prefix(&mut self, stage: usize, piece: &mut Piece, mut found: prefix::Found) -> Turn {
        if found.kind == Kind::Journal {
            found.container = within(piece.context.origin.container.as_deref(), found.container);
        }
        let Context { origin, stamp, level, .. } = &mut piece.context;
        found.apply(origin, stamp, level);
        let opener = if found.kind == Kind::Opener { piece.text[..found.len].to_owned() } else { String::new() };
        piece.text.drain(..found.len);
        match found.kind {
            Kind::Cri { stderr, partial } => {
                let stream = if stderr { "stderr" } else { "stdout" };
                piece.text.truncate(piece.text.trim_end_matches('\r').len());
                return self.part(stage, piece, stream, partial);
            }
            Kind::Journal => self.journal = Some(Journal { width: found.len, number: piece.number, context: piece.context.clone() }),
            Kind::Service => {
                // From now on this name needs no proof, whatever the text behind it looks like.
                if let Some(name) = &piece.context.origin.container {
                    let name = name.clone();
                    self.remember_service(&name);
                }
            }
            Kind::LikelyStamp => self.stamped = self.stamped.saturating_add(1),
            Kind::Fields => {
                let kept = piece.text.trim_end_matches(|c: char| c.is_ascii_digit());
                piece.text.truncate(kept.strip_suffix('\t').map_or(piece.text.len(), str::len));
            }
            Kind::Opener => {
                let name = piece.context.origin.container.clone().unwrap_or_default();
                if self.openers.len() < MOST_NAMES && !self.openers.iter().any(|(known, _)| *known == opener) {
                    self.openers.push((opener, name));
                }
            }
            Kind::Ordinary => {}
        }
        Turn::Stripped
    }

    /// Takes the text out of an object around it.
    fn object(&mut self, stage: usize, piece: &mut Piece, unwrapped: json::Unwrapped) -> Turn {
        fn set<T>(to: &mut Option<T>, from: Option<T>) {
            if from.is_some() {
                *to = from;
            }
        }
        let context = &mut piece.context;
        set(&mut context.origin.container, unwrapped.origin.container);
        set(&mut context.origin.process, unwrapped.origin.process);
        set(&mut context.origin.pid, unwrapped.origin.pid);
        set(&mut context.origin.rank, unwrapped.origin.rank);
        set(&mut context.stamp, unwrapped.stamp);
        set(&mut context.level, unwrapped.level);
        set(&mut context.logger, unwrapped.logger);
        let mut text = unwrapped.text;
        let broken = text.ends_with('\n');
        let kept = text.trim_end_matches(['\n', '\r']).len();
        text.truncate(kept);
        piece.text = text;
        if let Some(stream) = unwrapped.docker_stream
            && !piece.text.contains('\n')
        {
            return self.docker_part(stage, piece, &stream, broken);
        }
        let several = piece.text.contains('\n');
        if unwrapped.record || several {
            piece.context.starts_record = true;
            piece.context.continues_record = false;
        }
        if !several {
            return Turn::Stripped;
        }
        let text = std::mem::take(&mut piece.text);
        let pieces = text.split('\n').enumerate().map(|(at, line)| {
            let mut one = Piece { text: line.to_owned(), ..piece.clone() };
            one.context.starts_record = at == 0;
            one.context.continues_record = at > 0;
            one
        });
        Turn::Became(pieces.collect())
    }

    /// An entry of Docker's log file. One without a line break is the beginning of a longer line, unless no entry has
    /// any, because a collector cut them off.
    fn docker_part(&mut self, stage: usize, piece: &mut Piece, stream: &str, broken: bool) -> Turn {
        if broken {
            self.docker_breaks = Some(true);
            return self.part(stage, piece, stream, false);
        }
        match self.docker_breaks {
            Some(true) => return self.part(stage, piece, stream, true),
            Some(false) => return Turn::Stripped,
            None => {}
        }
        let Some(at) = self.open_part(piece, stream) else { return self.part(stage, piece, stream, true) };
        if self.partials[at].last_part >= SPLIT_ENTRY || piece.text.len() >= SPLIT_ENTRY {
            return self.part(stage, piece, stream, true);
        }
        self.docker_breaks = Some(false);
        let before = self.partials.remove(at);
        Turn::Became(vec![before.piece, piece.clone()])
    }

    fn open_part(&self, piece: &Piece, stream: &str) -> Option<usize> {
        let container = &piece.context.origin.container;
        self.partials.iter().position(|open| open.stream == stream && open.container == *container)
    }

    /// Joins the parts of a line that a runtime split.
    fn part(&mut self, stage: usize, piece: &mut Piece, stream: &str, goes_on: bool) -> Turn {
        let Some(at) = self.open_part(piece, stream) else {
            if !goes_on {
                return Turn::Stripped;
            }
            let oldest = (self.partials.len() >= OPEN_STREAMS).then(|| self.partials.remove(0).piece);
            self.partials.push(Partial {
                container: piece.context.origin.container.clone(),
                stream: stream.to_owned(),
                last_part: piece.text.len(),
                stage,
                piece: piece.clone(),
            });
            return oldest.map_or(Turn::Kept, |oldest| Turn::Became(vec![oldest]));
        };
        let open = &mut self.partials[at];
        open.last_part = piece.text.len();
        open.piece.text.push_str(&piece.text);
        open.piece.last_number = piece.last_number;
        if goes_on && open.piece.text.len() < LONGEST_JOIN {
            return Turn::Kept;
        }
        let depth = piece.depth;
        *piece = self.partials.remove(at).piece;
        piece.depth = piece.depth.max(depth);
        Turn::Stripped
    }

    /// The lines that an export has in one.
    fn export(&mut self, stage: usize, piece: &Piece, lines: Vec<json::Unwrapped>) -> Turn {
        let mut pieces = Vec::new();
        for line in lines {
            let mut one = piece.clone();
            match self.object(stage, &mut one, line) {
                Turn::Became(parts) => pieces.extend(parts),
                Turn::Stripped => pieces.push(one),
                Turn::Done | Turn::Kept => {}
            }
        }
        Turn::Became(pieces)
    }

    /// A stamp that a tool puts before every line, once a line has shown that the program's own stands behind it.
    fn outer_stamp(&mut self, piece: &mut Piece) -> Option<Turn> {
        let shape = |text: &str| -> String { text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect() };
        let (stamp, len) = match prefix::outer_stamp(&piece.text) {
            Some((stamp, len)) => {
                self.outer = Some(shape(&piece.text[..len]));
                (stamp, len)
            }
            None => {
                let known = self.outer.as_ref()?;
                let (stamp, _) = leading_stamp(&piece.text)?;
                let head = piece.text.get(..known.len()).or_else(|| (piece.text.len() + 2 >= known.len()).then_some(piece.text.as_str()))?;
                (shape(head).trim_end() == known.trim_end()).then_some((stamp, head.len()))?
            }
        };
        piece.context.stamp = Some(stamp);
        piece.text.drain(..len);
        Some(Turn::Stripped)
    }

    /// Prefixes whose names the tool that wrote them has told before.
    fn announced(&mut self, piece: &mut Piece) -> Option<Turn> {
        let text = piece.text.as_str();
        if let Some((opener, name)) = self
            .openers
            .iter()
            .find(|(opener, _)| text.strip_prefix(opener.trim_end()).is_some_and(|rest| rest.is_empty() || text.starts_with(opener.as_str())))
        {
            piece.context.origin.container = Some(name.clone());
            let len = opener.len().min(text.len());
            piece.text.drain(..len);
            return Some(Turn::Stripped);
        }
        if let Some(names) = text.strip_prefix("Attaching to ") {
            names.split(", ").for_each(|name| self.remember_service(name));
            return None;
        }
        if let Some((pod, container)) = text.strip_prefix("+ ").and_then(|rest| rest.split_once(" \u{203a} ")) {
            self.remember_pair(pod.to_owned(), container.to_owned());
            return None;
        }
        let (container, len) = if let Some(service) = prefix::service(text).filter(|service| self.services.iter().any(|known| known == service.name))
        {
            (service.name.to_owned(), service.len)
        } else {
            let (pod, container, len) = (!self.pairs.is_empty()).then(|| prefix::stream_pair(text))??;
            if !self.pairs.iter().any(|(p, c)| p == pod && c == container) {
                return None;
            }
            (format!("{pod}/{container}"), len)
        };
        piece.context.origin.container = Some(container);
        piece.text.drain(..len);
        Some(Turn::Stripped)
    }

    fn remember_service(&mut self, name: &str) {
        if self.services.len() < MOST_NAMES && !self.services.iter().any(|known| known == name) {
            self.services.push(name.to_owned());
        }
    }

    fn remember_pair(&mut self, pod: String, container: String) {
        if self.pairs.len() < MOST_NAMES && !self.pairs.iter().any(|(p, c)| *p == pod && *c == container) {
            self.pairs.push((pod, container));
        }
    }

    /// A further line of a message in a system journal's print, indented to stand below the first.
    fn journal_continues(&mut self, piece: &mut Piece) -> Option<Turn> {
        let journal = self.journal.as_ref().filter(|journal| journal.number != piece.number)?;
        let spaces = piece.text.bytes().take_while(|b| *b == b' ').count();
        if spaces < journal.width {
            if !piece.text.is_empty() {
                self.journal = None;
            }
            return None;
        }
        let (width, context) = (journal.width, journal.context.clone());
        let outer = std::mem::replace(&mut piece.context, context);
        piece.context.origin.rank = outer.origin.rank.or(piece.context.origin.rank);
        piece.text.drain(..width);
        Some(Turn::Stripped)
    }

    fn emit(&mut self, piece: Piece, out: &mut Vec<Line>) {
        let Context { origin, stamp, level, logger, repeated, starts_record, continues_record } = piece.context;
        // Only the first line of an object's message names the process that wrote it.
        let of_the_object = self.object_origin.filter(|_| continues_record && origin.process.is_none());
        let origin = of_the_object.unwrap_or_else(|| self.intern(origin));
        if starts_record {
            self.object_origin = Some(origin);
        }
        out.push(Line {
            number: piece.number,
            last_number: piece.last_number,
            text: piece.text,
            origin,
            container: self.containers.get(origin.0 as usize).copied().unwrap_or(origin),
            stamp,
            level,
            logger,
            repeated: repeated.unwrap_or(1),
            starts_record,
            continues_record,
        });
    }

    fn intern(&mut self, origin: Origin) -> OriginId {
        if let Some(last) = self.last_origin
            && self.origins.get(last.0 as usize) == Some(&origin)
        {
            return last;
        }
        let id = match self.known_origins.get(&origin) {
            Some(id) => *id,
            None if self.origins.len() < MOST_ORIGINS => {
                let id = OriginId(self.origins.len() as u32);
                let first = self.origins.iter().position(|known| known.container == origin.container);
                self.containers.push(first.map_or(id, |at| OriginId(at as u32)));
                self.origins.push(origin.clone());
                self.known_origins.insert(origin, id);
                id
            }
            None => OriginId(MOST_ORIGINS as u32 - 1),
        };
        self.last_origin = Some(id);
        id
    }
}

/// A journal's unit within the container that the journal was written by: both tell services apart.
fn within(around: Option<&str>, unit: Option<String>) -> Option<String> {
    match (around, unit) {
        (Some(around), Some(unit)) => Some(format!("{around}/{unit}")),
        (_, unit) => unit,
    }
}

/// The fences of a code block in Markdown.
fn is_fence(text: &str) -> bool {
    let text = text.trim();
    text == "~~~"
        || text.strip_prefix("```").is_some_and(|language| {
            language.len() <= 16 && language.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'`'))
        })
}

/// What recorders of terminals, supervisors and GitLab's runner write between the lines.
fn is_transcript(text: &str) -> bool {
    let mark = text.strip_prefix("section_start:").or_else(|| text.strip_prefix("section_end:"));
    mark.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.contains('\r'))
        || text.starts_with("Script started on 20")
        || text.starts_with("Script done on 20")
        || (text.ends_with("' stderr output:") || text.ends_with("' stdout output:")) && text.contains(" DEBG '")
}

/// Ray's ` [repeated 3x across cluster]`: where the text before it ends, and how often.
fn folded(text: &str) -> Option<(usize, u32)> {
    if !text.ends_with([']', ')']) {
        return None;
    }
    let at = text.rfind("[repeated ")?;
    let rest = &text[at + "[repeated ".len()..];
    let (count, rest) = rest.split_once("x across ")?;
    let (_, rest) = rest.split_once(']')?;
    let rest = rest.trim();
    if !(rest.is_empty() || rest.starts_with("(Ray ")) {
        return None;
    }
    Some((text[..at].trim_end().len(), count.parse().ok()?))
}
