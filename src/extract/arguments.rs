//! Dumps of arguments and command lines, of every engine.
//!
//! A dump may break off anywhere: what was read before the break is kept, a value that the break may have shortened is not.

use std::ops::Range;

use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, digit1, multispace0, one_of};
use nom::combinator::{opt, recognize};
use nom::sequence::pair;
use nom::{IResult, Parser as _};

use crate::redact::{cut_before, redact, secrets_in};

/// How deep values may nest; what is deeper is kept as text.
const MAX_DEPTH: u8 = 64;
/// Arguments of one dump beyond this number are left out.
const MAX_VALUES: usize = 2000;
/// Words of one command line beyond this number are left out.
const MAX_WORDS: usize = 2000;
/// Bytes of a command line that are read.
const MAX_COMMAND: usize = 64 * 1024;
/// Words that belong to no flag, one after another, after which a command line has become prose.
const MAX_STRAY: usize = 3;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`, `null`.
    None,
    /// `True`, `false`, or a switch that was given.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A string, or a bare word.
    Str(String),
    /// A list or tuple.
    List(Vec<Value>),
    /// Something richer, as it was printed.
    Raw(String),
}

impl Value {
    /// Bytes that it holds beside itself, about.
    fn held(&self) -> usize {
        match self {
            Value::Str(text) | Value::Raw(text) => text.len(),
            Value::List(values) => values.iter().map(|value| size_of::<Value>() + value.held()).sum(),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
        }
    }

    /// The text of a string or bare word.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is not negative; strings such as `32k` (thousands) and `32K` (1024s) count.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::Str(text) => count(text),
            _ => None,
        }
    }

    /// A number.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Str(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            Value::Int(value @ 0..=1) => Some(*value == 1),
            Value::Str(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::Str(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// `32k` is 32000, `32K` is 32768, `1.5m` is 1500000.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let scale = match text.as_bytes().last()? {
        b'k' => 1e3,
        b'K' => 1024.0,
        b'm' => 1e6,
        b'M' => 1_048_576.0,
        b'g' => 1e9,
        b'G' => 1_073_741_824.0,
        _ => return None,
    };
    let number: f64 = text.get(..text.len() - 1)?.parse().ok()?;
    let whole = number * scale;
    (whole.is_finite() && (0.0..1e15).contains(&whole)).then(|| whole.round() as u64)
}

/// What a process was started with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// The engine whose arguments these are, where the dump or command tells.
    pub engine: Option<&'static str>,
    /// Names in `snake_case` as printed, without dashes in front, and their values, in their order.
    pub values: Vec<(String, Value)>,
    /// The engine's version, where the dump or the image's tag tells.
    pub version: Option<String>,
    /// Options of the container around the engine: `image`, `gpus`, `shm_size`, `ipc` …
    pub container: Vec<(String, Value)>,
    /// Environment variables that are no argument of the engine.
    pub environment: Vec<(String, String)>,
}

impl Arguments {
    /// Bytes that they take, about.
    pub fn bytes(&self) -> usize {
        let values = self.values.iter().chain(&self.container).map(|(name, value)| size_of::<(String, Value)>() + name.len() + value.held());
        let variables = self.environment.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len());
        size_of::<Self>() + values.chain(variables).sum::<usize>()
    }

    /// The value of the first of some names that is there and not `None`.
    pub fn get(&self, names: &[&str]) -> Option<&Value> {
        let find = |name: &&str| self.values.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value);
        names.iter().filter_map(find).find(|value| **value != Value::None)
    }

    /// Keeps a value; a later one of the same name takes the place of the earlier.
    fn set(&mut self, key: String, value: Value) {
        if let Some((_, old)) = self.values.iter_mut().find(|(known, _)| *known == key) {
            *old = value;
        } else if self.values.len() < MAX_VALUES {
            self.values.push((key, value));
        }
    }

    fn or_nothing(self) -> Option<Self> {
        (!self.values.is_empty()).then_some(self)
    }
}

// ------------------------------------------------------------------------------------------------------------- dumps

/// TGI's `Args { model_id: "x", quantize: Some(Bitsandbytes), … }`, on one line or over many.
pub fn tgi_args(text: &str) -> Option<Arguments> {
    let at = text.find("Args {").map(|at| at + 6).or_else(|| text.find("Args{").map(|at| at + 5))?;
    let mut arguments = Arguments { engine: Some("tgi"), ..Arguments::default() };
    pairs(text.get(at..)?, b':', &mut arguments);
    arguments.or_nothing()
}

/// argparse's `Namespace(host=None, model='x', …)`.
pub fn namespace(text: &str) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    pairs(after(text, "Namespace(")?, b'=', &mut arguments);
    arguments.engine = engine_by_names(&arguments);
    arguments.or_nothing()
}

/// vLLM's `non-default args: {'model': 'x', 'max_model_len': 8192}`.
pub fn python_dict(text: &str) -> Option<Arguments> {
    let from = text.find("args: ").unwrap_or(0);
    let mut arguments = Arguments::default();
    let mut rest = after(text.get(from..)?, "{")?;
    while arguments.values.len() < MAX_VALUES {
        rest = rest.trim_start_matches([' ', '\n', '\r', '\t', ',']);
        let Some((next, key)) = quoted(rest) else { break };
        let Some(next) = next.trim_start().strip_prefix(':') else { break };
        let Some((next, value)) = item(next, false) else { break };
        arguments.set(with_underscores(&key), value);
        rest = next;
    }
    arguments.engine = if text.contains("non-default args") { Some("vllm") } else { engine_by_names(&arguments) };
    arguments.or_nothing()
}

/// vLLM's `Initializing a V1 LLM engine (v0.8.5) with config: model='x', dtype=torch.bfloat16, …`.
pub fn vllm_config(text: &str) -> Option<Arguments> {
    let at = text.find("config: ")?;
    let before = text.get(..at)?;
    let version = before.rfind("(v").and_then(|open| before.get(open + 2..)).and_then(|rest| rest.split(')').next());
    let mut arguments = Arguments { engine: Some("vllm"), version: version.and_then(version_of), ..Arguments::default() };
    let mut rest = text.get(at + 8..)?;
    while arguments.values.len() < MAX_VALUES {
        rest = rest.trim_start_matches([' ', '\n', '\r', '\t', ',']);
        let Ok((next, key)) = key(rest) else { break };
        let Some(next) = next.strip_prefix('=') else {
            rest = next.trim_start_matches(|c: char| !matches!(c, ' ' | '\n' | ','));
            continue;
        };
        let (next, value) = match nested(next, 0, true) {
            Some((after, value)) if after.is_empty() || after.starts_with([',', ' ', ')', '\n', '\r', '\t']) => (after, value),
            _ => bare_word(next),
        };
        arguments.set(key.to_owned(), value);
        if next.starts_with(')') {
            break;
        }
        rest = next;
    }
    arguments.or_nothing()
}

/// SGLang's `server_args=ServerArgs(model_path='x', …)`.
pub fn server_args(text: &str) -> Option<Arguments> {
    let mut arguments = Arguments { engine: Some("sglang"), ..Arguments::default() };
    pairs(after(text, "ServerArgs(")?, b'=', &mut arguments);
    arguments.or_nothing()
}

fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    text.find(word).and_then(|at| text.get(at + word.len()..))
}

/// The engine whose parser knows such names.
fn engine_by_names(arguments: &Arguments) -> Option<&'static str> {
    let marks = [
        ("mem_fraction_static", "sglang"),
        ("gpu_memory_utilization", "vllm"),
        ("model_tag", "vllm"),
        ("max_num_batched_tokens", "vllm"),
        ("cuda_memory_fraction", "tgi"),
        ("cache_max_entry_count", "lmdeploy"),
        ("kv_cache_free_gpu_memory_fraction", "tensorrt-llm"),
    ];
    marks.iter().find(|(name, _)| arguments.values.iter().any(|(key, _)| key == name)).map(|&(_, engine)| engine)
}

/// `3.3.7` from `v3.3.7`, `0.8.5` from `v0.8.5.post1`'s whole; nothing from words such as `latest`.
fn version_of(text: &str) -> Option<String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let version = text.trim_end_matches(['.', ',', ';', ')']);
    (version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.') && version.len() <= 40).then(|| version.to_owned())
}

fn key(input: &str) -> IResult<&str, &str> {
    recognize(pair(one_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"), take_while(|c: char| c.is_ascii_alphanumeric() || c == '_')))
        .parse(input)
}

/// `key<sign>value, key<sign>value` up to the bracket that closes them.
fn pairs(input: &str, sign: u8, arguments: &mut Arguments) {
    let mut rest = input;
    while arguments.values.len() < MAX_VALUES {
        rest = rest.trim_start_matches([' ', '\n', '\r', '\t', ',']);
        if let Some(next) = rest.strip_prefix("**") {
            // `**{'odd-name': …}`
            match skip_item(next) {
                Some(next) => rest = next,
                None => break,
            }
            continue;
        }
        let signed: IResult<&str, &str> = nom::sequence::terminated(key, (multispace0, char(char::from(sign)))).parse(rest);
        let Ok((next, key)) = signed else { break };
        let Some((next, value)) = item(next, false) else { break };
        arguments.set(key.to_owned(), value);
        rest = next;
    }
}

// ------------------------------------------------------------------------------------------------------------- values

/// A value and what follows it; a value that the form does not explain is kept as text up to the comma or bracket behind it.
fn item(input: &str, open_end: bool) -> Option<(&str, Value)> {
    let input = input.trim_start();
    if let Some((rest, value)) = nested(input, 0, open_end)
        && rest.trim_start().starts_with([',', ')', '}', ']'])
    {
        return Some((rest.trim_start(), value));
    }
    let rest = skip_item(input)?;
    let raw = input.get(..input.len() - rest.len())?.trim();
    (!raw.is_empty()).then(|| (rest, Value::Raw(raw.to_owned())))
}

/// What follows a value: from the comma or the bracket that ends it. `None` when the text ends first.
fn skip_item(input: &str) -> Option<&str> {
    let bytes = input.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' => {
                // An apostrophe inside a word opens nothing.
                let inside =
                    at > 0 && bytes.get(at - 1).is_some_and(u8::is_ascii_alphanumeric) && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
                if !inside {
                    at = close_of(bytes, at)?;
                }
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => return input.get(at..),
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => return input.get(at..),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Offset of the quote that closes the one at `open`.
fn close_of(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = *bytes.get(open)?;
    let mut at = open + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            _ if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A value in Python's repr or in Rust's Debug form. `None` when it is neither, or when the text ends inside it.
fn nested(input: &str, depth: u8, open_end: bool) -> Option<(&str, Value)> {
    let input = input.trim_start();
    match input.as_bytes().first()? {
        b'\'' | b'"' => quoted(input).map(|(rest, text)| (rest, Value::Str(text))),
        b'[' if depth < MAX_DEPTH => list(input.get(1..)?, b']', depth),
        b'(' if depth < MAX_DEPTH => list(input.get(1..)?, b')', depth),
        b'[' | b'(' | b'{' => raw(input, 0),
        b'<' => angled(input),
        b'0'..=b'9' | b'-' | b'+' | b'.' => number(input, open_end),
        _ => word(input, depth, open_end),
    }
}

/// A quoted string, perhaps with one of Python's prefixes, with its escapes resolved.
fn quoted(input: &str) -> Option<(&str, String)> {
    let start = usize::from(input.starts_with(['b', 'r', 'u', 'f']));
    let bytes = input.as_bytes();
    if !matches!(bytes.get(start)?, b'\'' | b'"') {
        return None;
    }
    let close = close_of(bytes, start)?;
    Some((input.get(close + 1..)?, unescape(input.get(start + 1..close)?)))
}

fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let code = |count: usize, chars: &mut std::str::Chars<'_>| {
            let digits: String = chars.by_ref().take(count).collect();
            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
        };
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('x') => out.extend(code(2, &mut chars)),
            Some('u') if chars.as_str().starts_with('{') => {
                let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                out.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
            }
            Some('u') => out.extend(code(4, &mut chars)),
            Some('U') => out.extend(code(8, &mut chars)),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

fn list(input: &str, close: u8, depth: u8) -> Option<(&str, Value)> {
    let mut values = Vec::new();
    let mut rest = input;
    loop {
        rest = rest.trim_start();
        if rest.as_bytes().first() == Some(&close) {
            return Some((rest.get(1..)?, Value::List(values)));
        }
        let (next, value) = nested(rest, depth + 1, false)?;
        values.push(value);
        rest = next.trim_start();
        if let Some(next) = rest.strip_prefix(',') {
            rest = next;
        } else if rest.as_bytes().first() != Some(&close) {
            return None;
        }
    }
}

/// A text in brackets as it is printed, the first `lead` bytes being a name in front of the bracket.
fn raw(input: &str, lead: usize) -> Option<(&str, Value)> {
    let bytes = input.as_bytes();
    let mut depth = 0_usize;
    let mut at = lead;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' => at = close_of(bytes, at)?,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let (text, rest) = input.split_at_checked(at + 1)?;
                    return Some((rest, Value::Raw(text.to_owned())));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// `<class 'x'>`, `<LoadFormat.AUTO: 'auto'>`, `<function f at 0x7f>`: an enumeration's value counts, the rest is text.
fn angled(input: &str) -> Option<(&str, Value)> {
    let bytes = input.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' => at = close_of(bytes, at)?,
            b'<' => depth += 1,
            b'>' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
        at += 1;
    }
    let (text, rest) = input.split_at_checked(at + 1)?;
    let inside = text.get(1..text.len() - 1)?;
    let value = inside.split_once(": ").filter(|(name, _)| key_path(name)).and_then(|(_, value)| {
        let (after, value) = nested(value, MAX_DEPTH, true)?;
        after.is_empty().then_some(value)
    });
    Some((rest, value.unwrap_or_else(|| Value::Raw(text.to_owned()))))
}

fn key_path(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

fn number(input: &str, open_end: bool) -> Option<(&str, Value)> {
    let exponent = (one_of("eE"), opt(one_of("+-")), digit1);
    let shape: IResult<&str, &str> = recognize((
        opt(one_of("+-")),
        nom::branch::alt((
            recognize((digit1, opt((char('.'), take_while(|c: char| c.is_ascii_digit()))))),
            recognize((char('.'), digit1)),
            tag("inf"),
            tag("nan"),
        )),
        opt(exponent),
    ))
    .parse(input);
    let (rest, text) = shape.ok()?;
    let ends = if rest.is_empty() { open_end } else { rest.starts_with([',', ')', ']', '}', ' ', '\n', '\r', '\t', ':']) };
    if !ends {
        return None;
    }
    let value = match text.parse() {
        Ok(integer) => Value::Int(integer),
        Err(_) => Value::Float(text.parse().ok()?),
    };
    Some((rest, value))
}

/// A bare word: `None`, `true`, `torch.bfloat16`, `Some(…)`, `PosixPath('x')`, `Config(…)`.
fn word(input: &str, depth: u8, open_end: bool) -> Option<(&str, Value)> {
    if let Some((rest, text)) = quoted(input) {
        return Some((rest, Value::Str(text)));
    }
    let shape: IResult<&str, &str> = take_while1(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '/')).parse(input);
    let (rest, text) = shape.ok()?;
    if let Some(inside) = rest.strip_prefix('(') {
        if matches!(text, "Some" | "PosixPath" | "Path" | "pathlib.PosixPath") && depth < MAX_DEPTH {
            let (rest, value) = nested(inside, depth + 1, false)?;
            let rest = rest.trim_start();
            let rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            return Some((rest.strip_prefix(')')?, value));
        }
        return raw(input, text.len());
    }
    if rest.starts_with('{') || rest.starts_with(" {") && text.starts_with(|c: char| c.is_ascii_uppercase()) {
        return raw(input, text.len());
    }
    if rest.starts_with('[') {
        return raw(input, text.len());
    }
    if rest.is_empty() && !open_end {
        return None;
    }
    let value = match text {
        "None" | "null" => Value::None,
        "True" | "true" => Value::Bool(true),
        "False" | "false" => Value::Bool(false),
        _ => Value::Str(text.to_owned()),
    };
    Some((rest, value))
}

/// A word up to the next comma or white space, typed like a word of a command line.
fn bare_word(input: &str) -> (&str, Value) {
    let end = input.find([',', ' ', '\n']).unwrap_or(input.len());
    let (word, rest) = input.split_at(end);
    (rest, typed(word))
}

/// A value of a command line.
fn typed(text: &str) -> Value {
    if let Ok(number) = text.parse() {
        return Value::Int(number);
    }
    match text {
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    if numeric && let Ok(number) = text.parse::<f64>() {
        return Value::Float(number);
    }
    if text.starts_with(['{', '[']) { Value::Raw(text.to_owned()) } else { Value::Str(text.to_owned()) }
}

// ------------------------------------------------------------------------------------------------------ command lines

/// How a program takes its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// `docker run [options] image [arguments]`.
    Container,
    /// An engine, and the name of its first argument without a flag.
    Engine(&'static str, Option<&'static str>),
    /// A launcher of scripts.
    Script(&'static str),
}

/// How programs are called. Of two that begin at the same place the longer stands first.
const PROGRAMS: [(&str, Program); 22] = [
    ("docker run", Program::Container),
    ("docker container run", Program::Container),
    ("podman run", Program::Container),
    ("nerdctl run", Program::Container),
    ("text-generation-launcher", Program::Engine("tgi", None)),
    ("text-generation-router", Program::Engine("tgi", None)),
    ("vllm serve", Program::Engine("vllm", Some("model_tag"))),
    ("vllm.entrypoints.openai.api_server", Program::Engine("vllm", None)),
    ("vllm.entrypoints.api_server", Program::Engine("vllm", None)),
    ("sglang.launch_server", Program::Engine("sglang", None)),
    ("sglang serve", Program::Engine("sglang", Some("model_path"))),
    ("llama_cpp.server", Program::Engine("llama.cpp", None)),
    ("llama-server", Program::Engine("llama.cpp", None)),
    ("llama-cli", Program::Engine("llama.cpp", None)),
    ("ollama runner", Program::Engine("ollama", None)),
    ("ollama run", Program::Engine("ollama", Some("model"))),
    ("ollama serve", Program::Engine("ollama", None)),
    ("lmdeploy serve api_server", Program::Engine("lmdeploy", Some("model_path"))),
    ("trtllm-serve", Program::Engine("tensorrt-llm", Some("model"))),
    ("accelerate launch", Program::Script("accelerate")),
    ("deepspeed", Program::Script("deepspeed")),
    ("torchrun", Program::Script("pytorch")),
];

/// The command line in a text, wherever it begins.
pub fn shell_command(text: &str) -> Option<Arguments> {
    let text = &text[..cut_before(text, MAX_COMMAND)];
    let mut starts: Vec<(usize, &str, Program)> = Vec::new();
    for (name, program) in PROGRAMS {
        let mut from = 0;
        let mut found = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(name)).map(|at| from + at) {
            from = at + name.len();
            found += 1;
            if found > 8 {
                break;
            }
            let before = text.get(..at)?.chars().next_back();
            let behind = text.get(from..)?.chars().next();
            let opens = before.is_none_or(|c| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | '(' | '=' | ';' | '&' | '|' | '$' | '#'));
            let ends = behind.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'));
            if opens && ends {
                starts.push((at, name, program));
            }
        }
    }
    starts.sort_by_key(|&(at, name, _)| (at, usize::MAX - name.len()));
    starts.iter().take(32).find_map(|&(at, name, program)| command_at(text, at, name, program)).or_else(|| environment_only(text))
}

fn command_at(text: &str, at: usize, name: &str, program: Program) -> Option<Arguments> {
    let line = text.get(..at)?.rfind(['\n', ';']).map_or(0, |line| line + 1);
    let lead = text.get(line.max(at.saturating_sub(4000))..at).or_else(|| text.get(line..at))?;
    // The path of the program, and a quote that opens right before it.
    let path = lead.len() - lead.trim_end_matches(|c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '`' | '(' | '=')).len();
    let (before, _) = lead.split_at_checked(lead.len() - path)?;
    let module = before.trim_end().ends_with("-m");
    let opener = if module { module_opener(before) } else { before.chars().next_back() };
    let body = text.get(at..)?;
    let unquoted;
    let command = match opener {
        Some('"') if body.contains('"') => {
            unquoted = until_quote(body);
            unquoted.as_str()
        }
        Some(quote @ ('\'' | '`')) => body.split(quote).next()?,
        _ => body,
    };
    let words = lex(command.get(name.len()..).unwrap_or(""));
    let mut arguments = Arguments::default();
    if opener.is_none_or(char::is_whitespace) {
        assignments_before(before, &mut arguments);
    }
    run(program, &words, &mut arguments, 0)?;
    settle_environment(&mut arguments);
    Some(arguments)
}

/// The quote before `python3 -m`, if one is there.
fn module_opener(before: &str) -> Option<char> {
    let start = before.rfind("python")?;
    let path = before.get(..start)?.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    path.chars().next_back()
}

/// A text up to the quote that ends it, the escapes of quotes and backslashes resolved.
fn until_quote(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\')) => out.push(c),
                Some('n') => out.push(' '),
                Some(c) => {
                    out.push('\\');
                    out.push(c);
                }
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

/// `HF_TOKEN=x MODEL_ID=y` in front of a command.
fn assignments_before(before: &str, arguments: &mut Arguments) {
    let words = lex(before);
    let mut kept: Vec<(String, String)> = Vec::new();
    for word in words.iter().rev() {
        if let Some((name, value)) = assignment(word) {
            kept.push((name.to_owned(), value.to_owned()));
        } else if !(word.contains("python")
            || matches!(word.as_str(), "-m" | "-u" | "-O" | "env" | "export" | "exec" | "sudo" | "nohup" | "time" | "$" | "+" | "uv" | "run"))
        {
            break;
        }
    }
    arguments.environment.extend(kept.into_iter().rev());
}

/// `NAME=value` with a name in capitals.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let shaped = name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    shaped.then_some((name, value))
}

/// A text that only sets TGI's environment.
fn environment_only(text: &str) -> Option<Arguments> {
    if !["MODEL_ID=", "LLAMA_ARG_MODEL=", "LLAMA_ARG_HF_REPO="].iter().any(|name| text.contains(name)) {
        return None;
    }
    let mut arguments = Arguments::default();
    for word in lex(text) {
        if let Some((name, value)) = assignment(&word) {
            arguments.environment.push((name.to_owned(), value.to_owned()));
        }
    }
    arguments.engine = arguments.environment.iter().find_map(|(name, _)| match name.as_str() {
        "MODEL_ID" | "HF_MODEL_ID" => Some("tgi"),
        name if name.starts_with("LLAMA_ARG_") => Some("llama.cpp"),
        _ => None,
    });
    settle_environment(&mut arguments);
    arguments.or_nothing()
}

/// The words of a command line as a shell would see them, up to its end.
fn lex(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let secrets = secrets_in(text);
    let (mut began, mut end, mut told) = (0, text.len(), 0);
    let mut chars = text.char_indices().peekable();
    // Once a quote was found to be open to the end, no later one needs to be looked for.
    let (mut single, mut double) = (true, true);
    while let Some((at, c)) = chars.next() {
        if words.len() >= MAX_WORDS {
            break;
        }
        match c {
            '\\' => match chars.peek() {
                Some((_, next)) if next.is_whitespace() => {
                    // A line that goes on; in a flat text its end has become a space.
                    let escaped = *next == ' ' && word.is_some();
                    chars.next();
                    if escaped {
                        word.get_or_insert_default().push(' ');
                    }
                }
                Some((_, next)) => {
                    word.get_or_insert_default().push(*next);
                    chars.next();
                }
                None => {}
            },
            '\'' | '"' => {
                let open = if c == '\'' { &mut single } else { &mut double };
                let close = if *open { quote_end(text, at + 1, c) } else { None };
                *open = close.is_some();
                let current = word.get_or_insert_default();
                match close {
                    Some(close) => {
                        let inside = text.get(at + 1..close).unwrap_or("");
                        if c == '"' {
                            current.push_str(&in_double_quotes(inside))
                        } else {
                            current.push_str(inside)
                        }
                        while chars.peek().is_some_and(|(next, _)| *next <= close) {
                            chars.next();
                        }
                    }
                    None => current.push(c),
                }
            }
            '\n' | ';' | '|' => {
                end = at;
                break;
            }
            '&' | '>' if word.is_none() || chars.peek().is_none_or(|(_, next)| *next == '&' || next.is_whitespace()) => {
                end = at;
                break;
            }
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take().and_then(|word| with_context(word, text, began..at, &secrets, &mut told))),
            c => word.get_or_insert_default().push(c),
        }
        if word.is_none() {
            began = at + c.len_utf8();
        }
    }
    words.extend(word.and_then(|word| with_context(word, text, began..end, &secrets, &mut told)));
    words
}

/// A word, or as much of the text around it as shows that there is a secret in it: by itself, behind a letter that a quotation
/// mark stood after, or without `Authorization: Bearer` before it, nobody would know it for one. Nothing for what such a text
/// has told already, up to where it ends.
fn with_context(word: String, text: &str, written: Range<usize>, secrets: &[(Range<usize>, Range<usize>)], told: &mut usize) -> Option<String> {
    if written.end <= *told {
        return None;
    }
    for (whole, secret) in secrets.iter().filter(|(_, secret)| secret.start < written.end && written.start < secret.end) {
        let part = text.get(secret.start.max(written.start)..secret.end.min(written.end)).unwrap_or("");
        // What a flag before it says needs no words: the value will have the flag's name.
        let is_flagged =
            text.get(whole.clone()).is_some_and(|whole| whole.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-').starts_with('-'));
        if !part.is_empty() && !is_flagged && redact(&word).0.contains(part) {
            *told = whole.end.max(written.end);
            return text.get(whole.start.min(written.start)..*told).map(str::to_owned);
        }
    }
    Some(word)
}

fn quote_end(text: &str, from: usize, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.get(from..)?.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(from + at),
            _ => {}
        }
    }
    None
}

fn in_double_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(next @ ('"' | '\\' | '$' | '`'))) => {
                out.push(next);
                chars.next();
            }
            ('\\', Some('\n')) => {
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// Reads the words behind a program's name. `None` when they are no arguments after all.
fn run(program: Program, words: &[String], arguments: &mut Arguments, depth: u8) -> Option<()> {
    match program {
        Program::Container => container(words, arguments, depth),
        Program::Engine(engine, positional) => {
            arguments.engine = Some(engine);
            flags(words, positional, arguments);
            let shown = !arguments.values.is_empty() || !arguments.environment.is_empty();
            // `vllm serve failed to start` is prose.
            let named = positional.and_then(|name| arguments.get(&[name])).and_then(Value::as_str);
            let prose = arguments.values.len() == 1
                && named.is_some_and(|name| !name.contains(['/', '.', '-', ':']) && !name.bytes().any(|b| b.is_ascii_digit()))
                && words.len() != 1;
            (shown && !prose).then_some(())
        }
        Program::Script(engine) => {
            let script = words.iter().position(|word| word.ends_with(".py") || word.contains(".cli.") || word == "-m")?;
            arguments.engine = Some(engine);
            flags(words.get(script + 1..)?, None, arguments);
            (!arguments.values.is_empty()).then_some(())
        }
    }
}

/// Switches of `docker run` that take no value.
const DOCKER_SWITCHES: [&str; 11] = [
    "rm",
    "detach",
    "interactive",
    "tty",
    "privileged",
    "init",
    "read-only",
    "no-healthcheck",
    "oom-kill-disable",
    "publish-all",
    "disable-content-trust",
];

fn container(words: &[String], arguments: &mut Arguments, depth: u8) -> Option<()> {
    let mut entrypoint = None;
    let mut at = 0;
    let image = loop {
        let word = words.get(at)?;
        at += 1;
        if !is_flag(word) {
            break word;
        }
        let (name, value) = match word.strip_prefix("--") {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if DOCKER_SWITCHES.contains(&long) => continue,
                None => {
                    at += 1;
                    (long, words.get(at - 1)?.clone())
                }
            },
            None => {
                let short = word.get(1..2)?;
                if !"evpmwuhlca".contains(short) {
                    continue;
                }
                let attached = word.get(2..)?.trim_start_matches('=');
                if attached.is_empty() {
                    at += 1;
                    (short, words.get(at - 1)?.clone())
                } else {
                    (short, attached.to_owned())
                }
            }
        };
        match name {
            "e" | "env" => {
                if let Some((name, value)) = value.split_once('=') {
                    arguments.environment.push((name.to_owned(), value.to_owned()));
                }
            }
            "entrypoint" => entrypoint = Some(value),
            "m" => arguments.container.push(("memory".to_owned(), typed(&value))),
            "gpus" | "shm-size" | "ipc" | "memory" | "memory-swap" | "runtime" | "name" | "device" | "network" | "ulimit" => {
                arguments.container.push((name.replace('-', "_"), typed(&value)));
            }
            _ => {}
        }
    };
    arguments.container.push(("image".to_owned(), Value::Str(image.clone())));
    let (engine, positional) = engine_of_image(image).map_or((None, None), |(engine, positional)| (Some(engine), positional));
    arguments.engine = engine;
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    arguments.version = tag.and_then(|tag| version_of(tag.split(['-', '_', '+']).next().unwrap_or(tag)));
    let rest = words.get(at..).unwrap_or(&[]);
    // A program named behind the image, or in the string given to a shell.
    let joined = entrypoint.iter().map(String::as_str).chain(rest.iter().map(String::as_str)).take(4).collect::<Vec<_>>().join(" ");
    if let Some(shell) = rest.iter().take(2).position(|word| matches!(word.as_str(), "-c" | "-lc" | "bash" | "sh" | "/bin/bash" | "/bin/sh"))
        && depth < 2
        && let Some(inner) = rest.get(shell..).and_then(|rest| rest.iter().find(|word| word.contains(' ')))
        && let Some(found) = shell_command_in(inner)
    {
        let kept = std::mem::take(arguments);
        *arguments = Arguments { engine: found.engine.or(kept.engine), values: found.values, ..kept };
        arguments.environment.extend(found.environment);
        return Some(());
    }
    for (name, program) in PROGRAMS {
        if program != Program::Container
            && let Some(start) = joined.find(name)
            && joined.get(..start)?.ends_with(['/', ' ']) | (start == 0)
            && depth < 2
        {
            let skipped = joined.get(..start + name.len())?.split(' ').count() - usize::from(entrypoint.is_some());
            return run(program, rest.get(skipped..).unwrap_or(&[]), arguments, depth + 1).or(Some(()));
        }
    }
    flags(rest, positional, arguments);
    let useful = engine.is_some() || !arguments.values.is_empty() || arguments.environment.iter().any(|(name, _)| name == "MODEL_ID");
    useful.then_some(())
}

/// A command inside a string of another command; containers do not nest.
fn shell_command_in(text: &str) -> Option<Arguments> {
    PROGRAMS.iter().filter(|(_, program)| *program != Program::Container).find_map(|&(name, program)| {
        let at = text.find(name)?;
        let mut arguments = Arguments::default();
        assignments_before(text.get(..at)?, &mut arguments);
        run(program, &lex(text.get(at + name.len()..)?), &mut arguments, 2)?;
        Some(arguments)
    })
}

fn engine_of_image(image: &str) -> Option<(&'static str, Option<&'static str>)> {
    let images = [
        ("text-generation-inference", "tgi", None),
        ("vllm", "vllm", Some("model_tag")),
        ("sglang", "sglang", None),
        ("llama.cpp", "llama.cpp", None),
        ("llama-cpp", "llama.cpp", None),
        ("ollama", "ollama", None),
        ("lmdeploy", "lmdeploy", None),
        ("tensorrt-llm", "tensorrt-llm", None),
        ("tensorrt_llm", "tensorrt-llm", None),
        ("tritonserver", "tensorrt-llm", None),
    ];
    images.iter().find(|(part, ..)| image.contains(part)).map(|&(_, engine, positional)| (engine, positional))
}

fn is_flag(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    let dashes = word.len() - name.len();
    (1..=2).contains(&dashes) && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// True for switches: what follows such a name is not its value.
fn is_switch(name: &str) -> bool {
    const STARTS: [&str; 8] = ["enable_", "disable_", "no_", "use_", "skip_", "trust_", "enforce_", "return_"];
    const NAMES: [&str; 9] = ["jinja", "mlock", "verbose", "async_scheduling", "json_output", "nkvo", "cont_batching", "embedding", "metrics"];
    STARTS.iter().any(|start| name.starts_with(start)) || NAMES.contains(&name)
}

/// Flags that take several words.
const LISTS: [&str; 10] = [
    "served_model_name",
    "lora_modules",
    "cuda_graphs",
    "cuda_graph_sizes",
    "cudagraph_capture_sizes",
    "cuda_graph_bs",
    "lora_adapters",
    "middleware",
    "allowed_origins",
    "lora_paths",
];

/// `--flag value`, `--flag=value`, `--switch`, and the first word without a flag under the name `positional`.
fn flags(words: &[String], positional: Option<&str>, arguments: &mut Arguments) {
    let mut stray = 0;
    let mut positional = positional;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if !is_flag(word) {
            if word == "--" {
                continue;
            }
            if let Some(name) = positional.take() {
                arguments.set(name.to_owned(), Value::Str(word.clone()));
                continue;
            }
            stray += 1;
            if stray >= MAX_STRAY {
                break;
            }
            continue;
        }
        stray = 0;
        let bare = word.trim_start_matches('-');
        let (name, attached) = bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
        let name = with_underscores(name.trim_end_matches([',', '.', ':', ')', '`']));
        if let Some(value) = attached {
            arguments.set(name, typed(value));
            continue;
        }
        let truth = |word: &String| matches!(word.as_str(), "true" | "false" | "True" | "False");
        let next = words.get(at).filter(|next| !is_flag(next) && next.as_str() != "--");
        match next {
            Some(next) if !is_switch(&name) || truth(next) => {
                at += 1;
                let mut value = typed(next);
                if LISTS.contains(&name.as_str()) {
                    let mut more = vec![value];
                    while let Some(next) = words.get(at).filter(|next| !is_flag(next) && more.len() < 64) {
                        more.push(typed(next));
                        at += 1;
                    }
                    value = if more.len() == 1 { more.remove(0) } else { Value::List(more) };
                }
                arguments.set(name, value);
            }
            _ => arguments.set(name, Value::Bool(true)),
        }
    }
}

/// TGI's flags that may be given as environment variables of the same name.
const TGI_VARIABLES: [&str; 40] = [
    "MODEL_ID",
    "REVISION",
    "VALIDATION_WORKERS",
    "SHARDED",
    "NUM_SHARD",
    "QUANTIZE",
    "SPECULATE",
    "DTYPE",
    "KV_CACHE_DTYPE",
    "TRUST_REMOTE_CODE",
    "MAX_CONCURRENT_REQUESTS",
    "MAX_BEST_OF",
    "MAX_STOP_SEQUENCES",
    "MAX_TOP_N_TOKENS",
    "MAX_INPUT_TOKENS",
    "MAX_INPUT_LENGTH",
    "MAX_TOTAL_TOKENS",
    "WAITING_SERVED_RATIO",
    "MAX_BATCH_PREFILL_TOKENS",
    "MAX_BATCH_TOTAL_TOKENS",
    "MAX_WAITING_TOKENS",
    "MAX_BATCH_SIZE",
    "CUDA_GRAPHS",
    "HOSTNAME",
    "PORT",
    "PROMETHEUS_PORT",
    "MASTER_ADDR",
    "MASTER_PORT",
    "HUGGINGFACE_HUB_CACHE",
    "WEIGHTS_CACHE_OVERRIDE",
    "DISABLE_CUSTOM_KERNELS",
    "CUDA_MEMORY_FRACTION",
    "ROPE_SCALING",
    "ROPE_FACTOR",
    "TOKENIZER_CONFIG_PATH",
    "DISABLE_GRAMMAR_SUPPORT",
    "MAX_CLIENT_BATCH_SIZE",
    "LORA_ADAPTERS",
    "PAYLOAD_LIMIT",
    "ENABLE_PREFILL_LOGPROBS",
];

/// Makes arguments of the environment variables that stand for one; a flag beats its variable.
fn settle_environment(arguments: &mut Arguments) {
    let engine = arguments.engine;
    let variables = std::mem::take(&mut arguments.environment);
    for (name, value) in variables {
        let key = match engine {
            Some("tgi") => match name.as_str() {
                "HF_MODEL_ID" => Some("model_id".to_owned()),
                "SM_NUM_GPUS" => Some("num_shard".to_owned()),
                "HF_MODEL_QUANTIZE" => Some("quantize".to_owned()),
                "HF_MODEL_TRUST_REMOTE_CODE" => Some("trust_remote_code".to_owned()),
                name => TGI_VARIABLES.contains(&name).then(|| name.to_ascii_lowercase()),
            },
            Some("llama.cpp") => name.strip_prefix("LLAMA_ARG_").map(in_lower_case),
            Some("ollama") => name.starts_with("OLLAMA_").then(|| in_lower_case(&name)),
            _ => None,
        };
        match key {
            Some(key) if arguments.values.iter().all(|(known, _)| *known != key) => arguments.set(key, typed(&value)),
            Some(_) => {}
            None => arguments.environment.push((name, value)),
        }
    }
}

// --------------------------------------------------------------------------------------------------------- deployment

/// What arguments say of the deployment, whatever the engine calls it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deployed {
    /// The engine.
    pub engine: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The model as given: hub id or path.
    pub model: Option<String>,
    /// The type of weights and activations: `bfloat16`.
    pub dtype: Option<String>,
    /// The quantization: `bitsandbytes-nf4`, `awq`.
    pub quantization: Option<String>,
    /// The type of the key-value cache where it is not the model's: `fp8_e5m2`.
    pub kv_cache_dtype: Option<String>,
    /// Ranks that share the weights.
    pub tensor_parallel: Option<u64>,
    /// Tokens of the longest request.
    pub max_model_len: Option<u64>,
    /// Requests of a batch.
    pub max_num_seqs: Option<u64>,
    /// Tokens of a batch: vLLM's `max_num_batched_tokens`, llama.cpp's batch, SGLang's chunk.
    pub max_batched_tokens: Option<u64>,
    /// Tokens of a prefill: TGI's `max_batch_prefill_tokens`, SGLang's `max_prefill_tokens`.
    pub prefill_tokens: Option<u64>,
    /// Fraction of the device's memory that the engine may take, 0 to 1.
    pub gpu_memory_utilization: Option<f64>,
    /// Whether code from the model's repository may run.
    pub trust_remote_code: Option<bool>,
}

/// What arguments say of the deployment.
pub fn deployment(arguments: &Arguments) -> Deployed {
    let engine = arguments.engine.or_else(|| engine_by_names(arguments));
    let text = |names: &[&str]| arguments.get(names).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let whole = |names: &[&str]| arguments.get(names).and_then(Value::as_u64);
    let positive = |names: &[&str]| whole(names).filter(|&number| number > 0);
    let llama = matches!(engine, Some("llama.cpp" | "ollama"));
    let model: &[&str] = match engine {
        Some("tgi") => &["model_id"],
        Some("llama.cpp" | "ollama") => &["m", "model", "hf_repo", "hf", "hfr", "mu", "model_url"],
        Some("sglang") => &["model_path", "model"],
        _ => &["model_tag", "model", "model_id", "model_path", "model_name_or_path", "model_name", "pretrained_model_name_or_path", "base_model"],
    };
    let length: &[&str] = match engine {
        Some("tgi") => &["max_total_tokens"],
        Some("sglang") => &["context_length"],
        Some("llama.cpp" | "ollama") => &["c", "ctx_size", "n_ctx", "ollama_context_length"],
        Some("lmdeploy") => &["session_len"],
        Some("tensorrt-llm") => &["max_seq_len", "max_model_len"],
        _ => &["max_model_len", "max_seq_len", "context_length", "max_total_tokens", "session_len", "max_seq_length"],
    };
    let fraction = arguments
        .get(&[
            "gpu_memory_utilization",
            "mem_fraction_static",
            "cuda_memory_fraction",
            "cache_max_entry_count",
            "kv_cache_free_gpu_memory_fraction",
            "free_gpu_memory_fraction",
        ])
        .and_then(Value::as_f64);
    Deployed {
        engine: engine.map(str::to_owned),
        version: arguments.version.clone(),
        model: text(model),
        dtype: text(&["dtype", "torch_dtype", "data_type"]).and_then(|name| dtype_name(&name)),
        quantization: text(&["quantize", "quantization", "q"]).and_then(|name| quantization_name(&name)),
        kv_cache_dtype: text(&["kv_cache_dtype", "cache_type_k", "ctk", "ollama_kv_cache_type"]).and_then(|name| dtype_name(&name)),
        tensor_parallel: positive(&["tensor_parallel_size", "num_shard", "tp_size", "tp", "tensor_parallel"]),
        max_model_len: positive(length),
        max_num_seqs: positive(&["max_num_seqs", "max_running_requests", "max_batch_size", "parallel", "np", "n_parallel", "ollama_num_parallel"]),
        max_batched_tokens: positive(if llama {
            &["batch_size", "b"]
        } else {
            &["max_num_batched_tokens", "chunked_prefill_size", "max_num_tokens"]
        }),
        prefill_tokens: positive(&["max_batch_prefill_tokens", "max_prefill_tokens", "max_prefill_token_num"]),
        gpu_memory_utilization: fraction.filter(|fraction| (0.0..=1.0).contains(fraction) && *fraction > 0.0),
        trust_remote_code: arguments.get(&["trust_remote_code"]).and_then(Value::as_bool),
    }
}

/// The name of an argument as Python has it.
fn with_underscores(name: &str) -> String {
    if holds_a_secret(name) { name.to_owned() } else { name.replace('-', "_") }
}

fn in_lower_case(name: &str) -> String {
    if holds_a_secret(name) { name.to_owned() } else { name.to_ascii_lowercase() }
}

/// True for a secret in the place of a name. It keeps its form: without it nobody would know it for one. Names of flags are
/// known at a glance.
fn holds_a_secret(name: &str) -> bool {
    !name.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_')) && redact(name).1 > 0
}

/// One name for each type; `None` for the model's own.
fn dtype_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("torch.").unwrap_or(name);
    let lower = in_lower_case(name);
    Some(match lower.as_str() {
        "auto" | "none" | "" => return None,
        "half" | "fp16" | "f16" | "float16" => "float16".to_owned(),
        "bf16" | "bfloat16" => "bfloat16".to_owned(),
        "float" | "fp32" | "f32" | "float32" => "float32".to_owned(),
        "fp8e4m3fn" => "fp8_e4m3fn".to_owned(),
        "fp8e5m2" => "fp8_e5m2".to_owned(),
        _ => lower,
    })
}

/// The spelling of the command line for what Rust's Debug form prints.
fn quantization_name(name: &str) -> Option<String> {
    let lower = in_lower_case(name);
    Some(match lower.as_str() {
        "none" | "" | "auto" => return None,
        "bitsandbytesnf4" => "bitsandbytes-nf4".to_owned(),
        "bitsandbytesfp4" => "bitsandbytes-fp4".to_owned(),
        "compressedtensors" => "compressed-tensors".to_owned(),
        _ => lower,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parser = fn(&str) -> Option<Arguments>;

    #[track_caller]
    fn read(parser: Parser, text: &str) -> Arguments {
        let found = parser(text);
        assert!(found.is_some(), "not recognised: {text}");
        found.unwrap_or_default()
    }

    fn text(value: &str) -> Option<Value> {
        Some(Value::Str(value.to_owned()))
    }

    fn value(arguments: &Arguments, name: &str) -> Option<Value> {
        arguments.values.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    const TGI: &str = r#"Args { model_id: "acme/tiny-7b", revision: None, validation_workers: 2, sharded: None, num_shard: Some(2), quantize: Some(BitsandbytesNf4), speculate: None, dtype: Some(BFloat16), kv_cache_dtype: Some(Fp8e5m2), trust_remote_code: false, max_concurrent_requests: 128, max_input_tokens: None, max_total_tokens: Some(8192), waiting_served_ratio: 0.3, max_batch_prefill_tokens: Some(4096), cuda_graphs: Some([1, 2, 4]), hostname: "node \"a\"", port: 80, cuda_memory_fraction: 0.8, cors_allow_origin: [], api_key: None, env: false, usage_stats: On, payload_limit: 2000000 }"#;
    const TGI_PRETTY: &str = "Args {\n    model_id: \"acme/tiny-7b\",\n    revision: None,\n    quantize: Some(\n        Bitsandbytes,\n    ),\n    cuda_graphs: Some(\n        [\n            1,\n            2,\n        ],\n    ),\n    max_batch_prefill_tokens: Some(\n        2048,\n    ),\n    cuda_memory_fraction: 1.0,\n    env: false,\n}";
    const NAMESPACE: &str = "args: Namespace(subparser='serve', model_tag='acme/tiny-7b', config='', host=None, port=8000, allowed_origins=['*', \"it's\"], lora_modules=None, chat_template='{% if x %}\\n(a), b=[\\'c\\']{% endif %}', response_role=<class 'str'>, middleware=[], load_format=<LoadFormat.AUTO: 'auto'>, download_dir=PosixPath('/data'), dtype='auto', max_model_len=4096, gpu_memory_utilization=0.85, rope_theta=1e-05, hf_overrides={'a': {'b': (1, 2)}}, limit=range(0, 3), dispatch_function=<function serve.<locals>.f at 0x7f00>, quantization='awq', enforce_eager=True, tensor_parallel_size=2)";
    const DICT: &str = "non-default args: {'model_tag': 'acme/tiny-7b', 'api_server_count': 1, 'model': 'acme/tiny-7b', 'trust_remote_code': True, 'max_model_len': 8192, 'kv-cache-dtype': 'fp8', 'gpu_memory_utilization': 0.95, 'limit_mm_per_prompt': {'image': 2}, 'nested': [[1], [2, 'x']]}";
    const CONFIG: &str = "Initializing a V1 LLM engine (v0.8.5) with config: model='acme/tiny-7b', speculative_config=None, tokenizer='acme/tiny-7b', skip_tokenizer_init=False, revision=None, trust_remote_code=True, dtype=torch.bfloat16, max_seq_len=32768, download_dir=None, load_format=LoadFormat.AUTO, tensor_parallel_size=4, disable_custom_all_reduce=False, quantization=gptq, kv_cache_dtype=auto,  device_config=cuda, decoding_config=DecodingConfig(backend='x', b=False), seed=0, served_model_name=acme/tiny-7b, use_async_output_proc=True,mm_processor_kwargs=None, compilation_config={\"level\":3,\"sizes\":[1,2]}";
    const SERVER: &str = "server_args=ServerArgs(model_path='acme/tiny-7b', tokenizer_mode='auto', dtype='auto', kv_cache_dtype='fp8_e5m2', quantization=None, context_length=8192, mem_fraction_static=0.88, max_running_requests=None, max_total_tokens=None, chunked_prefill_size=2048, max_prefill_tokens=16384, tp_size=2, disable_radix_cache=False, json_model_override_args='{}', trust_remote_code=False, cuda_graph_bs=[1, 2])";

    #[test]
    fn tgi() {
        let found = read(tgi_args, TGI);
        assert_eq!(found.engine, Some("tgi"));
        assert_eq!(value(&found, "hostname"), text("node \"a\""));
        assert_eq!(value(&found, "cuda_graphs"), Some(Value::List(vec![Value::Int(1), Value::Int(2), Value::Int(4)])));
        assert_eq!(value(&found, "revision"), Some(Value::None));
        assert_eq!(value(&found, "usage_stats"), text("On"));
        assert_eq!(value(&found, "payload_limit"), Some(Value::Int(2_000_000)));
        let deployed = deployment(&found);
        let expected = Deployed {
            engine: Some("tgi".into()),
            model: Some("acme/tiny-7b".into()),
            dtype: Some("bfloat16".into()),
            quantization: Some("bitsandbytes-nf4".into()),
            kv_cache_dtype: Some("fp8_e5m2".into()),
            tensor_parallel: Some(2),
            max_model_len: Some(8192),
            prefill_tokens: Some(4096),
            gpu_memory_utilization: Some(0.8),
            trust_remote_code: Some(false),
            ..Deployed::default()
        };
        assert_eq!(deployed, expected);
        let found = read(tgi_args, TGI_PRETTY);
        assert_eq!(found.values.len(), 7);
        assert_eq!(value(&found, "cuda_graphs"), Some(Value::List(vec![Value::Int(1), Value::Int(2)])));
        assert_eq!(deployment(&found).quantization.as_deref(), Some("bitsandbytes"));
        assert_eq!(deployment(&found).prefill_tokens, Some(2048));
        assert_eq!(tgi_args("Starting shard"), None);
        assert_eq!(tgi_args("Args {"), None);
    }

    #[test]
    fn namespaces() {
        let found = read(namespace, NAMESPACE);
        assert_eq!(found.engine, Some("vllm"));
        assert_eq!(found.values.len(), 22);
        assert_eq!(value(&found, "allowed_origins"), Some(Value::List(vec![Value::Str("*".into()), Value::Str("it's".into())])));
        assert_eq!(value(&found, "chat_template"), text("{% if x %}\n(a), b=['c']{% endif %}"));
        assert_eq!(value(&found, "response_role"), Some(Value::Raw("<class 'str'>".into())));
        assert_eq!(value(&found, "load_format"), text("auto"));
        assert_eq!(value(&found, "download_dir"), text("/data"));
        assert_eq!(value(&found, "rope_theta"), Some(Value::Float(1e-5)));
        assert_eq!(value(&found, "hf_overrides"), Some(Value::Raw("{'a': {'b': (1, 2)}}".into())));
        assert_eq!(value(&found, "limit"), Some(Value::Raw("range(0, 3)".into())));
        assert_eq!(value(&found, "dispatch_function"), Some(Value::Raw("<function serve.<locals>.f at 0x7f00>".into())));
        let deployed = deployment(&found);
        assert_eq!(deployed.model.as_deref(), Some("acme/tiny-7b"));
        assert_eq!((deployed.dtype, deployed.quantization.as_deref()), (None, Some("awq")));
        assert_eq!((deployed.tensor_parallel, deployed.max_model_len, deployed.gpu_memory_utilization), (Some(2), Some(4096), Some(0.85)));
        assert_eq!(read(namespace, "Namespace(a=1, **{'b-c': 2}, d=3)").values.len(), 2);
        assert_eq!(namespace("Namespace()"), None);
        let odd = read(namespace, "Namespace(a=lambda x: [x, (1)], b=5, c=-1)");
        assert_eq!((value(&odd, "b"), value(&odd, "c")), (Some(Value::Int(5)), Some(Value::Int(-1))));
    }

    #[test]
    fn dictionaries() {
        let found = read(python_dict, DICT);
        assert_eq!(found.engine, Some("vllm"));
        assert_eq!(value(&found, "kv_cache_dtype"), text("fp8"));
        assert_eq!(value(&found, "limit_mm_per_prompt"), Some(Value::Raw("{'image': 2}".into())));
        let deployed = deployment(&found);
        assert_eq!((deployed.max_model_len, deployed.gpu_memory_utilization, deployed.trust_remote_code), (Some(8192), Some(0.95), Some(true)));
        assert_eq!(deployed.kv_cache_dtype.as_deref(), Some("fp8"));
        assert_eq!(python_dict("non-default args: {}"), None);
    }

    #[test]
    fn vllm_configurations() {
        let found = read(vllm_config, CONFIG);
        assert_eq!((found.engine, found.version.as_deref()), (Some("vllm"), Some("0.8.5")));
        assert_eq!(found.values.len(), 21);
        assert_eq!(value(&found, "device_config"), text("cuda"));
        assert_eq!(value(&found, "served_model_name"), text("acme/tiny-7b"));
        assert_eq!(value(&found, "compilation_config"), Some(Value::Raw("{\"level\":3,\"sizes\":[1,2]}".into())));
        let deployed = deployment(&found);
        let expected = Deployed {
            engine: Some("vllm".into()),
            version: Some("0.8.5".into()),
            model: Some("acme/tiny-7b".into()),
            dtype: Some("bfloat16".into()),
            quantization: Some("gptq".into()),
            tensor_parallel: Some(4),
            max_model_len: Some(32768),
            trust_remote_code: Some(true),
            ..Deployed::default()
        };
        assert_eq!(deployed, expected);
        let old = "Initializing an LLM engine with config: model='a/b', max_seq_len=2048, seed=0)";
        assert_eq!((read(vllm_config, old).version, read(vllm_config, old).values.len()), (None, 3));
    }

    #[test]
    fn server_arguments() {
        let found = read(server_args, SERVER);
        let deployed = deployment(&found);
        assert_eq!(deployed.engine.as_deref(), Some("sglang"));
        assert_eq!((deployed.tensor_parallel, deployed.max_model_len), (Some(2), Some(8192)));
        assert_eq!((deployed.max_batched_tokens, deployed.prefill_tokens, deployed.gpu_memory_utilization), (Some(2048), Some(16384), Some(0.88)));
        assert_eq!(deployed.kv_cache_dtype.as_deref(), Some("fp8_e5m2"));
    }

    #[track_caller]
    fn command(text: &str) -> (Arguments, Deployed) {
        let found = read(shell_command, text);
        let deployed = deployment(&found);
        (found, deployed)
    }

    #[test]
    fn container_commands() {
        let (found, deployed) = command(
            "$ docker run --gpus all --shm-size 1g --rm -it -p 8080:80 -e HF_TOKEN=hf_x -v $PWD/data:/data ghcr.io/huggingface/text-generation-inference:2.4.1 \\\n  --model-id acme/tiny-7b \\\n  --quantize bitsandbytes-nf4 --num-shard 2 --max-batch-prefill-tokens=2048 --trust-remote-code\nnext line --port 1",
        );
        assert_eq!((deployed.engine.as_deref(), deployed.version.as_deref()), (Some("tgi"), Some("2.4.1")));
        assert_eq!((deployed.model.as_deref(), deployed.quantization.as_deref()), (Some("acme/tiny-7b"), Some("bitsandbytes-nf4")));
        assert_eq!((deployed.tensor_parallel, deployed.prefill_tokens, deployed.trust_remote_code), (Some(2), Some(2048), Some(true)));
        assert_eq!(found.environment, [("HF_TOKEN".to_owned(), "hf_x".to_owned())]);
        assert!(found.container.contains(&("gpus".to_owned(), Value::Str("all".to_owned()))));
        assert_eq!(found.values.len(), 5);
        let flat = "docker run --gpus all -e MODEL_ID=acme/tiny-7b -e MAX_TOTAL_TOKENS=4096 \\ ghcr.io/huggingface/text-generation-inference:latest \\ --max-total-tokens 8192";
        let (found, deployed) = command(flat);
        assert_eq!((deployed.model.as_deref(), deployed.max_model_len, found.version), (Some("acme/tiny-7b"), Some(8192), None));
        let (_, deployed) =
            command("docker run --runtime nvidia --ipc=host vllm/vllm-openai:v0.8.5.post1 --model acme/tiny-7b --max-model-len 32k -tp 2 -q awq");
        assert_eq!((deployed.engine.as_deref(), deployed.version.as_deref()), (Some("vllm"), Some("0.8.5.post1")));
        assert_eq!((deployed.max_model_len, deployed.tensor_parallel, deployed.quantization.as_deref()), (Some(32000), Some(2), Some("awq")));
        let (_, deployed) = command("docker run -d --gpus '\"device=0,1\"' vllm/vllm-openai acme/tiny-7b --kv-cache-dtype fp8");
        assert_eq!((deployed.model.as_deref(), deployed.kv_cache_dtype.as_deref()), (Some("acme/tiny-7b"), Some("fp8")));
        let (_, deployed) = command(
            "docker run --gpus all lmsysorg/sglang:latest python3 -m sglang.launch_server --model-path acme/tiny-7b --tp 4 --mem-fraction-static 0.8",
        );
        assert_eq!((deployed.engine.as_deref(), deployed.tensor_parallel, deployed.gpu_memory_utilization), (Some("sglang"), Some(4), Some(0.8)));
        let (_, deployed) = command("docker run me/own:1.0 bash -c 'HF_HUB_OFFLINE=1 vllm serve acme/tiny-7b --dtype half'");
        assert_eq!(
            (deployed.engine.as_deref(), deployed.model.as_deref(), deployed.dtype.as_deref()),
            (Some("vllm"), Some("acme/tiny-7b"), Some("float16"))
        );
        // So does what only the words before it show to be one.
        let (found, _) = command("vllm serve acme/tiny-7b --header -c'Authorization: Bearer mF9zB5f4K1JqMxTq --api-key abc");
        assert!(found.values.iter().all(|(_, value)| !matches!(value, Value::Str(text) if redact(text).0.contains("mF9z"))), "{:?}", found.values);
        assert_eq!(value(&found, "api_key"), text("abc"));
        let key = format!("vllm serve acme/tiny-7b -----BEGIN PRIVATE KEY-----{}", " MIIE".repeat(1500));
        assert!(command(&key).0.values.iter().map(|(name, _)| name.len()).sum::<usize>() < key.len());
        assert!(lex(&key).iter().map(String::len).sum::<usize>() <= 2 * key.len());
        // What only its quote shows to be a secret keeps it.
        let (found, _) = command("vllm serve acme/tiny-7b -c'sk-abcdefghijklmnop1234567890' --tag x'sk-abcdefghijklmnop1234567890'; y");
        assert_eq!(value(&found, "tag"), text("x'sk-abcdefghijklmnop1234567890'"));
        assert!(found.values.iter().all(|(name, _)| redact(name).1 > 0 || !name.contains("abcdef")), "{:?}", found.values);
        assert_eq!(shell_command("docker run hello-world"), None);
        assert_eq!(shell_command("docker run"), None);
    }

    #[test]
    fn engine_commands() {
        let (found, deployed) = command(
            "CUDA_VISIBLE_DEVICES=0,1 vllm serve acme/tiny-7b --enforce-eager --gpu-memory-utilization 0.95 --served-model-name a b --max-num-seqs 16 && echo up",
        );
        assert_eq!((deployed.model.as_deref(), deployed.gpu_memory_utilization, deployed.max_num_seqs), (Some("acme/tiny-7b"), Some(0.95), Some(16)));
        assert_eq!(found.environment, [("CUDA_VISIBLE_DEVICES".to_owned(), "0,1".to_owned())]);
        assert_eq!(value(&found, "served_model_name"), Some(Value::List(vec![Value::Str("a".into()), Value::Str("b".into())])));
        assert_eq!(value(&found, "enforce_eager"), Some(Value::Bool(true)));
        let (_, deployed) = command("vllm serve --trust-remote-code acme/tiny-7b");
        assert_eq!((deployed.model.as_deref(), deployed.trust_remote_code), (Some("acme/tiny-7b"), Some(true)));
        let (_, deployed) =
            command("I ran `python3 -m vllm.entrypoints.openai.api_server --model acme/tiny-7b --max-num-batched-tokens 4096` and it died --model y");
        assert_eq!((deployed.model.as_deref(), deployed.max_batched_tokens), (Some("acme/tiny-7b"), Some(4096)));
        let (_, deployed) = command("python3 -m sglang.launch_server --model-path acme/tiny-7b --context-length 4096");
        assert_eq!((deployed.model.as_deref(), deployed.max_model_len), (Some("acme/tiny-7b"), Some(4096)));
        let (_, deployed) = command("QUANTIZE=awq text-generation-launcher --model-id acme/tiny-7b --dtype float16");
        assert_eq!((deployed.quantization.as_deref(), deployed.dtype.as_deref()), (Some("awq"), Some("float16")));
        let (_, deployed) = command("./build/bin/llama-server -m /models/tiny.gguf -c 4096 -ngl 99 -ctk q8_0 -np 2 --no-mmap -fa");
        assert_eq!(
            (deployed.engine.as_deref(), deployed.model.as_deref(), deployed.max_model_len),
            (Some("llama.cpp"), Some("/models/tiny.gguf"), Some(4096))
        );
        assert_eq!((deployed.kv_cache_dtype.as_deref(), deployed.max_num_seqs), (Some("q8_0"), Some(2)));
        let (_, deployed) = command("ollama run tiny:7b");
        assert_eq!((deployed.engine.as_deref(), deployed.model.as_deref()), (Some("ollama"), Some("tiny:7b")));
        let slog = "msg=\"starting llama server\" cmd=\"/usr/bin/ollama runner --model /m/blobs/sha256-aa --ctx-size 8192 --batch-size 512 --n-gpu-layers 33 --parallel 4\" extra=--port";
        let (found, deployed) = command(slog);
        assert_eq!(
            (deployed.model.as_deref(), deployed.max_model_len, deployed.max_batched_tokens),
            (Some("/m/blobs/sha256-aa"), Some(8192), Some(512))
        );
        assert_eq!(found.values.len(), 5);
        let (_, deployed) = command("MODEL_ID=acme/tiny-7b QUANTIZE=eetq");
        assert_eq!(
            (deployed.engine.as_deref(), deployed.model.as_deref(), deployed.quantization.as_deref()),
            (Some("tgi"), Some("acme/tiny-7b"), Some("eetq"))
        );
        let (_, deployed) = command("accelerate launch --num_processes 2 train.py --model_name_or_path acme/tiny-7b --torch_dtype bf16");
        assert_eq!(
            (deployed.engine.as_deref(), deployed.model.as_deref(), deployed.dtype.as_deref()),
            (Some("accelerate"), Some("acme/tiny-7b"), Some("bfloat16"))
        );
        let (_, deployed) = command("lmdeploy serve api_server acme/tiny-7b --tp 2 --cache-max-entry-count 0.5 --session-len 4096");
        assert_eq!(
            (deployed.model.as_deref(), deployed.max_model_len, deployed.gpu_memory_utilization),
            (Some("acme/tiny-7b"), Some(4096), Some(0.5))
        );
        let (found, _) = command("vllm serve acme/tiny-7b --override '{\"a b\": [1]}' --seed -1 --x=it\\ is");
        assert_eq!(
            (value(&found, "override"), value(&found, "seed"), value(&found, "x")),
            (Some(Value::Raw("{\"a b\": [1]}".into())), Some(Value::Int(-1)), text("it is"))
        );
        for none in [
            "vllm serve failed to start",
            "the deepspeed library",
            "text-generation-launcher",
            "vllm.entrypoints.openai.api_server: error: x --model",
            "",
            "docker",
        ] {
            assert_eq!(shell_command(none), None, "{none}");
        }
    }

    #[test]
    fn counts_have_suffixes() {
        let numbers = ["32k", "32K", "1.5m", "7", "x", "-1k", "k"].map(|t| Value::Str(t.to_owned()).as_u64());
        assert_eq!(numbers, [Some(32_000), Some(32_768), Some(1_500_000), Some(7), None, None, None]);
    }

    #[test]
    fn a_cut_dump_keeps_what_was_read() {
        let dumps: [(Parser, &str); 5] =
            [(tgi_args, TGI), (tgi_args, TGI_PRETTY), (namespace, NAMESPACE), (python_dict, DICT), (server_args, SERVER)];
        for (parser, whole) in dumps {
            let full = read(parser, whole);
            let mut most = 0;
            for at in (0..whole.len()).filter(|&at| whole.is_char_boundary(at)) {
                let Some(found) = parser(&whole[..at]) else { continue };
                assert!(found.values.len() >= most, "cut at {at}");
                most = found.values.len();
                assert_eq!(found.values, full.values[..most], "cut at {at}");
            }
            assert!(most + 1 >= full.values.len());
        }
    }

    #[test]
    fn deep_nesting_is_survived_quickly() {
        for open in ["[", "(", "{", "Some(", "<", "x(", "'", "\"", "**"] {
            let deep = open.repeat(200_000);
            for text in [
                format!("Args {{ a: {deep}"),
                format!("Namespace(a={deep}"),
                format!("{{'a': {deep}"),
                format!("config: a={deep}"),
                format!("docker run {deep}"),
            ] {
                for parser in [tgi_args, namespace, python_dict, vllm_config, server_args, shell_command] as [Parser; 6] {
                    let _ = parser(&text);
                }
            }
        }
        let many = format!("Namespace({})", "a=1, ".repeat(100_000));
        assert_eq!(read(namespace, &many).values.len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_panics(which in 0_usize..8, cut in 0_usize..900, insert in "[\\PC'\"\\\\(){}\\[\\]<>,=: ]{0,8}", tail in "\\PC{0,20}") {
            let slog = "x cmd=\"/usr/bin/ollama runner --model \\\"a b\\\" --ctx-size 8192\"";
            let docker = "docker run --gpus '\"device=0\"' -e A=b -v x:y vllm/vllm-openai:v1.2 é --a 'b c' --d=\"e f\" \\\n -q x";
            let whole = [TGI, TGI_PRETTY, NAMESPACE, DICT, CONFIG, SERVER, slog, docker][which];
            let mut at = cut.min(whole.len());
            while !whole.is_char_boundary(at) { at -= 1; }
            for text in [format!("{}{insert}{}", &whole[..at], &whole[at..]), format!("{insert}{}", &whole[at..]), format!("{}{insert}{tail}", &whole[..at])] {
                for parser in [tgi_args, namespace, python_dict, vllm_config, server_args, shell_command] as [Parser; 6] {
                    if let Some(found) = parser(&text) {
                        let _ = deployment(&found);
                    }
                }
            }
        }
    }
}
