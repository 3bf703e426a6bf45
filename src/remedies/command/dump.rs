//! A command from what a log shows: echoed as it was typed, or rebuilt from the arguments that the engine printed.

use super::read::of_image;
use super::{Argument, Command, Container, Form, Origin, Program, Source, Trust, Word};
use crate::case::{Case, Run};
use crate::extract::arguments::{Arguments, Value};
use crate::facts::Fact;
use crate::post_mortem::Deployment;
use crate::remedies::flags::{Flag, Kind, Table, Version};

/// The best command that a log gives.
pub(super) fn of(case: &Case, run: Option<&Run>, deployment: &Deployment) -> Option<Command> {
    let engine = deployment.engine.as_deref()?;
    let all: Vec<&Fact> = case.facts.iter().filter(|fact| fact.arguments.is_some()).collect();
    let own: Vec<&Fact> = run.into_iter().flat_map(|run| &run.facts).map(|&at| &case.facts[at]).filter(|fact| fact.arguments.is_some()).collect();
    // What a later attempt was started with is not what this one was.
    let end = run.and_then(|run| run.facts.last()).map_or(u64::MAX, |&at| case.facts[at].place.first_line);
    let before = |fact: &&&Fact| &*fact.rule == "given-command" || fact.place.first_line <= end;
    let is_of_engine = |fact: &&Fact| fact.arguments.as_ref().is_some_and(|arguments| arguments.engine == Some(engine));
    let dumps = if own.iter().any(is_of_engine) { own } else { all.clone() };
    let echoed = all.iter().rev().filter(before).filter(|fact| is_command_line(&fact.rule)).find_map(|fact| {
        let trust = if &*fact.rule == "given-command" { Trust::User } else { Trust::Log };
        echo(&fact.place.text, trust).filter(|command| command.engine.as_deref() == Some(engine) || trust == Trust::User)
    });
    if let Some(mut command) = echoed {
        command.version = command.version.or_else(|| deployment.engine_version.clone());
        return Some(command);
    }
    let mut rebuilt = dumps
        .iter()
        .rev()
        .filter_map(|fact| Some((fact, fact.arguments.as_deref()?)))
        .filter(|(_, arguments)| arguments.engine == Some(engine))
        // A full dump of what was asked for beats what was made of it.
        .max_by_key(|(fact, arguments)| (Dump::of(&fact.place.text).rank(), arguments.values.len().min(2000)))
        .and_then(|(fact, arguments)| rebuild(case, deployment, engine, Dump::of(&fact.place.text), arguments));
    if rebuilt.is_none() {
        rebuilt = bare(case, deployment, engine);
    }
    let mut command = rebuilt?;
    command.hide_secrets().ok()?;
    Some(command)
}

/// True for a rule that reads a command line as it was typed: tables name them so.
fn is_command_line(rule: &str) -> bool {
    rule.starts_with("command-") || rule.ends_with("-command")
}

/// The forms of dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dump {
    /// Every argument as it was given or by default.
    Full,
    /// Only those that were given.
    Given,
    /// What the engine made of them.
    Resolved,
}

impl Dump {
    fn of(text: &str) -> Self {
        if text.contains("non-default args") {
            Dump::Given
        } else if text.contains("ServerArgs(") || text.contains("config: ") {
            Dump::Resolved
        } else {
            Dump::Full
        }
    }

    fn rank(self) -> u8 {
        match self {
            Dump::Given => 2,
            Dump::Full => 1,
            Dump::Resolved => 0,
        }
    }
}

/// A command in a message, wherever it begins.
fn echo(text: &str, trust: Trust) -> Option<Command> {
    // A command that goes on where the message ends is not whole.
    if text.trim_end().ends_with('\\') {
        return None;
    }
    if let Ok(command) = Command::read(text, trust) {
        return Some(command);
    }
    let starts = [
        "docker run",
        "podman run",
        "nerdctl run",
        "text-generation-launcher ",
        "vllm serve ",
        "python3 -m ",
        "python -m ",
        "llama-server ",
        "sglang serve ",
    ];
    starts.iter().find_map(|start| {
        // The program's path is part of it.
        let at = text.get(..text.find(start)?)?.trim_end_matches(|c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '`' | '$' | '+')).len();
        let behind = text.get(at..)?;
        let opener = text.get(..at)?.chars().next_back();
        let behind = match opener {
            Some(quote @ ('"' | '\'' | '`')) => behind.split(quote).next()?,
            None | Some(' ' | '\n' | '$' | '+') => behind,
            _ => return None,
        };
        Command::read(behind, trust).ok()
    })
}

fn rebuild(case: &Case, deployment: &Deployment, engine: &str, dump: Dump, arguments: &Arguments) -> Option<Command> {
    let table = Table::of(engine)?;
    let names: Vec<&str> = arguments.values.iter().map(|(name, _)| name.as_str()).collect();
    let known: Vec<&str> = names.iter().copied().filter(|name| flag_of(table, name).is_some()).collect();
    let by_names = || if dump == Dump::Full { table.version_of_dump(&known) } else { None };
    let version = deployment.engine_version.clone().or_else(|| by_names().map(str::to_owned));
    let served = is_served(case, &names);
    let mut command = start(engine, version.as_deref(), served, arguments)?;
    let at = version.as_deref().and_then(Version::parse).or_else(|| table.newest().map(|(version, _)| version))?;
    for (name, value) in &arguments.values {
        if is_the_machines(engine, name, command.container.is_some()) {
            continue;
        }
        let Some(flag) = flag_of(table, name) else { continue };
        if dump == Dump::Resolved && !is_asked_for(engine, name) {
            continue;
        }
        // The version of a build between releases does not tell all that it has.
        if dump == Dump::Full && !flag.is_in(at) {
            continue;
        }
        if let Some(argument) = argument(flag, value, at, dump)? {
            command.arguments.push(argument);
        }
    }
    // What a runner of Ollama is given, the server is not.
    if engine == "ollama" {
        command.arguments.clear();
    } else {
        place_model(&mut command, arguments)?;
    }
    Some(command)
}

/// The flag of a dump's name.
fn flag_of(table: &'static Table, name: &str) -> Option<&'static Flag> {
    let name = match (table.engine, name) {
        ("vllm", "model_tag") => return None,
        ("vllm", "max_seq_len") => "max_model_len",
        (_, name) => name,
    };
    let found = table.find(&format!("--{}", name.replace('_', "-")))?;
    // Beginnings of names are no names here.
    let whole = found.flag.name.trim_start_matches('-').replace('-', "_") == name
        || table.flags.iter().any(|flag| std::ptr::eq(flag, found.flag) && name.len() > 1 && !found.flag.name.starts_with(&format!("--{name}")));
    whole.then_some(found.flag)
}

/// True when the log is a server's, not of a script that uses the engine as a library.
fn is_served(case: &Case, names: &[&str]) -> bool {
    let of_servers = ["host", "port", "model_tag", "api_server_count", "served_model_name", "uvicorn_log_level", "chat_template"];
    let says_so = |fact: &Fact| ["API server", "api_server", "APIServer", "Uvicorn", "vllm serve"].iter().any(|word| fact.place.text.contains(word));
    names.iter().any(|name| of_servers.contains(name))
        || case
            .origins
            .iter()
            .any(|origin| origin.process.as_deref().is_some_and(|name| name.starts_with("APIServer") || name.starts_with("ApiServer")))
        || case.facts.iter().any(says_so)
}

/// The command without its arguments, as the engine is usually started.
fn start(engine: &str, version: Option<&str>, served: bool, arguments: &Arguments) -> Option<Command> {
    let words = |text: &str| text.split(' ').map(Word::from).collect::<Vec<_>>();
    let flags = engine != "ollama";
    let program = |text: &str, positional: bool| Program { words: words(text), positional, flags, shell: Vec::new() };
    let mut command = Command {
        engine: Some(engine.to_owned()),
        version: version.map(str::to_owned),
        source: Source::Rebuilt,
        form: Form::Shell,
        container: None,
        environment: Vec::new(),
        program: Program { flags, ..Program::default() },
        arguments: Vec::new(),
    };
    match engine {
        // The launcher's own port is 3000; 80 is its image's.
        "tgi" if arguments.values.is_empty() || arguments.get(&["port"]).and_then(Value::as_u64) == Some(80) => {
            let option =
                |name: &str, value: Word| Argument { name: Some(name.to_owned()), values: vec![value], joined: false, origin: Origin::Added };
            let volume = Word(vec![super::Piece::Variable("PWD".to_owned()), super::Piece::Text("/data:/data".to_owned())]);
            let image = format!("ghcr.io/huggingface/text-generation-inference:{}", version.unwrap_or("latest"));
            command.container = Some(Container {
                runtime: words("docker run"),
                options: vec![
                    option("--gpus", "all".into()),
                    option("--shm-size", "1g".into()),
                    option("-p", "8080:80".into()),
                    option("-v", volume),
                ],
                image: Word::text(image),
            });
            command.program = of_image(engine, version);
        }
        "tgi" => command.program = program("text-generation-launcher", false),
        "vllm" if !served => command.form = Form::Python,
        "vllm" => {
            let module = version.and_then(Version::parse).is_some_and(|version| Version::parse("0.5.5").is_some_and(|serve| version < serve));
            command.program = if module { program("python3 -m vllm.entrypoints.openai.api_server", false) } else { program("vllm serve", true) };
        }
        "sglang" => command.program = program("python3 -m sglang.launch_server", false),
        "llama.cpp" => command.program = program("llama-server", false),
        "ollama" => command.program = program("ollama serve", false),
        "transformers" => command.form = Form::Python,
        _ => return None,
    }
    Some(command)
}

/// Puts the model where the program takes it, in front.
fn place_model(command: &mut Command, arguments: &Arguments) -> Option<()> {
    let (flag, names): (&str, &[&str]) = match command.engine.as_deref()? {
        "tgi" => ("--model-id", &["model_id"]),
        "sglang" => ("--model-path", &["model_path", "model"]),
        _ => ("--model", &["model_tag", "model"]),
    };
    let model = arguments.get(names)?.as_str()?.to_owned();
    put_model(command, flag, &model)
}

fn put_model(command: &mut Command, flag: &str, model: &str) -> Option<()> {
    if model.is_empty() || model.starts_with('-') {
        return None;
    }
    command.arguments.retain(|argument| argument.name.as_deref() != Some(flag));
    let name = (!command.program.positional).then(|| flag.to_owned());
    command.arguments.insert(0, Argument { name, values: vec![Word::text(model)], joined: false, origin: Origin::Given });
    // Names that say the model once more.
    command.arguments.retain(|argument| {
        let repeats = matches!(argument.name.as_deref(), Some("--tokenizer" | "--tokenizer-path" | "--served-model-name"));
        !(repeats && argument.values.first().is_some_and(|word| word.plain() == model))
    });
    Some(())
}

/// True for what the machine or the image sets, not the user.
fn is_the_machines(engine: &str, name: &str, in_image: bool) -> bool {
    match engine {
        "tgi" => {
            name == "hostname"
                || name == "env"
                || in_image && matches!(name, "port" | "huggingface_hub_cache" | "weights_cache_override" | "shard_uds_path" | "prometheus_port")
        }
        "vllm" => {
            matches!(name, "headless" | "config" | "seed" | "model" | "model_tag" | "disable_log_stats" | "use_async_output_proc" | "worker_cls")
        }
        _ => false,
    }
}

/// Of what an engine made of its arguments: what a user sets, and what therefore keeps the run as it was.
fn is_asked_for(engine: &str, name: &str) -> bool {
    let names: &[&str] = match engine {
        "vllm" => &[
            "model",
            "tokenizer",
            "tokenizer_mode",
            "revision",
            "trust_remote_code",
            "dtype",
            "max_seq_len",
            "download_dir",
            "load_format",
            "tensor_parallel_size",
            "pipeline_parallel_size",
            "disable_custom_all_reduce",
            "quantization",
            "enforce_eager",
            "kv_cache_dtype",
            "served_model_name",
        ],
        _ => &[
            "model_path",
            "tokenizer_path",
            "host",
            "port",
            "served_model_name",
            "context_length",
            "quantization",
            "dtype",
            "kv_cache_dtype",
            "tp_size",
            "dp_size",
            "pp_size",
            "ep_size",
            "mem_fraction_static",
            "max_running_requests",
            "max_total_tokens",
            "chunked_prefill_size",
            "max_prefill_tokens",
            "trust_remote_code",
            "revision",
            "chat_template",
            "load_format",
            "cpu_offload_gb",
            "disable_cuda_graph",
            "disable_radix_cache",
            "cuda_graph_max_bs",
            "enable_torch_compile",
            "enable_dp_attention",
            "reasoning_parser",
            "tool_call_parser",
            "log_level",
            "api_key",
            "is_embedding",
            "enable_mixed_chunk",
            "nnodes",
            "node_rank",
            "dist_init_addr",
            "attention_backend",
        ],
    };
    names.contains(&name)
}

/// A dump's value as an argument; nothing when it is the default. The outer `None`: it cannot be written on a command line.
#[allow(clippy::option_option)]
fn argument(flag: &'static Flag, value: &Value, version: Version, dump: Dump) -> Option<Option<Argument>> {
    let kind = flag.kind(version);
    let make = |name: &str, values: Vec<String>| {
        Some(Some(Argument {
            name: Some(name.to_owned()),
            values: values.into_iter().map(Word::text).collect(),
            joined: false,
            origin: Origin::Given,
        }))
    };
    let default = flag.default(version);
    let switch = matches!(kind, Kind::Switch | Kind::Negatable);
    match value {
        Value::None => Some(None),
        Value::Bool(on) if switch => match (on, default == Some("true")) {
            (true, false) => make(flag.name, Vec::new()),
            (false, true) if kind == Kind::Negatable => make(&flag.name.replacen("--", "--no-", 1), Vec::new()),
            (false, false) if kind == Kind::Negatable && dump == Dump::Given => make(&flag.name.replacen("--", "--no-", 1), Vec::new()),
            _ => Some(None),
        },
        Value::Bool(on) if dump != Dump::Given && default == Some(if *on { "true" } else { "false" }) => Some(None),
        Value::Bool(on) => {
            if kind == Kind::Json || kind == Kind::Integer {
                Some(None)
            } else {
                make(flag.name, vec![on.to_string()])
            }
        }
        Value::List(items) if items.is_empty() => Some(None),
        Value::List(items) => {
            // In a full dump, lists that are not asked for are defaults.
            if dump == Dump::Full
                && !matches!(kind, Kind::Integers)
                && !matches!(flag.name, "--served-model-name" | "--lora-modules" | "--cudagraph-capture-sizes" | "--cuda-graph-sizes")
            {
                return Some(None);
            }
            let words: Vec<String> = items.iter().map(plain).collect::<Option<_>>()?;
            match kind {
                Kind::Integers => make(flag.name, vec![words.join(",")]),
                Kind::List | Kind::Numbers => make(flag.name, words),
                _ if words.len() == 1 => make(flag.name, words),
                _ => None,
            }
        }
        Value::Raw(text) => {
            let json = json_of(text);
            match json {
                Some(json) if json == "{}" || json == "[]" => Some(None),
                Some(json) if matches!(kind, Kind::Json) && (dump != Dump::Full || is_users_json(flag.name)) => make(flag.name, vec![json]),
                _ if dump == Dump::Given => None,
                _ => Some(None),
            }
        }
        Value::Str(text) if text.is_empty() => Some(None),
        Value::Int(_) | Value::Float(_) | Value::Str(_) => {
            let word = allowed(flag, version, plain(value)?);
            if switch
                || (default.is_some_and(|default| same(default, &word)) && dump != Dump::Given)
                || matches!(word.as_str(), "auto" | "None") && dump == Dump::Resolved
            {
                return Some(None);
            }
            make(flag.name, vec![word])
        }
    }
}

fn is_users_json(name: &str) -> bool {
    [
        "--limit-mm-per-prompt",
        "--hf-overrides",
        "--rope-scaling",
        "--speculative-config",
        "--mm-processor-kwargs",
        "--kv-transfer-config",
        "--model-loader-extra-config",
    ]
    .contains(&name)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Str(text) => Some(text.clone()),
        _ => None,
    }
}

fn same(left: &str, right: &str) -> bool {
    left == right || matches!((left.parse::<f64>(), right.parse::<f64>()), (Ok(left), Ok(right)) if (left - right).abs() < 1e-9)
}

/// The spelling of the command line for what a dump prints: `BitsandbytesNf4`, `LoadFormat.AUTO`, `torch.float16`.
fn allowed(flag: &Flag, version: Version, word: String) -> String {
    let last = if flag.name == "--dtype" || word.starts_with("LoadFormat.") || word.starts_with("torch.") {
        word.rsplit('.').next().unwrap_or(&word).to_owned()
    } else {
        word.clone()
    };
    let key = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let values = flag.values(version);
    if values.contains(&word.as_str()) {
        return word;
    }
    match values.iter().find(|value| key(value) == key(&last)) {
        Some(value) => (*value).to_owned(),
        None if word.starts_with("LoadFormat.") => last.to_ascii_lowercase(),
        None => last,
    }
}

/// JSON of what Python prints for a dictionary or list.
fn json_of(text: &str) -> Option<String> {
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok().map(|value| value.to_string());
    if let Some(json) = parsed(text) {
        return Some(json);
    }
    if text.contains('"') || text.contains('\\') {
        return None;
    }
    parsed(&text.replace('\'', "\"").replace("True", "true").replace("False", "false").replace("None", "null").replace('(', "[").replace(')', "]"))
}

/// A command where the log prints no arguments, but names the model.
fn bare(case: &Case, deployment: &Deployment, engine: &str) -> Option<Command> {
    let served = is_served(case, &[]);
    let mut command = start(engine, deployment.engine_version.as_deref(), served, &Arguments::default())?;
    if engine == "ollama" {
        for (name, value) in &deployment.arguments {
            let name = name.to_ascii_uppercase();
            let (Some(flag), Some(value)) = (
                command.table().and_then(|table| table.of_variable(&name)),
                value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|n| n.to_string())),
            ) else {
                continue;
            };
            command.environment.push(super::Variable { name: flag.name.to_owned(), value: Some(Word::text(value)), origin: Origin::Given });
        }
        return Some(command);
    }
    let model = deployment.model.as_deref()?;
    // llama.cpp prints the file's name, or the name that its author gave the model: neither is a path that could be opened.
    // And what was asked for beside it, but could not be taken over as a command, must not get lost.
    if engine == "llama.cpp" && (!model.contains('/') || !deployment.arguments.is_empty()) {
        return None;
    }
    let flag = match engine {
        "tgi" => "--model-id",
        "sglang" => "--model-path",
        "transformers" => "model",
        // A name with a slash and no file's ending is a repository.
        "llama.cpp" if !model.ends_with(".gguf") && !model.starts_with(['/', '.', '~']) && model.matches('/').count() == 1 => "--hf-repo",
        _ => "--model",
    };
    put_model(&mut command, flag, model)?;
    let mut given = |name: &str, value: String| {
        command.arguments.push(Argument { name: Some(name.to_owned()), values: vec![Word::text(value)], joined: false, origin: Origin::Given })
    };
    match engine {
        "transformers" => {
            if let Some(dtype) = deployment.dtype.as_deref().filter(|dtype| ["float16", "bfloat16", "float32"].contains(dtype)) {
                given("torch_dtype", dtype.to_owned());
            }
        }
        "vllm" => {
            for (name, value) in [("--tensor-parallel-size", deployment.tensor_parallel), ("--max-model-len", deployment.max_model_len)] {
                if let Some(value) = value {
                    given(name, value.to_string());
                }
            }
        }
        "llama.cpp" => {
            if let Some(length) = deployment.max_model_len {
                given("--ctx-size", length.to_string());
            }
            // Older builds put none on the device unless told so.
            if let Some(layers) = case.facts.iter().rev().find_map(|fact| fact.number("layers")).filter(|layers| *layers > 0) {
                given("--n-gpu-layers", layers.to_string());
            }
        }
        _ => {}
    }
    Some(command)
}
