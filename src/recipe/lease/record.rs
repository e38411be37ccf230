//! What a lease's node holds: `{"version": 1, "holder": "host", "end": "2026-01-31T12:00:00"}`, byte
//! for byte as Python's `json.dumps` writes it, in UTC and whole seconds.

use std::fmt::Write as _;

use serde_json::Value;

/// Microseconds since 1970 in UTC, by some host's wall clock.
pub type Micros = i64;

pub(super) const SECOND: Micros = 1_000_000;

/// The last second that can be written.
const LAST: i64 = 253_402_300_799;

/// The only version there is.
const VERSION: f64 = 1.0;

/// Who holds a lease, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The identifier of the holder.
    pub holder: String,
    /// When it ends by the holder's clock.
    pub end: Micros,
}

impl Record {
    /// What a node holds, if it is a record that can be read.
    pub fn read(data: &[u8]) -> Option<Self> {
        match read(data) {
            Stored::Record(record) => Some(record),
            Stored::Newer(_) | Stored::Corrupt(_) => None,
        }
    }

    /// What a node has to hold; none if the end lies beyond what can be written. Fractions of a second
    /// are cut.
    pub fn write(&self) -> Option<Vec<u8>> {
        write(&self.holder, self.end)
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Record(Record),
    /// Of another version, which says what it is: somebody holds it who knows more than we.
    Newer(String),
    /// Not a record at all, and why.
    Corrupt(String),
}

/// Reads what a node holds.
pub(super) fn read(data: &[u8]) -> Stored {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return Stored::Corrupt("it is no JSON".into());
    };
    match value.get("version") {
        Some(Value::Number(version)) if version.as_f64() == Some(VERSION) => {}
        Some(version) => return Stored::Newer(version.to_string().chars().take(40).collect()),
        None => return Stored::Corrupt("it has no version".into()),
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match (text("holder"), text("end").and_then(parse_time)) {
        (Some(holder), Some(end)) => {
            Stored::Record(Record { holder: holder.to_owned(), end: end.saturating_mul(SECOND) })
        }
        _ => Stored::Corrupt("its holder or its end cannot be read".into()),
    }
}

/// The last whole second before a time, or at it: what can be written of an end.
pub(super) fn in_whole_seconds(end: Micros) -> Micros {
    end.div_euclid(SECOND).saturating_mul(SECOND)
}

fn write(holder: &str, end: Micros) -> Option<Vec<u8>> {
    let seconds = end.div_euclid(SECOND);
    if !(-62_135_596_800..=LAST).contains(&seconds) {
        return None;
    }
    let text = format!(
        r#"{{"version": 1, "holder": {}, "end": "{}"}}"#,
        python_string(holder),
        format_time(seconds)
    );
    Some(text.into_bytes())
}

/// A string as `json.dumps` writes it: in ASCII.
fn python_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Seconds since 1970 as `2026-01-31T12:00:00`.
fn format_time(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

/// Reads what `strptime` reads with `%Y-%m-%dT%H:%M:%S`.
fn parse_time(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let days = days(year, month, day);
    let is_real = (1..=9999).contains(&year) && civil(days) == (year, month, day);
    // `strptime` takes the two leap seconds of old, and `datetime` refuses them.
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    (is_real && is_time).then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let all_digits =
            !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        all_digits.then(|| part.parse::<i64>().ok())?
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Days since 1970 of a date of the Gregorian calendar, counted from March, so that leap days come
/// last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a number of days since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_as_python_writes_them() {
        let table = [
            ("host", 1_769_860_800, r#"{"version": 1, "holder": "host", "end": "2026-01-31T12:00:00"}"#),
            ("", 0, r#"{"version": 1, "holder": "", "end": "1970-01-01T00:00:00"}"#),
            (
                "ä\"\\\u{7f}\u{1f512}\n",
                951_782_399,
                r#"{"version": 1, "holder": "\u00e4\"\\\u007f\ud83d\udd12\n", "end": "2000-02-28T23:59:59"}"#,
            ),
            ("h", 951_782_400, r#"{"version": 1, "holder": "h", "end": "2000-02-29T00:00:00"}"#),
            ("h", LAST, r#"{"version": 1, "holder": "h", "end": "9999-12-31T23:59:59"}"#),
        ];
        for (holder, end, text) in table {
            let data = write(holder, end * SECOND + 999_999).unwrap();
            assert_eq!(std::str::from_utf8(&data).unwrap(), text);
            assert_eq!(in_whole_seconds(end * SECOND + 999_999), end * SECOND);
            let record = Record { holder: holder.to_owned(), end: end * SECOND };
            assert_eq!(read(&data), Stored::Record(record));
        }
        assert_eq!(write("h", (LAST + 1) * SECOND), None);
    }

    #[test]
    fn every_day_is_read_as_it_was_written() {
        for day in (-719_162_i64..2_932_896).step_by(17) {
            let seconds = day * 86_400 + day.rem_euclid(86_400);
            assert_eq!(parse_time(&format_time(seconds)), Some(seconds), "{day}");
        }
    }

    #[test]
    fn what_is_no_record_is_told_from_one_of_another_version() {
        let corrupt: [&[u8]; 9] = [
            b"",
            b"\xff\0",
            b"[]",
            b"{}",
            br#"{"version": 1}"#,
            br#"{"version": 1, "holder": "h", "end": "tomorrow"}"#,
            br#"{"version": 1, "holder": "h", "end": "2026-02-30T00:00:00"}"#,
            br#"{"version": 1, "holder": "h", "end": "2026-01-01T24:00:00"}"#,
            br#"{"version": 1, "holder": 7, "end": "2026-01-01T00:00:00"}"#,
        ];
        for data in corrupt {
            assert!(matches!(read(data), Stored::Corrupt(_)), "{data:?}");
        }
        assert!(matches!(read(br#"{"version": 2, "until": 7}"#), Stored::Newer(_)));
        let more = br#"{"end": "2026-1-2T3:4:5", "version": 1.0, "holder": "h", "note": "kept by nobody"}"#;
        assert!(matches!(read(more), Stored::Record(_)));
    }
}
