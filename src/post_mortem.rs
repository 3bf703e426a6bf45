//! What `analyze` found: the data that every report is written from, in the shape of the JSON contract.
//!
//! Sizes are bytes, fractions 0 to 1, durations milliseconds. An absent value means that the log does not give it.

use std::collections::BTreeMap;

use serde::Serialize;

/// The JSON schema that [`PostMortem`] follows.
pub const SCHEMA: &str = "oomdoc.post-mortem/1";

/// Everything that one log (or the logs of one case) told.
#[derive(Debug, Clone, Serialize)]
pub struct PostMortem {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Who wrote this.
    pub tool: Tool,
    /// What was read.
    pub source: Source,
    /// Id of the primary cause of the primary incident, `healthy` or `unknown`.
    pub cause: &'static str,
    /// Whether the log holds the run's start and end.
    pub completeness: Completeness,
    /// For `unknown` and low confidence: the evidence that is missing and where to get it.
    pub would_settle: Option<String>,
    /// Figures of the primary incident, or without one what the last run states of itself.
    pub figures: Figures,
    /// What went wrong, the gravest first.
    pub incidents: Vec<Incident>,
    /// What was running.
    pub deployment: Deployment,
    /// Where the memory went.
    pub memory: Memory,
    /// What happened when.
    pub timeline: Vec<Event>,
    /// In how many places of this report a secret was masked.
    pub secrets_masked: u64,
}

/// The program that wrote a report.
#[derive(Debug, Clone, Serialize)]
pub struct Tool {
    /// `oomdoc`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// What was read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Source {
    /// The path as given, or `-` for standard input.
    pub name: String,
    /// Bytes read, counted decompressed.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
    /// What could not be read, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Whether a log holds the start and the end of the run it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// Start and end are there.
    Whole,
    /// The beginning is missing.
    StartsLate,
    /// The end is missing.
    EndsEarly,
    /// Both are missing.
    Both,
}

/// One failure, with what proves it.
#[derive(Debug, Clone, Serialize)]
pub struct Incident {
    /// Id of the root cause.
    pub cause: &'static str,
    /// What it did to the service.
    pub impact: Impact,
    /// True when a later run in the log came up well.
    pub recovered: bool,
    /// Family of the cause: the taxonomy's heading, lower-case with hyphens.
    pub family: &'static str,
    /// Probability that the cause is right.
    pub confidence: f64,
    /// What the process was doing.
    pub phase: Option<Phase>,
    /// One line, with figures.
    pub headline: String,
    /// Why it happened, in sentences.
    pub explanation: String,
    /// How often it happened; a crash loop is one incident.
    pub occurrences: u64,
    /// True when it may have happened more often: of a long series not every message is read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub occurrences_is_lower_bound: bool,
    /// The rank or device that failed first, when there are several.
    pub rank: Option<u32>,
    /// First line of the evidence for the cause.
    pub first_line: u64,
    /// Last line of the evidence for the cause.
    pub last_line: u64,
    /// The decisive message's figures.
    pub figures: Figures,
    /// The lines that prove it.
    pub evidence: Vec<Evidence>,
    /// Causes that helped.
    pub contributing: Vec<Contributing>,
    /// What would help.
    pub remedies: Vec<Remedy>,
}

/// What an incident did to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// A process ended.
    ProcessDied,
    /// The server stayed up and requests failed.
    RequestsFailed,
    /// Nothing failed outright, but the service got worse.
    Degraded,
}

/// What a process was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Fetching, resolving, authorising, converting files.
    Download,
    /// Everything else until the weights are in.
    Load,
    /// Warm-up, memory profiling, cache allocation.
    Profile,
    /// CUDA graphs, compilation.
    GraphCapture,
    /// Requests, generation, plain inference scripts.
    Serve,
    /// Training.
    Train,
}

/// The figures that decide about memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Index of the device that they are about.
    pub device: Option<u64>,
    /// Bytes that were asked for.
    pub tried_bytes: Option<u64>,
    /// Bytes that the device has.
    pub total_bytes: Option<u64>,
    /// Bytes that were free on the device.
    pub free_bytes: Option<u64>,
    /// Bytes in live tensors of the allocator.
    pub allocated_bytes: Option<u64>,
    /// Bytes that the allocator held in all.
    pub reserved_bytes: Option<u64>,
    /// Bytes that the allocator held and did not use.
    pub reserved_unallocated_bytes: Option<u64>,
    /// Bytes of this process on the device, the context included.
    pub process_bytes: Option<u64>,
    /// Bytes of the weights on the device.
    pub weights_bytes: Option<u64>,
    /// Bytes left for the key-value cache; may be negative.
    pub kv_available_bytes: Option<i64>,
    /// Bytes of key-value cache that were needed.
    pub kv_needed_bytes: Option<u64>,
    /// Tokens that the key-value cache holds.
    pub kv_tokens: Option<u64>,
    /// The context length in force.
    pub max_model_len: Option<u64>,
    /// Tokens of the prefill that failed or was planned.
    pub prefill_tokens: Option<u64>,
    /// The fraction of device memory in force.
    pub gpu_memory_utilization: Option<f64>,
    /// Bytes in private pools of the allocator (CUDA graphs).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_pools_bytes: Option<u64>,
    /// Bytes that other processes held on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_processes_bytes: Option<u64>,
    /// The limit set on the allocator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Bytes that the engine wanted to manage: utilization times total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_bytes: Option<u64>,
    /// Peak bytes of activations while profiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_bytes: Option<u64>,
    /// Bytes on the device that PyTorch does not know of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_torch_bytes: Option<u64>,
    /// Bytes of CUDA graphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_bytes: Option<u64>,
    /// Bytes of the whole key-value cache; no signature gives it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_bytes: Option<u64>,
    /// Host bytes: what the killed or refused process held or wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_used_bytes: Option<u64>,
    /// Host bytes that were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_total_bytes: Option<u64>,
}

impl Figures {
    /// How many of the figures that a message decides with are known.
    pub fn known(&self) -> usize {
        [
            self.tried_bytes.is_some(),
            self.total_bytes.is_some(),
            self.free_bytes.is_some(),
            self.allocated_bytes.is_some(),
            self.reserved_bytes.is_some(),
            self.reserved_unallocated_bytes.is_some(),
            self.process_bytes.is_some(),
            self.kv_available_bytes.is_some(),
            self.kv_needed_bytes.is_some(),
            self.kv_tokens.is_some(),
            self.max_model_len.is_some(),
            self.prefill_tokens.is_some(),
            self.limit_bytes.is_some(),
        ]
        .into_iter()
        .filter(|known| *known)
        .count()
    }
}

/// One piece of evidence.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// Line that it begins on, 1-based.
    pub line: u64,
    /// Line that it ends on; absent when it is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_line: Option<u64>,
    /// `YYYY-MM-DDTHH:MM:SS[.fff]` with the offset if the log gives one; null without a full date.
    pub time: Option<String>,
    /// What it shows.
    pub role: Role,
    /// Id of the signature that recognised it.
    pub rule: String,
    /// The unwrapped message, all its lines.
    pub text: String,
    /// Which of these lines says it, from 0.
    #[serde(skip)]
    pub decisive: usize,
}

/// What a piece of evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The failure itself.
    Cause,
    /// What led to it.
    Context,
    /// What followed from it.
    Symptom,
}

/// A cause that helped the primary one.
#[derive(Debug, Clone, Serialize)]
pub struct Contributing {
    /// Its id.
    pub cause: &'static str,
    /// Probability that it did.
    pub confidence: f64,
    /// Why it is thought so, in one sentence.
    pub reason: String,
}

/// Something that would help.
#[derive(Debug, Clone, Serialize)]
pub struct Remedy {
    /// Stable id, kebab-case.
    pub id: String,
    /// What to do, in one line.
    pub title: String,
    /// Why it helps.
    pub rationale: String,
    /// What it costs.
    pub tradeoff: String,
    /// The command, when the engine was found to take it; null otherwise.
    pub command: Option<String>,
    /// Changes of flags.
    pub changes: Vec<Change>,
    /// How to see that it worked.
    pub verify: String,
    /// What to try if it still fails.
    pub otherwise: String,
    /// Whether it would fit; absent where memory does not decide, or is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
}

/// What a remedy would need, against what there is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fit {
    /// `fits`, `tight`, `exceeds` or `unknown`.
    pub verdict: &'static str,
    /// What it would need of one device.
    pub predicted_bytes: u64,
    /// What the engine may take of it.
    pub limit_bytes: u64,
    /// Probability that it fits.
    pub probability: f64,
}

/// One flag's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The flag.
    pub flag: String,
    /// Its value before.
    pub from: Option<String>,
    /// Its value after.
    pub to: Option<String>,
}

/// What was running.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Deployment {
    /// The outermost program that ran the model.
    pub engine: Option<String>,
    /// Its version as printed.
    pub engine_version: Option<String>,
    /// The model as the engine was given it.
    pub model: Option<String>,
    /// The data type of weights and activations.
    pub dtype: Option<String>,
    /// The quantization.
    pub quantization: Option<String>,
    /// Tensor-parallel size.
    pub tensor_parallel: Option<u64>,
    /// The context length in force.
    pub max_model_len: Option<u64>,
    /// The fraction of device memory in force.
    pub gpu_memory_utilization: Option<f64>,
    /// The arguments as printed, secrets masked.
    pub arguments: BTreeMap<String, serde_json::Value>,
    /// The devices that the log names.
    pub devices: Vec<Device>,
}

/// One device.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// Its index.
    pub index: u64,
    /// Its name, when the log gives one.
    pub name: Option<String>,
    /// Its usable memory, when the log gives it.
    pub total_bytes: Option<u64>,
}

/// Where the memory went, for each device.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Memory {
    /// The devices.
    pub devices: Vec<Ledger>,
}

/// The memory of one device.
#[derive(Debug, Clone, Serialize)]
pub struct Ledger {
    /// Index of the device.
    pub index: u64,
    /// Its usable memory.
    pub total_bytes: Option<u64>,
    /// What it held.
    pub components: Vec<Component>,
    /// What was needed and could not be held, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<Component>,
}

/// One share of a device's memory.
#[derive(Debug, Clone, Serialize)]
pub struct Component {
    /// `weights`, `kv-cache`, `activations`, `graphs`, `allocated-by-pytorch`, `other-allocations`,
    /// `reserved-unallocated`, `outside-the-allocator`, `other-processes`, `beyond-the-share`, `unexplained`, `free`; of
    /// what was needed also `engine-share`.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: u64,
    /// Where the figure comes from.
    pub basis: Basis,
    /// The line that gives it, for a logged figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Printed in the log.
    Logged,
    /// Computed from a model's dimensions.
    Computed,
    /// A sum or difference of printed figures.
    Derived,
}

/// One entry of the time line.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Its line.
    pub line: u64,
    /// Date and time, when the log gives a full date.
    pub time: Option<String>,
    /// The stamp as printed.
    pub clock: Option<String>,
    /// Milliseconds since the log's first stamp.
    pub offset_ms: Option<i64>,
    /// What happened: `run-started`, `download-started`, `weights-loaded`, `ready`, `failed`, …
    pub kind: String,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// The message, shortened.
    pub text: String,
}
