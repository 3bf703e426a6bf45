//! What comes after a remedy: how to see that it worked, and what to try if it did not.

use super::Occasion;
use crate::post_mortem::{Phase, Remedy};
use crate::units::size;

/// Says of each remedy how to see that it worked and what to try next.
pub(super) fn follow_up(occasion: &Occasion<'_>, remedies: &mut [Remedy]) {
    let titles: Vec<String> = remedies.iter().map(|remedy| remedy.title.clone()).collect();
    for (at, remedy) in remedies.iter_mut().enumerate() {
        remedy.verify = verify(occasion, remedy);
        let measured = if remedy.fit.is_some() { "Read the new log with this tool: its figures show how much is missing. " } else { "" };
        let last = of_ggml(occasion.engine(), occasion.cause).unwrap_or_else(|| last_resort(occasion.cause));
        remedy.otherwise = match titles.get(at + 1) {
            Some(next) => format!("{measured}Try next: {}.", next.trim_end_matches('.')),
            None if last.starts_with(measured.trim_end()) => last.to_owned(),
            None => format!("{measured}{last}"),
        };
    }
}

/// How to see that it worked.
fn verify(occasion: &Occasion<'_>, remedy: &Remedy) -> String {
    match of_remedy(&remedy.id).or_else(|| of_cause(occasion.cause)) {
        Some(words) => words.to_owned() + &memory(occasion, remedy),
        None if is_placed_whole(remedy) => "`model.hf_device_map` names no cpu and no disk.".to_owned() + &memory(occasion, remedy),
        None => came_up(occasion) + &memory(occasion, remedy),
    }
}

/// Whether a device map is to put all of the model on devices.
fn is_placed_whole(remedy: &Remedy) -> bool {
    remedy.fit.is_some() && remedy.changes.iter().any(|change| change.flag == "device_map")
}

/// What shows that a thing was put right that is not the server.
fn of_remedy(id: &str) -> Option<&'static str> {
    Some(match id {
        "free-device" => "`nvidia-smi` lists no other process on the device, and nearly all of its memory as free.",
        "other-device" => "`nvidia-smi` shows the server on the device that was meant.",
        "newer-driver" | "restart-host" | "container-toolkit" | "give-device" | "match-driver" => {
            "`nvidia-smi` lists the devices on the host, and `docker run --rm --gpus all ubuntu nvidia-smi` does inside a container."
        }
        "show-devices" => "`nvidia-smi -L` where the server runs lists as many devices as there are ranks.",
        "free-node" => "`kubectl get pods` shows the pod running instead of pending.",
        "install-back-end" => "`local-ai backends list` shows it as installed, and the request that failed is answered.",
        "install" | "install-runtime" | "matching-set" | "fitting-release" => {
            "The import that failed works in the Python that runs the server, and `python3 -m pip check` is silent."
        }
        "upgrade" | "other-version" => "The first lines of the new log show the new version, and the server comes up.",
        "fetch-again" | "pull-again" | "pass-token" | "accept-terms" | "log-in" | "patience" | "check-network" | "fill-cache" => {
            "The files come whole: the log goes on to load the weights."
        }
        "free-space" | "larger-volume" | "other-cache" => "`df -h` shows room on the file system of the cache before and after the download.",
        "blocking" => "The traceback of the new log ends in the call that failed.",
        "nccl-debug" | "more-log" | "exit-code" | "report" => "The new log says what failed before the line that this one ends with.",
        "find-listener" | "other-port" => "`ss -ltnp` shows the server on its port, and no other program.",
        "who-stopped" => "`kubectl describe pod`, `docker inspect` or the journal names who stopped it.",
        "startup-probe" => "`kubectl get pods` shows the pod ready, and its restarts stay at 0.",
        "shm-size" | "empty-dir" | "fewer-workers" => "`df -h /dev/shm` where the server runs shows the new size, with room while it serves.",
        "replace" | "drain" => "`nvidia-smi -q -d ECC` and the kernel's log (`dmesg | grep -i xid`) show no new errors under load.",
        _ => return None,
    })
}

/// What shows it where the server need not come up anew.
fn of_cause(cause: &str) -> Option<&'static str> {
    Some(match cause {
        "template-error" => "A request to `/v1/chat/completions` is answered.",
        "overload" => "Under the same load no request is refused, and the number of those that wait falls to 0 between peaks.",
        "training-oom" => "The next step is logged, and the peak of memory stays the same over a hundred steps.",
        "device-mismatch" | "meta-tensor-offload" | "quantized-offload-refused" => {
            "The line that failed is passed, and `model.hf_device_map` names the devices that were meant."
        }
        "integer-overflow" | "nan-logits" => "The request that failed is answered with text that makes sense, several times.",
        _ => return None,
    })
}

/// The line that an engine prints when it is up, or that requests are served where it was up.
fn came_up(occasion: &Occasion<'_>) -> String {
    let engine = occasion.deployment.engine.as_deref();
    if occasion.situation.phase() == Some(Phase::Serve) && crate::case::deployment::is_server(engine) {
        return "The requests that failed are served under the same load.".to_owned();
    }
    let line = match engine.unwrap_or_default() {
        "vllm" => "The log says `Application startup complete`.",
        "tgi" => "The log of the router says `Connected`.",
        "sglang" => "The log says `The server is fired up and ready to roll!`.",
        "llama.cpp" => "The log says `server is listening`.",
        "ollama" => "`ollama ps` lists the model with its share of the GPU.",
        "kubernetes" => "`kubectl get pods` shows the pod ready.",
        _ => "It goes past the line that failed.",
    };
    line.to_owned()
}

/// The memory to expect.
fn memory(occasion: &Occasion<'_>, remedy: &Remedy) -> String {
    let Some(fit) = &remedy.fit else { return String::new() };
    match occasion.deployment.engine.as_deref() {
        // The cache takes what is left.
        Some("vllm" | "tgi" | "sglang") if fit.predicted_bytes < fit.limit_bytes => format!(
            " Expect {} in use on {}: {} that are needed, and more cache in the rest.",
            size(fit.limit_bytes),
            if occasion.deployment.devices.len() > 1 { "each device" } else { "the device" },
            size(fit.predicted_bytes)
        ),
        _ => format!(" Expect about {} in use on the device.", size(fit.predicted_bytes)),
    }
}

/// The same for programs that have neither the hub's tools nor PyTorch beside them.
fn of_ggml(engine: &str, cause: &str) -> Option<&'static str> {
    Some(match (engine, cause) {
        ("ollama", "model-auth") => "Look at the model's page: it says who may fetch it, and from which version on.",
        ("ollama", "model-download") => {
            "Fetch a GGUF file of the model where the network is known to work, and make the model of it: `FROM ./FILE.gguf` in a Modelfile, then `ollama create NAME -f Modelfile`."
        }
        ("ollama", "cuda-unavailable") => "Start the server with `OLLAMA_DEBUG=1`: its log then says what the search for devices found.",
        ("llama.cpp", "cuda-unavailable") => "`llama-server --list-devices` names the devices that this build sees.",
        _ => return None,
    })
}

/// What is left when no remedy helped.
fn last_resort(cause: &str) -> &'static str {
    match cause {
        "weight-oom" | "prefill-oom" | "kv-cache-oom" | "sampler-oom" | "graph-capture-oom" | "inference-oom" | "training-oom"
        | "fragmentation-oom" => {
            "Read the new log with this tool: its figures show how much is missing. Then take a smaller model, or a device with more memory."
        }
        "gpu-occupied" => "Restart the machine or the container runtime: memory of a process that died badly can stay taken.",
        "host-oom" => "See who takes the memory while it loads (`ps aux --sort=-rss | head`, `kubectl top pod`), and use a machine with more.",
        "shm-exhausted" => "Share the host's memory segments with the container (`--ipc=host`).",
        "disk-full" => "See what fills it: `df -h`, `du -xsh /* 2>/dev/null`, and `df -i` for inodes.",
        "meta-tensor-offload" | "quantized-offload-refused" | "device-mismatch" => {
            "Print `model.hf_device_map` after loading: it names each module that is not where it should be."
        }
        "template-error" => "Send the request that failed to the completions end point, which uses no template.",
        "integer-overflow" | "nan-logits" => "Find the shortest prompt that fails, try it without quantization, and report it with the versions.",
        "context-limit-config" | "parallelism-config" | "quantization-unsupported" | "dtype-unsupported" | "invalid-argument" => {
            "Start with the model alone and no other flag, then add one flag at a time."
        }
        "model-unsupported" => "Ask the engine's list of supported models, and take one that is in it.",
        "remote-code-refused" => "Look at the repository's `auto_map`: it names the files whose code is wanted.",
        "model-auth" => "`hf auth whoami` with the same token shows whose it is; the model's page shows whether that account was let in.",
        "model-download" => "Fetch the model by itself, where the network is known to work, and give the server the folder.",
        "weights-invalid" => "Compare sizes and checksums with those on the model's page, and look for a note of its author.",
        "cuda-unavailable" => "Ask PyTorch alone: `python3 -c 'import torch; print(torch.version.cuda, torch.cuda.is_available())'`.",
        "gpu-arch-unsupported" => "Take an engine that runs on older and newer cards alike, such as llama.cpp built on the machine.",
        "cuda-fault" | "internal-error" => "Try the release before and the newest; if both fail, report it with the traceback and the versions.",
        "collective-failure" => "Run nccl-tests (`all_reduce_perf`) over the same devices: it shows whether it is the machine or the engine.",
        "gpu-hardware" => "Take the card out of service, and have it replaced.",
        "missing-dependency" => "Make a new environment, or use the engine's own image.",
        "port-in-use" => "Wait a minute and look again: a process that is ending holds its port until it is gone.",
        "overload" => "Add servers, or limit what one client may send.",
        "terminated" => "Ask the one who runs the machine: an order to stop comes from outside, and the log cannot say from whom.",
        _ => "Run it in the foreground with the most logging, and read that log with this tool.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::CAUSES;

    #[test]
    fn every_cause_has_a_last_resort_of_its_own() {
        let general = last_resort("");
        for cause in CAUSES {
            assert!(cause.id == "unknown" || last_resort(cause.id) != general, "{}", cause.id);
        }
    }
}
