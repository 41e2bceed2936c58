package value

import "unsafe"

// Time is an instant: microseconds since 1970 in UTC, the precision of the API
// and of both databases. Package time is left out of guests for its size.
type Time int64

// Microseconds in a second, and the bounds of years 0001 to 9999.
const (
	Second  Time = 1_000_000
	minTime      = -62135596800 * Second
	maxTime      = 253402300800*Second - 1
)

// Add returns t + seconds, to the microsecond; within the years 0001 to 9999.
func (t Time) Add(seconds float64) Time {
	us := seconds * float64(Second)
	if !(us > float64(minTime-t)) {
		return minTime
	}
	if us > float64(maxTime-t) {
		return maxTime
	}
	if us < 0 {
		return t + Time(us-0.5)
	}
	return t + Time(us+0.5)
}

// Sub returns t - u in seconds.
func (t Time) Sub(u Time) float64 { return float64(t-u) / float64(Second) }

// Before reports whether t is before u.
func (t Time) Before(u Time) bool { return t < u }

// String returns the contract's form: 2026-11-23T18:00:00.000000Z.
func (t Time) String() string { return string(t.Append(make([]byte, 0, 27))) }

// Append appends the contract's form of t.
func (t Time) Append(dst []byte) []byte {
	t = min(max(t, minTime), maxTime)
	us := int64(t - minTime)
	days, us := us/dayMicros, us%dayMicros
	y, m, d := civil(days)
	secs, us := us/int64(Second), us%int64(Second)
	minutes, high := secs/60, us/100
	century, h := y/100, minutes/60
	return append(dst,
		tens(century), ones(century), tens(y-century*100), ones(y-century*100), '-', tens(m), ones(m), '-', tens(d), ones(d),
		'T', tens(h), ones(h), ':', tens(minutes-h*60), ones(minutes-h*60), ':', tens(secs-minutes*60), ones(secs-minutes*60),
		'.', tens(high/100), ones(high/100), tens(high%100), ones(high%100), tens(us-high*100), ones(us-high*100), 'Z')
}

// tens and ones return the digits of n, which is below 100. Multiplying is cheaper
// than dividing.
func tens(n int64) byte { return '0' + byte(n*205>>11) }
func ones(n int64) byte { return '0' + byte(n-n*205>>11*10) }

const dayMicros = 24 * 3600 * int64(Second)

// Dates are counted in years that start in March, so that a leap day is the last
// of its year and the months before a date have (153m+2)/5 days, m from 0: no
// loops and no tables, which cost more in a guest.

// daysOf counts the days from 0001-01-01 to a date.
func daysOf(y, m, d int64) int64 {
	if m < 3 {
		y, m = y-1, m+12
	}
	return y*365 + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + d - 1 - daysToMarch
}

// daysToMarch are the days from 0000-03-01 to 0001-01-01.
const daysToMarch = 306

func leap(y int64) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func daysIn(y, m int64) int64 {
	switch m {
	case 2:
		if leap(y) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// civil turns days since 0001-01-01 into a date.
func civil(days int64) (y, m, d int64) {
	const century, era = 36524, 146097 // the usual days of 100 years, and the days of 400
	days += daysToMarch
	y = days / era * 400
	days %= era
	n := (days - days/1460 + days/century - days/(era-1)) / 365 // years into the era
	days -= n*365 + n/4 - n/100
	m = (5*days + 2) / 153
	d = days - (153*m+2)/5 + 1
	y, m = y+n, m+3
	if m > 12 {
		y, m = y+1, m-12
	}
	return y, m, d
}

// ParseTime reads an RFC 3339 time with any offset and any number of digits of
// fraction, cut to microseconds.
func ParseTime(s string) (Time, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	var odd int64
	y := two(s[0], s[1], &odd)*100 + two(s[2], s[3], &odd)
	mo, d := two(s[5], s[6], &odd), two(s[8], s[9], &odd)
	h, mi, sec := two(s[11], s[12], &odd), two(s[14], s[15], &odd), two(s[17], s[18], &odd)
	var us, offset int64
	if len(s) == len("2006-01-02T15:04:05.000000Z") && s[19] == '.' && s[26] == 'Z' { // as the host writes it
		us = two(s[20], s[21], &odd)*10_000 + two(s[22], s[23], &odd)*100 + two(s[24], s[25], &odd)
	} else {
		var ok1, ok2 bool
		us, s, ok1 = fraction(s[19:])
		if offset, ok2 = zone(s); !ok1 || !ok2 {
			return 0, false
		}
	}
	if odd < 0 || y < 1 || mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) || h > 23 || mi > 59 || sec > 59 {
		return 0, false
	}
	t := minTime + Time(daysOf(y, mo, d)*dayMicros+((h*60+mi-offset)*60+sec)*int64(Second)+us)
	return t, t >= minTime && t <= maxTime
}

// two reads two digits. odd becomes negative if one is none.
func two(a, b byte, odd *int64) int64 {
	tens, ones := int64(a)-'0', int64(b)-'0'
	*odd |= tens | 9 - tens | ones | 9 - ones
	return tens*10 + ones
}

// fraction reads ".123" as microseconds and returns what follows.
func fraction(s string) (us int64, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	end := 1
	for scale := int64(100_000); end < len(s) && isDigit(s[end]); end++ {
		us += int64(s[end]-'0') * scale
		scale /= 10
	}
	return us, s[end:], end > 1
}

// zone reads "Z" or "+01:00" as minutes east.
func zone(s string) (minutes int64, ok bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	var odd int64
	h, m := two(s[1], s[2], &odd), two(s[4], s[5], &odd)
	if odd < 0 || h > 23 || m > 59 {
		return 0, false
	}
	minutes = h*60 + m
	if s[0] == '-' {
		minutes = -minutes
	}
	return minutes, true
}

// Time reads a text as a time; ok is false for anything else.
func (v Value) Time() (t Time, ok bool) {
	if v.Kind() != Text {
		return 0, false
	}
	if n := v.node(); !n.escaped {
		// A string that lives no longer than the text.
		text := v.doc.text[n.start:n.end]
		return ParseTime(unsafe.String(unsafe.SliceData(text), len(text)))
	}
	var scratch [40]byte
	return ParseTime(string(v.AppendText(scratch[:0])))
}
