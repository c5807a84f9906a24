// Package emulator is an Azure Batch account on this machine, for tests and for work without a network: it serves the Batch
// data-plane REST API of versions 2024-07-01.20.0 and 2022-10-01.16.0 to any client, and really runs what it is told, in pools
// whose nodes are directories of this machine:
//
//	server, err := emulator.Start(ctx, emulator.Options{})
//	if err != nil {
//		return err
//	}
//	defer server.Close()
//	client, err := azbatch.NewClient(server.URL(), server.Credential(), server.ClientOptions())
//
// Nodes can be simulated too, so that thousands of them fit on one machine, and time can run faster than it does. What it does
// not do as the service does, and what is not known of the service, is in docs/emulator.md.
//
// A program that calls Start must run tasks through its own executable: on Linux a node's processes are kept by a copy of it.
package emulator
