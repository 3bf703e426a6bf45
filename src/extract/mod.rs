//! Grammars: what is too rich for a pattern is read by a parser of its own.

pub mod allocator;
pub mod arguments;
pub mod payload;
pub mod tables;

use std::sync::Arc;

use crate::envelope::OriginId;
use crate::extract::arguments::Arguments;
use crate::facts::{Fact, FactKind};

/// Fills a fact's figures from an allocator's out-of-memory message.
pub fn fill_from_allocator(fact: &mut Fact, flat: &str) {
    let Some(allocation) = allocator::parse(flat) else { return };
    let figures = &mut fact.figures;
    let own = allocator::identify_self(&allocation);
    figures.device = allocation.device.map(u64::from).or(figures.device);
    figures.tried_bytes = allocation.tried.or(figures.tried_bytes);
    figures.total_bytes = allocation.total.or(figures.total_bytes);
    figures.free_bytes = allocation.free.or(figures.free_bytes);
    figures.allocated_bytes = allocation.allocated.or(figures.allocated_bytes);
    figures.reserved_bytes = allocation.reserved.or(figures.reserved_bytes);
    figures.reserved_unallocated_bytes = allocation.unallocated.or(figures.reserved_unallocated_bytes);
    figures.private_pools_bytes = allocation.private.or(figures.private_pools_bytes);
    figures.limit_bytes = allocation.limit.or(figures.limit_bytes);
    figures.process_bytes = own.own.or(figures.process_bytes);
    figures.other_processes_bytes = own.others.or(figures.other_processes_bytes);
    let foreign = allocation.others.iter().filter(|(pid, _)| Some(*pid) != own.own_pid);
    if let Some((pid, _)) = foreign.max_by_key(|(_, bytes)| *bytes) {
        fact.attributes.insert("other_pid".into(), pid.to_string());
    }
}

/// Keeps a dump of arguments, and the version that it states.
pub fn fill_from_arguments(fact: &mut Fact, arguments: Arguments) {
    if let Some(version) = &arguments.version {
        fact.attributes.insert("version".into(), version.clone());
    }
    if let Some(engine) = arguments.engine {
        fact.engine = Some(Arc::from(engine));
    }
    fact.arguments = Some(Arc::new(arguments));
}

/// The facts of a box that a log holds: the devices of `nvidia-smi`, the figures of `torch.cuda.memory_summary()`.
pub fn facts_of_table(text: &str, line: u64, origin: OriginId, out: &mut Vec<Fact>) {
    let fact = |kind: FactKind, rule: &str| {
        let mut fact = Fact::given(kind, rule, line, String::new());
        fact.place.origin = origin;
        fact
    };
    for gpu in tables::smi(text).map(|smi| smi.gpus).unwrap_or_default() {
        let mut device = fact(FactKind::Device, "nvidia-smi");
        device.figures.device = Some(u64::from(gpu.index));
        device.figures.total_bytes = gpu.total;
        device.attributes.extend(gpu.name.map(|name| ("device_name".to_owned(), name)));
        out.push(device);
    }
    for summary in tables::memory_summaries(text) {
        let mut context = fact(FactKind::Context, "memory-summary");
        context.figures.device = summary.device.map(u64::from);
        context.figures.allocated_bytes = summary.allocated.current;
        context.figures.reserved_bytes = summary.reserved.current;
        out.push(context);
    }
}
