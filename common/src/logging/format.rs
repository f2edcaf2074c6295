//! A line of the log.
use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::escape;

/// Flink's pattern: time, level, where, message, then the fields of the spans around it; one line each, whatever is in them.
pub(super) struct FlinkFormat;

impl<S, N> FormatEvent<S, N> for FlinkFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f");
        let metadata = event.metadata();
        let mut line = String::new();
        let mut plain = Writer::new(&mut line);
        write!(plain, "{now} {:<5} {:<60} [] - ", metadata.level().as_str(), metadata.target())?;
        context.format_fields(plain.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<tracing_subscriber::fmt::FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(plain, " {fields}")?;
            }
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
            .event_format(FlinkFormat)
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
    fn nobody_forges_a_line() {
        let name = "job\n2026-01-01 00:00:00,000 ERROR forged\r\u{1b}[2J";
        let text = logged(|| {
            let _span = tracing::info_span!("job", %name).entered();
            tracing::warn!(target: "wiesel_test", other = %name, "submitted {name}");
        });
        assert_eq!(text.matches("\\n2026").count(), 3, "{text}");
        assert_eq!(text.trim_end_matches('\n').chars().filter(|c| c.is_control()).count(), 0, "{text}");
    }
}
