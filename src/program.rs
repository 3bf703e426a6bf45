//! What the build script makes of a pattern, and the machine that runs it.
//!
//! Compiling regular expressions is most of what a short run would do. So the build script compiles the patterns of all
//! signatures into instructions, and nothing is left to do at run time but to follow them. The machine backtracks as
//! `regex` prefers (leftmost, first alternative first) and remembers where it has been, so that its time is at most
//! instructions times bytes. Where the memory for that would be large, the caller compiles the expression instead.

/// Cells of memory, one for each branch and position, beyond which a text is too long for a program.
const MOST_CELLS: usize = 1 << 22;

/// One instruction; the next one follows it unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The pattern matches.
    Match,
    /// This byte.
    Byte(u8),
    /// A byte of the class with this number.
    Class(u16),
    /// Goes on elsewhere.
    Jump(u16),
    /// Goes on with the next instruction, or else there.
    Split(u16),
    /// Goes on there, or else with the next instruction.
    Prefer(u16),
    /// Goes on where the table with this number says for the byte there, without taking the byte.
    Switch(u16),
    /// Notes the position: the beginning of a group (even), or its end (odd).
    Save(u16),
    /// The beginning of the text.
    Start,
    /// Its end.
    End,
    /// Between a letter, digit or underscore and something else, in ASCII.
    Word,
    /// Anywhere but there.
    NotWord,
}

// What the lowest four bits of an instruction say.
const MATCH: u32 = 0;
const BYTE: u32 = 1;
const CLASS: u32 = 2;
const JUMP: u32 = 3;
const SPLIT: u32 = 4;
const PREFER: u32 = 5;
const SAVE: u32 = 6;
const START: u32 = 7;
const END: u32 = 8;
const WORD: u32 = 9;
const NOT_WORD: u32 = 10;
const SWITCH: u32 = 11;

impl Op {
    /// The instruction in 32 bits; `branch` numbers those that branch.
    pub fn encode(self, branch: u32) -> u32 {
        let (code, operand) = match self {
            Op::Match => (MATCH, 0),
            Op::Byte(byte) => (BYTE, u16::from(byte)),
            Op::Class(class) => (CLASS, class),
            Op::Jump(to) => (JUMP, to),
            Op::Split(to) => (SPLIT, to),
            Op::Prefer(to) => (PREFER, to),
            Op::Switch(table) => (SWITCH, table),
            Op::Save(slot) => (SAVE, slot),
            Op::Start => (START, 0),
            Op::End => (END, 0),
            Op::Word => (WORD, 0),
            Op::NotWord => (NOT_WORD, 0),
        };
        code | branch << 4 | u32::from(operand) << 16
    }
}

/// A set of bytes.
pub type Class = [u64; 4];

/// Whether a byte is in a class.
pub fn is_in(class: &Class, byte: u8) -> bool {
    class[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

/// Where a pattern goes on for each byte; [`NOWHERE`] when no match has it there.
pub type Switch = [u16; 256];

/// See [`Switch`].
pub const NOWHERE: u16 = u16::MAX;

/// A compiled pattern.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The instructions, encoded.
    pub code: &'static [u32],
    /// How many of them branch.
    pub branches: usize,
    /// The classes that they speak of.
    pub classes: &'static [Class],
    /// The tables that they switch by.
    pub switches: &'static [Switch],
    /// Bytes that a match can begin with; none if it can be empty.
    pub first: Option<&'static Class>,
    /// A match can begin at the beginning of the text only.
    pub anchored: bool,
    /// Names of the groups; the first is the whole match and has none.
    pub groups: &'static [&'static str],
}

/// The whole match, which has no name, and the named groups that took part in it: where they begin and end.
pub type Groups<'p> = Vec<(&'p str, usize, usize)>;

/// What is to be done when a way has come to its end.
enum Step {
    /// Another way.
    Try { at: usize, position: usize },
    /// What a group was before this way.
    Restore { slot: usize, to: Option<usize> },
}

impl Program {
    /// Whether the text is short enough to be searched with bounded memory.
    pub fn is_for(&self, text: &[u8]) -> bool {
        (text.len() + 1).saturating_mul(self.branches) <= MOST_CELLS
    }

    /// The first match.
    pub fn groups_in(&self, text: &[u8]) -> Option<Groups<'static>> {
        Run::new(self, text).next(0)
    }

    /// All matches, one after the other.
    pub fn all_in(&self, text: &[u8]) -> Vec<Groups<'static>> {
        let mut run = Run::new(self, text);
        let mut from = 0;
        let mut all = Vec::new();
        while let Some(groups) = run.next(from) {
            let end = groups[0].2;
            from = end.max(groups[0].1 + 1);
            all.push(groups);
            run.forget(end);
        }
        all
    }
}

/// One search.
struct Run<'p, 't> {
    program: &'p Program,
    text: &'t [u8],
    /// One bit for each branch and position.
    visited: Vec<u64>,
    slots: Vec<Option<usize>>,
    steps: Vec<Step>,
}

impl<'p, 't> Run<'p, 't> {
    fn new(program: &'p Program, text: &'t [u8]) -> Self {
        let visited = vec![0; (program.branches * (text.len() + 1)).div_ceil(64)];
        Run { program, text, visited, slots: vec![None; program.groups.len() * 2], steps: Vec::new() }
    }

    /// The first match that begins there or later.
    fn next(&mut self, from: usize) -> Option<Groups<'static>> {
        let program = self.program;
        let last = if program.anchored { 0 } else { self.text.len() };
        for start in from..=last {
            let can_begin = program.first.is_none_or(|first| self.text.get(start).is_some_and(|&byte| is_in(first, byte)));
            if can_begin && self.matches_at(start) {
                let groups = program.groups.iter().zip(self.slots.chunks_exact(2));
                return Some(groups.filter_map(|(name, slots)| Some((*name, slots[0]?, slots[1]?))).collect());
            }
        }
        None
    }

    /// Gets ready to go on where a match has ended. What failed before fails again; what led to the match did not fail.
    fn forget(&mut self, end: usize) {
        self.steps.clear();
        self.slots.fill(None);
        for branch in 0..self.program.branches {
            let cell = self.cell(branch, end);
            self.visited[cell / 64] &= !(1 << (cell % 64));
        }
    }

    fn cell(&self, branch: usize, position: usize) -> usize {
        branch * (self.text.len() + 1) + position
    }

    fn matches_at(&mut self, start: usize) -> bool {
        self.slots[0] = Some(start);
        self.steps.push(Step::Try { at: 0, position: start });
        while let Some(step) = self.steps.pop() {
            match step {
                Step::Restore { slot, to } => self.slots[slot] = to,
                Step::Try { at, position } => {
                    if let Some(end) = self.follow(at, position) {
                        self.slots[1] = Some(end);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Whether the instruction there asks for another byte than there is.
    fn ends_at_once(&self, at: usize, position: usize) -> bool {
        let word = self.program.code[at];
        match word & 15 {
            BYTE => self.text.get(position) != Some(&((word >> 16) as u8)),
            CLASS => !self.is_in_class(word, position),
            SWITCH => self.switched(word, position).is_none(),
            _ => false,
        }
    }

    /// Where to go on for the byte there.
    fn switched(&self, word: u32, position: usize) -> Option<usize> {
        let to = self.program.switches[(word >> 16) as usize][usize::from(*self.text.get(position)?)];
        (to != NOWHERE).then_some(usize::from(to))
    }

    fn is_in_class(&self, word: u32, position: usize) -> bool {
        self.text.get(position).is_some_and(|&byte| is_in(&self.program.classes[(word >> 16) as usize], byte))
    }

    /// Follows one way to its end, and notes the others.
    fn follow(&mut self, mut at: usize, mut position: usize) -> Option<usize> {
        let text = self.text;
        loop {
            // Taken apart here and not by a function that gives an `Op`: this is what a search consists of.
            let word = self.program.code[at];
            let operand = (word >> 16) as usize;
            at += 1;
            let holds = match word & 15 {
                MATCH => return Some(position),
                BYTE => {
                    position += 1;
                    text.get(position - 1) == Some(&(operand as u8))
                }
                CLASS => {
                    position += 1;
                    self.is_in_class(word, position - 1)
                }
                JUMP => {
                    at = operand;
                    true
                }
                kind @ (SPLIT | PREFER) => {
                    let cell = self.cell((word >> 4 & 0xFFF) as usize, position);
                    let seen = &mut self.visited[cell / 64];
                    let is_new = *seen >> (cell % 64) & 1 == 0;
                    *seen |= 1 << (cell % 64);
                    let (first, other) = if kind == PREFER { (operand, at) } else { (at, operand) };
                    at = first;
                    if is_new && self.ends_at_once(first, position) {
                        at = other;
                    } else if is_new && !self.ends_at_once(other, position) {
                        self.steps.push(Step::Try { at: other, position });
                    }
                    is_new
                }
                SWITCH => {
                    at = self.switched(word, position)?;
                    true
                }
                SAVE => {
                    self.steps.push(Step::Restore { slot: operand, to: self.slots[operand] });
                    self.slots[operand] = Some(position);
                    true
                }
                START => position == 0,
                END => position == text.len(),
                WORD => is_boundary(text, position),
                _ => !is_boundary(text, position),
            };
            if !holds {
                return None;
            }
        }
    }
}

fn is_boundary(text: &[u8], position: usize) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_word(position.checked_sub(1).and_then(|before| text.get(before))) != is_word(text.get(position))
}
