//! Compiles patterns into the instructions of `src/program.rs`.

use std::collections::HashMap;
use std::hash::Hash;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use regex_syntax::utf8::{Utf8Sequence, Utf8Sequences};

use crate::program::{self, Op};

/// Instructions that a program may have; a larger one is left to be compiled when it is needed.
const MOST_OPS: usize = 20_000;
/// Branches that it may have, so that they can be numbered in an instruction.
const MOST_BRANCHES: usize = 1 << 12;
/// Alternatives from which on the next byte tells which of them are tried.
const WORTH_A_SWITCH: usize = 6;

/// The tables that programs share, each once.
#[derive(Default)]
pub struct Tables {
    pub classes: Numbered<program::Class>,
    pub switches: Numbered<program::Switch>,
}

/// Things with numbers.
pub struct Numbered<T> {
    pub all: Vec<T>,
    numbers: HashMap<T, u16>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered { all: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Copy + Eq + Hash> Numbered<T> {
    fn number(&mut self, one: T) -> Option<u16> {
        if let Some(&number) = self.numbers.get(&one) {
            return Some(number);
        }
        let number = u16::try_from(self.all.len()).ok()?;
        self.all.push(one);
        self.numbers.insert(one, number);
        Some(number)
    }
}

/// A compiled pattern.
pub struct Program {
    pub code: Vec<u32>,
    pub branches: usize,
    pub first: Option<u16>,
    pub anchored: bool,
    pub groups: Vec<String>,
}

/// Which letters a pattern's classes speak of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Those of ASCII, unless it names others.
    Ascii,
    /// All.
    Unicode,
}

/// The program of a pattern, or nothing when it needs what the machine does not have.
pub fn compile(pattern: &str, letters: Letters, tables: &mut Tables) -> Option<Program> {
    let parse = |unicode| ParserBuilder::new().unicode(unicode).utf8(false).build().parse(pattern).ok();
    let hir = parse(letters == Letters::Unicode).or_else(|| parse(true))?;
    let mut compiler = Compiler { ops: Vec::new(), groups: vec![String::new()], tables };
    compiler.emit(&hir)?;
    compiler.push(Op::Match)?;
    let first = compiler.first_bytes(0, usize::MAX).filter(|class| *class != [u64::MAX; 4]);
    let Compiler { ops, groups, tables } = compiler;
    let first = first.and_then(|class| tables.classes.number(class));
    let mut branches = 0;
    let mut code = Vec::new();
    for op in ops {
        code.push(op.encode(branches));
        branches += u32::from(matches!(op, Op::Split(_) | Op::Prefer(_)));
    }
    let anchored = hir.properties().look_set_prefix().contains(Look::Start);
    let branches = usize::try_from(branches).ok().filter(|&branches| branches < MOST_BRANCHES)?;
    Some(Program { code, branches, first, anchored, groups })
}

struct Compiler<'c> {
    ops: Vec<Op>,
    groups: Vec<String>,
    tables: &'c mut Tables,
}

impl Compiler<'_> {
    fn push(&mut self, op: Op) -> Option<usize> {
        self.ops.push(op);
        (self.ops.len() <= MOST_OPS).then_some(self.ops.len() - 1)
    }

    /// Where the next instruction will be.
    fn here(&self) -> Option<u16> {
        u16::try_from(self.ops.len()).ok()
    }

    fn emit(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => {
                for &byte in literal.0.iter() {
                    self.push(Op::Byte(byte))?;
                }
            }
            HirKind::Class(Class::Bytes(class)) => self.class(class.ranges().iter().map(|range| (range.start(), range.end())))?,
            HirKind::Class(Class::Unicode(class)) => {
                let sequences: Vec<_> = class.ranges().iter().flat_map(|range| Utf8Sequences::new(range.start(), range.end())).collect();
                // Sequences of one byte, which are the usual ones, in one class.
                let (single, several): (Vec<&Utf8Sequence>, Vec<_>) = sequences.iter().partition(|sequence| sequence.len() == 1);
                let mut choices: Vec<Vec<Vec<(u8, u8)>>> = Vec::new();
                if !single.is_empty() {
                    choices.push(vec![single.iter().map(|sequence| (sequence.as_slice()[0].start, sequence.as_slice()[0].end)).collect()]);
                }
                choices.extend(several.iter().map(|sequence| sequence.as_slice().iter().map(|range| vec![(range.start, range.end)]).collect()));
                self.choice(&choices, |compiler, sequence| sequence.iter().try_for_each(|ranges| compiler.class(ranges.iter().copied())))?;
            }
            HirKind::Look(look) => {
                let op = match look {
                    Look::Start => Op::Start,
                    Look::End => Op::End,
                    // The letters of other scripts are no part of what programs print.
                    Look::WordAscii | Look::WordUnicode => Op::Word,
                    Look::WordAsciiNegate | Look::WordUnicodeNegate => Op::NotWord,
                    _ => return None,
                };
                self.push(op)?;
            }
            HirKind::Repetition(repetition) => self.repetition(repetition)?,
            HirKind::Capture(capture) => match &capture.name {
                None => self.emit(&capture.sub)?,
                Some(name) => {
                    let slot = u16::try_from(self.groups.len() * 2).ok()?;
                    self.groups.push(name.to_string());
                    self.group(slot, &capture.sub)?;
                }
            },
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.emit(part))?,
            HirKind::Alternation(parts) => self.choice(parts, |compiler, part| compiler.emit(part))?,
        }
        Some(())
    }

    fn group(&mut self, slot: u16, sub: &Hir) -> Option<()> {
        self.push(Op::Save(slot))?;
        self.emit(sub)?;
        self.push(Op::Save(slot + 1))?;
        Some(())
    }

    fn class(&mut self, ranges: impl Iterator<Item = (u8, u8)>) -> Option<()> {
        let mut class = [0; 4];
        for byte in ranges.flat_map(|(start, end)| start..=end) {
            class[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        let number = self.tables.classes.number(class)?;
        self.push(Op::Class(number))?;
        Some(())
    }

    /// One of several, the first that matches.
    fn choice<T>(&mut self, parts: &[T], mut emit: impl FnMut(&mut Self, &T) -> Option<()>) -> Option<()> {
        let (ops, groups) = (self.ops.len(), self.groups.len());
        if parts.len() >= WORTH_A_SWITCH {
            if self.switch(parts, &mut emit).is_some() {
                return Some(());
            }
            self.ops.truncate(ops);
            self.groups.truncate(groups);
        }
        let mut ends = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            if number + 1 == parts.len() {
                emit(self, part)?;
                break;
            }
            let split = self.push(Op::Split(0))?;
            emit(self, part)?;
            ends.push(self.push(Op::Jump(0))?);
            self.ops[split] = Op::Split(self.here()?);
        }
        let here = self.here()?;
        for end in ends {
            self.ops[end] = Op::Jump(here);
        }
        Some(())
    }

    /// The same, where the next byte tells which come into question; nothing when one can be empty.
    fn switch<T>(&mut self, parts: &[T], emit: &mut impl FnMut(&mut Self, &T) -> Option<()>) -> Option<()> {
        let switch = self.push(Op::Switch(0))?;
        let mut ways: Vec<(u16, program::Class)> = Vec::new();
        let mut ends = Vec::new();
        for part in parts {
            let start = self.here()?;
            emit(self, part)?;
            ends.push(self.push(Op::Jump(0))?);
            ways.push((start, self.first_bytes(usize::from(start), self.ops.len() - 1)?));
        }
        let mut table = [program::NOWHERE; 256];
        let mut chains: HashMap<Vec<u16>, u16> = HashMap::new();
        for byte in 0..=u8::MAX {
            let wanted: Vec<u16> = ways.iter().filter(|(_, first)| program::is_in(first, byte)).map(|&(start, _)| start).collect();
            let Some((&last, others)) = wanted.split_last() else { continue };
            table[usize::from(byte)] = match chains.get(&wanted) {
                Some(&chain) => chain,
                None if others.is_empty() => last,
                None => {
                    let chain = self.here()?;
                    for &way in others {
                        self.push(Op::Prefer(way))?;
                    }
                    self.push(Op::Jump(last))?;
                    chains.insert(wanted, chain);
                    chain
                }
            };
        }
        self.ops[switch] = Op::Switch(self.tables.switches.number(table)?);
        let here = self.here()?;
        for end in ends {
            self.ops[end] = Op::Jump(here);
        }
        Some(())
    }

    fn repetition(&mut self, r: &Repetition) -> Option<()> {
        // A group that is repeated is one group.
        let groups = self.groups.len();
        let emit = |compiler: &mut Self| {
            compiler.groups.truncate(groups);
            compiler.emit(&r.sub)
        };
        // A branch into what follows it; its other way is set when it is known.
        let branch = |compiler: &mut Self| compiler.push(if r.greedy { Op::Split(0) } else { Op::Prefer(0) });
        match r.max {
            None => {
                let can_be_empty = r.sub.properties().minimum_len().is_none_or(|least| least == 0);
                for _ in 1..r.min {
                    emit(self)?;
                }
                let skip = if r.min == 0 { Some(branch(self)?) } else { None };
                let start = self.here()?;
                emit(self)?;
                match skip {
                    // `x*` where `x` is never empty: back to the branch itself.
                    Some(skip) if !can_be_empty => {
                        self.push(Op::Jump(u16::try_from(skip).ok()?))?;
                    }
                    // `x+`, and `(x+)?` for a `x*` that can be empty.
                    _ => {
                        self.push(if r.greedy { Op::Prefer(start) } else { Op::Split(start) })?;
                    }
                }
                if let Some(skip) = skip {
                    self.turn(skip)?;
                }
            }
            Some(max) => {
                for _ in 0..r.min {
                    emit(self)?;
                }
                let mut skips = Vec::new();
                for _ in r.min..max {
                    skips.push(branch(self)?);
                    emit(self)?;
                }
                for skip in skips {
                    self.turn(skip)?;
                }
            }
        }
        Some(())
    }

    /// Lets the other way of a branch lead here.
    fn turn(&mut self, branch: usize) -> Option<()> {
        let here = self.here()?;
        self.ops[branch] = if matches!(self.ops[branch], Op::Split(_)) { Op::Split(here) } else { Op::Prefer(here) };
        Some(())
    }

    /// The bytes with which the instructions from `start` can go on; nothing when they can come to `end`, or to a match,
    /// without one.
    fn first_bytes(&self, start: usize, end: usize) -> Option<program::Class> {
        let mut first = [0; 4];
        let mut seen = vec![false; self.ops.len()];
        let mut todo = vec![start];
        while let Some(at) = todo.pop() {
            if at == end {
                return None;
            }
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match self.ops[at] {
                Op::Match => return None,
                Op::Byte(byte) => first[usize::from(byte >> 6)] |= 1 << (byte & 63),
                Op::Class(class) => {
                    first.iter_mut().zip(self.tables.classes.all[usize::from(class)]).for_each(|(all, more)| *all |= more);
                }
                Op::Switch(table) => {
                    let table = &self.tables.switches.all[usize::from(table)];
                    todo.extend(table.iter().filter(|&&to| to != program::NOWHERE).map(|&to| usize::from(to)));
                }
                Op::Jump(to) => todo.push(usize::from(to)),
                Op::Split(to) | Op::Prefer(to) => todo.extend([at + 1, usize::from(to)]),
                Op::Save(_) | Op::Start | Op::End | Op::Word | Op::NotWord => todo.push(at + 1),
            }
        }
        Some(first)
    }
}
