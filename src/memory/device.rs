//! What a device offers: its memory as the driver gives it, and what its kernels can do.

use thiserror::Error;

use super::format::Method;
use super::size::Bytes;

pub mod ask;

/// A GPU, or what takes its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its name, as the catalogue or the driver has it; the size as given where only a size is known.
    pub name: String,
    /// Who made it.
    pub vendor: Vendor,
    /// Usable bytes, as PyTorch reports them (`cudaMemGetInfo`), ECC and the driver's own share taken off.
    pub total: Bytes,
    /// How far `total` may be off: what ECC, the driver's version and the system (Windows gives all of it) change.
    pub margin: Bytes,
    /// The size on the box. Boxes say GB and mean GiB.
    pub marketing: Option<Bytes>,
    /// Bytes in use by others when the device was asked (`--gpu auto`).
    pub in_use: Option<Bytes>,
    /// The architecture, from which follows what it can run.
    pub arch: Arch,
    /// Processor and device share one memory.
    pub unified: bool,
    /// How `total` is known.
    pub basis: Basis,
}

/// Who made a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// Apple.
    Apple,
    /// Not known: only a size was given.
    Unknown,
}

/// The architecture of a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Arch {
    /// NVIDIA's compute capability: 8.6 is `(8, 6)`.
    Cuda(u8, u8),
    /// AMD's target: `gfx942`.
    Gfx(String),
    /// Another, by its name: `Xe2`, `Metal`.
    Other(String),
    /// Not known.
    Unknown,
}

/// How the usable memory of a device is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// Asked from the driver on this machine.
    Asked,
    /// Given by the user as a size.
    Given,
    /// Printed by a server or a tool on such a device.
    Measured,
    /// The size on the box less what drivers usually keep.
    Derived,
}

/// A row of the catalogue of devices.
#[derive(Debug)]
pub struct Row {
    name: &'static str,
    vendor: Vendor,
    /// The size on the box, in GiB, or the range of sizes of a machine.
    label: (u64, u64),
    total_mib: Option<u64>,
    spread_mib: u64,
    arch: &'static str,
    unified: bool,
    measured: bool,
    /// Where the figures were read.
    pub source: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/devices.rs"));

/// Every device that is compiled in.
pub fn rows() -> &'static [Row] {
    DEVICES
}

/// Why a device is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnknownDevice {
    /// Nothing of that name.
    #[error("the device `{name}` is not known; give its memory instead, like `24GiB`")]
    Unknown {
        /// The name as given.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// Several devices have that name, and not the same memory.
    #[error("`{name}` may be any of {}; name one, or give its memory", among.join(", "))]
    Ambiguous {
        /// The name as given.
        name: String,
        /// Those that it may be.
        among: Vec<String>,
    },
    /// The driver could not be asked.
    #[error("no device could be asked for its memory: {0}")]
    NotAsked(String),
}

impl Row {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The device. What is not measured is off by 2 % at the least.
    fn device(&self) -> Option<Device> {
        let total = Bytes::mib(self.total_mib?);
        let spread = Bytes::mib(self.spread_mib);
        Some(Device {
            name: self.name.to_owned(),
            vendor: self.vendor,
            total,
            margin: if self.measured { spread } else { spread.max(total / 50) },
            marketing: Some(Bytes::gib(self.label.1)),
            in_use: None,
            arch: Arch::parse(self.arch),
            unified: self.unified,
            basis: if self.measured { Basis::Measured } else { Basis::Derived },
        })
    }
}

/// Words of names that do not tell devices apart.
const NOISE: &[&str] = &[
    "nvidia",
    "geforce",
    "amd",
    "ati",
    "intel",
    "apple",
    "tesla",
    "quadro",
    "radeon",
    "instinct",
    "graphics",
    "gpu",
    "generation",
    "corporation",
    "r",
    "tm",
    "the",
    "data",
    "center",
    "edition",
    "cuda",
    "chip",
    "card",
    "memory",
    "ram",
    "vram",
    "workstation",
    "server",
    "tensor",
    "core",
    "with",
    "modded",
];

/// Words that say how a device is built in, and seldom what it has.
const FORMS: &[&str] = &["sxm", "sxm2", "sxm3", "sxm4", "sxm5", "pcie", "nvl", "hbm2", "hbm2e", "hbm3", "hbm3e", "oam"];

/// Words before a number that people leave out.
const SERIES: &[&str] = &["rtx", "gtx", "rx", "arc"];

/// A name of a device, taken apart.
#[derive(Debug, PartialEq)]
struct Parts {
    model: Vec<String>,
    forms: Vec<String>,
    /// Sizes in GiB that stand in it.
    sizes: Vec<u64>,
}

fn parts(name: &str) -> Parts {
    let mut out = Parts { model: Vec::new(), forms: Vec::new(), sizes: Vec::new() };
    let lower: String = name.chars().take(200).collect::<String>().to_ascii_lowercase().replace('+', "plus");
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let mut at = 0;
    while at < words.len() {
        let word = words[at];
        let unit = words.get(at + 1).is_some_and(|next| matches!(*next, "gb" | "gib" | "g"));
        let number = word.trim_end_matches("gib").trim_end_matches("gb");
        match number.parse::<u64>() {
            Ok(size) if unit || number != word => {
                out.sizes.push(size);
                at += usize::from(unit && number == word);
            }
            _ if FORMS.contains(&word) => out.forms.push(word.to_owned()),
            _ if NOISE.contains(&word) => {}
            _ => out.model.extend(apart(word)),
        }
        at += 1;
    }
    out
}

/// `rtx4060ti` is `rtx`, `4060`, `ti`.
fn apart(word: &str) -> Vec<String> {
    let mut rest = word;
    let mut out = Vec::new();
    for series in SERIES {
        if let Some(number) = rest.strip_prefix(series).filter(|r| r.starts_with(|c: char| c.is_ascii_digit())) {
            out.push((*series).to_owned());
            rest = number;
        }
    }
    for (ending, words) in [("tisuper", &["ti", "super"][..]), ("super", &["super"]), ("ti", &["ti"]), ("xtx", &["xtx"]), ("xt", &["xt"])] {
        if let Some(number) = rest.strip_suffix(ending).filter(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit())) {
            out.push(number.to_owned());
            out.extend(words.iter().map(|w| (*w).to_owned()));
            return out;
        }
    }
    out.push(rest.to_owned());
    out
}

impl Device {
    /// The device that a text means: a marketing name, `nvidia-smi`'s name, a MIG slice (`1g.10gb`, with or without its
    /// GPU), a machine with unified memory (`M2 Max 64GB`), or a plain size (`24GB` is 24·10^9 bytes, `8GiB` 8·2^30, `24`
    /// without a unit GiB), which is then what PyTorch is taken to report.
    ///
    /// A box that says 24 GB means 24 GiB, of which the driver keeps a part: to get that right, name the device.
    pub fn find(text: &str) -> Result<Device, UnknownDevice> {
        // A bare number is a size in GiB, unless no device is so large: `4090` is a name.
        let bare = text.trim().bytes().all(|b| b.is_ascii_digit());
        if let Ok(total) = text.parse::<Bytes>()
            && total > Bytes::ZERO
            && !(bare && total > Bytes::gib(1024))
        {
            return Ok(Device::of_size(text.trim(), total));
        }
        if let Some(slice) = mig(text) {
            return slice;
        }
        let asked = parts(text);
        let named = |row: &&Row| {
            // What stands in brackets tells variants and machines apart, and is left out as a rule.
            let plain = row.name.split(" (").next().map(|name| parts(name).model);
            let model = parts(row.name).model;
            let series = model.first().is_some_and(|first| SERIES.contains(&first.as_str()));
            model == asked.model || plain.as_ref() == Some(&asked.model) || series && model[1..] == asked.model
        };
        let mut found: Vec<&'static Row> = DEVICES.iter().filter(named).collect();
        if asked.model.is_empty() || found.is_empty() {
            return Err(UnknownDevice::Unknown { name: text.chars().take(100).collect(), near: near(&asked) });
        }
        if found.iter().any(|row| row.total_mib.is_none()) {
            return unified(text, &found, &asked);
        }
        // A size in the name has to be the device's; a form decides only where it can.
        if let Some(size) = asked.sizes.first() {
            let sized: Vec<_> = found.iter().filter(|row| row.label.1 == *size).copied().collect();
            if sized.is_empty() {
                let near = found.iter().map(|row| row.name.to_owned()).collect();
                return Err(UnknownDevice::Unknown { name: text.chars().take(100).collect(), near });
            }
            found = sized;
        }
        // The variant with more memory always names itself.
        if asked.forms.is_empty() && asked.sizes.is_empty() {
            let plain: Vec<_> = found.iter().filter(|row| !parts(row.name).forms.iter().any(|f| f == "nvl")).copied().collect();
            if !plain.is_empty() {
                found = plain;
            }
        }
        for form in &asked.forms {
            let formed: Vec<_> = found.iter().filter(|row| parts(row.name).forms.contains(form)).copied().collect();
            if !formed.is_empty() {
                found = formed;
            }
        }
        // Of several, one that has no size in its name is what is meant by the name alone.
        if asked.sizes.is_empty() && found.len() > 1 {
            let plain: Vec<_> = found.iter().filter(|row| parts(row.name).sizes.is_empty()).copied().collect();
            if !plain.is_empty() {
                found = plain;
            }
        }
        found.sort_by_key(|row| (!row.measured, row.total_mib));
        let one = found[0];
        let close = |row: &&Row| row.total_mib.unwrap_or(0).abs_diff(one.total_mib.unwrap_or(0)) * 50 <= one.total_mib.unwrap_or(0);
        if !found.iter().all(close) {
            let among = found.iter().map(|row| row.name.to_owned()).collect();
            return Err(UnknownDevice::Ambiguous { name: text.chars().take(100).collect(), among });
        }
        one.device().ok_or_else(|| UnknownDevice::Unknown { name: text.to_owned(), near: Vec::new() })
    }

    /// A device of which only the memory is known.
    pub fn of_size(name: &str, total: Bytes) -> Device {
        Device {
            name: name.to_owned(),
            vendor: Vendor::Unknown,
            total,
            margin: Bytes::ZERO,
            marketing: None,
            in_use: None,
            arch: Arch::Unknown,
            unified: false,
            basis: Basis::Given,
        }
    }

    /// Whether the device computes with bfloat16; none if its architecture is not known.
    pub fn bf16(&self) -> Option<bool> {
        Some(match &self.arch {
            Arch::Cuda(major, _) => *major >= 8,
            Arch::Gfx(target) => !matches!(target.as_str(), "gfx900" | "gfx906" | "gfx1030" | "gfx1031" | "gfx1032"),
            Arch::Other(name) => !name.contains("M1"),
            Arch::Unknown => return None,
        })
    }

    /// Whether the device computes with 8-bit floats (from Ada and Hopper on, compute capability 8.9; on AMD from MI300
    /// and RDNA 4 on). Elsewhere engines can only store weights so and compute in 16 bit.
    pub fn fp8(&self) -> Option<bool> {
        Some(match &self.arch {
            Arch::Cuda(major, minor) => (*major, *minor) >= (8, 9),
            Arch::Gfx(target) => matches!(target.as_str(), "gfx942" | "gfx950" | "gfx1200" | "gfx1201"),
            Arch::Other(name) => name == "HPU",
            Arch::Unknown => return None,
        })
    }

    /// Whether FlashAttention 2 runs (compute capability 8.0). Without it scores of attention take memory of their own.
    pub fn flash_attention(&self) -> Option<bool> {
        Some(match &self.arch {
            Arch::Cuda(major, _) => *major >= 8,
            Arch::Gfx(target) => target.starts_with("gfx9") && !matches!(target.as_str(), "gfx900" | "gfx906"),
            Arch::Other(_) => false,
            Arch::Unknown => return None,
        })
    }

    /// How weights in this format run here, by the kernels of vLLM, TGI and llama.cpp.
    ///
    /// Least compute capabilities, of vLLM's `get_min_capability` of each method and of its Marlin kernels: AWQ 7.5,
    /// GPTQ 6.0, Marlin 8.0, bitsandbytes 7.0 (7.5 for 8 bit), fp8 8.9 or 8.0 with Marlin (weights only), compressed-tensors
    /// int8 7.5, MXFP4 and NVFP4 10.0 or 8.0 with Marlin, EETQ 7.5, EXL2 6.0; GGUF runs everywhere with llama.cpp.
    pub fn runs(&self, method: Method) -> Support {
        use Support::{Native, No, Unknown, WeightsOnly};
        let from = |here: (u8, u8), native: (u8, u8), weights: (u8, u8)| {
            if here >= native {
                Native
            } else if here >= weights {
                WeightsOnly
            } else {
                No
            }
        };
        match (&self.arch, method) {
            (Arch::Unknown, _) => Unknown,
            (Arch::Cuda(major, minor), method) => {
                let here = (*major, *minor);
                match method {
                    Method::Gguf(_) => Native,
                    Method::Gptq { .. } | Method::Exl2 { .. } => from(here, (6, 0), (6, 0)),
                    Method::Awq { .. } | Method::Int8 { .. } | Method::Bnb8 | Method::Eetq => from(here, (7, 5), (7, 5)),
                    Method::Bnb4 { .. } => from(here, (7, 0), (7, 0)),
                    Method::PackedInt { .. } | Method::Int { .. } => from(here, (8, 0), (8, 0)),
                    Method::Fp8(_) => from(here, (8, 9), (8, 0)),
                    Method::Mxfp4 | Method::Mxfp8 | Method::Nvfp4 => from(here, (10, 0), (8, 0)),
                }
            }
            (_, Method::Gguf(_)) => Native,
            (Arch::Gfx(_), Method::Gptq { .. } | Method::Awq { .. } | Method::Int8 { .. } | Method::PackedInt { .. }) => Native,
            (Arch::Gfx(target), Method::Mxfp4) if target == "gfx950" => Native,
            (Arch::Gfx(_), Method::Fp8(_)) => {
                if self.fp8() == Some(true) {
                    Native
                } else {
                    No
                }
            }
            (Arch::Gfx(_), Method::Nvfp4 | Method::Eetq) => No,
            (Arch::Gfx(_) | Arch::Other(_), _) => Unknown,
        }
    }
}

/// How a device runs a number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Support {
    /// It has kernels for it.
    Native,
    /// It can hold the weights so, and computes in 16 bit.
    WeightsOnly,
    /// No kernel for it.
    No,
    /// Not known.
    Unknown,
}

impl Arch {
    /// Reads `8.6`, `gfx942`, or another name.
    pub fn parse(text: &str) -> Arch {
        let text = text.trim();
        if text.is_empty() {
            return Arch::Unknown;
        }
        if text.starts_with("gfx") {
            return Arch::Gfx(text.split(':').next().unwrap_or(text).to_owned());
        }
        match text.split_once('.').map(|(major, minor)| (major.parse(), minor.parse())) {
            Some((Ok(major), Ok(minor))) => Arch::Cuda(major, minor),
            _ => Arch::Other(text.to_owned()),
        }
    }
}

/// A slice of a GPU: `1g.10gb`, `NVIDIA H100 80GB HBM3 MIG 3g.40gb`. A slice offers 95 to 98 % of the size in its name;
/// the lower of them is taken. Sizes in the names of slices are GiB.
fn mig(text: &str) -> Option<Result<Device, UnknownDevice>> {
    let lower = text.to_ascii_lowercase();
    let word = lower.split_whitespace().find(|word| {
        let Some((compute, memory)) = word.split_once("g.") else { return false };
        matches!(compute, "1" | "2" | "3" | "4" | "7")
            && memory.split('+').next().is_some_and(|m| m.strip_suffix("gb").is_some_and(|n| n.parse::<u64>().is_ok()))
    })?;
    let size = word.split_once("g.")?.1.split('+').next()?.strip_suffix("gb")?.parse::<u64>().ok().filter(|n| (1..=512).contains(n))?;
    let parent = lower.replace(word, " ").replace("mig", " ");
    let arch = if parts(&parent).model.is_empty() {
        Arch::Unknown
    } else {
        match Device::find(&parent) {
            Ok(device) => device.arch,
            Err(UnknownDevice::Ambiguous { among, .. }) => among.first().and_then(|name| Device::find(name).ok()).map_or(Arch::Unknown, |d| d.arch),
            Err(error) => return Some(Err(error)),
        }
    };
    let label = Bytes::gib(size);
    let total = Bytes(label.0 * 95 / 100);
    Some(Ok(Device {
        name: text.trim().chars().take(100).collect(),
        vendor: Vendor::Nvidia,
        total,
        margin: Bytes(label.0 * 3 / 100),
        marketing: Some(label),
        in_use: None,
        arch,
        unified: false,
        basis: Basis::Derived,
    }))
}

/// A machine that shares its memory: what Metal lets a process take of it is two thirds up to 36 GiB and three quarters
/// above (`recommendedMaxWorkingSetSize`, as llama.cpp prints it).
fn unified(text: &str, found: &[&'static Row], asked: &Parts) -> Result<Device, UnknownDevice> {
    let one = found[0];
    let size = match asked.sizes.first() {
        Some(&size) if found.iter().any(|row| (row.label.0..=row.label.1).contains(&size)) => size,
        Some(_) => {
            return Err(UnknownDevice::Unknown {
                name: text.chars().take(100).collect(),
                near: vec![format!("{} with {} to {} GB", one.name, one.label.0, one.label.1)],
            });
        }
        None if one.label.0 == one.label.1 => one.label.0,
        None => {
            let among = vec![format!("{} {}GB", one.name, one.label.0), format!("{} {}GB", one.name, one.label.1)];
            return Err(UnknownDevice::Ambiguous { name: text.chars().take(100).collect(), among });
        }
    };
    let memory = Bytes::gib(size);
    let total = if size <= 36 { memory * 2 / 3 } else { memory * 3 / 4 };
    Ok(Device {
        name: format!("Apple {} {size}GB", if found.len() > 1 { one.name.split(" (").next().unwrap_or(one.name) } else { one.name }),
        vendor: Vendor::Apple,
        total,
        margin: total / 50,
        marketing: Some(memory),
        in_use: None,
        arch: Arch::Other(format!("Metal {}", one.name)),
        unified: true,
        basis: Basis::Derived,
    })
}

/// Names that share a word with this one.
fn near(asked: &Parts) -> Vec<String> {
    let mut scored: Vec<(usize, &'static str)> = DEVICES
        .iter()
        .filter_map(|row| {
            let theirs = parts(row.name).model;
            let shared = theirs.iter().filter(|word| asked.model.contains(word)).count();
            let numbers = theirs.iter().any(|word| asked.model.contains(word) && word.bytes().any(|b| b.is_ascii_digit()));
            (shared > 0 && numbers).then_some((shared, row.name))
        })
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.len().cmp(&b.1.len())).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests;
