//! An allocator that counts what a thread holds.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::Write as _;

/// Whatever the bound of a target: more than this would take the machine down.
const MOST: isize = 3 << 30;

thread_local! {
    /// Bytes that this thread has allocated and not freed, from where counting began.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// Whether it counts, and for which target and which input.
    static COUNTED: Cell<Option<(&'static str, u64)>> = const { Cell::new(None) };
}

/// The system's allocator, counted for each thread.
pub struct Counting;

/// Counts from 0 on this thread; the target and the number of the input are for the last words.
pub fn begin(target: &'static str, input: u64) {
    HELD.set(0);
    PEAK.set(0);
    COUNTED.set(Some((target, input)));
}

/// Ends counting on this thread: the most bytes that it held at once.
pub fn end() -> usize {
    COUNTED.set(None);
    usize::try_from(PEAK.get()).unwrap_or(0)
}

fn added(bytes: usize) {
    // A thread that ends allocates too.
    let Ok(Some((target, input))) = COUNTED.try_with(Cell::get) else { return };
    let held = HELD.get().saturating_add(isize::try_from(bytes).unwrap_or(isize::MAX));
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
    if held > MOST {
        COUNTED.set(None);
        last_words(target, input, bytes);
    }
}

fn removed(bytes: usize) {
    if let Ok(Some(_)) = COUNTED.try_with(Cell::get) {
        HELD.set(HELD.get().saturating_sub(isize::try_from(bytes).unwrap_or(isize::MAX)));
    }
}

/// An allocator cannot fail the test: it says what it knows, without allocating, and ends the process. The input is in a file.
fn last_words(target: &str, input: u64, bytes: usize) -> ! {
    let mut line = Line { bytes: [0; 256], length: 0 };
    let _ = writeln!(
        line,
        "fuzz target {target}: input {input} asks for {bytes} bytes more than there may be; it is in wiesel-fuzz-{target}-{} of \
         the folder for temporary files",
        std::process::id()
    );
    let _ = std::io::stderr().write_all(&line.bytes[..line.length]);
    std::process::abort()
}

struct Line {
    bytes: [u8; 256],
    length: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let place = self.bytes.get_mut(self.length).ok_or(fmt::Error)?;
            *place = byte;
            self.length += 1;
        }
        Ok(())
    }
}

// SAFETY: everything is the system's allocator's; counting touches cells of this thread that need no allocation.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        added(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        added(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        removed(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // First what is new: both may be there for a moment.
        added(size);
        removed(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
