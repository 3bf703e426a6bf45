//! One growing log: when to say what. Knows no files and no formats; what time it is, it is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::analysis::{Analyzer, Session, Signs, evidence_of};
use crate::case::trends::{climb, is_full};
use crate::case::{Case, Run};
use crate::causes::arbiter::{Verdict, service};
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
/// How often the gate begins anew, unless reading takes so much of the time that it is needed.
const FRESH: Duration = Duration::from_secs(1);
/// Reading takes at most one part in so many of the time without a gate.
const READING: u32 = 4;
/// Looking at all that was said takes at most one part in so many of the time.
const SHARE: u32 = 20;
/// Bytes of facts from which on the older ones are forgotten: of one log at most, and at least where there are many.
const ROOM: RangeInclusive<usize> = 256 * 1024..=1024 * 1024;
/// The same of all logs that are watched together.
const ROOM_OF_ALL: usize = 8 * 1024 * 1024;
/// Writers from which on everything is begun anew: an envelope tells so many apart and no more.
const MAX_WRITERS: usize = 2048;
/// Incidents that are remembered.
const MAX_TOLD: usize = 1024;
/// Readings of a full cache, preemptions or repetitions that are worth a warning.
const WORTH_A_WARNING: u64 = 3;
/// Readings of memory that climbs: fewer may be the first steps.
const WORTH_A_CLIMB: u64 = 5;

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

/// How often a sign was seen.
#[derive(Debug, Clone, Copy)]
struct Warned {
    times: u64,
    /// How often before the present time, which began after a long pause.
    before: u64,
    at: Instant,
    is_said: bool,
}

/// How often a cause was seen in all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Total {
    /// So often.
    pub times: u64,
    /// Or more often: not every line of a flood is read.
    pub is_lower_bound: bool,
}

/// Follows one log.
pub struct Watcher<'a> {
    analyzer: &'a Analyzer<'a>,
    session: Session<'a>,
    room: usize,
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
    /// When the gate began anew, and how long reading has taken since.
    fresh: Instant,
    reading: Duration,
    is_settled: bool,
    next_look: Instant,
    has_news: bool,
    told: HashMap<(&'static str, Option<String>), Told>,
    warned: HashMap<(&'static str, Option<String>), Warned>,
    totals: BTreeMap<&'static str, Total>,
    warnings: u64,
}

impl<'a> Watcher<'a> {
    /// Begins to follow a log, one of so many that share what memory there is.
    pub fn new(analyzer: &'a Analyzer<'a>, name: String, logs: usize, pause: Duration, keep_secrets: bool, now: Instant) -> Self {
        let room = (ROOM_OF_ALL / logs.max(1)).clamp(*ROOM.start(), *ROOM.end());
        Watcher {
            analyzer,
            session: analyzer.session(room),
            room,
            gate: analyzer.gate(),
            name,
            pause,
            keep_secrets,
            signs: Signs::default(),
            trouble: None,
            active: now,
            fresh: now,
            reading: Duration::ZERO,
            is_settled: true,
            next_look: now,
            has_news: false,
            told: HashMap::new(),
            warned: HashMap::new(),
            totals: BTreeMap::new(),
            warnings: 0,
        }
    }

    /// Reads what has come and says what there is to say.
    ///
    /// # Errors
    /// When reading fails.
    pub fn poll(&mut self, reader: &mut Reader, now: Instant, out: &mut Vec<Notice>) -> Result<(), SourceError> {
        let before = reader.lines_read();
        let begun = Instant::now();
        let result = self.gate.run(reader, |number, line| self.session.push(number, line));
        if reader.lines_read() > before {
            self.active = now;
            self.is_settled = false;
        }
        self.reading += begun.elapsed();
        let is_over = !reader.waits();
        let is_silent = now.duration_since(self.active) >= self.pause;
        if is_silent || is_over || now.duration_since(self.fresh) >= FRESH.max(self.reading * READING) {
            // What comes next is read whole again like a beginning: a log that keeps to some speed needs no gate.
            self.gate.finish(reader, |number, line| self.session.push(number, line));
            (self.fresh, self.reading) = (now, Duration::ZERO);
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
        // What there is no room for would be lost.
        let must_look = is_over || self.session.is_full();
        if self.has_news && (must_look || is_due && now >= self.next_look || may_warn) {
            self.look(reader, is_due || must_look, now, out);
        }
        result
    }

    /// How often each cause was seen in all.
    pub fn totals(&self) -> &BTreeMap<&'static str, Total> {
        &self.totals
    }

    /// How many warnings there were.
    pub fn warnings(&self) -> u64 {
        self.warnings
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
            let news: Vec<Verdict> = self.analyzer.verdicts(&case).into_iter().filter(|verdict| self.is_news(&case, verdict, now)).collect();
            if !news.is_empty() {
                out.push(Notice::Incident(Box::new(self.analyzer.report(&case, &news, source))));
            }
            self.trouble = None;
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
            self.count(verdict, verdict.occurrences);
            return true;
        };
        if line <= told.line && verdict.occurrences <= told.shown && verdict.impact >= told.impact {
            return false;
        }
        let more = verdict.occurrences.saturating_sub(told.shown).max(u64::from(line > told.line));
        // The gravest impact is the least.
        let is_news = verdict.impact < told.impact || now.duration_since(told.at) >= AGAIN_AFTER;
        *told = Told { impact: verdict.impact.min(told.impact), line: line.max(told.line), ..seen };
        self.count(verdict, more);
        is_news
    }

    fn count(&mut self, verdict: &Verdict, times: u64) {
        let total = self.totals.entry(verdict.cause.id).or_default();
        total.times += times;
        total.is_lower_bound |= verdict.is_lower_bound;
    }

    /// Warns of what the open runs show. What goes on is said once; what comes again after long is said again.
    fn warn(&mut self, case: &Case, source: &Source, now: Instant, out: &mut Vec<Notice>) {
        if self.warned.len() >= MAX_TOLD {
            self.warned.retain(|_, warned| now.duration_since(warned.at) < AGAIN_AFTER);
        }
        if self.warned.len() >= MAX_TOLD {
            self.warned.clear();
        }
        let mut seen = HashSet::new();
        for run in case.runs.iter().rev() {
            // Of each container the last run; what came before another start is over.
            if !seen.insert(&run.container) || run.ended.is_some() {
                continue;
            }
            for sign in signs_of(case, run, &self.session) {
                let begun = Warned { times: 0, before: 0, at: now, is_said: false };
                let warned = self.warned.entry((sign.kind, run.container.clone())).or_insert(begun);
                if sign.times < warned.times {
                    // It ended, or what it was is forgotten.
                    (warned.times, warned.before) = (0, 0);
                }
                if sign.times == warned.times {
                    continue;
                }
                if now.duration_since(warned.at) >= AGAIN_AFTER {
                    (warned.before, warned.is_said) = (warned.times, false);
                }
                (warned.times, warned.at) = (sign.times, now);
                if warned.is_said || warned.times - warned.before < sign.enough {
                    continue;
                }
                warned.is_said = true;
                let mut evidence: Vec<Evidence> = sign.facts.into_iter().map(|fact| evidence_of(case, fact, Role::Context)).collect();
                evidence.dedup_by_key(|piece| piece.line);
                if !self.keep_secrets {
                    evidence.iter_mut().for_each(|piece| piece.text = redact(&piece.text).0.into_owned());
                }
                self.warnings += 1;
                let source = source.clone();
                out.push(Notice::Warning(Box::new(Warning { schema: WARNING_SCHEMA, source, warning: sign.kind, text: sign.text, evidence })));
            }
        }
    }

    /// Forgets what is not needed any more, so that a watch of weeks holds no more than one of minutes.
    fn age(&mut self, case: &Case) {
        if self.session.writers() > MAX_WRITERS {
            self.session = self.analyzer.session(self.room);
            self.signs = Signs::default();
            self.told.values_mut().for_each(|told| told.shown = 0);
            return;
        }
        let before = self.session.bytes();
        let is_over = |(at, run): &(usize, &Run)| {
            run.ended.is_some() && case.runs.iter().skip(at + 1).any(|later| later.container == run.container && later.has_start)
        };
        let over: HashSet<(u64, OriginId)> =
            case.runs.iter().enumerate().filter(is_over).flat_map(|(_, run)| run.facts.iter().map(|&i| place(&case.facts[i]))).collect();
        if !over.is_empty() {
            self.session.forget(|fact| !over.contains(&place(fact)));
        }
        if self.session.is_full() {
            let middle = case.facts.get(case.facts.len() / 2).map_or(0, |fact| fact.place.first_line);
            let says_what_runs =
                |fact: &Fact| matches!(fact.kind, FactKind::RunStart | FactKind::Arguments | FactKind::Device | FactKind::Context | FactKind::Mark);
            self.session.forget(|fact| fact.place.first_line > middle || says_what_runs(fact));
            if self.session.is_full() {
                self.session.forget(|fact| fact.place.first_line > middle);
            }
        }
        if self.session.bytes() < before {
            // What is forgotten is not counted again, nor taken from what comes.
            self.told.values_mut().for_each(|told| told.shown = 0);
            let left = self.session.case(case.lines);
            for verdict in self.analyzer.verdicts(&left) {
                if let Some(told) = self.told.get_mut(&(verdict.cause.id, service(&left, &verdict))) {
                    told.shown = verdict.occurrences;
                }
            }
        }
    }
}

fn place(fact: &Fact) -> (u64, OriginId) {
    (fact.place.first_line, fact.place.origin)
}

/// What failures begin with.
struct Sign {
    kind: &'static str,
    /// How often it was seen, and from how often on it is worth a warning.
    times: u64,
    enough: u64,
    text: String,
    facts: Vec<usize>,
}

/// What a run shows that failures begin with.
fn signs_of(case: &Case, run: &Run, session: &Session) -> Vec<Sign> {
    let of_kind = |kind: FactKind| run.facts.iter().copied().filter(|&i| case.facts[i].kind == kind).collect::<Vec<usize>>();
    let mut found = Vec::new();
    let mut series = |kind: &'static str, facts: &[usize], times: u64, text: String| {
        if let (Some(&first), Some(&last)) = (facts.first(), facts.last()) {
            found.push(Sign { kind, times, enough: WORTH_A_WARNING, text, facts: vec![first, last] });
        }
    };
    let times = |facts: &[usize]| facts.iter().map(|&i| case.facts[i].repeats).sum::<u64>();
    let metrics = of_kind(FactKind::Metrics);
    let room = metrics.iter().rfind(|&&i| !is_full(&case.facts[i]));
    let full: Vec<usize> = metrics.iter().copied().filter(|i| is_full(&case.facts[*i]) && room.is_none_or(|room| i > room)).collect();
    // Of a long series not every reading is kept, so these are counted as they come.
    let in_a_row = full.iter().map(|&i| session.full_readings(&case.facts[i])).max().unwrap_or(0);
    let line = full.last().map_or(0, |&i| case.facts[i].place.first_line);
    let text = format!("The key-value cache is full (line {line}): requests wait or are preempted from here on.");
    series("cache-full", &full, in_a_row, text);
    let preempted = of_kind(FactKind::Preempted);
    let text = format!("Requests were preempted {} times: the key-value cache is too small for what is asked at a time.", times(&preempted));
    series("preemptions", &preempted, times(&preempted), text);
    let retries = of_kind(FactKind::Retry);
    series("retries", &retries, times(&retries), format!("Something failed and was tried again {} times.", times(&retries)));
    if let Some(climb) = climb(case, &run.facts) {
        let text = format!("Allocated memory climbs {}: something is kept from step to step.", climb.from_to);
        found.push(Sign { kind: "memory-climbs", times: climb.readings, enough: WORTH_A_CLIMB, text, facts: climb.facts.to_vec() });
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{self, Read};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::analysis::Options;

    /// A log that has grown by what was given to it.
    #[derive(Clone, Default)]
    struct Growing(Arc<Mutex<VecDeque<u8>>>);

    impl Read for Growing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.lock().map_or(Ok(0), |mut bytes| bytes.read(into))? {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                count => Ok(count),
            }
        }
    }

    /// Gives a watch some lines after each of some pauses, in seconds; gives the kinds of the warnings and the causes after each.
    fn told(steps: &[(u64, &str)]) -> Vec<Vec<&'static str>> {
        let (options, log, mut now) = (Options::default(), Growing::default(), Instant::now());
        let analyzer = Analyzer::new(&options);
        let mut watcher = Watcher::new(&analyzer, "log".into(), 1, Duration::from_secs(2), false, now);
        log.0.lock().unwrap().extend(b"INFO: begins\n");
        let mut reader = Reader::live("log", Box::new(log.clone())).unwrap();
        let look = |(pause, lines): &(u64, &str)| {
            log.0.lock().unwrap().extend(lines.as_bytes());
            let mut notices = Vec::new();
            now += Duration::from_secs(*pause);
            // When it comes, and when it has settled.
            for _ in 0..2 {
                watcher.poll(&mut reader, now, &mut notices).unwrap();
                now += Duration::from_secs(10);
            }
            let kinds = notices.iter().flat_map(|notice| match notice {
                Notice::Incident(report) => report.incidents.iter().map(|incident| incident.cause).collect(),
                Notice::Warning(warning) => vec![warning.warning],
            });
            kinds.collect()
        };
        steps.iter().map(look).collect()
    }

    fn lines(count: usize, line: &str) -> String {
        (0..count).map(|n| line.replace("{n}", &n.to_string()) + "\n").collect()
    }

    const HOUR: u64 = 3600;
    const RETRY: &str = "Retrying in {n}s [Retry {n}/9].";
    const PREEMPTED: &str = "[2026-01-05 10:05:0{n} TP0] KV cache pool is full. Retract requests. #retracted_reqs: 4, #new_tokens_gained: 900, #new_token_ratio: 0.4120 -> 0.9900";

    fn usage(percent: &str) -> String {
        let line = "INFO 03-14 00:0{n}:00 [loggers.py:111] Engine 000: Avg prompt throughput: 9.0 tokens/s, Avg generation throughput: 8.0 tokens/s, Running: 64 reqs, Waiting: 12 reqs, GPU KV cache usage: {%}%, Prefix cache hit rate: 0.0%";
        lines(4, &line.replace("{%}", percent))
    }

    #[test]
    fn what_comes_again_after_long_is_warned_of_again_and_what_goes_on_is_not() {
        for (kind, text) in [("retries", lines(4, RETRY)), ("preemptions", lines(4, PREEMPTED)), ("cache-full", usage("99.9"))] {
            let room = usage("40.0");
            let said = told(&[(0, &text), (60, &text), (20 * 60, &text), (20 * 60, &text), (HOUR, &room), (0, &text)]);
            assert_eq!(said, [vec![kind], vec![], vec![], vec![], vec![], vec![kind]]);
        }
    }

    #[test]
    fn what_happens_now_and_then_is_not_warned_of() {
        let twice: String = usage("99.9").split_inclusive('\n').take(2).collect();
        let mut steps = vec![(0, lines(2, RETRY)), (0, lines(2, PREEMPTED))];
        for _ in 0..20 {
            steps.extend([(HOUR, lines(1, RETRY)), (0, lines(1, PREEMPTED)), (0, twice.clone()), (0, usage("40.0"))]);
        }
        let steps: Vec<(u64, &str)> = steps.iter().map(|(pause, text)| (*pause, text.as_str())).collect();
        assert!(told(&steps).concat().is_empty());
    }

    /// Memory lines of DeepSpeed with these figures, and lines of training between them where it trains.
    fn memory(figures: &[&str], trains: bool) -> String {
        let line = |figure: &&str| {
            let step = if trains {
                "[2024-11-02 09:22:14,300] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=0, lr=[1e-05], mom=[[0.9, 0.95]]\n"
            } else {
                ""
            };
            format!(
                "{step}[2024-11-02 09:22:14,318] [INFO] [utils.py:782:see_memory_usage] MA {figure} GB         Max_MA 17.57 GB         CA 19.01 GB         Max_CA 19 GB\n"
            )
        };
        figures.iter().map(line).collect()
    }

    #[test]
    fn memory_that_climbs_from_step_to_step_is_warned_of_and_a_start_is_not() {
        let rising = ["1.95", "2.95", "5.86", "7.20", "9.20", "13.67", "14.60"];
        assert_eq!(told(&[(0, &memory(&rising, true))]), [["memory-climbs"]]);
        // What a start allocates bit by bit, what the first step allocates, what comes and goes.
        let flat = ["1.95", "14.60", "14.60", "14.60", "14.61", "14.61", "14.61"];
        let wave = ["5.95", "7.95", "5.86", "7.20", "5.20", "7.67", "5.60"];
        for harmless in [memory(&rising, false), memory(&flat, true), memory(&wave, true), memory(&rising[..4], true)] {
            assert!(told(&[(0, &harmless), (60, &lines(3, "INFO: works"))]).concat().is_empty(), "{harmless}");
        }
        // A script's own figures, at different points.
        let points = ["loading", "quantizing", "moving", "compiling", "warming up", "the optimizer"];
        let script = |name: &dyn Fn(usize) -> String| {
            (0..6).map(|n| format!("after {}: allocated: {}.20 GB, reserved: 25.40 GB\n", name(n), 5 + 2 * n)).collect::<String>()
        };
        assert!(told(&[(0, &script(&|n| points[n].to_owned()))]).concat().is_empty());
        assert_eq!(told(&[(0, &script(&|n| format!("batch {n}")))]), [["memory-climbs"]]);
    }

    #[test]
    fn each_container_is_warned_of_by_itself() {
        let of = |name: &str| usage("99.9").lines().map(|line| format!("{name}  | {line}\n")).collect::<String>();
        let said = told(&[(0, &of("vllm-a-1")), (1, &of("vllm-b-1")), (1, &of("vllm-a-1")), (1, &of("vllm-b-1"))]);
        assert_eq!(said.concat(), ["cache-full", "cache-full"]);
    }
}
