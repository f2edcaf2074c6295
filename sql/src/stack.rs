//! The stack that SQL is parsed, analysed and planned on.
use std::io;
use std::thread::{Builder, JoinHandle, scope};

use wiesel_common::spawn;

/// Bytes of the stack. The limits on what nests (operators in a row, parentheses, queries, views) fit it; only what is used of
/// it takes memory.
const STACK: usize = 1 << 30;

/// What the system shows of such a thread.
const NAME: &str = "sql";

/// Does work with SQL on a thread whose stack is large enough for whatever the parser lets pass. What came of parsing belongs
/// on that thread too: a tree is also dropped level by level.
///
/// # Errors
/// If the system gives no thread.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    scope(|scope| {
        let thread = Builder::new().name(NAME.to_owned()).stack_size(STACK).spawn_scoped(scope, work)?;
        match thread.join() {
            Ok(done) => Ok(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Does work with SQL on such a thread, beside what whoever calls does.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn_on_deep_stack(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    spawn::thread_with_stack(NAME, STACK, work)
}
