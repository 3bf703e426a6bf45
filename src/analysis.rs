//! One log in, one post-mortem out.

use std::io::Read;

use crate::case::deployment::deployment;
use crate::case::ledger::memory;
use crate::case::timeline::timeline;
use crate::case::trends::trends;
use crate::case::{Case, Collector, Run, Situation};
use crate::causes::arbiter::{self, Verdict};
use crate::envelope::{Envelope, Line};
use crate::facts::{Fact, FactKind};
use crate::post_mortem::{Completeness, Deployment, Evidence, Impact, Incident, PostMortem, Role, SCHEMA, Source, Tool};
use crate::recognise::Recogniser;
use crate::record::{Assembler, Record};
use crate::remedies::command::{Command, Launch};
use crate::remedies::plan::{self, Occasion};
use crate::scan::Gate;
use crate::signatures::{Signature, Table, parse_size};
use crate::source::{Reader, SourceError};
use crate::time::iso;

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

    /// Reads one log to its end and says what it tells.
    ///
    /// # Errors
    /// When reading fails. Damaged data are not that: they end the log, and the report names the problem.
    pub fn run(&self, reader: Reader, name: &str) -> Result<PostMortem, SourceError> {
        let (case, source) = self.read(reader, name)?;
        Ok(self.report(&case, source))
    }

    /// The same, with the command that was run, as far as it is known.
    ///
    /// # Errors
    /// As [`Analyzer::run`].
    pub fn run_with_command(&self, reader: Reader, name: &str) -> Result<(PostMortem, Option<Command>), SourceError> {
        let (case, source) = self.read(reader, name)?;
        let run = arbiter::verdicts(&case).first().map(|v| &case.runs[v.run]).or(case.runs.last());
        let command = Command::of(&case, &self.deployment(&case, run), self.options.launch.as_ref());
        Ok((self.report(&case, source), command))
    }

    fn read(&self, mut reader: Reader, name: &str) -> Result<(Case, Source), SourceError> {
        let mut envelope = Envelope::new();
        let mut assembler = Assembler::default();
        let mut recogniser = Recogniser::new(&self.table);
        let mut collector = Collector::default();
        let mut lines: Vec<Line> = Vec::new();
        let mut records: Vec<Record> = Vec::new();
        let mut facts: Vec<Fact> = Vec::new();
        let mut drain = |lines: &mut Vec<Line>, records: &mut Vec<Record>, assembler: &mut Assembler, last: bool| {
            for line in lines.drain(..) {
                assembler.push(line, records);
            }
            if last {
                assembler.finish(records);
            }
            for record in records.drain(..) {
                recogniser.record(&record, &mut facts);
            }
            if last {
                recogniser.finish(u64::MAX, &mut facts);
            }
            for fact in facts.drain(..) {
                collector.push(fact);
            }
        };
        let mut gate = Gate::new(self.table.needles().to_vec());
        let mut broken: Option<String> = None;
        let mut read = |number: u64, line: &[u8]| {
            envelope.push(number, &String::from_utf8_lossy(line), &mut lines);
            drain(&mut lines, &mut records, &mut assembler, false);
        };
        loop {
            let read_before = reader.lines_read() > 0;
            gate.pass(&mut reader, &mut read);
            let raw = match reader.next_line() {
                Ok(Some(raw)) => raw,
                Ok(None) => break,
                Err(error) if read_before => {
                    broken = Some(error.to_string());
                    break;
                }
                Err(error) => return Err(error),
            };
            gate.push(raw.number, raw.bytes, &mut read);
        }
        gate.finish(&reader, &mut read);
        envelope.finish(&mut lines);
        drain(&mut lines, &mut records, &mut assembler, true);
        let source = Source {
            name: name.to_owned(),
            bytes: reader.bytes_read(),
            lines: reader.lines_read(),
            problems: reader.problems().iter().map(ToString::to_string).chain(broken).collect(),
        };
        let mut facts = collector.finish();
        facts.extend(self.options.facts(source.lines));
        let case = Case::new(facts, envelope.origins().to_vec(), source.lines, self.options.year);
        Ok((case, source))
    }

    fn deployment(&self, case: &Case, run: Option<&Run>) -> Deployment {
        let mut deployment = deployment(case, run);
        if deployment.model.is_none() {
            deployment.model.clone_from(&self.options.model);
        }
        deployment
    }

    fn report(&self, case: &Case, source: Source) -> PostMortem {
        let verdicts = arbiter::verdicts(case);
        let run = verdicts.first().map(|v| &case.runs[v.run]).or(case.runs.last());
        let deployment = self.deployment(case, run);
        let mut incidents: Vec<Incident> = Vec::new();
        for verdict in &verdicts {
            // Another service has an engine and a model of its own.
            let other = &case.runs[verdict.run];
            let own = if run.is_some_and(|run| run.container == other.container) { None } else { Some(self.deployment(case, Some(other))) };
            let deployment = own.as_ref().unwrap_or(&deployment);
            let command = Command::of(case, deployment, self.options.launch.as_ref().filter(|_| own.is_none()));
            incidents.push(incident(case, verdict, deployment, command.as_ref()));
        }
        let figures = match incidents.first() {
            Some(incident) => incident.figures.clone(),
            None => run.and_then(|run| run.facts.last().map(|&last| case.figures_at(run, last, &[]))).unwrap_or_default(),
        };
        let completeness = match completeness(case) {
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
            memory: memory(&figures, verdicts.first().map(|v| &case.facts[v.decisive])),
            figures,
            incidents,
            deployment,
            timeline: timeline(case),
            secrets_masked: 0,
        };
        if !self.options.keep_secrets {
            crate::report::redact::redact_report(&mut report);
        }
        report
    }
}

fn incident(case: &Case, verdict: &Verdict, deployment: &Deployment, command: Option<&Command>) -> Incident {
    let run = &case.runs[verdict.run];
    let fact = &case.facts[verdict.decisive];
    let situation = Situation {
        case,
        run,
        fact,
        stage: verdict.stage,
        figures: case.figures_at(run, verdict.decisive, &verdict.proof),
        engine: deployment.engine.as_deref(),
        model: deployment.model.as_deref(),
    };
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
    let occasion = Occasion { cause: verdict.cause.id, situation: &situation, deployment, command };
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
        rank: rank(case, fact).or_else(|| rank_of_symptoms(case, verdict)),
        first_line,
        last_line,
        evidence,
        contributing: verdict.contributing.clone(),
        remedies,
        figures: situation.figures,
    }
}

fn evidence_of(case: &Case, index: usize, role: Role) -> Evidence {
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

fn completeness(case: &Case) -> Completeness {
    let starts = case.runs.first().is_some_and(|run| {
        run.has_start || run.facts.first().is_some_and(|&i| case.facts[i].place.first_line <= 3 && case.facts[i].kind == FactKind::Mark)
    }) || case.facts.iter().any(|f| f.is_exception) && case.runs.iter().all(|run| run.ready.is_none()) && case.lines < 200;
    let is_cut = case.facts.last().is_some_and(|fact| &*fact.rule == "incomplete-traceback" && fact.place.last_line + 1 >= case.lines);
    let ends = !is_cut
        && case.runs.last().is_some_and(|run| {
            run.ended.is_some()
                || run.facts.last().is_some_and(|&i| {
                    let fact = &case.facts[i];
                    matches!(fact.kind, FactKind::OrderlyStop | FactKind::Completed | FactKind::ProcessExit)
                        || run.ready.is_none() && fact.is_exception && fact.place.last_line + 20 >= case.lines
                })
        });
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
