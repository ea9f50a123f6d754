//! The page that lists all limits, made of what the code has.

use std::fmt::Write;
use std::time::Duration;

use super::{Fixed, SETTINGS, Setting, fixed};

const HEAD: &str = "\
# Limits of samplerd

Everything that a client may ask for is bounded. What is beyond a limit is refused with a message that names the limit, what it is and the flag that sets it;
where waiting helps, the refusal says for how long (`google.rpc.RetryInfo`), and the client libraries wait and try again within their deadline.

This page is made of the code's defaults: `UPDATE_LIMITS=1 cargo test -p swift-sampler-daemon limits` writes it, and without the variable compares.

## To be set

Of calls, streams and bytes an eighth is kept for peers that have less than that of them: a peer that asks for all there is gets seven eighths. Each is set by its flag, by the environment variable `SAMPLERD_` and its name in capitals, or in the config file by its name with underscores.

| flag | default | limits | beyond it |
|---|---|---|---|
";

/// Returns the page.
#[must_use]
pub fn render() -> String {
    let mut page = HEAD.to_owned();
    for setting in SETTINGS {
        line(&mut page, &[&format!("`{}`", setting.flag()), &default(setting), setting.of, setting.beyond]);
    }
    let tables = [
        ("Connections", fixed::of_connections()),
        ("Calls", fixed::of_calls()),
        ("Jobs, studies, names", fixed::of_records()),
    ];
    for (title, rows) in tables {
        page.push_str(&format!("\n## {title}\n\n| limit | is | beyond it |\n|---|---|---|\n"));
        for Fixed { of, value, beyond } in rows {
            line(&mut page, &[of, &value, beyond]);
        }
    }
    page
}

fn line(page: &mut String, cells: &[&str]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("writing to a string cannot fail");
}

fn default(setting: &Setting) -> String {
    match setting.of.split(' ').next() {
        Some("bytes") => bytes(setting.default),
        Some("seconds") => time(Duration::from_secs(setting.default)),
        _ => count(setting.default),
    }
}

/// Shows a number of bytes in the largest unit that it is a whole number of.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0 => "0 bytes".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", count(bytes >> 10)),
        _ => format!("{} bytes", count(bytes)),
    }
}

/// Shows a number with commas.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

/// Shows a time in seconds or, where it is a whole number of them, minutes.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 300 && seconds.is_multiple_of(60) { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_the_code_has() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        if std::env::var_os("UPDATE_LIMITS").is_some() {
            std::fs::write(path, render()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        for (written, made) in page.lines().zip(render().lines()) {
            assert_eq!(
                written, made,
                "docs/limits.md is behind: UPDATE_LIMITS=1 cargo test -p swift-sampler-daemon limits"
            );
        }
        assert_eq!(page, render());
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!((count(0), count(1024), count(4_194_304)), ("0".into(), "1,024".into(), "4,194,304".into()));
        assert_eq!(
            (bytes(4 << 20), bytes(16 << 10), bytes(1025)),
            ("4 MiB".into(), "16 KiB".into(), "1,025 bytes".into())
        );
        assert_eq!((time(Duration::from_secs(120)), time(Duration::from_secs(600))), ("120 s".into(), "10 min".into()));
    }
}
