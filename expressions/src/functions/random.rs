//! RAND, RAND_INTEGER, UUID.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type};
use wiesel_common::random::number;

use super::strings::integers;
use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::kernel::Kernel;

/// The linear congruential generator of `java.util.Random`, so that a seed gives Flink's numbers.
struct JavaRandom(u64);

impl JavaRandom {
    fn new(seed: u64) -> Self {
        Self((seed ^ 0x5_DEEC_E66D) & ((1 << 48) - 1))
    }

    fn unseeded() -> Self {
        Self::new(number())
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & ((1 << 48) - 1);
        (self.0 >> (48 - bits)) as i32
    }

    fn double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 / (1_i64 << 53) as f64
    }

    fn below(&mut self, bound: i32) -> i32 {
        let mut drawn = self.next(31);
        if bound & (bound - 1) == 0 {
            return ((i64::from(bound) * i64::from(drawn)) >> 31) as i32;
        }
        // Draws from an incomplete last run of remainders are not fair.
        while drawn.wrapping_sub(drawn % bound).wrapping_add(bound - 1) < 0 {
            drawn = self.next(31);
        }
        drawn % bound
    }
}

fn poisoned<T>(_: T) -> Error {
    Error::Plan("the list of random generators was left in disorder by a panic".into())
}

/// The random generators of the expressions that were compiled in a context: they run on from batch to batch. Who evaluates a
/// batch once more, in parts, first puts them back to where they were, so that each row gets one number, in order.
#[derive(Clone, Default)]
pub struct Generators(Arc<Mutex<Vec<Arc<AtomicU64>>>>);

impl Generators {
    fn add(&self, generator: JavaRandom) -> Result<Arc<AtomicU64>> {
        let state = Arc::new(AtomicU64::new(generator.0));
        self.0.lock().map_err(poisoned)?.push(state.clone());
        Ok(state)
    }

    /// Where they are.
    ///
    /// # Errors
    /// A panic left them in disorder.
    pub fn positions(&self) -> Result<Vec<u64>> {
        let generators = self.0.lock().map_err(poisoned)?;
        Ok(generators.iter().map(|state| state.load(Ordering::Relaxed)).collect())
    }

    /// Puts them back to where they were.
    ///
    /// # Errors
    /// A panic left them in disorder.
    pub fn rewind(&self, positions: &[u64]) -> Result<()> {
        let generators = self.0.lock().map_err(poisoned)?;
        generators.iter().zip(positions).for_each(|(state, position)| state.store(*position, Ordering::Relaxed));
        Ok(())
    }
}

/// Draws from a generator, and leaves it behind what was drawn.
fn draw<T>(state: &AtomicU64, take: impl FnOnce(&mut JavaRandom) -> Result<T>) -> Result<T> {
    let mut generator = JavaRandom(state.load(Ordering::Relaxed));
    let taken = take(&mut generator)?;
    state.store(generator.0, Ordering::Relaxed);
    Ok(taken)
}

/// The generator of a call whose operand `index` is a seed, if it has one.
fn generator(site: &Site, index: usize) -> Result<Arc<AtomicU64>> {
    let generators = &site.context.generators;
    if site.operands.len() <= index {
        return generators.add(JavaRandom::unseeded());
    }
    let seed =
        site.literal(index).ok_or_else(|| Error::Plan(format!("{} with a seed that is no constant", site.function)))?;
    let seed = seed.cast_to(&arrow::datatypes::DataType::Int64)?;
    match seed {
        datafusion_common::ScalarValue::Int64(Some(seed)) => generators.add(JavaRandom::new(seed as u64)),
        _ => generators.add(JavaRandom::new(0)),
    }
}

/// Whether operand `index` is a NULL, so that there is no seed and no number.
fn is_null(site: &Site, index: usize) -> bool {
    site.literal(index).is_some_and(datafusion_common::ScalarValue::is_null)
}

pub(super) fn rand(site: &Site) -> Result<Kernel> {
    if is_null(site, 0) {
        return Ok(Box::new(|args| args.collect::<Float64Type>(|_| Ok(None))));
    }
    let generator = generator(site, 0)?;
    Ok(Box::new(move |args| draw(&generator, |random| args.collect::<Float64Type>(|_| Ok(Some(random.double()))))))
}

/// `RAND_INTEGER(bound)`, `RAND_INTEGER(seed, bound)`.
pub(super) fn rand_integer(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    let bound_at = site.operands.len() - 1;
    if bound_at > 0 && is_null(site, 0) {
        return Ok(Box::new(|args| args.collect::<Int32Type>(|_| Ok(None))));
    }
    let generator = generator(site, if bound_at > 0 { 0 } else { 1 })?;
    Ok(Box::new(move |args| {
        let bounds = integers(args, bound_at)?;
        let bounds = bounds.as_primitive::<Int32Type>();
        draw(&generator, |random| {
            args.collect::<Int32Type>(|row| {
                let row = args.row(bound_at, row);
                if bounds.is_null(row) {
                    return Ok(None);
                }
                match bounds.value(row) {
                    bound @ 1.. => Ok(Some(random.below(bound))),
                    _ => Err(Error::data("java.lang.IllegalArgumentException", "bound must be positive")),
                }
            })
        })
    }))
}

pub(super) fn uuid(_: &Site) -> Result<Kernel> {
    Ok(Box::new(|args| {
        args.strings(|_, out| {
            // Version 4, variant 1.
            let high = number() & !0xf000 | 0x4000;
            let low = number() & !(0b11 << 62) | (0b10 << 62);
            let text = format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xffff,
                low >> 48,
                low & 0xffff_ffff_ffff
            );
            out.push_str(&text);
            Ok(true)
        })
    }))
}
