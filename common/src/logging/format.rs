//! A line of the log.
use std::fmt;

use chrono::{DateTime, Local};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::escape;
use super::retries::Retries;
use crate::time::{Clock, SystemClock};

/// Flink's pattern: time, level, where, message, then the fields of the spans around it, each name once; one line each, whatever
/// is in them.
#[derive(Default)]
pub(super) struct FlinkFormat {
    retries: Retries,
}

impl<S, N> FormatEvent<S, N> for FlinkFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let running = SystemClock.monotonic_millis();
        let Some(left_out) = self.retries.admit(metadata.target(), running) else { return Ok(()) };
        let now = DateTime::from_timestamp_millis(SystemClock.now_millis()).unwrap_or_default();
        let now = now.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S,%3f");
        let mut line = String::new();
        let mut plain = Writer::new(&mut line);
        write!(plain, "{now} {:<5} {:<60} [] - ", metadata.level().as_str(), metadata.target())?;
        context.format_fields(plain.by_ref(), event)?;
        let mut named: Vec<&str> = event.fields().map(|field| field.name()).collect();
        for span in context.event_scope().into_iter().flatten() {
            let fields = span.metadata().fields();
            if fields.iter().all(|field| named.contains(&field.name())) {
                continue;
            }
            named.extend(fields.iter().map(|field| field.name()));
            if let Some(fields) = span.extensions().get::<tracing_subscriber::fmt::FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(plain, " {fields}")?;
            }
        }
        if left_out > 0 {
            write!(plain, " left_out={left_out}")?;
        }
        escape::write(&line, &mut writer)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::ids::{checkpoint_span, request_span, task_span};
    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `log`.
    fn logged(log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(FlinkFormat::default())
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(lines.0.lock().clone()).unwrap()
    }

    #[test]
    fn a_line() {
        let text = logged(|| {
            let _span = tracing::info_span!("job", job_id = 7).entered();
            tracing::warn!(target: "wiesel_test", slots = 2, "no slot");
        });
        let (time, rest) = text.split_at(23);
        assert_eq!(time.replace(|c: char| c.is_ascii_digit(), "0"), "0000-00-00 00:00:00,000");
        assert_eq!(rest, format!(" WARN  {:<60} [] - no slot slots=2 job_id=7\n", "wiesel_test"));
    }

    /// Before, a name of a job could write lines of its own into the log.
    #[test]
    fn no_log_line_can_be_forged() {
        let name = "job\n2026-01-01 00:00:00,000 ERROR forged\r\u{1b}[2J";
        let text = logged(|| {
            let _span = tracing::info_span!("job", %name).entered();
            tracing::warn!(target: "wiesel_test", other = %name, "submitted {name}");
        });
        assert_eq!(text.matches("\\n2026").count(), 3, "{text}");
        assert_eq!(text.trim_end_matches('\n').chars().filter(|c| c.is_control()).count(), 0, "{text}");
    }

    /// Failed before: a line about a checkpoint had its id twice, or the task's and not the job's.
    #[test]
    fn a_line_names_job_task_and_checkpoint_once() {
        let text = logged(|| {
            let _task = task_span("0a1b", "Source: t (1/2)#0").entered();
            let _checkpoint = checkpoint_span(7).entered();
            tracing::info!("written");
            let _newer = checkpoint_span(8).entered();
            tracing::info!(job_id = "0a1b", "committed");
        });
        let message = |line: &str| line.split(" [] - ").nth(1).unwrap_or_default().to_owned();
        let lines: Vec<String> = text.lines().map(message).collect();
        assert_eq!(lines[0], "written checkpoint_id=7 task=Source: t (1/2)#0 job_id=0a1b");
        assert_eq!(lines[1], "committed job_id=\"0a1b\" checkpoint_id=8 task=Source: t (1/2)#0");
    }

    /// Failed before: nothing said which file a store was asked for in vain, again and again.
    #[test]
    fn a_store_s_retries_name_the_file_and_are_few() {
        let text = logged(|| {
            let _request = request_span("write", "s3://b/chk-1/_metadata").entered();
            for _ in 0..1000 {
                tracing::info!(target: "object_store::client::retry", "backing off");
            }
            tracing::info!(target: "wiesel_test", "done");
        });
        assert_eq!(text.lines().count(), 11, "{text}");
        assert!(text.lines().all(|line| line.ends_with(" request=write s3://b/chk-1/_metadata")), "{text}");
    }
}
