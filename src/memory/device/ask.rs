//! Asks the driver of this machine what devices there are: `nvidia-smi`, otherwise `rocm-smi`.
//!
//! The tools are run with a limit of time, for a driver that hangs is one of the things that people look into with this
//! program. What they print is read by functions that are tested on text.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Arch, Basis, Device, UnknownDevice, Vendor};
use crate::memory::size::{Bytes, MIB};

/// How long a tool may take.
const LIMIT: Duration = Duration::from_secs(10);
/// No tool prints more.
const LONGEST: u64 = 1 << 20;

/// The devices of this machine, in the driver's order.
pub fn devices() -> Result<Vec<Device>, UnknownDevice> {
    let query = |fields: &str| run("nvidia-smi", &[&format!("--query-gpu={fields}"), "--format=csv,noheader,nounits"]);
    // Drivers before 2022 do not know compute_cap and refuse the whole query.
    let nvidia = query("name,memory.total,memory.used,compute_cap").or_else(|_| query("name,memory.total,memory.used"));
    let mut reason = match nvidia.map(|text| nvidia_smi(&text)) {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => "nvidia-smi lists no device".to_owned(),
        Err(reason) => reason,
    };
    match run("rocm-smi", &["--showproductname", "--showmeminfo", "vram", "--json"]).map(|text| rocm_smi(&text)) {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => reason += "; rocm-smi lists no device",
        Err(other) => reason += &format!("; {other}"),
    }
    Err(UnknownDevice::NotAsked(reason))
}

/// Runs a tool and gives what it printed, or why it did not.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {program}"),
        _ => format!("{program} cannot be run: {error}"),
    })?;
    let (sender, receiver) = mpsc::channel();
    let output = child.stdout.take();
    thread::spawn(move || {
        let mut text = String::new();
        let read = output.map(|output| output.take(LONGEST).read_to_string(&mut text));
        // Nobody waits any more if the limit has passed.
        let _ = sender.send(read.map(|_| text));
    });
    let text = receiver.recv_timeout(LIMIT);
    if text.is_err() {
        // It may have ended by itself in between.
        let _ = child.kill();
    }
    let status = child.wait();
    match (text, status) {
        (Ok(Some(text)), Ok(status)) if status.success() => Ok(text),
        (Err(_), _) => Err(format!("{program} did not answer within {} seconds", LIMIT.as_secs())),
        _ => Err(format!("{program} failed")),
    }
}

/// Reads `name, memory.total, memory.used, compute_cap` of `nvidia-smi --format=csv,noheader,nounits`.
///
/// `memory.total` counts what the driver keeps for itself; PyTorch is offered less. So a device of the catalogue is taken
/// from there, and of another half a percent and 370 MiB are taken off, which is what lies between the two figures of
/// cards from 8 to 80 GB within 0.3 GiB.
pub fn nvidia_smi(text: &str) -> Vec<Device> {
    text.lines().filter_map(nvidia_line).collect()
}

fn nvidia_line(line: &str) -> Option<Device> {
    let mut fields = line.split(',').map(str::trim);
    let name = fields.next().filter(|name| !name.is_empty())?;
    let total = fields.next()?.parse::<u64>().ok();
    let in_use = fields.next().and_then(|used| used.parse::<u64>().ok()).map(Bytes::mib);
    let arch = fields.next().map_or(Arch::Unknown, Arch::parse);
    let known = Device::find(name).ok().filter(|known| total.is_none_or(|total| fits(known, Bytes::mib(total))));
    // Machines with one memory print no total.
    let (total, margin) = match (&known, total) {
        (Some(known), _) => (known.total, known.margin),
        (None, Some(total)) => (Bytes::mib((total - total / 200).saturating_sub(370)), Bytes(300 * MIB)),
        (None, None) => return None,
    };
    let (marketing, unified) = known.as_ref().map_or((None, false), |known| (known.marketing, known.unified));
    let arch = if arch == Arch::Unknown { known.map_or(Arch::Unknown, |known| known.arch) } else { arch };
    Some(Device { name: name.to_owned(), vendor: Vendor::Nvidia, total, margin, marketing, in_use, arch, unified, basis: Basis::Asked })
}

/// Whether what the driver says may be this device: it is never less than PyTorch's figure, nor much more.
fn fits(known: &Device, total: Bytes) -> bool {
    total >= known.total && total.saturating_sub(known.total) <= known.total / 10 + Bytes::mib(512)
}

/// Reads the JSON of `rocm-smi --showproductname --showmeminfo vram --json`. PyTorch is offered nearly all of it.
pub fn rocm_smi(text: &str) -> Vec<Device> {
    let Ok(Value::Object(cards)) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    cards.iter().filter(|(key, _)| key.starts_with("card")).filter_map(|(_, card)| rocm_card(card)).collect()
}

fn rocm_card(card: &Value) -> Option<Device> {
    let text = |keys: &[&str]| {
        let found = card
            .as_object()?
            .iter()
            .find(|(key, value)| keys.iter().any(|k| key.eq_ignore_ascii_case(k)) && value.as_str().is_some_and(|v| !v.is_empty() && v != "N/A"))?;
        found.1.as_str()
    };
    let bytes = |key: &str| text(&[key])?.parse::<u64>().ok().map(Bytes);
    let total = bytes("VRAM Total Memory (B)")?;
    let name = text(&["Card Series"]).or_else(|| text(&["Card Model"])).or_else(|| text(&["Device Name"])).unwrap_or("AMD GPU");
    let arch = text(&["GFX Version"]).map(Arch::parse).or_else(|| Device::find(name).ok().map(|known| known.arch)).unwrap_or(Arch::Unknown);
    let in_use = bytes("VRAM Total Used Memory (B)");
    Some(Device {
        name: name.chars().take(100).collect(),
        vendor: Vendor::Amd,
        total: total.saturating_sub(Bytes::mib(20)),
        margin: Bytes::mib(20),
        marketing: None,
        in_use,
        arch,
        unified: false,
        basis: Basis::Asked,
    })
}
