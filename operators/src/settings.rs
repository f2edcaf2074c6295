//! What operators read of a job's configuration.
use wiesel_common::config::Configuration;

use crate::operator::{Error, Result};

/// `pipeline.auto-watermark-interval` in milliseconds; 0: no periodic watermarks.
pub fn auto_watermark_interval(configuration: &Configuration) -> Result<i64> {
    millis(configuration, "pipeline.auto-watermark-interval", 200)
}

/// `execution.buffer-timeout.interval` in milliseconds: how long rows may wait for more.
pub fn buffer_timeout(configuration: &Configuration) -> Result<i64> {
    millis(configuration, "execution.buffer-timeout.interval", 100)
}

fn millis(configuration: &Configuration, key: &str, default: i64) -> Result<i64> {
    let Some(text) = configuration.get_raw(key) else { return Ok(default) };
    let number = text.trim().trim_end_matches("ms").trim();
    number.parse().map_err(|_| Error::Plan(format!("{key}: '{text}' is no duration in milliseconds")))
}
