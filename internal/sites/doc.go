// Package sites opens sessions on engines of other machines for tests of tasks on several nodes: a Slurm cluster and an Azure
// Batch account, both on this machine. It is for Linux.
package sites
