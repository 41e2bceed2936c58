//go:build race

package sandbox

// raceDetector needs more memory than a child may have.
const raceDetector = true
