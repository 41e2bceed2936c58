package store

import (
	"iter"
	"math/bits"
	"strings"
)

// maxPart bounds the rows of one INSERT; their values stay far below what either
// database takes.
const maxPart = 128

// parts splits a list into parts for one INSERT each. Their lengths are powers of
// two, so that lists of any length share a few prepared statements.
func parts[T any](list []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(list) > 0 {
			n := min(maxPart, 1<<(bits.Len(uint(len(list)))-1))
			if !yield(list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// rowsOf repeats the placeholders of a row, with commas between.
func rowsOf(n int, row string) string {
	return strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
}
