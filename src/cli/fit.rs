//! `oomdoc fit MODEL`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::{ColorChoice, ValueEnum};
use miette::{Report, miette};
use serde_json::{Value, json};

use crate::cli::{Failure, Outcome, tell};
use crate::memory::catalogue::UserCatalogue;
use crate::memory::device::{UnknownDevice, ask};
use crate::memory::estimate::{CacheFormat, Engine, Setup, Verdict, Version, changes, check, estimate, formats, largest};
use crate::memory::files::{self, ResolveError};
use crate::memory::format::{Dtype, Method};
use crate::memory::model::UnknownModel;
use crate::memory::{Device, Model, Origin};
use crate::report::Style;
use crate::report::fit::{self, Fit, Sweep};

/// Arguments of `fit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model: a hub id, a folder or file, a GGUF file's name, an Ollama tag
    #[arg(value_name = "MODEL")]
    model: String,
    /// The GPU by its name, or its memory (`24GiB`); `auto` asks the driver. May be given several times
    #[arg(long, value_name = "NAME|SIZE", default_value = "auto")]
    gpu: Vec<String>,
    /// The engine: vllm, tgi, sglang, llama.cpp, ollama [default: vllm; llama.cpp for GGUF files]
    #[arg(long, value_name = "NAME")]
    engine: Option<Engine>,
    /// The engine's version [default: the newest that is known]
    #[arg(long, value_name = "VERSION")]
    engine_version: Option<String>,
    /// The dtype of unquantized weights: float16, bfloat16, float32 [default: as the engine chooses]
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<String>,
    /// The quantization: fp8, awq, gptq, bitsandbytes, Q4_K_M, none … [default: as the model is stored]
    #[arg(long, value_name = "METHOD")]
    quantization: Option<String>,
    /// How the cache is stored: auto, fp8, q8_0 …
    #[arg(long, value_name = "DTYPE")]
    kv_cache_dtype: Option<String>,
    /// The longest sequence in tokens, prompt and answer together [default: as the engine chooses]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    max_model_len: Option<u64>,
    /// Sequences at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    max_num_seqs: Option<u64>,
    /// Tokens of a prefill step
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    max_num_batched_tokens: Option<u64>,
    /// Devices that split each layer
    #[arg(long, visible_alias = "tensor-parallel-size", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    tensor_parallel: u64,
    /// Devices that split the layers among them
    #[arg(long, visible_alias = "pipeline-parallel-size", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pipeline_parallel: u64,
    /// The fraction of the device that the engine may take
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    gpu_memory_utilization: Option<f64>,
    /// No CUDA graphs
    #[arg(long)]
    enforce_eager: bool,
    /// The number of parameters (`6.7B`), for a model that is not known
    #[arg(long, value_name = "COUNT")]
    params: Option<String>,
    /// Entries of your own for models, in the format of the catalogue
    #[arg(long, value_name = "FILE")]
    models: Option<PathBuf>,
    /// Tries quantizations and contexts, and prints which fit
    #[arg(long)]
    sweep: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t = FitFormat::Text)]
    format: FitFormat,
    /// When to use colours
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FitFormat {
    Text,
    Json,
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        Ok(_) => Err("it is a fraction of the device: more than 0, and 1 at the most".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Predicts and prints.
pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let model = model(args)?;
    let devices = args.gpu.iter().map(|name| devices(name)).collect::<Result<Vec<_>, _>>()?.concat();
    let setup = setup(args, &model)?;
    if args.sweep {
        return sweep(args, &model, &devices, &setup);
    }
    let mut outcome = Outcome::Healthy;
    let mut fits = Vec::new();
    let mut objects = Vec::new();
    for device in &devices {
        let mut fit =
            Fit { model: &model, device, estimate: estimate(&model, device, &setup), largest: largest(&model, device, &setup), changes: Vec::new() };
        if args.engine.is_none() {
            fit.estimate.plan.assumptions.insert(0, format!("{} serves it, as no engine is given", setup.engine));
        }
        if let Err(reason) = check(&model, device, &fit.estimate.plan) {
            let report = miette!(code = "oomdoc::fit::impossible", help = reason.help(), "{reason}");
            if devices.len() == 1 {
                return Err(report.into());
            }
            outcome = Outcome::Refused;
            objects.push(json!({"model": model.id, "device": device.name, "verdict": "unknown", "error": reason.to_string()}));
            tell(&report);
            continue;
        }
        let fit = match fit.estimate.verdict {
            Verdict::Exceeds | Verdict::Tight => Fit { changes: changes(&model, device, &setup), ..fit },
            _ => fit,
        };
        outcome = outcome.max(of_verdict(fit.estimate.verdict));
        objects.push(fit::json(&fit));
        fits.push(fit);
    }
    match (args.format, &fits[..]) {
        (FitFormat::Json, _) => print_json(objects)?,
        (FitFormat::Text, [only]) if devices.len() == 1 => print(args, |style, out| fit::write(only, style, out))?,
        (FitFormat::Text, several) => print(args, |style, out| fit::write_table(several, style, out))?,
    }
    Ok(outcome)
}

fn of_verdict(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Fits | Verdict::Tight => Outcome::Healthy,
        Verdict::Exceeds => Outcome::Incidents,
        Verdict::Unknown => Outcome::Refused,
    }
}

/// What the arguments ask for.
fn setup(args: &Args, model: &Model) -> Result<Setup, Report> {
    let gguf = matches!(model.quantization.method, Some(Method::Gguf(_)));
    let engine = args.engine.unwrap_or(if gguf { Engine::LlamaCpp } else { Engine::Vllm });
    let known = |what: &str, value: &str, help: &str| {
        miette!(code = "oomdoc::fit::argument", help = help.to_owned(), "`{value}` is no {what} that oomdoc knows")
    };
    let version = match args.engine_version.as_deref() {
        Some(text) => Some(Version::find(text).ok_or_else(|| known("version", text, "write it as 0.10.2"))?),
        None => None,
    };
    let dtype = match args.dtype.as_deref() {
        Some("auto") | None => None,
        Some(text) => Some(Dtype::parse(text).ok_or_else(|| known("dtype", text, "float16, bfloat16, float32 or auto"))?),
    };
    let help = "fp8, awq, gptq, bitsandbytes, bitsandbytes-nf4, eetq, w8a8, mxfp4, nvfp4, a GGUF mix such as Q4_K_M, or none";
    let quantization = match args.quantization.as_deref() {
        Some(word) => Some(formats::asked(engine, word, model.quantization).ok_or_else(|| known("quantization", word, help))?),
        None => None,
    };
    let cache = match args.kv_cache_dtype.as_deref() {
        Some(word) => Some(
            CacheFormat::parse(word)
                .ok_or_else(|| known("cache format", word, "auto, fp8, fp8_e5m2, bfloat16, q8_0, q4_0, or keys/values: q8_0/f16"))?,
        ),
        None => None,
    };
    Ok(Setup {
        version,
        dtype,
        quantization,
        cache,
        max_model_len: args.max_model_len,
        max_num_seqs: args.max_num_seqs,
        max_num_batched_tokens: args.max_num_batched_tokens,
        tensor_parallel: args.tensor_parallel,
        pipeline_parallel: args.pipeline_parallel,
        fraction: args.gpu_memory_utilization,
        eager: args.enforce_eager,
        ..Setup::new(engine)
    })
}

/// Contexts of a sweep.
const CONTEXTS: [u64; 6] = [4096, 8192, 16384, 32768, 65536, 131_072];

fn sweep(args: &Args, model: &Model, devices: &[Device], setup: &Setup) -> Result<Outcome, Failure> {
    let longest = model.shape.as_ref().and_then(|shape| shape.max_positions).unwrap_or(u64::MAX);
    let mut contexts: Vec<u64> = CONTEXTS.into_iter().filter(|c| *c <= longest.max(4096)).collect();
    contexts.extend(args.max_model_len.filter(|asked| !contexts.contains(asked)));
    contexts.sort_unstable();
    let mut outcome = Outcome::Incidents;
    let mut objects = Vec::new();
    for (at, device) in devices.iter().enumerate() {
        let mut rows = Vec::new();
        for word in words_of(setup.engine, args.quantization.as_deref(), model) {
            let quantization = formats::asked(setup.engine, &word, model.quantization);
            let cell = |context: &u64| {
                let setup = Setup { quantization, max_model_len: Some(*context), ..setup.clone() };
                let estimate = estimate(model, device, &setup);
                check(model, device, &estimate.plan).is_ok().then_some(estimate)
            };
            let cells: Vec<_> = contexts.iter().map(cell).collect();
            if cells.iter().flatten().any(|e| matches!(e.verdict, Verdict::Fits | Verdict::Tight)) {
                outcome = Outcome::Healthy;
            }
            rows.push((word, cells));
        }
        let sweep = Sweep { model, device, contexts: contexts.clone(), rows };
        objects.push(fit::sweep_json(&sweep));
        if args.format == FitFormat::Text {
            print(args, |style, out| {
                if at > 0 {
                    writeln!(out)?;
                }
                fit::write_sweep(&sweep, style, out)
            })?;
        }
    }
    if args.format == FitFormat::Json {
        print_json(objects)?;
    }
    Ok(outcome)
}

/// The quantizations of a sweep: the engine's usual ones. A model that is stored quantized is what it is: only that one.
fn words_of(engine: Engine, asked: Option<&str>, model: &Model) -> Vec<String> {
    match (asked, model.quantization.method) {
        (Some(word), _) => vec![word.to_owned()],
        (None, Some(method)) if !matches!(method, Method::Gguf(_)) => vec![method.as_str().to_owned()],
        _ => formats::usual(engine).iter().map(|word| (*word).to_owned()).collect(),
    }
}

/// One object, or an array of several.
fn print_json(mut objects: Vec<Value>) -> Result<(), Failure> {
    let value = if objects.len() == 1 { objects.remove(0) } else { Value::Array(objects) };
    let text = serde_json::to_string_pretty(&value).map_err(io::Error::from)?;
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

fn print(args: &Args, write: impl FnOnce(&Style, &mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let to_terminal = io::stdout().is_terminal();
    let color = super::analyze::wants_color(args.color, to_terminal);
    let width = if to_terminal { textwrap::termwidth().clamp(40, 120) } else { 80 };
    let mut out = io::BufWriter::new(io::stdout().lock());
    write(&Style { width, color, unicode: true }, &mut out)?;
    out.flush()?;
    Ok(())
}

/// The model: its own files, the user's entries, the catalogue, a number of parameters that was given, a size in its name.
fn model(args: &Args) -> Result<Model, Report> {
    let user = match &args.models {
        Some(path) => {
            UserCatalogue::read(path).map_err(|error| miette!(code = "oomdoc::fit::models", help = "see CONTRIBUTING.md, \"A model\"", "{error}"))?
        }
        None => UserCatalogue::default(),
    };
    let given = match args.params.as_deref() {
        Some(text) => Some(Model::given(text).ok_or_else(|| {
            miette!(code = "oomdoc::fit::argument", help = "write it as 6.7B, 350M or 6738415616", "`{text}` is no number of parameters")
        })?),
        None => None,
    };
    match (files::resolve(&args.model, &user), given) {
        // A count that was given beats a size in a name, but not a model that is known.
        (Ok(model), Some(given)) if model.origin == Origin::Name => Ok(Model { id: model.id, quantization: model.quantization, ..given }),
        (Ok(model), _) => Ok(model),
        (Err(ResolveError::Unknown(unknown)), Some(given)) => Ok(Model { id: unknown.name, ..given }),
        (Err(ResolveError::Unknown(unknown)), None) => {
            let near = if unknown.near.is_empty() { String::new() } else { format!(" Names like it: {}.", unknown.near.join(", ")) };
            let help = format!("{}{near}", UnknownModel::WOULD_SETTLE);
            Err(miette!(code = "oomdoc::fit::unknown_model", help = help, "{unknown}"))
        }
        (Err(ResolveError::Files(error)), _) => {
            Err(miette!(code = "oomdoc::fit::files", help = "is it the folder of a whole model, or a single .gguf or .safetensors file?", "{error}"))
        }
    }
}

/// The devices that a text means: those of this machine (of several alike, one), one of the catalogue, or a size.
fn devices(text: &str) -> Result<Vec<Device>, Report> {
    if text.eq_ignore_ascii_case("auto") {
        let mut found = ask::devices().map_err(|error| unknown(&error))?;
        found.dedup_by(|a, b| a.name == b.name && a.total == b.total && a.in_use == b.in_use);
        return Ok(found);
    }
    Device::find(text).map(|device| vec![device]).map_err(|error| unknown(&error))
}

fn unknown(error: &UnknownDevice) -> Report {
    let help = match error {
        UnknownDevice::Unknown { near, .. } if !near.is_empty() => format!("names like it: {}", near.join(", ")),
        UnknownDevice::NotAsked(_) => "name the device: --gpu \"RTX 4090\", or its memory: --gpu 24GiB".to_owned(),
        UnknownDevice::Unknown { .. } | UnknownDevice::Ambiguous { .. } => {
            "a marketing name, the name that nvidia-smi prints, a MIG slice, or a size".to_owned()
        }
    };
    miette!(code = "oomdoc::fit::unknown_device", help = help, "{error}")
}
