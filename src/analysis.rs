//! One log in, one post-mortem out.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use crate::case::deployment::{deployment, is_server};
use crate::case::ledger::{self, Moment};
use crate::case::need::Need;
use crate::case::timeline::timeline;
use crate::case::trends::{is_full, trends};
use crate::case::{Case, Collector, Run, Situation};
use crate::causes::arbiter::{self, Verdict};
use crate::causes::arithmetic;
use crate::envelope::{Envelope, Line, Origin, OriginId};
use crate::facts::{Fact, FactKind};
use crate::post_mortem::{Completeness, Deployment, Evidence, Figures, Impact, Incident, Memory, PostMortem, Role, SCHEMA, Source, Tool};
use crate::recognise::Recogniser;
use crate::record::{Assembler, Record};
use crate::remedies::command::{Command, Launch, Shell};
use crate::remedies::plan::{self, Occasion};
use crate::scan::Gate;
use crate::signatures::{Signature, Table, parse_size};
use crate::source::{Reader, SourceError};
use crate::time::iso;

/// Bytes of facts that are kept of a log.
const ROOM: usize = 8 * 1024 * 1024;
/// Pieces of evidence of one role beyond this number are left out.
const MAX_PROOF: usize = 6;

/// What the user knows beyond the log.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The year of stamps that have none.
    pub year: Option<i32>,
    /// Code with which the process or container ended.
    pub exit_code: Option<i32>,
    /// The model, if the log does not name it.
    pub model: Option<String>,
    /// The device's name, or its memory (`24GiB`), if the log does not give it.
    pub gpu: Option<String>,
    /// The command that was run.
    pub command: Option<String>,
    /// The shell that commands of the report are for.
    pub shell: Shell,
    /// How it was started, where that is more than a command line: a compose file, a manifest, a container's description.
    pub launch: Option<Launch>,
    /// The user's own signatures.
    pub rules: Vec<Signature>,
    /// Leave secrets as they are.
    pub keep_secrets: bool,
}

impl Options {
    /// What the user knows, as facts that stand after the last line.
    fn facts(&self, last_line: u64) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(code) = self.exit_code.filter(|&code| code != 0) {
            let mut fact = Fact::given(FactKind::ProcessExit, "given-exit-code", last_line, format!("exit code {code} (given)"));
            fact.attributes.insert("exit_code".into(), code.to_string());
            facts.push(fact);
        }
        if let Some(command) = &self.command
            && let Some(arguments) = crate::extract::arguments::shell_command(command)
        {
            let mut fact = Fact::given(FactKind::Arguments, "given-command", last_line, command.clone());
            crate::extract::fill_from_arguments(&mut fact, arguments);
            facts.push(fact);
        }
        if let Some(launch) = self.launch.as_ref().filter(|launch| !matches!(launch, Launch::Command(_)))
            && let Ok(command) = Command::given(launch)
        {
            let text = command.model().unwrap_or_default();
            let mut fact = Fact::given(FactKind::Arguments, "given-launch", last_line, text);
            crate::extract::fill_from_arguments(&mut fact, command.to_arguments());
            facts.push(fact);
        }
        if let Some(gpu) = &self.gpu {
            let mut fact = Fact::given(FactKind::Device, "given-gpu", last_line, gpu.clone());
            fact.figures.device = Some(0);
            let is_size = gpu.starts_with(|c: char| c.is_ascii_digit()) && gpu.to_ascii_lowercase().ends_with('b');
            match parse_size(gpu, None, false).filter(|_| is_size) {
                Some(bytes) => fact.figures.total_bytes = u64::try_from(bytes).ok(),
                None => {
                    fact.attributes.insert("device_name".into(), gpu.clone());
                }
            }
            facts.push(fact);
        }
        facts
    }
}

/// Reads one log to its end and says what it tells.
///
/// # Errors
/// When there is nothing in it that could be a log, or reading fails; what can be unpacked of a damaged one is reported.
pub fn analyze(reader: impl Read + Send + 'static, options: &Options) -> Result<PostMortem, SourceError> {
    Analyzer::new(options).run(Reader::from_read(Box::new(reader))?, "-")
}

/// Analyses logs one after another with the same signatures.
pub struct Analyzer<'o> {
    options: &'o Options,
    table: Table,
}

impl<'o> Analyzer<'o> {
    /// Gets ready; the signatures are put into one automaton here.
    pub fn new(options: &'o Options) -> Self {
        Analyzer { options, table: Table::new(options.rules.clone()) }
    }

    /// Begins to read a log; so many bytes of facts are kept, the first ones and the last.
    pub fn session(&self, room: usize) -> Session<'_> {
        Session {
            analyzer: self,
            envelope: Envelope::new(),
            assembler: Assembler::default(),
            recogniser: Recogniser::new(&self.table),
            collector: Collector::new(room),
            lines: Vec::new(),
            records: Vec::new(),
            facts: Vec::new(),
            signs: Signs::default(),
            full: HashMap::new(),
        }
    }

    /// A gate that lets through what the signatures look for.
    pub fn gate(&self) -> Gate<'_> {
        Gate::new(self.table.needles())
    }

    /// Reads one log to its end and says what it tells.
    ///
    /// # Errors
    /// When reading fails. Damaged data are not that: they end the log, and the report names the problem.
    pub fn run(&self, reader: Reader, name: &str) -> Result<PostMortem, SourceError> {
        let (case, source) = self.read(reader, name)?;
        Ok(self.report(&case, &arbiter::verdicts(&case), source))
    }

    /// The same, with the command that was run, as far as it is known.
    ///
    /// # Errors
    /// As [`Analyzer::run`].
    pub fn run_with_command(&self, reader: Reader, name: &str) -> Result<(PostMortem, Option<Command>), SourceError> {
        let (case, source) = self.read(reader, name)?;
        let verdicts = arbiter::verdicts(&case);
        let run = verdicts.first().map(|v| &case.runs[v.run]).or(case.runs.last());
        let command = Command::of(&case, run, &self.deployment(&case, run), self.options.launch.as_ref());
        Ok((self.report(&case, &verdicts, source), command))
    }

    fn read(&self, mut reader: Reader, name: &str) -> Result<(Case, Source), SourceError> {
        let mut session = self.session(ROOM);
        let mut gate = self.gate();
        let mut broken: Option<String> = None;
        match gate.run(&mut reader, |number, line| session.push(number, line)) {
            Ok(()) => {}
            Err(error) if reader.lines_read() > 0 => broken = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        gate.finish(&reader, |number, line| session.push(number, line));
        session.settle(reader.lines_read());
        let source = Source {
            name: name.to_owned(),
            bytes: reader.bytes_read(),
            lines: reader.lines_read(),
            problems: reader.problems().iter().map(ToString::to_string).chain(broken).collect(),
        };
        let case = session.into_case(source.lines);
        Ok((case, source))
    }

    fn deployment(&self, case: &Case, run: Option<&Run>) -> Deployment {
        let mut deployment = deployment(case, run);
        if deployment.model.is_none() {
            deployment.model.clone_from(&self.options.model);
        }
        deployment
    }

    /// What went wrong, the gravest first, as reports will say it: the arithmetic has had its say, and would say
    /// the same once more.
    pub fn verdicts(&self, case: &Case) -> Vec<Verdict> {
        let mut verdicts = arbiter::verdicts(case);
        for verdict in &mut verdicts {
            let run = &case.runs[verdict.run];
            let figures = case.figures_at(run, verdict.decisive, &verdict.proof);
            needed(case, verdict, &self.deployment(case, Some(run)), &figures);
        }
        verdicts
    }

    /// The report on some verdicts, the gravest first.
    pub fn report(&self, case: &Case, verdicts: &[Verdict], source: Source) -> PostMortem {
        // The arithmetic may change them.
        let mut verdicts = verdicts.to_vec();
        let run = verdicts.first().map(|v| &case.runs[v.run]).or(case.runs.last());
        let deployment = self.deployment(case, run);
        let mut incidents: Vec<Incident> = Vec::new();
        let mut need = None;
        for (index, verdict) in verdicts.iter_mut().enumerate() {
            // Another service has an engine and a model of its own.
            let other = &case.runs[verdict.run];
            let own = if run.is_some_and(|run| run.container == other.container) { None } else { Some(self.deployment(case, Some(other))) };
            let deployment = own.as_ref().unwrap_or(&deployment);
            let figures = case.figures_at(other, verdict.decisive, &verdict.proof);
            let own_need = needed(case, verdict, deployment, &figures);
            let command = Command::of(case, Some(other), deployment, self.options.launch.as_ref().filter(|_| own.is_none()));
            incidents.push(incident(case, verdict, deployment, figures, own_need.as_ref(), command.as_ref(), self.options.shell));
            if index == 0 {
                need = own_need;
            }
        }
        let figures = match incidents.first() {
            Some(incident) => incident.figures.clone(),
            None => run.and_then(|run| run.facts.last().map(|&last| case.figures_at(run, last, &[]))).unwrap_or_default(),
        };
        let completeness = match completeness(case, &verdicts) {
            Completeness::Whole if !source.problems.is_empty() => Completeness::EndsEarly,
            Completeness::StartsLate if !source.problems.is_empty() => Completeness::Both,
            completeness => completeness,
        };
        let mut report = PostMortem {
            schema: SCHEMA,
            tool: Tool { name: "oomdoc", version: env!("CARGO_PKG_VERSION") },
            source,
            cause: incidents.first().map_or("healthy", |incident| incident.cause),
            completeness,
            would_settle: would_settle(incidents.first(), completeness),
            memory: memory(case, verdicts.first(), &figures, need.as_ref()),
            figures,
            incidents,
            deployment,
            timeline: timeline(case),
            secrets_masked: 0,
        };
        if !self.options.keep_secrets {
            crate::redact::redact_report(&mut report);
        }
        report
    }
}

/// What a log has told so far.
pub struct Session<'a> {
    analyzer: &'a Analyzer<'a>,
    envelope: Envelope,
    assembler: Assembler,
    recogniser: Recogniser<'a>,
    collector: Collector,
    // On their way from one step to the next; kept for their room.
    lines: Vec<Line>,
    records: Vec<Record>,
    facts: Vec<Fact>,
    signs: Signs,
    /// How many readings of a rule and writer have shown a full cache, one after another.
    full: HashMap<(Arc<str>, OriginId), u64>,
}

impl Session<'_> {
    /// Takes a line.
    pub fn push(&mut self, number: u64, line: &[u8]) {
        self.envelope.push(number, &String::from_utf8_lossy(line), &mut self.lines);
        self.take_lines();
        self.take_records();
    }

    /// Takes what waits for further lines as it is: the log has ended, or is silent.
    pub fn settle(&mut self, last_line: u64) {
        self.envelope.finish(&mut self.lines);
        self.take_lines();
        self.assembler.finish(&mut self.records);
        self.take_records();
        self.recogniser.finish(last_line, &mut self.facts);
        self.take_facts();
    }

    /// All that the log has told, in order.
    pub fn into_case(self, lines: u64) -> Case {
        case_of(self.collector.finish(), self.envelope.origins(), lines, self.analyzer.options)
    }

    /// What the log has told so far, in order.
    pub fn case(&self, lines: u64) -> Case {
        case_of(self.collector.facts(), self.envelope.origins(), lines, self.analyzer.options)
    }

    /// How many facts have come that a report or warning may be about.
    pub fn signs(&self) -> Signs {
        self.signs
    }

    /// How many readings like this one have shown a full cache since one that did not.
    pub fn full_readings(&self, like: &Fact) -> u64 {
        self.full.get(&(like.rule.clone(), like.place.origin)).copied().unwrap_or(0)
    }

    /// How many writers the log has shown.
    pub fn writers(&self) -> usize {
        self.envelope.origins().len()
    }

    /// Forgets the facts that are not to be kept.
    pub fn forget(&mut self, is_kept: impl Fn(&Fact) -> bool) {
        self.collector.retain(is_kept);
    }

    /// Bytes of the facts, about.
    pub fn bytes(&self) -> usize {
        self.collector.bytes()
    }

    /// True when not every fact is kept any more.
    pub fn is_full(&self) -> bool {
        self.collector.is_full()
    }

    fn take_lines(&mut self) {
        for line in self.lines.drain(..) {
            self.assembler.push(line, &mut self.records);
        }
    }

    fn take_records(&mut self) {
        for record in self.records.drain(..) {
            self.recogniser.record(&record, &mut self.facts);
        }
        self.take_facts();
    }

    fn take_facts(&mut self) {
        for fact in self.facts.drain(..) {
            let is_trouble = fact.kind.is_failure() || matches!(fact.kind, FactKind::Symptom | FactKind::ProcessExit);
            self.signs.troubles += u64::from(is_trouble);
            self.signs.all += u64::from(!matches!(fact.kind, FactKind::RequestServed | FactKind::Payload | FactKind::Benign));
            if fact.kind == FactKind::RunStart {
                self.full.clear();
            } else if fact.kind == FactKind::Metrics {
                let series = (fact.rule.clone(), fact.place.origin);
                if is_full(&fact) {
                    *self.full.entry(series).or_default() += fact.repeats;
                } else {
                    self.full.remove(&series);
                }
            }
            self.collector.push(fact);
        }
    }
}

/// How many facts have come that something may follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// Failures, and what only follows from one.
    pub troubles: u64,
    /// All but what is said every day.
    pub all: u64,
}

fn case_of(mut facts: Vec<Fact>, origins: &[Origin], lines: u64, options: &Options) -> Case {
    facts.extend(options.facts(lines));
    Case::new(facts, origins.to_vec(), lines, options.year)
}

/// What the model needs, where device memory failed, or where it was too little and parts of the model were placed elsewhere;
/// otherwise nothing is looked up. The verdict may change by it.
fn needed(case: &Case, verdict: &mut Verdict, deployment: &Deployment, figures: &Figures) -> Option<Need> {
    if verdict.cause.family != "device-memory" && !matches!(verdict.cause.id, "meta-tensor-offload" | "quantized-offload-refused") {
        return None;
    }
    // A service that does not name its model may have been lent another one's.
    let run = &case.runs[verdict.run];
    if case.runs.iter().any(|other| other.container != run.container) && !run.facts.iter().any(|&i| names_model(&case.facts[i])) {
        return None;
    }
    let several = rank(case, &case.facts[verdict.decisive]).is_some() || rank_of_symptoms(case, verdict).is_some();
    let need = Need::new(deployment, figures, verdict.stage, several)?;
    arithmetic::settle(case, verdict, figures, &need);
    Some(need)
}

fn names_model(fact: &Fact) -> bool {
    fact.word("model").is_some() || fact.arguments.as_deref().is_some_and(|dump| crate::extract::arguments::deployment(dump).model.is_some())
}

/// The ledger of the first incident's device, or of a healthy run's.
fn memory(case: &Case, verdict: Option<&Verdict>, figures: &Figures, need: Option<&Need>) -> Memory {
    let run: &[usize] = verdict.map_or(&[], |verdict| &case.runs[verdict.run].facts);
    let decisive = verdict.map_or(usize::MAX, |verdict| verdict.decisive);
    ledger::memory(
        figures,
        &Moment {
            case,
            cause: verdict.map(|verdict| verdict.cause.id),
            stage: verdict.and_then(|verdict| verdict.stage),
            proof: verdict.map_or(&[], |verdict| &verdict.proof),
            before: &run[..run.partition_point(|&index| index < decisive)],
            need,
        },
    )
}

fn incident(
    case: &Case,
    verdict: &Verdict,
    deployment: &Deployment,
    figures: Figures,
    need: Option<&Need>,
    command: Option<&Command>,
    shell: Shell,
) -> Incident {
    let run = &case.runs[verdict.run];
    let fact = &case.facts[verdict.decisive];
    let situation =
        Situation { case, run, fact, stage: verdict.stage, figures, engine: deployment.engine.as_deref(), model: deployment.model.as_deref(), need };
    let mut evidence: Vec<Evidence> = Vec::new();
    let trends = trends(case, run, verdict.decisive);
    let mut context: Vec<usize> = trends.iter().flat_map(|trend| trend.facts.iter().copied()).collect();
    context.extend(&verdict.context);
    for (role, facts) in [(Role::Cause, &verdict.proof), (Role::Context, &context), (Role::Symptom, &verdict.symptoms)] {
        let mut taken = 0;
        for &index in facts {
            let piece = evidence_of(case, index, role);
            let shown = evidence.iter().any(|e| e.text == piece.text && (e.role == role || e.line == piece.line));
            if taken < MAX_PROOF && !shown && !piece.text.is_empty() {
                taken += 1;
                evidence.push(piece);
            }
        }
    }
    if let Some(rest) = evidence.get_mut(1..) {
        rest.sort_by_key(|e| (e.role, e.line));
    }
    let first_line = evidence.iter().filter(|e| e.role == Role::Cause).map(|e| e.line).min().unwrap_or(fact.place.first_line);
    let last_line = evidence.iter().filter(|e| e.role == Role::Cause).map(|e| e.last_line.unwrap_or(e.line)).max().unwrap_or(first_line);
    let mut explanation = (verdict.cause.explanation)(&situation);
    for trend in &trends {
        explanation.push(' ');
        explanation.push_str(&trend.sentence);
    }
    let occasion = Occasion { cause: verdict.cause.id, situation: &situation, deployment, command, shell };
    let remedies = plan::remedies(&occasion, (verdict.cause.remedies)(&situation));
    Incident {
        cause: verdict.cause.id,
        impact: verdict.impact,
        recovered: verdict.recovered,
        family: verdict.cause.family,
        confidence: verdict.confidence,
        phase: situation.phase().or(verdict.cause.phase),
        headline: (verdict.cause.headline)(&situation),
        explanation,
        occurrences: verdict.occurrences,
        occurrences_is_lower_bound: verdict.is_lower_bound,
        rank: rank(case, fact).or_else(|| rank_of_symptoms(case, verdict)),
        first_line,
        last_line,
        evidence,
        contributing: verdict.contributing.clone(),
        remedies,
        figures: situation.figures,
    }
}

/// A fact as evidence.
pub fn evidence_of(case: &Case, index: usize, role: Role) -> Evidence {
    let fact = &case.facts[index];
    Evidence {
        line: fact.place.first_line,
        last_line: (fact.place.last_line > fact.place.first_line).then_some(fact.place.last_line),
        time: fact.place.stamp.as_ref().and_then(|stamp| iso(stamp, case.year)),
        role,
        rule: fact.rule.to_string(),
        text: fact.place.text.to_string(),
        decisive: fact.place.decisive,
    }
}

/// The rank of a failure, when there are several.
fn rank(case: &Case, fact: &Fact) -> Option<u32> {
    let own = case.rank_of(fact)?;
    let several = case.facts.iter().any(|other| case.rank_of(other).is_some_and(|rank| rank != own));
    (several || own > 0).then_some(own)
}

/// The rank that a launcher names when it says which of several shards failed.
fn rank_of_symptoms(case: &Case, verdict: &Verdict) -> Option<u32> {
    let named = |fact: &Fact| fact.rank.map(i64::from).or_else(|| fact.number("rank"));
    let several = case.facts.iter().filter_map(named).any(|rank| rank > 0);
    let first = verdict.symptoms.iter().find_map(|&i| named(&case.facts[i]))?;
    u32::try_from(first).ok().filter(|_| several)
}

fn completeness(case: &Case, verdicts: &[Verdict]) -> Completeness {
    let of_first = |verdict: &&Verdict| verdict.run == 0;
    let never_up = case.runs.iter().all(|run| run.ready.is_none());
    let starts = case.runs.first().is_some_and(|run| {
        let fact = |&i: &usize| &case.facts[i];
        let first = run.facts.first().map(fact);
        let loads = |fact: &Fact| matches!(fact.event.as_deref(), Some("download-started" | "load-started"));
        // A script says nothing of its start; loading is the first that it does. Arguments are read at the start only.
        let is_script = !is_server(case.engine_of(run.container.as_deref()));
        run.has_start
            || first.is_some_and(|fact| &*fact.rule == "usage" || fact.place.first_line <= 3 && fact.kind == FactKind::Mark)
            || is_script && run.facts.iter().map(fact).find(|fact| fact.kind == FactKind::Mark).is_some_and(loads)
            || never_up && verdicts.iter().filter(of_first).any(|v| case.facts[v.decisive].kind == FactKind::Argument)
    }) || case.facts.iter().any(|f| f.is_exception) && never_up && case.lines < 200;
    let last_line = |i: usize| case.facts[i].place.last_line;
    let is_cut = case.facts.last().is_some_and(|fact| &*fact.rule == "incomplete-traceback" && fact.place.last_line + 1 >= case.lines);
    // What ended the last run, or followed from it, stands at the end of the log.
    let died = verdicts.iter().filter(|v| v.impact == Impact::ProcessDied && v.run + 1 == case.runs.len());
    let dies = died.flat_map(|v| v.proof.iter().chain(&v.symptoms)).any(|&i| last_line(i).saturating_add(20) >= case.lines);
    let ends = !is_cut
        && (dies
            || case.runs.last().is_some_and(|run| {
                let over = |fact: &Fact| {
                    matches!(fact.kind, FactKind::OrderlyStop | FactKind::Completed | FactKind::ProcessExit)
                        || fact.event.as_deref() == Some("training-finished")
                };
                run.ended.is_some() || run.facts.last().is_some_and(|&i| over(&case.facts[i]))
            }));
    match (starts, ends) {
        (true, true) => Completeness::Whole,
        (false, true) => Completeness::StartsLate,
        (true, false) => Completeness::EndsEarly,
        (false, false) => Completeness::Both,
    }
}

/// The evidence that is missing, when the verdict is open.
fn would_settle(incident: Option<&Incident>, completeness: Completeness) -> Option<String> {
    let incident = incident?;
    if incident.cause != "unknown" && incident.confidence >= 0.7 {
        return None;
    }
    let mut wants: Vec<&str> = Vec::new();
    if matches!(completeness, Completeness::StartsLate | Completeness::Both) {
        wants.push("the log from the start of the process (`docker logs NAME` without `--tail`, `kubectl logs POD --previous`)");
    }
    if incident.impact == Impact::ProcessDied {
        wants.push("the exit code and the kernel's log of that minute (`docker inspect NAME`, `kubectl describe pod POD`, `dmesg -T`)");
        wants.push("the standard error of the process that died first, if it goes to another file");
    } else {
        wants.push("the server's own log around the failing request, at debug level");
    }
    Some(wants.join("; "))
}
