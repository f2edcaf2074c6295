//! Calls of functions of our own: a vectorised kernel over operands that are columns or constants.
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, BooleanBuilder, Datum,
    GenericByteViewArray, ListBuilder, PrimitiveArray, PrimitiveBuilder, RecordBatch, StringViewArray,
    StringViewBuilder, new_empty_array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, ByteViewType, DataType, Field, FieldRef, Schema, StringViewType};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use wiesel_common::ending;

use super::budget::{Budget, check_value};
use crate::error::{Error, Result};

/// Computes a column from operands.
pub(crate) type Kernel = Box<dyn Fn(&Args) -> Result<ArrayRef> + Send + Sync>;

/// An operand: a column, or one value for all rows.
pub(crate) struct Operand {
    pub array: ArrayRef,
    pub constant: bool,
}

impl Datum for Operand {
    fn get(&self) -> (&dyn Array, bool) {
        (&self.array, self.constant)
    }
}

/// The operands of a call for one batch.
pub(crate) struct Args {
    operands: Vec<Operand>,
    /// How many rows the kernel must give.
    pub rows: usize,
    /// What it may make; none: there is no limit.
    budget: Option<Budget>,
}

/// A kind of value that can be read from an array without copying.
pub(crate) trait Value {
    type Array: Array + 'static;
    type Item<'a>;
    fn item(array: &Self::Array, row: usize) -> Self::Item<'_>;
}

impl<T: ArrowPrimitiveType> Value for T {
    type Array = PrimitiveArray<T>;
    type Item<'a> = T::Native;
    #[inline]
    fn item(array: &Self::Array, row: usize) -> T::Native {
        array.value(row)
    }
}

/// CHAR, VARCHAR.
pub(crate) struct Text;

impl Value for Text {
    type Array = StringViewArray;
    type Item<'a> = &'a str;
    #[inline]
    fn item(array: &StringViewArray, row: usize) -> &str {
        array.value(row)
    }
}

/// BINARY, VARBINARY.
pub(crate) struct Bytes;

impl Value for Bytes {
    type Array = BinaryViewArray;
    type Item<'a> = &'a [u8];
    #[inline]
    fn item(array: &BinaryViewArray, row: usize) -> &[u8] {
        array.value(row)
    }
}

/// BOOLEAN.
pub(crate) struct Bool;

impl Value for Bool {
    type Array = BooleanArray;
    type Item<'a> = bool;
    #[inline]
    fn item(array: &BooleanArray, row: usize) -> bool {
        array.value(row)
    }
}

/// Reads one operand.
pub(crate) struct Reader<'a, T: Value> {
    array: &'a T::Array,
    nulls: Option<&'a NullBuffer>,
    constant: bool,
}

impl<'a, T: Value> Reader<'a, T> {
    /// The value in a row, none if null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T::Item<'a>> {
        let row = if self.constant { 0 } else { row };
        match self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => Some(T::item(self.array, row)),
        }
    }
}

impl Args {
    /// Operands that were evaluated already; constants have one row.
    pub fn new(operands: Vec<Operand>, rows: usize) -> Self {
        Self { operands, rows, budget: None }
    }

    /// The same, within a budget.
    pub fn within(self, budget: &Budget) -> Self {
        Self { budget: Some(budget.clone()), ..self }
    }

    /// Takes from the budget what is about to be made.
    ///
    /// # Errors
    /// [`Error::OverBudget`].
    pub fn claim(&self, bytes: usize) -> Result<()> {
        self.budget.as_ref().map_or(Ok(()), |budget| budget.claim(bytes))
    }

    /// How many bytes may be made.
    fn left(&self) -> usize {
        self.budget.as_ref().map_or(usize::MAX, Budget::left)
    }

    /// How many operands.
    pub fn len(&self) -> usize {
        self.operands.len()
    }

    /// An operand.
    pub fn operand(&self, index: usize) -> &Operand {
        &self.operands[index]
    }

    /// An operand's array: one row if it is constant.
    pub fn array(&self, index: usize) -> &ArrayRef {
        &self.operands[index].array
    }

    /// The row of an operand's array for a row of the result.
    #[inline]
    pub fn row(&self, index: usize, row: usize) -> usize {
        if self.operands[index].constant { 0 } else { row }
    }

    /// An operand as a column of all rows.
    pub fn expanded(&self, index: usize) -> Result<ArrayRef> {
        let operand = &self.operands[index];
        if !operand.constant || self.rows == 1 {
            return Ok(operand.array.clone());
        }
        let indexes = arrow::array::UInt32Array::from_value(0, self.rows);
        Ok(arrow::compute::take(&operand.array, &indexes, None)?)
    }

    /// Rows in which an operand is null.
    pub fn nulls(&self) -> Option<NullBuffer> {
        let mut all: Option<NullBuffer> = None;
        for Operand { array, constant } in &self.operands {
            let Some(nulls) = array.logical_nulls() else { continue };
            let nulls = match (*constant && self.rows != 1, nulls.is_null(0)) {
                (false, _) => nulls,
                (true, true) => NullBuffer::new_null(self.rows),
                (true, false) => continue,
            };
            all = NullBuffer::union(all.as_ref(), Some(&nulls));
        }
        all
    }

    /// A typed reader of an operand.
    pub fn read<T: Value>(&self, index: usize) -> Result<Reader<'_, T>> {
        let Some(Operand { array, constant }) = self.operands.get(index) else {
            return Err(Error::Plan(format!("operand {} is missing", index + 1)));
        };
        let typed = array.as_any().downcast_ref::<T::Array>().ok_or_else(|| {
            let wanted = std::any::type_name::<T>();
            Error::Plan(format!(
                "operand {} is {}, which the function cannot read as {wanted}",
                index + 1,
                array.data_type()
            ))
        })?;
        Ok(Reader { array: typed, nulls: typed.nulls(), constant: *constant })
    }

    /// A column of primitives.
    pub fn collect<T: ArrowPrimitiveType>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.rows);
        let mut steps = ending::Steps::default();
        for row in 0..self.rows {
            steps.step()?;
            builder.append_option(value(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A column of primitives of a type with parameters: a decimal, a timestamp with zone.
    pub fn collect_as<T: ArrowPrimitiveType>(
        &self,
        data_type: &DataType,
        mut value: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.rows).with_data_type(data_type.clone());
        let mut steps = ending::Steps::default();
        for row in 0..self.rows {
            steps.step()?;
            builder.append_option(value(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A column of booleans.
    pub fn booleans(&self, mut value: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
        let mut builder = BooleanBuilder::with_capacity(self.rows);
        let mut steps = ending::Steps::default();
        for row in 0..self.rows {
            steps.step()?;
            builder.append_option(value(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A column of strings: each is written to the buffer that is passed; false is null.
    pub fn strings(&self, mut write: impl FnMut(usize, &mut String) -> Result<bool>) -> Result<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(self.rows);
        let mut text = String::new();
        let mut made = self.made();
        let mut steps = ending::Steps::default();
        for row in 0..self.rows {
            steps.step()?;
            text.clear();
            match write(row, &mut text)? {
                true => {
                    made.add(text.len())?;
                    builder.append_value(&text);
                }
                false => builder.append_null(),
            }
        }
        self.claim(made.bytes)?;
        Ok(Arc::new(builder.finish()))
    }

    /// A column of byte strings: each is written to the buffer that is passed; false is null.
    pub fn byte_strings(&self, mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<bool>) -> Result<ArrayRef> {
        let mut builder = BinaryViewBuilder::with_capacity(self.rows);
        let mut bytes = Vec::new();
        let mut made = self.made();
        let mut steps = ending::Steps::default();
        for row in 0..self.rows {
            steps.step()?;
            bytes.clear();
            match write(row, &mut bytes)? {
                true => {
                    made.add(bytes.len())?;
                    builder.append_value(&bytes);
                }
                false => builder.append_null(),
            }
        }
        self.claim(made.bytes)?;
        Ok(Arc::new(builder.finish()))
    }

    /// For a kernel that makes its values itself: it counts them, and claims their bytes at its end.
    pub fn made(&self) -> Made {
        Made { bytes: 0, left: self.left() }
    }

    /// A column of lists of strings.
    pub fn string_lists(&self) -> StringLists<'_> {
        let lists = ListBuilder::new(StringViewBuilder::new()).with_field(Field::new("item", DataType::Utf8View, true));
        StringLists { args: self, lists, made: self.made(), before: 0, steps: ending::Steps::default() }
    }

    /// A column of strings that are parts of operand `index`'s, whose buffers the result shares; none is null.
    pub fn substrings<'a>(
        &'a self,
        index: usize,
        part: impl FnMut(usize) -> Result<Option<&'a str>>,
    ) -> Result<ArrayRef> {
        let mut part = part;
        self.parts::<StringViewType>(index, |row| Ok(part(row)?.map(str::as_bytes)))
    }

    fn parts<'a, T: ByteViewType>(
        &'a self,
        index: usize,
        mut part: impl FnMut(usize) -> Result<Option<&'a [u8]>>,
    ) -> Result<ArrayRef> {
        let source = self.array(index).as_byte_view::<T>();
        let views = source.views();
        let mut output: Vec<u128> = Vec::with_capacity(self.rows);
        let mut valid = arrow::array::NullBufferBuilder::new(self.rows);
        let mut steps = ending::Steps::default();
        for row in 0..self.rows {
            steps.step()?;
            match part(row)? {
                None => {
                    output.push(0);
                    valid.append_null();
                }
                Some(part) => {
                    output.push(if part.len() <= 12 {
                        arrow::array::make_view(part, 0, 0)
                    } else {
                        // Longer than what a view holds itself: it lies in the buffer that the source's view names.
                        let view = arrow::array::ByteView::from(views[self.row(index, row)]);
                        let whole = &source.data_buffers()[view.buffer_index as usize];
                        let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
                        debug_assert!(offset + part.len() <= whole.len());
                        arrow::array::make_view(part, view.buffer_index, offset as u32)
                    });
                    valid.append_non_null();
                }
            }
        }
        let array = GenericByteViewArray::<T>::try_new(
            ScalarBuffer::from(output),
            source.data_buffers().to_vec(),
            valid.finish(),
        )?;
        Ok(Arc::new(array))
    }
}

/// The bytes of the values that a kernel has made.
pub(crate) struct Made {
    pub bytes: usize,
    left: usize,
}

impl Made {
    /// An element of a list or map, which may be as small as its place.
    #[inline]
    pub fn add_element(&mut self, text: Option<&str>) -> Result<()> {
        self.add(size_of::<u128>() + text.map_or(0, str::len))
    }

    /// So many elements, whose content is there already.
    pub fn add_elements(&mut self, count: usize) -> Result<()> {
        self.add(count.saturating_mul(size_of::<u128>()))
    }

    #[inline]
    fn add(&mut self, bytes: usize) -> Result<()> {
        check_value(bytes)?;
        self.bytes += bytes;
        if self.bytes <= self.left { Ok(()) } else { Err(Error::OverBudget) }
    }
}

/// Lists of strings that are being made. A list may have millions of them: they are counted as the bytes of texts are.
pub(crate) struct StringLists<'a> {
    args: &'a Args,
    lists: ListBuilder<StringViewBuilder>,
    made: Made,
    /// What was made before the list that is being made.
    before: usize,
    steps: ending::Steps,
}

impl StringLists<'_> {
    /// One more element of the list.
    pub fn push(&mut self, text: Option<&str>) -> Result<()> {
        self.steps.step()?;
        self.made.add_element(text)?;
        check_value(self.made.bytes - self.before)?;
        self.lists.values().append_option(text);
        Ok(())
    }

    /// The list is complete, or null.
    pub fn end(&mut self, is_valid: bool) {
        self.before = self.made.bytes;
        self.lists.append(is_valid);
    }

    /// The column.
    pub fn finish(mut self) -> Result<ArrayRef> {
        self.args.claim(self.made.bytes)?;
        Ok(Arc::new(self.lists.finish()))
    }
}

/// A call with its kernel.
pub(crate) struct Call {
    pub name: String,
    pub operands: Vec<Arc<dyn PhysicalExpr>>,
    pub kernel: Arc<Kernel>,
    pub result: FieldRef,
    /// Equal operands give equal results.
    pub deterministic: bool,
    /// What it may make.
    pub budget: Budget,
}

impl PhysicalExpr for Call {
    fn return_field(&self, _input: &Schema) -> datafusion_common::Result<FieldRef> {
        Ok(self.result.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> datafusion_common::Result<ColumnarValue> {
        ending::check().map_err(|told| to_datafusion(told.into()))?;
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(self.result.data_type())));
        }
        let mut operands = Vec::with_capacity(self.operands.len());
        for operand in &self.operands {
            operands.push(match operand.evaluate(batch)? {
                ColumnarValue::Array(array) => Operand { array, constant: false },
                ColumnarValue::Scalar(value) => Operand { array: value.to_array()?, constant: true },
            });
        }
        let constant = self.deterministic && operands.iter().all(|operand| operand.constant);
        let args = Args::new(operands, if constant { 1 } else { rows }).within(&self.budget);
        let array = (self.kernel)(&args).map_err(to_datafusion)?;
        // What reads this column relies on its type.
        if array.data_type() != self.result.data_type() && !array.data_type().is_nested() {
            let (given, declared) = (array.data_type(), self.result.data_type());
            return Err(to_datafusion(Error::Plan(format!("{} gave {given} instead of {declared}", self.name))));
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.operands.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self {
            name: self.name.clone(),
            operands: children,
            kernel: self.kernel.clone(),
            result: self.result.clone(),
            deterministic: self.deterministic,
            budget: self.budget.clone(),
        }))
    }

    fn is_volatile_node(&self) -> bool {
        !self.deterministic
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (i, operand) in self.operands.iter().enumerate() {
            write!(f, "{}{operand}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel) && self.operands == other.operands
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.operands.hash(state);
    }
}

/// An error of ours on its way through DataFusion's expressions.
pub(crate) fn to_datafusion(error: Error) -> DataFusionError {
    match error {
        Error::Expression(error) => error,
        other => DataFusionError::External(Box::new(other)),
    }
}

/// The error of ours that went through DataFusion's expressions.
pub(crate) fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::Expression(DataFusionError::External(other)),
        },
        DataFusionError::Context(_, inner) => from_datafusion(*inner),
        other => Error::Expression(other),
    }
}
