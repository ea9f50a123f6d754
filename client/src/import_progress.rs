//! How far an import is, on standard error: a bar on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use swift_sampler_client::{ImportPhase, ImportProgress};

/// How often a line is written where there is no terminal, beside the first of every phase.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What was shown last.
#[derive(Debug, Clone)]
pub(crate) struct ImportProgressLine {
    bar: Option<ProgressBar>,
    last: Arc<Mutex<Option<(ImportPhase, Instant)>>>,
}

impl ImportProgressLine {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0));
        Self { bar, last: Arc::default() }
    }

    pub(crate) fn show(&self, progress: ImportProgress) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // The daemon may begin before the client has counted its last chunk.
        let is_new = last.is_none_or(|(phase, _)| phase != progress.phase);
        match &self.bar {
            Some(bar) => {
                if is_new {
                    bar.set_style(style(progress.phase));
                    bar.set_message(name(progress.phase));
                }
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                if !is_new {
                    return;
                }
            }
            None if is_new || last.is_some_and(|(_, at)| at.elapsed() >= LINE_INTERVAL) => {
                // Nobody may be listening.
                writeln!(std::io::stderr(), "{}", line(progress)).ok();
            }
            None => return,
        }
        *last = Some((progress.phase, Instant::now()));
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn name(phase: ImportPhase) -> &'static str {
    match phase {
        ImportPhase::Sending => "sending files",
        ImportPhase::Reading => "reading files",
        ImportPhase::Grouping => "grouping examples",
        ImportPhase::Writing => "writing to disk",
    }
}

fn style(phase: ImportPhase) -> ProgressStyle {
    let template = match phase {
        ImportPhase::Sending => "{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        ImportPhase::Reading | ImportPhase::Grouping => "{msg} {bar:40} {percent}% {eta}",
        ImportPhase::Writing => "{msg} {spinner}",
    };
    ProgressStyle::with_template(template).expect("the templates are well formed")
}

fn line(progress: ImportProgress) -> String {
    let name = name(progress.phase);
    match progress.done.saturating_mul(100).checked_div(progress.total) {
        Some(percent) => format!("{name}: {percent}%"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_is_done_where_that_is_known() {
        let progress = ImportProgress { phase: ImportPhase::Reading, done: 7, total: 20 };
        assert_eq!(line(progress), "reading files: 35%");
        assert_eq!(line(ImportProgress { phase: ImportPhase::Writing, done: 0, total: 0 }), "writing to disk");
    }
}
