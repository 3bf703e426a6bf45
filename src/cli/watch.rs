//! `oomdoc watch [PATH]…`.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::{ColorChoice, ValueEnum};
use miette::miette;

use crate::analysis::Analyzer;
use crate::cli::analyze::{Given, wants_color};
use crate::cli::{Failure, Outcome, signals, tell};
use crate::report::{self, Format, Style, escape};
use crate::source::live::{Follow, Live, Paced, Stream};
use crate::source::{Reader, SourceError};
use crate::watch::{Notice, Total, Warning, Watcher};

/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Reports that may wait for a command.
const WAITING: usize = 64;
/// How long commands may take at the end.
const LAST_COMMANDS: Duration = Duration::from_secs(10);

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Files are followed by their name, as `tail -F` does; lines are counted from where the watch began.\n\nExamples:\n  oomdoc watch /var/log/vllm.log\n  docker logs -f tgi 2>&1 | oomdoc watch --exec 'mail -s \"server died\" ops@example.org'"
)]
pub struct Args {
    /// Logs to follow; `-` for standard input (the default)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The form of the reports
    #[arg(long, value_enum, default_value_t = WatchFormat::Text)]
    format: WatchFormat,
    /// Runs a command with each report on its standard input; what it prints goes to standard error
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// How long after a failure its consequences are waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    settle: f64,
    /// When to use colours
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    #[command(flatten)]
    given: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WatchFormat {
    Text,
    Ndjson,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds)).ok_or_else(|| "give seconds between 0 and 3600".to_owned())
}

/// One input that is followed.
struct Followed<'a> {
    name: String,
    state: State,
    watcher: Watcher<'a>,
    lines: u64,
}

enum State {
    /// Nothing has come yet.
    Waiting(Box<dyn Live>),
    Reading(Box<Reader>),
    Ended,
}

/// Follows the logs until they end or a signal comes.
pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let options = args.given.options()?;
    let analyzer = Analyzer::new(&options);
    let stop = Arc::new(AtomicBool::new(false));
    let (wake, woken) = sync_channel(1);
    let at_signal = (Arc::clone(&stop), wake.clone());
    signals::at_end(move || {
        at_signal.0.store(true, Ordering::Relaxed);
        let _ = at_signal.1.try_send(());
    })
    .map_err(|error| miette!(code = "oomdoc::watch", help = "try again", "cannot wait for signals: {error}"))?;

    let begun = Instant::now();
    let dash = [PathBuf::from("-")];
    let mut followed = Vec::new();
    let paths = if args.paths.is_empty() { dash.as_slice() } else { args.paths.as_slice() };
    for path in paths {
        let live = open(path, &stop, &wake)?;
        let name = path.display().to_string();
        let pause = Duration::from_secs_f64(args.settle);
        let watcher = Watcher::new(&analyzer, name.clone(), paths.len(), pause, args.given.no_redact, begun);
        followed.push(Followed { name, state: State::Waiting(live), watcher, lines: 0 });
    }
    let mut told = Told { format: args.format, style: style(args), hook: args.exec.clone().map(Hook::new), number: 0 };
    let mut outcome = Outcome::Healthy;
    let mut notices = Vec::new();
    loop {
        let mut is_busy = false;
        for one in &mut followed {
            let result = one.poll(Instant::now(), &mut is_busy, &mut notices);
            for notice in notices.drain(..) {
                if matches!(notice, Notice::Incident(_)) {
                    outcome = outcome.max(Outcome::Incidents);
                }
                told.tell(&notice)?;
            }
            if let Err(error) = result {
                outcome = Outcome::Refused;
                tell(&miette::Report::new(error));
            }
        }
        if followed.iter().all(|one| matches!(one.state, State::Ended)) {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            // What waits for its first byte will not get it any more; the others are read to where they are.
            for one in &mut followed {
                if matches!(one.state, State::Waiting(_)) {
                    one.state = State::Ended;
                }
            }
        } else if !is_busy {
            let _ = woken.recv_timeout(EVERY);
        }
    }
    told.finish();
    summary(&followed, begun.elapsed());
    Ok(outcome)
}

impl Followed<'_> {
    fn poll(&mut self, now: Instant, is_busy: &mut bool, out: &mut Vec<Notice>) -> Result<(), SourceError> {
        if let State::Waiting(live) = &mut self.state {
            if !live.is_ready() {
                return Ok(());
            }
            if let State::Waiting(live) = std::mem::replace(&mut self.state, State::Ended) {
                self.state = State::Reading(Box::new(Reader::live(&self.name, Box::new(Paced::new(live)))?));
            }
        }
        let State::Reading(reader) = &mut self.state else { return Ok(()) };
        let result = self.watcher.poll(reader, now, out);
        *is_busy |= reader.lines_read() > self.lines;
        self.lines = reader.lines_read();
        if !reader.waits() {
            self.state = State::Ended;
        }
        result
    }
}

fn open(path: &Path, stop: &Arc<AtomicBool>, wake: &SyncSender<()>) -> Result<Box<dyn Live>, Failure> {
    if path.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            let help = "name a log (`oomdoc watch server.log`) or pipe one (`docker logs -f NAME 2>&1 | oomdoc watch`)";
            return Err(miette!(code = "oomdoc::no_input", help = help, "there is nothing to watch: standard input is a terminal").into());
        }
        return Ok(Box::new(Stream::new(|| Ok(io::stdin()), wake.clone(), Arc::clone(stop))));
    }
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(miette::Report::new(SourceError::Directory { path: path.to_path_buf() }).into()),
        Ok(there) if !there.is_file() => {
            let path = path.to_path_buf();
            Ok(Box::new(Stream::new(move || std::fs::File::open(path), wake.clone(), Arc::clone(stop))))
        }
        Ok(_) => {
            // What may not be read is better said now than never.
            std::fs::File::open(path).map_err(|error| {
                miette!(code = "oomdoc::input", help = "make it readable, or pass it on by a pipe", "{} cannot be read: {error}", path.display())
            })?;
            Ok(Box::new(Follow::new(path, Arc::clone(stop))))
        }
        Err(_) => {
            let _ = writeln!(io::stderr(), "{} is not there yet; waiting for it", escape::visible(&path.display().to_string()));
            Ok(Box::new(Follow::new(path, Arc::clone(stop))))
        }
    }
}

fn style(args: &Args) -> Style {
    let to_terminal = io::stdout().is_terminal();
    let width = if to_terminal { textwrap::termwidth().clamp(40, 120) } else { 80 };
    Style { width, color: wants_color(args.color, to_terminal), unicode: true }
}

/// Where reports go.
struct Told {
    format: WatchFormat,
    style: Style,
    hook: Option<Hook>,
    number: u64,
}

impl Told {
    fn tell(&mut self, notice: &Notice) -> Result<(), Failure> {
        let mut text = Vec::new();
        match (notice, self.format) {
            (Notice::Incident(report), format) => {
                let format = if format == WatchFormat::Text { Format::Text } else { Format::Ndjson };
                report::write(format, &[report::Outcome::Report(report.clone())], &self.style, &mut text)?;
            }
            (Notice::Warning(warning), WatchFormat::Ndjson) => report::write_line(warning, &mut text)?,
            (Notice::Warning(warning), WatchFormat::Text) => print_warning(warning, &mut text)?,
        }
        let mut out = io::stdout().lock();
        if self.format == WatchFormat::Text && self.number > 0 {
            writeln!(out)?;
        }
        out.write_all(&text)?;
        out.flush()?;
        self.number += 1;
        if let (Notice::Incident(_), Some(hook)) = (notice, &self.hook) {
            hook.pass_on(text);
        }
        Ok(())
    }

    fn finish(self) {
        if let Some(hook) = self.hook {
            hook.finish();
        }
    }
}

fn print_warning(warning: &Warning, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Warning: {}: {}", shown(&warning.source.name), escape::line(&warning.text))?;
    for piece in &warning.evidence {
        writeln!(out, "  line {}: {}", piece.line, escape::line(piece.text.lines().next().unwrap_or("")))?;
    }
    Ok(())
}

/// What a person calls an input.
fn shown(name: &str) -> Cow<'_, str> {
    if name == "-" { "standard input".into() } else { escape::visible(name) }
}

/// A command that gets the reports, one after another, while the watch goes on.
struct Hook {
    reports: SyncSender<Vec<u8>>,
    ended: Receiver<()>,
}

impl Hook {
    fn new(command: String) -> Self {
        let (reports, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (at_end, ended) = sync_channel(1);
        thread::spawn(move || {
            for report in waiting {
                if let Err(error) = run_command(&command, &report) {
                    let _ = writeln!(io::stderr(), "the command of --exec failed: {error}");
                }
            }
            let _ = at_end.send(());
        });
        Hook { reports, ended }
    }

    fn pass_on(&self, report: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.reports.try_send(report) {
            let _ = writeln!(io::stderr(), "the command of --exec takes too long: a report was not passed on");
        }
    }

    /// Waits for the commands that still run, but not for ever.
    fn finish(self) {
        drop(self.reports);
        let _ = self.ended.recv_timeout(LAST_COMMANDS);
    }
}

fn run_command(command: &str, report: &[u8]) -> io::Result<()> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    // Standard output is for reports.
    let mut child = Command::new(shell).args([flag, command]).stdin(Stdio::piped()).stdout(io::stderr()).spawn()?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(report)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(error);
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
}

/// Says on standard error what was seen in all.
fn summary(followed: &[Followed<'_>], took: Duration) {
    let mut text = String::new();
    for one in followed {
        let times = |total: &Total| match (total.times, total.is_lower_bound) {
            (1, false) => String::new(),
            (times, false) => format!(" ({times} times)"),
            (times, true) => format!(" (at least {times} times)"),
        };
        let seen: Vec<String> = one.watcher.totals().iter().map(|(cause, total)| format!("{cause}{}", times(total))).collect();
        let seen = if seen.is_empty() { "nothing failed".to_owned() } else { seen.join(", ") };
        text += &format!("{}: {} lines, {seen}, {} warnings\n", shown(&one.name), one.lines, one.watcher.warnings());
    }
    let seconds = took.as_secs();
    let _ = write!(io::stderr(), "watched for {}:{:02}:{:02}\n{text}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}
