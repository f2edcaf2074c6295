//! Calls by name: constructors, functions whose arguments are no values, aggregates, then the table of functions.
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    NullTreatment, Spanned,
};
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::expression::ExpressionAnalyzer;
use super::grouping::{AggregateCall, not_in_an_aggregate_query};
use super::places::place_of;
use crate::error::{Error, Place, Result};
use crate::functions::{aggregate, constructors, json, not_here_yet, refuse_untyped_null, scalar};
use crate::parser::dialect::{JSON_TEST, JSON_WITHIN, MAP_CONSTRUCTOR, ROW_CONSTRUCTOR};
use crate::parser::lexer;
use crate::rex::Expression;

impl ExpressionAnalyzer<'_, '_> {
    /// A function call.
    pub(super) fn function(&mut self, function: &Function) -> Result<Expression> {
        let name = function.name.to_string();
        let name = name.trim_matches('`');
        let upper = name.to_uppercase();
        let place = lexer::place_of(function.name.span());
        let result = match (&function.over, aggregate::canonical(&upper)) {
            (Some(window), _) => self.over_call(&upper, function, window, place),
            (None, Some(canonical)) => self.aggregate_call(canonical, function),
            (None, None) => self.scalar_call(name, &upper, function),
        };
        result.map_err(|e| self.placed(e, place))
    }

    fn scalar_call(&mut self, name: &str, upper: &str, function: &Function) -> Result<Expression> {
        if let Some(instead) = instead_of_group_window(upper) {
            return Err(Error::unsupported(format!("{upper} of GROUP BY windows: {instead}"), None));
        }
        // Before its arguments are looked at: some have a grammar of their own.
        if let Some(error) = not_here_yet(upper) {
            return Err(error);
        }
        if function.filter.is_some() {
            let message = "FILTER must not be used with non-aggregate function";
            return Err(Error::validation(message, None));
        }
        refuse_clauses(upper, function)?;
        let arguments = arguments(function)?;
        if matches!(upper, "TIMESTAMPADD" | "TIMESTAMPDIFF") {
            let [unit, first, second] = arguments.as_slice() else {
                let message = format!("Invalid number of arguments to function '{upper}'. Was expecting 3 arguments");
                return Err(Error::validation(message, None));
            };
            let unit = unit.to_string().trim_matches('`').to_uppercase();
            let (first, second) = (self.analyze(first)?, self.analyze(second)?);
            return match upper {
                "TIMESTAMPADD" => scalar::timestamp_add(&unit, first, second),
                _ => scalar::timestamp_diff(&unit, first, second),
            };
        }
        let operands = self.all(arguments)?;
        // Both compared and given.
        if let ("NULLIF", [value, _]) = (upper, operands.as_slice()) {
            self.needed(value, 1, "NULLIF")?;
        }
        match name {
            _ if matches!(upper, "GROUPING" | "GROUPING_ID" | "GROUP_ID") => match &self.aggregates {
                Some(aggregates) => aggregates.grouping(upper, &operands),
                None => Err(not_in_an_aggregate_query(upper)),
            },
            MAP_CONSTRUCTOR => constructors::map(operands),
            ROW_CONSTRUCTOR => constructors::row(operands),
            JSON_TEST => json::is_json(operands),
            JSON_WITHIN => json::within(operands),
            _ if upper == "ARRAY" => constructors::array(operands),
            _ => scalar::call(name, operands),
        }
    }

    fn aggregate_call(&mut self, name: &'static str, function: &Function) -> Result<Expression> {
        let place = lexer::place_of(function.name.span());
        if self.aggregates.is_none() {
            return Err(self.no_aggregate_here(place));
        }
        if !function.within_group.is_empty() {
            return Err(Error::unsupported("WITHIN GROUP is not supported", place));
        }
        let ignores_nulls = ignores_nulls(name, function)?;
        let (arguments, distinct) = aggregate_arguments(name, function, place)?;
        let mut inner = self.part("an aggregate", place);
        let arguments = inner.all(arguments)?;
        refuse_untyped_null(&arguments).map_err(|e| inner.placed(e, place))?;
        let (name, arguments) = match name {
            "JSON_OBJECTAGG" | "JSON_ARRAYAGG" => json::aggregate(name, arguments)?,
            "PERCENTILE" => (name, aggregate::percentile(arguments)?),
            "BITMAP_BUILD_AGG" | "BITMAP_BUILD_CARDINALITY_AGG" => (name, aggregate::widened(arguments)),
            _ => (name, arguments),
        };
        let filter = match function.filter.as_deref() {
            Some(filter) => Some(self.part("FILTER", place_of(filter)).condition(filter, "FILTER")?),
            None => None,
        };
        let filter = if ignores_nulls { not_null(&arguments, filter) } else { filter };
        let Some(aggregates) = self.aggregates.as_deref_mut() else { return Err(self.no_aggregate_here(place)) };
        aggregates.add(AggregateCall { function: name, arguments, distinct, filter })
    }
}

/// The arguments of an aggregate and whether equal ones count once; those of `COUNT(*)` are none.
pub(super) fn aggregate_arguments<'f>(
    name: &str,
    function: &'f Function,
    place: Option<Place>,
) -> Result<(Vec<&'f Expr>, bool)> {
    let (star, distinct) = match &function.args {
        FunctionArguments::List(list) => {
            let star = matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
            (star, list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
        }
        FunctionArguments::None | FunctionArguments::Subquery(_) => (false, false),
    };
    let arguments = match (name, star) {
        ("COUNT", true) => Vec::new(),
        (_, true) => return Err(Error::validation("Unknown identifier '*'", place)),
        (_, false) => arguments(function)?,
    };
    if name == "COUNT" && arguments.is_empty() && !star {
        let message = "Invalid number of arguments to function 'COUNT'. Was expecting 1 arguments";
        return Err(Error::validation(message, place));
    }
    Ok((arguments, distinct))
}

/// Whether a call leaves out null by `IGNORE NULLS`, which only ARRAY_AGG has. Other clauses among its arguments are refused.
pub(super) fn ignores_nulls(name: &str, function: &Function) -> Result<bool> {
    if function.null_treatment.is_some() {
        return Err(null_treatment_refused(name));
    }
    let clauses = match &function.args {
        FunctionArguments::List(list) => list.clauses.as_slice(),
        _ => &[],
    };
    match clauses {
        [] => Ok(false),
        [FunctionArgumentClause::IgnoreOrRespectNulls(treatment)] if name == "ARRAY_AGG" => {
            Ok(*treatment == NullTreatment::IgnoreNulls)
        }
        [FunctionArgumentClause::IgnoreOrRespectNulls(_)] => Err(null_treatment_refused(name)),
        _ => Err(Error::unsupported(format!("ORDER BY and the like within {name} are not supported"), None)),
    }
}

/// Refuses clauses of a call that only aggregates have.
pub(super) fn refuse_clauses(name: &str, function: &Function) -> Result<()> {
    ignores_nulls(name, function)?;
    if !function.within_group.is_empty() {
        return Err(Error::unsupported("WITHIN GROUP is not supported", None));
    }
    match &function.args {
        FunctionArguments::List(list) if list.duplicate_treatment.is_some() => {
            Err(Error::validation(format!("DISTINCT/ALL not allowed with {name} function"), None))
        }
        _ => Ok(()),
    }
}

fn null_treatment_refused(name: &str) -> Error {
    Error::validation(
        format!("{name} does not take IGNORE NULLS or RESPECT NULLS; ARRAY_AGG(x IGNORE NULLS) does"),
        None,
    )
}

/// Rows whose argument is not null, of those that pass a filter.
fn not_null(arguments: &[Expression], filter: Option<Expression>) -> Option<Expression> {
    let boolean = |nullable| LogicalType { kind: TypeKind::Boolean, nullable };
    let argument = arguments.first()?.clone();
    if !argument.data_type.nullable {
        return filter;
    }
    let is_there = Expression::call("IS_NOT_NULL", vec![argument], boolean(false));
    match filter {
        Some(filter) => {
            let nullable = filter.data_type.nullable;
            Some(Expression::call("AND", vec![filter, is_there], boolean(nullable)))
        }
        None => Some(is_there),
    }
}

/// What takes the place of the windows of GROUP BY, which Flink keeps beside window table functions.
fn instead_of_group_window(name: &str) -> Option<String> {
    let (window, part) = name.split_once('_').unwrap_or((name, ""));
    let arguments = match window {
        "TUMBLE" => "DESCRIPTOR(ts), INTERVAL '1' MINUTE",
        "HOP" => "DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTES",
        "SESSION" => {
            return ["", "START", "END", "ROWTIME", "PROCTIME"].contains(&part).then(|| "there is no SESSION".into());
        }
        _ => return None,
    };
    let column = match part {
        "" => {
            let call = format!("FROM TABLE({window}(TABLE t, {arguments}))");
            return Some(format!("write {call} GROUP BY window_start, window_end instead"));
        }
        "START" => "window_start",
        "END" => "window_end",
        "ROWTIME" | "PROCTIME" => "window_time",
        _ => return None,
    };
    Some(format!("take {column} of FROM TABLE({window}(TABLE t, {arguments})) instead"))
}

/// The arguments, which must have no names.
pub(super) fn arguments(function: &Function) -> Result<Vec<&Expr>> {
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(_) => {
            return Err(Error::unsupported("A subquery as an argument is not supported", None));
        }
    };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            FunctionArg::Unnamed(_) => Err(Error::validation("Unknown identifier '*'", None)),
            _ => Err(Error::unsupported("Named arguments of functions are not supported", None)),
        })
        .collect()
}
