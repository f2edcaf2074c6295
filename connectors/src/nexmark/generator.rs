//! The draws of the Nexmark stream, as its definition fixes them: SplitMix64 seeded with the event number.
use std::sync::LazyLock;

/// The options of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many events; the largest number: without end.
    pub events: u64,
    /// Events per second of event time.
    pub rate: i64,
    /// Whether events come no faster than that.
    pub rate_limited: bool,
    /// Milliseconds of event 0.
    pub base_time: i64,
    /// People, auctions and bids in each epoch.
    pub persons: i64,
    /// See `persons`.
    pub auctions: i64,
    /// See `persons`.
    pub bids: i64,
    /// Bytes that `extra` fills a person up to.
    pub person_size: i64,
    /// Bytes that `extra` fills an auction up to.
    pub auction_size: i64,
    /// Bytes that `extra` fills a bid up to.
    pub bid_size: i64,
    /// One in so many bids is on any auction.
    pub hot_auctions: i64,
    /// One in so many bids is by anyone.
    pub hot_bidders: i64,
    /// One in so many auctions is by anyone.
    pub hot_sellers: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events: u64::MAX,
            rate: 10_000,
            rate_limited: false,
            base_time: 1_436_918_400_000,
            persons: 1,
            auctions: 3,
            bids: 46,
            person_size: 200,
            auction_size: 500,
            bid_size: 100,
            hot_auctions: 2,
            hot_bidders: 4,
            hot_sellers: 4,
        }
    }
}

const ACTIVE_PEOPLE: i64 = 1000;
const IN_FLIGHT_AUCTIONS: i64 = 100;
const LEAD: i64 = 10;
const HOT: i64 = 100;
const FIRST_ID: i64 = 1000;

/// Kinds of event, by `event_type`.
pub const PERSON: i32 = 0;
/// An auction opens.
pub const AUCTION: i32 = 1;
/// A bid is made.
pub const BID: i32 = 2;

/// The random numbers of one event.
#[derive(Clone, Copy, Debug)]
pub struct Rng(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Rng {
    /// Seeded.
    #[inline]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below n.
    #[inline]
    pub fn below(&mut self, n: i64) -> i64 {
        ((self.next_u64() >> 33) % n as u64) as i64
    }

    /// From 0 to 1, exclusive.
    #[inline]
    fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Leaves out draws.
    #[inline]
    pub fn skip(&mut self, draws: u64) {
        self.0 = self.0.wrapping_add(STEP.wrapping_mul(draws));
    }

    /// A price in cents, on a logarithmic scale.
    #[inline]
    pub fn price(&mut self) -> i64 {
        let exponent = self.unit() * 6.0;
        // The approximation is right to 12 digits: only where that could round the other way is the exact power needed.
        let near = power_of_ten(exponent) * 100.0;
        let floor = near.floor();
        let fraction = near - floor;
        if (fraction - 0.5).abs() < 1e-3 || !(1e-3..=1.0 - 1e-3).contains(&fraction) {
            return round_half_up(10f64.powf(exponent) * 100.0);
        }
        floor as i64 + i64::from(fraction > 0.5)
    }

    /// A text of at least three characters before its ends are trimmed, appended to `out`. Gives its length.
    pub fn text(&mut self, max: i64, special: u8, out: &mut Vec<u8>) -> usize {
        let length = 3 + self.below(max - 3);
        let start = out.len();
        for _ in 0..length {
            let byte = if self.below(13) == 0 { special } else { b'a' + self.below(26) as u8 };
            if byte != b' ' || out.len() > start {
                out.push(byte);
            }
        }
        while out.len() > start && out.last() == Some(&b' ') {
            out.pop();
        }
        out.len() - start
    }
}

/// 10 to the power of a number from 0 to 6, right to 12 digits.
#[inline]
fn power_of_ten(exponent: f64) -> f64 {
    let binary = exponent * std::f64::consts::LOG2_10;
    let whole = binary as i64;
    let g = (binary - whole as f64 - 0.5) * std::f64::consts::LN_2;
    // The series of e^g for |g| < 0.35, paired so that its terms do not wait for each other.
    let g2 = g * g;
    let g4 = g2 * g2;
    let low = (1.0 + g) + g2 * (1.0 / 2.0 + g * (1.0 / 6.0));
    let middle = (1.0 / 24.0 + g * (1.0 / 120.0)) + g2 * (1.0 / 720.0 + g * (1.0 / 5040.0));
    let high = (1.0 / 40_320.0 + g * (1.0 / 362_880.0)) + g2 * (1.0 / 3_628_800.0);
    let fraction = low + g4 * (middle + g4 * high);
    fraction * std::f64::consts::SQRT_2 * f64::from_bits(((whole + 1023) as u64) << 52)
}

/// To the nearest whole number, halves up.
#[inline]
fn round_half_up(x: f64) -> i64 {
    let floor = x.floor();
    floor as i64 + i64::from(x - floor >= 0.5)
}

/// Where the text `extra` lies in the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSlice {
    /// Its first byte.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// Bytes of the pool of `extra`.
pub const POOL: usize = 1 << 20;

/// The text that fills an event of `size` bytes up to the average.
#[inline]
pub fn extra(rng: &mut Rng, size: i64, average: i64) -> PoolSlice {
    if size > average {
        return PoolSlice::default();
    }
    let rest = average - size;
    let delta = round_half_up(rest as f64 * 0.2);
    let length = rest - delta + if delta == 0 { 0 } else { rng.below(2 * delta) };
    let offset = rng.below(POOL as i64 - length);
    PoolSlice { offset: offset as u32, length: length as u32 }
}

/// The pool of `extra`: letters.
pub static POOL_TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new(0x5749_4553_454C);
    (0..POOL).map(|_| b'a' + rng.below(26) as u8).collect()
});

/// The channels with hot urls.
pub const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// How many other channels there are.
pub const CHANNELS: usize = 10_000;

/// Names and urls of all channels: the hot ones, then the others.
pub struct Channels {
    /// Names, one after the other.
    pub name: Texts,
    /// Urls, one after the other.
    pub url: Texts,
}

/// Texts in one buffer.
#[derive(Default)]
pub struct Texts {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// Offset and length of each.
    pub slices: Vec<(u32, u32)>,
}

impl Texts {
    fn push(&mut self, text: &[u8]) {
        self.slices.push((self.bytes.len() as u32, text.len() as u32));
        self.bytes.extend_from_slice(text);
    }
}

/// The channels of all bids.
pub static CHANNEL_TEXTS: LazyLock<Channels> = LazyLock::new(|| {
    let mut rng = Rng::new(0x4E_4558_4D41_524B);
    let mut channels = Channels { name: Texts::default(), url: Texts::default() };
    for name in HOT_CHANNELS {
        channels.name.push(name.as_bytes());
        channels.url.push(&url(&mut rng));
    }
    for i in 0..CHANNELS {
        let mut url = url(&mut rng);
        if rng.below(10) > 0 {
            // The smallest integer has no absolute value and keeps its sign.
            let id = (i as u32).reverse_bits().cast_signed().wrapping_abs();
            url.extend_from_slice(format!("&channel_id={id}").as_bytes());
        }
        channels.name.push(format!("channel-{i}").as_bytes());
        channels.url.push(&url);
    }
    channels
});

fn url(rng: &mut Rng) -> Vec<u8> {
    let mut url = b"https://www.nexmark.com/".to_vec();
    for _ in 0..3 {
        rng.text(5, b'_', &mut url);
        url.push(b'/');
    }
    url.extend_from_slice(b"item.htm?query=1");
    url
}

/// First names.
pub const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
/// Last names.
pub const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
/// Cities.
pub const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
/// States.
pub const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// An event number with what follows from it without drawing.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Its number.
    pub number: i64,
    /// `event_type`.
    pub kind: i32,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// The youngest person so far, from 0.
    pub last_person: i64,
    /// The youngest auction so far, from 0.
    pub last_auction: i64,
}

impl Event {
    /// The id of the person that this event makes.
    pub fn person_id(&self) -> i64 {
        FIRST_ID + self.last_person
    }

    /// The id of the auction that this event opens.
    pub fn auction_id(&self) -> i64 {
        FIRST_ID + self.last_auction
    }
}

/// Remainders by a number that is known early: two multiplications each (Lemire, Kaser, Kurz: "Faster remainder by
/// direct computation", 2019).
#[derive(Clone, Copy, Debug)]
struct Modulus {
    divisor: u64,
    inverse: u64,
}

impl Modulus {
    fn new(divisor: i64) -> Self {
        let divisor = divisor as u64;
        Self { divisor, inverse: (u64::MAX / divisor).wrapping_add(1) }
    }

    /// A draw below the divisor.
    #[inline]
    fn below(self, rng: &mut Rng) -> i64 {
        let drawn = rng.next_u64() >> 33;
        if self.divisor > u64::from(u32::MAX) {
            return drawn as i64;
        }
        let low = self.inverse.wrapping_mul(drawn);
        ((u128::from(low) * u128::from(self.divisor)) >> 64) as i64
    }
}

/// The stream of some settings.
#[derive(Clone, Debug)]
pub struct Generator {
    /// The settings.
    pub settings: Settings,
    total: i64,
    hot_auctions: Modulus,
    hot_bidders: Modulus,
    hot_sellers: Modulus,
    active_people: Modulus,
    in_flight: Modulus,
}

impl Generator {
    /// The stream.
    pub fn new(settings: Settings) -> Self {
        Self {
            total: settings.persons + settings.auctions + settings.bids,
            hot_auctions: Modulus::new(settings.hot_auctions),
            hot_bidders: Modulus::new(settings.hot_bidders),
            hot_sellers: Modulus::new(settings.hot_sellers),
            active_people: Modulus::new(ACTIVE_PEOPLE + LEAD),
            in_flight: Modulus::new(IN_FLIGHT_AUCTIONS + 1 + LEAD),
            settings,
        }
    }

    /// Events in an epoch.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Milliseconds since the epoch.
    pub fn time(&self, number: i64) -> i64 {
        self.settings.base_time + number.wrapping_mul(1000) / self.settings.rate
    }

    /// The event at an offset of an epoch.
    #[inline]
    pub fn event(&self, epoch: i64, offset: i64, time: i64) -> Event {
        let Settings { persons, auctions, .. } = self.settings;
        let kind = if offset < persons {
            PERSON
        } else if offset < persons + auctions {
            AUCTION
        } else {
            BID
        };
        let last_auction = if kind == PERSON {
            (epoch - 1) * auctions + auctions - 1
        } else {
            epoch * auctions + (offset - persons).min(auctions - 1)
        };
        let last_person = epoch * persons + offset.min(persons - 1);
        Event { number: epoch * self.total + offset, kind, time, last_person, last_auction }
    }

    #[inline]
    fn some_person(&self, event: &Event, rng: &mut Rng) -> i64 {
        let people = event.last_person + 1;
        if people < ACTIVE_PEOPLE {
            return rng.below(people + LEAD);
        }
        people - ACTIVE_PEOPLE + self.active_people.below(rng)
    }

    #[inline]
    fn some_auction(&self, event: &Event, rng: &mut Rng) -> i64 {
        if event.last_auction < IN_FLIGHT_AUCTIONS {
            return rng.below(event.last_auction + 1 + LEAD);
        }
        event.last_auction - IN_FLIGHT_AUCTIONS + self.in_flight.below(rng)
    }

    /// The auction of a bid: its first draws.
    #[inline]
    pub fn bid_auction(&self, event: &Event, rng: &mut Rng) -> i64 {
        let auction = if self.hot_auctions.below(rng) > 0 {
            event.last_auction / HOT * HOT
        } else {
            self.some_auction(event, rng)
        };
        FIRST_ID + auction
    }

    /// The bidder of a bid: the draws after its auction.
    #[inline]
    pub fn bid_bidder(&self, event: &Event, rng: &mut Rng) -> i64 {
        let bidder = if self.hot_bidders.below(rng) > 0 {
            event.last_person / HOT * HOT + 1
        } else {
            self.some_person(event, rng)
        };
        FIRST_ID + bidder
    }

    /// The channel of a bid, an index into [`CHANNEL_TEXTS`]: the draws after its price.
    #[inline]
    pub fn bid_channel(&self, rng: &mut Rng) -> usize {
        if rng.below(2) > 0 {
            rng.below(HOT_CHANNELS.len() as i64) as usize
        } else {
            HOT_CHANNELS.len() + rng.below(CHANNELS as i64) as usize
        }
    }

    /// The seller of an auction: its first draws.
    pub fn auction_seller(&self, event: &Event, rng: &mut Rng) -> i64 {
        let seller =
            if self.hot_sellers.below(rng) > 0 { event.last_person / HOT * HOT } else { self.some_person(event, rng) };
        FIRST_ID + seller
    }

    /// When an auction ends: the draw after its initial bid.
    pub fn auction_expires(&self, event: &Event, rng: &mut Rng) -> i64 {
        let later = event.number + IN_FLIGHT_AUCTIONS * self.total / self.settings.auctions;
        let horizon = self.time(later) - event.time;
        event.time + 1 + rng.below((horizon * 2).max(1))
    }
}
