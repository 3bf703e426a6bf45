//! What is left when the setup cannot be changed enough: a smaller model, another version, another engine, another device.

use super::ground::Ground;
use super::memory::{SURE, USEFUL, fit_of};
use super::{Occasion, Plan, Words, sentence};
use crate::case::deployment::deployment;
use crate::causes::advice;
use crate::memory::estimate::engine::Version;
use crate::memory::estimate::{Engine, Estimate, Setup, Verdict, check, estimate, formats, margin};
use crate::memory::format::Method;
use crate::memory::{Bytes, Device, Model, catalogue};
use crate::post_mortem::{Change, Fit, Remedy};
use crate::remedies::command::Command;
use crate::units::size;

/// Sizes of memory that cards for servers and desks are sold with, in GiB.
const SIZES: [u64; 10] = [12, 16, 24, 32, 48, 80, 96, 141, 180, 288];

/// What the engine holds while it casts 16-bit weights is another thing than what it holds after: where the result has
/// room, weights that are small already, another version, or more devices help.
pub(super) fn cast_while_loading(occasion: &Occasion<'_>, ground: &Ground) -> Option<Vec<Remedy>> {
    // bitsandbytes makes each tensor small as it comes.
    let casts = ground.setup.quantization.and_then(|asked| asked.method).is_some_and(|method| !matches!(method, Method::Bnb4 { .. } | Method::Bnb8));
    if !casts || ground.model.quantization.is_some() || !matches!(ground.engine, Engine::Vllm | Engine::Sglang) {
        return None;
    }
    let word = occasion.deployment.quantization.as_deref().unwrap_or("8 bits");
    // What failed is the casting: nothing else is missing from the sum.
    let after = estimate(&ground.model, &ground.device, &ground.setup);
    let fit = fit_of(&after, after.probability?);
    let mut remedies = vec![Remedy {
        fit: Some(fit),
        ..advice(
            "quantized-checkpoint",
            format!("Serve a checkpoint that is stored in {word}, if one is published, instead of casting this one"),
            format!("{} Cast while loading, the 16-bit weights are on the device as well.", sentence(&fit)),
            "A download; its quality is that of its quantization.",
        )
    }];
    let sixteen = Setup { quantization: None, ..ground.setup.clone() };
    let whole = estimate(&ground.model, &ground.device, &sixteen).weights.bytes;
    // These versions were to cast each tensor as it comes, and held both.
    if ground.engine == Engine::Vllm && ground.version.is_some_and(|v| v >= Version(0, 13, 0) && v < Version(0, 15, 0)) {
        let to = if whole + Bytes::gib(1) < ground.device.total { "0.12.0, or one after 0.14" } else { "one after 0.14" };
        remedies.push(Remedy {
            changes: vec![Change { flag: "vllm".to_owned(), from: occasion.deployment.engine_version.clone(), to: Some(to.to_owned()) }],
            ..advice(
                "other-version",
                format!("Use another version of vLLM: {to}"),
                "Versions 0.13 and 0.14 hold more than the 16-bit weights while they cast them to fp8; those before hold just them, later ones one layer at a time.",
                "Another version is to be tested with what else you run.",
            )
        });
    }
    let fits = |ranks: u64| {
        let e = estimate(&ground.model, &ground.device, &Setup { tensor_parallel: ranks, ..sixteen.clone() });
        (check(&ground.model, &ground.device, &e.plan).is_ok() && e.weights.bytes + Bytes::gib(2) < ground.device.total).then_some(e)
    };
    let now = ground.setup.tensor_parallel;
    if let Some((ranks, e)) = [2, 4, 8].into_iter().filter(|n| *n > now).find_map(|n| Some((n, fits(n)?))) {
        remedies.push(advice(
            "split",
            format!("Split it over {ranks} such devices"),
            format!("Each then holds {} of 16-bit weights while it casts them.", size(e.weights.bytes.0)),
            "Hardware; communication between the devices.",
        ));
    }
    Some(remedies)
}

/// The command of a later run that came up, where it is another one.
pub(super) fn as_last_run(occasion: &Occasion<'_>, ground: &Ground) -> Option<Vec<Remedy>> {
    let (case, failed) = (occasion.situation.case, occasion.situation.run);
    let later = case.runs.iter().skip_while(|run| !std::ptr::eq(*run, failed)).skip(1);
    let run = later.filter(|run| run.container == failed.container && run.ready.is_some()).last()?;
    let print = |command: &Command| command.print(occasion.shell, &ground.circumstances).ok();
    let command = Command::of(case, Some(run), &deployment(case, Some(run)), None).as_ref().and_then(print);
    // Where the run that failed says nothing of itself, what is known of it is what the later one says.
    let speaks_for_itself = failed.facts.iter().any(|&i| case.facts[i].arguments.is_some());
    if speaks_for_itself && command.is_some() && command == occasion.command.and_then(print) {
        return None;
    }
    Some(vec![Remedy { command, ..advice("as-last-run", "Keep what the last run of this log changed", "It came up so.", "That of the change.") }])
}

/// Weights that do not fit, of a model of which no more than the size is known.
pub(super) fn by_size(occasion: &Occasion<'_>) -> Option<Plan> {
    let engine = occasion.server()?;
    let model = Model::find(occasion.deployment.model.as_deref()?, &catalogue::UserCatalogue::default()).ok()?;
    if occasion.cause != "weight-oom" || model.shape.is_some() || model.quantization.is_some() || occasion.deployment.quantization.is_some() {
        return None;
    }
    let device = super::ground::device(occasion)?;
    let ranks = occasion.deployment.tensor_parallel.unwrap_or(1).max(1);
    let with = |word: &str, ranks: u64| {
        let setup = Setup { quantization: formats::named_for(engine, word), tensor_parallel: ranks, ..Setup::new(engine) };
        let e = estimate(&model, &device, &setup);
        // A context and a cache of some use.
        let sum = e.weights.bytes.scaled(1.05) + e.overhead() + e.beside() + Bytes::gib(2);
        Some(super::fit(sum, device.total.fraction(0.95), margin::root([e.weights.margin, Bytes::gib(1)]))).filter(|fit| fit.probability >= 0.5)
    };
    let told = |id: &str, title: String, price: &str, fit: Fit| {
        let rationale = format!("{} Only the model's size is known, from its name: 2 GiB are counted for cache and activations.", sentence(&fit));
        Remedy { fit: Some(fit), ..advice(id, title, rationale, price) }
    };
    let mut remedies = Vec::new();
    for (word, bits) in [("fp8", 8), ("awq", 4)] {
        if let Some(fit) = with(word, ranks).filter(|_| remedies.is_empty()) {
            let title = format!("Serve a checkpoint of it in {bits} bits, if one is published");
            remedies.push(told("quantized-checkpoint", title, "Some quality, little at 8 bits, more at 4.", fit));
        }
    }
    if let Some((to, fit)) = [2, 4, 8].into_iter().filter(|n| *n > ranks).find_map(|n| Some((n, with("none", n)?))) {
        remedies.push(told("split", format!("Split it over {to} such devices"), "Hardware; communication between the devices.", fit));
    }
    (!remedies.is_empty()).then(|| Plan { remedies, settled: vec!["quantize", "split"] })
}

/// The largest model of the same family that fits in the same setup.
pub(super) fn sibling(occasion: &Occasion<'_>, ground: &Ground) -> Option<Remedy> {
    if occasion.deployment.model.as_deref()? != ground.model.id || !ground.is_unquantized() {
        return None;
    }
    let id = &ground.model.id;
    let mut best: Option<(u64, Model, Estimate)> = None;
    for row in catalogue::rows().iter().filter(|row| row.parameters < ground.model.parameters && row.parameters * 40 > ground.model.parameters) {
        for other in row.ids.iter().filter(|other| is_sibling(id, other)) {
            let model: Model = row.model(other);
            let e = estimate(&model, &ground.device, &ground.setup);
            if e.verdict == Verdict::Fits
                && check(&model, &ground.device, &e.plan).is_ok()
                && best.as_ref().is_none_or(|(most, ..)| row.parameters > *most)
            {
                best = Some((row.parameters, model, e));
            }
        }
    }
    let (_, other, e) = best?;
    let fit = fit_of(&e, e.probability?);
    let words = Words {
        id: "smaller-model",
        title: format!("Take the smaller model {}", other.id),
        rationale: sentence(&fit),
        tradeoff: "Quality: it knows less.",
    };
    let circumstances = occasion.circumstances(Some(&ground.device.arch), Some(&other));
    let mut remedy = occasion.changed(words, &[("model", &other.id)], &circumstances)?;
    remedy.fit = Some(fit);
    Some(remedy)
}

/// True if two ids differ in one word only, which is a size.
fn is_sibling(id: &str, other: &str) -> bool {
    let parts = |text: &str| text.split(['/', '-', '_']).map(str::to_ascii_lowercase).collect::<Vec<_>>();
    let (a, b) = (parts(id), parts(other));
    let is_size = |word: &String| word.strip_suffix('b').is_some_and(|number| number.parse::<f64>().is_ok());
    let mut differ = a.iter().zip(&b).filter(|(a, b)| a != b);
    a.len() == b.len() && differ.next().is_some_and(|(a, b)| is_size(a) && is_size(b)) && differ.next().is_none()
}

/// The same model in four to five bits by llama.cpp, which keeps on the processor what does not fit.
pub(super) fn other_engine(occasion: &Occasion<'_>, ground: &Ground) -> Option<Remedy> {
    // For many requests at a time, and for what is split over devices, it is no replacement.
    if !ground.is_unquantized() || !ground.is_plain() || ground.now.plan.ranks() > 1 {
        return None;
    }
    let setup =
        Setup { quantization: formats::named("Q4_K_M"), max_model_len: Some(ground.now.plan.length.min(2 * USEFUL)), ..Setup::new(Engine::LlamaCpp) };
    let e = estimate(&ground.model, &ground.device, &setup);
    let fit = fit_of(&e, e.probability.filter(|p| *p >= SURE)?);
    let tag = catalogue::tag(&ground.model.id);
    let how = match tag {
        Some(tag) => format!("Run it in Ollama, as {tag}"),
        None => "Run a GGUF file of it in Q4_K_M with llama.cpp or Ollama, if one is published".to_owned(),
    };
    Some(Remedy {
        command: tag.filter(|_| occasion.cause == "weight-oom").map(|tag| format!("ollama run {tag}")),
        fit: Some(fit),
        ..advice(
            "other-engine",
            how,
            format!("{} It takes what memory there is, and leaves the rest of the layers to the processor.", sentence(&fit)),
            "Some quality; much less throughput for many requests at a time.",
        )
    })
}

/// A folder of one's own may hold less than what is asked of it: weights that were saved in 4 bits and are to be loaded in
/// 16 are another failure than weights that are too large.
pub(super) fn stored_in_four_bits(occasion: &Occasion<'_>, ground: &Ground) -> Option<Remedy> {
    let own = ground.is_unquantized() && occasion.deployment.model.as_deref().is_some_and(|name| name.starts_with(['/', '.', '~']));
    (own && occasion.cause == "weight-oom" && ground.setup.quantization.is_none()).then(|| {
        let whole = ground.now.weights.bytes * ground.now.plan.ranks();
        advice(
            "stored-in-four-bits",
            format!("Look at the size of its files: in 16 bit they are {}, in 4 bits about {}", size(whole.0), size(whole.scaled(0.32).0)),
            "If they are as small as that, the checkpoint is quantized already, and its config.json lacks the `quantization_config` that says so. Save it anew from the unquantized base, or put that entry back.",
            "None.",
        )
    })
}

/// What a device would have to have; said where nothing on this one surely helps.
pub(super) fn bigger_device(ground: &Ground) -> Remedy {
    let e = &ground.now;
    let needed = e.fixed() + e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes) + e.beside();
    let each = if e.plan.ranks() > 1 { "each device" } else { "the device" };
    let on = |gib: &u64| {
        let device = Device { total: Bytes::gib(*gib).fraction(0.985), ..ground.device.clone() };
        let e = crate::memory::estimate::fit::estimate_with(&ground.model, &device, &ground.setup, &ground.known);
        e.probability.filter(|p| *p >= SURE).map(|p| (*gib, fit_of(&e, p)))
    };
    let found = SIZES.iter().filter(|gib| Bytes::gib(**gib) > ground.device.total).find_map(on);
    let title = match &found {
        Some((gib, _)) => format!("Nothing on this device is sure to make it fit: take one with {gib} GiB"),
        None => format!("Nothing on this device is sure to make it fit, nor on any single one that is sold: it needs about {}", size(needed.0)),
    };
    Remedy {
        fit: found.map(|(_, fit)| fit),
        ..advice(
            "bigger-device",
            title,
            format!("As it is, it needs about {} of {each}, {} of them for weights.", size(needed.0), size(e.weights.bytes.0)),
            "Hardware.",
        )
    }
}
