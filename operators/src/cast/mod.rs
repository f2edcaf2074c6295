//! CAST and TRY_CAST.
use crate::expression::compile::Site;
use crate::expression::kernel::Kernel;
use crate::operator::Result;

/// A cast of one operand to the type of the call.
pub(crate) fn build(site: &Site) -> Result<Kernel> {
    let target = site.arrow_type();
    if site.operand_type(0)?.to_arrow() == target {
        return Ok(Box::new(|args| Ok(args.array(0).clone())));
    }
    Err(site.unsupported())
}
