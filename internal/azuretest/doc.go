// Package azuretest has tests of whole programs on Azure, as the emulator and Azurite have it: what users see when services,
// networks, nodes and clients fail.
package azuretest
