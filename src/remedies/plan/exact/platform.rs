//! Driver, devices, kernels, packages, ports.

use super::{aid, digits_after, environment, fix, text};
use crate::post_mortem::Remedy;
use crate::remedies::flags::Table;
use crate::remedies::plan::{Occasion, Words};

/// CUDA's major releases, and the first driver that runs programs of each (NVIDIA's table of minor version compatibility).
const DRIVERS: [(u64, &str); 3] = [(11, "450.80.02"), (12, "525.60.13"), (13, "580.65.06")];

/// A device that can be used.
pub(super) fn device(occasion: &Occasion<'_>) -> Vec<Option<Remedy>> {
    let text = text(occasion);
    let said = |words: &str| text.contains(words);
    if said("driver on your system is too old") {
        return vec![newer_driver(digits_after(text, "found version "))];
    }
    if said("could not select device driver") {
        return vec![toolkit()];
    }
    if said("driver/library version mismatch") || said("Driver/library version mismatch") {
        return vec![restart()];
    }
    if said("Insufficient nvidia.com/gpu") {
        return vec![node()];
    }
    vec![all_devices(occasion)]
}

/// The driver says what CUDA it runs; what asked for more was built for a later one.
fn newer_driver(found: Option<u64>) -> Option<Remedy> {
    let (major, minor) = (found? / 1000, found? % 1000 / 10);
    let later = DRIVERS.iter().filter(|(cuda, _)| *cuda > major);
    let pairs: Vec<String> = later.map(|(cuda, driver)| format!("{driver} for CUDA {cuda}")).collect();
    if pairs.is_empty() {
        return None;
    }
    let words = Words {
        id: "newer-driver",
        title: format!("Upgrade the host's NVIDIA driver: at least {}", pairs.join(", ")),
        rationale: format!(
            "The one that is there runs programs of CUDA {major}.{minor} and before. `nvidia-smi` shows driver and CUDA in its first lines."
        ),
        tradeoff: "An upgrade of the host, with a restart. An image or wheel that was built for the older CUDA needs none.",
    };
    Some(aid(words, None))
}

fn toolkit() -> Option<Remedy> {
    let words = Words {
        id: "container-toolkit",
        title: "Install the NVIDIA container toolkit on the host, and restart Docker".to_owned(),
        rationale: "Docker knows no way to the GPU yet. After the package `nvidia-container-toolkit`: `sudo nvidia-ctk runtime configure --runtime=docker`, `sudo systemctl restart docker`.".to_owned(),
        tradeoff: "Containers that run meanwhile are stopped.",
    };
    Some(aid(words, None))
}

fn restart() -> Option<Remedy> {
    let words = Words {
        id: "restart-host",
        title: "Restart the host".to_owned(),
        rationale: "Its driver was upgraded while the kernel still has the old module: `cat /proc/driver/nvidia/version` shows which. A restart loads the new one.".to_owned(),
        tradeoff: "All that runs on the host stops.",
    };
    Some(aid(words, None))
}

fn node() -> Option<Remedy> {
    let words = Words {
        id: "free-node",
        title: "Find a node with a GPU that is free, or free one".to_owned(),
        rationale: "`kubectl describe nodes | grep -A8 'Allocated resources'` shows what is taken; `kubectl get pods -A -o wide` by whom. A node that shows no nvidia.com/gpu at all lacks the device plug-in.".to_owned(),
        tradeoff: "What holds the GPU now.",
    };
    Some(aid(words, None))
}

/// The container with the host's devices.
fn all_devices(occasion: &Occasion<'_>) -> Option<Remedy> {
    let command = occasion.command?;
    command.container.as_ref()?;
    let words = Words {
        id: "give-device",
        title: "Start the container with the GPUs (--gpus all)".to_owned(),
        rationale: "A container sees none unless it is given them.".to_owned(),
        tradeoff: "None.",
    };
    // There are other ways to give them.
    if ["--gpus", "--runtime", "--device"].iter().any(|option| command.option(option).is_some()) {
        return None;
    }
    fix(occasion, words, &[("--gpus", "all")])
}

/// Another process that the log names, ended only if it still holds the device.
pub(super) fn end_process(occasion: &Occasion<'_>) -> Option<Remedy> {
    let pid = occasion.situation.fact.word("other_pid")?.parse::<u32>().ok().filter(|pid| *pid > 1)?;
    // A process of a container is listed on the host under another id, or not at all.
    let words = Words {
        id: "free-device",
        title: format!("End process {pid}, which holds the memory, if it is yours"),
        rationale: format!(
            "`ps -o user,etime,args -p {pid}` on the host shows what it is; `docker inspect -f '{{{{.Name}}}} {{{{.State.Pid}}}}' $(docker ps -q)` whose container. The command ends it only if it still holds GPU memory."
        ),
        tradeoff: "Whatever that process did stops.",
    };
    let is_sh = occasion.shell == crate::remedies::command::Shell::Sh;
    let command = format!("nvidia-smi --query-compute-apps=pid --format=csv,noheader | grep -qx {pid} && kill {pid}");
    Some(aid(words, is_sh.then_some(command)))
}

// ------------------------------------------------------------------------------------------------------------- kernels

/// Kernels one after another: CUDA and HIP have a variable for it, and HIP's messages name theirs.
pub(super) fn blocking(occasion: &Occasion<'_>) -> Option<Remedy> {
    let fact = occasion.situation.fact;
    if fact.word("how") == Some("reset") {
        return None;
    }
    let (name, value) = if fact.place.text.contains("AMD_SERIALIZE_KERNEL") { ("AMD_SERIALIZE_KERNEL", "3") } else { ("CUDA_LAUNCH_BLOCKING", "1") };
    environment(
        occasion,
        Words {
            id: "blocking",
            title: format!("Run it once with {name}={value} and read the traceback again"),
            rationale: "Each kernel is then waited for, so that the right line fails.".to_owned(),
            tradeoff: "Slow; for diagnosis only.",
        },
        (name, value),
    )
}

/// No captured graphs: the usual way around a fault in a replayed kernel.
pub(super) fn eager(occasion: &Occasion<'_>) -> Option<Remedy> {
    let flag = match occasion.engine() {
        "vllm" => ("--enforce-eager", "true"),
        "tgi" => ("--cuda-graphs", "0"),
        "sglang" => ("--disable-cuda-graph", "true"),
        _ => return None,
    };
    let words = Words {
        id: "no-graphs",
        title: format!("Run without CUDA graphs ({})", flag.0),
        rationale: "A replayed graph uses addresses that were right when it was captured. If the fault stays away, it is in the graphs, and a newer release may have it mended.".to_owned(),
        tradeoff: "Decoding is slower, most of all with few requests at a time.",
    };
    fix(occasion, words, &[flag])
}

/// A back end that was asked for and does not run here.
pub(super) fn other_back_end(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    let words = |what: &str, why: &str| Words {
        id: "other-kernel",
        title: format!("Let the engine choose its attention kernels ({what})"),
        rationale: why.to_owned(),
        tradeoff: "They may be slower than those that were asked for.",
    };
    match occasion.engine() {
        "sglang" | "vllm" if occasion.value("--attention-backend").is_some() && text.to_ascii_lowercase().contains("backend") => fix(
            occasion,
            words("without --attention-backend", "The one that was asked for does not run on this card."),
            &[("--attention-backend", "")],
        ),
        "tgi" if text.contains("requires flash attention") => fix(
            occasion,
            words(
                "USE_FLASH_ATTENTION=false",
                "The card has no kernels of FlashAttention 2; without it TGI uses those of transformers, where the model has them.",
            ),
            &[("USE_FLASH_ATTENTION", "false")],
        ),
        _ => None,
    }
}

pub(super) fn nccl(occasion: &Occasion<'_>) -> Option<Remedy> {
    environment(
        occasion,
        Words {
            id: "nccl-debug",
            title: "Run it once with NCCL_DEBUG=INFO and look for the first rank that stops".to_owned(),
            rationale: "The time-out names who waited, not who failed.".to_owned(),
            tradeoff: "A long log.",
        },
        ("NCCL_DEBUG", "INFO"),
    )
}

/// Ranks of one machine that talk through its memory instead of from card to card.
pub(super) fn transport(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    // A rank that is gone, a network between machines, a device given twice: nothing of that is between cards.
    let elsewhere = ["ncclRemoteError", "remote process", "invalid usage", "ncclInvalid", "Duplicate GPU", "out of memory"];
    if !text.contains("NCCL error") || elsewhere.iter().any(|words| text.contains(words)) {
        return None;
    }
    environment(
        occasion,
        Words {
            id: "transport",
            title: "Let the cards talk through host memory (NCCL_P2P_DISABLE=1)".to_owned(),
            rationale: "Direct access between cards fails on some boards and in some virtual machines.".to_owned(),
            tradeoff: "Communication is slower.",
        },
        ("NCCL_P2P_DISABLE", "1"),
    )
}

// ------------------------------------------------------------------------------------------------------------ packages

/// What messages name, and the package that brings it. A name from a log is never installed as it stands.
const PACKAGES: [(&str, &str); 20] = [
    ("bitsandbytes", "bitsandbytes"),
    ("accelerate", "accelerate"),
    ("flash_attn", "flash-attn"),
    ("ninja", "ninja"),
    ("Ninja", "ninja"),
    ("PIL", "pillow"),
    ("cv2", "opencv-python-headless"),
    ("einops", "einops"),
    ("tiktoken", "tiktoken"),
    ("sentencepiece", "sentencepiece"),
    ("protobuf", "protobuf"),
    ("optimum", "optimum"),
    ("auto_gptq", "auto-gptq"),
    ("awq", "autoawq"),
    ("peft", "peft"),
    ("timm", "timm"),
    ("librosa", "librosa"),
    ("soundfile", "soundfile"),
    ("mistral_common", "mistral-common"),
    ("qwen_vl_utils", "qwen-vl-utils"),
];

/// The package, where it is one that engines are known to need.
pub(super) fn package(occasion: &Occasion<'_>) -> Option<Remedy> {
    let said = occasion.situation.fact.said();
    if said.contains("C compiler") {
        return Some(aid(compiler(), None));
    }
    if said.contains(".dll\" or one of its dependencies") {
        return Some(aid(runtime_of_windows(), None));
    }
    if said.contains("llama-server binary not found") {
        return Some(aid(server_of_ollama(), None));
    }
    if said.contains("ackend not found") {
        return Some(aid(back_end(), None));
    }
    let has = |words: &str, name: &str| {
        // A longer name is another package.
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let text = format!("{words}{name}");
        said.match_indices(&text).any(|(at, _)| ends(&said[at + text.len()..]))
    };
    // A name that cannot be imported from a module that is there may be of an older release as well as of a newer one.
    let named = |module: &str, package: &str| {
        has("No module named '", module)
            || has("pip install ", package)
            || has("pip install -U ", package)
            || said.contains(&format!("{module} is required"))
            || said.contains(&format!("Using `{module}`"))
    };
    let (module, package) = PACKAGES.iter().find(|(module, package)| named(module, package))?;
    let in_container = occasion.command.is_some_and(|command| command.container.is_some());
    let words = Words {
        id: "install",
        title: format!("Install {package}, or its newest release, where the server runs"),
        rationale: format!(
            "{module} is what the message names.{}",
            if in_container { " In a container it lasts only if the image is built with it." } else { " Use the Python that runs the server." }
        ),
        tradeoff: "Other packages may want another release of it.",
    };
    Some(aid(
        words,
        (!in_container).then(|| {
            // It is built against the PyTorch that is there.
            let how = if *package == "flash-attn" { " --no-build-isolation" } else { "" };
            format!("python3 -m pip install --upgrade{how} {package}")
        }),
    ))
}

fn compiler() -> Words {
    Words {
        id: "install",
        title: "Install a C compiler where the server runs (gcc, and the headers of its Python)".to_owned(),
        rationale: "Triton compiles a small launcher when it first runs. In Debian and Ubuntu the packages are `build-essential` and `python3-dev`; `CC` names another compiler.".to_owned(),
        tradeoff: "Some hundred megabytes; the engines' own images have it.",
    }
}

/// A DLL of PyTorch is there, and one that it needs is not.
fn runtime_of_windows() -> Words {
    Words {
        id: "install-runtime",
        title: "Install the Microsoft Visual C++ Redistributable (x64)".to_owned(),
        rationale: "The DLL that is named mostly is there; what it needs itself is missing, most often this runtime. If it is installed, take another release of PyTorch: the one of `fbgemm.dll` in 2.4.0 wanted a `libomp140.x86_64.dll` that few machines have. Do not fetch single DLLs from collections of them.".to_owned(),
        tradeoff: "None.",
    }
}

/// Ollama starts a server of llama.cpp for each model; builds from source have it only if it was built too.
fn server_of_ollama() -> Words {
    Words {
        id: "install-runner",
        title: "Install Ollama from its own package, or build its llama-server too".to_owned(),
        rationale: "This `ollama` was built without the server that it starts for each model; the message names the step of the build.".to_owned(),
        tradeoff: "None.",
    }
}

/// LocalAI fetches its back ends as programs of their own.
fn back_end() -> Words {
    Words {
        id: "install-back-end",
        title: "Install the back end that is named (`local-ai backends install NAME`)".to_owned(),
        rationale: "LocalAI comes without them and fetches those that a model needs; `local-ai backends list` shows what there is.".to_owned(),
        tradeoff: "A download.",
    }
}

// --------------------------------------------------------------------------------------------------------------- ports

/// The next port, where the server's own one is taken and no container maps it.
pub(super) fn port(occasion: &Occasion<'_>) -> Option<Remedy> {
    let command = occasion.command?;
    let message = text(occasion);
    if command.container.is_some() {
        return None;
    }
    if occasion.engine() == "ollama" {
        let words = Words {
            id: "other-port",
            title: "Listen on port 11435 (OLLAMA_HOST)".to_owned(),
            rationale: "Port 11434 is taken, most often by Ollama's own service: `systemctl status ollama`, `ss -ltnp`. If it is, nothing more needs to be started.".to_owned(),
            tradeoff: "Clients must know it.",
        };
        let is_it = message.contains("11434") && occasion.value("OLLAMA_HOST").is_none();
        return is_it.then(|| fix(occasion, words, &[("OLLAMA_HOST", "127.0.0.1:11435")])).flatten();
    }
    if !matches!(occasion.engine(), "vllm" | "tgi" | "sglang" | "llama.cpp") {
        return None;
    }
    let (flag, default) = match message.to_ascii_lowercase().contains("prometheus") {
        true => ("--prometheus-port", 9000),
        false => ("--port", Table::of(occasion.engine())?.port.into()),
    };
    let now = occasion.number(flag).unwrap_or(default);
    // Another port of the server may be the one that is taken: the message must name this one, or none and be of the server.
    let names_a_port = message.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 3);
    if flag == "--port" && !message.contains(&now.to_string()) && (names_a_port || !is_of_the_server(message)) {
        return None;
    }
    let to = (now + 1).to_string();
    let words = Words {
        id: "other-port",
        title: format!("Listen on port {to} ({flag} {to})"),
        rationale: format!("Port {now} is taken. `ss -ltnp` shows by whom, and whether {to} is free."),
        tradeoff: "Clients must know it.",
    };
    fix(occasion, words, &[(flag, &to)])
}

/// True for the words of the sockets that servers listen on, which name no port.
fn is_of_the_server(message: &str) -> bool {
    ["WebServer(", "Address already in use"].iter().any(|words| message.contains(words))
        && !["EADDRINUSE", "TCPStore", "server socket has failed", "driver failed programming"].iter().any(|words| message.contains(words))
}
