//! placeholder
use wiesel_operators::operator::Result;
use wiesel_operators::types::RowField;
pub(super) struct Plan;
impl Plan {
    pub(super) fn new(_physical: &[RowField], _projection: &[wiesel_proto::FieldPath]) -> Result<Self> {
        Ok(Self)
    }
}
