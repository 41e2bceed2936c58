package task

import "math"

// ClampedPoisson returns an interval of a Poisson process that is near mean: at
// most mean*(1+clamp), and at least so much that about half of all intervals are
// below the median. u, from 0 up to 1, chooses. A mean of 0 or less gives 0.
func ClampedPoisson(mean, clamp, u float64) float64 {
	if mean <= 0 || clamp <= 0 {
		return max(mean, 0)
	}
	upper := 1 + clamp
	lower := 0.0
	if upper < 50 { // beyond it 2^upper is too large, and the bound as good as 0
		power := math.Exp2(upper)
		lower = math.Log2(power / (power - 1))
	}
	// From here in multiples of the mean.
	from, to := 1-math.Exp(-lower), 1-math.Exp(-upper)
	return -math.Log(max(1-(from+u*(to-from)), 1e-10)) * mean
}
