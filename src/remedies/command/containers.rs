//! Commands of compose files, Kubernetes objects and `docker inspect`, read, and written back as the part that changes.

use serde_json::{Map, Value, json};

use super::read::{inside, variable};
use super::word::is_variable;
use super::{Argument, Command, Container, Form, KubernetesPlace, Origin, Piece, Program, Source, Trust, Variable, Word, print, yaml};
use crate::remedies::flags::{Problem, Table};

fn unreadable(why: impl Into<String>) -> Problem {
    Problem::Unreadable(why.into())
}

fn empty(form: Form, image: Word) -> Command {
    Command {
        engine: None,
        version: None,
        source: Source::Given,
        form,
        container: Some(Container { runtime: Vec::new(), options: Vec::new(), image }),
        environment: Vec::new(),
        program: Program::default(),
        arguments: Vec::new(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn option(command: &mut Command, name: &str, value: Option<String>) {
    if let (Some(value), Some(container)) = (value, &mut command.container) {
        container.options.push(Argument { name: Some(name.to_owned()), values: vec![Word::text(value)], joined: false, origin: Origin::Given });
    }
}

/// Runs `take` on a command without the options that belong to its own form, so that what is inside is read alone.
fn read_inside(command: &mut Command, entrypoint: &[Word], words: Vec<Word>) -> Result<(), Problem> {
    let all: Vec<Word> = entrypoint.iter().skip(1).cloned().chain(words).collect();
    inside(command, entrypoint.first(), &all, Trust::User)?;
    if let Some(first) = entrypoint.first() {
        command.program.front().insert(0, first.clone());
    }
    command.hide_secrets()
}

// ------------------------------------------------------------------------------------------------------------ compose

/// `$NAME`, `${NAME}`, and `$$` for a dollar.
fn interpolated(text: &str) -> Result<Word, Problem> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        pieces.push(Piece::Text(before.to_owned()));
        if let Some(after) = after.strip_prefix('$') {
            pieces.push(Piece::Text("$".to_owned()));
            rest = after;
            continue;
        }
        let (inside, behind) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').ok_or_else(|| unreadable("a variable is not closed"))?,
            None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        pieces.push(Piece::in_braces(inside).ok_or_else(|| unreadable("the file uses ${…} for more than a name with a fallback"))?);
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(Word(pieces).joined())
}

/// The service of a compose file that runs an engine.
pub(super) fn compose(file: &str) -> Result<Command, Problem> {
    let documents = yaml::read(file)?;
    let services =
        documents.iter().find_map(|document| document.get("services")?.as_object()).ok_or_else(|| unreadable("the file has no services"))?;
    let mut last = unreadable("no service of the file runs an engine");
    for (name, service) in services {
        match compose_service(name, service) {
            Ok(command) => return Ok(command),
            Err(problem) if services.len() == 1 => last = problem,
            Err(_) => {}
        }
    }
    Err(last)
}

fn compose_words(value: Option<&Value>) -> Result<Vec<Word>, Problem> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(text).map(|item| interpolated(&item)).collect(),
        Some(Value::String(line)) => {
            // Compose splits as a shell does and fills in variables itself; `$$` is a dollar.
            if line.contains("$$") {
                return Err(unreadable("the command holds $$"));
            }
            super::split(&line.replace("\\\n", " ").replace('\n', " "))
        }
        _ => Ok(Vec::new()),
    }
}

fn compose_service(name: &str, service: &Value) -> Result<Command, Problem> {
    let image = service.get("image").and_then(text).ok_or_else(|| unreadable("the service has no image"))?;
    let mut command = empty(Form::Compose { service: name.to_owned() }, interpolated(&image)?);
    match service.get("environment") {
        Some(Value::Object(map)) => {
            for (name, value) in map {
                let value = text(value).map(|value| interpolated(&value)).transpose()?;
                command.environment.push(variable(name.clone(), value));
            }
        }
        Some(Value::Array(items)) => {
            for item in items.iter().filter_map(text) {
                let (name, value) = item.split_once('=').map_or((item.as_str(), None), |(name, value)| (name, Some(value)));
                command.environment.push(variable(name.to_owned(), value.map(interpolated).transpose()?));
            }
        }
        _ => {}
    }
    for (key, flag) in
        [("shm_size", "--shm-size"), ("ipc", "--ipc"), ("mem_limit", "--memory"), ("runtime", "--runtime"), ("network_mode", "--network")]
    {
        option(&mut command, flag, service.get(key).and_then(text));
    }
    let entrypoint = compose_words(service.get("entrypoint"))?;
    read_inside(&mut command, &entrypoint, compose_words(service.get("command"))?)?;
    Ok(command)
}

/// A word as a compose file has it.
fn compose_text(word: &Word) -> String {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => text.replace('$', "$$"),
        Piece::Variable(name) => format!("${{{name}}}"),
        Piece::Fallback(name, rest) => format!("${{{name}{rest}}}"),
    };
    word.0.iter().map(part).collect()
}

/// The service with what changed; laid over the user's file (`-f compose.yaml -f this.yaml`) it keeps all the rest.
pub(super) fn print_compose(command: &Command, service: &str) -> Result<String, Problem> {
    let mut body = Map::new();
    if let Some(container) = &command.container {
        body.insert("image".to_owned(), compose_text(&container.image).into());
        for option in container.options.iter().filter(|option| option.origin == Origin::Added) {
            let name = option.name.as_deref().and_then(|name| Table::of("docker")?.find(name)).map_or("", |found| found.flag.name);
            let value = option.values.first().map(compose_text).unwrap_or_default();
            let key = match name {
                "--shm-size" => "shm_size",
                "--ipc" => "ipc",
                "--memory" => "mem_limit",
                "--runtime" => "runtime",
                "--network" => "network_mode",
                "--gpus" => {
                    let count: Value = if value == "all" {
                        "all".into()
                    } else {
                        value.parse::<u64>().map_err(|_| Problem::NotHere { what: "these devices".to_owned() })?.into()
                    };
                    let device = json!({"driver": "nvidia", "count": count, "capabilities": ["gpu"]});
                    body.insert("deploy".to_owned(), json!({"resources": {"reservations": {"devices": [device]}}}));
                    continue;
                }
                _ => return Err(Problem::NotHere { what: name.to_owned() }),
            };
            body.insert(key.to_owned(), value.into());
        }
    }
    let added: Map<String, Value> = command
        .environment
        .iter()
        .filter(|variable| variable.origin == Origin::Added)
        .map(|variable| (variable.name.clone(), variable.value.as_ref().map_or(Value::Null, |word| compose_text(word).into())))
        .collect();
    if !added.is_empty() {
        body.insert("environment".to_owned(), Value::Object(added));
    }
    if command.program.shell.is_empty() {
        let (program, arguments) = print::list(command);
        let words: Vec<Value> = program.iter().chain(&arguments).map(|word| compose_text(word).into()).collect();
        if !words.is_empty() {
            body.insert("command".to_owned(), words.into());
        }
    } else {
        let shell = command.program.shell.iter().map(compose_text);
        let script = print::script(command)?.replace('$', "$$");
        body.insert("entrypoint".to_owned(), shell.map(Value::from).collect());
        body.insert("command".to_owned(), json!([script]));
    }
    Ok(yaml::write(&json!({"services": {service: body}})))
}

// --------------------------------------------------------------------------------------------------------- kubernetes

/// `$(NAME)`, and `$$(` for the text.
fn referenced(text: &str) -> Word {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let name = after.split_once(')').filter(|(name, _)| is_variable(name));
        match (before.strip_suffix('$'), name) {
            (None, Some((name, behind))) => {
                pieces.push(Piece::Text(before.to_owned()));
                pieces.push(Piece::Variable(name.to_owned()));
                rest = behind;
            }
            (escaped, _) => {
                pieces.push(Piece::Text(format!("{}$(", escaped.unwrap_or(before))));
                rest = after;
            }
        }
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Word(pieces).joined()
}

fn kubernetes_text(word: &Word) -> String {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => text.replace("$(", "$$("),
        Piece::Variable(name) => format!("$({name})"),
        // Not read from manifests, which have no such form.
        Piece::Fallback(name, rest) => format!("${{{name}{rest}}}"),
    };
    word.0.iter().map(part).collect()
}

/// Where kinds keep their pods.
const PATHS: [(&str, &[&str]); 8] = [
    ("Pod", &["spec"]),
    ("Deployment", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("ReplicaSet", &["spec", "template", "spec"]),
    ("Job", &["spec", "template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
    ("InferenceService", &["spec", "predictor"]),
];

/// The container of a Kubernetes manifest that runs an engine.
pub(super) fn manifest(file: &str) -> Result<Command, Problem> {
    let mut last = unreadable("no object of the file runs an engine");
    let mut objects = Vec::new();
    for document in yaml::read(file)? {
        match document.get("items").and_then(Value::as_array) {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(document),
        }
    }
    for object in &objects {
        let kind = object.get("kind").and_then(text).unwrap_or_default();
        let Some((_, path)) = PATHS.iter().find(|(name, _)| *name == kind) else { continue };
        let pod = path.iter().try_fold(object, |value, key| value.get(key));
        for container in pod.and_then(|pod| pod.get("containers")).and_then(Value::as_array).into_iter().flatten() {
            match manifest_container(object, &kind, path, container) {
                Ok(command) => return Ok(command),
                Err(problem) => last = problem,
            }
        }
    }
    Err(last)
}

fn manifest_container(object: &Value, kind: &str, path: &[&str], container: &Value) -> Result<Command, Problem> {
    let of = |value: &Value, key: &str| value.get(key).and_then(text);
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    let list = |key: &str| {
        container.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(text).map(|item| referenced(&item)).collect::<Vec<Word>>()
    };
    let entrypoint = list("command");
    let place = KubernetesPlace {
        api_version: of(object, "apiVersion").unwrap_or_default(),
        kind: kind.to_owned(),
        name: of(&metadata, "name").ok_or_else(|| unreadable("the object has no name"))?,
        namespace: of(&metadata, "namespace"),
        path: path.iter().map(|key| (*key).to_owned()).collect(),
        container: of(container, "name").ok_or_else(|| unreadable("the container has no name"))?,
        own_command: !entrypoint.is_empty(),
        startup_probe: None,
    };
    let image = of(container, "image").ok_or_else(|| unreadable("the container has no image"))?;
    let mut command = empty(Form::Kubernetes(place), Word::text(image));
    for entry in container.get("env").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = of(entry, "name") {
            // What comes from a secret or a field is handed through.
            command.environment.push(variable(name, of(entry, "value").map(|value| referenced(&value))));
        }
    }
    let limits = container.get("resources").and_then(|resources| resources.get("limits"));
    option(&mut command, "--gpus", limits.and_then(|limits| of(limits, "nvidia.com/gpu")));
    option(&mut command, "--memory", limits.and_then(|limits| of(limits, "memory")));
    read_inside(&mut command, &entrypoint, list("args"))?;
    Ok(command)
}

/// The part of the object that changes, as `kubectl patch --patch-file` and `kubectl apply --server-side` take it.
pub(super) fn print_manifest(command: &Command, place: &KubernetesPlace) -> Result<String, Problem> {
    let mut container = Map::new();
    container.insert("name".to_owned(), place.container.as_str().into());
    if let Some(own) = &command.container {
        container.insert("image".to_owned(), kubernetes_text(&own.image).into());
    }
    let texts = |words: &[Word]| words.iter().map(|word| Value::from(kubernetes_text(word))).collect::<Vec<_>>();
    if command.program.shell.is_empty() {
        let (program, arguments) = print::list(command);
        if place.own_command {
            container.insert("command".to_owned(), texts(&program).into());
            container.insert("args".to_owned(), texts(&arguments).into());
        } else {
            let words: Vec<Word> = program.into_iter().chain(arguments).collect();
            container.insert("args".to_owned(), texts(&words).into());
        }
    } else {
        // The shell fills in variables itself; Kubernetes must leave them alone.
        let script = print::script(command)?.replace("$(", "$$(");
        container.insert("command".to_owned(), texts(&command.program.shell).into());
        container.insert("args".to_owned(), json!([script]));
    }
    let added = command.environment.iter().filter(|variable| variable.origin == Origin::Added);
    let environment: Vec<Value> =
        added.filter_map(|variable: &Variable| Some(json!({"name": variable.name, "value": kubernetes_text(variable.value.as_ref()?)}))).collect();
    if !environment.is_empty() {
        container.insert("env".to_owned(), environment.into());
    }
    if let Some(port) = place.startup_probe {
        let probe = json!({"httpGet": {"path": "/health", "port": port}, "periodSeconds": 10, "failureThreshold": 180});
        container.insert("startupProbe".to_owned(), probe);
    }
    let mut pod = Map::new();
    let mut limits = Map::new();
    for option in command.container.iter().flat_map(|container| &container.options).filter(|option| option.origin == Origin::Added) {
        let value = option.values.first().and_then(Word::literal).unwrap_or_default();
        match option.name.as_deref() {
            Some("--gpus") => {
                limits.insert(
                    "nvidia.com/gpu".to_owned(),
                    value.parse::<u64>().map_err(|_| Problem::NotHere { what: "these devices".to_owned() })?.into(),
                );
            }
            Some("--memory" | "-m") => {
                limits.insert("memory".to_owned(), quantity(&value).into());
            }
            Some("--shm-size") => {
                container.insert("volumeMounts".to_owned(), json!([{"name": "shm", "mountPath": "/dev/shm"}]));
                pod.insert("volumes".to_owned(), json!([{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": quantity(&value)}}]));
            }
            name => return Err(Problem::NotHere { what: name.unwrap_or("this option").to_owned() }),
        }
    }
    if !limits.is_empty() {
        container.insert("resources".to_owned(), json!({"limits": limits}));
    }
    let mut all = Map::new();
    all.insert("containers".to_owned(), json!([container]));
    all.extend(pod);
    let mut spec = Value::Object(all);
    for key in place.path.iter().rev() {
        spec = json!({key.as_str(): spec});
    }
    let mut metadata = json!({"name": place.name});
    if let (Some(namespace), Some(map)) = (&place.namespace, metadata.as_object_mut()) {
        map.insert("namespace".to_owned(), namespace.as_str().into());
    }
    let mut object = json!({"apiVersion": place.api_version, "kind": place.kind, "metadata": metadata});
    if let (Some(object), Value::Object(spec)) = (object.as_object_mut(), spec) {
        object.extend(spec);
    }
    Ok(yaml::write(&object))
}

/// Docker's `1g` is Kubernetes' `1Gi`.
fn quantity(size: &str) -> String {
    let lower = size.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    match lower.get(digits.len()..).unwrap_or_default() {
        "g" | "gb" => format!("{digits}Gi"),
        "m" | "mb" => format!("{digits}Mi"),
        _ => size.to_owned(),
    }
}

// ------------------------------------------------------------------------------------------------------------- docker

/// Variables that images set, not users.
const OF_IMAGES: [&str; 7] =
    ["HF_HOME", "HUGGINGFACE_HUB_CACHE", "PORT", "HF_HUB_ENABLE_HF_TRANSFER", "NVIDIA_VISIBLE_DEVICES", "TORCH_CUDA_ARCH_LIST", "HOSTNAME"];

/// The `docker run` that made a container.
pub(super) fn inspect(text_: &str) -> Result<Command, Problem> {
    let value: Value = serde_json::from_str(text_).map_err(|error| unreadable(format!("this is not the output of docker inspect: {error}")))?;
    let container = if let Value::Array(items) = &value { items.first().cloned().unwrap_or_default() } else { value };
    let at = |path: &str| container.pointer(path).filter(|value| !value.is_null());
    let image = at("/Config/Image").and_then(text).ok_or_else(|| unreadable("the container has no image"))?;
    let mut command = empty(Form::Shell, Word::text(image.clone()));
    if let Some(own) = &mut command.container {
        own.runtime = vec![Word::text("docker"), Word::text("run")];
    }
    let table = Table::of_image(&image);
    for entry in at("/Config/Env").and_then(Value::as_array).into_iter().flatten().filter_map(text) {
        let Some((name, value)) = entry.split_once('=') else { continue };
        if table.is_some_and(|table| table.reads(name)) && !OF_IMAGES.contains(&name) {
            command.environment.push(variable(name.to_owned(), Some(Word::text(value))));
        }
    }
    let name = at("/Name").and_then(text).map(|name| name.trim_start_matches('/').to_owned());
    option(&mut command, "--name", name.filter(|name| !name.is_empty()));
    for (count, ids) in at("/HostConfig/DeviceRequests")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|request| (request.get("Count"), request.get("DeviceIDs")))
    {
        let ids: Vec<String> = ids.and_then(Value::as_array).into_iter().flatten().filter_map(text).collect();
        let count = count.and_then(Value::as_i64);
        let devices = match (ids.as_slice(), count) {
            ([], Some(-1)) => Some("all".to_owned()),
            ([], count) => count.map(|count| count.to_string()),
            ([one], _) => Some(format!("device={one}")),
            (several, _) => Some(format!("\"device={}\"", several.join(","))),
        };
        option(&mut command, "--gpus", devices);
    }
    let number = |path: &str| at(path).and_then(Value::as_u64).filter(|number| *number > 0);
    option(&mut command, "--shm-size", number("/HostConfig/ShmSize").filter(|size| *size != 64 << 20).map(|size| size.to_string()));
    option(&mut command, "--memory", number("/HostConfig/Memory").map(|size| size.to_string()));
    let word = |path: &str, usual: &[&str]| at(path).and_then(text).filter(|value| !value.is_empty() && !usual.contains(&value.as_str()));
    option(&mut command, "--ipc", word("/HostConfig/IpcMode", &["private", "shareable", ""]));
    option(&mut command, "--runtime", word("/HostConfig/Runtime", &["runc"]));
    option(&mut command, "--network", word("/HostConfig/NetworkMode", &["default", "bridge"]));
    option(&mut command, "--restart", word("/HostConfig/RestartPolicy/Name", &["no"]));
    for (inside, bindings) in at("/HostConfig/PortBindings").and_then(Value::as_object).into_iter().flatten() {
        for binding in bindings.as_array().into_iter().flatten() {
            let host = binding.get("HostPort").and_then(text).unwrap_or_default();
            let address =
                binding.get("HostIp").and_then(text).filter(|ip| !ip.is_empty() && ip != "0.0.0.0").map_or(String::new(), |ip| format!("{ip}:"));
            option(&mut command, "-p", Some(format!("{address}{host}:{}", inside.trim_end_matches("/tcp"))));
        }
    }
    for bind in at("/HostConfig/Binds").and_then(Value::as_array).into_iter().flatten().filter_map(text) {
        option(&mut command, "-v", Some(bind));
    }
    let words: Vec<Word> = at("/Config/Cmd").and_then(Value::as_array).into_iter().flatten().filter_map(text).map(Word::text).collect();
    // The entry point is the image's own, unless it was replaced by a program that is none of its kind.
    read_inside(&mut command, &[], words)?;
    Ok(command)
}
