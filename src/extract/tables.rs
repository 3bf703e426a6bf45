//! Tables that tools draw: `nvidia-smi`, `rocm-smi`, and PyTorch's memory summary.
//!
//! The input is the text with its lines. A table may break off anywhere; a row is only read when its cells are closed.

/// Rows of one table beyond this number are left out.
const MAX_ROWS: usize = 4096;

/// One device of a table; sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Its index.
    pub index: u32,
    /// Its name as far as the column shows it.
    pub name: Option<String>,
    /// Bytes in use.
    pub used: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
}

/// One process of a table; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcess {
    /// Index of the device that it uses.
    pub gpu: u32,
    /// Its id.
    pub pid: u32,
    /// Its name as far as the column shows it.
    pub name: String,
    /// Bytes that it holds.
    pub used: Option<u64>,
}

/// What `nvidia-smi` or `rocm-smi` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Smi {
    /// The devices.
    pub gpus: Vec<Gpu>,
    /// The processes.
    pub processes: Vec<GpuProcess>,
    /// The driver's version.
    pub driver: Option<String>,
    /// The CUDA version that the driver supports.
    pub cuda: Option<String>,
}

impl Smi {
    fn gpu(&mut self, index: u32) -> Option<&mut Gpu> {
        match self.gpus.iter().position(|gpu| gpu.index == index) {
            Some(at) => self.gpus.get_mut(at),
            None if self.gpus.len() < MAX_ROWS => {
                self.gpus.push(Gpu { index, ..Gpu::default() });
                self.gpus.last_mut()
            }
            None => None,
        }
    }
}

/// The current value of a figure of PyTorch's memory summary, and its peak; bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Now.
    pub current: Option<u64>,
    /// At most so far.
    pub peak: Option<u64>,
}

/// What `torch.cuda.memory_summary()` shows of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemorySummary {
    /// Index of the device.
    pub device: Option<u32>,
    /// How often memory ran out.
    pub ooms: Option<u32>,
    /// Bytes in live tensors.
    pub allocated: Usage,
    /// Bytes in blocks that are in use, those waiting for a stream included.
    pub active: Usage,
    /// Bytes that were asked for, before rounding.
    pub requested: Usage,
    /// Bytes that the allocator holds.
    pub reserved: Usage,
    /// Bytes in parts of segments that cannot be given back.
    pub non_releasable: Usage,
}

/// Reads the tables of `nvidia-smi`, its lists (`-L`, `--query-gpu` as CSV) and the memory of `rocm-smi --showmeminfo vram`.
pub fn smi(text: &str) -> Option<Smi> {
    let mut smi = Smi::default();
    let mut last = None;
    let mut in_processes = false;
    let mut csv: Option<Vec<Column>> = None;
    for line in text.lines().take(MAX_ROWS) {
        let line = line.trim();
        if let Some(columns) = csv_header(line) {
            csv = Some(columns);
            continue;
        }
        if let Some(columns) = &csv {
            if csv_row(line, columns, &mut smi).is_none() {
                csv = None;
            } else {
                continue;
            }
        }
        if let Some((index, name)) = listed(line) {
            if let Some(gpu) = smi.gpu(index) {
                gpu.name = Some(name.to_owned());
            }
            continue;
        }
        if let Some((index, is_total, bytes)) = vram_line(line) {
            if let Some(gpu) = smi.gpu(index) {
                *(if is_total { &mut gpu.total } else { &mut gpu.used }) = Some(bytes);
            }
            continue;
        }
        let Some(inside) = line.strip_prefix('|') else { continue };
        if inside.contains("Driver Version:") {
            smi.driver = word_after(inside, "Driver Version:");
            smi.cuda = word_after(inside, "CUDA Version:");
            continue;
        }
        if inside.trim_start().starts_with("Processes:") {
            in_processes = true;
            continue;
        }
        if in_processes {
            if let Some(process) = process_row(inside)
                && smi.processes.len() < MAX_ROWS
            {
                smi.processes.push(process);
            }
            continue;
        }
        if let Some((used, total)) = memory_cell(inside) {
            if let Some(gpu) = last.and_then(|index| smi.gpu(index)) {
                gpu.used = gpu.used.or(Some(used));
                gpu.total = gpu.total.or(Some(total));
            }
            continue;
        }
        if let Some((index, name)) = device_row(inside) {
            last = Some(index);
            if let Some(gpu) = smi.gpu(index) {
                gpu.name = Some(name);
            }
        }
    }
    (!smi.gpus.is_empty() || !smi.processes.is_empty()).then_some(smi)
}

fn word_after(text: &str, label: &str) -> Option<String> {
    let at = text.find(label)? + label.len();
    let word = text.get(at..)?.split_whitespace().next()?;
    word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.to_owned())
}

/// `   0  NVIDIA A100-SXM4-80GB          On  | 00000000:07:00.0 Off | …`
fn device_row(inside: &str) -> Option<(u32, String)> {
    let (cell, rest) = inside.split_once('|')?;
    // The second cell holds the address on the bus.
    if !rest.split_whitespace().next()?.contains(':') {
        return None;
    }
    let mut words = cell.split_whitespace();
    let index = words.next()?.parse().ok()?;
    let mut name: Vec<&str> = words.collect();
    // The last word is the persistence mode; a long name may run into it.
    if name.last().is_some_and(|word| matches!(*word, "On" | "Off" | "N/A" | "WDDM" | "TCC")) {
        name.pop();
    }
    (!name.is_empty()).then(|| (index, name.join(" ")))
}

/// `10240MiB / 24576MiB` in one of the cells.
fn memory_cell(inside: &str) -> Option<(u64, u64)> {
    let (used, total) = inside.split('|').find_map(|cell| {
        let (used, total) = cell.split_once('/')?;
        Some((mebibytes(used)?, mebibytes(total)?))
    })?;
    (total > 0).then_some((used, total))
}

/// `10240MiB`, `10240 MiB`.
fn mebibytes(text: &str) -> Option<u64> {
    let number = text.trim().strip_suffix("MiB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1 << 20)
}

/// `    0   N/A  N/A      1234      C   python3                          10234MiB |`, older without `N/A N/A`.
fn process_row(inside: &str) -> Option<GpuProcess> {
    let cell = inside.trim_end().strip_suffix('|')?;
    let mut words = cell.split_whitespace().peekable();
    let gpu = words.next()?.parse().ok()?;
    // The compute and MIG instances: numbers under MIG, else `N/A`.
    let rest: Vec<&str> = words.collect();
    let kind = rest.iter().position(|word| matches!(*word, "C" | "G" | "C+G" | "M+C"))?;
    let pid = rest.get(kind.checked_sub(1)?)?.parse().ok()?;
    let last = rest.last()?;
    let sized = last.ends_with("MiB") || *last == "N/A";
    let end = if sized { rest.len() - 1 } else { return None };
    let name = rest.get(kind + 1..end)?.join(" ");
    Some(GpuProcess { gpu, pid, name, used: mebibytes(last) })
}

/// `GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-…)`.
fn listed(line: &str) -> Option<(u32, &str)> {
    let (index, rest) = line.strip_prefix("GPU ")?.split_once(": ")?;
    let (name, _) = rest.split_once(" (UUID: ")?;
    Some((index.parse().ok()?, name.trim()))
}

/// `GPU[0] : VRAM Total Memory (B): 17163091968`: the index, whether it is the total, the bytes.
fn vram_line(line: &str) -> Option<(u32, bool, u64)> {
    let (index, rest) = line.strip_prefix("GPU[")?.split_once(']')?;
    let (label, bytes) = rest.trim_start_matches([' ', '\t', ':']).split_once("(B):")?;
    let is_total = match label.trim() {
        "VRAM Total Memory" | "vram Total Memory" => true,
        "VRAM Total Used Memory" | "vram Total Used Memory" => false,
        _ => return None,
    };
    Some((index.parse().ok()?, is_total, bytes.trim().parse().ok()?))
}

/// What a column of a CSV list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Index,
    Name,
    Used,
    Total,
    Free,
    Other,
}

/// `index, name, memory.total [MiB], memory.used [MiB]`.
fn csv_header(line: &str) -> Option<Vec<Column>> {
    let columns: Vec<Column> = line
        .split(',')
        .take(64)
        .map(|cell| match cell.trim().split(' ').next().unwrap_or("") {
            "index" => Column::Index,
            "name" | "gpu_name" => Column::Name,
            "memory.used" => Column::Used,
            "memory.total" => Column::Total,
            "memory.free" => Column::Free,
            _ => Column::Other,
        })
        .collect();
    let sizes = columns.iter().any(|column| matches!(column, Column::Used | Column::Total | Column::Free));
    let known = columns.iter().filter(|column| **column != Column::Other).count();
    (sizes && (known >= 2 || columns.len() == 1)).then_some(columns)
}

fn csv_row(line: &str, columns: &[Column], smi: &mut Smi) -> Option<()> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    if cells.len() != columns.len() {
        return None;
    }
    let cell = |column: Column| columns.iter().position(|c| *c == column).and_then(|at| cells.get(at)).copied();
    let size = |column: Column| cell(column).and_then(|text| mebibytes(text).or_else(|| text.parse::<u64>().ok()?.checked_mul(1 << 20)));
    let (used, total, free) = (size(Column::Used), size(Column::Total), size(Column::Free));
    used.or(total).or(free)?;
    let index = match cell(Column::Index) {
        Some(text) => text.parse().ok()?,
        None => u32::try_from(smi.gpus.len()).ok()?,
    };
    let gpu = smi.gpu(index)?;
    gpu.name = cell(Column::Name).map(str::to_owned).or(gpu.name.take());
    gpu.total = total.or(gpu.total);
    gpu.used = used.or_else(|| total?.checked_sub(free?)).or(gpu.used);
    Some(())
}

/// The tables of `torch.cuda.memory_summary()`, one for each device.
pub fn memory_summaries(text: &str) -> Vec<MemorySummary> {
    let mut found: Vec<MemorySummary> = Vec::new();
    for line in text.lines().take(MAX_ROWS) {
        let line = line.trim();
        let Some(inside) = line.strip_prefix('|') else { continue };
        if inside.contains("memory summary, device ID") {
            let device = number_after(inside, "device ID");
            found.push(MemorySummary { device, ..MemorySummary::default() });
            continue;
        }
        if let Some(ooms) = number_after(inside, "OOMs:")
            && let Some(summary) = found.last_mut()
        {
            summary.ooms = Some(ooms);
            continue;
        }
        let mut cells = inside.split('|').map(str::trim);
        let title = cells.next().unwrap_or("");
        let row = ["Allocated memory", "Active memory", "Requested memory", "GPU reserved memory", "Non-releasable memory"];
        let Some(kind) = row.iter().position(|name| *name == title) else { continue };
        let (Some(current), Some(peak)) = (cells.next().and_then(size), cells.next().and_then(size)) else { continue };
        if cells.next().is_none() {
            continue;
        }
        if found.is_empty() {
            found.push(MemorySummary::default());
        }
        let Some(summary) = found.last_mut() else { continue };
        let slot = match kind {
            0 => &mut summary.allocated,
            1 => &mut summary.active,
            2 => &mut summary.requested,
            3 => &mut summary.reserved,
            _ => &mut summary.non_releasable,
        };
        *slot = Usage { current: Some(current), peak: Some(peak) };
    }
    found.retain(|summary| summary.allocated.current.is_some() || summary.reserved.current.is_some());
    found
}

fn number_after(text: &str, label: &str) -> Option<u32> {
    let at = text.find(label)? + label.len();
    let rest = text.get(at..)?.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest.get(..digits)?.parse().ok()
}

/// `7730 MiB`, `512 B`, `7730 MB`: 1024-based whatever it is called.
fn size(cell: &str) -> Option<u64> {
    let (number, unit) = cell.split_once(' ')?;
    let power = match unit.trim().as_bytes() {
        [b'B'] | b"bytes" => 0,
        [b'K', ..] => 1,
        [b'M', ..] => 2,
        [b'G', ..] => 3,
        [b'T', ..] => 4,
        [b'P', ..] => 5,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    const NEW: &str = "
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.54.15              Driver Version: 550.54.15      CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|=========================================+========================+======================|
|   0  NVIDIA A100-SXM4-80GB          On  |   00000000:07:00.0 Off |                    0 |
| N/A   34C    P0             66W /  400W |   10240MiB /  81920MiB |      0%      Default |
|                                         |                        |             Disabled |
+-----------------------------------------+------------------------+----------------------+
|   1  NVIDIA GeForce RTX 4090        Off |   00000000:0A:00.0 Off |                  Off |
| 30%   40C    P8             20W /  450W |       1MiB /  24564MiB |      0%      Default |
+-----------------------------------------+------------------------+----------------------+

+-----------------------------------------------------------------------------------------+
| Processes:                                                                              |
|  GPU   GI   CI        PID   Type   Process name                              GPU Memory |
|        ID   ID                                                               Usage      |
|=========================================================================================|
|    0   N/A  N/A      1234      C   /usr/bin/python3 -m x                      10230MiB |
|    1   N/A  N/A      2345    C+G   Xorg                                            N/A |
|    0     1    2      3456      C   mig                                           10MiB |
+-----------------------------------------------------------------------------------------+";

    const OLD: &str = "
|   0  Tesla T4            Off  | 00000000:00:1E.0 Off |                    0 |
| N/A   34C    P8     9W /  70W |    512MiB / 15360MiB |      0%      Default |
| Processes:                                                       GPU Memory |
|    0      1234      C   python                                       500MiB |";

    const SUMMARY: &str = "
|===========================================================================|
|                  PyTorch CUDA memory summary, device ID 1                 |
|---------------------------------------------------------------------------|
|            CUDA OOMs: 2            |        cudaMalloc retries: 3         |
|===========================================================================|
|        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  |
|---------------------------------------------------------------------------|
| Allocated memory      |   7730 MiB |   7912 MiB |  12345 MiB |   4615 MiB |
|       from large pool |   7700 MiB |   7900 MiB |  12000 MiB |   4300 MiB |
|---------------------------------------------------------------------------|
| Active memory         |   7731 MiB |   7913 MiB |  12345 MiB |   4614 MiB |
|---------------------------------------------------------------------------|
| GPU reserved memory   |      8 GiB |      8 GiB |      8 GiB |      0 B   |
|---------------------------------------------------------------------------|
| Non-releasable memory |    512 KiB |   1024 KiB |   2048 KiB |    512 KiB |
| Allocations           |     512    |     520    |    1000    |     488    |";

    #[test]
    fn tables_of_nvidia_smi() {
        let found = smi(NEW).unwrap_or_default();
        let gpu =
            |index, name: &str, used: u64, total: u64| Gpu { index, name: Some(name.to_owned()), used: Some(used * MIB), total: Some(total * MIB) };
        assert_eq!(found.gpus, [gpu(0, "NVIDIA A100-SXM4-80GB", 10240, 81920), gpu(1, "NVIDIA GeForce RTX 4090", 1, 24564)]);
        let process = |gpu, pid, name: &str, used: Option<u64>| GpuProcess { gpu, pid, name: name.to_owned(), used: used.map(|m| m * MIB) };
        assert_eq!(
            found.processes,
            [process(0, 1234, "/usr/bin/python3 -m x", Some(10230)), process(1, 2345, "Xorg", None), process(0, 3456, "mig", Some(10))]
        );
        assert_eq!((found.driver.as_deref(), found.cuda.as_deref()), (Some("550.54.15"), Some("12.4")));
        let found = smi(OLD).unwrap_or_default();
        assert_eq!(found.gpus, [gpu(0, "Tesla T4", 512, 15360)]);
        assert_eq!(found.processes, [process(0, 1234, "python", Some(500))]);
    }

    #[test]
    fn lists_of_nvidia_smi() {
        let found = smi("GPU 0: NVIDIA L4 (UUID: GPU-aa)\nGPU 1: NVIDIA L4 (UUID: GPU-bb)").unwrap_or_default();
        assert_eq!(
            found.gpus.iter().map(|gpu| (gpu.index, gpu.name.as_deref())).collect::<Vec<_>>(),
            [(0, Some("NVIDIA L4")), (1, Some("NVIDIA L4"))]
        );
        let found = smi("index, name, memory.total [MiB], memory.free [MiB]\n3, NVIDIA L4, 23034 MiB, 34 MiB\ndone").unwrap_or_default();
        assert_eq!(found.gpus, [Gpu { index: 3, name: Some("NVIDIA L4".into()), used: Some(23000 * MIB), total: Some(23034 * MIB) }]);
    }

    #[test]
    fn lists_of_rocm_smi() {
        let found = smi("GPU[0]\t\t: VRAM Total Memory (B): 17163091968\nGPU[0]\t\t: VRAM Total Used Memory (B): 4096").unwrap_or_default();
        assert_eq!(found.gpus, [Gpu { index: 0, name: None, used: Some(4096), total: Some(17_163_091_968) }]);
    }

    #[test]
    fn summaries_of_torch() {
        let found = memory_summaries(SUMMARY);
        let usage = |current: u64, peak: u64| Usage { current: Some(current), peak: Some(peak) };
        let expected = MemorySummary {
            device: Some(1),
            ooms: Some(2),
            allocated: usage(7730 * MIB, 7912 * MIB),
            active: usage(7731 * MIB, 7913 * MIB),
            requested: Usage::default(),
            reserved: usage(8192 * MIB, 8192 * MIB),
            non_releasable: usage(MIB / 2, MIB),
        };
        assert_eq!(found, [expected]);
        assert_eq!(memory_summaries(&format!("{SUMMARY}\n{SUMMARY}")).len(), 2);
    }

    #[test]
    fn other_tables_are_nothing() {
        for text in ["", "| a | b |", "| 1 | 2MiB |", "|   0  x | y |", "Allocated memory: 5 MiB", "name, age\nx, 5", "GPU 0: none", "| Processes: |"]
        {
            assert_eq!(smi(text), None, "{text}");
            assert_eq!(memory_summaries(text), [], "{text}");
        }
    }

    #[test]
    fn cut_tables_never_lie() {
        let full = smi(NEW).unwrap_or_default();
        for at in 0..NEW.len() {
            let found = smi(&NEW[..at]).unwrap_or_default();
            for (gpu, whole) in found.gpus.iter().zip(&full.gpus) {
                assert!(gpu.total.is_none() || gpu == whole, "cut at {at}: {gpu:?}");
            }
            for (process, whole) in found.processes.iter().zip(&full.processes) {
                assert_eq!(process, whole, "cut at {at}");
            }
        }
        let full = memory_summaries(SUMMARY);
        for at in 0..SUMMARY.len() {
            for (found, whole) in memory_summaries(&SUMMARY[..at]).iter().zip(&full) {
                for (a, b) in [(found.allocated, whole.allocated), (found.reserved, whole.reserved), (found.active, whole.active)] {
                    assert!(a == Usage::default() || a == b, "cut at {at}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(which in 0_usize..3, cut in 0_usize..2500, insert in "[\\\\PC|/,\n]{0,10}") {
            let whole = [NEW, OLD, SUMMARY][which];
            let at = cut.min(whole.len());
            let text = format!("{}{insert}{}", &whole[..at], &whole[at..]);
            let _ = smi(&text);
            let _ = memory_summaries(&text);
        }
    }
}
