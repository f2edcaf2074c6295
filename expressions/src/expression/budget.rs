//! How many bytes may come of evaluating expressions.
//!
//! A batch has a few thousand rows, however long the values become that are made of them: of `REPEAT(s, 20000)` it would take
//! gigabytes at once. So what makes texts, bytes and lists claims them from a budget, before it has made many, and who evaluates cuts a
//! batch for which the budget does not suffice and tries again. What cannot be cut, a value and a row, has a limit.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// The most bytes of a single value of a text or byte string that an expression may make.
pub const MAX_VALUE_BYTES: usize = 64 << 20;
/// The bytes that are made of a batch of several rows at once, at most.
pub const BATCH_BYTES: usize = 16 << 20;
/// The most bytes that may be made of one row.
pub const ROW_BYTES: usize = 4 * MAX_VALUE_BYTES;

/// What may still be made. Clones are the same; one thread claims at a time.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Default for Budget {
    /// Without a limit, until one is set.
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }
}

impl Budget {
    /// So many bytes may be made from now on.
    pub fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// How many.
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes some.
    ///
    /// # Errors
    /// [`Error::OverBudget`]: there are not so many left.
    pub fn claim(&self, bytes: usize) -> Result<()> {
        let rest = self.left().checked_sub(bytes).ok_or(Error::OverBudget)?;
        self.set(rest);
        Ok(())
    }
}

/// Refuses a value that is, or would become, longer than any may be.
///
/// # Errors
/// [`Error::Data`].
#[inline]
pub fn check_value(bytes: usize) -> Result<()> {
    if bytes <= MAX_VALUE_BYTES { Ok(()) } else { Err(too_long(bytes)) }
}

#[cold]
fn too_long(bytes: usize) -> Error {
    Error::data(
        "org.apache.flink.table.api.TableRuntimeException",
        format!(
            "A value would have {bytes} bytes or more: one value may have at most {MAX_VALUE_BYTES}. Look at the numbers that \
             REPEAT, LPAD and RPAD are given, and at what is put together."
        ),
    )
}

/// The error of a row of which too much is made.
pub fn row_too_large() -> Error {
    Error::data(
        "org.apache.flink.table.api.TableRuntimeException",
        format!(
            "The values made of one row have more than {ROW_BYTES} bytes together: that is more than a row may have."
        ),
    )
}
