//! What is tried, and the loop that tries it.
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::allocator;
use crate::mutation::{Random, mutate};
use crate::smallest::smallest;

/// How long the inputs of `make test` may take in all: a slow machine tries fewer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many times a bound of CPU time may pass on the wall: what waits for something that never comes uses no CPU.
const STARVED: u32 = 10;
/// Inputs that were taken join those that are changed, so that what follows gets further; not more than this.
const POOL: usize = 2000;

/// Something that reads what comes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and the folder of its seeds in `corpus/`.
    pub name: &'static str,
    /// How many inputs `make test` tries.
    pub inputs: u64,
    /// The longest input, in bytes.
    pub longest: usize,
    /// How much CPU time an input may take of the thread that reads it.
    pub time: Duration,
    /// Bytes that may be held at once while an input is read.
    pub memory: usize,
    /// The stack that it is read on.
    pub stack: usize,
    /// What inputs are made of.
    pub words: &'static [&'static str],
}

impl Target {
    /// What most targets make do with.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            inputs: 300,
            longest: 64 << 10,
            time: Duration::from_secs(10),
            memory: 256 << 20,
            stack: 8 << 20,
            words: &[],
        }
    }

    /// Tries the seeds, those in the target's folder too, then changed ones. `read` says whether it took the input.
    ///
    /// # Panics
    /// If reading an input panics, takes too long or holds too much: with the seed, and the smallest input that does.
    pub fn run(self, mut seeds: Vec<Vec<u8>>, read: impl FnMut(&[u8]) -> bool + Send + 'static) {
        let reader = Reader::start(self, read);
        if let Some(file) = std::env::var_os("WIESEL_FUZZ_INPUT") {
            let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", Path::new(&file).display()));
            reader.check(0, 0, &input);
            return reader.end();
        }
        seeds.extend(corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name), ""));
        let seconds = number("WIESEL_FUZZ_SECONDS").map(Duration::from_secs);
        let seed = number("WIESEL_FUZZ_SEED").unwrap_or_else(|| match seconds {
            Some(_) => SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64),
            None => 1,
        });
        println!("{}: seed {seed}, {} inputs to begin with", self.name, seeds.len());
        let mut sum = Sum::default();
        for (at, input) in seeds.iter().enumerate() {
            sum.add(&reader.check(seed, at as u64, input));
        }
        // Inputs are made on this thread and read on the other.
        let spent = |sum: &Sum| cpu_time() + sum.time;
        let (start, before, mut random) = (Instant::now(), spent(&sum), Random::new(seed));
        let goes_on = |tried: u64, sum: &Sum| match seconds {
            Some(limit) => has_time(limit, spent(sum).saturating_sub(before), start.elapsed()),
            None => tried < self.inputs && start.elapsed() < PATIENCE,
        };
        let (known, mut tried) = (seeds.len() as u64, 0);
        while goes_on(tried, &sum) {
            let input = mutate(&mut random, &seeds, self.words, self.longest);
            let read = reader.check(seed, known + tried, &input);
            if read.taken && seeds.len() < POOL {
                seeds.push(input);
            }
            sum.add(&read);
            tried += 1;
        }
        println!("{}: {sum}", self.name);
        reader.end();
    }
}

/// The files in a folder and those below it whose names end so, in the order of their names; none if there is no such folder.
pub fn corpus(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            found.extend(corpus(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.extend(std::fs::read(&path));
        }
    }
    found
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}: expected a whole number, found `{text}`")))
}

/// The CPU time of the thread that asks. The process's would be that of other targets too, which run beside this one.
fn cpu_time() -> Duration {
    // Only a clock that goes backwards is negative.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Whether so much CPU time is left to go on.
fn has_time(limit: Duration, cpu: Duration, wall: Duration) -> bool {
    cpu < limit && wall < limit.saturating_mul(STARVED)
}

/// What was tried.
#[derive(Default)]
struct Sum {
    inputs: u64,
    taken: u64,
    time: Duration,
    slowest: Duration,
    most: usize,
}

impl Sum {
    fn add(&mut self, read: &Read) {
        self.inputs += 1;
        self.taken += u64::from(read.taken);
        self.time += read.time;
        self.slowest = self.slowest.max(read.time);
        self.most = self.most.max(read.memory);
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { inputs, taken, time, slowest, most } = self;
        write!(
            f,
            "{inputs} inputs, {taken} taken, {time:?} of CPU time, the slowest {slowest:?}, at most {} KiB held",
            most >> 10
        )
    }
}

/// What became of an input.
struct Read {
    taken: bool,
    panic: Option<String>,
    memory: usize,
    /// CPU time.
    time: Duration,
}

/// The thread that reads.
struct Reader {
    target: Target,
    inputs: Sender<(u64, Vec<u8>)>,
    outcomes: Receiver<Read>,
    thread: JoinHandle<()>,
    /// Holds the input that is being read, should the process not survive it.
    file: PathBuf,
}

impl Reader {
    fn start(target: Target, mut read: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        catch_words();
        let (inputs, to_read) = channel::<(u64, Vec<u8>)>();
        let (done, outcomes) = channel();
        let thread = std::thread::Builder::new().name(target.name.to_owned()).stack_size(target.stack);
        let started = thread.spawn(move || {
            READS.set(true);
            for (number, input) in to_read {
                if done.send(measured(target.name, number, || read(&input))).is_err() {
                    return;
                }
            }
        });
        let thread = started.unwrap_or_else(|error| panic!("no thread: {error}"));
        let file = std::env::temp_dir().join(format!("wiesel-fuzz-{}-{}", target.name, std::process::id()));
        Self { target, inputs, outcomes, thread, file }
    }

    /// Waits until what reads is gone with all it has, temporary folders too.
    fn end(self) {
        drop(self.inputs);
        let _ = self.thread.join();
    }

    /// Reads an input and panics if that goes wrong.
    fn check(&self, seed: u64, number: u64, input: &[u8]) -> Read {
        // Only for whoever looks for it after the process has died.
        let _ = std::fs::write(&self.file, input);
        let outcome = self.read(number, input);
        let Some(what) = outcome.as_ref().map_or_else(|what| Some(what.clone()), |read| self.fault(read)) else {
            let _ = std::fs::remove_file(&self.file);
            return outcome.unwrap_or_else(|what| panic!("{what}"));
        };
        // A thread that goes on for ever reads nothing more, and what is slow once would be so thousands of times.
        let is_last = |outcome: &Result<Read, String>| outcome.as_ref().map_or(true, |read| self.is_slow(read));
        let mut over = is_last(&outcome);
        let smallest = smallest(input, |shorter| {
            if over {
                return false;
            }
            let outcome = self.read(number, shorter);
            over = is_last(&outcome);
            !over && outcome.is_ok_and(|read| self.fault(&read).is_some())
        });
        let _ = std::fs::write(&self.file, &smallest);
        let text: String = String::from_utf8_lossy(&smallest).escape_debug().take(4000).collect();
        let name = self.target.name;
        panic!(
            "fuzz target {name}: {what}\nseed {seed}, input {number}, made smaller from {} to {} bytes, in {}:\n{text}\nAgain: \
             WIESEL_FUZZ_INPUT={} cargo test --workspace --test fuzz {name}",
            input.len(),
            smallest.len(),
            self.file.display(),
            self.file.display()
        );
    }

    fn is_slow(&self, read: &Read) -> bool {
        read.time > self.target.time
    }

    /// What is wrong with how an input was read.
    fn fault(&self, read: &Read) -> Option<String> {
        let most = self.target.memory;
        match &read.panic {
            Some(words) => Some(words.clone()),
            None if read.memory > most => Some(format!("it held {} bytes, at most {most} are right", read.memory)),
            None if self.is_slow(read) => {
                Some(format!("it took {:?} of CPU time, at most {:?} are right", read.time, self.target.time))
            }
            None => None,
        }
    }

    /// An error: it does not end, whether it computes or waits.
    fn read(&self, number: u64, input: &[u8]) -> Result<Read, String> {
        let _ = self.inputs.send((number, input.to_vec()));
        let limit = self.target.time.saturating_mul(STARVED);
        self.outcomes.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("it has not ended within {limit:?}"),
            RecvTimeoutError::Disconnected => "the thread that reads has ended".to_owned(),
        })
    }
}

fn measured(target: &'static str, number: u64, read: impl FnOnce() -> bool) -> Read {
    let start = cpu_time();
    allocator::begin(target, number);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    let memory = allocator::end();
    let time = cpu_time().saturating_sub(start);
    match outcome {
        Ok(taken) => Read { taken, panic: None, memory, time },
        Err(_) => Read { taken: false, panic: Some(words(target)), memory, time },
    }
}

thread_local! {
    /// This thread reads inputs: what it says when it panics is kept, not printed.
    static READS: Cell<bool> = const { Cell::new(false) };
}

/// The last words of threads that read, by their names.
static WORDS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Has panics of threads that read say nothing: smaller inputs are tried that panic thousands of times.
fn catch_words() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !READS.try_with(Cell::get).unwrap_or(false) {
                return before(panic);
            }
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
            words.retain(|(thread, _)| *thread != name);
            words.push((name, panic.to_string()));
        }));
    });
}

fn words(thread: &str) -> String {
    let words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = words.iter().find(|(name, _)| name == thread);
    found.map_or_else(|| "it panicked".to_owned(), |(_, words)| words.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(target: Target, read: impl FnMut(&[u8]) -> bool + Send + 'static) -> String {
        let ran =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target.run(vec![b"abc(def)".to_vec()], read)));
        *ran.unwrap_err().downcast::<String>().unwrap()
    }

    #[test]
    fn a_panic_and_an_endless_loop_are_found_and_the_input_is_made_small() {
        let said = failure(Target { inputs: 10_000, ..Target::new("test-panic") }, |input| {
            assert!(!input.contains(&b'!'), "no exclamations");
            true
        });
        assert!(
            said.contains("no exclamations") && said.contains("seed 1, input") && said.contains(" 1 bytes"),
            "{said}"
        );
        let patient = Target { time: Duration::from_millis(20), ..Target::new("test-loop") };
        let said = failure(patient, |input| match input.first() {
            Some(b'a') => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            _ => true,
        });
        assert!(said.contains("not ended within 200ms") && said.contains("abc(def)"), "{said}");
    }

    /// Before, the wall clock decided: a thread that got no processor was called too slow.
    #[test]
    fn only_cpu_time_makes_an_input_slow() {
        let (starved, patience) = (Duration::from_millis(150), Duration::from_millis(100));
        let waiting = Target { inputs: 1, time: patience, ..Target::new("test-waiting") };
        waiting.run(vec![b"abc".to_vec()], move |_| {
            std::thread::sleep(starved);
            true
        });
        let said = failure(Target { time: patience, ..Target::new("test-slow") }, move |_| {
            let start = cpu_time();
            while cpu_time() - start < starved {}
            true
        });
        assert!(said.contains("of CPU time, at most 100ms are right") && said.contains("abc(def)"), "{said}");
    }

    #[test]
    fn a_run_lasts_as_long_as_it_has_cpu_time() {
        let [limit, less] = [10, 9].map(Duration::from_secs);
        assert!(has_time(limit, less, 9 * limit), "a starved one goes on");
        assert!(!has_time(limit, limit, limit));
        assert!(!has_time(limit, Duration::ZERO, 10 * limit), "one that only waits ends");
        assert!(has_time(Duration::MAX, less, limit));
    }
}
