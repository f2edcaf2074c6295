//! What functions share that make rows of keyed state of what groups have much of.
use super::keys::KeyStore;
use crate::state::write_back::Backend;

/// Values that a group keeps in its own value, at most: a look-up of those is faster. Few in tests, which are to come to rows.
pub(super) const INLINE: usize = if cfg!(test) { 2 } else { 1024 };

/// What functions need that keep rows of their groups: the back end, and the groups' keys.
pub struct KeyedBatch<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) keys: &'a KeyStore,
    /// By group the namespace of its key; empty: keys have none.
    pub(crate) namespaces: &'a [i64],
}

/// How an operator keeps the rows of its groups.
#[derive(Clone, Copy, Default)]
pub(crate) struct Keeping {
    /// Keys are in namespaces, and what is in one goes at once.
    pub namespaces: bool,
    /// Milliseconds for which a row is kept after it was written; 0: as long as its group.
    pub ttl: i64,
    /// A value is kept once: no row is taken back, and how often it came makes no difference.
    pub once: bool,
}
