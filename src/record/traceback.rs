//! Python tracebacks: plain, chained, exception groups, the boxes of rich, remote ones inside messages.

use crate::record::Text;
use crate::redact::cut_before;

/// Frames of one traceback beyond this number are left out, from the middle outwards.
const MAX_FRAMES: usize = 400;
/// Bytes of a frame's path, function or source line beyond this number are cut off.
const MAX_FRAME_TEXT: usize = 1000;
/// Lines of one exception's message beyond this number are not taken.
const MAX_MESSAGE_LINES: usize = 40;
/// Lines that do not belong to a traceback are passed by inside it, up to this number.
const MAX_NOISE: usize = 25;

/// One frame of a traceback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// The file, with slashes.
    pub path: String,
    /// The line in it.
    pub line: u32,
    /// The function.
    pub function: String,
    /// The source line, when it was printed.
    pub code: String,
}

/// One exception, with the frames that led to it (outermost first).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exception {
    /// The class, with its module as printed.
    pub class: String,
    /// `Class: message`, all its lines.
    pub text: Text,
    /// The frames.
    pub frames: Vec<Frame>,
    /// How it is connected to the exception printed after it.
    pub link: Link,
    /// False when the log ends, or breaks off, before the exception's own line.
    pub is_complete: bool,
}

/// How an exception is connected to the one printed after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Link {
    /// It is the last, or the next has nothing to do with it.
    #[default]
    None,
    /// `The above exception was the direct cause of the following exception`.
    DirectCause,
    /// `During handling of the above exception, another exception occurred`.
    During,
}

impl Exception {
    /// True if its class has this name, whatever the module.
    pub fn is(&self, name: &str) -> bool {
        self.class.rsplit('.').next() == Some(name)
    }

    /// True as long as there is no message behind the colon, or only the status and number of an answer: what the hub's client
    /// has to say comes behind blank lines.
    fn says_nothing(&self) -> bool {
        let [(_, line)] = self.text.lines.as_slice() else { return false };
        line.trim_end().strip_suffix(':') == Some(self.class.as_str()) || is_status(line)
    }

    /// An exception line without frames.
    pub fn bare(number: u64, line: ExceptionLine<'_>) -> Self {
        Exception {
            class: line.class.to_owned(),
            text: Text { lines: vec![(number, line.text.to_owned())] },
            is_complete: true,
            ..Exception::default()
        }
    }
}

/// True for the status and number of an answer, with which the hub's client introduces what it has to say.
pub fn is_status(line: &str) -> bool {
    line.contains(" Client Error") && line.contains("(Request ID")
}

/// The form in which a traceback is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As the interpreter does.
    Plain,
    /// In the box of the rich library.
    Box,
}

/// The line that names an exception.
#[derive(Debug, Clone, Copy)]
pub struct ExceptionLine<'t> {
    /// The class.
    pub class: &'t str,
    /// The line from the class on.
    pub text: &'t str,
}

const TITLE: &str = "Traceback (most recent call last)";
const ENDINGS: &[&str] = &[
    "Error",
    "Exception",
    "Interrupt",
    "Exit",
    "Fault",
    "Failure",
    "Timeout",
    "NotFound",
    "Unavailable",
    "Stop",
    "Group",
    "Abort",
    "NotSupported",
    "Expired",
    "Empty",
    "Full",
    "Died",
    "Disconnect",
    "Cancelled",
    "Closed",
];

/// The form of the traceback that begins on this line.
pub fn begins(text: &str) -> Option<Form> {
    let at = text.find(TITLE)?;
    let before = text[..at].trim_start();
    if before.starts_with('╭') || before.starts_with("+--") {
        return Some(Form::Box);
    }
    let before = before.trim_end();
    // Quoted inside a message, it is somebody's text.
    let quoted = before.ends_with(['\'', '"', '`']) && !before.ends_with("\"\"\"");
    let after = &text[at + TITLE.len()..];
    (!quoted && (after.starts_with(':') && after.trim_end().len() <= 3 || after.trim().is_empty())).then_some(Form::Plain)
}

/// What stands before a traceback on its first line.
pub fn lead(text: &str) -> &str {
    let at = text.find(TITLE).unwrap_or(0);
    text[..at].trim_matches([' ', '╭', '─', '+', '-', '|', '"', '\t'])
}

/// The exception named at the start of a line: `ValueError: …`, `torch.OutOfMemoryError: …`, `KeyboardInterrupt`.
pub fn exception_line(text: &str) -> Option<ExceptionLine<'_>> {
    let trimmed = text.trim_start_matches([' ', '|', '\t']).trim_end();
    let end = trimmed.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(trimmed.len());
    let (class, rest) = trimmed.split_at(end);
    let name = class.rsplit('.').next()?;
    let known = ENDINGS.iter().any(|ending| name.ends_with(ending)) || name.ends_with("Errors");
    let named = name.chars().next().is_some_and(|c| c.is_uppercase()) && name.len() >= 4 && known;
    // `ray.exceptions.RayTaskError(ValueError): …`
    let rest = match rest.strip_prefix('(') {
        Some(inner) => inner.find(')').map_or(rest, |close| &inner[close + 1..]),
        None => rest,
    };
    let bare = class == name;
    let form = rest.is_empty() && (name != "Error" && name != "Exception" || !bare) || rest.starts_with(':');
    (named && form && !(bare && matches!(name, "Error" | "Warning" | "Exit" | "Timeout" | "Stop" | "Full" | "Closed" | "Abort" | "Failure")))
        .then_some(ExceptionLine { class, text: trimmed })
}

/// What a line says beside the name of an exception in front and what pydantic adds before and behind. A name stays that
/// the message cannot be understood without.
pub fn message_of(line: &str) -> &str {
    let line = line.trim();
    let message = match exception_line(line) {
        Some(found) => found.text[found.class.len()..].split_once(':').map_or("", |(_, rest)| rest.trim()),
        None => line,
    };
    let message = ["Value error, ", "Assertion failed, "].iter().find_map(|prefix| message.strip_prefix(prefix)).unwrap_or(message);
    let message = message.find(" [type=").map_or(message, |at| &message[..at]);
    let programming = ["TypeError", "AttributeError", "KeyError", "IndexError", "NameError", "UnboundLocalError"];
    let needs_name = programming.iter().any(|name| line.starts_with(name)) || !message.is_empty() && !message.contains(' ');
    if needs_name { line } else { message }
}

/// A class name in front of a message, whatever it ends with; only trusted right after frames.
fn class_after_frames(text: &str) -> Option<ExceptionLine<'_>> {
    let trimmed = text.trim_end();
    let end = trimmed.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.' || c == '<' || c == '>')).unwrap_or(trimmed.len());
    let (class, rest) = trimmed.split_at(end);
    let starts_well = class.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    (starts_well && (rest.is_empty() || rest.starts_with(':'))).then_some(ExceptionLine { class, text: trimmed })
}

/// True for a frame line; a log that begins within a traceback begins with one.
pub fn is_frame(text: &str) -> bool {
    frame_line(text).is_some()
}

/// A frame line: `File "…", line 12, in f`.
fn frame_line(text: &str) -> Option<Frame> {
    let rest = text.trim_start_matches([' ', '|', '>', '\t']).strip_prefix("File \"")?;
    let (path, rest) = rest.split_once("\", line ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let function = rest[digits..].trim_start_matches([',', ' ']).strip_prefix("in ").unwrap_or("").trim();
    Some(Frame {
        path: clipped(path).replace('\\', "/"),
        line: rest[..digits].parse().unwrap_or(0),
        function: clipped(function).to_owned(),
        code: String::new(),
    })
}

/// The beginning of a text that may be of any length.
fn clipped(text: &str) -> &str {
    &text[..cut_before(text, MAX_FRAME_TEXT)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Frames are being read.
    Frames,
    /// Inside a box.
    Box,
    /// A box was closed; its exception follows.
    BoxClosed,
    /// The exception's message goes on.
    Message,
    /// A blank line followed the message.
    Gap,
    /// A chain's joint was read; a traceback must follow.
    Joint,
}

/// A traceback while it is read.
#[derive(Debug)]
pub struct Tracing {
    state: State,
    current: Exception,
    pending: bool,
    noise: usize,
    box_path: Option<(String, u32)>,
    in_locals: bool,
}

impl Tracing {
    /// After the title line.
    pub fn begin(form: Form) -> Self {
        let state = if form == Form::Box { State::Box } else { State::Frames };
        Tracing { state, current: Exception::default(), pending: true, noise: 0, box_path: None, in_locals: false }
    }

    /// At a frame line whose title is missing.
    pub fn inside(text: &str) -> Self {
        let mut tracing = Tracing::begin(Form::Plain);
        if let Some(frame) = frame_line(text) {
            tracing.add_frame(frame);
        }
        tracing
    }

    /// After an exception line that stood without a traceback.
    pub fn after_exception() -> Self {
        Tracing { state: State::Message, current: Exception::default(), pending: false, noise: 0, box_path: None, in_locals: false }
    }

    /// True while foreign lines may stand between the lines of the traceback.
    pub fn tolerates_noise(&mut self) -> bool {
        let inside = matches!(self.state, State::Frames | State::Box | State::BoxClosed | State::Joint);
        self.noise += 1;
        inside && self.noise <= MAX_NOISE
    }

    /// Takes a line if it belongs to the traceback. `bound` lines belong to the same message whatever they say.
    pub fn push(&mut self, exceptions: &mut Vec<Exception>, number: u64, text: &str, bound: bool) -> bool {
        let trimmed = text.trim();
        match self.state {
            State::Frames => self.push_frame(exceptions, number, text, trimmed, bound),
            State::Box => {
                self.push_box(trimmed);
                trimmed.starts_with(['│', '╭', '╰', '|', '+', '❱']) || bound
            }
            State::BoxClosed => {
                if trimmed.is_empty() {
                    return true;
                }
                match class_after_frames(trimmed) {
                    Some(line) => {
                        self.close(exceptions, number, line);
                        true
                    }
                    None => false,
                }
            }
            State::Message => self.push_message(exceptions, number, text, trimmed, bound),
            State::Gap => {
                if trimmed.is_empty() {
                    return true;
                }
                if let Some(link) = joint(trimmed) {
                    self.join(exceptions, link);
                    return true;
                }
                if bound && begins(text).is_some() {
                    self.restart(Form::Plain);
                    return true;
                }
                if bound || exceptions.last().is_some_and(Exception::says_nothing) && begins(text).is_none() {
                    self.state = State::Message;
                    return self.push_message(exceptions, number, text, trimmed, bound);
                }
                false
            }
            State::Joint => {
                if trimmed.is_empty() {
                    return true;
                }
                match begins(text) {
                    Some(form) => {
                        self.restart(form);
                        true
                    }
                    None => false,
                }
            }
        }
    }

    /// Keeps frames whose exception line is missing.
    pub fn finish(self, exceptions: &mut Vec<Exception>) {
        if self.pending && !self.current.frames.is_empty() {
            exceptions.push(self.current);
        }
    }

    fn restart(&mut self, form: Form) {
        self.state = if form == Form::Box { State::Box } else { State::Frames };
        self.current = Exception::default();
        self.pending = true;
        self.in_locals = false;
        self.box_path = None;
    }

    fn join(&mut self, exceptions: &mut [Exception], link: Link) {
        if let Some(last) = exceptions.last_mut() {
            last.link = link;
        }
        self.state = State::Joint;
    }

    fn close(&mut self, exceptions: &mut Vec<Exception>, number: u64, line: ExceptionLine<'_>) {
        let mut exception = std::mem::take(&mut self.current);
        exception.class = line.class.to_owned();
        exception.text = Text { lines: vec![(number, line.text.to_owned())] };
        exception.is_complete = true;
        exceptions.push(exception);
        self.pending = false;
        self.state = State::Message;
    }

    fn add_frame(&mut self, frame: Frame) {
        if self.current.frames.len() >= MAX_FRAMES {
            self.current.frames.remove(MAX_FRAMES / 2);
        }
        self.current.frames.push(frame);
    }

    fn push_frame(&mut self, exceptions: &mut Vec<Exception>, number: u64, text: &str, trimmed: &str, bound: bool) -> bool {
        if let Some(frame) = frame_line(text) {
            self.add_frame(frame);
            return true;
        }
        let inner = text.trim_start_matches([' ', '|', '\t']);
        if trimmed.is_empty() || trimmed == "|" || trimmed.starts_with("[Previous line repeated") {
            return true;
        }
        if begins(text).is_some() || trimmed.starts_with("+-+----") || trimmed.starts_with("+----") {
            return true;
        }
        let in_group = text.trim_start().starts_with('|');
        let indented = text.starts_with("   ") || text.starts_with('\t') || text.starts_with("  ") && self.current.frames.is_empty();
        if !indented || in_group {
            let line = exception_line(inner).or_else(|| {
                let after = if self.current.frames.is_empty() { None } else { class_after_frames(inner) };
                after.filter(|line| line.text.len() > line.class.len() || line.class.len() > 3)
            });
            if let Some(line) = line {
                self.close(exceptions, number, line);
                return true;
            }
            return bound;
        }
        if let Some(frame) = self.current.frames.last_mut()
            && frame.code.is_empty()
            && !trimmed.starts_with(['^', '~'])
        {
            clipped(trimmed).clone_into(&mut frame.code);
        }
        true
    }

    fn push_message(&mut self, exceptions: &mut Vec<Exception>, number: u64, text: &str, trimmed: &str, bound: bool) -> bool {
        if trimmed.is_empty() {
            self.state = State::Gap;
            return true;
        }
        if let Some(link) = joint(trimmed) {
            self.join(exceptions, link);
            return true;
        }
        if let Some(form) = begins(text) {
            // PyTorch raises what happened in a worker or a replica again, with the traceback from there in the message:
            // those frames are inside the ones that were just read.
            if lead(text) == "Original" {
                let outer = exceptions.last().map(|carrier| carrier.frames.clone()).unwrap_or_default();
                self.restart(form);
                self.current.frames = outer;
                return true;
            }
            if bound {
                self.restart(form);
            }
            return bound;
        }
        if let Some(frame) = frame_line(text) {
            // A remote traceback inside the message of the exception that carries it.
            self.restart(Form::Plain);
            self.add_frame(frame);
            return true;
        }
        let Some(last) = exceptions.last_mut() else { return false };
        if let Some(line) = exception_line(trimmed)
            && last.text.lines.first().is_some_and(|(_, first)| first != trimmed)
        {
            if !bound && text.starts_with(' ') {
                last.text.push(number, text);
                return true;
            }
            if bound {
                exceptions.push(Exception::bare(number, line));
            }
            return bound;
        }
        if !bound && (last.text.lines.len() >= MAX_MESSAGE_LINES || begins_anew(trimmed)) {
            return false;
        }
        last.text.push(number, text);
        true
    }

    fn push_box(&mut self, trimmed: &str) {
        let outer_end = trimmed.starts_with('╰') || trimmed.starts_with("+--") && trimmed.ends_with("-+");
        if outer_end {
            self.flush_box_path("");
            self.state = State::BoxClosed;
            return;
        }
        let inside = trimmed.trim_matches(['│', '|']).trim();
        if inside.starts_with('╭') || inside.starts_with("+-") {
            self.in_locals = true;
        }
        if inside.starts_with('╰') {
            self.in_locals = false;
            return;
        }
        if self.in_locals || inside.is_empty() {
            return;
        }
        if let Some(code) = inside.strip_prefix('❱').or_else(|| inside.strip_prefix("> ")) {
            self.flush_box_path("");
            if let Some(frame) = self.current.frames.last_mut() {
                let code = code.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
                clipped(code.trim_start_matches([' ', '│', '|'])).clone_into(&mut frame.code);
            }
            return;
        }
        if self.box_path.is_some() {
            let name = inside.split_whitespace().next().unwrap_or("");
            self.flush_box_path(name.trim_start_matches("in "));
            return;
        }
        if let Some((path, rest)) = inside.split_once(".py:") {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if digits > 0 && !path.contains(' ') {
                let line = rest[..digits].parse().unwrap_or(0);
                let function = rest[digits..].trim().strip_prefix("in").unwrap_or("").trim();
                self.box_path = Some((format!("{}.py", clipped(path).replace('\\', "/")), line));
                if !function.is_empty() {
                    self.flush_box_path(function);
                }
            }
        }
    }

    fn flush_box_path(&mut self, function: &str) {
        if let Some((path, line)) = self.box_path.take() {
            self.add_frame(Frame { path, line, function: clipped(function).to_owned(), code: String::new() });
        }
    }
}

/// The sentence that joins two exceptions of a chain.
fn joint(trimmed: &str) -> Option<Link> {
    let text = trimmed.trim_start_matches(['|', ' ']);
    if text.starts_with("The above exception was the direct cause of the following exception") {
        Some(Link::DirectCause)
    } else if text.starts_with("During handling of the above exception, another exception occurred") {
        Some(Link::During)
    } else {
        None
    }
}

/// True for raw lines that surely do not go on with the message before them.
fn begins_anew(trimmed: &str) -> bool {
    let starts = [
        "INFO:",
        "WARNING:",
        "ERROR:",
        "usage:",
        "Error: ",
        "[GIN]",
        "slurmstepd:",
        "srun:",
        "Process ",
        "frame #",
        "nanobind:",
        "Exception ignored in",
    ];
    starts.iter().any(|start| trimmed.starts_with(start))
        || trimmed == "Killed"
        || trimmed.starts_with("+ ")
        || is_prompt(trimmed)
        || trimmed.contains("%|")
        || trimmed.contains("resource_tracker:")
        || trimmed.contains("Warning: ")
}

/// True for a shell's prompt: `$ …`, `user@host:~$ …`.
fn is_prompt(text: &str) -> bool {
    let Some((head, _)) = text.split_once(['$', '#']) else { return false };
    let named = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let at = |head: &str| head.split_once('@').is_some_and(|(user, place)| named(user) && place.split_once(':').is_some_and(|(host, _)| named(host)));
    let follows = text[head.len() + 1..].is_empty() || text[head.len() + 1..].starts_with(' ');
    follows && (head.is_empty() && text.starts_with('$') || at(head))
}
