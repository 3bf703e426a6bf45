//! What messages mean. Facts are all that the case and the causes ever see of a log.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::envelope::{Level, OriginId};
use crate::post_mortem::Figures;
use crate::time::Stamp;

/// What a message means, whatever its wording. A fact names no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactKind {
    /// A process of an engine starts.
    RunStart,
    /// A dump of arguments.
    Arguments,
    /// Something about the deployment or its figures.
    Context,
    /// A device is named.
    Device,
    /// A stage is reached or left.
    Mark,
    /// A request succeeded.
    RequestServed,
    /// A periodic metrics line.
    Metrics,
    /// Requests were preempted or retracted.
    Preempted,
    /// The program ended in order.
    OrderlyStop,
    /// The program was told to stop.
    StopSignal,
    /// The software goes on after a failure.
    Retry,
    /// A script came to its end.
    Completed,
    /// Text that a user of the server sent, or that the model made.
    Payload,
    /// Alarming text that is known to be harmless.
    Benign,
    /// Text that points to a failure without being one.
    Hint,
    /// Device memory was refused.
    OutOfMemory,
    /// The engine says that the weights do not fit.
    WeightsTooLarge,
    /// The engine says that the prefill or warm-up tokens do not fit.
    PrefillTooLarge,
    /// The engine says that the key-value cache does not fit.
    KvCacheTooSmall,
    /// The engine says that the sampler's warm-up does not fit.
    SamplerTooLarge,
    /// Graph capture or compilation ran out of memory.
    CaptureFailed,
    /// Others hold the device's memory.
    DeviceOccupied,
    /// Host memory was refused, or a process was killed for it.
    HostMemory,
    /// Shared memory was too small.
    SharedMemory,
    /// A file system is full.
    DiskFull,
    /// A tensor without data was used.
    MetaTensor,
    /// A quantizer refused an offload.
    OffloadRefused,
    /// Tensors on different devices met, or a device string is invalid.
    DeviceMismatch,
    /// A chat template failed.
    Template,
    /// An integer left its range.
    IntegerRange,
    /// Values that are not finite.
    NonFinite,
    /// Lengths or token budgets contradict.
    ContextLimit,
    /// Parallel sizes contradict the model or the devices.
    Parallelism,
    /// A quantization does not match.
    Quantization,
    /// A data type cannot be run.
    Dtype,
    /// An architecture is not known.
    Architecture,
    /// The model's own code is not trusted.
    RemoteCode,
    /// A flag or value is refused.
    Argument,
    /// The hub refused.
    HubAuth,
    /// Something was not found or could not be fetched.
    HubFetch,
    /// Model files are wrong.
    WeightsInvalid,
    /// No usable GPU or driver.
    NoGpu,
    /// No code for this GPU.
    GpuArch,
    /// A kernel faulted.
    KernelFault,
    /// Communication between ranks failed.
    Collective,
    /// The device failed.
    Hardware,
    /// A module, library or compiler is missing or does not fit.
    Dependency,
    /// The address to listen on is taken.
    Port,
    /// An exception inside the engine.
    Internal,
    /// A native crash.
    Crash,
    /// The server was saturated.
    Overload,
    /// Follows from something else.
    Symptom,
    /// Something failed without saying why.
    Failure,
    /// A process ended with a code or signal.
    ProcessExit,
    /// A user's own rule, which names a cause.
    Custom,
}

impl FactKind {
    /// True for facts that say that something failed and may be its reason.
    pub fn is_failure(self) -> bool {
        self >= FactKind::OutOfMemory && !matches!(self, FactKind::Symptom | FactKind::ProcessExit)
    }

    /// True for an engine's own sentence about what refused memory was for.
    pub fn says_what_for(self) -> bool {
        matches!(
            self,
            FactKind::WeightsTooLarge | FactKind::PrefillTooLarge | FactKind::KvCacheTooSmall | FactKind::SamplerTooLarge | FactKind::CaptureFailed
        )
    }

    /// True for failures that often only follow from another one.
    pub fn may_follow(self) -> bool {
        matches!(
            self,
            FactKind::Collective
                | FactKind::KernelFault
                | FactKind::Crash
                | FactKind::Internal
                | FactKind::Failure
                | FactKind::Overload
                | FactKind::StopSignal
                | FactKind::ProcessExit
        )
    }
}

/// What a process was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Fetching and converting files.
    Download,
    /// Arguments, imports, devices, process groups.
    Load,
    /// Weights are created, loaded, quantized, moved.
    Weights,
    /// Warm-up or profiling forward pass.
    Profile,
    /// The key-value cache is allocated.
    KvCache,
    /// Logits or sampler.
    Sampler,
    /// CUDA graphs, compilation, tuning.
    Capture,
    /// Up and serving.
    Serve,
    /// A prefill at run time.
    Prefill,
    /// A decode step at run time.
    Decode,
    /// A training step.
    Train,
}

/// What a failure ends, where the message itself tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    /// The process.
    Process,
    /// One request.
    Request,
}

/// How sure a recognition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// No signature knows the message; only its form says that it is a failure.
    Form,
    /// A broad rule.
    Weak,
    /// A failure that the software wrote below the level of an error.
    Demoted,
    /// A signature of this very message.
    Exact,
}

/// The figures that only facts carry, beside [`Figures`].
pub type Attributes = BTreeMap<String, String>;

/// Where a fact was read.
#[derive(Debug, Clone)]
pub struct Place {
    /// First line.
    pub first_line: u64,
    /// Last line.
    pub last_line: u64,
    /// Who wrote it.
    pub origin: OriginId,
    /// Which record of the log it is of, counted over all writers. Unlike lines, records do not depend on the wrapping.
    pub record: u64,
    /// Which text of its record it is of: 0 the message, then the exceptions.
    pub part: u32,
    /// When.
    pub stamp: Option<Arc<Stamp>>,
    /// The level that its writer gave.
    pub level: Option<Level>,
    /// The unwrapped message.
    pub text: Arc<str>,
    /// Which of the text's lines the signature found its words in, from 0.
    pub decisive: usize,
}

/// One thing that a log says.
#[derive(Debug, Clone)]
pub struct Fact {
    /// What it means.
    pub kind: FactKind,
    /// Id of the signature that recognised it.
    pub rule: Arc<str>,
    /// The software whose table recognised it; empty when none did.
    pub software: Arc<str>,
    /// The engine that the message is of.
    pub engine: Option<Arc<str>>,
    /// The stage that the message or its traceback tells.
    pub stage: Option<Stage>,
    /// True when frames or the message told the stage, not the marks before it.
    pub stage_is_proven: bool,
    /// What it ends.
    pub ends: Option<Ends>,
    /// What it is on the time line.
    pub event: Option<Arc<str>>,
    /// For hints: the failure that it points to.
    pub hints: Option<FactKind>,
    /// How sure the recognition is.
    pub strength: Strength,
    /// Order among facts of one message: higher first.
    pub priority: i8,
    /// Figures that it gives.
    pub figures: Figures,
    /// Words that it gives.
    pub attributes: Attributes,
    /// The cause that a user's own rule names.
    pub cause: Option<Arc<str>>,
    /// The arguments that it dumps.
    pub arguments: Option<Arc<crate::extract::arguments::Arguments>>,
    /// How many like it were seen; only the first and the last of a long series are kept.
    pub repeats: u64,
    /// How many like it stood before it that were not kept, because there were too many.
    pub left_out: u64,
    /// Rank that wrote it.
    pub rank: Option<u32>,
    /// True when it stands in an exception that was printed with a traceback or as one.
    pub is_exception: bool,
    /// True when that traceback looks as the interpreter prints it when nobody catches: it ends its process, unless the
    /// program printed it itself and goes on.
    pub is_uncaught: bool,
    /// Where it was read.
    pub place: Place,
}

impl Fact {
    /// Bytes that it takes, about: what facts share is counted with each.
    pub fn bytes(&self) -> usize {
        // A tree keeps its entries eleven at a time.
        let room = self.attributes.len().div_ceil(11) * 11 * size_of::<(String, String)>();
        let words: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        size_of::<Fact>() + self.place.text.len() + room + words + self.arguments.as_ref().map_or(0, |arguments| arguments.bytes())
    }

    /// A fact that the user gave, placed after a log's last line.
    pub fn given(kind: FactKind, rule: &str, last_line: u64, text: String) -> Self {
        Fact {
            kind,
            rule: Arc::from(rule),
            software: Arc::from("given"),
            engine: None,
            stage: None,
            stage_is_proven: false,
            ends: None,
            event: None,
            hints: None,
            strength: Strength::Exact,
            priority: 0,
            figures: Figures::default(),
            attributes: Attributes::new(),
            cause: None,
            arguments: None,
            repeats: 1,
            left_out: 0,
            rank: None,
            is_exception: false,
            is_uncaught: false,
            place: Place {
                first_line: last_line,
                last_line,
                origin: OriginId(0),
                record: u64::MAX,
                part: 0,
                stamp: None,
                level: None,
                text: Arc::from(text),
                decisive: 0,
            },
        }
    }

    /// What its message says: the decisive line, without the name of an exception before it.
    pub fn said(&self) -> &str {
        let line = self.place.text.lines().nth(self.place.decisive).unwrap_or("").trim();
        let message = crate::record::traceback::message_of(line);
        if message.is_empty() { line } else { message }
    }

    /// The word captured under `name`.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// True for a step of a shell script that failed: the script goes on after it.
    pub fn is_step(&self) -> bool {
        self.word("scope") == Some("step")
    }

    /// The integer captured under `name`.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.word(name)?.parse().ok()
    }
}
