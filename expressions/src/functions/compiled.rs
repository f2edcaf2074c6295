//! What the compiled constant patterns of an operator take: they stay as long as the operator does, and a pattern of twenty
//! letters may be megabytes.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};

/// What all constant patterns of an operator may take together.
const MAX_BYTES: usize = 256 << 20;
/// A pattern is compiled within the least of these limits that suffices, because nothing tells how large it became, and how long a
/// text it may search depends on that. The last one is the usual limit of `regex`.
const LIMITS: [usize; 9] = [1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10, 1 << 20, 10 << 20];
/// A letter of a pattern as it is written takes more than so many bytes: no limit is tried that is too small for all of them.
const LETTER: usize = 4;
/// For what cannot be compiled by `regex`, and so not be measured.
const UNKNOWN: usize = 1 << 20;

/// How much the patterns take. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compiled(Arc<AtomicUsize>);

/// The share of one pattern, given back when the pattern goes.
#[derive(Debug)]
pub(super) struct Share {
    of: Compiled,
    bytes: usize,
}

impl Compiled {
    /// Takes the share of one more pattern.
    ///
    /// # Errors
    /// [`Error::Plan`]: they would take too much.
    pub(super) fn claim(&self, bytes: usize) -> Result<Share> {
        let all = self.0.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let share = Share { of: self.clone(), bytes };
        if all <= MAX_BYTES {
            return Ok(share);
        }
        Err(Error::Plan(format!(
            "the constant patterns of LIKE, SIMILAR TO and the functions of regular expressions would take more than {MAX_BYTES} \
             bytes in one operator when they are compiled: use fewer, or such with smaller counts of repetition"
        )))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Compiles a pattern in the syntax of `regex`, and tells what it takes, more or less: it is there forwards and backwards.
pub(super) fn compile(pattern: &str) -> Option<(Regex, usize)> {
    let least = pattern.len().saturating_mul(LETTER).min(LIMITS[LIMITS.len() - 1]);
    LIMITS.iter().filter(|limit| **limit >= least).find_map(|limit| {
        let regex = RegexBuilder::new(pattern).size_limit(*limit).build().ok()?;
        Some((regex, 2 * limit))
    })
}

/// What a pattern in Java's syntax takes, more or less.
pub(super) fn bytes(source: &str) -> usize {
    compile(source).map_or(UNKNOWN, |(_, bytes)| bytes)
}
