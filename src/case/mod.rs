//! Facts put in order: runs of an engine, what each run was at, what it states of itself.

pub mod deployment;
pub mod ledger;
pub mod need;
pub mod timeline;
pub mod trends;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::envelope::{Level, Origin, OriginId};
use crate::facts::{Ends, Fact, FactKind, Stage, Strength};
use crate::post_mortem::{Figures, Phase};

/// Facts of one rule and origin beyond this number are only counted.
const KEPT_OF_A_KIND: u64 = 200;

/// Facts that are alike.
#[derive(PartialEq, Eq, Hash)]
struct Series {
    kind: FactKind,
    /// Of metrics: whether they show a full cache.
    is_full: bool,
    /// Rule and writer; none where there is no room to tell them apart.
    of: Option<(Arc<str>, OriginId)>,
}

/// Takes facts as they come and keeps a bounded number of them.
pub struct Collector {
    facts: Vec<Fact>,
    /// How many there were of each series, and where the last of them is.
    seen: HashMap<Series, (u64, usize)>,
    /// How many facts there were when the last that is not periodic came.
    event: usize,
    /// Bytes of the facts, about.
    bytes: usize,
    room: usize,
}

impl Collector {
    /// Begins with room for so many bytes of facts. When they are used up, of each further rule and writer only one fact is
    /// kept; when twice as many are, of each kind.
    pub fn new(room: usize) -> Self {
        Collector { facts: Vec::new(), seen: HashMap::new(), event: 0, bytes: 0, room }
    }

    /// Takes a fact. Of a long series of alike facts the first ones and the last one are kept.
    pub fn push(&mut self, fact: Fact) {
        let periodic = matches!(fact.kind, FactKind::RequestServed | FactKind::Metrics | FactKind::Preempted | FactKind::Context | FactKind::Payload);
        let limit = if periodic { 4 } else { KEPT_OF_A_KIND };
        let is_full = fact.kind == FactKind::Metrics && trends::is_full(&fact);
        let next = self.facts.len();
        let no_room = self.is_full();
        let mut series = Series { kind: fact.kind, is_full, of: Some((fact.rule.clone(), fact.place.origin)) };
        if self.bytes >= 2 * self.room && !self.seen.contains_key(&series) {
            series.of = None;
        }
        let (count, last) = self.seen.entry(series).or_insert((0, next));
        *count += fact.repeats;
        let full = *count > limit || no_room;
        if full && let Some(kept) = self.facts.get_mut(*last) {
            // The newest takes the last place, so that the end of a log is known whatever its length.
            let repeats = fact.repeats + if kept.rule == fact.rule { kept.repeats } else { 0 };
            let left_out = kept.left_out + 1;
            // A series is interrupted by any fact that is not periodic, which starts a new one.
            if *last >= self.event || no_room || !periodic {
                self.bytes = self.bytes.saturating_sub(kept.bytes()) + fact.bytes();
                *kept = Fact { repeats, left_out, ..fact };
                return;
            }
            *last = next;
            self.bytes += fact.bytes();
            self.facts.push(fact);
            return;
        }
        *last = next;
        self.bytes += fact.bytes();
        if !periodic {
            self.event = next + 1;
        }
        self.facts.push(fact);
    }

    /// The facts so far in the order of the log.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = self.facts.clone();
        facts.sort_by_key(|fact| fact.place.first_line);
        facts
    }

    /// Forgets facts, and counts the kinds of the others anew.
    pub fn retain(&mut self, is_kept: impl Fn(&Fact) -> bool) {
        let mut facts = std::mem::take(&mut self.facts);
        facts.retain(is_kept);
        facts.shrink_to_fit();
        let bytes = facts.iter().map(Fact::bytes).sum();
        *self = Collector { event: facts.len(), facts, bytes, ..Collector::new(self.room) };
    }

    /// Bytes of the facts, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when not every fact is kept any more.
    pub fn is_full(&self) -> bool {
        self.bytes >= self.room
    }

    /// The facts in the order of the log.
    pub fn finish(mut self) -> Vec<Fact> {
        self.facts.sort_by_key(|fact| fact.place.first_line);
        self.facts
    }
}

/// One run of an engine or script.
#[derive(Debug, Default)]
pub struct Run {
    /// Indexes of its facts.
    pub facts: Vec<usize>,
    /// The container that it ran in, when the log tells several apart.
    pub container: Option<String>,
    /// Index of the fact that says that it came up.
    pub ready: Option<usize>,
    /// True when the log holds its start.
    pub has_start: bool,
    /// Index of the fact that ended its process.
    pub ended: Option<usize>,
}

/// All that a log says, in order.
pub struct Case {
    /// The facts in the order of the log.
    pub facts: Vec<Fact>,
    /// The stage that was in force when each fact was written.
    pub stages: Vec<Option<Stage>>,
    /// The runs in the order in which they began.
    pub runs: Vec<Run>,
    /// Who wrote what.
    pub origins: Vec<Origin>,
    /// Lines read.
    pub lines: u64,
    /// The year to assume for stamps that have none.
    pub year: Option<i32>,
    /// The engine of the log as a whole, and of each container that has one of its own.
    engine: Option<&'static str>,
    engines: BTreeMap<Option<String>, &'static str>,
}

impl Case {
    /// Puts facts in order.
    pub fn new(facts: Vec<Fact>, origins: Vec<Origin>, lines: u64, year: Option<i32>) -> Self {
        let mut case = Case { stages: Vec::new(), facts, runs: Vec::new(), origins, lines, year, engine: None, engines: BTreeMap::new() };
        case.tell_engines();
        case.settle_meanings();
        // Words that turned out to be another program's name no engine any more, unless nothing else does.
        let guessed = case.engine;
        case.tell_engines();
        case.engine = case.engine.or(guessed);
        case.stages = vec![None; case.facts.len()];
        case.split_into_runs();
        for index in 0..case.runs.len() {
            case.follow_stages(index);
        }
        case
    }

    /// Which engine ran in each container. Hosts run none: what they say is of the engine that the log is of.
    fn tell_engines(&mut self) {
        self.engine = deployment::engine(self.facts.iter(), self.origins.iter());
        let containers: BTreeSet<Option<&str>> = self.facts.iter().map(|fact| self.container(fact)).collect();
        if containers.len() < 2 {
            return;
        }
        let engine = |container: Option<&str>| {
            let facts = self.facts.iter().filter(|fact| self.container(fact) == container);
            let origins = self.origins.iter().filter(|origin| origin.container.as_deref() == container);
            deployment::engine(facts, origins).filter(|engine| !matches!(*engine, "kernel" | "kubernetes"))
        };
        self.engines = containers.into_iter().filter_map(|name| Some((name.map(str::to_owned), engine(name)?))).collect();
    }

    /// The engine of the log as a whole.
    pub fn engine(&self) -> Option<&'static str> {
        self.engine
    }

    /// The engine that a container runs, as far as it says so itself.
    pub fn own_engine(&self, container: Option<&str>) -> Option<&'static str> {
        self.engines.get(&container.map(str::to_owned)).copied()
    }

    /// The engine that a container runs: its own, else that of the log.
    pub fn engine_of(&self, container: Option<&str>) -> Option<&'static str> {
        self.own_engine(container).or(self.engine)
    }

    /// Leaves each text one meaning, now that the engine is known: a server's table speaks of that server. What only
    /// another server's table knows is a guess, and none where the text is no failure by its form.
    fn settle_meanings(&mut self) {
        let engines: Vec<_> = self.origins.iter().map(|origin| self.engine_of(origin.container.as_deref())).collect();
        let engine_of = |fact: &Fact| engines.get(fact.place.origin.0 as usize).copied().unwrap_or(self.engine);
        self.facts.retain(|fact| fact.strength != Strength::Weak || deployment::speaks_of(&fact.software, engine_of(fact)));
        let text = |fact: &Fact| (fact.place.record, fact.place.part);
        let is_foreign = |fact: &Fact| {
            let engine = engine_of(fact);
            engine.is_some() && fact.kind.is_failure() && deployment::is_of_a_server(&fact.software) && !deployment::speaks_of(&fact.software, engine)
        };
        let known: HashSet<_> =
            self.facts.iter().filter(|f| f.kind.is_failure() && f.strength == Strength::Exact && !is_foreign(f)).map(text).collect();
        self.facts.retain(|fact| {
            let by_form = fact.is_exception || fact.place.level.is_some_and(|level| level >= Level::Error);
            !is_foreign(fact) || by_form && !known.contains(&text(fact))
        });
        for fact in &mut self.facts {
            if is_foreign(fact) && fact.strength == Strength::Exact {
                fact.strength = Strength::Weak;
            }
        }
        // Of the guesses at one text the surest counts, whichever table made it.
        let is_guess = |fact: &Fact| fact.kind.is_failure() && fact.strength == Strength::Weak;
        let mut surest: HashMap<(u64, u32), i8> = HashMap::new();
        for fact in self.facts.iter().filter(|fact| is_guess(fact)) {
            let priority = surest.entry(text(fact)).or_insert(fact.priority);
            *priority = fact.priority.max(*priority);
        }
        self.facts.retain(|fact| !is_guess(fact) || surest.get(&text(fact)) == Some(&fact.priority));
        // What a guess reads is known by more than its form.
        let is_form = |fact: &Fact| fact.kind.is_failure() && fact.strength == Strength::Form;
        self.facts.retain(|fact| !is_form(fact) || !surest.contains_key(&text(fact)));
        let mut meant: HashSet<(u64, u32, u64)> = HashSet::new();
        let sentence = |fact: &Fact| (fact.place.record, fact.place.part, fact.place.first_line);
        self.facts.retain(|fact| !fact.kind.is_failure() || fact.strength != Strength::Exact || meant.insert(sentence(fact)));
    }

    /// The container that wrote a fact.
    pub fn container(&self, fact: &Fact) -> Option<&str> {
        self.origins.get(fact.place.origin.0 as usize).and_then(|origin| origin.container.as_deref())
    }

    /// The rank that wrote a fact, when the log names it.
    pub fn rank_of(&self, fact: &Fact) -> Option<u32> {
        self.origins.get(fact.place.origin.0 as usize).and_then(|origin| origin.rank).or(fact.rank)
    }

    /// True for facts of two ranks: neither explains nor closes what the other one says of itself.
    pub fn are_of_two_ranks(&self, a: &Fact, b: &Fact) -> bool {
        matches!((self.rank_of(a), self.rank_of(b)), (Some(a), Some(b)) if a != b)
    }

    /// True for what a program does at its start only. Servers name themselves; their processes load on when one has failed.
    fn starts_anew(&self, fact: &Fact) -> bool {
        let is_loading = fact.kind == FactKind::Mark && matches!(fact.event.as_deref(), Some("download-started" | "load-started" | "weights-loaded"));
        fact.kind == FactKind::RunStart || is_loading && !deployment::is_server(self.engine_of(self.container(fact)))
    }

    /// True for what ends a process at its start, as far as the message tells: nothing else says so bare, or uncaught.
    fn fails_to_start(fact: &Fact) -> bool {
        let is_of_a_start = matches!(
            fact.kind,
            FactKind::Dependency
                | FactKind::Argument
                | FactKind::Port
                | FactKind::NoGpu
                | FactKind::Architecture
                | FactKind::RemoteCode
                | FactKind::Quantization
                | FactKind::Dtype
                | FactKind::Parallelism
                | FactKind::HubAuth
                | FactKind::HubFetch
                | FactKind::WeightsInvalid
        );
        // What goes down says much that looks like this; that it finds its own address taken it does not say.
        let is_bare = (!fact.is_exception || fact.kind == FactKind::Port) && fact.place.level.is_none();
        is_of_a_start && fact.strength == Strength::Exact && fact.ends != Some(Ends::Request) && !fact.is_step() && (fact.is_uncaught || is_bare)
    }

    /// True for a run that was up and was stopped before it had any failure of that kind.
    fn was_stopped_without(&self, run: &Run, kind: FactKind) -> bool {
        let since_it_was_up = |ready: usize| run.facts.iter().map(|&i| (i, self.facts[i].kind)).filter(move |&(i, _)| i > ready);
        run.ready.is_some_and(|ready| since_it_was_up(ready).any(|(_, of)| matches!(of, FactKind::StopSignal | FactKind::OrderlyStop)))
            && run.facts.iter().all(|&i| self.facts[i].kind != kind || self.facts[i].is_step())
    }

    fn split_into_runs(&mut self) {
        // The open run of each container, and which start marks it has seen from which origin.
        let mut open: BTreeMap<Option<String>, usize> = BTreeMap::new();
        let mut starts: HashMap<usize, Vec<(Arc<str>, OriginId)>> = HashMap::new();
        // The last failure of each run that nobody caught, as long as nothing shows that its process went on.
        let mut uncaught: HashMap<usize, usize> = HashMap::new();
        let mut hosts = Hosts::default();
        for index in 0..self.facts.len() {
            let fact = &self.facts[index];
            let container = self.container(fact).map(str::to_owned);
            let host = container.as_deref().and_then(host_around);
            let mut run = match host {
                Some(around) => hosts.spoken_of(around, fact),
                None => open.get(&container).copied().or_else(|| hosts.waiting_for(container.as_deref())),
            };
            if host.is_none()
                && let Some(run) = run
                && self.runs[run].container.as_deref().is_some_and(|own| host_around(own).is_some())
            {
                // So far only the host has spoken; it spoke of the run that begins here.
                self.runs[run].container.clone_from(&container);
            }
            if fact.kind == FactKind::RunStart {
                let mark = (fact.rule.clone(), fact.place.origin);
                let is_failed = |fact: &Fact| fact.kind.is_failure() && !fact.is_step();
                let failed_before_any_start = |r: usize| !self.runs[r].has_start && self.runs[r].facts.iter().any(|&i| is_failed(&self.facts[i]));
                let again = run.is_some_and(|r| {
                    self.runs[r].ended.is_some() || failed_before_any_start(r) || starts.get(&r).is_some_and(|seen| seen.contains(&mark))
                });
                if again {
                    run = None;
                }
            }
            if let Some(before) = run
                && self.starts_anew(fact)
                && let Some(&crash) = uncaught.get(&before)
                && !self.are_of_two_ranks(&self.facts[crash], fact)
            {
                self.runs[before].ended.get_or_insert(crash);
                run = None;
            }
            // Where a start fails before it has named itself, only the failure shows that there was one.
            if let Some(before) = run
                && Self::fails_to_start(fact)
                && self.was_stopped_without(&self.runs[before], fact.kind)
            {
                run = None;
            }
            let run = run.unwrap_or_else(|| {
                self.runs.push(Run { container: container.clone(), ..Run::default() });
                self.runs.len() - 1
            });
            let fact = &self.facts[index];
            match host {
                Some(around) => hosts.spoke(around, run),
                None => {
                    hosts.heard(container.as_deref(), self.origins.get(fact.place.origin.0 as usize).and_then(|origin| origin.pid), run);
                    open.insert(container, run);
                }
            }
            if fact.kind == FactKind::RunStart {
                starts.entry(run).or_default().push((fact.rule.clone(), fact.place.origin));
                self.runs[run].has_start = true;
            }
            let ends = fact.ends == Some(Ends::Process) || matches!(fact.kind, FactKind::ProcessExit | FactKind::OrderlyStop);
            if fact.is_uncaught && fact.kind.is_failure() {
                uncaught.insert(run, index);
            } else if matches!(fact.kind, FactKind::Mark | FactKind::RequestServed | FactKind::Completed | FactKind::Retry) {
                uncaught.remove(&run);
            }
            let is_ready = fact.kind == FactKind::Mark && fact.event.as_deref() == Some("ready") || fact.kind == FactKind::RequestServed;
            let entry = &mut self.runs[run];
            entry.facts.push(index);
            if ends {
                entry.ended = Some(index);
            }
            if is_ready && entry.ready.is_none() {
                entry.ready = Some(index);
            }
        }
    }

    /// Notes for each fact of a run what its process was at.
    fn follow_stages(&mut self, run: usize) {
        let mut by_origin: BTreeMap<OriginId, Stage> = BTreeMap::new();
        let mut latest: Option<Stage> = None;
        for position in 0..self.runs[run].facts.len() {
            let index = self.runs[run].facts[position];
            let fact = &self.facts[index];
            let origin = fact.place.origin;
            let names_process = self.origins.get(origin.0 as usize).is_some_and(|o| o.process.is_some());
            let own = by_origin.get(&origin).copied();
            self.stages[index] = if names_process { own.or(latest) } else { latest.or(own) };
            let reached = match fact.kind {
                FactKind::Mark => fact.stage,
                FactKind::RequestServed => Some(Stage::Serve),
                FactKind::RunStart if latest.is_none() => Some(Stage::Load),
                _ => None,
            };
            if let Some(stage) = reached {
                by_origin.insert(origin, stage);
                latest = Some(stage);
            }
        }
    }

    /// The figures of a fact, completed by its copies and by the last lines before it of the same process and run.
    pub fn figures_at(&self, run: &Run, index: usize, copies: &[usize]) -> Figures {
        let mut figures = self.facts[index].figures.clone();
        let own = self.facts[index].place.origin;
        for &copy in copies {
            let other = &self.facts[copy].figures;
            let agrees = |a: Option<u64>, b: Option<u64>| a.is_none() || b.is_none() || a == b;
            if agrees(figures.device, other.device)
                && agrees(figures.tried_bytes, other.tried_bytes)
                && agrees(figures.total_bytes, other.total_bytes)
            {
                complete(&mut figures, other);
            }
        }
        let same_process = |origin: OriginId| {
            let process = |id: OriginId| self.origins.get(id.0 as usize).and_then(|o| o.process.as_deref());
            match (process(own), process(origin)) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
        };
        let mut earlier: Vec<usize> = run.facts.iter().copied().filter(|&other| other < index).collect();
        earlier.reverse();
        for pass in [true, false] {
            for &other in &earlier {
                let fact = &self.facts[other];
                if fact.kind.is_failure() || fact.kind == FactKind::Hint || same_process(fact.place.origin) != pass {
                    continue;
                }
                complete(&mut figures, &fact.figures);
                if let Some(arguments) = &fact.arguments {
                    complete(&mut figures, &deployment::figures_of(arguments));
                }
            }
        }
        figures
    }
}

/// What hosts say: the kernel and the manager of services speak of the processes that run on them.
#[derive(Default)]
struct Hosts {
    /// The run that wrote last, within each container around hosts and everywhere (`""`).
    last: BTreeMap<String, usize>,
    /// The runs that hosts began, which are of what begins after.
    waiting: BTreeMap<String, usize>,
    by_pid: HashMap<u32, usize>,
}

impl Hosts {
    /// The run that a host's line is about: the one whose process it names, else the one that wrote last.
    fn spoken_of(&self, around: &str, fact: &Fact) -> Option<usize> {
        let pid = fact.number("pid").and_then(|pid| u32::try_from(pid).ok());
        pid.and_then(|pid| self.by_pid.get(&pid)).or_else(|| self.last.get(around)).or_else(|| self.waiting.get(around)).copied()
    }

    /// Notes that a host spoke of a run.
    fn spoke(&mut self, around: &str, run: usize) {
        if !self.last.contains_key(around) {
            self.waiting.insert(around.to_owned(), run);
        }
    }

    /// The run that a host has begun for a container.
    fn waiting_for(&mut self, container: Option<&str>) -> Option<usize> {
        self.waiting.remove(around(container)).or_else(|| self.waiting.remove(""))
    }

    /// Notes that a run's own process wrote.
    fn heard(&mut self, container: Option<&str>, pid: Option<u32>, run: usize) {
        self.last.insert(String::new(), run);
        self.last.insert(around(container).to_owned(), run);
        if let Some(pid) = pid {
            self.by_pid.insert(pid, run);
        }
    }
}

/// What is around the container: `web-1` of `web-1/vllm`.
fn around(container: Option<&str>) -> &str {
    container.and_then(|name| name.rsplit_once('/')).map_or("", |(around, _)| around)
}

/// For a container that is a host's own voice: what is around it.
fn host_around(container: &str) -> Option<&str> {
    let name = container.rsplit('/').next().unwrap_or(container);
    matches!(name, "kernel" | "systemd").then(|| around(Some(container)))
}

/// Fills what a message does not say from an earlier one.
pub fn complete(figures: &mut Figures, earlier: &Figures) {
    macro_rules! fill {
        ($($field:ident),*) => { $( if figures.$field.is_none() { figures.$field.clone_from(&earlier.$field); } )* };
    }
    fill!(
        device,
        tried_bytes,
        total_bytes,
        free_bytes,
        allocated_bytes,
        reserved_bytes,
        reserved_unallocated_bytes,
        process_bytes,
        weights_bytes,
        kv_available_bytes,
        kv_needed_bytes,
        kv_tokens,
        max_model_len,
        prefill_tokens,
        gpu_memory_utilization,
        private_pools_bytes,
        other_processes_bytes,
        limit_bytes,
        requested_bytes,
        activation_bytes,
        non_torch_bytes,
        graph_bytes,
        kv_cache_bytes,
        host_used_bytes,
        host_total_bytes
    );
}

/// A failure with all that surrounds it: what a cause is asked about.
pub struct Situation<'c> {
    /// The whole case.
    pub case: &'c Case,
    /// The run that it happened in.
    pub run: &'c Run,
    /// The failure.
    pub fact: &'c Fact,
    /// What the process was at.
    pub stage: Option<Stage>,
    /// The figures of the message, completed from the lines before it.
    pub figures: Figures,
    /// The outermost engine.
    pub engine: Option<&'c str>,
    /// The model as the engine was given it.
    pub model: Option<&'c str>,
    /// What the model needs, where it is known. Causes compete without it: it comes with the report.
    pub need: Option<&'c need::Need>,
}

impl Situation<'_> {
    /// True when the fact is of this kind.
    pub fn is(&self, kind: FactKind) -> bool {
        self.fact.kind == kind
    }

    /// True when the process was at one of these stages.
    pub fn at(&self, stages: &[Stage]) -> bool {
        self.stage.is_some_and(|stage| stages.contains(&stage))
    }

    /// The phase of the contract; what a server does once it is up is serving.
    pub fn phase(&self) -> Option<Phase> {
        let line = self.fact.place.first_line;
        // Ollama is up before it loads anything.
        let was_up = self.engine != Some("ollama") && self.run.ready.is_some_and(|ready| self.case.facts[ready].place.first_line < line);
        match self.stage? {
            Stage::Sampler | Stage::Profile | Stage::KvCache if was_up => Some(Phase::Serve),
            stage => Some(phase(stage)),
        }
    }

    /// True when the log shows more than one rank.
    pub fn has_several_ranks(&self) -> bool {
        let engine = self.engine;
        let is_own = |origin: &&Origin| self.case.engine_of(origin.container.as_deref()) == engine;
        let named = self.case.origins.iter().filter(is_own).any(|origin| origin.rank.is_some_and(|rank| rank > 0));
        named
            || self
                .run
                .facts
                .iter()
                .map(|&i| &self.case.facts[i])
                .any(|f| f.rank.is_some_and(|r| r > 0) || f.number("tensor_parallel").is_some_and(|n| n > 1))
    }

    /// True when an earlier fact or hint of the run is of this kind.
    pub fn hinted(&self, kind: FactKind) -> bool {
        self.run.facts.iter().map(|&i| &self.case.facts[i]).any(|f| f.kind == FactKind::Hint && f.hints == Some(kind))
    }
}

/// The contract's phase of a stage.
pub fn phase(stage: Stage) -> Phase {
    match stage {
        Stage::Download => Phase::Download,
        Stage::Load | Stage::Weights => Phase::Load,
        Stage::Profile | Stage::KvCache | Stage::Sampler => Phase::Profile,
        Stage::Capture => Phase::GraphCapture,
        Stage::Serve | Stage::Prefill | Stage::Decode => Phase::Serve,
        Stage::Train => Phase::Train,
    }
}
