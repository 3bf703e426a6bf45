//! From the words of a command line to a [`Command`].

use super::word::{is_secret_name, is_secret_text, is_variable};
use super::{Argument, Command, Container, Form, Origin, Piece, Program, Source, Trust, Variable, Word, split_only};
use crate::remedies::flags::{Kind, Parser, Problem, Table, Version};

/// Programs that run another one.
const WRAPPERS: [&str; 6] = ["sudo", "exec", "nohup", "time", "env", "command"];

/// Variables in front of a command that a log may set: those that the engines read, and general ones that load no code.
const HARMLESS: [&str; 14] = [
    "HF_",
    "HUGGING",
    "NCCL_",
    "GLOO_",
    "VLLM_",
    "SGLANG_",
    "SGL_",
    "OLLAMA_",
    "LLAMA_ARG_",
    "CUDA_",
    "PYTORCH_",
    "TOKENIZERS_",
    "OMP_",
    "TRANSFORMERS_",
];

/// Options that a container may get from a log.
const HARMLESS_OPTIONS: [&str; 23] = [
    "--rm",
    "--detach",
    "--interactive",
    "--tty",
    "--init",
    "--name",
    "--restart",
    "--network",
    "--ipc",
    "--shm-size",
    "--gpus",
    "--memory",
    "--memory-swap",
    "--cpus",
    "--hostname",
    "--runtime",
    "--pull",
    "--publish",
    "--expose",
    "--volume",
    "--mount",
    "--ulimit",
    "--env",
];

/// Reads the words of a command.
pub(super) fn command(words: Vec<Word>, trust: Trust) -> Result<Command, Problem> {
    let mut command = Command {
        engine: None,
        version: None,
        source: if trust == Trust::User { Source::Given } else { Source::Echoed },
        form: Form::Shell,
        container: None,
        environment: Vec::new(),
        program: Program::default(),
        arguments: Vec::new(),
    };
    let mut rest = words.as_slice();
    // A prompt or the mark of a shell's trace.
    while let Some(("$" | "+" | "++" | "#" | "%" | ">" | "PS>", after)) = first(rest) {
        rest = after;
    }
    let mut wrappers: Vec<Word> = Vec::new();
    while let Some((word, after)) = rest.split_first() {
        if let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_variable(name)) {
            let harmless = HARMLESS.iter().any(|start| name.starts_with(start)) || Table::of("tgi").is_some_and(|table| table.reads(&name));
            if trust == Trust::Log && !harmless {
                return Err(Problem::Unreadable(format!("the log sets {name}")));
            }
            command.environment.push(variable(name, Some(value)));
        } else if WRAPPERS.contains(&word.plain().as_str()) {
            wrappers.push(word.clone());
        } else {
            break;
        }
        rest = after;
    }
    if let Some((runtime, after)) = container_runtime(rest) {
        let words: Vec<Word> = wrappers.into_iter().chain(runtime.iter().cloned()).collect();
        container(&mut command, words, after, trust)?;
    } else {
        program(&mut command, wrappers, rest, trust)?;
    }
    if command.engine.is_none() && trust == Trust::Log {
        return Err(Problem::Unreadable("the log shows no engine's command".to_owned()));
    }
    command.hide_secrets()?;
    Ok(command)
}

fn first(words: &[Word]) -> Option<(&str, &[Word])> {
    let (word, after) = words.split_first()?;
    match word.0.as_slice() {
        [Piece::Text(text)] => Some((text, after)),
        _ => None,
    }
}

/// A variable; a secret is handed through instead of being written down.
pub(super) fn variable(name: String, value: Option<Word>) -> Variable {
    let secret = is_secret_name(&name) && value.as_ref().is_some_and(|word| !word.has_variable());
    Variable { value: value.filter(|_| !secret), name, origin: Origin::Given }
}

fn container_runtime(words: &[Word]) -> Option<(&[Word], &[Word])> {
    let name = words.first()?.literal()?;
    if !matches!(name.rsplit('/').next()?, "docker" | "podman" | "nerdctl" | "docker.exe") {
        return None;
    }
    let second = words.get(1)?.literal()?;
    let length = match second.as_str() {
        "run" => 2,
        "container" if words.get(2)?.literal()? == "run" => 3,
        _ => return None,
    };
    words.split_at_checked(length)
}

fn container(command: &mut Command, runtime: Vec<Word>, words: &[Word], trust: Trust) -> Result<(), Problem> {
    let docker = Table::of("docker").ok_or_else(|| Problem::Unreadable("no table of docker".to_owned()))?;
    let mut options: Vec<Argument> = Vec::new();
    let mut entrypoint = None;
    let mut at = 0;
    let image = loop {
        let word = words.get(at).ok_or_else(|| Problem::Unreadable("the command names no image".to_owned()))?;
        at += 1;
        let text = word.plain();
        if !text.starts_with('-') || text == "-" {
            break word.clone();
        }
        for mut option in docker_option(docker, word)? {
            let name = option.name.clone().unwrap_or_default();
            let Some(found) = docker.find(&name) else { return Err(Problem::UnknownFlag { flag: name, engine: "docker".to_owned() }) };
            if trust == Trust::Log && !HARMLESS_OPTIONS.contains(&found.flag.name) {
                return Err(Problem::Unreadable(format!("the log's container has {}", found.flag.name)));
            }
            if found.flag.kind(Version::LATEST) != Kind::Switch && option.values.is_empty() {
                let value = words.get(at).ok_or(Problem::MissingValue { flag: name.clone() })?;
                at += 1;
                option.values.push(value.clone());
            }
            match (found.flag.name, option.values.first()) {
                ("--env", Some(value)) => {
                    let (name, value) = match value.split_once('=') {
                        Some((name, value)) => (name, Some(value)),
                        None => (value.plain(), None),
                    };
                    command.environment.push(variable(name, value));
                }
                ("--entrypoint", Some(value)) => {
                    entrypoint = Some(value.clone());
                    options.push(option);
                }
                _ => options.push(option),
            }
        }
    };
    let name = image.with_fallbacks();
    let of_image = Table::of_image(&name);
    if trust == Trust::Log && of_image.is_none() {
        return Err(Problem::Unreadable("the log names an image that is not an engine's own".to_owned()));
    }
    let rest = words.get(at..).unwrap_or(&[]);
    command.container = Some(Container { runtime, options, image });
    inside(command, entrypoint.as_ref(), rest, trust)
}

/// What runs in a container whose image and environment are set.
pub(super) fn inside(command: &mut Command, entrypoint: Option<&Word>, rest: &[Word], trust: Trust) -> Result<(), Problem> {
    let name = command.container.as_ref().map(|container| container.image.with_fallbacks()).unwrap_or_default();
    let table = table_of_image(&name);
    let tag = tag(&name);
    command.version = tag.and_then(version_of_tag);
    let all: Vec<Word> = entrypoint.into_iter().chain(rest).cloned().collect();
    if program(command, Vec::new(), &all, trust).is_ok() && command.engine.is_some() {
        // The words of the entry point stand in an option already.
        let own = usize::from(entrypoint.is_some());
        let words = command.program.front();
        words.drain(..own.min(words.len()));
        return Ok(());
    }
    command.arguments.clear();
    command.program = Program::default();
    let Some(table) = table else {
        return Err(Problem::Unreadable("the image is no engine's, and no engine is named behind it".to_owned()));
    };
    if entrypoint.is_some()
        || rest.first().and_then(Word::literal).is_some_and(|word| matches!(word.as_str(), "bash" | "sh" | "/bin/sh" | "/bin/bash"))
    {
        return Err(Problem::Unreadable("the container runs a program of its own".to_owned()));
    }
    command.engine = Some(table.engine.to_owned());
    command.program = of_image(table.engine, command.version.as_deref());
    command.arguments = arguments(table, rest);
    Ok(())
}

/// How an engine's own image runs it.
pub(super) fn of_image(engine: &str, version: Option<&str>) -> Program {
    let serves = version.and_then(Version::parse).is_some_and(|version| Version::parse("0.11.1").is_some_and(|from| version >= from));
    Program { positional: engine == "vllm" && serves, flags: engine != "ollama", ..Program::default() }
}

/// The engine that an image runs: its own, or by the name of an image of one's own
/// (`registry.example/team/vllm-openai:0.8`).
pub(super) fn table_of_image(image: &str) -> Option<&'static Table> {
    let parts = [("text-generation-inference", "tgi"), ("vllm-openai", "vllm"), ("llama.cpp", "llama.cpp")];
    let by_name =
        || parts.iter().find(|(part, _)| crate::remedies::flags::repository(image).ends_with(part)).and_then(|(_, engine)| Table::of(engine));
    Table::of_image(image).or_else(by_name)
}

fn tag(image: &str) -> Option<&str> {
    image.split('@').next()?.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

fn version_of_tag(tag: &str) -> Option<String> {
    let version = tag.split(['-', '_', '+']).next().unwrap_or(tag);
    let version = version.strip_prefix('v').unwrap_or(version);
    (version.contains('.') && Version::parse(version).is_some()).then(|| version.to_owned())
}

/// `--flag`, `--flag=value`, `-e value`, `-evalue`, `-it`.
fn docker_option(docker: &'static Table, word: &Word) -> Result<Vec<Argument>, Problem> {
    let text = word.plain();
    let given = |name: &str, values: Vec<Word>, joined: bool| Argument { name: Some(name.to_owned()), values, joined, origin: Origin::Given };
    if text.starts_with("--") {
        return Ok(match word.split_once('=') {
            Some((name, value)) => vec![given(&name, vec![value], true)],
            None => vec![given(&text, Vec::new(), false)],
        });
    }
    let letters: Vec<String> = text.chars().skip(1).map(|c| format!("-{c}")).collect();
    let is_switch = |name: &String| docker.find(name).is_some_and(|found| found.flag.kind(Version::LATEST) == Kind::Switch);
    if letters.iter().all(is_switch) {
        return Ok(letters.iter().map(|name| given(name, Vec::new(), false)).collect());
    }
    let (name, attached) = match word.0.as_slice() {
        [Piece::Text(first), after @ ..] => {
            let (name, value) = first.split_at_checked(2).ok_or(Problem::StrayWord { word: text.clone() })?;
            let mut pieces = vec![Piece::Text(value.strip_prefix('=').unwrap_or(value).to_owned())];
            pieces.extend(after.iter().cloned());
            (name.to_owned(), Word(pieces).joined())
        }
        _ => return Err(Problem::StrayWord { word: text }),
    };
    let values = if attached == Word::text("") { Vec::new() } else { vec![attached] };
    Ok(vec![given(&name, values, false)])
}

/// Reads a program and its arguments.
fn program(command: &mut Command, wrappers: Vec<Word>, words: &[Word], trust: Trust) -> Result<(), Problem> {
    let text = |at: usize| words.get(at).and_then(Word::literal).unwrap_or_default();
    let own = text(0);
    let name = own.rsplit('/').next().unwrap_or_default().to_owned();
    let is_python = name.starts_with("python") && name.trim_start_matches("python").bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if trust == Trust::Log && !is_usual_place(&own) {
        return Err(Problem::Unreadable("the log names a program in an unusual place".to_owned()));
    }
    if matches!(name.as_str(), "sh" | "bash" | "dash") && matches!(text(1).as_str(), "-c" | "-lc" | "-ec" | "-xc") {
        let script = words.get(2).and_then(Word::literal).filter(|_| words.len() == 3);
        let script = script.ok_or_else(|| Problem::Unreadable("the shell's script cannot be read".to_owned()))?;
        // A script of several commands is not one that starts an engine.
        let several = || Problem::Unreadable("the shell's script is more than one command".to_owned());
        let inner = super::read::command(split_only(&script)?.ok_or_else(several)?, trust)?;
        if inner.container.is_some() || !inner.program.shell.is_empty() {
            return Err(several());
        }
        command.engine = inner.engine;
        command.arguments = inner.arguments;
        command.environment.extend(inner.environment);
        command.program = Program { shell: wrappers.into_iter().chain(words.iter().take(2).cloned()).collect(), ..inner.program };
        return Ok(());
    }
    let interpreted = is_python as usize * (1 + words.iter().skip(1).take_while(|word| matches!(word.plain().as_str(), "-u" | "-O" | "-B")).count());
    let module = |at: usize| is_python && text(at) == "-m";
    let (engine, length, positional) = match name.as_str() {
        "text-generation-launcher" => (Some("tgi"), 1, false),
        "vllm" if text(1) == "serve" => (Some("vllm"), 2, true),
        "sglang" if text(1) == "serve" => (Some("sglang"), 2, true),
        "llama-server" | "llama-server.exe" => (Some("llama.cpp"), 1, false),
        "ollama" if matches!(text(1).as_str(), "serve" | "start") => (Some("ollama"), 2, false),
        "ollama" if text(1) == "run" => (Some("ollama"), 2, true),
        _ if module(interpreted) => match text(interpreted + 1).as_str() {
            "vllm.entrypoints.openai.api_server" | "vllm.entrypoints.api_server" => (Some("vllm"), interpreted + 2, false),
            "sglang.launch_server" => (Some("sglang"), interpreted + 2, false),
            _ => (None, interpreted + 2, true),
        },
        "accelerate" if text(1) == "launch" => (None, 2, true),
        "torchrun" | "deepspeed" => (None, 1, true),
        _ if is_python && text(interpreted).ends_with(".py") => (None, interpreted + 1, true),
        _ => return Err(Problem::Unreadable("no program is named that runs a model".to_owned())),
    };
    if engine.is_none() && trust == Trust::Log {
        return Err(Problem::Unreadable("the log runs a script of its own".to_owned()));
    }
    command.engine = engine.map(str::to_owned);
    command.program = Program {
        words: wrappers.into_iter().chain(words.iter().take(length).cloned()).collect(),
        positional,
        flags: engine.is_some_and(|engine| engine != "ollama"),
        shell: Vec::new(),
    };
    let rest = words.get(length..).unwrap_or(&[]);
    command.arguments = match engine.and_then(Table::of).filter(|table| table.parser != Parser::None) {
        Some(table) => arguments(table, rest),
        None => rest.iter().map(|word| Argument { name: None, values: vec![word.clone()], joined: false, origin: Origin::Given }).collect(),
    };
    Ok(())
}

/// True for a place that a log may name a program in: wherever it was installed, but not where anybody may have put it. A
/// shell is the system's.
fn is_usual_place(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let is_anybodys = path.starts_with('/') && matches!(parts.as_slice(), ["tmp", ..] | ["var", "tmp", ..] | ["dev", "shm", ..]);
    // `..` leads out of the present folder, and nowhere else.
    let is_twisted = parts.iter().skip_while(|part| **part == ".." && !path.starts_with('/')).any(|part| *part == "..");
    let is_shell = matches!(parts.last(), Some(&("sh" | "bash" | "dash")));
    let is_own_shell = is_shell && path.contains('/') && !["/bin/", "/usr/bin/"].iter().any(|folder| path.starts_with(folder));
    !is_anybodys && !is_twisted && !is_own_shell
}

fn is_flag(word: &Word) -> bool {
    let text = word.plain();
    let name = text.trim_start_matches('-');
    (1..=2).contains(&(text.len() - name.len())) && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// An engine's arguments, by what its table says that flags take.
pub(super) fn arguments(table: &'static Table, words: &[Word]) -> Vec<Argument> {
    let newest = table.newest().map(|(version, _)| version);
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if !is_flag(word) {
            out.push(Argument { name: None, values: vec![word.clone()], joined: false, origin: Origin::Given });
            continue;
        }
        if let Some((name, value)) = word.split_once('=').filter(|_| table.parser != Parser::Llama) {
            out.push(Argument { name: Some(name), values: vec![value], joined: true, origin: Origin::Given });
            continue;
        }
        let mut name = word.plain();
        let mut values: Vec<Word> = Vec::new();
        // `-O3`
        if let Some(level) = name.strip_prefix("-O").filter(|level| !level.is_empty() && table.find(&name).is_none()) {
            values.push(Word::text(level));
            name = "-O".to_owned();
        }
        let next = |at: usize| words.get(at).filter(|next| !is_flag(next) && next.plain() != "--");
        let found = table.find(&name);
        let kind = match (found, newest) {
            (Some(found), _) if found.negative => Kind::Switch,
            (Some(found), Some(version)) => found.flag.kind(version),
            _ => Kind::OptionalText,
        };
        let truth = |word: &&Word| matches!(word.plain().as_str(), "true" | "false" | "True" | "False");
        match kind {
            _ if !values.is_empty() => {}
            // A switch of the newest version took a value in older ones, and the other way round.
            Kind::Switch | Kind::Negatable | Kind::Truth => {
                let valued = found.is_some_and(|found| {
                    let kinds = table.versions(Some("0")).into_iter().chain(newest);
                    !found.negative && kinds.map(|version| found.flag.kind(version)).any(|kind| kind == Kind::Truth) || kind == Kind::Truth
                });
                if let Some(value) = next(at).filter(truth).filter(|_| valued) {
                    values.push(value.clone());
                    at += 1;
                }
            }
            Kind::List | Kind::Numbers => {
                while let Some(value) = next(at) {
                    values.push(value.clone());
                    at += 1;
                }
            }
            _ => {
                let wanted = next(at).filter(|value| was_not_a_switch(found.map(|f| f.flag), value));
                if let Some(value) = wanted {
                    values.push(value.clone());
                    at += 1;
                }
            }
        }
        out.push(Argument { name: Some(name), values, joined: false, origin: Origin::Given });
    }
    out
}

/// llama.cpp's `-fa` was a switch before it took a value: what follows it is its value only if it can be.
fn was_not_a_switch(flag: Option<&crate::remedies::flags::Flag>, value: &Word) -> bool {
    let Some(flag) = flag else { return true };
    let early = Version::parse("0").map_or(Kind::Text, |version| flag.kind(version));
    early != Kind::Switch
        || ["on", "off", "auto", "true", "false", "1", "0", "enabled", "disabled"].contains(&value.plain().as_str())
        || flag.name != "--flash-attn"
}

impl Command {
    /// Puts variables in the place of secrets.
    pub(super) fn hide_secrets(&mut self) -> Result<(), Problem> {
        let table = self.table();
        for argument in &mut self.arguments {
            let flag = argument.name.as_deref().and_then(|name| table?.find(name)).map(|found| found.flag);
            let named = argument
                .name
                .as_deref()
                .is_some_and(|name| is_secret_name(&name.trim_start_matches('-').replace('-', "_")) && !name.ends_with("-file"));
            for word in &mut argument.values {
                let Some(text) = word.literal() else { continue };
                // What the table knows, it knows: `--long-prefill-token-threshold` is no secret.
                if flag.map_or(named, crate::remedies::flags::Flag::is_secret) {
                    let name = flag.map(|flag| flag.env).filter(|env| !env.is_empty()).map(str::to_owned);
                    let own = || argument.name.as_deref().unwrap_or_default().trim_start_matches('-').replace('-', "_").to_ascii_uppercase();
                    *word = Word::variable(name.unwrap_or_else(own));
                } else if is_secret_text(&text) {
                    return Err(Problem::Unsafe { place: argument.name.clone().unwrap_or_else(|| "a word".to_owned()) });
                }
            }
        }
        for variable in &mut self.environment {
            if variable.value.as_ref().and_then(Word::literal).is_some_and(|text| is_secret_text(&text)) {
                variable.value = None;
            }
        }
        let options = self.container.iter().flat_map(|container| &container.options);
        if options.flat_map(|option| &option.values).filter_map(Word::literal).any(|text| is_secret_text(&text)) {
            return Err(Problem::Unsafe { place: "an option of the container".to_owned() });
        }
        Ok(())
    }
}
