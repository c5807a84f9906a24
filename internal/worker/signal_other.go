//go:build !unix

package worker

// onNoMore does nothing: engines that run agents have nodes with other systems.
func onNoMore(func()) (stop func()) { return func() {} }
