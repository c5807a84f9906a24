// Package slurmtest gives tests a real Slurm cluster on this machine, by scripts/slurm-up.sh. It is for Linux.
package slurmtest
