//! What a report says, apart from how a format writes it: sentences, rows and bars that the formats share.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use super::escape::{self, Segment, prose};
use super::{Failure, Outcome, advice, quote, words};
use crate::post_mortem::{Basis, Change, Completeness, Component, Contributing, Event, Figures, Impact, Incident, Ledger, PostMortem, Remedy, Role};

/// Lines of one piece of evidence that a document quotes at most.
const QUOTED_LINES: usize = 40;
/// Columns of a quoted line that a document shows at most.
const QUOTED_COLUMNS: usize = 2_000;

/// How sure, what it did, when and where: two short sentences.
pub fn verdict(report: &PostMortem, incident: &Incident) -> String {
    let mut out = format!("{} ({}). ", words::heading(words::confidence(incident.confidence)), words::percent(incident.confidence));
    out.push_str(&words::heading(words::impact(incident.impact)));
    if let Some(phase) = incident.phase {
        out.push_str(if incident.impact == Impact::ProcessDied { " " } else { ", " });
        out.push_str(words::phase(phase));
    }
    if let Some(rank) = first_rank(report, incident) {
        let _ = write!(out, ", first on rank {rank}");
    }
    out.push('.');
    if incident.occurrences > 1 {
        let _ = write!(out, " It happened {} times; the figures are the last one's.", words::occurrences(incident));
    }
    if incident.recovered {
        out.push_str(" A later run in the log came up well.");
    }
    out
}

/// The rank that failed first, where there are several.
fn first_rank(report: &PostMortem, incident: &Incident) -> Option<u32> {
    let several = report.deployment.devices.len() > 1 || report.deployment.tensor_parallel.is_some_and(|n| n > 1);
    incident.rank.filter(|rank| several || *rank > 0)
}

/// Engine, model and devices on one line.
pub fn running(report: &PostMortem) -> Option<String> {
    let deployment = &report.deployment;
    let mut parts = Vec::new();
    if let Some(engine) = &deployment.engine {
        let mut name = words::engine(engine).to_owned();
        if let Some(version) = &deployment.engine_version {
            let _ = write!(name, " {version}");
        }
        parts.push(name);
    }
    if let Some(model) = &deployment.model {
        parts.push(model.clone());
    }
    parts.extend(deployment.dtype.clone());
    parts.extend(deployment.quantization.clone());
    if let Some(devices) = devices(report) {
        parts.push(devices);
    }
    let parts: Vec<String> = parts.iter().map(|part| quote::middle(&escape::line(part), 100)).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The devices in words: how many, which, how large.
pub fn devices(report: &PostMortem) -> Option<String> {
    let devices = &report.deployment.devices;
    let first = devices.first()?;
    let same = devices.iter().all(|d| d.name == first.name && d.total_bytes == first.total_bytes);
    let say = |name: Option<&String>, total: Option<u64>| match (name, total) {
        (Some(name), Some(total)) => format!("{name} with {}", words::size(total)),
        (Some(name), None) => name.clone(),
        (None, Some(total)) => format!("a GPU with {}", words::size(total)),
        (None, None) => "a GPU of unknown size".to_owned(),
    };
    Some(if devices.len() == 1 {
        say(first.name.as_ref(), first.total_bytes)
    } else if same {
        match (&first.name, first.total_bytes) {
            (Some(name), Some(total)) => format!("{} × {name} with {} each", devices.len(), words::size(total)),
            (Some(name), None) => format!("{} × {name}", devices.len()),
            (None, Some(total)) => format!("{} GPUs with {} each", devices.len(), words::size(total)),
            (None, None) => format!("{} GPUs", devices.len()),
        }
    } else {
        format!("{} GPUs that differ", devices.len())
    })
}

/// The figures that the log gives, with their names.
pub fn figures(figures: &Figures) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push((name.to_owned(), value));
        }
    };
    let size = |bytes: Option<u64>| bytes.map(words::size);
    let tokens = |count: Option<u64>| count.map(|n| format!("{} token{}", words::thousands(n), words::plural(n)));
    add("asked for", size(figures.tried_bytes));
    add("free", size(figures.free_bytes));
    add("device total", size(figures.total_bytes));
    add("allocated", size(figures.allocated_bytes));
    add("reserved", size(figures.reserved_bytes));
    add("reserved, unused", size(figures.reserved_unallocated_bytes));
    add("private pools", size(figures.private_pools_bytes));
    add("this process", size(figures.process_bytes));
    add("other processes", size(figures.other_processes_bytes));
    add("allocator's limit", size(figures.limit_bytes));
    add("engine's budget", size(figures.requested_bytes));
    add("weights", size(figures.weights_bytes));
    add("peak activations", size(figures.activation_bytes));
    add("outside PyTorch", size(figures.non_torch_bytes));
    add("CUDA graphs", size(figures.graph_bytes));
    add("left for KV cache", figures.kv_available_bytes.map(words::signed_size));
    add("KV cache needed", size(figures.kv_needed_bytes));
    add("KV cache", size(figures.kv_cache_bytes));
    add("KV cache holds", tokens(figures.kv_tokens));
    add("context length", tokens(figures.max_model_len));
    add("prefill", tokens(figures.prefill_tokens));
    add("memory fraction", figures.gpu_memory_utilization.filter(|f| f.is_finite()).map(|f| format!("{f:.2}")));
    add("host memory used", size(figures.host_used_bytes));
    add("host memory total", size(figures.host_total_bytes));
    out
}

/// The name of an input: standard input has none.
pub fn name(source: &str) -> String {
    if source == "-" { "standard input".to_owned() } else { escape::line(source) }
}

/// Changes of flags in words.
pub fn changes(changes: &[Change]) -> String {
    let parts: Vec<String> = changes
        .iter()
        .map(|change| match (&change.from, &change.to) {
            (Some(from), Some(to)) => format!("{} from {from} to {to}", change.flag),
            (None, Some(to)) => format!("{} set to {to}", change.flag),
            (Some(from), None) => format!("{} removed, was {from}", change.flag),
            (None, None) => format!("{} added", change.flag),
        })
        .collect();
    escape::line(&parts.join("; "))
}

/// How many secrets were masked.
pub fn masked(count: u64) -> String {
    format!("Secrets masked in {} place{}.", words::thousands(count), words::plural(count))
}

/// What a log without a failure is said to be.
pub fn calm_headline(report: &PostMortem) -> &'static str {
    match (report.source.lines, report.completeness) {
        (0, _) => "the log is empty, so nothing was checked",
        (_, Completeness::Whole) => "nothing failed in this log",
        _ => "nothing failed in what this log holds",
    }
}

/// What was looked at.
pub fn checked(report: &PostMortem) -> String {
    let source = &report.source;
    if source.lines == 0 {
        return "Check that the log was taken from the right container and with standard error.".to_owned();
    }
    let read = format!("{} line{} ({})", words::thousands(source.lines), words::plural(source.lines), words::log_size(source.bytes));
    if report.cause == "unknown" {
        return format!("Checked: {read}.");
    }
    format!("Checked: {read}; no failure of memory, placement, template, numbers, configuration, model files or platform, and no abnormal end.")
}

/// Whether and when what a healthy log tells of came up.
pub fn start(report: &PostMortem) -> Option<String> {
    const SERVERS: [&str; 7] = ["tgi", "vllm", "sglang", "llama.cpp", "ollama", "lmdeploy", "tensorrt-llm"];
    let is_server = report.deployment.engine.as_deref().is_some_and(|engine| SERVERS.contains(&engine));
    let is_cut = matches!(report.completeness, Completeness::EndsEarly | Completeness::Both);
    // A script that has its answers from an engine within it has no server that comes up.
    let was_up = report.timeline.iter().any(|event| matches!(event.kind.as_str(), "ready" | "generation-finished"));
    if is_server && is_cut && !was_up && !report.timeline.is_empty() {
        return Some("The log ends before the server was up: whether it came up, or died without a word, is not in it.".to_owned());
    }
    time_to_ready(&report.timeline)
}

/// How long a run took from its start until it served.
fn time_to_ready(timeline: &[Event]) -> Option<String> {
    let at = timeline.iter().rposition(|e| e.kind == "ready")?;
    let ready = timeline.get(at)?;
    let before = timeline.get(..at)?;
    let start = before.iter().rev().find(|e| e.kind == "run-started" || e.kind == "started").or(before.first())?;
    let took = u64::try_from(ready.offset_ms?.checked_sub(start.offset_ms?)?).ok()?;
    Some(format!("Ready after {} (line {}).", words::duration(took), ready.line))
}

/// The last stage that the log shows before a failure.
pub fn last_stage(report: &PostMortem) -> Option<String> {
    let first = report.incidents.first().map_or(u64::MAX, |i| i.first_line);
    let event = report.timeline.iter().rev().find(|e| !words::is_failure(&e.kind) && e.kind != "process-ended" && e.line <= first)?;
    Some(format!("The last stage that the log shows before it: {} (line {}).", words::spaced(&event.kind), event.line))
}

/// How many of several inputs have which cause, in the order in which they came.
#[derive(Debug, Default)]
pub struct Tally(Vec<(&'static str, u64)>);

impl Tally {
    /// Counts one more.
    pub fn count(&mut self, outcome: &Outcome) {
        let key = cause(outcome);
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => self.0.push((key, 1)),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(key, count)| format!("{} {key}", words::thousands(*count))).collect();
        let all = self.0.iter().map(|(_, count)| count).sum();
        write!(f, "{} logs: {}.", words::thousands(all), parts.join(", "))
    }
}

/// What an input is counted as.
fn cause(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Report(report) => report.cause,
        Outcome::Failure(_) => "could not be read",
    }
}

/// One device's memory as a bar.
#[derive(Debug, Serialize)]
pub struct Bar {
    /// `GPU 0`.
    pub name: String,
    /// The device's memory in words.
    pub total: String,
    /// What is in it.
    pub parts: Vec<Part>,
    /// Bytes of the whole bar.
    #[serde(skip)]
    pub scale: u64,
    /// By how much the parts exceed the device, if they do.
    pub note: Option<String>,
}

/// One part of a bar.
#[derive(Debug, Serialize)]
pub struct Part {
    /// The letter that stands for it.
    pub letter: char,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its bytes in words.
    pub size: String,
    /// Its share of the device.
    pub share: Option<String>,
    /// Where the figure comes from, in words.
    pub origin: String,
    /// Its width in thousandths of the bar.
    pub width: u64,
    /// Where it begins, in thousandths of the bar.
    pub start: u64,
    /// Where the figure comes from.
    #[serde(skip)]
    pub basis: Option<Basis>,
}

/// A ledger as a bar: what the parts leave of the device is shown as not accounted for.
pub fn bar(ledger: &Ledger) -> Bar {
    let sum: u64 = ledger.components.iter().fold(0, |sum, c| sum.saturating_add(c.bytes));
    let scale = ledger.total_bytes.unwrap_or(sum).max(sum).max(1);
    let mut parts: Vec<Part> = ledger.components.iter().filter(|c| c.bytes > 0).map(|c| part(c, ledger.total_bytes)).collect();
    let rest = ledger.total_bytes.map_or(0, |total| total.saturating_sub(sum));
    // Rounding of printed figures leaves crumbs that say nothing.
    if rest > scale / 200 {
        parts.push(Part {
            letter: '?',
            name: "not accounted for".to_owned(),
            bytes: rest,
            size: words::size(rest),
            share: words::share(rest, ledger.total_bytes),
            origin: words::basis(Basis::Derived).to_owned(),
            width: 0,
            start: 0,
            basis: Some(Basis::Derived),
        });
    }
    let mut start = 0;
    for part in &mut parts {
        part.start = start;
        part.width = u64::try_from(u128::from(part.bytes) * 1_000 / u128::from(scale)).unwrap_or(1_000).max(4);
        start += part.width;
    }
    let over = ledger.total_bytes.and_then(|total| sum.checked_sub(total)).filter(|over| *over > scale / 200);
    let over = over.map(|over| format!("The parts add up to {} more than the device has.", words::size(over)));
    let notes: Vec<String> = over.into_iter().chain(ledger.needed.iter().map(|needed| need(needed, ledger.total_bytes))).collect();
    let note = (!notes.is_empty()).then(|| notes.join(" "));
    Bar { name: format!("GPU {}", ledger.index), total: ledger.total_bytes.map(words::size).unwrap_or_default(), parts, scale, note }
}

/// What was needed, beside the bar of what was held.
fn need(needed: &Component, total: Option<u64>) -> String {
    let (_, name) = words::component(needed.name);
    let mark = if needed.basis == Basis::Computed { "≈" } else { "" };
    let beyond = total.and_then(|total| needed.bytes.checked_sub(total)).filter(|beyond| *beyond > 0);
    let beyond = beyond.map_or(String::new(), |beyond| format!(", {} more than the device has", words::size(beyond)));
    format!("Needed: {name} {mark}{}{beyond}.", words::size(needed.bytes))
}

/// A component as a part of a bar.
fn part(component: &Component, total: Option<u64>) -> Part {
    let (letter, name) = words::component(component.name);
    let mut origin = words::basis(component.basis).to_owned();
    if let Some(line) = component.line {
        let _ = write!(origin, ", line {line}");
    }
    Part {
        letter,
        name,
        bytes: component.bytes,
        size: words::size(component.bytes),
        share: words::share(component.bytes, total),
        origin,
        width: 0,
        start: 0,
        basis: Some(component.basis),
    }
}

/// One row of the overview.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// Number of its section.
    pub number: usize,
    /// The input.
    pub name: String,
    /// Its cause, or that it could not be read.
    pub cause: &'static str,
    /// How sure.
    pub confidence: String,
    /// The headline.
    pub headline: Vec<Segment>,
}

/// What became of one input.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    /// Its number.
    pub number: usize,
    /// The input.
    pub name: String,
    /// Why it could not be read.
    pub error: Option<String>,
    /// `failed`, `unknown` or `healthy`.
    pub state: &'static str,
    /// The primary cause's id.
    pub cause: &'static str,
    /// The headline.
    pub headline: Vec<Segment>,
    /// How sure, what it did, and to what.
    pub verdict: Vec<Segment>,
    /// Names and values.
    pub summary: Vec<(String, Vec<Segment>)>,
    /// What was running.
    pub context: Vec<(String, Vec<Segment>)>,
    /// Its arguments, but for those that were not set.
    pub arguments: Vec<(String, String)>,
    /// What happened when.
    pub timeline: Vec<Moment>,
    /// Where the memory went.
    pub memory: Vec<Bar>,
    /// The figures.
    pub figures: Vec<(String, String)>,
    /// What failed.
    pub proof: Vec<Proof>,
    /// Why.
    pub explanation: Vec<Segment>,
    /// What would settle it.
    pub settle: Vec<Segment>,
    /// What helped.
    pub contributing: Vec<Vec<Segment>>,
    /// What to do.
    pub remedies: Vec<Advice>,
    /// How to keep it from coming back.
    pub prevention: Vec<Vec<Segment>>,
    /// What to go through.
    pub checklist: Vec<Vec<Segment>>,
    /// Other incidents.
    pub others: Vec<Other>,
    /// About the report.
    pub about: Vec<Vec<Segment>>,
}

/// One entry of the time line.
#[derive(Debug, Serialize)]
pub struct Moment {
    /// Its line.
    pub line: u64,
    /// The stamp.
    pub when: String,
    /// Since the first stamp.
    pub offset: String,
    /// What happened.
    pub what: String,
    /// How long it took.
    pub took: String,
    /// The message.
    pub text: String,
    /// Whether it is a failure.
    pub failed: bool,
}

/// A quoted line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Mark, line number and wall.
    pub gutter: String,
    /// The line; empty where lines were left out.
    pub text: String,
    /// Whether it is the failure itself.
    pub cause: bool,
}

/// A remedy.
#[derive(Debug, Serialize)]
pub struct Advice {
    /// What to do.
    pub title: Vec<Segment>,
    /// Why.
    pub rationale: Vec<Segment>,
    /// What it costs.
    pub price: Vec<Segment>,
    /// Changes of flags.
    pub changes: Vec<Segment>,
    /// The command.
    pub command: Option<String>,
    /// How to see that it worked.
    pub verify: Vec<Segment>,
    /// What to try if it still fails.
    pub otherwise: Vec<Segment>,
}

/// Another incident.
#[derive(Debug, Serialize)]
pub struct Other {
    /// Its cause.
    pub cause: &'static str,
    /// How sure, what it did.
    pub verdict: Vec<Segment>,
    /// The headline.
    pub headline: Vec<Segment>,
    /// Why.
    pub explanation: Vec<Segment>,
    /// Its evidence.
    pub proof: Vec<Proof>,
    /// What to do, the titles.
    pub remedies: Vec<Vec<Segment>>,
}

/// The title of a document about one input.
pub fn title(section: &Section) -> Vec<Segment> {
    match section.state {
        "failed" | "unknown" => titled("Post-mortem: ", &section.headline),
        "healthy" => titled("Log check: ", &section.headline),
        _ => prose("Log that could not be read"),
    }
}

/// The title of a document about several.
pub fn title_of_several(count: usize) -> Vec<Segment> {
    prose(&format!("Post-mortems of {count} logs"))
}

/// A headline with what kind of document it heads.
fn titled(kind: &str, headline: &[Segment]) -> Vec<Segment> {
    let mut out = vec![Segment { code: false, text: kind.to_owned() }];
    out.extend_from_slice(headline);
    out
}

/// One row of the overview.
pub fn overview(number: usize, outcome: &Outcome) -> Overview {
    match outcome {
        Outcome::Report(report) => {
            let primary = report.incidents.first();
            Overview {
                number,
                name: name(&report.source.name),
                cause: cause(outcome),
                confidence: primary.map(|i| words::percent(i.confidence)).unwrap_or_default(),
                headline: prose(primary.map_or(calm_headline(report), |i| &i.headline)),
            }
        }
        Outcome::Failure(failure) => Overview {
            number,
            name: escape::line(&failure.source.name),
            cause: cause(outcome),
            confidence: String::new(),
            headline: prose(&failure.error),
        },
    }
}

/// One input's section.
pub fn section(number: usize, outcome: &Outcome) -> Section {
    match outcome {
        Outcome::Report(report) => report_section(number, report),
        Outcome::Failure(failure) => failure_section(number, failure),
    }
}

/// The section of an input that could not be read.
fn failure_section(number: usize, failure: &Failure) -> Section {
    Section { number, name: escape::line(&failure.source.name), error: Some(escape::line(&failure.error)), state: "unread", ..Section::default() }
}

/// The section of a report.
fn report_section(number: usize, report: &PostMortem) -> Section {
    let primary = report.incidents.first();
    let cause = primary.map_or(report.cause, |i| i.cause);
    let state = match cause {
        "healthy" => "healthy",
        "unknown" => "unknown",
        _ => "failed",
    };
    let advice = advice::for_cause(cause, primary.map_or("", |i| i.family), report.deployment.engine.as_deref());
    Section {
        number,
        name: name(&report.source.name),
        error: None,
        state,
        cause,
        headline: match primary {
            Some(incident) => prose(&incident.headline),
            None if cause == "unknown" => prose("the log does not say what failed"),
            None => prose(calm_headline(report)),
        },
        verdict: prose(
            &[primary.map(|i| verdict(report, i)), running(report).map(|text| format!("{text}."))]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "),
        ),
        summary: summary(report),
        context: context(report),
        arguments: report
            .deployment
            .arguments
            .iter()
            .filter(|(_, value)| is_set(value))
            .map(|(name, value)| (escape::line(name), argument(value)))
            .collect(),
        timeline: report.timeline.iter().map(moment).collect(),
        memory: report.memory.devices.iter().filter(|d| d.components.iter().any(|c| c.bytes > 0)).map(bar).collect(),
        figures: figures(primary.map_or(&report.figures, |i| &i.figures)),
        proof: primary.map(proof).unwrap_or_default(),
        explanation: match primary {
            Some(incident) => prose(&incident.explanation),
            None => prose(&checked(report)),
        },
        settle: report.would_settle.as_deref().map(prose).unwrap_or_default(),
        contributing: primary.map(|i| i.contributing.iter().map(contributing).collect()).unwrap_or_default(),
        remedies: primary.map(|i| i.remedies.iter().map(remedy).collect()).unwrap_or_default(),
        prevention: advice.prevention.iter().map(|text| prose(text)).collect(),
        checklist: advice.checklist.iter().map(|text| prose(text)).collect(),
        others: report.incidents.iter().skip(1).map(|i| other(report, i)).collect(),
        about: about(report),
    }
}

/// The summary's rows.
fn summary(report: &PostMortem) -> Vec<(String, Vec<Segment>)> {
    let mut out: Vec<(String, Vec<Segment>)> = Vec::new();
    let mut add = |name: &str, value: Option<Vec<Segment>>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            out.push((name.to_owned(), value));
        }
    };
    let primary = report.incidents.first();
    let cause = primary.map_or(report.cause, |i| i.cause);
    add("Cause", Some(vec![Segment { code: true, text: cause.to_owned() }]));
    if let Some(incident) = primary {
        add("Family", (incident.cause != "unknown").then(|| prose(&words::heading(incident.family))));
        add("Confidence", Some(prose(&format!("{}, {}", words::percent(incident.confidence), words::confidence(incident.confidence)))));
        add("Impact", Some(prose(words::impact(incident.impact))));
        add("Phase", incident.phase.map(|p| prose(words::phase(p))));
        add("Rank", first_rank(report, incident).map(|rank| prose(&format!("{rank} failed first"))));
        add("Occurrences", (incident.occurrences > 1).then(|| prose(&format!("{}; the figures are the last one's", words::occurrences(incident)))));
        add("Recovered", incident.recovered.then(|| prose("a later run in the log came up well")));
        let lines = if incident.first_line == incident.last_line {
            format!("line {}", incident.first_line)
        } else {
            format!("lines {} to {}", incident.first_line, incident.last_line)
        };
        add("Where", Some(prose(&lines)));
    } else {
        add("Start", start(report).map(|text| prose(&text)));
    }
    let first = report.timeline.iter().find_map(|e| e.time.as_deref());
    let last = report.timeline.iter().rev().find_map(|e| e.time.as_deref());
    if let (Some(first), Some(last)) = (first, last) {
        add("When", Some(prose(&if first == last { stamp(first) } else { format!("{} to {}", stamp(first), stamp(last)) })));
    }
    add("Log", Some(vec![Segment { code: true, text: name(&report.source.name) }]));
    out
}

/// What was running, in rows.
fn context(report: &PostMortem) -> Vec<(String, Vec<Segment>)> {
    let deployment = &report.deployment;
    let code = |text: &String| vec![Segment { code: true, text: escape::line(text) }];
    let mut out: Vec<(String, Vec<Segment>)> = Vec::new();
    let mut add = |name: &str, value: Option<Vec<Segment>>| {
        if let Some(value) = value {
            out.push((name.to_owned(), value));
        }
    };
    let engine = deployment.engine.as_deref().map(|id| match &deployment.engine_version {
        Some(version) => format!("{} {version}", words::engine(id)),
        None => words::engine(id).to_owned(),
    });
    add("Engine", engine.as_deref().map(prose));
    add("Model", deployment.model.as_ref().map(code));
    add("Data type", deployment.dtype.as_ref().map(code));
    add("Quantization", deployment.quantization.as_ref().map(code));
    add("Tensor parallel", deployment.tensor_parallel.map(|n| prose(&n.to_string())));
    add("Context length", deployment.max_model_len.map(|n| prose(&format!("{} tokens", words::thousands(n)))));
    add("Memory fraction", deployment.gpu_memory_utilization.filter(|f| f.is_finite()).map(|f| prose(&format!("{f:.2}"))));
    let alike = deployment.devices.windows(2).all(|d| matches!(d, [a, b] if a.name == b.name && a.total_bytes == b.total_bytes));
    if deployment.devices.len() > 1 && alike {
        add("GPUs", devices(report).as_deref().map(prose));
    }
    for device in deployment.devices.iter().filter(|_| deployment.devices.len() == 1 || !alike) {
        let name = device.name.as_deref().map_or_else(|| "name not in the log".to_owned(), escape::line);
        let total = device.total_bytes.map_or_else(|| "size not in the log".to_owned(), words::size);
        add(&format!("GPU {}", device.index), Some(prose(&format!("{name}, {total}"))));
    }
    out
}

/// An argument's value as printed.
/// Whether an argument has a value that somebody could have given it; engines print dozens that nobody did.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty() && text != "None",
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn argument(value: &Value) -> String {
    match value {
        Value::String(text) => escape::line(text),
        other => escape::line(&other.to_string()),
    }
}

/// One entry of the time line.
fn moment(event: &Event) -> Moment {
    Moment {
        line: event.line,
        when: event.time.as_deref().or(event.clock.as_deref()).map(stamp).unwrap_or_default(),
        offset: event.offset_ms.map(words::offset).unwrap_or_default(),
        what: words::spaced(&escape::line(&event.kind)),
        took: event.duration_ms.map(words::duration).unwrap_or_default(),
        text: quote::shorten(&escape::line(&event.text), 200),
        failed: words::is_failure(&event.kind),
    }
}

/// A stamp to the second, a blank between date and time.
fn stamp(stamp: &str) -> String {
    let text = escape::line(stamp);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let digit = chars.peek().is_some_and(char::is_ascii_digit);
        let after_digit = out.ends_with(|c: char| c.is_ascii_digit());
        match c {
            'T' if digit && after_digit => out.push(' '),
            '.' | ',' if digit && after_digit && out.contains(':') => while chars.next_if(char::is_ascii_digit).is_some() {},
            c => out.push(c),
        }
    }
    out
}

/// All the evidence with its line numbers, causes marked.
fn proof(incident: &Incident) -> Vec<Proof> {
    let all = quote::select(&incident.evidence, usize::MAX, usize::MAX, usize::MAX);
    let quoted = quote::lines(&all, QUOTED_LINES);
    let digits = quoted.iter().filter_map(|q| q.number).max().map_or(1, |n| n.to_string().len());
    let mut out = Vec::new();
    for line in quoted {
        if line.gap {
            out.push(Proof { gutter: format!("  {:>digits$} ⋮", ""), text: String::new(), cause: false });
        }
        let cause = line.role == Role::Cause;
        let mark = if cause { '>' } else { ' ' };
        let number = line.number.map(|n| n.to_string()).unwrap_or_default();
        let gutter = format!("{mark} {number:>digits$} │ ");
        out.push(Proof { gutter, text: quote::middle(&line.text, QUOTED_COLUMNS), cause });
    }
    out
}

/// A contributing cause as a sentence.
fn contributing(contributing: &Contributing) -> Vec<Segment> {
    let mut out = vec![Segment { code: true, text: contributing.cause.to_owned() }, Segment { code: false, text: " ".to_owned() }];
    out.extend(prose(&format!(
        "({}, {}): {}",
        words::percent(contributing.confidence),
        words::confidence(contributing.confidence),
        contributing.reason
    )));
    out
}

/// A remedy.
fn remedy(remedy: &Remedy) -> Advice {
    Advice {
        title: prose(&remedy.title),
        rationale: prose(&remedy.rationale),
        price: prose(&words::lower_first(&escape::line(&remedy.tradeoff))),
        changes: prose(&changes(&remedy.changes)),
        // A command that holds what cannot be seen is not one to run.
        command: remedy.command.as_ref().filter(|c| escape::visible(c) == c.as_str()).cloned(),
        verify: prose(&remedy.verify),
        otherwise: prose(&words::lower_first(&escape::line(&remedy.otherwise))),
    }
}

/// Another incident.
fn other(report: &PostMortem, incident: &Incident) -> Other {
    Other {
        cause: incident.cause,
        verdict: prose(&verdict(report, incident)),
        headline: prose(&incident.headline),
        explanation: prose(&incident.explanation),
        proof: proof(incident),
        remedies: incident.remedies.iter().map(|r| prose(&r.title)).collect(),
    }
}

/// What the report stands on.
fn about(report: &PostMortem) -> Vec<Vec<Segment>> {
    let source = &report.source;
    let mut out = vec![
        prose(words::completeness(report.completeness)),
        prose(&format!("Read: {} line{}, {}.", words::thousands(source.lines), words::plural(source.lines), words::log_size(source.bytes))),
    ];
    for problem in &source.problems {
        out.push(prose(&format!("Reading: {problem}")));
    }
    out.push(prose(&if report.secrets_masked > 0 { masked(report.secrets_masked) } else { "No secrets were masked.".to_owned() }));
    out.push(prose("Sizes are binary: 1 GiB is 1,024 MiB, or 1,073,741,824 bytes. Lines are counted from 1 in the log as read."));
    out
}
