//go:build !wasip1

package sdk

// serve has nothing to export to outside of a guest.
func serve(*Module) {}
