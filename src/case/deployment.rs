//! What was running, as far as the log states it.

use crate::case::{Case, Run};
use crate::envelope::Origin;
use crate::extract::arguments::{self, Arguments, Value};
use crate::facts::{Fact, FactKind, Strength};
use crate::post_mortem::{Deployment, Device, Figures};

/// The engines, the outermost first: a program that runs another one names the deployment.
const OUTERMOST: &[&str] = &[
    "tgi",
    "sglang",
    "lmdeploy",
    "tensorrt-llm",
    "vllm",
    "ollama",
    "llama.cpp",
    "deepspeed",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "other",
    "pytorch",
    "kubernetes",
    "kernel",
];
/// How many engines from the front of the list are servers; the rest are libraries and hosts.
const SERVERS: usize = 7;

/// Devices beyond this number are left out.
const MAX_DEVICES: usize = 64;

/// The figures that arguments put in force.
pub fn figures_of(arguments: &Arguments) -> Figures {
    let deployed = arguments::deployment(arguments);
    Figures { max_model_len: deployed.max_model_len, gpu_memory_utilization: deployed.gpu_memory_utilization, ..Figures::default() }
}

/// The engine that ran the model, as facts and the names of processes tell it.
pub fn engine<'f>(facts: impl Iterator<Item = &'f Fact>, mut origins: impl Iterator<Item = &'f Origin>) -> Option<&'static str> {
    let mut votes: Vec<(&'static str, u32)> = OUTERMOST.iter().map(|&engine| (engine, 0)).collect();
    for fact in facts {
        let Some(engine) = fact.engine.as_deref() else { continue };
        let weight = match fact.kind {
            FactKind::Arguments | FactKind::RunStart => 40,
            FactKind::Context if matches!(&*fact.rule, "format" | "usage") => 20,
            FactKind::Mark | FactKind::Metrics | FactKind::Device => 10,
            // A guess names the engine only where nothing else does.
            _ if fact.strength <= Strength::Weak && !fact.software.is_empty() => 1,
            _ if fact.is_exception => 6,
            _ => 8,
        };
        if let Some(vote) = votes.iter_mut().find(|(name, _)| *name == engine) {
            vote.1 += weight;
        }
    }
    let is_of_vllm = |name: &str| {
        ["EngineCore", "APIServer", "ApiServer", "Worker_", "VllmWorker", "RayWorkerVllm", "DPCoordinator"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    if let Some(vote) = votes.iter_mut().find(|(name, _)| *name == "vllm")
        && origins.any(|origin| origin.process.as_deref().is_some_and(is_of_vllm))
    {
        vote.1 += 20;
    }
    let most_of_a_server = votes.iter().take(SERVERS).map(|&(_, votes)| votes).max().unwrap_or(0);
    let server = votes.iter().take(SERVERS).find(|&&(_, votes)| votes >= 6 && votes * 5 >= most_of_a_server);
    let any = || votes.iter().find(|&&(_, votes)| votes >= 6).or_else(|| votes.iter().find(|&&(_, votes)| votes > 0));
    server.or_else(any).map(|&(name, _)| name)
}

/// True for an engine that serves clients; the others are what scripts use.
pub fn is_server(engine: Option<&str>) -> bool {
    matches!(engine, Some("tgi" | "vllm" | "sglang" | "llama.cpp" | "ollama" | "lmdeploy" | "tensorrt-llm"))
}

/// True for the table of one server, which knows no other program.
pub fn is_of_a_server(software: &str) -> bool {
    matches!(software, "vllm" | "tgi" | "sglang" | "llama_cpp" | "ollama")
}

/// True when a table's broad rules may speak about a program of this engine: a server's table knows its own server.
pub fn speaks_of(software: &str, engine: Option<&str>) -> bool {
    let own: &[&str] = match software {
        "vllm" => &["vllm"],
        "tgi" => &["tgi"],
        "sglang" => &["sglang"],
        "llama_cpp" => &["llama.cpp", "ollama"],
        "ollama" => &["ollama"],
        "deepspeed" => &["deepspeed", "transformers", "pytorch"],
        _ => return true,
    };
    engine.is_some_and(|engine| own.contains(&engine))
}

/// The deployment of a run, completed from the other runs of its service.
pub fn deployment(case: &Case, run: Option<&Run>) -> Deployment {
    let engine = run.map_or(case.engine(), |run| case.engine_of(run.container.as_deref()));
    let mut deployment = Deployment { engine: engine.map(str::to_owned), ..Deployment::default() };
    let own: Vec<&Fact> = run.map(|run| run.facts.iter().map(|&i| &case.facts[i]).collect()).unwrap_or_default();
    let speaks_for_itself = own.iter().any(|fact| matches!(fact.kind, FactKind::RunStart | FactKind::Arguments));
    let is_of_the_service = |fact: &&Fact| {
        let container = case.container(fact);
        run.is_none_or(|run| !speaks_for_itself || container == run.container.as_deref() || case.own_engine(container).is_none())
    };
    let all: Vec<&Fact> = case.facts.iter().filter(is_of_the_service).collect();
    // What a run's own dump leaves out has its default, whatever another attempt was given.
    let is_told = own.iter().any(|fact| fact.arguments.as_ref().is_some_and(|arguments| arguments.engine.is_some()));
    read_arguments(&mut deployment, &own, true);
    read_context(&mut deployment, &own);
    read_arguments(&mut deployment, &all, !is_told);
    read_context(&mut deployment, &all);
    deployment.devices = devices(&all);
    deployment
}

/// Reads dumps: what was running, and with `settings` how.
fn read_arguments(deployment: &mut Deployment, facts: &[&Fact], settings: bool) {
    // The dump of the engine's own parser beats a command line, a later dump completes an earlier one.
    let mut dumps: Vec<&Arguments> = facts.iter().filter_map(|fact| fact.arguments.as_deref()).collect();
    dumps.sort_by_key(|arguments| u8::from(arguments.engine.is_none()));
    for arguments in dumps {
        let deployed = arguments::deployment(arguments);
        let d = &mut *deployment;
        d.engine_version = d.engine_version.take().or(deployed.version);
        d.model = better_name(d.model.take(), deployed.model);
        if !settings {
            continue;
        }
        d.dtype = d.dtype.take().or(deployed.dtype);
        d.quantization = d.quantization.take().or(deployed.quantization);
        d.tensor_parallel = d.tensor_parallel.or(deployed.tensor_parallel);
        d.max_model_len = d.max_model_len.or(deployed.max_model_len);
        d.gpu_memory_utilization = d.gpu_memory_utilization.or(deployed.gpu_memory_utilization);
        for (key, value) in &arguments.values {
            d.arguments.entry(key.clone()).or_insert_with(|| json(value));
        }
    }
}

fn read_context(deployment: &mut Deployment, facts: &[&Fact]) {
    // What is said first is of the model itself; drafts, tokenizers and adapters come later. Failures name it last.
    let word = |name: &str| {
        let said = |failing: bool| facts.iter().filter(move |f| f.kind.is_failure() == failing).find_map(|f| f.word(name));
        said(false).or_else(|| said(true)).map(str::to_owned)
    };
    let d = deployment;
    let engine = d.engine.clone();
    let version = || {
        facts
            .iter()
            .filter(|f| f.engine.is_none() || f.engine.as_deref() == engine.as_deref())
            .filter(|f| matches!(f.kind, FactKind::RunStart | FactKind::Context | FactKind::Mark | FactKind::Arguments))
            .find_map(|f| f.word("version"))
            .map(str::to_owned)
    };
    d.engine_version = d.engine_version.take().or_else(version);
    let named = |failing: bool| facts.iter().filter(move |f| f.kind.is_failure() == failing).filter_map(|f| f.word("model"));
    let name = named(false).chain(named(true)).find(|model| !is_blob(model)).map(str::to_owned).or_else(|| word("model"));
    d.model = better_name(d.model.take(), name.map(|model| hub_id(&model).unwrap_or(model)));
    d.dtype = d.dtype.take().or_else(|| word("dtype"));
    d.quantization = d.quantization.take().or_else(|| word("quantization"));
    let number = |name: &str| facts.iter().rev().find_map(|f| f.number(name)).and_then(|n| u64::try_from(n).ok());
    d.tensor_parallel = d.tensor_parallel.or_else(|| number("tensor_parallel"));
    d.max_model_len = d.max_model_len.or_else(|| facts.iter().rev().filter(|f| !f.kind.is_failure()).find_map(|f| f.figures.max_model_len));
    d.gpu_memory_utilization = d.gpu_memory_utilization.or_else(|| facts.iter().rev().find_map(|f| f.figures.gpu_memory_utilization));
}

/// The first name, unless it is only that of a blob and the second is not.
fn better_name(first: Option<String>, second: Option<String>) -> Option<String> {
    let is_name = second.as_deref().is_some_and(|name| !is_blob(name));
    first.filter(|name| !is_name || !is_blob(name)).or(second)
}

/// True for a file in Ollama's store, whose name is a digest: it says nothing to anybody.
fn is_blob(model: &str) -> bool {
    model.contains("/blobs/sha256-") || model.contains("\\blobs\\sha256-")
}

/// The hub's id of a folder in its cache: `…/models--acme--owl-7b/snapshots/…` is `acme/owl-7b`.
fn hub_id(path: &str) -> Option<String> {
    let folder = path.split('/').find_map(|part| part.strip_prefix("models--"))?;
    Some(folder.replacen("--", "/", 1))
}

fn devices(facts: &[&Fact]) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    for fact in facts {
        let Some(index) = fact.figures.device.or_else(|| fact.figures.total_bytes.map(|_| 0)) else { continue };
        let name = fact.word("device_name").map(str::to_owned);
        let known = devices.iter().position(|device| device.index == index);
        if let Some(device) = known.and_then(|at| devices.get_mut(at)) {
            device.name = device.name.take().or(name);
            device.total_bytes = device.total_bytes.or(fact.figures.total_bytes);
        } else if devices.len() < MAX_DEVICES {
            devices.push(Device { index, name, total_bytes: fact.figures.total_bytes });
        }
    }
    devices.sort_by_key(|device| device.index);
    devices
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::None => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Str(value) | Value::Raw(value) => value.as_str().into(),
        Value::List(values) => values.iter().map(json).collect(),
    }
}
