//! `oomdoc analyze [PATH]…`.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::{ColorChoice, ValueEnum};
use miette::{Diagnostic, miette};

use crate::analysis::{Analyzer, Options};
use crate::cli::output::{self, Output};
use crate::cli::progress::Progress;
use crate::cli::{Failure, Outcome, parallel, tell};
use crate::post_mortem::PostMortem;
use crate::remedies::command::{Command, Launch, Shell};
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
    /// Exits with 0 even when incidents were found
    #[arg(long)]
    exit_zero: bool,
    #[command(flatten)]
    given: Given,
    /// Takes paths from a file, one a line (`-` for standard input)
    #[arg(long, value_name = "FILE|-", conflicts_with = "paths")]
    files_from: Option<PathBuf>,
    /// The remedy that `--print-command` is about: 1 is the first
    #[arg(long, value_name = "N", requires = "print_command", value_parser = clap::value_parser!(u16).range(1..))]
    remedy: Option<u16>,
    /// Prints the command of a remedy and nothing else
    #[arg(long, requires = "remedy")]
    print_command: bool,
    /// How many logs are read at a time [default: the number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

/// What the user knows beyond the log, and how to look at it.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// Shows secrets that the log holds instead of masking them
    #[arg(long)]
    pub(super) no_redact: bool,
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
    /// The shell that printed commands are for
    #[arg(long, value_enum, value_name = "SHELL", default_value_t = CommandShell::Sh)]
    shell: CommandShell,
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
}

impl Given {
    /// The same as options; reads the user's rules.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        let rules = match &self.rules {
            Some(folder) => load_rules(folder).map_err(miette::Report::new)?,
            None => Vec::new(),
        };
        Ok(Options {
            year: self.year,
            exit_code: self.exit_code,
            model: self.model.clone(),
            gpu: self.gpu.clone(),
            command: self.command.clone(),
            shell: self.shell.into(),
            launch: self.launch()?,
            rules,
            keep_secrets: self.no_redact,
        })
    }

    /// How it was started, from the file that says so.
    fn launch(&self) -> Result<Option<Launch>, Failure> {
        let Some(path) = self.compose.as_ref().or(self.manifest.as_ref()).or(self.inspect.as_ref()) else {
            return Ok(self.command.clone().map(Launch::Command).filter(|launch| Command::given(launch).is_ok()));
        };
        let text = fs::read_to_string(path)
            .map_err(|error| miette!(code = "oomdoc::launch", help = "is the file there and readable?", "cannot read {}: {error}", path.display()))?;
        let launch = match (&self.compose, &self.manifest) {
            (Some(_), _) => Launch::Compose(text),
            (None, Some(_)) => Launch::Manifest(text),
            (None, None) => Launch::Inspect(text),
        };
        Command::given(&launch).map_err(|problem| {
            miette!(code = "oomdoc::launch", help = "name a file in which one service or container runs an engine", "{}: {problem}", path.display())
        })?;
        Ok(Some(launch))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CommandShell {
    Sh,
    #[value(name = "powershell")]
    PowerShell,
}

impl From<CommandShell> for Shell {
    fn from(shell: CommandShell) -> Self {
        match shell {
            CommandShell::Sh => Shell::Sh,
            CommandShell::PowerShell => Shell::PowerShell,
        }
    }
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
    let options = args.given.options()?;
    let inputs = inputs(args)?;
    let analyzer = Analyzer::new(&options);
    let progress = Progress::new(inputs.iter().map(|input| input.as_ref().ok()));
    let work = |input: &Result<Input, Refused>| -> Result<PostMortem, Refused> {
        let input = input.as_ref().map_err(Arc::clone)?;
        let name = input.path().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
        let result = source::open_metered(input, progress.meter()).and_then(|reader| analyzer.run(reader, &name));
        progress.one_done();
        result.map_err(Arc::new)
    };
    let threads = args.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let mut outcome = Outcome::Healthy;
    let mut entry = |result: Result<PostMortem, Refused>| match result {
        Ok(report) => {
            if !report.incidents.is_empty() && !args.exit_zero {
                outcome = outcome.max(Outcome::Incidents);
            }
            report::Outcome::from(report)
        }
        Err(error) => {
            outcome = Outcome::Refused;
            let entry = report::Outcome::Failure(report::Failure::new(name_of(&error), error.to_string()));
            progress.aside(|| tell_refused(&error));
            entry
        }
    };
    if let Some(number) = args.remedy.filter(|_| args.print_command) {
        let [input] = inputs.as_slice() else { return Err(no_command("name one log")) };
        let entry = entry(work(input));
        drop(progress);
        print_command(&entry, number)?;
        return Ok(outcome);
    }
    // For a program an error is an answer too; of a report for people something must have been read.
    let is_for_people = !matches!(args.format, ReportFormat::Json | ReportFormat::Ndjson);
    let mut output = if is_for_people { Output::held(args.output.as_deref())? } else { Output::open(args.output.as_deref())? };
    let mut writer = report::Writer::new(args.format.into(), inputs.len(), &style(args), || Box::new(output::Store::default()))?;
    parallel::in_order(&inputs, threads, work, |result| -> Result<(), Failure> {
        let entry = entry(result);
        progress.aside(|| {
            if matches!(entry, report::Outcome::Report(_)) {
                output.release()?;
            }
            output.write(|out| writer.add(&entry, out))
        })
    })?;
    drop(progress);
    output.write(|out| writer.finish(out))?;
    output.finish()?;
    Ok(outcome)
}

/// Prints the command of a remedy of the primary incident.
fn print_command(entry: &report::Outcome, number: u16) -> Result<(), Failure> {
    let report::Outcome::Report(report) = entry else { return Err(no_command("name one log that can be read")) };
    let incident = report.incidents.first().ok_or_else(|| no_command("nothing failed in this log"))?;
    let remedy = incident.remedies.get(usize::from(number) - 1).ok_or_else(|| no_command(&format!("it has {} remedies", incident.remedies.len())))?;
    let command = remedy.command.as_ref().ok_or_else(|| no_command(&format!("remedy {number} has none")))?;
    writeln!(io::stdout().lock(), "{command}")?;
    Ok(())
}

fn no_command(what: &str) -> Failure {
    let help = "`oomdoc analyze LOG` lists the remedies; those with a command show it";
    miette!(code = "oomdoc::remedy", help = help, "there is no command to print: {what}").into()
}

/// Why an input cannot be read; the same input may be named more than once.
type Refused = Arc<SourceError>;

/// Says on standard error why an input cannot be read.
fn tell_refused(error: &Refused) {
    let mut told = miette::MietteDiagnostic::new(error.to_string());
    told.code = error.code().map(|code| code.to_string());
    told.help = error.help().map(|help| help.to_string());
    tell(&told.into());
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
fn inputs(args: &Args) -> Result<Vec<Result<Input, Refused>>, Failure> {
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
        inputs.into_iter().map(Ok).chain(refused.into_iter().map(|error| Err(Arc::new(error)))).collect::<Vec<_>>()
    };
    let mut inputs: Vec<Result<Input, Refused>> = args.paths.iter().flat_map(expanded).collect();
    // Standard input can be read once, whichever thread comes first.
    let is_stdin = |input: &Result<Input, Refused>| matches!(input, Ok(Input::Stdin));
    let first = inputs.iter().position(is_stdin).map_or(inputs.len(), |first| first + 1);
    for again in inputs[first..].iter_mut().filter(|input| is_stdin(input)) {
        *again = Err(Arc::new(SourceError::Empty { name: "standard input".to_owned() }));
    }
    Ok(inputs)
}

/// What the output can show.
fn style(args: &Args) -> Style {
    let to_terminal = args.output.is_none() && io::stdout().is_terminal();
    let width = if to_terminal { textwrap::termwidth().clamp(40, 120) } else { 80 };
    Style { width, color: wants_color(args.color, to_terminal), unicode: true }
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
