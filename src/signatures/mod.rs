//! The table of recognisers: data in `*.toml`, one file for each software, made static by the build script.
//!
//! Anchors are found by an index that the build script makes; a pattern is compiled when its anchor is first seen.

pub mod format;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::facts::{Ends, FactKind, Stage};
use crate::post_mortem::Figures;
use crate::program::{self, Groups, Program};
use crate::redact::{cut_before, cut_behind};
use crate::scan::needles::{Entry, Needles};

type Text = Cow<'static, str>;
type Texts = Cow<'static, [Text]>;
type Pairs = Cow<'static, [(Text, Text)]>;

include!(concat!(env!("OUT_DIR"), "/signatures.rs"));

/// One recogniser of a message.
#[derive(Debug, Clone)]
pub struct Signature {
    /// Unique name.
    pub id: Text,
    /// The file that it stands in.
    pub software: Text,
    /// The engine that a hit suggests.
    pub engine: Option<Text>,
    /// Literals of which one must be in the text.
    pub anchors: Texts,
    /// The pattern that must match, when the anchor does not say it all.
    pub pattern: Option<Text>,
    /// The same, compiled by the build script.
    pub program: Option<Program>,
    /// The grammar that reads the message.
    pub parser: Option<Parser>,
    /// What the message means.
    pub fact: FactKind,
    /// The stage that it tells.
    pub stage: Option<Stage>,
    /// What it ends.
    pub ends: Option<Ends>,
    /// What it is on the time line.
    pub event: Option<Text>,
    /// The failure that a hint points to.
    pub hints: Option<FactKind>,
    /// The cause that a user's own rule names.
    pub cause: Option<Text>,
    /// Units of numbers that are printed without one, or whose printed unit means another (`GB` that is GiB).
    pub units: Pairs,
    /// Constant attributes.
    pub set: Pairs,
    /// Printed KB, MB, GB are powers of 1000.
    pub decimal: bool,
    /// It counts at any level.
    pub any_level: bool,
    /// A broad rule.
    pub weak: bool,
    /// It counts only in a record that is a failure by its form.
    pub needs_failure: bool,
    /// Nothing else in that record is evidence.
    pub exclusive: bool,
    /// Payload that may go on over the following lines.
    pub open: bool,
    /// Order among the hits of one message.
    pub priority: i8,
}

/// One recogniser of a traceback frame.
#[derive(Debug, Clone)]
pub struct FrameRule {
    /// Part of the file's path.
    pub path: Option<Text>,
    /// Names of the function.
    pub functions: Texts,
    /// The bits of these names, by [`format::name_bit`]; all, if there are none.
    pub names: u64,
    /// Part of the source line.
    pub code: Option<Text>,
    /// The stage that it tells.
    pub stage: Stage,
    /// The engine that it tells.
    pub engine: Option<Text>,
    /// Highest wins, innermost among equals.
    pub priority: i8,
}

/// The grammars that a signature can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parser {
    /// Out-of-memory messages of the allocators.
    Allocator,
    /// TGI's `Args { … }`.
    TgiArgs,
    /// `Namespace(…)`.
    Namespace,
    /// `non-default args: {…}`.
    PythonDict,
    /// `Initializing a V1 LLM engine (v…) with config: …`.
    VllmConfig,
    /// `ServerArgs(…)`.
    ServerArgs,
    /// A command line.
    ShellCommand,
}

impl Parser {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "allocator" => Self::Allocator,
            "tgi-args" => Self::TgiArgs,
            "namespace" => Self::Namespace,
            "python-dict" => Self::PythonDict,
            "vllm-config" => Self::VllmConfig,
            "server-args" => Self::ServerArgs,
            "shell-command" => Self::ShellCommand,
            _ => return None,
        })
    }
}

/// One signature found in a text.
#[derive(Debug)]
pub struct Hit<'t> {
    /// The signature.
    pub signature: &'t Signature,
    /// Where in the text it begins.
    pub start: usize,
    /// Where in the text it ends.
    pub end: usize,
    /// Where in it the words stand that it was found by.
    pub anchor: usize,
    /// Figures that it captured.
    pub figures: Figures,
    /// Words that it captured.
    pub attributes: BTreeMap<String, String>,
    /// The payload's range, when it captured one.
    pub payload: Option<(usize, usize)>,
}

/// A signature file that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RulesError {
    /// It cannot be read.
    #[error("cannot read the rules in {path}")]
    #[diagnostic(code(oomdoc::rules::read), help("give a folder that holds *.toml files"))]
    Read {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not valid.
    #[error("{path}: {reason}")]
    #[diagnostic(code(oomdoc::rules::invalid), help("CONTRIBUTING.md explains every key of a signature"))]
    Invalid {
        /// The path.
        path: String,
        /// What is wrong, with the signature's id.
        reason: String,
    },
}

/// Every signature, ready to search. Nothing is built for those that are compiled in.
pub struct Table {
    own: Vec<Signature>,
    needles: Vec<Needles>,
    patterns: Vec<OnceLock<Option<Regex>>>,
}

impl Table {
    /// The signatures that are compiled in, and a user's own.
    pub fn new(own: Vec<Signature>) -> Self {
        let patterns = (0..SIGNATURES.len() + own.len()).map(|_| OnceLock::new()).collect();
        let mut needles = vec![NEEDLES.clone()];
        if !own.is_empty() {
            needles.push(Needles::new(own.iter().flat_map(|s| s.anchors.iter().map(AsRef::as_ref)), &[], ""));
        }
        Table { own, needles, patterns }
    }

    fn signature(&self, index: usize) -> &Signature {
        SIGNATURES.get(index).unwrap_or_else(|| &self.own[index - SIGNATURES.len()])
    }

    /// All signatures.
    pub fn signatures(&self) -> impl Iterator<Item = &Signature> {
        SIGNATURES.iter().chain(&self.own)
    }

    /// What marks a line of a large log as worth reading: the anchors of all that does not stand in every healthy line,
    /// and the words by which a failure is known that no signature knows. A user's own rules have tables of their own.
    pub fn needles(&self) -> &[Needles] {
        &self.needles
    }

    /// Those of the wanted signatures that are found in a flat text (white space squeezed), in the order of their
    /// position. The patterns of the others are not tried.
    pub fn hits(&self, flat: &str, wanted: impl Fn(&Signature) -> bool) -> Vec<Hit<'_>> {
        let mut found: Vec<(usize, usize, usize)> = Vec::new();
        let mut add = |index: usize, start: usize, end: usize| {
            if !found.iter().any(|&(seen, ..)| seen == index) && wanted(self.signature(index)) {
                found.push((index, start, end));
            }
        };
        let bytes = flat.as_bytes();
        for (at, gram) in bytes.windows(4).enumerate() {
            let gram = u32::from_le_bytes([gram[0], gram[1], gram[2], gram[3]]);
            let bit = format::gram_bit(gram);
            if GRAM_BITS[bit >> 6] >> (bit & 63) & 1 == 0 {
                continue;
            }
            let rows = &ANCHORS[usize::from(ANCHOR_STARTS[bit])..usize::from(ANCHOR_STARTS[bit + 1])];
            for &(_, offset, signature, number) in rows.iter().filter(|row| row.0 == gram) {
                let Some(start) = at.checked_sub(usize::from(offset)) else { continue };
                let anchor = &SIGNATURES[usize::from(signature)].anchors[usize::from(number)];
                if bytes[start..].starts_with(anchor.as_bytes()) {
                    add(usize::from(signature), start, start + anchor.len());
                }
            }
        }
        for (index, signature) in self.own.iter().enumerate() {
            for anchor in signature.anchors.iter() {
                if let Some(start) = flat.find(anchor.as_ref()) {
                    add(SIGNATURES.len() + index, start, start + anchor.len());
                }
            }
        }
        let mut hits: Vec<Hit<'_>> = found.into_iter().filter_map(|(index, start, end)| self.matched(index, flat, start, end)).collect();
        hits.sort_by_key(|hit| hit.start);
        hits
    }

    fn matched(&self, index: usize, flat: &str, start: usize, end: usize) -> Option<Hit<'_>> {
        let signature = self.signature(index);
        let mut hit = Hit { signature, start, end, anchor: start, figures: Figures::default(), attributes: BTreeMap::new(), payload: None };
        if let Some(pattern) = &signature.pattern {
            for (name, from, to) in self.groups(index, pattern, flat)? {
                let text = || String::from_utf8_lossy(&flat.as_bytes()[from..to]);
                match name {
                    "" => (hit.start, hit.end) = (from, to),
                    "payload" => hit.payload = Some((from, to)),
                    name if format::FRACTIONS.contains(&name) && flat.as_bytes().get(to) == Some(&b'%') => {
                        let percent: Option<f64> = text().parse().ok();
                        hit.capture(name, &percent.map_or(String::new(), |percent| (percent / 100.0).to_string()));
                    }
                    name if format::WORDS.contains(&name) => hit.capture(name, &whole_word(flat, from, to)),
                    name => hit.capture(name, &text()),
                }
            }
        }
        for (name, value) in signature.set.iter() {
            hit.capture(name, value);
        }
        Some(hit)
    }

    /// Where a pattern's match, which has no name, and its named groups begin and end.
    fn groups<'a>(&'a self, index: usize, pattern: &str, flat: &str) -> Option<Groups<'a>> {
        let text = flat.as_bytes();
        if let Some(program) = self.signature(index).program.filter(|program| program.is_for(text)) {
            return program.groups_in(text);
        }
        let regex = self.patterns[index].get_or_init(|| compile(pattern)).as_ref()?;
        let captures = regex.captures(text)?;
        let names = regex.capture_names().enumerate();
        let named = names.filter(|(group, name)| *group == 0 || name.is_some());
        Some(named.filter_map(|(group, name)| captures.get(group).map(|found| (name.unwrap_or(""), found.start(), found.end()))).collect())
    }
}

/// Bytes of the shortest word that may hold a secret with what tells it from others: `pwd=abcd`.
const SHORTEST_SECRET: usize = 8;

/// A word that a pattern captured. Where the text goes on at once before or behind it, a pattern that knows no secrets may
/// have taken a part of one, which nobody would know for one; then all of it is taken.
fn whole_word(flat: &str, from: usize, to: usize) -> Cow<'_, str> {
    let text = flat.as_bytes();
    let goes_on = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'`,;()[]{}<>".contains(*byte);
    let before = text[..from].iter().rev().take(SHORTEST_SECRET).take_while(goes_on).count();
    let behind = text[to..].iter().take(SHORTEST_SECRET).take_while(goes_on).count();
    // No secret is as short as `v0.11.0`.
    let may_be_a_part = before + (to - from) + behind >= SHORTEST_SECRET;
    let start = if before > 0 && may_be_a_part { cut_before(flat, from) } else { from };
    let end = if behind > 0 && may_be_a_part { cut_behind(flat, to) } else { to };
    String::from_utf8_lossy(&text[start..end])
}

/// Compiles a pattern for bytes: its classes are ASCII, which makes them small and quick to compile. A pattern that
/// names other characters is compiled with Unicode; where a word ends is told by ASCII all the same.
pub fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).build().or_else(|_| Regex::new(&pattern.replace(r"\b", r"(?-u:\b)"))).ok()
}

impl Hit<'_> {
    fn capture(&mut self, name: &str, value: &str) {
        let f = &mut self.figures;
        if format::SIZES.contains(&name) {
            let unit = self.signature.units.iter().find(|(key, _)| key == name).map(|(_, unit)| unit.as_ref());
            let Some(bytes) = parse_size(value, unit, self.signature.decimal) else {
                // What is no size is a word: `set = { process = "runner" }`.
                self.attributes.insert(name.to_owned(), value.to_owned());
                return;
            };
            let unsigned = u64::try_from(bytes).ok();
            match name {
                "tried" => f.tried_bytes = unsigned,
                "total" => f.total_bytes = unsigned,
                "free" => f.free_bytes = unsigned,
                "allocated" => f.allocated_bytes = unsigned,
                "reserved" => f.reserved_bytes = unsigned,
                "unallocated" => f.reserved_unallocated_bytes = unsigned,
                "process" => f.process_bytes = unsigned,
                "other" => f.other_processes_bytes = unsigned,
                "private" => f.private_pools_bytes = unsigned,
                "limit" => f.limit_bytes = unsigned,
                "weights" => f.weights_bytes = unsigned,
                "kv_available" => f.kv_available_bytes = Some(bytes),
                "kv_needed" => f.kv_needed_bytes = unsigned,
                "activation" => f.activation_bytes = unsigned,
                "non_torch" => f.non_torch_bytes = unsigned,
                "graph" => f.graph_bytes = unsigned,
                "requested" => f.requested_bytes = unsigned,
                "host_used" => f.host_used_bytes = unsigned,
                "host_total" => f.host_total_bytes = unsigned,
                _ => {
                    self.attributes.insert(name.to_owned(), bytes.to_string());
                }
            }
            return;
        }
        let digits = || value.replace([',', '_'], "");
        let integer = || digits().parse::<u64>().ok();
        match name {
            "device" => f.device = integer(),
            "kv_tokens" => f.kv_tokens = integer(),
            "max_model_len" => f.max_model_len = integer(),
            "prefill_tokens" => f.prefill_tokens = integer(),
            "gpu_util" => f.gpu_memory_utilization = digits().parse().ok(),
            name if format::INTEGERS.contains(&name) || name == "seconds" => {
                self.attributes.insert(name.to_owned(), digits());
            }
            _ => {
                let value = value.trim_end_matches(['.', ',', ';', ':']);
                self.attributes.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// Bytes of a printed size such as `172.00 MiB`; `unit` is used for a number without one.
///
/// `KB`, `MB`, … are powers of 1024, because the programs that print them divide by that, unless `decimal`.
pub fn parse_size(text: &str, unit: Option<&str>, decimal: bool) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..split].trim().replace([',', '_'], "").parse().ok()?;
    let printed = text[split..].trim();
    let overrides = |unit: &&str| unit.contains('i') && unit.as_bytes().first() == printed.as_bytes().first();
    let name = if printed.is_empty() { unit.unwrap_or("B") } else { unit.filter(overrides).unwrap_or(printed) };
    let base: f64 = if decimal && !name.contains('i') { 1000.0 } else { 1024.0 };
    let power = match name.bytes().next()?.to_ascii_uppercase() {
        b'K' => 1,
        b'M' => 2,
        b'G' => 3,
        b'T' => 4,
        b'P' => 5,
        _ => 0,
    };
    let bytes = number * base.powi(power);
    // NVML answers 2**64-1 where it cannot say; that is no figure.
    (bytes.abs() < 1e18).then_some(bytes.round() as i64)
}

/// Reads a user's own signatures: every `*.toml` in a folder.
///
/// # Errors
/// A folder that cannot be read, a file that is not valid, a placeholder or word that is not known, a frame rule, which
/// only the program itself has.
pub fn load_rules(folder: &Path) -> Result<Vec<Signature>, RulesError> {
    let read_error = |source| RulesError::Read { path: folder.display().to_string(), source };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map_err(read_error)?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    paths.sort();
    let mut signatures = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(read_error)?;
        let software = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let read = parse_rules(&software, &text).map_err(|reason| RulesError::Invalid { path: path.display().to_string(), reason })?;
        signatures.extend(read);
    }
    Ok(signatures)
}

/// Reads the text of one such file; `software` is its name.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_rules(software: &str, text: &str) -> Result<Vec<Signature>, String> {
    let file: format::File = toml::from_str(text).map_err(|e| e.to_string())?;
    if !file.frame.is_empty() {
        return Err("`[[frame]]` is not taken from rules of your own; give the signature a `stage`".into());
    }
    let own = |entry: format::Entry| {
        let id = entry.id.clone();
        own_signature(software, file.engine.as_deref(), entry).map_err(|reason| format!("signature `{id}`: {reason}"))
    };
    file.signature.into_iter().map(own).collect()
}

fn own_signature(software: &str, engine: Option<&str>, e: format::Entry) -> Result<Signature, String> {
    fn word<T: serde::de::DeserializeOwned>(value: Option<&str>) -> Result<Option<T>, String> {
        value.map(|v| serde_json::from_value(serde_json::Value::String(v.to_owned())).map_err(|e| e.to_string())).transpose()
    }
    let texts = |values: &format::OneOrMany| -> Texts { values.all().iter().cloned().map(Cow::Owned).collect::<Vec<_>>().into() };
    let pairs =
        |values: BTreeMap<String, String>| -> Pairs { values.into_iter().map(|(k, v)| (Cow::Owned(k), Cow::Owned(v))).collect::<Vec<_>>().into() };
    let pattern = e.pattern.as_deref().map(format::expand).transpose()?;
    if let Some(pattern) = &pattern {
        RegexBuilder::new(pattern).build().map_err(|e| e.to_string())?;
    }
    if e.anchor.all().is_empty() || e.anchor.all().iter().any(|anchor| anchor.len() < 4) {
        return Err("it needs an `anchor` of at least four bytes".into());
    }
    let parser = match e.parser.as_deref() {
        Some(name) => Some(Parser::from_name(name).ok_or_else(|| format!("unknown parser `{name}`"))?),
        None => None,
    };
    let cause = match e.cause {
        Some(cause) if crate::causes::by_id(&cause).is_none() => return Err(format!("unknown cause `{cause}`")),
        cause => cause,
    };
    let fact: FactKind = word(Some(&e.fact))?.ok_or("it needs a `fact`")?;
    if (fact == FactKind::Custom) != cause.is_some() {
        return Err("`cause` and `fact = \"custom\"` go together".into());
    }
    Ok(Signature {
        id: Cow::Owned(e.id),
        software: Cow::Owned(software.to_owned()),
        engine: e.set.get("engine").map(String::as_str).or(engine).map(|v| Cow::Owned(v.to_owned())),
        anchors: texts(&e.anchor),
        pattern: pattern.map(Cow::Owned),
        program: None,
        parser,
        fact,
        stage: word(e.stage.as_deref())?,
        ends: word(e.ends.as_deref())?,
        event: e.event.map(Cow::Owned),
        hints: word(e.hints.as_deref())?,
        cause: cause.map(Cow::Owned),
        units: pairs(e.unit),
        set: pairs(e.set.into_iter().filter(|(k, _)| k != "engine").collect()),
        decimal: e.decimal,
        any_level: e.any_level,
        weak: e.weak,
        needs_failure: e.needs_failure,
        exclusive: e.exclusive,
        open: e.open,
        priority: e.priority,
    })
}
