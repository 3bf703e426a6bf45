//! The messages of PyTorch's allocators when memory runs out, in all their wordings.
//!
//! The input is a flat message: every run of white space is one space. A message may break off anywhere; what stands
//! before the break is kept, except for a number that the break may have shortened.

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while, take_while1};
use nom::character::complete::{alphanumeric1, char, digit1, space0};
use nom::combinator::{eof, map, map_opt, not, opt, recognize, value, verify};
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{IResult, Parser as _};

/// How much a process holds beyond what its allocator counts: context, libraries, workspaces.
const CONTEXT: u64 = 1536 * 1024 * 1024;
/// Figures are printed with two decimals of a GiB, so sums of them are off by this much.
const ROUNDING: u64 = 32 * 1024 * 1024;
/// Unknown sentences that are passed over in one message.
const MAX_UNKNOWN: usize = 6;
/// Processes that one message may list.
const MAX_PROCESSES: usize = 1024;
/// Messages that one text may hold.
const MAX_MESSAGES: usize = 256;

/// Whose memory ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// NVIDIA, the caching allocator.
    Cuda,
    /// NVIDIA, `cudaMallocAsync`.
    CudaAsync,
    /// AMD.
    Hip,
    /// Intel.
    Xpu,
    /// Ascend.
    Npu,
    /// Cambricon.
    Mlu,
    /// Apple.
    Mps,
    /// Host memory.
    Cpu,
    /// Another device that PyTorch was built for.
    Other,
}

impl Backend {
    /// The name in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Cuda => "cuda",
            Backend::CudaAsync => "cuda-async",
            Backend::Hip => "hip",
            Backend::Xpu => "xpu",
            Backend::Npu => "npu",
            Backend::Mlu => "mlu",
            Backend::Mps => "mps",
            Backend::Cpu => "cpu",
            Backend::Other => "other",
        }
    }
}

/// What one message says; sizes in bytes, and only what is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Whose memory.
    pub backend: Backend,
    /// Index of the device.
    pub device: Option<u32>,
    /// What was asked for, after the allocator's rounding.
    pub tried: Option<u64>,
    /// What the device has.
    pub total: Option<u64>,
    /// What the driver says is free.
    pub free: Option<u64>,
    /// What live tensors hold.
    pub allocated: Option<u64>,
    /// What the allocator holds in all (in old messages `cached`).
    pub reserved: Option<u64>,
    /// What the allocator holds and does not use.
    pub unallocated: Option<u64>,
    /// What private pools (CUDA graphs) hold.
    pub private: Option<u64>,
    /// The limit set on the allocator.
    pub limit: Option<u64>,
    /// What this process holds, its context included.
    pub process: Option<u64>,
    /// What this process holds outside of the allocator (MPS: `other allocations`).
    pub outside: Option<u64>,
    /// What is in use by running kernels (NPU: `current active`).
    pub active: Option<u64>,
    /// The processes listed by id, with what they hold if the driver says it.
    pub others: Vec<(u32, Option<u64>)>,
    /// True for a request of more than 2**60 bytes, or of less than none.
    pub more_than_1eb: bool,
    /// True when the text ends before the message does.
    pub truncated: bool,
    /// Where the message stands in the text.
    pub span: (usize, usize),
}

impl Allocation {
    fn new(backend: Backend) -> Self {
        Allocation {
            backend,
            device: None,
            tried: None,
            total: None,
            free: None,
            allocated: None,
            reserved: None,
            unallocated: None,
            private: None,
            limit: None,
            process: None,
            outside: None,
            active: None,
            others: Vec::new(),
            more_than_1eb: false,
            truncated: false,
            span: (0, 0),
        }
    }

    /// How many figures it holds: of two copies of a message the more complete one counts.
    pub fn figures(&self) -> usize {
        let each = [
            self.tried,
            self.total,
            self.free,
            self.allocated,
            self.reserved,
            self.unallocated,
            self.private,
            self.limit,
            self.process,
            self.outside,
            self.active,
        ];
        each.iter().flatten().count() + self.others.len() + usize::from(self.device.is_some())
    }
}

/// Who holds the device's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Bytes of the process that wrote the message.
    pub own: Option<u64>,
    /// Bytes of the other listed processes whose bytes are known.
    pub others: Option<u64>,
    /// How many other processes are listed.
    pub other_count: usize,
    /// The id under which the process itself is listed, when it is listed as if it were another one.
    pub own_pid: Option<u32>,
}

/// Tells the process that wrote the message from the others.
///
/// In a container with its own process ids the driver lists the process under an id that it does not know for its own.
/// So where the message has no clause about `this process`, the listed process that holds a little more than what the
/// allocator counts is the process itself.
pub fn identify_self(allocation: &Allocation) -> Share {
    let mut own = allocation.process;
    let mut own_index = None;
    if own.is_none()
        && let (Some(allocated), Some(unallocated)) = (allocation.allocated, allocation.unallocated)
    {
        let held = allocated.saturating_add(unallocated);
        let fits = |bytes: &u64| (held.saturating_sub(ROUNDING)..=held.saturating_add(CONTEXT)).contains(bytes);
        let known = allocation.others.iter().enumerate().filter_map(|(index, (_, bytes))| bytes.filter(fits).map(|b| (b.abs_diff(held), index, b)));
        if let Some((_, index, bytes)) = known.min() {
            own = Some(bytes);
            own_index = Some(index);
        }
    }
    let rest = allocation.others.iter().enumerate().filter(|(index, _)| Some(*index) != own_index);
    let known: Vec<u64> = rest.clone().filter_map(|(_, (_, bytes))| *bytes).collect();
    let other_count = rest.count();
    let others = match known.len() {
        0 => (own.is_some() && other_count == 0).then_some(0),
        _ => Some(known.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes))),
    };
    let own_pid = own_index.and_then(|index| allocation.others.get(index)).map(|(pid, _)| *pid);
    Share { own, others, other_count, own_pid }
}

/// The first message in a text.
pub fn parse(flat: &str) -> Option<Allocation> {
    next_message(flat, 0)
}

/// All messages in a text, in their order.
pub fn parse_all(flat: &str) -> Vec<Allocation> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(allocation) = next_message(flat, from) {
        from = allocation.span.1.max(from + 1);
        found.push(allocation);
        if found.len() >= MAX_MESSAGES {
            break;
        }
    }
    found
}

/// Words by which a message is found, and how much may stand before them that belongs to it.
const ANCHORS: [(&str, Wording); 9] = [
    ("out of memory", Wording::OutOfMemory),
    ("Allocation on device", Wording::Async),
    ("Invalid buffer size: ", Wording::MpsBuffer),
    ("CPUAllocator: can't allocate memory", Wording::Cpu),
    ("CPUAllocator: not enough memory", Wording::Cpu),
    ("Torch: not enough memory", Wording::Cpu),
    ("CPUAllocator: can't allocate", Wording::Cpu),
    ("alloc_cpu() seems to have been called with negative number", Wording::CpuNegative),
    ("Tried to allocate more than 1EB memory", Wording::Exabyte),
];

#[derive(Debug, Clone, Copy)]
enum Wording {
    OutOfMemory,
    Async,
    MpsBuffer,
    Cpu,
    CpuNegative,
    Exabyte,
}

fn next_message(flat: &str, from: usize) -> Option<Allocation> {
    let mut from = from;
    // Each look for all anchors passes over the text at most once for each message that is none.
    let mut finders: Vec<(Option<usize>, &str, Wording)> = ANCHORS.iter().map(|&(word, wording)| (find(flat, from, word), word, wording)).collect();
    loop {
        let (at, word, wording) = finders.iter().filter_map(|&(at, word, wording)| at.map(|at| (at, word, wording))).min_by_key(|(at, ..)| *at)?;
        if let Some(allocation) = message(flat, at, word, wording) {
            return Some(allocation);
        }
        from = at + word.len();
        for (next, word, _) in &mut finders {
            if next.is_some_and(|next| next < from) {
                *next = find(flat, from, word);
            }
        }
    }
}

fn find(text: &str, from: usize, word: &str) -> Option<usize> {
    memchr::memmem::find(text.as_bytes().get(from..)?, word.as_bytes()).map(|at| from + at)
}

fn message(flat: &str, at: usize, word: &str, wording: Wording) -> Option<Allocation> {
    let before = flat.get(..at)?;
    let after = flat.get(at + word.len()..)?;
    let (start, mut allocation, rest) = match wording {
        Wording::OutOfMemory => out_of_memory(before, after)?,
        Wording::Async => {
            let mut allocation = Allocation::new(Backend::CudaAsync);
            let rest = fold_async(after, &mut allocation)?;
            (at, allocation, rest)
        }
        Wording::MpsBuffer => {
            let (rest, tried) = figure(after).ok()?;
            (at, Allocation { tried, ..Allocation::new(Backend::Mps) }, rest)
        }
        Wording::Cpu => cpu(before, after)?,
        Wording::CpuNegative => (at, Allocation { more_than_1eb: true, ..Allocation::new(Backend::Cpu) }, after),
        Wording::Exabyte => (at, Allocation { more_than_1eb: true, ..Allocation::new(Backend::Cuda) }, after),
    };
    let end = flat.len() - rest.len();
    allocation.span = (start, end);
    Some(allocation)
}

// --------------------------------------------------------------------------------------------------------------- sizes

/// Bytes of one unit, 1024-based whatever it is called.
fn unit(input: &str) -> IResult<&str, f64> {
    let (rest, word) = take_while1(|c: char| c.is_ascii_alphabetic()).parse(input)?;
    // A unit may run into the word behind it (`40.00 MiBis free`), or be cut.
    let scales = [
        ("bytes", 0),
        ("byte", 0),
        ("KiB", 1),
        ("MiB", 2),
        ("GiB", 3),
        ("TiB", 4),
        ("PiB", 5),
        ("EiB", 6),
        ("KB", 1),
        ("MB", 2),
        ("GB", 3),
        ("TB", 4),
        ("PB", 5),
        ("EB", 6),
        ("B", 0),
    ];
    for (name, power) in scales {
        if word.starts_with(name) && (name != "B" || word == name) {
            return Ok((&input[name.len()..], 1024_f64.powi(power)));
        }
    }
    let cut = scales.iter().find(|(name, _)| rest.is_empty() && name.starts_with(word));
    match cut {
        Some(&(_, power)) => Ok((rest, 1024_f64.powi(power))),
        None => Err(nom::Err::Error(nom::error::Error::new(input, nom::error::ErrorKind::Tag))),
    }
}

fn number(input: &str) -> IResult<&str, f64> {
    let digits = recognize((digit1, opt(pair(char('.'), take_while(|c: char| c.is_ascii_digit())))));
    map_opt(digits, |text: &str| text.parse().ok()).parse(input)
}

/// `172.00 MiB`; `None` inside for what cannot be a size (`17179869184.00 GiB`: the driver does not know).
fn figure(input: &str) -> IResult<&str, Option<u64>> {
    let size = map((number, preceded(space0, unit)), |(count, unit)| bytes(count * unit));
    delimited(opt(char('`')), size, opt(char('`'))).parse(input)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn bytes(size: f64) -> Option<u64> {
    // 2**63 and more is what a driver says that does not know.
    (size.is_finite() && (0.0..9.2e18).contains(&size)).then(|| size.round() as u64)
}

fn integer(input: &str) -> IResult<&str, u32> {
    map_opt(digit1, |text: &str| text.parse().ok()).parse(input)
}

// ------------------------------------------------------------------------------------------------------- the main form

/// What one clause of a message says.
#[derive(Debug, Clone, Copy)]
enum Clause {
    Tried(Option<u64>),
    Device(u32),
    Total(Option<u64>),
    Free(Option<u64>),
    Allocated(Option<u64>),
    Reserved(Option<u64>),
    Unallocated(Option<u64>),
    Private(Option<u64>),
    Limit(Option<u64>),
    Active(Option<u64>),
    Outside(Option<u64>),
    This(Option<u64>),
    Process(u32, Option<u64>),
    Exabyte,
    Nothing,
}

fn clause(input: &str) -> IResult<&str, Clause> {
    alt((tried, device, capacity, process_clause, mps_clause, measured)).parse(input)
}

fn tried(input: &str) -> IResult<&str, Clause> {
    preceded(
        (
            opt((verify(alphanumeric1, |word: &str| word.ends_with("Allocator")), char(' '))),
            alt((tag_no_case("tried to allocate"), tag("Requested size:"))),
            space0,
        ),
        alt((value(Clause::Exabyte, tag("more than 1EB memory")), value(Clause::Exabyte, preceded(char('-'), figure)), map(figure, Clause::Tried))),
    )
    .parse(input)
}

/// `GPU 0`, `NPU 0`, `device 0`.
fn device(input: &str) -> IResult<&str, Clause> {
    let name = alt((tag("GPU"), tag("NPU"), tag("XPU"), tag("MLU"), tag("HIP"), tag("CUDA"), tag("device"), tag("Device"), tag("GCU"), tag("MUSA")));
    // At the end of the input the number may have been cut.
    map(delimited((name, alt((tag(" "), tag(":"), tag(" #")))), integer, not(eof)), Clause::Device).parse(input)
}

/// `has a total capacity of 23.69 GiB`, `of which 4.00 MiB is free`.
fn capacity(input: &str) -> IResult<&str, Clause> {
    alt((
        map(preceded((opt(tag("has a ")), tag("total capac"), opt(char('i')), tag("ty of ")), figure), Clause::Total),
        map(terminated(preceded(tag("of which "), figure), opt((space0, tag("is free")))), Clause::Free),
    ))
    .parse(input)
}

/// `Process 123 has 1.00 GiB memory in use`, `Including non-PyTorch memory, this process has … memory in use`.
fn process_clause(input: &str) -> IResult<&str, Clause> {
    let tail = || opt(tag(" memory in use"));
    alt((
        map((preceded(tag("Process "), integer), preceded(tag(" has "), terminated(figure, tail()))), |(pid, bytes)| Clause::Process(pid, bytes)),
        map(
            preceded(
                (tag("Including non-"), take_while1(|c: char| c.is_alphanumeric()), tag(" memory, this process has ")),
                terminated(figure, tail()),
            ),
            Clause::This,
        ),
        map(preceded(alt((tag("This process has "), tag("this process has "))), terminated(figure, tail())), Clause::This),
    ))
    .parse(input)
}

/// `MPS allocated: 17.40 GB`, `other allocations: 512.00 KB`, `max allowed: 18.13 GB`.
fn mps_clause(input: &str) -> IResult<&str, Clause> {
    alt((
        map(preceded(alt((tag("MPS allocated: "), tag("currently allocated: "))), figure), Clause::Allocated),
        map(preceded(tag("other allocations: "), figure), Clause::Outside),
        map(preceded(tag("max allowed: "), figure), Clause::Limit),
        value(Clause::Nothing, (tag("on "), alt((tag("private"), tag("shared"))), tag(" pool"))),
    ))
    .parse(input)
}

/// A size and what it is.
fn measured(input: &str) -> IResult<&str, Clause> {
    let (rest, bytes) =
        preceded(opt(alt((tag("Of the allocated memory "), tag("with "), tag("and ")))), preceded(opt(tag("with ")), figure)).parse(input)?;
    let (rest, ()) = map(opt(char(' ')), |_| ()).parse(rest)?;
    let (rest, make): (&str, fn(Option<u64>) -> Clause) = alt((
        value(Clause::Total as fn(Option<u64>) -> Clause, tag("total capacity")),
        value(
            Clause::Allocated as fn(Option<u64>) -> Clause,
            alt((tag("already allocated"), recognize((tag("is allocated by "), take_while1(|c: char| c.is_alphanumeric()))))),
        ),
        value(Clause::Private as fn(Option<u64>) -> Clause, recognize((tag("allocated in private pools"), opt(tag(" (e.g., CUDA Graphs)"))))),
        value(
            Clause::Unallocated as fn(Option<u64>) -> Clause,
            recognize((tag("is reserved by "), take_while1(|c: char| c.is_alphanumeric()), opt(tag(" but unallocated")))),
        ),
        value(
            Clause::Reserved as fn(Option<u64>) -> Clause,
            recognize((tag("reserved"), opt((tag(" in total by "), take_while1(|c: char| c.is_alphanumeric()))))),
        ),
        value(Clause::Reserved as fn(Option<u64>) -> Clause, tag("cached")),
        value(Clause::Active as fn(Option<u64>) -> Clause, tag("current active")),
        value(Clause::Limit as fn(Option<u64>) -> Clause, tag("allowed")),
        value(Clause::Free as fn(Option<u64>) -> Clause, alt((tag("is free"), tag("free")))),
    ))
    .parse(rest)?;
    Ok((rest, make(bytes)))
}

/// What follows the punctuation, quotes and written line breaks between two clauses.
fn separators(input: &str) -> &str {
    let mut rest = input;
    loop {
        let next = rest.trim_start_matches([' ', '.', ';', ',', ':', '(', ')', '`', '*', '"', '\'']);
        let next = next.strip_prefix("\\n").unwrap_or(next);
        if next.len() == rest.len() {
            return rest;
        }
        rest = next;
    }
}

/// `CUDA out of memory. Tried to allocate …` from before and after the words `out of memory`.
fn out_of_memory<'t>(before: &'t str, after: &'t str) -> Option<(usize, Allocation, &'t str)> {
    if let Some(start) = before.trim_end_matches([' ', ':']).strip_suffix("uda runtime error (2)") {
        let rest = after.strip_prefix(" at ").map_or(after, |place| place.find(' ').and_then(|space| place.get(space..)).unwrap_or(""));
        return Some((start.len().saturating_sub(1), Allocation::new(Backend::Cuda), rest));
    }
    let (start, backend) = backend(before.strip_suffix(' ')?)?;
    let mut allocation = Allocation::new(backend);
    if tried(separators(after)).is_ok() || after.starts_with(" (MPS allocated") || after.starts_with(" (currently allocated") {
        let rest = fold(after, &mut allocation);
        return Some((start, allocation, rest));
    }
    // Without figures, or cut off before the first one.
    let said = after.trim_start_matches(['.', ' ']);
    let asked = said.strip_prefix("Tried to allocate").unwrap_or(if "Tried to allocate".starts_with(said) { "" } else { said });
    if let Some(limited) = said.strip_prefix("Allocation was preemptively rejected") {
        let rest = limited.find("Requested size:").filter(|&at| at < 200).and_then(|at| limited.get(at..)).unwrap_or(limited);
        let rest = fold(rest, &mut allocation);
        allocation.truncated = allocation.tried.is_none();
        return Some((start, allocation, rest));
    }
    let cut =
        after.is_empty() || asked.len() < said.len() && asked.len() < 24 && asked.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'.'));
    let ends = after.is_empty() || after.starts_with(['.', ',', '"', '\'', '`', ')', '\\']);
    if backend == Backend::Other || !ends || !cut && said.starts_with("Tried to allocate") {
        return None;
    }
    allocation.truncated = cut;
    Some((start, allocation, if cut { "" } else { after.strip_prefix('.').unwrap_or(after) }))
}

/// Whose memory, from the words before `out of memory`, and where these begin.
fn backend(subject: &str) -> Option<(usize, Backend)> {
    if let Some(before) = subject.strip_suffix("MPS backend") {
        return Some((before.len(), Backend::Mps));
    }
    let start = subject.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + subject[at..].chars().next().map_or(1, char::len_utf8));
    let backend = match subject.get(start..)? {
        "CUDA" => Backend::Cuda,
        "HIP" => Backend::Hip,
        "XPU" => Backend::Xpu,
        "NPU" => Backend::Npu,
        "MLU" => Backend::Mlu,
        "MPS" => Backend::Mps,
        word if word.len() >= 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) || word == "PrivateUse1" => Backend::Other,
        _ => return None,
    };
    Some((start, backend))
}

/// Reads clauses until nothing follows that is one, and gives what is left.
fn fold<'t>(input: &'t str, allocation: &mut Allocation) -> &'t str {
    let mut rest = input;
    let mut end = input;
    let mut complete = false;
    let mut unknown = 0;
    loop {
        let next = separators(rest);
        match clause(next) {
            Ok((after, found)) => {
                complete = apply(allocation, found) || complete;
                rest = after;
                end = after;
            }
            Err(_) => {
                if next.is_empty() {
                    break;
                }
                // An unknown clause is passed over, but not into another message.
                let skipped = next.find(['.', ';', ',', ')']).filter(|&at| at <= 160).map(|at| next.split_at(at + 1));
                unknown += 1;
                match skipped {
                    Some((over, after)) if unknown <= MAX_UNKNOWN && !complete && !over.contains("out of memory") && !over.contains("Error") => {
                        rest = after
                    }
                    _ => break,
                }
            }
        }
    }
    // Between the last clause and the end of a message that was cut there is at most part of a clause.
    let by_itself = allocation.more_than_1eb || allocation.backend == Backend::Mps && allocation.tried.is_some();
    let closed = allocation.tried.is_some() && end.starts_with(')');
    allocation.truncated = !(complete || by_itself || closed || end.trim().len() >= 120);
    // The bracket or full stop that closes the last clause is part of the message.
    end.trim_start_matches([')', '.'])
}

/// Keeps what a clause says; true when it is the last one of its form.
fn apply(allocation: &mut Allocation, clause: Clause) -> bool {
    let keep = |slot: &mut Option<u64>, bytes: Option<u64>| {
        if slot.is_none() {
            *slot = bytes;
        }
    };
    match clause {
        Clause::Tried(bytes) => keep(&mut allocation.tried, bytes),
        Clause::Device(index) => allocation.device = allocation.device.or(Some(index)),
        Clause::Total(bytes) => keep(&mut allocation.total, bytes),
        Clause::Free(bytes) => keep(&mut allocation.free, bytes),
        Clause::Allocated(bytes) => keep(&mut allocation.allocated, bytes),
        Clause::Reserved(bytes) => {
            keep(&mut allocation.reserved, bytes);
            return true;
        }
        Clause::Unallocated(bytes) => {
            keep(&mut allocation.unallocated, bytes);
            return true;
        }
        Clause::Private(bytes) => keep(&mut allocation.private, bytes),
        Clause::Limit(bytes) => keep(&mut allocation.limit, bytes),
        Clause::Active(bytes) => keep(&mut allocation.active, bytes),
        Clause::Outside(bytes) => keep(&mut allocation.outside, bytes),
        Clause::This(bytes) => keep(&mut allocation.process, bytes),
        Clause::Process(pid, bytes) => {
            if allocation.others.len() < MAX_PROCESSES {
                allocation.others.push((pid, bytes));
            }
        }
        Clause::Exabyte => {
            allocation.more_than_1eb = true;
            return true;
        }
        Clause::Nothing => return true,
    }
    false
}

// ------------------------------------------------------------------------------------------------------- cudaMallocAsync

/// ` 0 would exceed allowed memory. (out of memory) Currently allocated : 14.12 GiB Requested : …`
fn fold_async<'t>(after: &'t str, allocation: &mut Allocation) -> Option<&'t str> {
    let number = after.trim_start();
    let count = number.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = number.split_at(count);
    allocation.device = digits.parse().ok();
    let rest = if count == 0 { after } else { rest };
    let Some(rest) = rest.trim_start().strip_prefix("would exceed allowed memory") else {
        // The short form of newer versions: nothing of this message follows.
        let ends = rest.is_empty() || rest.starts_with(['.', ' ', '"', '\'', ')', '\\']);
        let prose = rest.trim_start().starts_with(|c: char| c.is_ascii_lowercase());
        return (ends && !prose && (count > 0 || rest.trim().is_empty())).then_some(rest);
    };
    let mut rest = rest.trim_start_matches(['.', ' ']);
    rest = rest.strip_prefix("(out of memory)").unwrap_or(rest);
    for _ in 0..8 {
        match async_field(separators(rest)) {
            Ok((after, (slot, bytes))) => {
                let slot = slot(allocation);
                *slot = slot.or(bytes);
                rest = after;
            }
            Err(_) => break,
        }
    }
    allocation.truncated = allocation.free.is_none();
    Some(rest)
}

type Slot = fn(&mut Allocation) -> &mut Option<u64>;

/// `Currently allocated : 14.12 GiB`
fn async_field(input: &str) -> IResult<&str, (Slot, Option<u64>)> {
    let label = alt((
        value((|a: &mut Allocation| &mut a.allocated) as Slot, tag("Currently allocated")),
        value((|a: &mut Allocation| &mut a.tried) as Slot, tag("Requested")),
        value((|a: &mut Allocation| &mut a.total) as Slot, tag("Device limit")),
        value((|a: &mut Allocation| &mut a.free) as Slot, tag("Free (according to CUDA)")),
        value((|a: &mut Allocation| &mut a.limit) as Slot, tag("PyTorch limit (set by user-supplied memory fraction)")),
    ));
    pair(label, preceded((take_while(|c| matches!(c, ' ' | '\\' | 'n')), char(':'), space0), figure)).parse(input)
}

// ------------------------------------------------------------------------------------------------------------ host memory

/// `[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate N bytes.`
fn cpu<'t>(before: &'t str, after: &'t str) -> Option<(usize, Allocation, &'t str)> {
    let mut allocation = Allocation::new(Backend::Cpu);
    // The assertion stands before the words within a short way.
    let start = before.rfind("[enforce fail at ").filter(|at| before.len() - at < 200).unwrap_or_else(|| before.rfind(' ').map_or(0, |at| at + 1));
    let asked = after.trim_start_matches([':', ' ']);
    let Some(size) = asked.strip_prefix("you tried to allocate ") else {
        let cut = "you tried to allocate ".starts_with(asked);
        allocation.truncated = cut;
        return Some((start, allocation, if cut { "" } else { after }));
    };
    let rest = match asked_bytes(size) {
        Ok((rest, (bytes, huge))) => {
            allocation.tried = bytes;
            allocation.more_than_1eb = huge;
            allocation.truncated = rest.is_empty();
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            let rest = error_code(rest).map_or(rest, |(after, _)| after);
            rest.strip_prefix(" Buy new RAM!").unwrap_or(rest)
        }
        Err(_) => {
            allocation.truncated = true;
            size.trim_start_matches(|c: char| c.is_ascii_digit())
        }
    };
    Some((start, allocation, rest))
}

fn error_code(input: &str) -> IResult<&str, &str> {
    recognize((tag(" Error code "), digit1, opt((tag(" ("), take_while(|c| c != ')'), char(')'))))).parse(input)
}

/// `117440512 bytes`, `3GB`: the bytes, and whether they are more than 2**60 or less than none.
fn asked_bytes(input: &str) -> IResult<&str, (Option<u64>, bool)> {
    let counted = terminated(recognize(pair(opt(char('-')), digit1)), (space0, tag("byte"), opt(char('s'))));
    let plain = map(counted, |text: &str| match text.parse::<u64>() {
        Ok(bytes) => (Some(bytes), bytes > 1 << 60),
        Err(_) => (None, true),
    });
    alt((plain, map(figure, |bytes| (bytes, bytes.is_none())))).parse(input)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Bytes of so many hundredths of a GiB.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn gib(hundredths: u64) -> Option<u64> {
        Some((hundredths as f64 / 100.0 * 1_073_741_824.0).round() as u64)
    }

    fn mib(count: u64) -> Option<u64> {
        Some(count * MIB)
    }

    #[track_caller]
    fn read(text: &str) -> Allocation {
        let found = parse(text);
        assert!(found.is_some(), "not recognised: {text}");
        found.unwrap_or(Allocation::new(Backend::Other))
    }

    fn plain(backend: Backend) -> Allocation {
        Allocation::new(backend)
    }

    #[track_caller]
    fn check(text: &str, expected: Allocation) {
        let found = read(text);
        let expected = Allocation { span: found.span, ..expected };
        assert_eq!(found, expected, "{text}");
    }

    const P2: &str = "RuntimeError: CUDA out of memory. Tried to allocate 128.00 MiB (GPU 1; 11.00 GiB total capacity; 9.50 GiB already allocated; 64.00 MiB free; 9.75 GiB reserved in total by PyTorch) If reserved memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation. See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF";
    const P4: &str = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 172.00 MiB. GPU 2 has a total capacty of 23.50 GiB of which 40.00 MiB is free. Process 4711 has 1.25 GiB memory in use. Process 99 has 512.00 MiB memory in use. Including non-PyTorch memory, this process has 21.50 GiB memory in use. 22.00 GiB allowed; Of the allocated memory 20.50 GiB is allocated by PyTorch, and 250.00 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting max_split_size_mb to avoid fragmentation. See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF";
    const P5: &str = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.25 GiB of which 10.00 MiB is free. Including non-PyTorch memory, this process has 79.00 GiB memory in use. Of the allocated memory 77.00 GiB is allocated by PyTorch, with 1.50 GiB allocated in private pools (e.g., CUDA Graphs), and 128.00 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation. See documentation for Memory Management (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)";
    const ASYNC: &str = "torch.cuda.OutOfMemoryError: Allocation on device 0 would exceed allowed memory. (out of memory) Currently allocated : 14.00 GiB Requested : 896.00 MiB Device limit : 15.50 GiB Free (according to CUDA): 18.00 MiB PyTorch limit (set by user-supplied memory fraction) : 17179869184.00 GiB";
    const MPS: &str = "RuntimeError: MPS backend out of memory (MPS allocated: 17.50 GB, other allocations: 512.00 KB, max allowed: 18.00 GB). Tried to allocate 1.00 GB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations (may cause system failure).";
    const CPU: &str = "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 117440512 bytes. Error code 12 (Cannot allocate memory)";

    #[test]
    fn messages_without_figures() {
        check("RuntimeError: cuda runtime error (2) : out of memory at /pytorch/a/THCStorage.cu:58", plain(Backend::Cuda));
        check("torch.OutOfMemoryError: CUDA out of memory.", plain(Backend::Cuda));
        check("CUDA out of memory", Allocation { truncated: true, ..plain(Backend::Cuda) });
        check("HIP out of memory. Tried to alloc", Allocation { truncated: true, ..plain(Backend::Hip) });
        check("HIP out of memory. Tried to allocate 17", Allocation { truncated: true, ..plain(Backend::Hip) });
        check("CUDA out of memory. Tried to allocate more than 1EB memory.", Allocation { more_than_1eb: true, ..plain(Backend::Cuda) });
        check("CUDA out of memory. Tried to allocate -1024 bytes", Allocation { more_than_1eb: true, ..plain(Backend::Cuda) });
        check("alloc_cpu() seems to have been called with negative number: -8", Allocation { more_than_1eb: true, ..plain(Backend::Cpu) });
        let workspace =
            "NPU out of memory. NPUWorkspaceAllocator tried to allocate 1.50 GiB(NPU 3; 29.50 GiB total capacity; 310.00 MiB free). If you want";
        let found = read(workspace);
        assert_eq!((found.tried, found.device, found.total, found.free), (gib(150), Some(3), gib(2950), mib(310)));
        let limited = "CUDA out of memory. Allocation was preemptively rejected because it would exceed per_process_memory_fraction limit. Requested size: 512.00 MiB";
        assert_eq!(read(limited).tried, mib(512));
        check("torch.OutOfMemoryError: Allocation on device", plain(Backend::CudaAsync));
        check("torch.OutOfMemoryError: Allocation on device 1", Allocation { device: Some(1), ..plain(Backend::CudaAsync) });
    }

    #[test]
    fn old_forms() {
        let p1 = "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 8.00 GiB total capacity; 7.25 GiB already allocated; 4.00 MiB free; 96.00 MiB cached)";
        let expected = Allocation {
            device: Some(0),
            tried: mib(20),
            total: gib(800),
            allocated: gib(725),
            free: mib(4),
            reserved: mib(96),
            ..plain(Backend::Cuda)
        };
        check(p1, expected);
        let expected = Allocation {
            device: Some(1),
            tried: mib(128),
            total: gib(1100),
            allocated: gib(950),
            free: mib(64),
            reserved: gib(975),
            ..plain(Backend::Cuda)
        };
        check(P2, expected.clone());
        assert!(P2.get(..read(P2).span.1).is_some_and(|t| t.ends_with("by PyTorch)")));
        assert_eq!(read(P2).span.0, 14);
        check(&P2.replace("9.75 GiB reserved", "10.00 GiB allowed; 9.75 GiB reserved"), Allocation { limit: gib(1000), ..expected });
        let npu = "NPU out of memory. Tried to allocate 64.00 MiB (NPU 3; 32.00 GiB total capacity; 30.00 GiB already allocated; 30.50 GiB current active; 512 bytes free; 31.00 GiB reserved in total by PyTorch) If reserved";
        let expected = Allocation {
            device: Some(3),
            tried: mib(64),
            total: gib(3200),
            allocated: gib(3000),
            active: gib(3050),
            free: Some(512),
            reserved: gib(3100),
            ..plain(Backend::Npu)
        };
        check(npu, expected);
        let other =
            "PrivateUse1 out of memory. Tried to allocate 32.00 MiB (device 0; 8.00 GiB total capacity; 7.50 GiB already allocated; 10.00 MiB free)";
        let found = read(other);
        assert_eq!((found.backend, found.device, found.free), (Backend::Other, Some(0), mib(10)));
    }

    #[test]
    fn new_forms() {
        let expected = Allocation {
            device: Some(2),
            tried: mib(172),
            total: gib(2350),
            free: mib(40),
            allocated: gib(2050),
            unallocated: mib(250),
            limit: gib(2200),
            process: gib(2150),
            others: vec![(4711, gib(125)), (99, mib(512))],
            ..plain(Backend::Cuda)
        };
        check(P4, expected.clone());
        check(&P4.replace("capacty", "capacity"), expected);
        let expected = Allocation {
            device: Some(0),
            tried: mib(20),
            total: gib(7925),
            free: mib(10),
            allocated: gib(7700),
            private: gib(150),
            unallocated: mib(128),
            process: gib(7900),
            ..plain(Backend::Cuda)
        };
        check(P5, expected.clone());
        for other in ["PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF"] {
            check(&P5.replace("PYTORCH_CUDA_ALLOC_CONF", other), expected.clone());
        }
        check(&P5.replace("CUDA out", "HIP out"), Allocation { backend: Backend::Hip, ..expected });
        let xpu = "XPU out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.50 GiB of which 1.00 GiB is free. Of the allocated memory 13.00 GiB is allocated by PyTorch, and 1.00 GiB is reserved by PyTorch but unallocated. Please use `empty_cache` to release all unoccupied cached memory.";
        let expected = Allocation {
            device: Some(0),
            tried: gib(200),
            total: gib(1550),
            free: gib(100),
            allocated: gib(1300),
            unallocated: gib(100),
            ..plain(Backend::Xpu)
        };
        check(xpu, expected);
        let mlu = "MLU out of memory. Tried to allocate 96.00 MiB. MLU 1 has a total capacity of 23.50 GiB of which 40.00 MiBis free. Of the allocated memory 22.75 GiB is allocated by PyTorch, and 120.00 MiB is reserved by PyTorch but unallocated.";
        let expected = Allocation {
            device: Some(1),
            tried: mib(96),
            total: gib(2350),
            free: mib(40),
            allocated: gib(2275),
            unallocated: mib(120),
            ..plain(Backend::Mlu)
        };
        check(mlu, expected);
    }

    #[test]
    fn sizes_that_nobody_knows_are_absent() {
        let text = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24.00 GiB of which 0 bytes is free. Process 12 has 17179869184.00 GiB memory in use. Including non-PyTorch memory, this process has 17179869184.00 GiB memory in use. Of the allocated memory 22.00 GiB is allocated by PyTorch, and 1.00 GiB is reserved by PyTorch but unallocated.";
        let found = read(text);
        assert_eq!((found.free, found.process, found.others.clone()), (Some(0), None, vec![(12, None)]));
        assert_eq!(identify_self(&found), Share { own: None, others: None, other_count: 1, own_pid: None });
    }

    #[test]
    fn other_allocators() {
        let expected =
            Allocation { device: Some(0), allocated: gib(1400), tried: mib(896), total: gib(1550), free: mib(18), ..plain(Backend::CudaAsync) };
        check(ASYNC, expected.clone());
        check(&ASYNC.replace("17179869184.00", "12.00"), Allocation { limit: gib(1200), ..expected });
        let expected = Allocation { allocated: gib(1750), outside: Some(512 * 1024), limit: gib(1800), tried: gib(100), ..plain(Backend::Mps) };
        check(MPS, expected);
        let short = "MPS backend out of memory (MPS allocated: 30.50 GiB, other allocations: 1.25 GiB). Tried to allocate 4.00 GiB on shared pool.";
        check(short, Allocation { allocated: gib(3050), outside: gib(125), tried: gib(400), ..plain(Backend::Mps) });
        check("RuntimeError: Invalid buffer size: 18.50 GiB", Allocation { tried: gib(1850), ..plain(Backend::Mps) });
        let expected = Allocation { tried: Some(117_440_512), ..plain(Backend::Cpu) };
        check(CPU, expected.clone());
        assert_eq!(read(CPU).span, (14, CPU.len()));
        check(
            "[enforce fail at CPUAllocator.cpp:64] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 117440512 bytes. Error code 12",
            expected.clone(),
        );
        check(
            "[enforce fail at ..\\c10\\core\\CPUAllocator.cpp:72] data. DefaultCPUAllocator: not enough memory: you tried to allocate 117440512 bytes. Buy new RAM!",
            expected,
        );
        check("$ Torch: not enough memory: you tried to allocate 3GB. Buy new RAM! at /x", Allocation { tried: gib(300), ..plain(Backend::Cpu) });
        let huge = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 18446744073709551000 bytes.";
        check(huge, Allocation { tried: Some(18_446_744_073_709_551_000), more_than_1eb: true, ..plain(Backend::Cpu) });
    }

    #[test]
    fn garbled_messages_keep_what_they_say() {
        let quoted = format!("error='{}' next", P2.replace("128.00 MiB", "`128.00 MiB`"));
        assert_eq!((read(&quoted).tried, read(&quoted).reserved), (mib(128), gib(975)));
        let missing = "CUDA out of memory. Tried to allocate 20.00 MiB. Something new is said here. GPU 0 has a total capacity of 8.00 GiB of which 4.00 MiB is free.";
        assert_eq!((read(missing).total, read(missing).free), (gib(800), mib(4)));
        let escaped = ASYNC.replace(" Requested", "\\nRequested").replace(" Device", "\\nDevice");
        assert_eq!((read(&escaped).tried, read(&escaped).total), (mib(896), gib(1550)));
    }

    #[test]
    fn look_alikes_are_none() {
        for text in [
            "CUDA error: out of memory",
            "CUDA out of memory occurred when warming up sampler with 256 dummy requests.",
            "the process ran out of memory. Tried to allocate",
            "Out of memory: Killed process 12 (python3)",
            "Memory cgroup out of memory: Killed process 1",
            "to avoid CUDA out of memory errors lower it",
            "Invalid buffer size: must be positive",
            "Allocation on device 0 finished",
            "Allocation on devices",
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn several_messages_are_all_found() {
        let text = format!("{P4} During handling {P2} {CPU} CUDA error: out of memory {MPS} {ASYNC}");
        let found = parse_all(&text);
        let backends: Vec<Backend> = found.iter().map(|a| a.backend).collect();
        assert_eq!(backends, [Backend::Cuda, Backend::Cuda, Backend::Cpu, Backend::Mps, Backend::CudaAsync]);
        assert!(found.windows(2).all(|pair| pair[0].span.1 <= pair[1].span.0));
        assert_eq!(found.iter().filter(|a| a.truncated).count(), 0);
        let cut = P4.find("Process 99").map_or(0, |at| at);
        let text = format!("{} {P2}", &P4[..cut]);
        let found = parse_all(&text);
        assert_eq!(found.iter().map(|a| (a.tried, a.reserved)).collect::<Vec<_>>(), [(mib(172), None), (mib(128), gib(975))]);
    }

    #[test]
    fn the_process_itself_is_found_among_the_listed() {
        let found = read(P4);
        assert_eq!(identify_self(&found), Share { own: gib(2150), others: Some(1792 * MIB), other_count: 2, own_pid: None });
        let text = "CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of 39.50 GiB of which 256.00 MiB is free. Process 161 has 39.00 GiB memory in use. Of the allocated memory 37.50 GiB is allocated by PyTorch, and 1.00 GiB is reserved by PyTorch but unallocated.";
        assert_eq!(identify_self(&read(text)), Share { own: gib(3900), others: Some(0), other_count: 0, own_pid: Some(161) });
        let two = text.replace("Process 161", "Process 160 has 4.00 GiB memory in use. Process 161");
        assert_eq!(identify_self(&read(&two)), Share { own: gib(3900), others: gib(400), other_count: 1, own_pid: Some(161) });
        let small = text.replace("39.00 GiB", "3.00 GiB");
        assert_eq!(identify_self(&read(&small)), Share { own: None, others: gib(300), other_count: 1, own_pid: None });
        assert_eq!(identify_self(&read(P2)), Share::default());
        assert_eq!(identify_self(&read(P5)).others, Some(0));
    }

    #[test]
    fn a_cut_message_never_lies() {
        for whole in [P2, P4, P5, ASYNC, MPS, CPU] {
            let full = read(whole);
            for at in 0..whole.len() {
                let Some(found) = whole.get(..at).and_then(parse) else { continue };
                let subset = |a: Option<u64>, b: Option<u64>| a.is_none() || a == b;
                let same = subset(found.tried, full.tried)
                    && subset(found.total, full.total)
                    && subset(found.free, full.free)
                    && subset(found.allocated, full.allocated)
                    && subset(found.reserved, full.reserved)
                    && subset(found.unallocated, full.unallocated)
                    && subset(found.private, full.private)
                    && subset(found.limit, full.limit)
                    && subset(found.process, full.process)
                    && found.others.len() <= full.others.len()
                    && found.device.is_none_or(|d| full.device == Some(d));
                assert!(same, "cut at {at}: {:?}\n{found:?}", whole.get(..at));
                assert!(
                    found.truncated
                        || found.figures() == 0
                        || found.backend == Backend::CudaAsync && found.figures() == 1
                        || found.span.1 >= full.span.1.saturating_sub(if at < 200 { 40 } else { 100 }),
                    "cut at {at} is not marked: {:?}",
                    whole.get(..at)
                );
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(which in 0_usize..6, cut in 0_usize..700, insert in "\\PC{0,8}") {
            let whole = [P2, P4, P5, ASYNC, MPS, CPU][which];
            let at = cut.min(whole.len());
            for text in [format!("{}{insert}{}", &whole[..at], &whole[at..]), format!("{insert}{}", &whole[at..]), format!("{}{insert}", &whole[..at])] {
                for found in parse_all(&text) {
                    prop_assert!(text.get(found.span.0..found.span.1).is_some());
                    let _ = identify_self(&found);
                }
            }
        }
    }
}
