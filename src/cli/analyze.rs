//! `oomdoc analyze [PATH]…`.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{ColorChoice, ValueEnum};
use miette::miette;

use crate::analysis::{Analyzer, Options};
use crate::cli::{Failure, Outcome, tell};
use crate::remedies::command::{Command, Launch};
use crate::report::{self, Format, Style};
use crate::signatures::load_rules;
use crate::source::{self, Input, SourceError};

/// Arguments of `analyze`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Logs: files, directories, `-` for standard input (the default)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
    /// Writes the report to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// When to use colours
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    /// Shows secrets that the log holds instead of masking them
    #[arg(long)]
    no_redact: bool,
    /// Exits with 0 even when incidents were found
    #[arg(long)]
    exit_zero: bool,
    /// A folder with signatures of your own (*.toml)
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// The GPU, or its memory (`24GiB`), if the log does not tell
    #[arg(long, value_name = "NAME|SIZE")]
    gpu: Option<String>,
    /// The model, if the log does not name it
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// The command that was run, if the log does not show it
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// The compose file that started it
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    compose: Option<PathBuf>,
    /// The Kubernetes manifest that started it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "compose"])]
    manifest: Option<PathBuf>,
    /// What `docker inspect` prints of its container
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "compose", "manifest"])]
    inspect: Option<PathBuf>,
    /// The year of time stamps that have none
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i32).range(1970..=9999))]
    year: Option<i32>,
    /// The code with which the process or container ended
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    exit_code: Option<i32>,
    /// The remedy that `--print-command` is about: 1 is the first
    #[arg(long, value_name = "N", requires = "print_command", value_parser = clap::value_parser!(u16).range(1..))]
    remedy: Option<u16>,
    /// Prints the command of a remedy and nothing else
    #[arg(long, requires = "remedy")]
    print_command: bool,
    /// Takes paths from a file, one a line (`-` for standard input)
    #[arg(long, value_name = "FILE|-", conflicts_with = "paths")]
    files_from: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    Text,
    Markdown,
    Json,
    Ndjson,
    Html,
}

impl From<ReportFormat> for Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Text => Format::Text,
            ReportFormat::Markdown => Format::Markdown,
            ReportFormat::Json => Format::Json,
            ReportFormat::Ndjson => Format::Ndjson,
            ReportFormat::Html => Format::Html,
        }
    }
}

/// Reads the logs and writes the report.
pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let rules = match &args.rules {
        Some(folder) => load_rules(folder).map_err(miette::Report::new)?,
        None => Vec::new(),
    };
    let options = Options {
        year: args.year,
        exit_code: args.exit_code,
        model: args.model.clone(),
        gpu: args.gpu.clone(),
        command: args.command.clone(),
        launch: launch(args)?,
        rules,
        keep_secrets: args.no_redact,
    };
    let inputs = inputs(args)?;
    let mut entries: Vec<report::Outcome> = Vec::new();
    let mut outcome = Outcome::Healthy;
    let analyzer = Analyzer::new(&options);
    for input in inputs {
        let (name, result) = match input {
            Ok(input) => {
                let name = match &input {
                    Input::Path(path) => path.display().to_string(),
                    Input::Stdin => "-".to_owned(),
                };
                let result = source::open(&input).and_then(|reader| analyzer.run(reader, &name));
                (name, result)
            }
            Err(error) => (name_of(&error), Err(error)),
        };
        match result {
            Ok(report) => {
                if !report.incidents.is_empty() && !args.exit_zero {
                    outcome = outcome.max(Outcome::Incidents);
                }
                entries.push(report.into());
            }
            Err(error) => {
                outcome = Outcome::Refused;
                entries.push(report::Outcome::Failure(report::Failure::new(name, error.to_string())));
                tell(&miette::Report::new(error));
            }
        }
    }
    if let Some(number) = args.remedy.filter(|_| args.print_command) {
        print_command(&entries, number)?;
        return Ok(outcome);
    }
    let readable = entries.iter().any(|entry| matches!(entry, report::Outcome::Report(_)));
    if readable || matches!(args.format, ReportFormat::Ndjson | ReportFormat::Json) {
        write(args, &entries)?;
    }
    Ok(outcome)
}

/// Prints the command of a remedy of the primary incident.
fn print_command(entries: &[report::Outcome], number: u16) -> Result<(), Failure> {
    let refuse = |what: &str| {
        let help = "`oomdoc analyze LOG` lists the remedies; those with a command show it";
        Failure::from(miette!(code = "oomdoc::remedy", help = help, "there is no command to print: {what}"))
    };
    let [report::Outcome::Report(report)] = entries else { return Err(refuse("name one log that can be read")) };
    let incident = report.incidents.first().ok_or_else(|| refuse("nothing failed in this log"))?;
    let remedy = incident.remedies.get(usize::from(number) - 1).ok_or_else(|| refuse(&format!("it has {} remedies", incident.remedies.len())))?;
    let command = remedy.command.as_ref().ok_or_else(|| refuse(&format!("remedy {number} has none")))?;
    writeln!(io::stdout().lock(), "{command}")?;
    Ok(())
}

/// How it was started, from the file that says so.
fn launch(args: &Args) -> Result<Option<Launch>, Failure> {
    let Some(path) = args.compose.as_ref().or(args.manifest.as_ref()).or(args.inspect.as_ref()) else {
        return Ok(args.command.clone().map(Launch::Command).filter(|launch| Command::given(launch).is_ok()));
    };
    let text = fs::read_to_string(path)
        .map_err(|error| miette!(code = "oomdoc::launch", help = "is the file there and readable?", "cannot read {}: {error}", path.display()))?;
    let launch = match (&args.compose, &args.manifest) {
        (Some(_), _) => Launch::Compose(text),
        (None, Some(_)) => Launch::Manifest(text),
        (None, None) => Launch::Inspect(text),
    };
    Command::given(&launch).map_err(|problem| {
        miette!(code = "oomdoc::launch", help = "name a file in which one service or container runs an engine", "{}: {problem}", path.display())
    })?;
    Ok(Some(launch))
}

/// The input that an error is about.
fn name_of(error: &SourceError) -> String {
    match error {
        SourceError::NotFound { path, .. } | SourceError::Permission { path } | SourceError::Directory { path } | SourceError::NoLogs { path } => {
            path.display().to_string()
        }
        SourceError::NotALog { name, .. } | SourceError::Empty { name } | SourceError::Damaged { name, .. } | SourceError::Io { name, .. } => {
            name.clone()
        }
    }
}

/// What is to be read, in the order in which it was named; what cannot be is in its place.
fn inputs(args: &Args) -> Result<Vec<Result<Input, SourceError>>, Failure> {
    if let Some(list) = &args.files_from {
        let lines: io::Result<Vec<String>> = if list == Path::new("-") {
            io::stdin().lock().lines().collect()
        } else {
            fs::read_to_string(list).map(|text| text.lines().map(str::to_owned).collect())
        };
        let lines = lines.map_err(|error| {
            miette!(code = "oomdoc::files_from", help = "give a file that holds one path a line", "cannot read the list {}: {error}", list.display())
        })?;
        let paths = lines.into_iter().filter(|line| !line.trim().is_empty()).map(|line| Ok(Input::Path(PathBuf::from(line))));
        return Ok(paths.collect());
    }
    if args.paths.is_empty() {
        if io::stdin().is_terminal() {
            let help = "name a log (`oomdoc analyze server.log`) or pipe one (`docker logs NAME 2>&1 | oomdoc analyze`)";
            return Err(miette!(
                code = "oomdoc::no_input",
                help = help,
                "there is nothing to read: no path was given and standard input is a terminal"
            )
            .into());
        }
        return Ok(vec![Ok(Input::Stdin)]);
    }
    let expanded = |path: &PathBuf| {
        let (inputs, refused) = source::expand(std::slice::from_ref(path));
        inputs.into_iter().map(Ok).chain(refused.into_iter().map(Err)).collect::<Vec<_>>()
    };
    Ok(args.paths.iter().flat_map(expanded).collect())
}

fn write(args: &Args, entries: &[report::Outcome]) -> Result<(), Failure> {
    let to_terminal = args.output.is_none() && io::stdout().is_terminal();
    let color = wants_color(args.color, to_terminal);
    let width = if to_terminal { textwrap::termwidth().clamp(40, 120) } else { 80 };
    let style = Style { width, color, unicode: true };
    let Some(path) = &args.output else {
        let mut out = io::BufWriter::new(io::stdout().lock());
        report::write(args.format.into(), entries, &style, &mut out)?;
        out.flush()?;
        return Ok(());
    };
    // Written beside it and renamed, so that no half report is ever left.
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = fs::File::create(&part).and_then(|file| {
        let mut out = io::BufWriter::new(file);
        report::write(args.format.into(), entries, &style, &mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&part, path)) {
        let _ = fs::remove_file(&part);
        return Err(miette!(
            code = "oomdoc::write",
            help = "is the folder there and writable, and the disk not full?",
            "cannot write {}: {error}",
            path.display()
        )
        .into());
    }
    Ok(())
}

/// Whether to use colours, by what was asked, where the output goes, and the environment.
pub(super) fn wants_color(choice: ColorChoice, to_terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            to_terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
