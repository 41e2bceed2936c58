package sandbox

// MaybeRunCompileChild does nothing in an ordinary process. In one that a
// [Runtime] started to compile a module it does that work and exits. main has
// to call it before anything else.
func MaybeRunCompileChild() {}
