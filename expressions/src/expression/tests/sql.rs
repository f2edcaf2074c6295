//! The little SQL that golden files use: literals, operators and calls with types as plain as needed to evaluate them.
use datafusion_common::ScalarValue;

use crate::expression::{EvaluationContext, Expression, Node, evaluate_constant};
use crate::types::{LogicalType, MAX_LENGTH, RowField, TimeAttribute, TypeKind};

type Parsed<T> = Result<T, String>;

pub(super) fn parse(text: &str) -> Parsed<Expression> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let expression = parser.expression(0)?;
    parser.end()?;
    Ok(expression)
}

pub(super) fn parse_type(text: &str) -> Parsed<LogicalType> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let parsed = parser.data_type()?;
    parser.end()?;
    Ok(parsed)
}

/// Literals replaced, but for those that a function reads when it is compiled (names of units, bounds of fields).
pub(super) fn map_literals(
    expression: &Expression,
    map: &mut impl FnMut(&ScalarValue, &LogicalType) -> Option<Expression>,
) -> Expression {
    match &expression.node {
        Node::Input(_) => expression.clone(),
        Node::Literal(value) => map(value, &expression.data_type).unwrap_or_else(|| expression.clone()),
        Node::Call { function, operands } => {
            let fixed: &[usize] = match function.as_str() {
                "EXTRACT" | "TIMESTAMPADD" | "TIMESTAMPDIFF" => &[0],
                "TRIM" => &[0],
                "FIELD" | "FLOOR" | "CEIL" => &[1],
                "JSON_EXISTS" | "JSON_VALUE" | "JSON_QUERY" => &[1, 2, 3, 4, 5],
                "ITEM" if matches!(operands[0].data_type.kind, TypeKind::Row(_)) => &[1],
                _ => &[],
            };
            let operands = operands.iter().enumerate().map(|(index, operand)| {
                if fixed.contains(&index) { operand.clone() } else { map_literals(operand, map) }
            });
            Expression::call(function.clone(), operands.collect(), expression.data_type.clone())
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(String),
    Text(String),
    Hex(String),
    Symbol(&'static str),
}

fn tokens(text: &str) -> Parsed<Vec<Token>> {
    const SYMBOLS: [&str; 19] =
        ["<>", "<=", ">=", "||", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "=", "<", ">", ".", "=>"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            let bytes = rest.as_bytes();
            let mut end = 0;
            while end < bytes.len()
                && (bytes[end].is_ascii_digit()
                    || bytes[end] == b'.'
                    || matches!(bytes[end], b'e' | b'E')
                    || (matches!(bytes[end], b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E')))
            {
                end += 1;
            }
            tokens.push(Token::Number(rest[..end].to_owned()));
            end
        } else if first == '\'' || rest.starts_with("x'") {
            let start = if first == '\'' { 1 } else { 2 };
            let mut end = start;
            let mut value = String::new();
            loop {
                let next = rest[end..].chars().next().ok_or("open string")?;
                end += next.len_utf8();
                if next == '\'' {
                    if rest[end..].starts_with('\'') {
                        end += 1;
                    } else {
                        break;
                    }
                }
                value.push(next);
            }
            tokens.push(if start == 1 { Token::Text(value) } else { Token::Hex(value) });
            end
        } else if first == '`' {
            let end = rest[1..].find('`').ok_or("open name")? + 2;
            tokens.push(Token::Word(rest[1..end - 1].to_owned()));
            end
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            let symbol = symbol.ok_or_else(|| format!("unexpected {first}"))?;
            tokens.push(Token::Symbol(symbol));
            symbol.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

const UNITS: [&str; 19] = [
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "MILLISECOND",
    "MICROSECOND",
    "NANOSECOND",
    "DOW",
    "ISOYEAR",
    "CENTURY",
    "MILLENNIUM",
    "DOY",
    "ISODOW",
    "EPOCH",
    "DECADE",
];

impl Parser {
    fn word(&self) -> Option<String> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => Some(word.to_uppercase()),
            _ => None,
        }
    }

    fn is_word(&mut self, word: &str) -> bool {
        let found = self.word().as_deref() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Symbol(symbol)) => Some(symbol),
            _ => None,
        }
    }

    fn is(&mut self, symbol: &str) -> bool {
        let found = self.symbol() == Some(symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.is(symbol) { Ok(()) } else { Err(format!("expected {symbol} at {:?}", self.tokens.get(self.at))) }
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.is_word(word) { Ok(()) } else { Err(format!("expected {word} at {:?}", self.tokens.get(self.at))) }
    }

    fn end(&self) -> Parsed<()> {
        if self.at == self.tokens.len() { Ok(()) } else { Err(format!("unexpected {:?}", self.tokens[self.at])) }
    }

    fn expression(&mut self, least: u8) -> Parsed<Expression> {
        let left = if self.is_word("NOT") {
            let operand = self.expression(3)?;
            boolean("NOT", vec![operand])
        } else if self.is("-") {
            if let Some(Token::Number(number)) = self.tokens.get(self.at).cloned() {
                self.at += 1;
                return self.operators(numeric(&format!("-{number}"))?, least);
            }
            let operand = self.expression(7)?;
            let data_type = operand.data_type.clone();
            negated(operand, data_type)
        } else {
            self.primary()?
        };
        self.operators(left, least)
    }

    fn operators(&mut self, mut left: Expression, least: u8) -> Parsed<Expression> {
        loop {
            if self.is("[") {
                let key = self.expression(0)?;
                self.expect("]")?;
                let data_type = match &left.data_type.kind {
                    TypeKind::Array(element) => (**element).clone(),
                    TypeKind::Map(_, value) => (**value).clone(),
                    other => return Err(format!("element of {other}")),
                };
                left = Expression::call("ITEM", vec![left, key], data_type.with_nullable(true));
                continue;
            }
            let start = self.at;
            let negate = self.is_word("NOT");
            let (precedence, operator) = match (self.word().as_deref(), self.symbol()) {
                (Some("OR"), _) => (1, "OR"),
                (Some("AND"), _) => (2, "AND"),
                (Some("IS"), _) => (4, "IS"),
                (Some("IN"), _) => (4, "IN"),
                (Some("LIKE"), _) => (4, "LIKE"),
                (Some("SIMILAR"), _) => (4, "SIMILAR"),
                (Some("BETWEEN"), _) => (4, "BETWEEN"),
                (_, Some(symbol @ ("=" | "<>" | "<" | "<=" | ">" | ">="))) => (4, symbol),
                (_, Some(symbol @ ("+" | "-" | "||"))) => (5, symbol),
                (_, Some(symbol @ ("*" | "/" | "%"))) => (6, symbol),
                _ => {
                    self.at = start;
                    return Ok(left);
                }
            };
            if precedence <= least {
                self.at = start;
                return Ok(left);
            }
            self.at += 1;
            left = self.operation(left, operator, precedence)?;
            if negate {
                left = boolean("NOT", vec![left]);
            }
        }
    }

    fn operation(&mut self, left: Expression, operator: &str, precedence: u8) -> Parsed<Expression> {
        Ok(match operator {
            "IS" => {
                let not = if self.is_word("NOT") { "NOT_" } else { "" };
                if self.is_word("DISTINCT") {
                    self.expect_word("FROM")?;
                    let right = self.expression(precedence)?;
                    let (left, right) = unify(left, right);
                    return Ok(boolean(&format!("IS_{not}DISTINCT_FROM"), vec![left, right]));
                }
                let what = self.word().ok_or("IS what?")?;
                self.at += 1;
                boolean(&format!("IS_{not}{what}"), vec![left])
            }
            "IN" => {
                self.expect("(")?;
                let mut operands = vec![left];
                operands.append(&mut self.list(")")?);
                boolean("IN", operands)
            }
            "LIKE" | "SIMILAR" => {
                if operator == "SIMILAR" {
                    self.expect_word("TO")?;
                }
                let mut operands = vec![left, self.expression(precedence)?];
                if self.is_word("ESCAPE") {
                    operands.push(self.expression(precedence)?);
                }
                boolean(operator, operands)
            }
            "BETWEEN" => {
                let low = self.expression(4)?;
                self.expect_word("AND")?;
                let high = self.expression(4)?;
                let ((value, low), (other, high)) = (unify(left.clone(), low), unify(left, high));
                boolean("AND", vec![boolean(">=", vec![value, low]), boolean("<=", vec![other, high])])
            }
            "AND" | "OR" => {
                let right = self.expression(precedence)?;
                boolean(operator, vec![left, right])
            }
            "||" => {
                let right = self.expression(precedence)?;
                Expression::call("||", vec![left, right], TypeKind::string().nullable())
            }
            "=" | "<>" | "<" | "<=" | ">" | ">=" => {
                let right = self.expression(precedence)?;
                let (left, right) = unify(left, right);
                boolean(operator, vec![left, right])
            }
            _ => {
                let right = self.expression(precedence)?;
                return Ok(arithmetic(operator, left, right));
            }
        })
    }

    fn list(&mut self, close: &str) -> Parsed<Vec<Expression>> {
        let mut items = Vec::new();
        if self.is(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expression(0)?);
            if !self.is(",") {
                break;
            }
        }
        self.expect(close)?;
        Ok(items)
    }

    fn primary(&mut self) -> Parsed<Expression> {
        let token = self.tokens.get(self.at).cloned().ok_or("expression expected")?;
        self.at += 1;
        Ok(match token {
            Token::Number(number) => numeric(&number)?,
            Token::Text(text) => text_literal(&text),
            Token::Hex(hex) => {
                let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
                let bytes = bytes.collect::<Result<Vec<u8>, _>>().map_err(|e| e.to_string())?;
                let kind = TypeKind::Binary(bytes.len() as u32);
                Expression::literal(ScalarValue::BinaryView(Some(bytes)), kind.not_null())
            }
            Token::Symbol("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                inner
            }
            Token::Word(word) => {
                let word = word.to_uppercase();
                self.named(&word)?
            }
            other => return Err(format!("unexpected {other:?}")),
        })
    }

    fn named(&mut self, word: &str) -> Parsed<Expression> {
        let next_text = match self.tokens.get(self.at) {
            Some(Token::Text(text)) => Some(text.clone()),
            _ => None,
        };
        match (word, next_text) {
            ("TRUE", _) => return Ok(literal(ScalarValue::Boolean(Some(true)), TypeKind::Boolean)),
            ("FALSE", _) => return Ok(literal(ScalarValue::Boolean(Some(false)), TypeKind::Boolean)),
            ("NULL", _) => return Ok(Expression::literal(ScalarValue::Null, TypeKind::Null.nullable())),
            ("DATE" | "TIME" | "TIMESTAMP", Some(text)) => {
                self.at += 1;
                let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u8);
                let kind = match word {
                    "DATE" => TypeKind::Date,
                    "TIME" => TypeKind::Time(fraction),
                    _ => TypeKind::Timestamp(fraction, TimeAttribute::Regular),
                };
                return constant(Expression::call("CAST", vec![text_literal(&text)], kind.not_null()));
            }
            ("INTERVAL", Some(text)) => {
                self.at += 1;
                return self.interval(&text);
            }
            ("CASE", _) => return self.case(),
            _ if UNITS.contains(&word) && self.symbol() != Some("(") => return Ok(text_literal(word)),
            _ => {}
        }
        if matches!(word, "ARRAY" | "MAP") && self.is("[") {
            let items = self.list("]")?;
            let element = |step: usize, skip: usize| {
                let items: Vec<&Expression> = items.iter().skip(skip).step_by(step).collect();
                let nullable = items.iter().any(|item| item.data_type.nullable);
                let longest = items.iter().max_by_key(|item| match item.data_type.kind {
                    TypeKind::Char(length) | TypeKind::Varchar(length) => length,
                    _ => 0,
                });
                longest.map(|item| item.data_type.with_nullable(nullable)).ok_or("empty constructor")
            };
            let kind = match word {
                "ARRAY" => TypeKind::Array(Box::new(element(1, 0)?)),
                _ => TypeKind::Map(Box::new(element(2, 0)?), Box::new(element(2, 1)?)),
            };
            return Ok(Expression::call(word, items, kind.not_null()));
        }
        if !self.is("(") {
            return Ok(Expression::call(word, vec![], TypeKind::string().nullable()));
        }
        let string = || TypeKind::string().nullable();
        let operands = match word {
            "CAST" | "TRY_CAST" => {
                let operand = self.expression(0)?;
                self.expect_word("AS")?;
                let mut data_type = self.data_type()?;
                self.expect(")")?;
                data_type.nullable = operand.data_type.nullable || word == "TRY_CAST";
                return Ok(Expression::call(word, vec![operand], data_type));
            }
            "EXTRACT" => {
                let unit = self.word().ok_or("unit expected")?;
                self.at += 1;
                self.expect_word("FROM")?;
                let operand = self.expression(0)?;
                self.expect(")")?;
                return Ok(Expression::call(
                    "EXTRACT",
                    vec![text_literal(&unit), operand],
                    TypeKind::Bigint.nullable(),
                ));
            }
            "TRIM" => {
                let side = self.word().filter(|word| ["BOTH", "LEADING", "TRAILING"].contains(&word.as_str()));
                self.at += usize::from(side.is_some());
                let side = text_literal(side.as_deref().unwrap_or("BOTH"));
                let space = text_literal(" ");
                if self.is_word("FROM") {
                    let operand = self.expression(0)?;
                    self.expect(")")?;
                    vec![side, space, operand]
                } else {
                    let first = self.expression(0)?;
                    let operands = match self.is_word("FROM") {
                        true => vec![side, first, self.expression(0)?],
                        false => vec![side, space, first],
                    };
                    self.expect(")")?;
                    operands
                }
            }
            _ => {
                let mut operands = Vec::new();
                if !self.is(")") {
                    loop {
                        // `IN` separates the operands of POSITION.
                        operands.push(self.expression(if word == "POSITION" { 4 } else { 0 })?);
                        let more = self.is(",")
                            || ["FROM", "FOR", "TO", "PLACING", "IN", "ON"].iter().any(|word| self.is_word(word));
                        if !more {
                            break;
                        }
                    }
                    self.expect(")")?;
                }
                operands
            }
        };
        if word == "ROW" {
            let fields = operands.iter().enumerate();
            let fields = fields.map(|(i, field)| RowField::new(format!("EXPR${i}"), field.data_type.clone())).collect();
            return Ok(Expression::call("ROW", operands, TypeKind::Row(fields).not_null()));
        }
        let function = match word {
            "CEILING" => "CEIL",
            "CHARACTER_LENGTH" => "CHAR_LENGTH",
            "SUBSTR" => "SUBSTRING",
            other => other,
        };
        let data_type = match function {
            "ENCODE" | "UNHEX" => TypeKind::bytes().nullable(),
            "TO_TIMESTAMP_LTZ" => TypeKind::TimestampLtz(3, TimeAttribute::Regular).nullable(),
            _ => string(),
        };
        Ok(Expression::call(function, operands, data_type))
    }

    fn case(&mut self) -> Parsed<Expression> {
        let mut operands = Vec::new();
        while self.is_word("WHEN") {
            operands.push(self.expression(0)?);
            self.expect_word("THEN")?;
            operands.push(self.expression(0)?);
        }
        let data_type = operands.get(1).ok_or("CASE without WHEN")?.data_type.with_nullable(true);
        if self.is_word("ELSE") {
            operands.push(self.expression(0)?);
        }
        self.expect_word("END")?;
        Ok(Expression::call("CASE", operands, data_type))
    }

    fn interval(&mut self, text: &str) -> Parsed<Expression> {
        let first = self.word().ok_or("unit expected")?;
        self.at += 1;
        if self.is("(") {
            self.at += 1;
            self.expect(")")?;
        }
        let last = if self.is_word("TO") {
            let last = self.word().ok_or("unit expected")?;
            self.at += 1;
            last
        } else {
            first.clone()
        };
        let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |digits| (-1.0, digits));
        let numbers: Vec<f64> = digits.split([' ', ':', '-']).filter_map(|part| part.parse().ok()).collect();
        if matches!(first.as_str(), "YEAR" | "MONTH") {
            let months = numbers.iter().zip(if first == "YEAR" { [12.0, 1.0] } else { [1.0, 0.0] });
            let months = sign * months.map(|(number, unit)| number * unit).sum::<f64>();
            let kind = TypeKind::IntervalYearMonth(first);
            return Ok(literal(ScalarValue::IntervalYearMonth(Some(months as i32)), kind));
        }
        let scale = [
            ("WEEK", 7.0 * 86_400_000.0),
            ("DAY", 86_400_000.0),
            ("HOUR", 3_600_000.0),
            ("MINUTE", 60_000.0),
            ("SECOND", 1000.0),
        ];
        let start = scale.iter().position(|(unit, _)| *unit == first).ok_or("unknown unit")?;
        let millis: f64 = numbers.iter().zip(&scale[start..]).map(|(number, (_, unit))| number * unit).sum();
        let kind = TypeKind::IntervalDayTime(last);
        Ok(literal(ScalarValue::DurationMillisecond(Some((sign * millis).round() as i64)), kind))
    }

    fn parameters(&mut self) -> Parsed<Vec<u32>> {
        let mut numbers = Vec::new();
        if self.is("(") {
            loop {
                match self.tokens.get(self.at) {
                    Some(Token::Number(number)) => numbers.push(number.parse().map_err(|_| "bad parameter")?),
                    other => return Err(format!("parameter expected at {other:?}")),
                }
                self.at += 1;
                if !self.is(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        Ok(numbers)
    }

    fn data_type(&mut self) -> Parsed<LogicalType> {
        let word = self.word().ok_or("type expected")?;
        self.at += 1;
        let parameter = |parser: &mut Self, default: u32| -> Parsed<u32> {
            Ok(parser.parameters()?.first().copied().unwrap_or(default))
        };
        let kind = match word.as_str() {
            "STRING" => TypeKind::string(),
            "BYTES" => TypeKind::bytes(),
            "CHAR" => TypeKind::Char(parameter(self, 1)?),
            "VARCHAR" => TypeKind::Varchar(parameter(self, MAX_LENGTH)?),
            "BINARY" => TypeKind::Binary(parameter(self, 1)?),
            "VARBINARY" => TypeKind::Varbinary(parameter(self, MAX_LENGTH)?),
            "BOOLEAN" => TypeKind::Boolean,
            "TINYINT" => TypeKind::Tinyint,
            "SMALLINT" => TypeKind::Smallint,
            "INT" => TypeKind::Int,
            "BIGINT" => TypeKind::Bigint,
            "FLOAT" => TypeKind::Float,
            "DOUBLE" => TypeKind::Double,
            "DECIMAL" => {
                let parameters = self.parameters()?;
                let get = |index: usize, default| parameters.get(index).copied().unwrap_or(default);
                TypeKind::Decimal(get(0, 10) as u8, get(1, 0) as i8)
            }
            "DATE" => TypeKind::Date,
            "TIME" => TypeKind::Time(parameter(self, 0)? as u8),
            "TIMESTAMP" => TypeKind::Timestamp(parameter(self, 6)? as u8, TimeAttribute::Regular),
            "TIMESTAMP_LTZ" => TypeKind::TimestampLtz(parameter(self, 6)? as u8, TimeAttribute::Regular),
            "INTERVAL" => {
                let unit = self.word().ok_or("unit expected")?;
                while self.at < self.tokens.len() && self.word().as_deref() != Some("NOT") && self.symbol() != Some(">")
                {
                    self.at += 1;
                }
                match unit.as_str() {
                    "YEAR" | "MONTH" => TypeKind::IntervalYearMonth(unit),
                    _ => TypeKind::IntervalDayTime(unit),
                }
            }
            "ARRAY" | "MULTISET" => {
                self.expect("<")?;
                let element = Box::new(self.data_type()?);
                self.expect(">")?;
                if word == "ARRAY" { TypeKind::Array(element) } else { TypeKind::Multiset(element) }
            }
            "MAP" => {
                self.expect("<")?;
                let key = self.data_type()?;
                self.expect(",")?;
                let value = self.data_type()?;
                self.expect(">")?;
                TypeKind::Map(Box::new(key), Box::new(value))
            }
            "ROW" => {
                self.expect("<")?;
                let mut fields = Vec::new();
                loop {
                    let Some(Token::Word(name)) = self.tokens.get(self.at).cloned() else {
                        return Err("field expected".into());
                    };
                    self.at += 1;
                    fields.push(RowField::new(name, self.data_type()?));
                    if !self.is(",") {
                        break;
                    }
                }
                self.expect(">")?;
                TypeKind::Row(fields)
            }
            other => return Err(format!("unknown type {other}")),
        };
        let nullable = if self.is_word("NOT") {
            self.expect_word("NULL")?;
            false
        } else {
            true
        };
        Ok(LogicalType { kind, nullable })
    }
}

fn literal(value: ScalarValue, kind: TypeKind) -> Expression {
    Expression::literal(value, kind.not_null())
}

fn text_literal(text: &str) -> Expression {
    literal(ScalarValue::Utf8View(Some(text.to_owned())), TypeKind::Char(text.chars().count() as u32))
}

fn boolean(function: &str, operands: Vec<Expression>) -> Expression {
    Expression::call(function, operands, TypeKind::Boolean.nullable())
}

fn constant(expression: Expression) -> Parsed<Expression> {
    let context: EvaluationContext = super::context("UTC");
    let value = evaluate_constant(&expression, &context).map_err(|e| e.to_string())?;
    Ok(Expression::literal(value, expression.data_type))
}

fn negated(operand: Expression, data_type: LogicalType) -> Expression {
    let negated = Expression::call("NEG", vec![operand], data_type);
    constant(negated.clone()).unwrap_or(negated)
}

fn numeric(text: &str) -> Parsed<Expression> {
    if text.contains(['e', 'E']) {
        let value = text.parse().map_err(|_| "bad number")?;
        return Ok(literal(ScalarValue::Float64(Some(value)), TypeKind::Double));
    }
    if let Some((whole, fraction)) = text.split_once('.') {
        let digits = format!("{whole}{fraction}");
        let precision = digits.trim_start_matches(['-', '0']).len().max(fraction.len()).max(1) as u8;
        let scale = fraction.len() as i8;
        let value = digits.parse().map_err(|_| "bad number")?;
        return Ok(literal(
            ScalarValue::Decimal128(Some(value), precision, scale),
            TypeKind::Decimal(precision, scale),
        ));
    }
    let value: i64 = text.parse().map_err(|_| "Numeric literal out of range")?;
    Ok(match i32::try_from(value) {
        Ok(value) => literal(ScalarValue::Int32(Some(value)), TypeKind::Int),
        Err(_) => literal(ScalarValue::Int64(Some(value)), TypeKind::Bigint),
    })
}

/// Both operands of the wider numeric type.
fn unify(left: Expression, right: Expression) -> (Expression, Expression) {
    let rank = |kind: &TypeKind| match kind {
        TypeKind::Tinyint => 1,
        TypeKind::Smallint => 2,
        TypeKind::Int => 3,
        TypeKind::Bigint => 4,
        TypeKind::Decimal(..) => 5,
        TypeKind::Float => 6,
        TypeKind::Double => 7,
        _ => 0,
    };
    let (l, r) = (rank(&left.data_type.kind), rank(&right.data_type.kind));
    let to = |operand: Expression, target: &TypeKind| {
        let nullable = operand.data_type.nullable;
        let target = match target {
            TypeKind::Decimal(..) => TypeKind::Decimal(19, 0),
            other => other.clone(),
        };
        Expression::call("CAST", vec![operand], LogicalType { kind: target, nullable })
    };
    match (l, r) {
        (0, _) | (_, 0) => (left, right),
        _ if l < r => (to(left, &right.data_type.kind.clone()), right),
        _ if l > r => {
            let kind = left.data_type.kind.clone();
            (left, to(right, &kind))
        }
        _ => (left, right),
    }
}

fn arithmetic(operator: &str, left: Expression, right: Expression) -> Expression {
    use TypeKind as T;
    let interval = |kind: &T| matches!(kind, T::IntervalDayTime(_) | T::IntervalYearMonth(_));
    let temporal = |kind: &T| matches!(kind, T::Date | T::Time(_) | T::Timestamp(..) | T::TimestampLtz(..));
    let (l, r) = (left.data_type.kind.clone(), right.data_type.kind.clone());
    let nullable = left.data_type.nullable || right.data_type.nullable;
    if temporal(&l) && interval(&r) {
        let right_type = right.data_type.clone();
        let right = if operator == "-" { negated(right, right_type) } else { right };
        return Expression::call("TIMESTAMP_ADD", vec![left, right], LogicalType { kind: l, nullable });
    }
    if interval(&l) && temporal(&r) {
        return Expression::call("TIMESTAMP_ADD", vec![right, left], LogicalType { kind: r, nullable });
    }
    if temporal(&l) && temporal(&r) {
        let kind = T::IntervalDayTime("SECOND".into());
        return Expression::call("TIMESTAMP_DIFF", vec![left, right], LogicalType { kind, nullable });
    }
    if interval(&l) || interval(&r) {
        let kind = if interval(&l) { l } else { r };
        return Expression::call(operator, vec![left, right], LogicalType { kind, nullable });
    }
    let (left, right) = if matches!(
        (&l, &r),
        (T::Decimal(..), T::Tinyint | T::Smallint | T::Int | T::Bigint)
            | (T::Tinyint | T::Smallint | T::Int | T::Bigint, T::Decimal(..))
    ) {
        (left, right)
    } else {
        unify(left, right)
    };
    let kind = match (&left.data_type.kind, &right.data_type.kind) {
        (decimal @ T::Decimal(..), _) | (_, decimal @ T::Decimal(..)) => decimal.clone(),
        (kind, _) => kind.clone(),
    };
    Expression::call(operator, vec![left, right], LogicalType { kind, nullable })
}
