package value

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
	dst = appendDigits(dst, y, 4)
	dst = appendDigits(append(dst, '-'), m, 2)
	dst = appendDigits(append(dst, '-'), d, 2)
	dst = appendDigits(append(dst, 'T'), secs/3600, 2)
	dst = appendDigits(append(dst, ':'), secs/60%60, 2)
	dst = appendDigits(append(dst, ':'), secs%60, 2)
	dst = appendDigits(append(dst, '.'), us, 6)
	return append(dst, 'Z')
}

const dayMicros = 24 * 3600 * int64(Second)

func appendDigits(dst []byte, n int64, width int) []byte {
	dst = append(dst, "000000"[:width]...)
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
	return dst
}

// daysBefore counts the days of the years before y, with year 1 first.
func daysBefore(y int64) int64 {
	y--
	return y*365 + y/4 - y/100 + y/400
}

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
	y = days*400/146097 + 1
	for daysBefore(y+1) <= days {
		y++
	}
	for daysBefore(y) > days {
		y--
	}
	days -= daysBefore(y)
	for m = 1; days >= daysIn(y, m); m++ {
		days -= daysIn(y, m)
	}
	return y, m, days + 1
}

// ParseTime reads an RFC 3339 time with any offset and any number of digits of
// fraction, cut to microseconds.
func ParseTime(s string) (Time, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	y, ok1 := number(s[0:4])
	mo, ok2 := number(s[5:7])
	d, ok3 := number(s[8:10])
	h, ok4 := number(s[11:13])
	mi, ok5 := number(s[14:16])
	sec, ok6 := number(s[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || y < 1 || mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) || h > 23 || mi > 59 || sec > 59 {
		return 0, false
	}
	us, rest, ok := fraction(s[19:])
	if !ok {
		return 0, false
	}
	offset, ok := zone(rest)
	if !ok {
		return 0, false
	}
	days := daysBefore(y) + d - 1
	for m := int64(1); m < mo; m++ {
		days += daysIn(y, m)
	}
	t := minTime + Time(days*dayMicros+((h*60+mi-offset)*60+sec)*int64(Second)+us)
	return t, t >= minTime && t <= maxTime
}

func number(s string) (n int64, ok bool) {
	for _, c := range []byte(s) {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
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
	h, ok1 := number(s[1:3])
	m, ok2 := number(s[4:6])
	if !ok1 || !ok2 || h > 23 || m > 59 {
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
	var scratch [40]byte
	return ParseTime(string(v.AppendText(scratch[:0])))
}
