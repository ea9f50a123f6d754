//! Dates of the file of tokens, as seconds.

use toml::value::{Datetime, Offset};
use x509_cert::der::DateTime;

/// Returns the seconds of Unix time of a date, at midnight unless it has a time, in UTC unless it has an offset.
pub(super) fn seconds_of(date: &Datetime) -> Result<u64, String> {
    let refused = || format!("{date} is no date after 1970, such as 2030-01-31 or 2030-01-31T12:00:00Z");
    let day = date.date.ok_or_else(refused)?;
    let (hour, minute, second) = date.time.map_or((0, 0, 0), |time| (time.hour, time.minute, time.second.unwrap_or(0)));
    let at = DateTime::new(day.year, day.month, day.day, hour, minute, second).map_err(|_unfit| refused())?;
    let minutes = match date.offset {
        None | Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i64::from(minutes),
    };
    at.unix_duration().as_secs().checked_add_signed(-60 * minutes).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_midnight_in_utc_unless_they_say_otherwise() {
        let of = |text: &str| seconds_of(&text.parse().unwrap());
        assert_eq!(of("1970-01-02"), Ok(86_400));
        assert_eq!(of("2030-01-31T12:00:00Z"), Ok(1_896_091_200));
        assert_eq!(of("2030-01-31T12:00:00+02:00"), Ok(1_896_084_000));
        assert!(of("12:00:00").unwrap_err().contains("2030-01-31"));
        assert!(of("1969-01-02").is_err());
    }
}
