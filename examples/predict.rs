//! Predicts figures that servers printed, and says how far off the predictions are.
//!
//! `cargo run --release --example predict -- measured.csv`. The table has one figure a row; figures of one run share
//! their source and their setup. Options set floors: beyond one of them, the exit code is 1.

#![allow(clippy::print_stdout, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use oomdoc::memory::catalogue::UserCatalogue;
use oomdoc::memory::estimate::cache::Layout;
use oomdoc::memory::estimate::{CacheFormat, Engine, Estimate, Plan, Setup, Verdict, Version, estimate, formats};
use oomdoc::memory::format::{Dtype, Method};
use oomdoc::memory::{Bytes, Device, Model};

/// Compares predictions with measured figures.
#[derive(Parser)]
struct Args {
    /// The measured figures
    table: PathBuf,
    /// How many of the worst predictions of each metric to print
    #[arg(long, default_value_t = 10)]
    worst: usize,
    /// Largest median error of weights other than GGUF, in percent
    #[arg(long)]
    max_weights_median: Option<f64>,
    /// Largest 95th percentile of it
    #[arg(long)]
    max_weights_p95: Option<f64>,
    /// Largest median error of GGUF weights, in percent
    #[arg(long)]
    max_gguf_median: Option<f64>,
    /// Least share of cache sizes within 0.5 %, in percent
    #[arg(long)]
    min_cache_share: Option<f64>,
    /// Largest median error of the tokens that a pool holds, in percent
    #[arg(long)]
    max_tokens_median: Option<f64>,
    /// Largest 95th percentile of it
    #[arg(long)]
    max_tokens_p95: Option<f64>,
    /// Largest median error of the activation peak, in percent
    #[arg(long)]
    max_activation_median: Option<f64>,
    /// Largest 95th percentile of it
    #[arg(long)]
    max_activation_p95: Option<f64>,
    /// Least share of runs whose outcome (came up, or refused) is predicted, in percent
    #[arg(long)]
    min_verdict_share: Option<f64>,
}

/// A row by its columns.
type Row = BTreeMap<String, String>;

/// One prediction.
struct Prediction {
    row: String,
    engine: String,
    version: String,
    model: String,
    quantization: String,
    measured: f64,
    predicted: f64,
}

impl Prediction {
    fn error(&self) -> f64 {
        100.0 * (self.predicted / self.measured - 1.0)
    }
}

/// A run: what its rows have in common, and the rows by metric.
struct Run<'a> {
    model: Model,
    device: Device,
    setup: Setup,
    rows: Vec<&'a Row>,
}

impl Run<'_> {
    fn value(&self, metric: &str) -> Option<(&Row, f64)> {
        let row = self.rows.iter().find(|row| row["metric"] == metric)?;
        Some((row, row["value"].parse().ok()?))
    }

    fn estimate(&self) -> Estimate {
        estimate(&self.model, &self.device, &self.setup)
    }

    fn plan(&self) -> Plan {
        Plan::new(&self.setup, &self.model, &self.device)
    }

    fn layout(&self) -> Option<(Layout, Plan)> {
        let plan = self.plan();
        Some((Layout::new(self.model.shape.as_ref()?, &plan), plan))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let read = || csv::Reader::from_path(&args.table)?.deserialize().collect::<Result<Vec<Row>, csv::Error>>();
    let rows = match read() {
        Ok(rows) => rows,
        Err(error) => {
            println!("cannot read {}: {error}", args.table.display());
            return ExitCode::from(2);
        }
    };
    let named: Vec<&Row> = rows.iter().filter(|row| row["model_named"] == "yes").collect();
    println!("{} rows, {} of them with the model named; the others are left out", rows.len(), named.len());

    let mut runs: Vec<Run> = Vec::new();
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for group in groups(&named) {
        match run_of(group.clone()) {
            Some(run) => runs.push(run),
            None => *unknown.entry(group[0]["model_id"].as_str()).or_default() += group.len(),
        }
    }
    for (model, count) in &unknown {
        println!("  not known: {model} ({count} rows)");
    }

    let mut ok = true;
    let metric = |name: &str, predictions: &[Prediction]| -> Vec<f64> { report(name, predictions, args.worst) };
    let is_gguf = |run: &Run| run.setup.engine == Engine::LlamaCpp;
    let weights = each(&runs, "weights_gib", |run| {
        // A GGUF file of which neither name nor row says the mix cannot be predicted.
        let known = !is_gguf(run) || run.plan().quantization.is_some();
        if is_gguf(run) && known {
            // The figure is the file's, with what stays on the host.
            let (mix, shape) = (run.plan().quantization.method?, run.model.shape.as_ref()?);
            let Method::Gguf(mix) = mix else { return Some(run.estimate().weights.bytes.as_gib()) };
            return Some(Bytes(mix.bytes(shape).total()).as_gib());
        }
        known.then(|| run.estimate().weights.bytes.as_gib())
    });
    let (gguf, plain): (Vec<_>, Vec<_>) = weights.into_iter().partition(|(at, _)| is_gguf(&runs[*at]));
    let only = |list: Vec<(usize, Prediction)>| list.into_iter().map(|(_, p)| p).collect::<Vec<_>>();
    let plain = metric("weights", &only(plain));
    ok &= most("weights, median", args.max_weights_median, percentile(&plain, 0.5));
    ok &= most("weights, 95th percentile", args.max_weights_p95, percentile(&plain, 0.95));
    let gguf = metric("weights of GGUF files (by the name of the mix)", &only(gguf));
    ok &= most("GGUF weights, median", args.max_gguf_median, percentile(&gguf, 0.5));

    let pairs = metric("cache bytes per token (kv_gib over kv_tokens of one run)", &cache_per_token(&runs));
    let within = share(&pairs, 0.5);
    println!("  {within:.1} % within 0.5 %");
    ok &= least("cache bytes per token within 0.5 %", args.min_cache_share, within);
    let allocated = metric(
        "cache of a context (llama.cpp)",
        &only(each(&runs, "kv_gib", |run| {
            let (layout, plan) = run.layout().filter(|_| is_gguf(run))?;
            Some(layout.need(plan.length, &plan).as_gib())
        })),
    );
    println!("  {:.1} % within 0.5 %", share(&allocated, 0.5));

    let tokens = metric(
        "tokens of the pool, end to end",
        &only(each(&runs, "kv_tokens", |run| {
            let (row, _) = run.value("kv_tokens")?;
            let given = ["gpu_total_gib", "gpu_util", "max_model_len", "version"].iter().all(|key| !row[*key].is_empty());
            let pool = run.estimate().pool?;
            given.then_some(pool.tokens as f64)
        })),
    );
    ok &= most("tokens, median", args.max_tokens_median, percentile(&tokens, 0.5));
    ok &= most("tokens, 95th percentile", args.max_tokens_p95, percentile(&tokens, 0.95));

    let activation = metric("activation peak", &only(each(&runs, "activation_gib", |run| Some(run.estimate().activation?.bytes.as_gib()))));
    ok &= most("activations, median", args.max_activation_median, percentile(&activation, 0.5));
    ok &= most("activations, 95th percentile", args.max_activation_p95, percentile(&activation, 0.95));

    let overhead = |run: &Run, name: &str| {
        let estimate = run.estimate();
        estimate.overheads.iter().find(|c| c.name == name).map(|c| c.figure.bytes.as_gib())
    };
    metric("memory outside PyTorch", &only(each(&runs, "non_torch_gib", |run| overhead(run, "communication"))));
    metric("CUDA graphs", &only(each(&runs, "graph_gib", |run| overhead(run, "cuda-graphs"))));

    ok &= verdicts(&runs, args.min_verdict_share);
    if ok { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Predictions of every row of a metric, with the run that each is of.
fn each<'a>(runs: &[Run<'a>], metric: &str, predict: impl Fn(&Run<'a>) -> Option<f64>) -> Vec<(usize, Prediction)> {
    let mut out = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        for row in run.rows.iter().filter(|row| row["metric"] == metric) {
            if let (Ok(measured), Some(predicted)) = (row["value"].parse(), predict(run)) {
                out.push((at, prediction(run, row, measured, predicted)));
            }
        }
    }
    out
}

fn prediction(run: &Run, row: &Row, measured: f64, predicted: f64) -> Prediction {
    Prediction {
        row: row["id"].clone(),
        engine: row["engine"].clone(),
        version: row["version"].clone(),
        model: format!(
            "{}{}",
            row["model_id"],
            if run.setup.tensor_parallel > 1 { format!(" tp{}", run.setup.tensor_parallel) } else { String::new() }
        ),
        quantization: if row["quantization"].is_empty() { "-".to_owned() } else { row["quantization"].clone() },
        measured,
        predicted,
    }
}

/// What a pool of the printed size would hold, against what was printed: the rate that the engine counts by.
fn cache_per_token(runs: &[Run]) -> Vec<Prediction> {
    let mut out = Vec::new();
    for run in runs {
        let Some((layout, plan)) = run.layout() else { continue };
        if let (Some((row, gib)), Some((_, tokens))) = (run.value("kv_gib"), run.value("kv_tokens")) {
            // Figures of different ranks are no pair.
            if row["notes"].contains("need not agree") {
                continue;
            }
            let pool = Bytes::mib(1).scaled(gib * 1024.0);
            // SGLang prints what tokens take; states of recurrent layers have a pool of their own.
            let each =
                if plan.engine == Engine::Sglang { layout.token().0 as f64 } else { pool.0 as f64 / layout.pool(pool, &plan).tokens.max(1) as f64 };
            out.push(prediction(run, row, pool.0 as f64 / tokens, each));
        }
        if let Some((row, measured)) = run.value("kv_bytes_per_token") {
            // Said of the whole model.
            let whole = Plan { tensor_parallel: 1, pipeline_parallel: 1, ..plan };
            if let Some(shape) = &run.model.shape {
                out.push(prediction(run, row, measured, Layout::new(shape, &whole).token().0 as f64));
            }
        }
    }
    out
}

/// Whether runs that came up are predicted to fit, and those that were refused to exceed.
fn verdicts(runs: &[Run], floor: Option<f64>) -> bool {
    let (mut right, mut count) = (0, 0);
    println!("\nverdicts");
    for run in runs.iter().filter(|run| run.setup.engine != Engine::LlamaCpp && run.device.total > Bytes::ZERO) {
        let refused = run
            .rows
            .iter()
            .any(|row| ["larger than", "ValueError", "No available memory", "OutOfMemory"].iter().any(|t| row["raw_line"].contains(t)));
        let came_up = run.rows.iter().any(|row| row["metric"] == "kv_tokens");
        // Without a length it is not known what the server was to hold.
        if (!refused && !came_up) || run.rows[0]["max_model_len"].is_empty() {
            continue;
        }
        let e = run.estimate();
        let good = match e.verdict {
            Verdict::Exceeds => refused,
            Verdict::Fits | Verdict::Tight => !refused,
            Verdict::Unknown => false,
        };
        count += 1;
        right += usize::from(good);
        if refused || !good {
            println!(
                "  {} {} {}: {} ({:.2}), {}",
                if good { "right" } else { "WRONG" },
                run.rows[0]["id"],
                run.rows[0]["model_id"],
                e.verdict.as_str(),
                e.probability.unwrap_or(f64::NAN),
                if refused { "was refused" } else { "came up" }
            );
        }
    }
    let share = 100.0 * right as f64 / count.max(1) as f64;
    println!("  {right} of {count} right ({share:.1} %)");
    least("verdicts", floor, share)
}

/// Prints a metric by engine and quantization, and its worst predictions; gives the absolute errors.
fn report(name: &str, predictions: &[Prediction], worst: usize) -> Vec<f64> {
    println!("\n{name}");
    println!("  {:<44} {:>4} {:>9} {:>9}", "", "n", "median %", "95th %");
    let mut by: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for p in predictions {
        by.entry((p.engine.as_str(), p.quantization.as_str())).or_default().push(p.error().abs());
    }
    for ((engine, quantization), errors) in &by {
        line(&format!("{engine} {quantization}"), errors);
    }
    let errors: Vec<f64> = predictions.iter().map(|p| p.error().abs()).collect();
    line("all", &errors);
    let mut sorted: Vec<&Prediction> = predictions.iter().collect();
    sorted.sort_by(|a, b| b.error().abs().total_cmp(&a.error().abs()));
    for p in sorted.iter().take(worst).filter(|p| p.error().abs() >= 0.05) {
        println!("    {:+8.2} %  {} {:>12.3} for {:<12.3} {} {} {}", p.error(), p.row, p.predicted, p.measured, p.version, p.model, p.quantization);
    }
    errors
}

fn line(name: &str, errors: &[f64]) {
    println!("  {name:<44} {:>4} {:>9.2} {:>9.2}", errors.len(), percentile(errors, 0.5), percentile(errors, 0.95));
}

/// A percentile, interpolated; 0 of nothing.
fn percentile(errors: &[f64], at: f64) -> f64 {
    let mut sorted = errors.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = at * sorted.len().saturating_sub(1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(a), Some(b)) => a + (b - a) * (place - low as f64),
        _ => 0.0,
    }
}

/// The share of errors within a bound, in percent.
fn share(errors: &[f64], bound: f64) -> f64 {
    100.0 * errors.iter().filter(|e| **e <= bound).count() as f64 / errors.len().max(1) as f64
}

fn most(what: &str, floor: Option<f64>, value: f64) -> bool {
    let holds = floor.is_none_or(|floor| value <= floor);
    if !holds {
        println!("FAILED: {what} is {value:.2} %, more than {:.2} %", floor.unwrap_or_default());
    }
    holds
}

fn least(what: &str, floor: Option<f64>, value: f64) -> bool {
    let holds = floor.is_none_or(|floor| value >= floor);
    if !holds {
        println!("FAILED: {what} is {value:.1} %, less than {:.1} %", floor.unwrap_or_default());
    }
    holds
}

/// Rows of one run: the same source and setup, one after another, no metric twice.
fn groups<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    let key = |row: &Row| {
        let columns = ["source", "engine", "version", "model_id", "tp", "pp", "gpu", "gpu_util", "max_model_len"];
        columns.map(|column| row[column].clone())
    };
    let mut out: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match out.last_mut() {
            Some(group) if key(group[0]) == key(row) && kv(group[0], row) && group.iter().all(|other| other["metric"] != row["metric"]) => {
                group.push(row);
            }
            _ => out.push(vec![row]),
        }
    }
    out
}

/// Whether two rows may be of one run by their cache format: llama.cpp prints the file's size in a line without it.
fn kv(a: &Row, b: &Row) -> bool {
    a["kv_dtype"] == b["kv_dtype"] && a["quantization"] == b["quantization"]
}

fn run_of(rows: Vec<&Row>) -> Option<Run<'_>> {
    let row = rows[0];
    let engine: Engine = row["engine"].parse().ok()?;
    let mut model = Model::find(&row["model_id"], &UserCatalogue::default()).ok()?;
    let mut setup = Setup::new(engine);
    setup.version = Version::find(&row["version"]).or_else(|| version_by_date(&row["notes"]));
    setup.dtype = Dtype::parse(&row["dtype"]);
    setup.cache = CacheFormat::parse(&row["kv_dtype"]);
    setup.max_model_len = row["max_model_len"].parse().ok();
    setup.tensor_parallel = row["tp"].parse().unwrap_or(1);
    setup.pipeline_parallel = row["pp"].parse().unwrap_or(1);
    setup.fraction = row["gpu_util"].parse().ok();
    // The fork writes latent attention out unless told otherwise, and knows no windows.
    setup.full_cache = row["notes"].contains("mla_attn=0");
    if engine == Engine::LlamaCpp {
        // The name of the mix only: the bits behind it are what is to be predicted.
        let name = row["quantization"].split(" - ").collect::<Vec<_>>();
        let word = match name[..] {
            [mix, "Medium"] => format!("{mix}_M"),
            [mix, "Small"] => format!("{mix}_S"),
            [mix, ..] => mix.to_owned(),
            [] => String::new(),
        };
        setup.quantization = formats::named(&word).or(formats::named("MXFP4 MoE").filter(|_| word.contains("MXFP4")));
        if setup.quantization.is_none() && !word.is_empty() {
            return None;
        }
    } else if model.quantization.method.is_none() && !matches!(row["quantization"].as_str(), "" | "none") {
        setup.quantization = formats::named(row["quantization"].split('-').next_back()?).or_else(|| formats::named(&row["quantization"]));
    }
    if matches!(model.quantization.method, Some(Method::Gguf(_))) {
        model.stored = None;
    }
    // Where no card is named, what depends on it is not predicted.
    let mut device = Device::find(&row["gpu"]).unwrap_or_else(|_| Device::of_size("not named", Bytes::ZERO));
    if let Ok(total) = row["gpu_total_gib"].parse::<f64>() {
        device.total = Bytes::mib(1).scaled(total * 1024.0);
        device.margin = Bytes::mib(5);
    }
    Some(Run { model, device, setup, rows })
}

/// The version of vLLM that was current in the month that a note names, where the log did not print it.
fn version_by_date(notes: &str) -> Option<Version> {
    let (_, date) = notes.split_once("log date ")?;
    let month = date.get(..7)?;
    let known = [
        ("2023-12", Version(0, 2, 6)),
        ("2024-06", Version(0, 4, 3)),
        ("2024-07", Version(0, 5, 1)),
        ("2024-08", Version(0, 5, 4)),
        ("2024-10", Version(0, 6, 3)),
        ("2025-01", Version(0, 6, 6)),
        ("2025-02", Version(0, 7, 2)),
        ("2025-07", Version(0, 9, 2)),
        ("2025-09", Version(0, 10, 1)),
        ("2025-11", Version(0, 11, 0)),
        ("2026-04", Version(0, 19, 0)),
        ("2026-06", Version(0, 22, 0)),
        ("2026-08", Version(0, 24, 0)),
    ];
    known.into_iter().rfind(|(from, _)| *from <= month).map(|(_, version)| version)
}
