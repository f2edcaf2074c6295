//! Tasks of tokio's and threads, none without an owner.
//!
//! What belongs to an actor or a server stands in its `JoinSet`, which ends it with its owner. What is started here is for other
//! owners, which keep what is returned: they wait for the end, or abort it when they end themselves.
#![expect(clippy::disallowed_methods, reason = "this is the file in which all others start tasks and threads")]
use std::future::Future;
use std::{io, thread};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A task of the runtime that this thread works for.
///
/// # Panics
/// The thread works for none.
#[must_use = "its owner waits for it, or aborts it"]
pub fn owned<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// A task of a runtime that this thread does not work for.
#[must_use = "its owner waits for it, or aborts it"]
pub fn owned_on<T: Send + 'static>(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    runtime.spawn(work)
}

/// A task that nothing waits for and nothing aborts: it is to be done whatever becomes of what starts it, such as removing what
/// was left half done. It must end by itself.
pub fn detached(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
    drop(runtime.spawn(work));
}

/// A thread, under a name that the system shows.
///
/// # Errors
/// The system gives none.
pub fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// A thread with so many bytes of stack.
///
/// # Errors
/// The system gives none.
pub fn thread_with_stack<T: Send + 'static>(
    name: &str,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).stack_size(stack).spawn(work)
}
