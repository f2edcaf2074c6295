//! What operators read of a job's configuration.
use std::time::Duration;

use wiesel_common::config::{ConfigOption, Configuration, options};

use crate::operator::{Error, Result};

/// `pipeline.auto-watermark-interval` in milliseconds; 0: no periodic watermarks.
pub fn auto_watermark_interval(configuration: &Configuration) -> Result<i64> {
    millis(configuration, &options::job::AUTO_WATERMARK_INTERVAL)
}

/// `execution.buffer-timeout.interval` in milliseconds: how long rows may wait for more; 0: not at all, which is also so
/// where rows may wait for ever (`execution.buffer-timeout.enabled: false`).
pub fn buffer_timeout(configuration: &Configuration) -> Result<i64> {
    match read(configuration, &options::job::BUFFER_TIMEOUT_ENABLED)? {
        true => millis(configuration, &options::job::BUFFER_TIMEOUT),
        false => Ok(0),
    }
}

fn millis(configuration: &Configuration, option: &ConfigOption<Duration>) -> Result<i64> {
    Ok(i64::try_from(read(configuration, option)?.as_millis()).unwrap_or(i64::MAX))
}

fn read<T: wiesel_common::config::ConfigValue>(configuration: &Configuration, option: &ConfigOption<T>) -> Result<T> {
    configuration.get(option).map_err(|e| Error::Plan(e.to_string()))
}
