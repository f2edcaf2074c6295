//! Events as Arrow arrays: only the leaves that the plan asks for.
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray, StructArray,
    TimestampMillisecondArray, make_view, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use wiesel_expressions::types::RowField;
use wiesel_operators::operator::{Error, Result};
use wiesel_proto as proto;

use super::generator::{
    AUCTION, BID, CHANNEL_TEXTS, CITIES, Event, FIRST_NAMES, Generator, LAST_NAMES, PERSON, POOL_TEXT, PoolSlice, Rng,
    STATES, extra,
};

static POOL_BUFFER: LazyLock<Buffer> = LazyLock::new(|| Buffer::from(POOL_TEXT.clone()));

/// Views of the names and the urls of all channels.
struct ChannelViews {
    names: Vec<u128>,
    name_buffer: Buffer,
    urls: Vec<u128>,
    url_buffer: Buffer,
}

static CHANNELS: LazyLock<ChannelViews> = LazyLock::new(|| {
    let views = |texts: &super::generator::Texts| {
        let view = |(offset, length): &(u32, u32)| {
            let start = *offset as usize;
            make_view(&texts.bytes[start..start + *length as usize], 0, *offset)
        };
        (texts.slices.iter().map(view).collect(), Buffer::from(texts.bytes.clone()))
    };
    let (names, name_buffer) = views(&CHANNEL_TEXTS.name);
    let (urls, url_buffer) = views(&CHANNEL_TEXTS.url);
    ChannelViews { names, name_buffer, urls, url_buffer }
});

/// What one column of the output is.
enum Column {
    EventType,
    /// All of a person, an auction or a bid.
    Row(usize),
    /// One field of it.
    Leaf(usize, usize),
}

/// The columns that the source emits.
pub(super) struct Plan {
    columns: Vec<Column>,
    schema: SchemaRef,
    /// For each kind, a bit a field that is wanted.
    wanted: [u16; 3],
}

impl Plan {
    pub(super) fn new(physical: &[RowField], projection: &[proto::FieldPath]) -> Result<Self> {
        let mut columns = Vec::with_capacity(projection.len());
        let mut fields = Vec::with_capacity(projection.len());
        let mut wanted = [0u16; 3];
        for path in projection {
            let wrong = || Error::Plan(format!("nexmark has no column {:?}", path.indexes));
            let (column, rest) = path.indexes.split_first().ok_or_else(wrong)?;
            let column = *column as usize;
            let field = physical.get(column).ok_or_else(wrong)?;
            let arrow = field.data_type.to_arrow_field(&field.name);
            match rest {
                [] if column == 0 => columns.push(Column::EventType),
                [] => {
                    wanted[column - 1] = u16::MAX;
                    columns.push(Column::Row(column - 1));
                }
                [leaf] if column > 0 => {
                    let DataType::Struct(leaves) = arrow.data_type() else { return Err(wrong()) };
                    let leaf = *leaf as usize;
                    let inner = leaves.get(leaf).ok_or_else(wrong)?;
                    wanted[column - 1] |= 1 << leaf;
                    columns.push(Column::Leaf(column - 1, leaf));
                    let nullable = arrow.is_nullable() || inner.is_nullable();
                    fields.push(Field::new(inner.name(), inner.data_type().clone(), nullable));
                    continue;
                }
                _ => return Err(wrong()),
            }
            fields.push(arrow);
        }
        Ok(Self { columns, schema: Arc::new(Schema::new(fields)), wanted })
    }

    /// A place to put events into.
    pub(super) fn builder(&self, rows: usize, single_kind: bool) -> Builder {
        let [people, auctions, bids] = self.wanted;
        Builder {
            rows: 0,
            kinds: Vec::with_capacity(if single_kind { 0 } else { rows }),
            single_kind,
            people: People { wanted: people, ..People::default() },
            auctions: Auctions { wanted: auctions, ..Auctions::default() },
            bids: Bids::new(bids, rows),
        }
    }
}

const fn bit(leaf: usize) -> u16 {
    1 << leaf
}

/// Events on their way into a batch.
pub(super) struct Builder {
    rows: usize,
    /// The kind of each row, unless all are of one.
    kinds: Vec<i32>,
    single_kind: bool,
    people: People,
    auctions: Auctions,
    bids: Bids,
}

impl Builder {
    #[inline]
    pub(super) fn push(&mut self, generator: &Generator, event: &Event) {
        self.rows += 1;
        if !self.single_kind {
            self.kinds.push(event.kind);
        }
        match event.kind {
            BID => self.bids.push(generator, event),
            AUCTION => self.auctions.push(generator, event),
            _ => self.people.push(generator, event),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The batch. `kind`: that of all rows, if they are of one.
    pub(super) fn finish(self, plan: &Plan, kind: i32) -> Result<RecordBatch> {
        let Self { rows, mut kinds, single_kind, people, auctions, bids } = self;
        if single_kind {
            kinds = vec![kind; rows];
        }
        let leaves = [people.finish(), auctions.finish(), bids.finish()];
        let mut columns = Vec::with_capacity(plan.columns.len());
        for (column, field) in plan.columns.iter().zip(plan.schema.fields()) {
            let array: ArrayRef = match column {
                Column::EventType => Arc::new(Int32Array::from(kinds.clone())),
                Column::Leaf(of, leaf) => {
                    let spread = Spread::new(&kinds, *of as i32, single_kind, kind);
                    leaves[*of][*leaf].array(&spread, field.data_type(), rows)?
                }
                Column::Row(of) => {
                    let spread = Spread::new(&kinds, *of as i32, single_kind, kind);
                    let DataType::Struct(fields) = field.data_type() else {
                        return Err(Error::Plan(format!("'{}' is no ROW", field.name())));
                    };
                    if matches!(spread, Spread::Nowhere) {
                        new_null_array(field.data_type(), rows)
                    } else {
                        let arrays = leaves[*of]
                            .iter()
                            .zip(fields)
                            .map(|(leaf, field)| leaf.array(&spread, field.data_type(), rows))
                            .collect::<Result<Vec<_>>>()?;
                        Arc::new(StructArray::try_new(fields.clone(), arrays, spread.nulls())?)
                    }
                }
            };
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(plan.schema.clone(), columns, &options)?)
    }
}

/// Where the events of one kind stand in a batch.
enum Spread<'a> {
    Everywhere,
    Nowhere,
    Some { kinds: &'a [i32], kind: i32 },
}

impl<'a> Spread<'a> {
    fn new(kinds: &'a [i32], kind: i32, single_kind: bool, of_all: i32) -> Self {
        match (single_kind, of_all == kind) {
            (true, true) => Self::Everywhere,
            (true, false) => Self::Nowhere,
            _ => Self::Some { kinds, kind },
        }
    }

    fn nulls(&self) -> Option<NullBuffer> {
        match self {
            Self::Some { kinds, kind } => Some(kinds.iter().map(|k| k == kind).collect::<Vec<bool>>().into()),
            _ => None,
        }
    }

    /// Puts values into their rows.
    fn place<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        match self {
            Self::Some { kinds, kind } => {
                let mut values = values.iter();
                let place = |k: &i32| if k == kind { values.next().copied().unwrap_or_default() } else { T::default() };
                kinds.iter().map(place).collect()
            }
            _ => values.to_vec(),
        }
    }
}

/// The values of one field, for the events of its kind only.
enum Leaf {
    Numbers(Vec<i64>),
    Texts(Vec<u128>, Buffer),
}

impl Leaf {
    fn array(&self, spread: &Spread<'_>, data_type: &DataType, rows: usize) -> Result<ArrayRef> {
        if matches!(spread, Spread::Nowhere) {
            return Ok(new_null_array(data_type, rows));
        }
        let nulls = spread.nulls();
        Ok(match (self, data_type) {
            (Self::Numbers(values), DataType::Timestamp(_, zone)) => {
                let values = ScalarBuffer::from(spread.place(values));
                Arc::new(TimestampMillisecondArray::try_new(values, nulls)?.with_timezone_opt(zone.clone()))
            }
            (Self::Numbers(values), _) => {
                Arc::new(Int64Array::try_new(ScalarBuffer::from(spread.place(values)), nulls)?)
            }
            (Self::Texts(views, buffer), _) => {
                let views = ScalarBuffer::from(spread.place(views));
                // SAFETY: every view was made from a slice of this buffer, which holds ASCII only; the default view is
                // the empty text.
                #[allow(unsafe_code)]
                let texts = unsafe { StringViewArray::new_unchecked(views, vec![buffer.clone()], nulls) };
                Arc::new(texts)
            }
        })
    }
}

/// Texts on their way into a column.
#[derive(Default)]
struct TextBuilder {
    views: Vec<u128>,
    bytes: Vec<u8>,
}

impl TextBuilder {
    fn push(&mut self, text: &[u8]) {
        let offset = self.bytes.len() as u32;
        if text.len() > 12 {
            self.bytes.extend_from_slice(text);
        }
        self.views.push(make_view(text, 0, offset));
    }

    fn finish(self) -> Leaf {
        Leaf::Texts(self.views, Buffer::from(self.bytes))
    }
}

#[inline]
fn pool_view(slice: PoolSlice) -> u128 {
    let start = slice.offset as usize;
    make_view(&POOL_TEXT[start..start + slice.length as usize], 0, slice.offset)
}

fn pool_leaf(views: Vec<u128>) -> Leaf {
    Leaf::Texts(views, POOL_BUFFER.clone())
}

/// id, name, emailAddress, creditCard, city, state, dateTime, extra.
#[derive(Default)]
struct People {
    wanted: u16,
    numbers: [Vec<i64>; 2],
    texts: [TextBuilder; 5],
    extra: Vec<u128>,
    scratch: Vec<u8>,
}

impl People {
    fn push(&mut self, generator: &Generator, event: &Event) {
        if self.wanted == 0 {
            return;
        }
        self.numbers[0].push(event.person_id());
        self.numbers[1].push(event.time);
        if self.wanted & !(bit(0) | bit(6)) == 0 {
            return;
        }
        let rng = &mut Rng::new(event.number as u64);
        let pick = |rng: &mut Rng, texts: &[&'static str]| texts[rng.below(texts.len() as i64) as usize];
        let scratch = &mut self.scratch;
        let mut size = 8;
        let mut put = |column: &mut TextBuilder, text: &mut Vec<u8>| {
            size += text.len() as i64;
            column.push(text);
            text.clear();
        };
        let [name, email, card, city, state] = &mut self.texts;
        scratch.extend_from_slice(pick(rng, &FIRST_NAMES).as_bytes());
        scratch.push(b' ');
        scratch.extend_from_slice(pick(rng, &LAST_NAMES).as_bytes());
        put(name, scratch);
        rng.text(7, b' ', scratch);
        scratch.push(b'@');
        rng.text(5, b' ', scratch);
        scratch.extend_from_slice(b".com");
        put(email, scratch);
        for i in 0..4 {
            if i > 0 {
                scratch.push(b' ');
            }
            scratch.extend_from_slice(format!("{:04}", rng.below(10_000)).as_bytes());
        }
        put(card, scratch);
        scratch.extend_from_slice(pick(rng, &CITIES).as_bytes());
        put(city, scratch);
        scratch.extend_from_slice(pick(rng, &STATES).as_bytes());
        put(state, scratch);
        self.extra.push(pool_view(extra(rng, size, generator.settings.person_size)));
    }

    fn finish(self) -> Vec<Leaf> {
        let [id, time] = self.numbers;
        let mut leaves = vec![Leaf::Numbers(id)];
        leaves.extend(self.texts.map(TextBuilder::finish));
        leaves.extend([Leaf::Numbers(time), pool_leaf(self.extra)]);
        leaves
    }
}

/// id, itemName, description, initialBid, reserve, dateTime, expires, seller, category, extra.
#[derive(Default)]
struct Auctions {
    wanted: u16,
    /// id, initialBid, reserve, dateTime, expires, seller, category.
    numbers: [Vec<i64>; 7],
    texts: [TextBuilder; 2],
    extra: Vec<u128>,
    scratch: Vec<u8>,
}

impl Auctions {
    fn push(&mut self, generator: &Generator, event: &Event) {
        if self.wanted == 0 {
            return;
        }
        let [id, initial_bid, reserve, time, expires, seller, category] = &mut self.numbers;
        id.push(event.auction_id());
        time.push(event.time);
        if self.wanted & !(bit(0) | bit(5)) == 0 {
            return;
        }
        let rng = &mut Rng::new(event.number as u64);
        seller.push(generator.auction_seller(event, rng));
        category.push(10 + rng.below(5));
        let initial = rng.price();
        initial_bid.push(initial);
        expires.push(generator.auction_expires(event, rng));
        if self.wanted & (bit(1) | bit(2) | bit(4) | bit(9)) == 0 {
            return;
        }
        let mut size = 48;
        for (column, most) in self.texts.iter_mut().zip([20, 100]) {
            size += rng.text(most, b' ', &mut self.scratch) as i64;
            column.push(&self.scratch);
            self.scratch.clear();
        }
        reserve.push(initial + rng.price());
        self.extra.push(pool_view(extra(rng, size, generator.settings.auction_size)));
    }

    fn finish(self) -> Vec<Leaf> {
        let [id, initial_bid, reserve, time, expires, seller, category] = self.numbers.map(Leaf::Numbers);
        let [item, description] = self.texts.map(TextBuilder::finish);
        vec![id, item, description, initial_bid, reserve, time, expires, seller, category, pool_leaf(self.extra)]
    }
}

/// auction, bidder, price, channel, url, dateTime, extra.
struct Bids {
    wanted: u16,
    auction: Vec<i64>,
    bidder: Vec<i64>,
    price: Vec<i64>,
    channel: Vec<u128>,
    url: Vec<u128>,
    time: Vec<i64>,
    extra: Vec<u128>,
}

impl Bids {
    fn new(wanted: u16, rows: usize) -> Self {
        let room = |leaf: usize| if wanted & bit(leaf) != 0 { rows } else { 0 };
        Self {
            wanted,
            auction: Vec::with_capacity(room(0)),
            bidder: Vec::with_capacity(room(1)),
            price: Vec::with_capacity(room(2)),
            channel: Vec::with_capacity(room(3)),
            url: Vec::with_capacity(room(4)),
            time: Vec::with_capacity(room(5)),
            extra: Vec::with_capacity(room(6)),
        }
    }

    #[inline]
    fn push(&mut self, generator: &Generator, event: &Event) {
        let wanted = self.wanted;
        if wanted & bit(5) != 0 {
            self.time.push(event.time);
        }
        if wanted & !bit(5) == 0 {
            return;
        }
        let rng = &mut Rng::new(event.number as u64);
        let auction = generator.bid_auction(event, rng);
        if wanted & bit(0) != 0 {
            self.auction.push(auction);
        }
        // A value that is not selected is drawn only for the sake of those after it.
        if wanted & (bit(1) | bit(2) | bit(3) | bit(4) | bit(6)) == 0 {
            return;
        }
        let bidder = generator.bid_bidder(event, rng);
        if wanted & bit(1) != 0 {
            self.bidder.push(bidder);
        }
        if wanted & bit(2) != 0 {
            self.price.push(rng.price());
        } else {
            rng.skip(1);
        }
        if wanted & (bit(3) | bit(4)) != 0 {
            let channel = generator.bid_channel(rng);
            if wanted & bit(3) != 0 {
                self.channel.push(CHANNELS.names[channel]);
            }
            if wanted & bit(4) != 0 {
                self.url.push(CHANNELS.urls[channel]);
            }
        } else {
            rng.skip(2);
        }
        if wanted & bit(6) != 0 {
            self.extra.push(pool_view(extra(rng, 32, generator.settings.bid_size)));
        }
    }

    fn finish(self) -> Vec<Leaf> {
        vec![
            Leaf::Numbers(self.auction),
            Leaf::Numbers(self.bidder),
            Leaf::Numbers(self.price),
            Leaf::Texts(self.channel, CHANNELS.name_buffer.clone()),
            Leaf::Texts(self.url, CHANNELS.url_buffer.clone()),
            Leaf::Numbers(self.time),
            pool_leaf(self.extra),
        ]
    }
}

const _: () = assert!(PERSON == 0 && AUCTION == 1 && BID == 2, "kinds index the columns of the table");
