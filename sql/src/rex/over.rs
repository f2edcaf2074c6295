//! Calls over a window of rows: `SUM(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)`.
use super::{At, Expression};

/// A call over a window of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OverCall {
    /// The function by its canonical name.
    pub function: String,
    /// Its operands.
    pub operands: Vec<Expression>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// `PARTITION BY`.
    pub partition: Vec<Expression>,
    /// `ORDER BY`.
    pub order: Vec<SortKey>,
    /// `ROWS …`, `RANGE …`; none: it is not written.
    pub frame: Option<Frame>,
    /// Where it stands.
    pub at: At,
}

/// A value that rows are ordered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// The value.
    pub value: Expression,
    /// `DESC`.
    pub descending: bool,
    /// `NULLS FIRST`, `NULLS LAST`; none: it is not written.
    pub nulls_first: Option<bool>,
}

/// The rows around a row that a call is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// `ROWS`; else `RANGE`.
    pub rows: bool,
    /// The first of them.
    pub start: FrameBound,
    /// The last of them.
    pub end: FrameBound,
}

/// A bound of a frame. One without a distance is unbounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FrameBound {
    /// So far before the row.
    Preceding(Option<Expression>),
    /// The row itself.
    CurrentRow,
    /// So far behind the row.
    Following(Option<Expression>),
}

impl OverCall {
    /// All expressions that it is made of.
    pub(super) fn parts(&self) -> Vec<&Expression> {
        let bounds = self.frame.iter().flat_map(|frame| [&frame.start, &frame.end]);
        let order = self.order.iter().map(|key| &key.value);
        self.operands
            .iter()
            .chain(&self.partition)
            .chain(order)
            .chain(bounds.filter_map(FrameBound::distance))
            .collect()
    }

    /// The call with each of its expressions replaced.
    pub(super) fn try_map<E>(&self, map: &mut dyn FnMut(&Expression) -> Result<Expression, E>) -> Result<Self, E> {
        let operands = self.operands.iter().map(&mut *map).collect::<Result<_, E>>()?;
        let partition = self.partition.iter().map(&mut *map).collect::<Result<_, E>>()?;
        let mut order = Vec::with_capacity(self.order.len());
        for key in &self.order {
            order.push(SortKey { value: map(&key.value)?, ..key.clone() });
        }
        let frame = match &self.frame {
            Some(frame) => {
                Some(Frame { rows: frame.rows, start: frame.start.try_map(map)?, end: frame.end.try_map(map)? })
            }
            None => None,
        };
        Ok(Self {
            function: self.function.clone(),
            operands,
            distinct: self.distinct,
            partition,
            order,
            frame,
            at: self.at,
        })
    }
}

impl FrameBound {
    fn distance(&self) -> Option<&Expression> {
        match self {
            Self::Preceding(distance) | Self::Following(distance) => distance.as_ref(),
            Self::CurrentRow => None,
        }
    }

    fn try_map<E>(&self, map: &mut dyn FnMut(&Expression) -> Result<Expression, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Preceding(distance) => Self::Preceding(distance.as_ref().map(map).transpose()?),
            Self::Following(distance) => Self::Following(distance.as_ref().map(map).transpose()?),
            Self::CurrentRow => Self::CurrentRow,
        })
    }
}
