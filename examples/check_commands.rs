//! Rebuilds and prints the command of every log in a folder, plain and with changes that remedies make, and checks what is
//! printed: `cargo run --example check_commands -- FOLDER…`. For each command: the engine's flag table, `sh -n`, and a
//! tokenizer that reads back what was meant. Commands of the reports' own remedies are checked too. Exits with 1 when
//! something is wrong.
//!
//! `--list` prints the commands, `--as=VERSION` takes every log for one of that version; `--tables CSV…` compares the flag tables with lists of flags (`ENGINE-flags-VERSION.csv`).

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, Stdio};
use std::{env, fs};

use oomdoc::Options;
use oomdoc::analysis::Analyzer;
use oomdoc::remedies::command::{Change, Command, Form, Shell, Source, Trust, Word, split};
use oomdoc::remedies::flags::{Circumstances, Problem, Table, Version, check};
use oomdoc::source::{self, Input};

fn main() -> ExitCode {
    let (flags, paths): (Vec<String>, Vec<String>) = env::args().skip(1).partition(|word| word.starts_with("--"));
    if flags.iter().any(|flag| flag == "--tables") {
        return if paths.iter().all(|path| compare(Path::new(path))) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let list = flags.iter().any(|flag| flag == "--list");
    let version = flags.iter().find_map(|flag| flag.strip_prefix("--as="));
    let mut tally = Tally::default();
    let options = Options::default();
    let analyzer = Analyzer::new(&options);
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let (inputs, _) = source::expand(&paths);
    for input in inputs {
        let Input::Path(path) = &input else { continue };
        let Ok(reader) = source::open(&input) else { continue };
        let Ok((report, command)) = analyzer.run_with_command(reader, &path.display().to_string()) else { continue };
        tally.logs += 1;
        for remedy in report.incidents.iter().flat_map(|incident| &incident.remedies) {
            if let Some(text) = &remedy.command {
                tally.remedies += 1;
                let version = command.as_ref().and_then(|command| command.version.as_deref());
                if list {
                    println!("# {} (remedy {}, {})\n{text}\n", path.display(), remedy.id, version.unwrap_or("version unknown"));
                }
                if let Err(why) = printed(text, version) {
                    tally.wrong(path, &format!("remedy {}: {why}", remedy.id), text);
                }
            }
        }
        let engine = report.deployment.engine.clone().unwrap_or_else(|| "?".to_owned());
        let Some(mut command) = command else {
            tally.count(&engine, "none");
            continue;
        };
        if let Some(version) = version {
            command.version = Some(version.to_owned());
        }
        tally.one(path, &engine, &command, list);
    }
    tally.print();
    if tally.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Tally {
    logs: usize,
    remedies: usize,
    printed: usize,
    changed: usize,
    wrong: usize,
    counts: BTreeMap<(String, String), usize>,
}

impl Tally {
    fn count(&mut self, engine: &str, what: &str) {
        *self.counts.entry((engine.to_owned(), what.to_owned())).or_default() += 1;
    }

    fn wrong(&mut self, path: &Path, why: &str, text: &str) {
        self.wrong += 1;
        println!("WRONG {}: {why}\n{text}\n", path.display());
    }

    fn one(&mut self, path: &Path, engine: &str, command: &Command, list: bool) {
        let source = match command.source {
            Source::Given => "given",
            Source::Echoed => "echoed",
            Source::Rebuilt => "rebuilt",
        };
        match command.print(Shell::Sh, &Circumstances::default()) {
            Ok(text) => {
                self.count(engine, source);
                self.printed += 1;
                if list {
                    println!("# {} ({source}, {})\n{text}\n", path.display(), command.version.as_deref().unwrap_or("version unknown"));
                }
                if let Err(why) = right(command, &text) {
                    self.wrong(path, &why, &text);
                }
            }
            Err(problem) => {
                self.count(engine, &format!("{source}, refused"));
                println!("REFUSED {}: {problem}", path.display());
            }
        }
        for changes in experiments(engine) {
            if let Ok((changed, _)) = command.with(&changes)
                && let Ok(text) = changed.print(Shell::Sh, &Circumstances::default())
            {
                self.changed += 1;
                if list {
                    println!("# {} (changed, {})\n{text}\n", path.display(), changed.version.as_deref().unwrap_or("version unknown"));
                }
                if let Err(why) = right(&changed, &text) {
                    self.wrong(path, &why, &text);
                }
            }
        }
    }

    fn print(&self) {
        for ((engine, what), count) in &self.counts {
            println!("{engine:14} {what:18} {count}");
        }
        println!(
            "{} logs, {} commands printed, {} more with changes, {} of remedies; {} wrong",
            self.logs, self.printed, self.changed, self.remedies, self.wrong
        );
    }
}

/// Changes such as remedies make.
fn experiments(engine: &str) -> Vec<Vec<Change>> {
    let change = |flag: &str, to: &str| Change { flag: flag.to_owned(), from: None, to: Some(to.to_owned()) };
    match engine {
        "tgi" => vec![
            vec![change("--max-batch-prefill-tokens", "1024"), change("--max-input-tokens", "1000"), change("--max-total-tokens", "2048")],
            vec![change("--quantize", "bitsandbytes-nf4")],
            vec![change("--shm-size", "2g"), change("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")],
        ],
        "vllm" => vec![
            vec![change("--max-model-len", "4096"), change("--gpu-memory-utilization", "0.95")],
            vec![change("--quantization", "bitsandbytes"), change("--load-format", "bitsandbytes")],
            vec![change("--enforce-eager", "true"), change("model", "acme/owl-7b-awq")],
        ],
        "sglang" => vec![vec![change("--mem-fraction-static", "0.8"), change("--context-length", "4096")], vec![change("--tp-size", "2")]],
        "llama.cpp" => vec![vec![change("--ctx-size", "4096"), change("--gpu-layers", "20")]],
        "ollama" => vec![vec![change("OLLAMA_CONTEXT_LENGTH", "4096")]],
        "transformers" => vec![vec![change("load_in_4bit", "true"), change("device_map", "auto")]],
        _ => Vec::new(),
    }
}

/// Checks a text against the command that it is of.
fn right(command: &Command, text: &str) -> Result<(), String> {
    let problems: Vec<Problem> = check(command, &Circumstances::default());
    if let Some(problem) = problems.first() {
        return Err(problem.to_string());
    }
    if command.form != Form::Shell {
        return Ok(());
    }
    shell_takes(text)?;
    let expected = expected(command);
    let found = shlex::split(&text.replace("\\\n", "")).ok_or("the tokenizer cannot read it")?;
    if found != expected { Err(format!("read back as {found:?}, meant {expected:?}")) } else { Ok(()) }
}

/// The words that a command is meant to have, as a tokenizer that fills in nothing reads them.
fn expected(command: &Command) -> Vec<String> {
    let texts = |words: &[Word]| words.iter().map(Word::plain).collect::<Vec<_>>();
    let mut out = Vec::new();
    let argument = |argument: &oomdoc::remedies::command::Argument, out: &mut Vec<String>| match (&argument.name, argument.joined) {
        (Some(name), true) => out.push(format!("{name}={}", texts(&argument.values).concat())),
        (name, _) => {
            out.extend(name.clone());
            out.extend(texts(&argument.values));
        }
    };
    match &command.container {
        Some(container) => {
            out.extend(texts(&container.runtime));
            container.options.iter().for_each(|option| argument(option, &mut out));
            for variable in &command.environment {
                let value = variable.value.as_ref().map_or(String::new(), |value| format!("={}", value.plain()));
                out.extend(["-e".to_owned(), format!("{}{value}", variable.name)]);
            }
            out.push(container.image.plain());
        }
        None => {
            for variable in &command.environment {
                out.push(format!("{}={}", variable.name, variable.value.as_ref().map_or(format!("${}", variable.name), Word::plain)));
            }
        }
    }
    let mut inner = texts(&command.program.words);
    command.arguments.iter().for_each(|one| argument(one, &mut inner));
    if command.program.shell.is_empty() {
        out.extend(inner);
    } else {
        out.extend(texts(&command.program.shell));
        out.push(inner.join(" "));
    }
    out
}

/// Beginnings of commands that put something right beside the server.
const STARTS_NO_ENGINE: [&str; 6] = ["nvidia-smi ", "pip install ", "python3 -m pip install ", "hf download ", "ollama pull ", "ollama rm "];

/// Checks a text, of which the version may be known.
fn printed(text: &str, version: Option<&str>) -> Result<(), String> {
    let first = text.lines().next().unwrap_or_default();
    if first.ends_with(':') || first.starts_with("import ") || first.starts_with("from ") || first.starts_with("apiVersion") {
        return Ok(());
    }
    shell_takes(text)?;
    if STARTS_NO_ENGINE.iter().any(|start| text.starts_with(start)) {
        return Ok(());
    }
    let words = shlex::split(&text.replace("\\\n", "")).ok_or("the tokenizer cannot read it")?;
    let own = split(text).map_err(|problem| problem.to_string())?;
    if own.iter().map(Word::plain).collect::<Vec<_>>() != words {
        return Err("two tokenizers read it differently".to_owned());
    }
    let mut command = Command::read(text, Trust::User).map_err(|problem| problem.to_string())?;
    command.version = command.version.or_else(|| version.map(str::to_owned));
    check(&command, &Circumstances::default()).first().map_or(Ok(()), |problem| Err(problem.to_string()))
}

fn shell_takes(text: &str) -> Result<(), String> {
    let after_continuation = text.lines().any(|line| line.split_once(" \\").is_some_and(|(_, rest)| rest.trim_start().starts_with('#')));
    if after_continuation {
        return Err("a comment follows a continuation".to_owned());
    }
    let status = Process::new("sh").args(["-n", "-c", text]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if !status.success() => Err("sh -n refuses it".to_owned()),
        _ => Ok(()),
    }
}

/// Compares a table with a list of flags that a parser gave.
fn compare(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let Some((engine, version)) = name.split_once("-flags-") else { return false };
    let (Some(table), Some(version)) = (Table::of(engine), Version::parse(version)) else { return false };
    let Ok(text) = fs::read_to_string(path) else { return false };
    let listed: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let mut same = true;
    for flag in &listed {
        if !table.find(flag).is_some_and(|found| found.flag.is_in(version)) {
            println!("{name}: the table lacks {flag}");
            same = false;
        }
    }
    for flag in table.flags.iter().filter(|flag| flag.is_in(version) && !listed.contains(&flag.name)) {
        println!("{name}: the parser does not know {}", flag.name);
        same = false;
    }
    same
}
