//! What wraps a line: container, orchestrator and process prefixes, ANSI, progress bars.

use crate::time::Stamp;

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
pub struct Envelope{o:Vec<Origin>}
impl Envelope { pub fn new()->Self{Envelope{o:vec![Origin::default()]}} pub fn push(&mut self,n:u64,raw:&str,out:&mut Vec<Line>){ out.push(Line{number:n,last_number:n,text:raw.trim_end().to_owned(),origin:OriginId(0),stamp:None,level:None,logger:None,repeated:1,starts_record:false,continues_record:false}) } pub fn finish(&mut self,_:&mut Vec<Line>){} pub fn origins(&self)->&[Origin]{&self.o} }
