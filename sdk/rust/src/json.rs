//! JSON, read in place: one pass checks a text and notes where each value stands.

use crate::Time;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub enum Kind {
    Absent,
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

/// A value, or a key, which stands right before its value.
#[derive(Clone, Copy)]
pub struct Node {
    start: u32, // in the text; of a text without its quotes
    end: u32,
    next: u32, // after this value and all within it; while it is open, which one was open before
    kind: Kind,
    escaped: bool, // a text with backslashes
}

impl Node {
    /// What nodes are before there is a text.
    pub const NONE: Node = Node { start: 0, end: 0, next: 0, kind: Kind::Absent, escaped: false };
}

/// How deep a text may be nested.
const DEPTH: usize = 128;

/// A parsed text. Node 0 is nobody's.
pub struct Doc<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
}

impl<'a> Doc<'a> {
    /// Reads a text that is followed by eight zeros; None if it is no JSON, or if
    /// nodes is too small.
    pub fn parse(padded: &'a [u8], nodes: &'a mut [Node]) -> Option<Doc<'a>> {
        let end = padded.len() - 8;
        let mut p = Parser { text: padded, end, nodes, count: 1 };
        p.document()?;
        let Parser { nodes, count, .. } = p;
        Some(Doc { text: &padded[..end], nodes: &nodes[..count] })
    }

    /// The value of the text.
    pub fn root(&self) -> Value<'_> {
        Value { doc: self, i: 1 }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    end: usize,
    nodes: &'a mut [Node],
    count: usize,
}

impl<'a> Parser<'a> {
    #[inline(always)]
    fn at(&self, p: usize) -> u8 {
        self.text[p]
    }

    #[inline(always)]
    fn space(&self, mut p: usize) -> usize {
        while matches!(self.at(p), b' ' | b'\n' | b'\r' | b'\t') {
            p += 1;
        }
        p
    }

    #[inline(always)]
    fn note(&mut self, start: usize, end: usize, kind: Kind, escaped: bool) -> Option<()> {
        let next = self.count as u32 + 1;
        *self.nodes.get_mut(self.count)? = Node { start: start as u32, end: end as u32, next, kind, escaped };
        self.count += 1;
        Some(())
    }

    fn document(&mut self) -> Option<()> {
        let (mut p, mut open, mut depth, mut key) = (0, 0usize, 0, false);
        loop {
            p = self.space(p);
            if key {
                p = self.string(p)?;
                p = self.space(p);
                if self.at(p) != b':' {
                    return None;
                }
                p = self.space(p + 1);
            }
            let start = p;
            match self.at(p) {
                b'"' => p = self.string(p)?,
                c @ (b'{' | b'[') => {
                    if depth == DEPTH {
                        return None;
                    }
                    depth += 1;
                    let (kind, close) = if c == b'{' { (Kind::Object, b'}') } else { (Kind::Array, b']') };
                    self.note(start, start, kind, false)?;
                    self.nodes[self.count - 1].next = open as u32;
                    open = self.count - 1;
                    p = self.space(p + 1);
                    if self.at(p) != close {
                        key = c == b'{';
                        continue;
                    }
                }
                b'n' => p = self.word(p, b"null", Kind::Null)?,
                b't' => p = self.word(p, b"true", Kind::Bool)?,
                b'f' => p = self.word(p, b"false", Kind::Bool)?,
                _ => {
                    p = self.number(p)?;
                    self.note(start, p, Kind::Number, false)?;
                }
            }
            loop {
                p = self.space(p);
                if open == 0 {
                    return if p == self.end { Some(()) } else { None };
                }
                let object = self.nodes[open].kind == Kind::Object;
                if self.at(p) == b',' {
                    p += 1;
                    key = object;
                    break;
                }
                if self.at(p) != if object { b'}' } else { b']' } {
                    return None;
                }
                p += 1;
                depth -= 1;
                let next = self.count as u32;
                let node = &mut self.nodes[open];
                open = node.next as usize;
                node.end = p as u32;
                node.next = next;
            }
        }
    }

    fn word(&mut self, p: usize, word: &[u8], kind: Kind) -> Option<usize> {
        let end = p + word.len();
        if self.text.get(p..end)? != word {
            return None;
        }
        self.note(p, end, kind, false)?;
        Some(end)
    }

    fn digits(&self, mut p: usize) -> Option<usize> {
        let start = p;
        while self.at(p).is_ascii_digit() {
            p += 1;
        }
        if p > start {
            Some(p)
        } else {
            None
        }
    }

    fn number(&self, mut p: usize) -> Option<usize> {
        if self.at(p) == b'-' {
            p += 1;
        }
        let whole = p;
        p = self.digits(p)?;
        if self.at(whole) == b'0' && p > whole + 1 {
            return None;
        }
        if self.at(p) == b'.' {
            p = self.digits(p + 1)?;
        }
        if self.at(p) | 0x20 == b'e' {
            p += 1;
            if matches!(self.at(p), b'+' | b'-') {
                p += 1;
            }
            p = self.digits(p)?;
        }
        Some(p)
    }

    /// Where the next byte is that does not stand for itself in a string, eight
    /// looked at at once. The zeros after the text end it.
    #[inline(always)]
    fn plain(&self, mut p: usize) -> Option<usize> {
        const ONES: u64 = 0x0101_0101_0101_0101;
        loop {
            let w = u64::from_le_bytes(self.text.get(p..p + 8)?.try_into().ok()?);
            let quote = (w ^ ONES * b'"' as u64).wrapping_sub(ONES);
            let backslash = (w ^ ONES * b'\\' as u64).wrapping_sub(ONES);
            let odd = (w.wrapping_sub(ONES * 0x20) | quote | backslash | w) & (ONES << 7);
            if odd != 0 {
                return Some(p + (odd.trailing_zeros() >> 3) as usize);
            }
            p += 8;
        }
    }

    /// Reads the string at p and returns where it is over.
    #[inline(always)]
    fn string(&mut self, p: usize) -> Option<usize> {
        if self.at(p) != b'"' {
            return None;
        }
        let (start, mut escaped) = (p + 1, false);
        // The last few bytes of the text are followed by fewer than eight zeros.
        let mut p = self.plain(start).unwrap_or(start);
        while self.at(p) != b'"' {
            if p >= self.end {
                return None;
            }
            let rest = &self.text[p..self.end];
            let n = match rest[0] {
                b'\\' => {
                    escaped = true;
                    escape(rest)?
                }
                c if c >= 0x80 => rune(rest)?,
                c if c >= 0x20 => 1,
                _ => return None,
            };
            p += n;
            p = self.plain(p).unwrap_or(p);
        }
        if p >= self.end {
            return None;
        }
        self.note(start, p, Kind::Text, escaped)?;
        Some(p + 1)
    }
}

/// The length of an escape.
fn escape(s: &[u8]) -> Option<usize> {
    match s.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' if s.get(2..6)?.iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

/// The length of a rune of more than one byte.
fn rune(s: &[u8]) -> Option<usize> {
    let n = match s[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    core::str::from_utf8(s.get(..n)?).ok()?;
    Some(n)
}

/// A value within a document. From an absent one only absent ones are read.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    doc: &'a Doc<'a>,
    i: usize,
}

impl<'a> Value<'a> {
    #[inline(always)]
    fn node(self) -> &'a Node {
        &self.doc.nodes[self.i]
    }

    fn other(self, i: usize) -> Value<'a> {
        Value { doc: self.doc, i }
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        if self.i == 0 {
            Kind::Absent
        } else {
            self.node().kind
        }
    }

    /// Whether it is null or absent.
    pub fn is_null(self) -> bool {
        self.kind() <= Kind::Null
    }

    fn bytes(self) -> &'a [u8] {
        &self.doc.text[self.node().start as usize..self.node().end as usize]
    }

    /// The JSON of it; None for an absent one.
    pub fn raw(self) -> Option<&'a [u8]> {
        match self.kind() {
            Kind::Absent => None,
            Kind::Text => Some(&self.doc.text[self.node().start as usize - 1..self.node().end as usize + 1]),
            _ => Some(self.bytes()),
        }
    }

    /// The member of an object: the first of that key.
    pub fn get(self, key: &str) -> Value<'a> {
        if self.kind() == Kind::Object {
            let end = self.node().next as usize;
            let mut i = self.i + 1;
            while i < end {
                if self.other(i).is(key) {
                    return self.other(i + 1);
                }
                i = self.doc.nodes[i + 1].next as usize;
            }
        }
        self.other(0)
    }

    /// The elements of an array.
    pub fn elements(self) -> impl Iterator<Item = Value<'a>> {
        let array = self.kind() == Kind::Array;
        let (mut i, end) = if array { (self.i + 1, self.node().next as usize) } else { (0, 0) };
        core::iter::from_fn(move || {
            if i >= end {
                return None;
            }
            let v = self.other(i);
            i = v.node().next as usize;
            Some(v)
        })
    }

    /// Whether it is this text, of at most 255 bytes.
    #[inline(always)]
    pub fn is(self, s: &str) -> bool {
        if self.kind() != Kind::Text {
            return false;
        }
        if !self.node().escaped {
            return self.bytes() == s.as_bytes();
        }
        self.text(&mut [0; 260]) == Some(s.as_bytes())
    }

    /// A text with its escapes undone; None if it is none or does not fit.
    pub fn text(self, to: &mut [u8]) -> Option<&[u8]> {
        if self.kind() != Kind::Text {
            return None;
        }
        let (mut s, mut n) = (self.bytes(), 0);
        while !s.is_empty() {
            let c = match s[..] {
                [b'\\', b'u', ..] => {
                    let (c, used) = unescape(s);
                    s = &s[used..];
                    let mut utf8 = [0; 4];
                    let utf8 = c.encode_utf8(&mut utf8).as_bytes();
                    to.get_mut(n..n + utf8.len())?.copy_from_slice(utf8);
                    n += utf8.len();
                    continue;
                }
                [b'\\', c, ..] => {
                    s = &s[2..];
                    match c {
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        c => c,
                    }
                }
                [c, ..] => {
                    s = &s[1..];
                    c
                }
                [] => break,
            };
            *to.get_mut(n)? = c;
            n += 1;
        }
        Some(&to[..n])
    }

    /// A number, close to it.
    pub fn float(self) -> Option<f64> {
        if self.kind() != Kind::Number {
            return None;
        }
        core::str::from_utf8(self.bytes()).ok()?.parse().ok()
    }

    /// A number that is whole; what does not fit is the bound.
    pub fn int(self) -> Option<i32> {
        if self.kind() != Kind::Number {
            return None;
        }
        let mut n: i32 = 0;
        let digits = self.bytes().strip_prefix(b"-").unwrap_or(self.bytes());
        if digits.len() < 10 && digits.iter().all(u8::is_ascii_digit) {
            for c in digits {
                n = n * 10 + (c - b'0') as i32;
            }
            return Some(if digits.len() < self.bytes().len() { -n } else { n });
        }
        let x = self.float()?;
        let n = x as i32; // to the bounds
        if n == i32::MIN || n == i32::MAX || n as f64 == x {
            Some(n)
        } else {
            None
        }
    }

    /// A time in the contract's form.
    pub fn time(self) -> Option<Time> {
        Time::parse(self.text(&mut [0; 40])?)
    }
}

/// The character of \uXXXX, two of them for a surrogate pair; half a pair is U+FFFD.
fn unescape(s: &[u8]) -> (char, usize) {
    let unit = |s: &[u8]| s[2..6].iter().fold(0, |n, c| n << 4 | (*c as char).to_digit(16).unwrap_or(0));
    let high = unit(s);
    if (0xd800..0xdc00).contains(&high) && s.len() >= 12 && s[6] == b'\\' && s[7] == b'u' {
        let low = unit(&s[6..]);
        if (0xdc00..0xe000).contains(&low) {
            return (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'), 12);
        }
    }
    (char::from_u32(high).unwrap_or('\u{fffd}'), 6)
}
