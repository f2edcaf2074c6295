//! Calls over a window of rows: `function(…) OVER (PARTITION BY … ORDER BY … ROWS …)`.
use sqlparser::ast::{Function, OrderByExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType};

use super::calls::{aggregate_arguments, ignores_nulls};
use super::expression::ExpressionAnalyzer;
use crate::error::{Place, Result};
use crate::functions::{aggregate, refuse_untyped_null};
use crate::rex::lowering::no_over;
use crate::rex::{At, Expression, Frame, FrameBound, Node, OverCall, SortKey};

impl ExpressionAnalyzer<'_, '_> {
    /// A call with OVER of the function of this name, in upper case. Of functions only the aggregates are known here, and of windows
    /// those that are written with the call.
    pub(super) fn over_call(
        &mut self,
        name: &str,
        function: &Function,
        window: &WindowType,
        place: Option<Place>,
    ) -> Result<Expression> {
        let (Some(canonical), WindowType::WindowSpec(window)) = (aggregate::canonical(name), window) else {
            return Err(no_over(name, place));
        };
        if window.window_name.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
            return Err(no_over(name, place));
        }
        if ignores_nulls(canonical, function)? {
            return Err(no_over(name, place));
        }
        let (arguments, distinct) = aggregate_arguments(canonical, function, place)?;
        let operands = self.all(arguments)?;
        refuse_untyped_null(&operands)?;
        let types: Vec<_> = operands.iter().map(|operand| operand.data_type.clone()).collect();
        // Each row has a window, which it is part of itself.
        let data_type = aggregate::result_type(canonical, &types, true, false)?;
        let (partition, order) = self.window(window)?;
        let frame = match &window.window_frame {
            Some(frame) if frame.units == WindowFrameUnits::Groups => return Err(no_over(name, place)),
            Some(frame) => Some(self.frame(frame)?),
            None => None,
        };
        let function = canonical.to_owned();
        let call = OverCall { function, operands, distinct, partition, order, frame, at: At(place) };
        Ok(Expression { node: Node::Over(Box::new(call)), data_type })
    }

    /// What rows a window has together, and in which order.
    fn window(&mut self, window: &WindowSpec) -> Result<(Vec<Expression>, Vec<SortKey>)> {
        let partition = self.all(&window.partition_by)?;
        let order = window.order_by.iter().map(|key| self.sort_key(key)).collect::<Result<_>>()?;
        Ok((partition, order))
    }

    fn sort_key(&mut self, key: &OrderByExpr) -> Result<SortKey> {
        let value = self.analyze(&key.expr)?;
        Ok(SortKey { value, descending: key.options.asc == Some(false), nulls_first: key.options.nulls_first })
    }

    fn frame(&mut self, frame: &WindowFrame) -> Result<Frame> {
        let start = self.frame_bound(&frame.start_bound)?;
        let end = match &frame.end_bound {
            Some(bound) => self.frame_bound(bound)?,
            None => FrameBound::CurrentRow,
        };
        Ok(Frame { rows: frame.units == WindowFrameUnits::Rows, start, end })
    }

    fn frame_bound(&mut self, bound: &WindowFrameBound) -> Result<FrameBound> {
        Ok(match bound {
            WindowFrameBound::CurrentRow => FrameBound::CurrentRow,
            WindowFrameBound::Preceding(None) => FrameBound::Preceding(None),
            WindowFrameBound::Preceding(Some(distance)) => FrameBound::Preceding(Some(self.analyze(distance)?)),
            WindowFrameBound::Following(None) => FrameBound::Following(None),
            WindowFrameBound::Following(Some(distance)) => FrameBound::Following(Some(self.analyze(distance)?)),
        })
    }
}
