//! Times: microseconds since 1970 in UTC.

/// An instant, within the years 0001 to 9999.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Time(pub i64);

const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;
// From 0000-03-01 to 1970-01-01. Years are counted from March on, so that a leap
// day is the last of its year.
const DAYS: i64 = 719_468;
const DAY: i64 = 86_400_000_000;

impl Time {
    /// Reads the contract's form, 2026-11-23T18:00:00.000000Z.
    pub fn parse(s: &[u8]) -> Option<Time> {
        const FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
        let s: &[u8; 27] = s.try_into().ok()?;
        if s.iter().zip(FORM).any(|(c, f)| if *f == b'0' { !c.is_ascii_digit() } else { c != f }) {
            return None;
        }
        let two = |i: usize| (s[i] - b'0') as i64 * 10 + (s[i + 1] - b'0') as i64;
        let (mut y, mut m, d) = (two(0) * 100 + two(2), two(5), two(8));
        if y < 1 || !(1..=12).contains(&m) || !(1..=31).contains(&d) {
            return None;
        }
        if m < 3 {
            y -= 1;
            m += 12;
        }
        let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * (m - 3) + 2) / 5 + d - 1 - DAYS;
        let seconds = (two(11) * 60 + two(14)) * 60 + two(17);
        Some(Time(days * DAY + seconds * 1_000_000 + (two(20) * 100 + two(22)) * 100 + two(24)))
    }

    /// The time so many seconds later.
    pub fn later(self, seconds: f64) -> Time {
        let by = seconds * 1e6;
        if by <= (FIRST - self.0) as f64 || by.is_nan() {
            return Time(FIRST);
        }
        if by > (LAST - self.0) as f64 {
            return Time(LAST);
        }
        Time(self.0 + if by < 0.0 { by - 0.5 } else { by + 0.5 } as i64)
    }

    /// The contract's form.
    pub fn text(self) -> [u8; 27] {
        let us = self.0.clamp(FIRST, LAST) + DAYS * DAY;
        let (mut days, second) = (us / DAY, us / 1_000_000 % 86_400);
        let mut y = days / 146_097 * 400;
        days %= 146_097;
        let n = (days - days / 1460 + days / 36_524 - days / 146_096) / 365;
        days -= n * 365 + n / 4 - n / 100;
        let mut m = (5 * days + 2) / 153;
        let d = days - (153 * m + 2) / 5 + 1;
        y += n;
        m += 3;
        if m > 12 {
            y += 1;
            m -= 12;
        }
        let mut s = *b"0000-00-00T00:00:00.000000Z";
        let mut digits = |at: usize, width: usize, mut n: i64| {
            for c in s[at..at + width].iter_mut().rev() {
                *c = b'0' + (n % 10) as u8;
                n /= 10;
            }
        };
        digits(0, 4, y);
        digits(5, 2, m);
        digits(8, 2, d);
        digits(11, 2, second / 3600);
        digits(14, 2, second / 60 % 60);
        digits(17, 2, second % 60);
        digits(20, 6, us % 1_000_000);
        s
    }
}
