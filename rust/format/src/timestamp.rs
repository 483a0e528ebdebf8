//! Points in time as the format writes them: whole seconds, UTC, years 1970 to 9999.
//!
//! Fixed widths, so that sorting the text sorts the time. The crate has no clock: callers pass seconds in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Month, PrimitiveDateTime, Time, UtcDateTime};

use crate::FormatError;

/// One second, UTC; shown as `2026-11-21T01:02:03Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(UtcDateTime);

impl Timestamp {
    /// From seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`FormatError::BadText`] before 1970 or after 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, FormatError> {
        let bad = || refuse(&seconds.to_string(), "it lies outside the years 1970 to 9999");
        if seconds < 0 {
            return Err(bad());
        }
        UtcDateTime::from_unix_timestamp(seconds).map(Self).map_err(|_| bad())
    }

    /// Seconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// As ids write it: `20261121T010203Z`.
    #[must_use]
    pub fn compact(self) -> String {
        let (year, month, day) = (self.0.year(), u8::from(self.0.month()), self.0.day());
        let (hour, minute, second) = self.0.as_hms();
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// Reads what [`compact`](Self::compact) wrote.
    ///
    /// # Errors
    /// [`FormatError::BadText`] for any other spelling and for dates that the calendar lacks.
    pub fn parse_compact(text: &str) -> Result<Self, FormatError> {
        Self::from_template(text, "YYYYMMDDThhmmssZ")
    }

    fn from_template(text: &str, template: &str) -> Result<Self, FormatError> {
        let bad = || refuse(text, "it is not a UTC time in the format's spelling");
        if text.len() != template.len() || !text.is_ascii() {
            return Err(bad());
        }
        let mut fields = [0_u16; 6];
        for (character, slot) in text.bytes().zip(template.bytes()) {
            match b"YMDhms".iter().position(|field| *field == slot) {
                Some(field) if character.is_ascii_digit() => {
                    fields[field] = fields[field] * 10 + u16::from(character - b'0');
                }
                None if character == slot => {}
                _ => return Err(bad()),
            }
        }
        from_fields(fields).filter(|moment| moment.unix_seconds() >= 0).ok_or_else(bad)
    }
}

fn from_fields([year, month, day, hour, minute, second]: [u16; 6]) -> Option<Timestamp> {
    let small = |field: u16| u8::try_from(field).ok();
    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, small(day)?).ok()?;
    let time = Time::from_hms(small(hour)?, small(minute)?, small(second)?).ok()?;
    Some(Timestamp(PrimitiveDateTime::new(date, time).as_utc()))
}

fn refuse(text: &str, why: &'static str) -> FormatError {
    FormatError::BadText { what: "a time", text: text.to_owned(), why }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.0.year(), u8::from(self.0.month()), self.0.day());
        let (hour, minute, second) = self.0.as_hms();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Timestamp {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::from_template(text, "YYYY-MM-DDThh:mm:ssZ")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::gate::from_text(deserializer)
    }
}
