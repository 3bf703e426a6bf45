//! One growing log: when to say what. Knows no files and no formats; what time it is, it is told.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::analysis::{Analyzer, Session, Signs, evidence_of};
use crate::case::trends::{climb, is_full};
use crate::case::{Case, Run};
use crate::causes::arbiter::{self, Verdict, service};
use crate::envelope::OriginId;
use crate::facts::{Fact, FactKind};
use crate::post_mortem::{Evidence, Impact, PostMortem, Role, Source};
use crate::redact::redact;
use crate::scan::Gate;
use crate::source::{Reader, SourceError};

/// What was said is said again when it had not happened for so long.
const AGAIN_AFTER: Duration = Duration::from_secs(30 * 60);
/// A failure whose consequences do not end is reported after so many times the pause that is waited for.
const PATIENCE: u32 = 5;
/// How often the gate begins anew.
const FRESH: Duration = Duration::from_secs(1);
/// Looking at all that was said takes at most one part in so many of the time.
const SHARE: u32 = 20;
/// Bytes of facts from which on the older ones are forgotten.
const MAX_BYTES: usize = 1024 * 1024;
/// Writers from which on everything is begun anew: an envelope tells so many apart and no more.
const MAX_WRITERS: usize = 2048;
/// Incidents that are remembered.
const MAX_TOLD: usize = 1024;
/// Readings of a full cache, preemptions or repetitions that are worth a warning.
const WORTH_A_WARNING: u64 = 3;

/// The JSON schema that [`Warning`] follows.
pub const WARNING_SCHEMA: &str = "oomdoc.warning/1";

/// Something that comes before a failure.
#[derive(Debug, Clone, Serialize)]
pub struct Warning {
    /// Always [`WARNING_SCHEMA`].
    pub schema: &'static str,
    /// What was read so far.
    pub source: Source,
    /// `cache-full`, `preemptions`, `memory-climbs` or `retries`.
    pub warning: &'static str,
    /// What is seen, in one sentence.
    pub text: String,
    /// The lines that show it.
    pub evidence: Vec<Evidence>,
}

/// What a watch has to say.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Something failed.
    Incident(Box<PostMortem>),
    /// Something is going to fail, perhaps.
    Warning(Box<Warning>),
}

/// How often a cause was seen.
#[derive(Debug, Clone, Copy)]
struct Told {
    impact: Impact,
    /// Line and time of the last occurrence.
    line: u64,
    at: Instant,
    /// Occurrences that the last look showed.
    shown: u64,
}

/// Follows one log.
pub struct Watcher<'a> {
    analyzer: &'a Analyzer<'a>,
    session: Session<'a>,
    gate: Gate<'a>,
    name: String,
    /// How long after a failure its consequences are waited for.
    pause: Duration,
    /// Whether the secrets of warnings are shown.
    keep_secrets: bool,
    signs: Signs,
    /// When the first failure since the last report came, and the last.
    trouble: Option<(Instant, Instant)>,
    active: Instant,
    /// When the gate began anew.
    fresh: Instant,
    is_settled: bool,
    next_look: Instant,
    has_news: bool,
    told: HashMap<(&'static str, Option<String>), Told>,
    warned: HashMap<&'static str, Instant>,
    totals: HashMap<&'static str, u64>,
    warnings: u64,
}

impl<'a> Watcher<'a> {
    /// Begins to follow a log.
    pub fn new(analyzer: &'a Analyzer<'a>, name: String, pause: Duration, keep_secrets: bool, now: Instant) -> Self {
        Watcher {
            analyzer,
            session: analyzer.session(),
            gate: analyzer.gate(),
            name,
            pause,
            keep_secrets,
            signs: Signs::default(),
            trouble: None,
            active: now,
            fresh: now,
            is_settled: true,
            next_look: now,
            has_news: false,
            told: HashMap::new(),
            warned: HashMap::new(),
            totals: HashMap::new(),
            warnings: 0,
        }
    }

    /// Reads what has come and says what there is to say.
    ///
    /// # Errors
    /// When reading fails.
    pub fn poll(&mut self, reader: &mut Reader, now: Instant, out: &mut Vec<Notice>) -> Result<(), SourceError> {
        let before = reader.lines_read();
        let result = self.gate.run(reader, |number, line| self.session.push(number, line));
        if reader.lines_read() > before {
            self.active = now;
            self.is_settled = false;
        }
        let is_over = !reader.waits();
        let is_silent = now.duration_since(self.active) >= self.pause;
        if is_silent || is_over || now.duration_since(self.fresh) >= FRESH {
            // What comes next is read whole again like a beginning: a log that keeps to some speed needs no gate.
            self.gate.finish(reader, |number, line| self.session.push(number, line));
            self.fresh = now;
        }
        if !self.is_settled && (is_silent || is_over) {
            self.session.settle(reader.lines_read());
            self.is_settled = true;
        }
        let signs = self.session.signs();
        if signs.troubles > self.signs.troubles {
            self.trouble = Some((self.trouble.map_or(now, |(first, _)| first), now));
        }
        self.has_news |= signs != self.signs;
        self.signs = signs;
        let is_due = self
            .trouble
            .is_some_and(|(first, last)| is_silent || now.duration_since(last) >= self.pause || now.duration_since(first) >= self.pause * PATIENCE);
        let may_warn = self.trouble.is_none() && now >= self.next_look;
        if self.has_news && (is_over || is_due && now >= self.next_look || may_warn) {
            self.look(reader, is_due || is_over, now, out);
        }
        result
    }

    /// What was seen in all: each cause and how often, and the number of warnings.
    pub fn totals(&self) -> (Vec<(&'static str, u64)>, u64) {
        let mut totals: Vec<_> = self.totals.iter().map(|(&cause, &times)| (cause, times)).collect();
        totals.sort_unstable();
        (totals, self.warnings)
    }

    fn look(&mut self, reader: &Reader, with_incidents: bool, now: Instant, out: &mut Vec<Notice>) {
        let begun = Instant::now();
        let source = Source {
            name: self.name.clone(),
            bytes: reader.bytes_read(),
            lines: reader.lines_read(),
            problems: reader.problems().iter().map(ToString::to_string).collect(),
        };
        let case = self.session.case(source.lines);
        self.warn(&case, &source, now, out);
        if with_incidents {
            let news: Vec<Verdict> = arbiter::verdicts(&case).into_iter().filter(|verdict| self.is_news(&case, verdict, now)).collect();
            if !news.is_empty() {
                out.push(Notice::Incident(Box::new(self.analyzer.report(&case, &news, source))));
            }
            self.trouble = None;
            self.age(&case);
        } else if self.session.bytes() > MAX_BYTES {
            self.age(&case);
        }
        self.has_news = false;
        self.next_look = now + begun.elapsed() * SHARE;
    }

    /// True for what was not said yet, or is graver than it was, or had not happened for long. Counts the others.
    fn is_news(&mut self, case: &Case, verdict: &Verdict, now: Instant) -> bool {
        let line = case.facts[verdict.decisive].place.first_line;
        let key = (verdict.cause.id, service(case, verdict));
        if self.told.len() >= MAX_TOLD {
            self.told.retain(|_, told| now.duration_since(told.at) < AGAIN_AFTER);
        }
        if self.told.len() >= MAX_TOLD && !self.told.contains_key(&key) {
            self.told.clear();
        }
        let seen = Told { impact: verdict.impact, line, at: now, shown: verdict.occurrences };
        let Some(told) = self.told.get_mut(&key) else {
            self.told.insert(key, seen);
            *self.totals.entry(verdict.cause.id).or_default() += verdict.occurrences;
            return true;
        };
        if line <= told.line && verdict.occurrences <= told.shown && verdict.impact >= told.impact {
            return false;
        }
        let more = verdict.occurrences.saturating_sub(told.shown).max(u64::from(line > told.line));
        *self.totals.entry(verdict.cause.id).or_default() += more;
        // The gravest impact is the least.
        let is_news = verdict.impact < told.impact || now.duration_since(told.at) >= AGAIN_AFTER;
        *told = Told { impact: verdict.impact.min(told.impact), line: line.max(told.line), ..seen };
        is_news
    }

    /// Warns of what the open runs show.
    fn warn(&mut self, case: &Case, source: &Source, now: Instant, out: &mut Vec<Notice>) {
        for run in case.runs.iter().filter(|run| run.ended.is_none()) {
            for (kind, text, facts) in signs_of(case, run) {
                let is_known = self.warned.get(kind).is_some_and(|&at| now.duration_since(at) < AGAIN_AFTER);
                self.warned.insert(kind, now);
                if is_known {
                    continue;
                }
                let mut evidence: Vec<Evidence> = facts.into_iter().map(|fact| evidence_of(case, fact, Role::Context)).collect();
                evidence.dedup_by_key(|piece| piece.line);
                if !self.keep_secrets {
                    evidence.iter_mut().for_each(|piece| piece.text = redact(&piece.text).0.into_owned());
                }
                self.warnings += 1;
                let source = source.clone();
                out.push(Notice::Warning(Box::new(Warning { schema: WARNING_SCHEMA, source, warning: kind, text, evidence })));
            }
        }
    }

    /// Forgets what is not needed any more, so that a watch of weeks holds no more than one of minutes.
    fn age(&mut self, case: &Case) {
        if self.session.writers() > MAX_WRITERS {
            self.session = self.analyzer.session();
            self.signs = Signs::default();
            return;
        }
        let is_over = |(at, run): &(usize, &Run)| {
            run.ended.is_some() && case.runs.iter().skip(at + 1).any(|later| later.container == run.container && later.has_start)
        };
        let over: HashSet<(u64, OriginId)> =
            case.runs.iter().enumerate().filter(is_over).flat_map(|(_, run)| run.facts.iter().map(|&i| place(&case.facts[i]))).collect();
        if !over.is_empty() {
            self.session.forget(|fact| !over.contains(&place(fact)));
        }
        if self.session.bytes() > MAX_BYTES {
            let middle = case.facts.get(case.facts.len() / 2).map_or(0, |fact| fact.place.first_line);
            let says_what_runs =
                |fact: &Fact| matches!(fact.kind, FactKind::RunStart | FactKind::Arguments | FactKind::Device | FactKind::Context | FactKind::Mark);
            self.session.forget(|fact| fact.place.first_line > middle || says_what_runs(fact));
            if self.session.bytes() > MAX_BYTES {
                self.session.forget(|fact| fact.place.first_line > middle);
            }
        }
    }
}

fn place(fact: &Fact) -> (u64, OriginId) {
    (fact.place.first_line, fact.place.origin)
}

/// What a run shows that failures begin with: its kind, a sentence, and the facts.
fn signs_of(case: &Case, run: &Run) -> Vec<(&'static str, String, Vec<usize>)> {
    let mut found = Vec::new();
    let of_kind = |kind: FactKind| run.facts.iter().copied().filter(move |&i| case.facts[i].kind == kind);
    let times = |facts: &[usize]| facts.iter().map(|&i| case.facts[i].repeats).sum::<u64>();
    let line = |i: usize| case.facts[i].place.first_line;
    let room = of_kind(FactKind::Metrics).rfind(|&i| !is_full(&case.facts[i]));
    let full: Vec<usize> = of_kind(FactKind::Metrics).filter(|&i| is_full(&case.facts[i]) && room.is_none_or(|room| i > room)).collect();
    if let (Some(&first), Some(&last)) = (full.first(), full.last())
        && times(&full) >= WORTH_A_WARNING
    {
        let text = format!("The key-value cache is full (line {}): requests wait or are preempted from here on.", line(last));
        found.push(("cache-full", text, vec![first, last]));
    }
    let preempted: Vec<usize> = of_kind(FactKind::Preempted).collect();
    if let (Some(&first), Some(&last)) = (preempted.first(), preempted.last())
        && times(&preempted) >= WORTH_A_WARNING
    {
        let text = format!("Requests were preempted {} times: the key-value cache is too small for what is asked at a time.", times(&preempted));
        found.push(("preemptions", text, vec![first, last]));
    }
    if let Some((climb, first, last)) = climb(case, &run.facts) {
        found.push(("memory-climbs", format!("Allocated memory climbs {climb}: something is kept from step to step."), vec![first, last]));
    }
    let retries: Vec<usize> = of_kind(FactKind::Retry).collect();
    if let (Some(&first), Some(&last)) = (retries.first(), retries.last())
        && times(&retries) >= WORTH_A_WARNING
    {
        found.push(("retries", format!("Something failed and was tried again {} times.", times(&retries)), vec![first, last]));
    }
    found
}
