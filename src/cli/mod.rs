//! The command line: definitions, exit codes, and all that is printed outside a report.

mod analyze;
mod explain;
mod fit;
mod output;
mod parallel;
mod progress;
mod shell;
mod signals;
mod watch;

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::escape;

/// Reads the log of an LLM inference server that died and writes the post-mortem.
#[derive(Debug, Parser)]
#[command(name = "oomdoc", version, about, long_about = None, propagate_version = true)]
#[command(
    after_help = "Examples:\n  oomdoc analyze /tmp/tgi.log\n  docker logs tgi 2>&1 | oomdoc analyze\n  kubectl logs POD --previous | oomdoc analyze --format markdown -o incident.md\n  oomdoc explain prefill-oom"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads logs and prints a post-mortem
    Analyze(Box<analyze::Args>),
    /// Follows growing logs or standard input and reports each incident when it happens
    Watch(Box<watch::Args>),
    /// Says what a cause means, how it is recognised and how it is fixed; without ID, lists the causes
    Explain(explain::Args),
    /// Predicts the memory of a model on a device by component, and says whether it fits
    Fit(Box<fit::Args>),
    /// Prints the completions for a shell
    Completions(shell::CompletionsArgs),
    /// Prints the manual page in roff
    Man,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing failed in the log.
    Healthy,
    /// At least one incident was found.
    Incidents,
    /// Usage error, or an input could not be read.
    Refused,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Healthy => 0,
            Outcome::Incidents => 1,
            Outcome::Refused => 2,
        })
    }
}

/// What a command may fail with beyond what it reports itself.
#[derive(Debug)]
pub enum Failure {
    /// Something to tell the user.
    Told(miette::Report),
    /// The reader of our output went away.
    ReaderGone,
}

impl From<miette::Report> for Failure {
    fn from(report: miette::Report) -> Self {
        Failure::Told(report)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::ReaderGone;
        }
        Failure::Told(miette::miette!(
            code = "oomdoc::write",
            help = "is the disk full, or the file not writable?",
            "cannot write the output: {error}"
        ))
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with 0; a mistake goes to standard error with 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        Command::Analyze(args) => analyze::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man => shell::man(),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Told(report)) => {
            tell(&report);
            Outcome::Refused.into()
        }
    }
}

/// Prints a diagnostic on standard error; when that is gone too, there is nobody to tell.
fn tell(report: &miette::Report) {
    let _ = writeln!(io::stderr(), "{:?}", miette::Report::new(Shown::of(report)));
}

/// A diagnostic whose words a terminal shows and does not obey: names of files may hold anything.
#[derive(Debug)]
struct Shown {
    message: String,
    code: Option<String>,
    help: Option<String>,
    because: Option<Box<Shown>>,
}

impl Shown {
    fn of(report: &miette::Report) -> Self {
        let visible = |text: &dyn Display| escape::visible(&text.to_string()).into_owned();
        let mut because = None;
        for cause in report.chain().skip(1).collect::<Vec<_>>().into_iter().rev() {
            because = Some(Box::new(Shown { message: visible(&cause), code: None, help: None, because }));
        }
        Shown { message: visible(report), code: report.code().map(|code| visible(&code)), help: report.help().map(|help| visible(&help)), because }
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Shown {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.because.as_deref().map(|because| because as _)
    }
}

impl miette::Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as _)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }
}
